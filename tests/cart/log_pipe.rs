//! Standard error that nobody reads, or that is closed.

use std::io::{PipeReader, Read};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use testing::cart::Cart;
use testing::cart::log::Log;
use testing::cart::running::{PATIENCE, Running};
use testing::cart::system::full_pipe;

use crate::PROGRAM;

/// A pipe with room for one page: a slow reader's.
fn nearly_full_pipe() -> (PipeReader, Stdio) {
    let (mut reader, writer) = full_pipe();
    reader.read_exact(&mut [0; 4096]).unwrap();
    (reader, writer.into())
}

fn start(cart: &Cart, stderr: Stdio) -> Running {
    let mut command = cart.command();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
    Running::spawn(command)
}

#[test]
fn a_log_that_is_full_from_the_start_delays_neither_the_picture_nor_the_end() {
    let cart = Cart::alone(PROGRAM);
    let (_unread, stderr) = full_pipe();
    let mut run = start(&cart, stderr.into());
    run.first_picture();
    run.assisted();
    run.assert_unbroken_for(Duration::from_secs(1));
    run.assert_ends_well();
}

/// Each reload is told, or counted as one that is not.
#[test]
fn reloads_into_a_log_that_nobody_reads_break_nothing_and_what_is_lost_is_counted() {
    const RELOADS: usize = 40;
    let cart = Cart::alone(PROGRAM);
    let (unread, stderr) = nearly_full_pipe();
    let mut run = start(&cart, stderr);
    run.first_picture();
    run.assisted();
    let begun = Instant::now();
    for reload in 0..RELOADS {
        // Every third one is refused.
        let age = if reload % 3 == 0 { 5000 + reload } else { 120 };
        cart.put(&cart.profile().with("pipeline.max_age_ms", age));
        run.send(Signal::HUP);
        thread::sleep(Duration::from_millis(50));
    }
    run.assert_unbroken_since(begun);
    run.assert_runs();

    let log = Log::listen(unread);
    let accounted = || {
        let told = log.count(|line| line.contains("test.toml"));
        told + log.lines().iter().filter_map(|line| left_out(line)).sum::<usize>()
    };
    // Lines that were too many may be counted some seconds later.
    let is_complete = testing::cart::running::comes_true(2 * PATIENCE, || accounted() >= RELOADS);
    assert!(is_complete, "{} of {RELOADS} reloads are told or counted: {}", accounted(), log.text());
    // From now on nothing is lost.
    let known = log.lines().len();
    cart.put(&cart.profile().with("pipeline.max_age_ms", 6000));
    run.send(Signal::HUP);
    let line = log.wait_after(known, PATIENCE, |line| line.contains("6000"));
    assert!(line.is_some(), "the log does not go on: {}", log.text());
    run.assert_ends_well();
}

/// How many lines are missing, where a line says that.
fn left_out(line: &str) -> Option<usize> {
    let says = ["missing", "left out", "dropped", "lost"].iter().any(|word| line.contains(word));
    line.split_whitespace().find_map(|word| word.parse().ok()).filter(|_| says)
}

/// `eprintln!` panics when standard error is gone: nothing may be said that way.
#[test]
fn a_log_whose_reader_has_gone_harms_nothing() {
    let cart = Cart::alone(PROGRAM);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut run = start(&cart, writer.into());
    run.first_picture();
    run.assisted();
    run.send(Signal::HUP);
    cart.put_text("not a profile");
    run.send(Signal::HUP);
    run.assert_unbroken_for(Duration::from_secs(1));
    run.assert_ends_well();
}

#[test]
fn the_most_talkative_log_is_about_this_program_alone_and_delays_nothing() {
    let cart = Cart::alone(PROGRAM);
    let mut command = cart.command();
    command.env("RUST_LOG", "trace");
    let mut run = Running::start(command);
    run.first_picture();
    run.assisted();
    run.assert_unbroken_for(Duration::from_secs(1));
    run.assert_ends_well();
    let foreign = run.log.lines().into_iter().find(|line| {
        let target = line.split_once(']').map_or("", |(head, _)| head).rsplit(' ').next().unwrap_or("");
        !target.is_empty() && !target.starts_with("polyp_edge")
    });
    assert_eq!(foreign, None, "a line of another crate, in {} lines", run.log.lines().len());
}
