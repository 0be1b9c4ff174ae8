//! What must hold is asked for by code that is not blind.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::rc::Rc;
use std::time::Duration;

use polyp_edge::capture::live::{Camera, Event};
use polyp_edge::cart::Notice;
use polyp_edge::detect::Region;
use polyp_edge::display::{Scene, Sink};
use polyp_edge::frame::Frame;
use polyp_edge::geometry::{Placement, Point};
use polyp_edge::overlay::Layer;
use polyp_edge::pipeline::{Observer, Status};
use polyp_edge::runtime;
use polyp_edge::state::{Reason, State};
use polyp_edge::thermal::Step;
use testing::simulation::camera::WorldCamera;
use testing::simulation::monitor::WorldMonitor;
use testing::simulation::plan::Fault;
use testing::simulation::scheduler::{Chaos, End, Scheduler};
use testing::simulation::world::{Watch, World};

/// What asks for the truth of signs of life is not blind.
#[test]
fn a_false_sign_of_life_and_a_missing_one_are_told_of() {
    let second = Duration::from_secs(1);
    let broken = Rc::new(RefCell::new(Vec::new()));
    let theirs = broken.clone();
    let scheduler = Scheduler::new(1, Chaos::default());
    let end = scheduler.run(60 * second, move || {
        let world = World::new(false, false);
        let mut watch = Watch(world.clone());
        runtime::thread::sleep(second / 2);
        world.was_told(&Notice::Alive);
        theirs.borrow_mut().push(world.broken());
        runtime::thread::sleep(second);
        world.was_told(&Notice::Alive);
        theirs.borrow_mut().push(world.broken());
        watch.turned();
        world.was_told(&Notice::Alive);
        theirs.borrow_mut().push(world.broken());
        world.look_at_notices();
        theirs.borrow_mut().push(world.broken());
        runtime::thread::sleep(5 * second);
        world.look();
        theirs.borrow_mut().push(world.broken());
    });
    assert_eq!(end, End::Done);
    let broken = broken.borrow();
    let counts: Vec<usize> = broken.iter().map(Vec::len).collect();
    assert_eq!(counts[..4], [0, 1, 1, 2], "{broken:?}");
    assert!(broken[1][0].contains("the display stood still for 1.5"), "{broken:?}");
    assert!(broken[4].iter().any(|line| line.contains("would have ended a run")), "{broken:?}");
}

/// What asks for the truth of outlines is not blind.
#[test]
fn what_does_not_hold_is_told_of() {
    let ms = Duration::from_millis;
    let broken = Rc::new(RefCell::new(Vec::new()));
    let theirs = broken.clone();
    let scheduler = Scheduler::new(1, Chaos::default());
    let end = scheduler.run(ms(60_000), move || {
        let world = World::new(false, false);
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

/// Nor is what asks for the steps against heat.
#[test]
fn a_computer_that_stays_hot_or_cool_without_its_step_is_told_of() {
    let second = Duration::from_secs(1);
    let broken = Rc::new(RefCell::new(Vec::new()));
    let theirs = broken.clone();
    let scheduler = Scheduler::new(1, Chaos::default());
    let end = scheduler.run(1000 * second, move || {
        let world = World::new(false, false);
        let mut watch = Watch(world.clone());
        let mut tell = |step| {
            let state = if step == Step::Off { State::Degraded(Reason::Hot) } else { State::Assist };
            watch.status(&Status {
                state: &state,
                since: runtime::wall_clock(),
                heat: step,
                shown: 0,
                with_regions: 0,
                dark: None,
                feed: "",
                display: "",
            });
        };
        let told = |words: &str| {
            world.look();
            let told = world.broken().iter().filter(|line| line.contains(words)).count();
            theirs.borrow_mut().push((words.to_owned(), told));
        };
        tell(Step::None);
        world.happens(Fault::Heat(90, Duration::ZERO, 20 * second), second);
        told("too hot");
        runtime::thread::sleep(5 * second);
        told("too hot");
        runtime::thread::sleep(2 * second);
        told("too hot");
        tell(Step::Off);
        told("too hot");
        runtime::thread::sleep(12 * second);
        told("cooler for long");
        runtime::thread::sleep(65 * second);
        told("cooler for long");
        runtime::thread::sleep(10 * second);
        told("cooler for long");
        tell(Step::Fewer);
        told("cool for long");
        runtime::thread::sleep(150 * second);
        told("cool for long");
    });
    assert_eq!(end, End::Done);
    let counts: Vec<bool> = broken.borrow().iter().map(|(_, told)| *told > 0).collect();
    assert_eq!(counts, [false, false, true, true, false, false, true, false, true], "{broken:?}");
}
