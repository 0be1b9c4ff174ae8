//! Threads have names, and those that carry the picture have the priority that the profile gives.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use testing::cart::Cart;
use testing::cart::process::{Thread, threads};
use testing::cart::running::{PATIENCE, Running, comes_true};

use crate::PROGRAM;

const OTHER: u32 = 0;
const FIFO: u32 = 1;

/// Whether `capture` and `display` have a real-time priority, 0 for none, and all others have none.
fn is_scheduled(threads: &[Thread], priority: u32) -> bool {
    let wanted = if priority > 0 { FIFO } else { OTHER };
    let carries_picture = |thread: &&Thread| ["capture", "display"].contains(&&*thread.name);
    let carriers: Vec<&Thread> = threads.iter().filter(carries_picture).collect();
    carriers.len() == 2
        && carriers.iter().all(|thread| (thread.policy, thread.priority) == (wanted, priority))
        && threads.iter().filter(|thread| !carries_picture(thread)).all(|thread| thread.policy == OTHER)
}

#[track_caller]
fn assert_scheduled(run: &Running, priority: u32) {
    let reached = comes_true(PATIENCE, || is_scheduled(&threads(run.id()), priority));
    let now = threads(run.id());
    assert!(
        reached,
        "capture and display alone are to have priority {priority}: {now:#?}; log: {}",
        run.log.text()
    );
    // And it stays so: a thread that starts later does not inherit it.
    let until = Instant::now() + Duration::from_millis(1500);
    while Instant::now() < until {
        let now = threads(run.id());
        assert!(is_scheduled(&now, priority), "for a moment: {now:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_pictures_threads_alone_have_real_time_priority_through_all_reloads() {
    let test = "the_pictures_threads_alone_have_real_time_priority_through_all_reloads";
    let may = std::process::Command::new("chrt").args(["-f", "5", "true"]).status();
    if !may.is_ok_and(|status| status.success()) {
        eprintln!("{test}: skipped, because real-time priority is not permitted here");
        return;
    }
    let cart = Cart::alone(PROGRAM);
    let profile = |priority: u32| cart.profile().with("pipeline.realtime_priority", priority);
    cart.put(&profile(5));
    let mut run = Running::start(cart.command());
    run.first_picture();
    run.assisted();
    assert_scheduled(&run, 5);
    let reload = |run: &Running, priority| {
        cart.put(&profile(priority));
        run.send(Signal::HUP);
        assert_scheduled(run, priority);
    };
    for priority in [0, 5, 7, 0] {
        reload(&run, priority);
    }
    // A new state file's thread and a new model's threads start under a display that has priority.
    cart.put(
        &profile(5).with_path("pipeline.state_file", &cart.at("state/second.json")).with("model.threads", 2),
    );
    run.send(Signal::HUP);
    assert!(comes_true(PATIENCE, || cart.at("state/second.json").exists()), "{}", run.log.text());
    assert_scheduled(&run, 5);
    run.assert_ends_well();
}

#[test]
fn every_thread_has_a_name_of_its_own() {
    let cart = Cart::shared(PROGRAM);
    cart.put(&cart.profile().with("model.threads", 2));
    let mut run = Running::start(cart.command());
    run.assisted();
    let all = threads(run.id());
    // A thread without a name has that of the program's first one.
    let first = all.iter().find(|thread| thread.id == run.id()).unwrap().name.clone();
    let unnamed = all.iter().filter(|thread| thread.name == first).count();
    assert_eq!(unnamed, 1, "{all:#?}");
    for name in ["capture", "display", "inference"] {
        assert_eq!(all.iter().filter(|thread| thread.name == name).count(), 1, "{name}: {all:#?}");
    }
    run.assert_ends_well();
}

/// A core that is not there costs the pin and not the assistance.
#[test]
fn cores_that_are_not_there_cost_the_pins_alone() {
    let cart = Cart::shared(PROGRAM);
    cart.put(&cart.profile().with("model.threads", 2).with("model.cores", "[1022, 1023]"));
    let mut run = Running::start(cart.command());
    run.assisted();
    let told = run.log.count(|line| line.contains("there is no such core, or it is offline"));
    assert!(told >= 2, "{}", run.log.text());
    run.assert_ends_well();
}
