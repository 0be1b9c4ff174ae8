//! A whole cart in simulated time, with faults: see `testing::simulation`.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use polyp_edge::capture::live::{Camera, Event};
use polyp_edge::detect::Region;
use polyp_edge::display::{Scene, Sink};
use polyp_edge::frame::Frame;
use polyp_edge::geometry::{Placement, Point};
use polyp_edge::overlay::Layer;
use polyp_edge::pipeline::Observer;
use polyp_edge::runtime;
use testing::simulation::plan::{Change, Fault, Plan, Thread};
use testing::simulation::scheduler::{Chaos, End, Scheduler};
use testing::simulation::shrink::shrink;
use testing::simulation::world::{Watch, World, WorldCamera, WorldMonitor};
use testing::simulation::{Report, simulate, simulate_plan};

const HOUR: Duration = Duration::from_secs(3600);

/// Panics are part of a simulation; what breaks is told by the report.
fn quiet() {
    std::panic::set_hook(Box::new(|panic| {
        let is_simulated = panic.payload_as_str().is_some_and(|text| text.contains("was told to panic"));
        if !is_simulated {
            eprintln!("{panic}");
        }
    }));
}

fn holds(report: &Report, what: &str) {
    assert!(report.broken.is_empty(), "{what}: {:?}\n{}", report.broken, report.story.join("\n"));
}

#[test]
fn a_seed_gives_the_same_run_twice_and_another_one_another() {
    quiet();
    let [first, second, other] = [7, 7, 8].map(|seed| simulate(seed, HOUR / 20, true));
    assert_eq!(first, second);
    assert_ne!(first.digest, other.digest);
    assert!(first.pictures > 1000 && first.story.len() > 10, "{} pictures", first.pictures);
}

#[test]
fn nothing_happens_where_no_fault_does() {
    quiet();
    let report = simulate_plan(1, HOUR, &Plan::default(), true);
    holds(&report, "no faults");
    let states: Vec<_> = report.story.iter().filter(|line| line.contains("state:")).collect();
    assert_eq!(states.len(), 2, "self-test, then assistance: {states:?}");
    // 60 a second, but for frames that come in the very moment of a refresh.
    assert!(report.pictures >= 60 * 3600 * 99 / 100, "{} pictures in an hour", report.pictures);
}

