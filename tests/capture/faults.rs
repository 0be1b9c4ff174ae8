//! Every error at every call, and whatever else may happen: a camera recovers or says why not, and leaks nothing.

use polyp_edge::capture::live::{Camera, Why};
use polyp_edge::capture::v4l2::camera::*;
use polyp_edge::capture::v4l2::kernel::*;
use polyp_edge::capture::v4l2::{V4l2, Wanted, session};
use polyp_edge::frame::PixelFormat;
use proptest::prelude::*;
use rustix::io::Errno;
use testing::v4l2::*;
use testing::viewer::*;

const ERRNOS: [Errno; 16] = [
    Errno::INTR,
    Errno::AGAIN,
    Errno::NODEV,
    Errno::IO,
    Errno::PIPE,
    Errno::INVAL,
    Errno::BUSY,
    Errno::NOMEM,
    Errno::NOSPC,
    Errno::PERM,
    Errno::ACCESS,
    Errno::NOTTY,
    Errno::TIMEDOUT,
    Errno::NOLINK,
    Errno::NOLCK,
    Errno::RANGE,
];

fn models() -> [Model; 2] {
    let hdmi = Model {
        digital: true,
        buffers: BufferType::Multi,
        formats: vec![FourCc::new(b"NM12")],
        ..Model::default()
    };
    [Model::default(), hdmi]
}

#[test]
fn examining_a_camera_leaves_its_stream_as_it_is() {
    for model in models() {
        let machine = Machine::new(model);
        let mut camera = camera(&machine);
        let mut viewer = Viewer::new(&machine);
        viewer.watch(&mut camera, ms(500));
        let changes = || {
            let calls = [
                "VIDIOC_S_FMT",
                "VIDIOC_S_INPUT",
                "VIDIOC_S_PARM",
                "VIDIOC_S_DV_TIMINGS",
                "VIDIOC_STREAMOFF",
            ];
            calls.map(|call| machine.calls(call))
        };
        let (format, before) = (machine.format(), changes());
        let examine =
            |wanted: &Wanted| session::examine(&mut machine.clone(), wanted).map_err(|trouble| trouble.why);
        let fits = wanted(&[PixelFormat::Yuyv, PixelFormat::Nv12]);
        assert_eq!(examine(&Wanted { input: Some(7), ..fits.clone() }), Ok(()), "its input is not changed");
        assert_eq!(examine(&wanted(&[PixelFormat::Bgr24])), Err(Why::Unsuitable));
        let elsewhere = Wanted { device: Some("/dev/video99".into()), ..fits };
        assert_eq!(examine(&elsewhere), Err(Why::NoDevice));
        assert_eq!((machine.format(), changes()), (format, before));
        let from = machine.elapsed();
        viewer.watch(&mut camera, ms(1000));
        assert!(viewer.picture_after(from).is_some());
        viewer.finish(camera);
    }
}

#[test]
fn one_error_at_any_call_at_any_time_is_got_over() {
    for model in models() {
        for call in CALLS {
            for errno in ERRNOS {
                // At the first call of its kind, the third, and one of many while it streams.
                for after in [0, 2, 40] {
                    let machine = Machine::new(model.clone());
                    let mut camera = camera(&machine);
                    let mut viewer = Viewer::new(&machine);
                    machine.fail(call, errno, after, 1);
                    viewer.watch(&mut camera, ms(1500));
                    let first = viewer.picture_after(ms(0)).unwrap();
                    assert!(first <= RECOVERS_WITHIN, "{call} {errno:?}: {first:?}");
                    let count = viewer.pictures.len();
                    assert!(count >= 40, "{call} {errno:?} after {after}: {count} pictures of 75");
                    assert!(viewer.pictures.last().unwrap().0 >= ms(1450), "{call} {errno:?}");
                    viewer.finish(camera);
                }
            }
        }
    }
}

#[test]
fn an_error_that_stays_is_reported_and_over_when_it_is() {
    let (from, until) = (ms(500), ms(4000));
    for model in models() {
        for call in CALLS {
            for errno in ERRNOS {
                for from in [ms(0), from] {
                    let machine = Machine::new(model.clone());
                    let mut camera = camera(&machine);
                    let mut viewer = Viewer::new(&machine);
                    machine.at(from, Act::Fail(call, errno, u64::MAX));
                    machine.at(until, Act::Mend);
                    // Something that makes it use the calls of its beginning.
                    machine.at(from + ms(500), Act::QueueError);
                    machine.at(from + ms(1000), Act::Unplug);
                    machine.at(from + ms(1200), Act::Replug);
                    viewer.watch(&mut camera, until + RECOVERS_WITHIN);
                    let back = viewer.picture_after(until).unwrap_or_else(|| {
                        panic!("{call} {errno:?} from {from:?}: never back: {:?}", viewer.absences)
                    });
                    assert!(back <= until + RECOVERS_WITHIN, "{call} {errno:?}: {back:?}");
                    viewer.finish(camera);
                }
            }
        }
    }
}

