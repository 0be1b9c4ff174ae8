//! A thousand reloads, one after another and in bursts: the run goes on, and holds no more in the end than half way.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use testing::cart::chance::Chance;
use testing::cart::process::{Holdings, holdings, threads};
use testing::cart::running::{PATIENCE, Running};
use testing::cart::video::{Corner, Seen};
use testing::cart::{Cart, FRAMES_PER_SECOND};

use crate::PROGRAM;
use crate::reloads::{Variant, patient, variants};

const RELOADS: usize = 1000;
/// The most that a leak could hide in: what an allocator keeps back differs from time to time.
const RESIDENT_MAY_GROW_KB: u64 = 1024;

#[test]
fn a_thousand_reloads_leave_the_run_as_it_was() {
    let cart = Cart::alone(PROGRAM);
    testing::bundle::write(&cart.at("other"));
    cart.put(&patient(&cart));
    let mut run = Running::start(cart.command());
    run.first_picture();
    run.assisted();
    let variants = variants(&cart);
    let begun = Instant::now();
    storm(&cart, &mut run, &variants, 0..RELOADS / 2);
    let half = settled(&cart, &mut run);
    storm(&cart, &mut run, &variants, RELOADS / 2..RELOADS);
    let full = settled(&cart, &mut run);
    let longest = run.assert_unbroken_since(begun);
    let frames = run.video.since(begun);
    let without = frames.iter().filter(|frame| frame.corner != Corner::Assist).count();
    eprintln!(
        "{RELOADS} reloads in {:.1?}: longest time between pictures {longest:.1?}; {without} of {} frames without \
         assistance; half way {half:?}, in the end {full:?}",
        begun.elapsed(),
        frames.len()
    );
    assert_eq!(without, 0, "of {} frames so many had no assistance", frames.len());
    let held = |held: Holdings| (held.descriptors, held.threads);
    assert_eq!(held(half), held(full), "descriptors and threads; {:#?}", threads(run.id()));
    assert!(full.resident_kb <= half.resident_kb + RESIDENT_MAY_GROW_KB, "{half:?} → {full:?}");
    run.assert_ends_well();
}

/// Reloads as fast as each is told of, and every hundredth time a burst without any wait.
fn storm(cart: &Cart, run: &mut Running, variants: &[(&str, Variant)], reloads: std::ops::Range<usize>) {
    let mut chance = Chance::of(1 + reloads.start as u64);
    for reload in reloads {
        let (name, variant) = chance.one_of(variants);
        let known = run.log.lines().len();
        variant.put(cart);
        run.send(Signal::HUP);
        if reload % 100 < 80 {
            run.log.wait_after(known, Duration::from_millis(60), |_| true);
        }
        if let Some(status) = run.ended() {
            panic!("reload {reload}, {name}: the run ended with {status}; log: {}", run.log.text());
        }
    }
}

/// What it holds with its usual profile, once it has come to rest.
fn settled(cart: &Cart, run: &mut Running) -> Holdings {
    // Another colour first: that the usual one is taken can be seen then.
    let is = |outlined: bool| {
        move |frame: &Seen| (frame.outlined > 0) == outlined && frame.corner == Corner::Assist
    };
    for (colour, usual) in [("[255, 0, 0]", false), ("[0, 255, 230]", true)] {
        let from = Instant::now();
        cart.put(&patient(cart).with("overlay.colour", colour));
        run.send(Signal::HUP);
        let taken = run.video.wait_since(from, PATIENCE, is(usual));
        assert!(taken.is_some(), "{colour} is not drawn; log: {}", run.log.text());
    }
    thread::sleep(Duration::from_secs_f64(50.0 / FRAMES_PER_SECOND));
    holdings(run.id())
}