/// Seeds of the day's date, for as long as `POLYP_SIMULATION_SECONDS` says; a failure prints the seed.
#[test]
fn fresh_seeds_break_nothing() {
    quiet();
    let seconds =
        std::env::var("POLYP_SIMULATION_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(15);
    let today = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let (begun, mut seed) = (Instant::now(), today % 1_000_000_000);
    println!("seeds from {seed} on");
    while begun.elapsed() < Duration::from_secs(seconds) {
        let report = simulate(seed, HOUR / 4, false);
        let again = format!("cargo run --release --example simulate -- --seed {seed} --hours 0.25 --trace");
        assert!(report.broken.is_empty(), "seed {seed}: {:?}; see {again}", report.broken);
        seed += 1;
    }
}

#[test]
fn a_plan_that_breaks_nothing_stays_as_it_is() {
    quiet();
    let second = Duration::from_secs(1);
    let plan =
        Plan(vec![(10 * second, Fault::CameraStalls(second)), (20 * second, Fault::Reload(Change::Monitor))]);
    let (kept, length) = shrink(5, 30 * second, &plan);
    assert_eq!((kept.0, length), (plan.0, 30 * second));
}

/// A frame that came while its feed was exchanged was counted as captured and had no fate.
#[test]
fn cameras_are_exchanged_again_and_again() {
    quiet();
    let second = Duration::from_secs(1);
    let faults = (10..200)
        .map(|number| (number * second + number * Duration::from_micros(377), Fault::Reload(Change::Camera)));
    holds(&simulate_plan(3, 210 * second, &Plan(faults.collect()), true), "190 cameras");
}

/// A reload that changes nothing, or cannot be, takes no outline from the picture and does not change the state.
#[test]
fn reloads_that_change_nothing_or_fail_are_not_seen() {
    quiet();
    let second = Duration::from_secs(1);
    let unseen = [
        Change::Nothing,
        Change::ProfileUnreadable,
        Change::CameraMissing,
        Change::MonitorMissing,
        Change::BundleUnreadable,
        Change::StateFile,
    ];
    let faults =
        (0..60).map(|number| (10 * second + 2 * number * second, Fault::Reload(unseen[number as usize % 6])));
    let report = simulate_plan(9, 140 * second, &Plan(faults.collect()), true);
    holds(&report, "60 reloads");
    let states = report.story.iter().filter(|line| line.contains("state:")).count();
    assert_eq!(states, 2, "self-test, then assistance: {:#?}", report.story);
}

#[test]
fn a_disk_that_hangs_or_is_full_holds_up_nothing() {
    quiet();
    let second = Duration::from_secs(1);
    let faults = [
        (10 * second, Fault::DiskHangs(20 * second)),
        (11 * second, Fault::Reload(Change::Settings)),
        (50 * second, Fault::DiskFull(10 * second)),
        (51 * second, Fault::CameraUnplugged(2 * second)),
        (79 * second, Fault::DiskHangs(60 * second)),
    ];
    // The disk hangs when the run is told to end, too.
    let report = simulate_plan(4, 80 * second, &Plan(faults.to_vec()), true);
    holds(&report, "disk");
    assert!(report.pictures > 60 * 75, "{}", report.pictures);
}

#[test]
fn many_faults_in_one_instant_are_survived() {
    quiet();
    let second = Duration::from_secs(1);
    for seed in 0..20 {
        let at = 10 * second;
        let faults = [
            Fault::Reload(Change::Model),
            Fault::Reload(Change::Camera),
            Fault::Reload(Change::Monitor),
            Fault::DiskSlow(second / 10, second),
            Fault::CameraUnplugged(3 * second),
            Fault::MonitorFails,
            Fault::Starved(Thread::Main, second / 2),
            Fault::ClockBack(3_000_000 * second),
        ];
        let plan = Plan(faults.map(|fault| (at, fault)).to_vec());
        holds(&simulate_plan(seed, 40 * second, &plan, true), "all at once");
    }
}

/// What asks for the truth of outlines is not blind.
#[test]
fn what_does_not_hold_is_told_of() {
    let ms = Duration::from_millis;
    let broken = Rc::new(RefCell::new(Vec::new()));
    let theirs = broken.clone();
    let scheduler = Scheduler::new(1, Chaos::default());
    let end = scheduler.run(ms(60_000), move || {
        let world = World::new(false);
        let mut camera = WorldCamera::new(&world);
        let Event::Lent(lease, _) = camera.next(ms(100), &mut Frame::black(1, 1)) else {
            panic!("a frame comes")
        };
        let view = lease.view();
        let bright = view.planes()[0].bytes.iter().position(|&value| value > 100).unwrap() / 3;
        let corner = ((bright % view.width_px()) as f32, (bright / view.width_px()) as f32);
        let at = |x: f32, y: f32| {
            let outline = [(0.5, 0.5), (3.5, 0.5), (3.5, 3.5), (0.5, 3.5)]
                .map(|(dx, dy)| Point { x: x + dx, y: y + dy });
            vec![Region { outline: outline.to_vec(), ..Region::default() }]
        };
        let mut watch = Watch(world.clone());
        watch.shown(None, &at(corner.0, corner.1));
        theirs.borrow_mut().push(world.broken());
        watch.shown(None, &at(corner.0, 28.0));
        theirs.borrow_mut().push(world.broken());
        runtime::thread::sleep(ms(200));
        let mut monitor = WorldMonitor::new(&world);
        let layer = Layer::new(32, 32);
        let scene = Scene {
            picture: None,
            lease: None,
            layer: &layer,
            placement: Placement::identity(32, 32),
            name: OsStr::new(""),
            captured: runtime::now(),
        };
        monitor.show(&scene).unwrap();
        watch.shown(None, &at(corner.0, corner.1));
        theirs.borrow_mut().push(world.broken());
        runtime::thread::sleep(ms(1000));
        world.look();
        theirs.borrow_mut().push(world.broken());
    });
    assert_eq!(end, End::Done);
    let broken = broken.borrow();
    let counts: Vec<usize> = broken.iter().map(Vec::len).collect();
    assert_eq!(counts, [0, 1, 2, 4], "{broken:?}");
    let words = ["of no frame that the camera gave", "old", "no picture for", "the state file says"];
    assert!(broken[3].iter().zip(words).all(|(line, word)| line.contains(word)), "{broken:?}");
}