#[test]
fn what_is_met_is_told_in_the_words_of_its_cause() {
    for (call, errno, why) in [
        ("open", Errno::ACCESS, Why::Denied),
        ("open", Errno::PERM, Why::Denied),
        ("open", Errno::BUSY, Why::Busy),
        ("open", Errno::NOENT, Why::NoDevice),
        ("open", Errno::NODEV, Why::NoDevice),
        ("open", Errno::MFILE, Why::Failing),
        ("VIDIOC_QUERYCAP", Errno::NOTTY, Why::Unsuitable),
        ("VIDIOC_S_FMT", Errno::BUSY, Why::Busy),
        ("VIDIOC_REQBUFS", Errno::BUSY, Why::Busy),
        ("VIDIOC_REQBUFS", Errno::INVAL, Why::Unsuitable),
        ("VIDIOC_REQBUFS", Errno::NOMEM, Why::Failing),
        ("mmap", Errno::NOMEM, Why::Failing),
        ("VIDIOC_STREAMON", Errno::NOSPC, Why::Failing),
        ("VIDIOC_STREAMON", Errno::PIPE, Why::Failing),
        ("VIDIOC_QUERY_DV_TIMINGS", Errno::NOLINK, Why::NoSignal),
        ("VIDIOC_QUERY_DV_TIMINGS", Errno::NOLCK, Why::NoSync),
        ("VIDIOC_QUERY_DV_TIMINGS", Errno::RANGE, Why::NoSync),
        ("VIDIOC_S_DV_TIMINGS", Errno::INVAL, Why::NoSync),
        ("VIDIOC_S_DV_TIMINGS", Errno::BUSY, Why::Busy),
    ] {
        let model = Model { digital: true, ..Model::default() };
        let machine = Machine::new(model);
        machine.fail(call, errno, 0, u64::MAX);
        let mut camera = camera(&machine);
        let mut viewer = Viewer::new(&machine);
        viewer.watch(&mut camera, ms(1200));
        assert_eq!(viewer.absences.len(), 1, "{call} {errno:?}: {:?}", viewer.absences);
        let Told(when, told, detail) = &viewer.absences[0];
        assert_eq!(*told, why, "{call} {errno:?}: {detail}");
        assert!(*when < ms(20), "{when:?}");
        assert!(detail.contains(call) && detail.contains(STABLE), "{detail}");
        assert!(!detail.contains('\n'));
        // Twice a second, not more often.
        assert!(machine.calls("open") <= 3, "{} calls", machine.calls("open"));
        viewer.finish(camera);
    }
}

fn errno() -> impl Strategy<Value = Errno> {
    prop::sample::select(&ERRNOS[..])
}

fn act() -> impl Strategy<Value = Act> {
    let call = prop::sample::select(&CALLS[..]);
    let signal = prop_oneof![
        (2u32..20, 2u32..20).prop_map(|(w, h)| Signal::Source(timings(8 * w, 2 * h))),
        (errno(), prop::sample::select(vec![0u32, 1, 2, 0x10000]), 0u32..2)
            .prop_map(|(errno, status, cables)| Signal::None { errno, status, cables }),
    ];
    prop_oneof![
        1 => Just(Act::Unplug),
        2 => Just(Act::Replug),
        1 => any::<bool>().prop_map(Act::Stall),
        2 => signal.prop_map(Act::Signal),
        4 => (prop::sample::select(&QUIRKS[..]), 1u32..80).prop_map(|(quirk, count)| Act::Quirk(quirk, count)),
        1 => Just(Act::QueueError),
        1 => Just(Act::SpuriousEvent),
        6 => (call, errno(), prop_oneof![1u64..4, 20u64..200, Just(u64::MAX)])
            .prop_map(|(call, errno, times)| Act::Fail(call, errno, times)),
        1 => Just(Act::Mend),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn whatever_happens_it_recovers_or_reports_and_leaks_nothing(
        acts in prop::collection::vec((0u64..6000, act()), 0..12),
        digital: bool,
        orphans: bool,
        multi: bool,
        hold in 0usize..5,
        least_queued in 1usize..3,
        padding in 0u32..9,
    ) {
        let buffers = if multi { BufferType::Multi } else { BufferType::Single };
        let formats = vec![FourCc::new(if multi { b"NM12" } else { b"YUYV" })];
        let sizes = vec![Sizes::Range { min: (2, 2), max: (4096, 4096), step: (2, 2) }];
        let model =
            Model { digital, orphans, buffers, formats, sizes, least_queued, padding, ..Model::default() };
        let machine = Machine::new(model);
        let mut camera = V4l2::with(machine.clone(), wanted(&[PixelFormat::Yuyv, PixelFormat::Nv12]));
        let mut viewer = Viewer::new(&machine);
        // A driver that needs two to go on gets them.
        viewer.hold = hold.min(5 - least_queued);
        // Where the kernel frees no buffers that are mapped, whoever keeps a picture keeps the device.
        viewer.lets_go = !orphans;
        for (time, act) in acts {
            machine.at(ms(time), act);
        }
        // Then all is well again.
        let well = ms(6000);
        for act in [Act::Mend, Act::Stall(false), Act::Replug, Act::Signal(Signal::Source(timings(16, 8)))] {
            machine.at(well, act);
        }
        viewer.watch(&mut camera, ms(14_000));
        prop_assert!(viewer.pictures.last().is_some_and(|last| last.0 > ms(13_900)), "{:?}", viewer.absences);
        let counts = camera.counts();
        prop_assert_eq!(counts.pictures, viewer.pictures.len() as u64);
        viewer.finish(camera);
    }
}
