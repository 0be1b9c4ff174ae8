//! Standard error that nobody reads, or that is closed.

use std::io::{PipeReader, Write};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::Signal;

use crate::cart::Cart;
use crate::log::Log;
use crate::running::{PATIENCE, Running};

/// A pipe with room for `room` bytes, in whole pages: one page stands for a slow reader's pipe.
fn pipe_with_room(room: usize) -> (PipeReader, Stdio) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    // Short writes share a page, so that whole pages leave nothing over.
    let mut filled = 0;
    while writer.write(&[b'\n'; 4096]).is_ok() {
        filled += 4096;
    }
    let mut taken = vec![0; room];
    std::io::Read::read_exact(&mut &reader, &mut taken).unwrap();
    assert!(filled >= 65_536);
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer.into())
}

fn start(cart: &Cart, stderr: Stdio) -> Running {
    let mut command = cart.command();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
    Running::spawn(command)
}

#[test]
fn a_log_that_is_full_from_the_start_delays_neither_the_picture_nor_the_end() {
    let cart = Cart::alone();
    let (unread, stderr) = pipe_with_room(0);
    let mut run = start(&cart, stderr);
    run.first_picture();
    run.assisted();
    run.assert_unbroken_for(Duration::from_secs(1));
    run.assert_ends_well();
    drop(unread);
}

#[test]
fn reloads_into_a_log_that_nobody_reads_break_nothing_and_what_is_lost_is_told_later() {
    let cart = Cart::alone();
    let (unread, stderr) = pipe_with_room(4096);
    let mut run = start(&cart, stderr);
    run.first_picture();
    run.assisted();
    let begun = Instant::now();
    for reload in 0..40 {
        // Every other one is refused, with a line as long as they get.
        let profile = cart.profile();
        let age = if reload % 2 == 0 { 120 } else { 5000 + reload };
        cart.put(&profile.with("pipeline.max_age_ms", age));
        run.send(Signal::HUP);
        thread::sleep(Duration::from_millis(50));
    }
    run.assert_unbroken_since(begun);
    run.assert_runs();

    // Twenty refusals were due, each with another value. Those that are not there were counted.
    let log = Log::listen(unread);
    log.wait_after(0, PATIENCE, |line| line.contains("5039"));
    run.assert_unbroken_for(Duration::from_millis(500));
    let told =
        (0..40).filter(|value| log.count(|line| line.contains(&(5000 + value).to_string())) > 0).count();
    let counted = log.count(says_what_was_dropped);
    assert!(
        told == 20 || counted > 0,
        "{told} of 20 refusals are told, and no line counts the rest: {}",
        log.text()
    );
    // From now on nothing is lost.
    cart.put(&cart.profile().with("pipeline.max_age_ms", 6000));
    run.send(Signal::HUP);
    let line = log.wait_after(0, PATIENCE, |line| line.contains("6000"));
    assert!(line.is_some(), "the log does not go on: {}", log.text());
    run.assert_ends_well();
}

/// A flood is more than any queue holds: most of it is lost, and the log says how much.
#[test]
fn lines_that_no_queue_could_hold_are_counted() {
    let cart = Cart::shared();
    let (unread, stderr) = pipe_with_room(0);
    let mut command = cart.command();
    command.env("RUST_LOG", "trace").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
    let mut run = Running::spawn(command);
    run.first_picture();
    run.assisted();
    let mut value = 2000;
    while run.begun.elapsed() < Duration::from_secs(6) {
        value += 1;
        cart.put(&cart.profile().with("pipeline.max_age_ms", value));
        run.send(Signal::HUP);
        thread::sleep(Duration::from_millis(4));
    }
    run.assert_runs();
    let log = Log::listen(unread);
    // The last line that went into the queue, and then a fresh one.
    thread::sleep(Duration::from_millis(300));
    cart.put(&cart.profile().with("pipeline.max_age_ms", 1001));
    run.send(Signal::HUP);
    assert!(log.wait_after(0, PATIENCE, |line| line.contains("1001")).is_some(), "the log does not go on");
    let told = log.count(|line| line.contains("max_age_ms"));
    let counted = log.lines().into_iter().find(|line| says_what_was_dropped(line));
    assert!(counted.is_some() || told > value - 2000, "{told} lines of {} and no count", value - 2000);
    run.assert_ends_well();
}

fn says_what_was_dropped(line: &str) -> bool {
    let lower = line.to_lowercase();
    let says =
        ["dropped", "not written", "lost", "left out", "not logged"].iter().any(|word| lower.contains(word));
    let message = line.split_once(']').map_or(line, |(_, message)| message);
    says && message.chars().any(|letter| letter.is_ascii_digit())
}

/// `eprintln!` panics when standard error is gone: nothing may be said that way.
#[test]
fn a_log_whose_reader_has_gone_harms_nothing() {
    let cart = Cart::alone();
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
    let cart = Cart::alone();
    let mut command = cart.command();
    command.env("RUST_LOG", "trace");
    let mut run = Running::start(command);
    run.first_picture();
    run.assisted();
    run.assert_unbroken_for(Duration::from_secs(1));
    run.assert_ends_well();
    let foreign = run.log.lines().into_iter().find(|line| {
        let target = line.split_once(']').map_or("", |(head, _)| head).rsplit(' ').next().unwrap_or("");
        !target.is_empty() && !target.starts_with("polyp_edge") && !target.starts_with("polyp-edge")
    });
    assert_eq!(foreign, None, "a line of another crate, in {} lines", run.log.lines().len());
}
