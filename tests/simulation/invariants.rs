//! What must hold is asked for by code that is not blind.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::rc::Rc;
use std::time::Duration;

use polyp_edge::bundle::manifest;
use polyp_edge::capture::live::{Camera, Event};
use polyp_edge::cart::Notice;
use polyp_edge::control::Answer;
use polyp_edge::detect::Region;
use polyp_edge::display::{Scene, Sink};
use polyp_edge::frame::{Frame, FrameNumber};
use polyp_edge::geometry::{Placement, Point};
use polyp_edge::overlay::Layer;
use polyp_edge::pipeline::{Drawn, Observer, Picture, Status};
use polyp_edge::runtime;
use polyp_edge::runtime::channel::channel;
use polyp_edge::state::{Reason, State};
use polyp_edge::thermal::Step;
use polyp_edge::track::{Gate, Rule, Shown};
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

/// Tells of a picture on which these regions are drawn.
fn shows(watch: &mut Watch, regions: &[Region]) {
    let (mut gate, mut shown) =
        (Gate::new(&Rule::of(manifest::Gate { appear: 1, window: 1 })), Shown::default());
    let now = runtime::now();
    gate.update(regions, now, &mut shown);
    assert_eq!(shown.list().len(), regions.len());
    watch.shown(&Picture {
        number: FrameNumber(0),
        name: OsStr::new(""),
        size_px: (32, 32),
        at: now,
        drawn_at: now,
        truth: None,
        state: &State::Assist,
        result: Some(Drawn { number: FrameNumber(0), at: now, found: regions, shown: &shown }),
    });
}

/// What asks whether outlines are off is not blind.
#[test]
fn outlines_that_stay_and_orders_without_an_answer_are_told_of() {
    let ms = Duration::from_millis;
    let broken = Rc::new(RefCell::new(Vec::new()));
    let theirs = broken.clone();
    let scheduler = Scheduler::new(1, Chaos::default());
    let end = scheduler.run(ms(120_000), move || {
        let world = World::new(false, false);
        let (sender, orders) = channel();
        world.takes_orders(sender);
        world.happens(Fault::OutlinesOff(ms(10_000)), Duration::ZERO);
        let request = orders.recv().unwrap();
        request.answer.unwrap().send(Answer::outlines(false)).unwrap();
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
        let mut watch = Watch(world.clone());
        shows(&mut watch, &[]);
        theirs.borrow_mut().push(world.broken());
        let outline = [(0.5, 0.5), (3.5, 0.5), (3.5, 3.5)].map(|(x, y)| Point { x, y }).to_vec();
        shows(&mut watch, &[Region { outline, ..Region::default() }]);
        theirs.borrow_mut().push(world.broken());
        // The next order is heard by nobody.
        world.happens(Fault::OutlinesOff(ms(1)), Duration::ZERO);
        runtime::thread::sleep(ms(60_000));
        theirs.borrow_mut().push(world.broken());
        drop(orders);
    });
    assert_eq!(end, End::Done);
    let broken = broken.borrow();
    let told = |step: usize, words: &str| broken[step].iter().any(|line| line.contains(words));
    assert!(broken[0].is_empty() && told(1, "after they were switched off"), "{broken:?}");
    assert!(!told(1, "was not answered") && told(2, "was not answered"), "{broken:?}");
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
        shows(&mut watch, &at(corner.0, corner.1));
        theirs.borrow_mut().push(world.broken());
        shows(&mut watch, &at(corner.0, 28.0));
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
        shows(&mut watch, &at(corner.0, corner.1));
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
