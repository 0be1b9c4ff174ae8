//! A camera's life: plugging, stalls, signals, other programs.

use polyp_edge::capture::live::{Camera, Event, Why};
use polyp_edge::capture::v4l2::V4l2;
use polyp_edge::capture::v4l2::camera::*;
use polyp_edge::capture::v4l2::facts::{DeviceRole, probe_with};
use polyp_edge::capture::v4l2::kernel::*;
use polyp_edge::frame::{Frame, PixelFormat};
use rustix::io::Errno;
use testing::v4l2::*;
use testing::viewer::*;

#[test]
fn a_camera_that_is_unplugged_is_found_again_by_its_name() {
    for hold in [0, 2, 4] {
        for orphans in [true, false] {
            let machine = Machine::new(Model { orphans, ..Model::default() });
            let mut camera = camera(&machine);
            let mut viewer = Viewer::new(&machine);
            viewer.hold = hold;
            machine.at(ms(1000), Act::Unplug);
            machine.at(ms(5000), Act::Replug);
            viewer.watch(&mut camera, ms(4900));
            let Told(when, why, detail) = viewer.absences.first().unwrap().clone();
            assert_eq!(why, Why::Unplugged, "{detail}");
            assert!(when < ms(1100), "{when:?}");
            assert!(detail.contains(STABLE), "{detail}");
            let Event::Absent(absence) = camera.next(ms(1), &mut Frame::black(1, 1)) else { panic!() };
            assert!((6..=9).contains(&absence.attempts), "{}", absence.attempts);
            viewer.watch(&mut camera, ms(8000));
            let back = viewer.picture_after(ms(5000)).unwrap();
            assert!(back <= ms(5000) + RECOVERS_WITHIN, "{back:?}");
            assert!(viewer.absences.iter().all(|told| told.1 == Why::Unplugged), "{:?}", viewer.absences);
            assert_eq!(camera.counts().restarts, 1);
            viewer.finish(camera);
        }
    }
}

#[test]
fn a_camera_that_is_not_there_is_waited_for() {
    for device in [Some(STABLE.to_string()), None] {
        let machine = Machine::new(Model::default());
        machine.act(Act::Unplug);
        machine.at(ms(3000), Act::Replug);
        let wanted = polyp_edge::capture::v4l2::Wanted { device, ..wanted(&[PixelFormat::Yuyv]) };
        let mut camera = V4l2::with(machine.clone(), wanted);
        let mut viewer = Viewer::new(&machine);
        viewer.watch(&mut camera, ms(6000));
        assert_eq!(viewer.absences.len(), 1);
        assert_eq!(viewer.absences[0].1, Why::NoDevice);
        assert!(viewer.absences[0].0 < ms(10));
        assert!(viewer.picture_after(ms(3000)).unwrap() <= ms(3000) + RECOVERS_WITHIN);
        assert!(camera.granted().contains("16×8 YUYV, 50 a second"), "{}", camera.granted());
        viewer.finish(camera);
    }
}

#[test]
fn a_stall_is_reported_and_mended() {
    for held in [0, 2] {
        let machine = Machine::new(Model::default());
        let mut camera = camera(&machine);
        let mut viewer = Viewer::new(&machine);
        viewer.hold = held;
        machine.at(ms(1000), Act::Stall(true));
        machine.at(ms(6000), Act::Stall(false));
        viewer.watch(&mut camera, ms(9000));
        let Told(when, why, detail) = &viewer.absences[0];
        assert_eq!(*why, Why::Stalled, "{detail}");
        assert!(*when <= ms(1000) + STALLED_AFTER + ms(30), "{when:?}");
        assert!(viewer.picture_after(ms(6000)).unwrap() <= ms(6000) + RECOVERS_WITHIN);
        // Started anew with the same buffers first, opened again after that.
        assert!(machine.calls("open") >= 2 && machine.calls("VIDIOC_STREAMON") > machine.calls("open"));
        assert_eq!(viewer.absences.len(), 1, "{:?}", viewer.absences);
        viewer.finish(camera);
    }
}

#[test]
fn a_queue_error_is_mended_at_once() {
    let machine = Machine::new(Model::default());
    let mut camera = camera(&machine);
    let mut viewer = Viewer::new(&machine);
    machine.at(ms(1000), Act::QueueError);
    viewer.watch(&mut camera, ms(2000));
    assert_eq!((viewer.absences.len(), camera.counts().restarts), (0, 1));
    assert!(viewer.picture_after(ms(1001)).unwrap() < ms(1060));
    viewer.finish(camera);
}

fn digital() -> Model {
    Model {
        digital: true,
        sizes: vec![Sizes::Range { min: (16, 8), max: (4096, 2160), step: (2, 2) }],
        ..Model::default()
    }
}

#[test]
fn a_lost_signal_is_told_from_a_cable_that_is_not_in() {
    let none = |errno, status, cables| Signal::None { errno, status, cables };
    for (signal, why) in [
        (none(Errno::NOLINK, 0, 1), Why::NoSignal),
        (none(Errno::NOLINK, 0, 0), Why::NoCable),
        (none(Errno::NOLINK, 1, 1), Why::NoCable),
        (none(Errno::NODATA, 2, 1), Why::NoSignal),
        (none(Errno::NOLCK, 0, 1), Why::NoSync),
        (none(Errno::NODATA, 0x10000, 1), Why::NoSync),
        (none(Errno::RANGE, 0, 1), Why::NoSync),
        (Signal::Source(Timings::default()), Why::NoSignal),
    ] {
        for at_start in [false, true] {
            let machine = Machine::new(digital());
            let mut camera = camera(&machine);
            let mut viewer = Viewer::new(&machine);
            let lost = if at_start { ms(0) } else { ms(1000) };
            machine.at(lost, Act::Signal(signal));
            machine.at(ms(4000), Act::Signal(Signal::Source(timings(16, 8))));
            viewer.watch(&mut camera, ms(6000));
            assert_eq!(viewer.absences.len(), 1, "{signal:?}: {:?}", viewer.absences);
            assert_eq!(viewer.absences[0].1, why, "{:?}", viewer.absences);
            assert!(viewer.absences[0].0 <= lost + SIGNAL_EVERY + ms(20), "{:?}", viewer.absences);
            // The event wakes it.
            assert!(viewer.picture_after(ms(4000)).unwrap() <= ms(4100));
            assert_eq!(machine.calls("open"), 1);
            viewer.finish(camera);
        }
    }
}

#[test]
fn another_source_is_negotiated_anew() {
    let machine = Machine::new(digital());
    let mut camera = camera(&machine);
    let mut viewer = Viewer::new(&machine);
    viewer.watch(&mut camera, ms(1000));
    assert_eq!(viewer.lease().unwrap().view().width_px(), 16);
    machine.act(Act::Signal(Signal::Source(timings(64, 48))));
    viewer.watch(&mut camera, ms(2000));
    let view = viewer.lease().unwrap().view();
    assert_eq!((view.width_px(), view.height_px()), (64, 48));
    assert_eq!(viewer.absences, []);
    assert!(viewer.picture_after(ms(1001)).unwrap() < ms(1100));
    // Without an event: it is looked at.
    let before = machine.elapsed();
    machine.fail("VIDIOC_DQEVENT", Errno::NOENT, 0, u64::MAX);
    machine.act(Act::Signal(Signal::Source(timings(32, 16))));
    viewer.watch(&mut camera, before + ms(1500));
    assert_eq!(viewer.lease().unwrap().view().width_px(), 32);
    viewer.finish(camera);
}

#[test]
fn events_without_end_do_not_keep_it_from_anything() {
    let machine = Machine::new(digital());
    let mut camera = camera(&machine);
    let mut viewer = Viewer::new(&machine);
    for time in 0..4000 {
        machine.at(ms(1000 + time), Act::SpuriousEvent);
    }
    viewer.watch(&mut camera, ms(8000));
    assert!(viewer.picture_after(ms(5000)).unwrap() <= ms(5000) + RECOVERS_WITHIN);
    viewer.finish(camera);
}

#[test]
fn a_device_that_another_program_has_is_busy() {
    let machine = Machine::new(Model::default());
    let mut first = camera(&machine);
    let mut looking = Viewer::new(&machine);
    looking.watch(&mut first, ms(200));
    let mut second = camera(&machine);
    let mut viewer = Viewer::new(&machine);
    viewer.watch(&mut second, ms(1500));
    assert_eq!(viewer.absences[0].1, Why::Busy, "{:?}", viewer.absences);
    drop((first, looking));
    viewer.watch(&mut second, ms(3000));
    assert!(viewer.pictures.len() > 20);
    viewer.finish(second);
}

#[test]
fn what_there_is_can_be_read() {
    let mut machine = Machine::new(digital());
    let facts = probe_with(&mut machine);
    assert_eq!(facts.len(), 1);
    let camera = &facts[0];
    assert_eq!((camera.kind, camera.multi_planar, &camera.error), (DeviceRole::Capture, false, &None));
    assert_eq!((camera.driver.as_str(), camera.card.as_str()), ("fake", "Fake camera"));
    assert_eq!(camera.receives.as_deref(), Some("16×8p50.00"));
    assert_eq!(camera.inputs.len(), 1);
    assert!(camera.inputs[0].digital && camera.inputs[0].selected && camera.inputs[0].status == "ok");
    assert_eq!(camera.formats[0].sizes[0].size, "16×8 to 4096×2160");
    assert_eq!(camera.formats[0].sizes[0].rates_hz, [50.0]);
    assert_eq!(camera.has_edid, Some(true));
    assert!(serde_json::to_string(camera).unwrap().contains("\"kind\":\"capture\""));
    let unset = Model { edid_blocks: 0, ..digital() };
    assert_eq!(probe_with(&mut Machine::new(unset))[0].has_edid, Some(false));
    assert_eq!(probe_with(&mut Machine::new(Model::default()))[0].has_edid, None);
    machine.fail("VIDIOC_QUERYCAP", Errno::IO, 0, 1);
    assert!(probe_with(&mut machine)[0].error.as_ref().unwrap().contains("VIDIOC_QUERYCAP"));
    assert_eq!(machine.left(), (0, 0, 0));
}
