//! The display against a card that refuses what the kernel refuses: choices, trouble, and what is given back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use polyp_edge::capture::live::BufferId;
use polyp_edge::display::kms::facts::facts;
use polyp_edge::display::kms::gpu::{Fourcc, Gpu, Mode, Status};
use polyp_edge::display::kms::{Kms, ModeWish, Road, Wanted};
use polyp_edge::display::{Scene, Shown, Sink};
use polyp_edge::fault::{Exit, exit_of};
use polyp_edge::frame::{Colour, Matrix, PixelFormat, Range};
use polyp_edge::overlay::Layer;
use testing::gpu::{Abilities, CONSOLE, FakeGpu, Flips, mode};
use testing::lent::{Lent, Shape};

const SIZE: (usize, usize) = (64, 48);
const FRAME: Duration = Duration::from_millis(17);
const LOOK: Duration = Duration::from_millis(500);

fn modes() -> Vec<Mode> {
    vec![mode(64, 48, 60, true), mode(96, 64, 60, false), mode(96, 64, 50, false), mode(32, 32, 60, false)]
}

fn exact(width: u32, height: u32, refresh_hz: Option<f64>) -> ModeWish {
    ModeWish::Exact { width, height, refresh_hz }
}

fn shape(size: (usize, usize)) -> Shape {
    let colour = Colour { matrix: Matrix::Bt709, range: Range::Limited };
    Shape { format: PixelFormat::Yuyv, colour, size, stride: 2 * size.0 }
}

/// A camera of four buffers.
fn camera(queue: u64, size: (usize, usize)) -> Vec<Arc<Lent>> {
    let bytes = vec![99; 2 * size.0 * size.1];
    (0..4).map(|index| Lent::new(shape(size), BufferId { queue, index }, &bytes, true)).collect()
}

struct Rig {
    gpu: FakeGpu,
    kms: Kms<FakeGpu>,
    layer: Layer,
    camera: Vec<Arc<Lent>>,
    next: usize,
}

impl Rig {
    fn try_new(gpu: &FakeGpu, wanted: &Wanted) -> anyhow::Result<Rig> {
        let kms = Kms::with(gpu.clone(), wanted)?;
        Ok(Rig { gpu: gpu.clone(), kms, layer: Layer::default(), camera: camera(1, SIZE), next: 0 })
    }
    fn with(can: Abilities, wanted: &Wanted) -> Rig {
        Rig::try_new(&FakeGpu::new(can, &modes()), wanted).unwrap()
    }
    fn new() -> Rig {
        Rig::with(Abilities::all(), &Wanted::default())
    }

    /// Shows the next picture, if the camera has a buffer left.
    fn show(&mut self) -> anyhow::Result<Shown> {
        let buffer = &self.camera[self.next % self.camera.len()];
        self.next += 1;
        let lease = buffer.lease();
        let view = lease.view();
        let placement = self.kms.place(view.width_px(), view.height_px());
        self.layer.reset(placement.surface.0, placement.surface.1);
        self.layer.blend(self.next % 60, 3, [255, 0, 0], 1.0);
        let captured = self.gpu.now();
        let (layer, lease) = (&self.layer, Some(&lease));
        self.kms.show(&Scene {
            picture: Some(view),
            lease,
            layer,
            placement,
            name: std::ffi::OsStr::new(""),
            captured,
        })
    }

    /// A picture, and the time that it takes; the flips that were told of.
    fn frame(&mut self) -> anyhow::Result<(Shown, Vec<Duration>)> {
        let shown = self.show()?;
        self.gpu.advance(FRAME);
        let mut flips = Vec::new();
        self.kms.tend(&mut |captured, at| flips.push(at - captured))?;
        Ok((shown, flips))
    }
    fn frames(&mut self, count: usize) {
        for _ in 0..count {
            assert_eq!(self.frame().unwrap().0, Shown::Yes);
        }
    }
    fn leases(&self) -> Vec<i64> {
        self.camera.iter().map(|buffer| buffer.leases()).collect()
    }
    fn tend(&mut self) -> anyhow::Result<()> {
        self.kms.tend(&mut |_, _| {})
    }
    fn is_console(&self) -> bool {
        self.gpu.monitor().is_some_and(|(_, _, pixels)| pixels.iter().all(|pixel| *pixel == [CONSOLE; 3]))
    }
}

fn line(error: &anyhow::Error) -> String {
    assert_eq!(exit_of(error), Exit::Device, "{error:#}");
    let line = format!("{error:#}");
    assert!(!line.contains('\n'));
    line
}

#[test]
fn pictures_reach_the_monitor_and_are_reported_once() {
    let mut rig = Rig::new();
    let mut reported = 0;
    for _ in 0..100 {
        let (shown, flips) = rig.frame().unwrap();
        assert_eq!(shown, Shown::Yes);
        reported += flips.len();
        assert!(flips.iter().all(|delay| *delay <= FRAME), "{flips:?}");
    }
    assert_eq!(reported, 100);
    let counts = rig.gpu.counts();
    assert_eq!((counts.flips, counts.modesets, counts.busy), (99, 1, 0));
    let told = rig.kms.describe();
    assert_eq!(
        told,
        "HDMI-A-1 on card9 (fake): 64×48 at 60.00 Hz, video straight from the camera's memory, overlay on a plane of its own"
    );
}

#[test]
fn roads_are_taken_as_the_hardware_can_and_the_profile_asks() {
    let road = |can: Abilities, road: Road| {
        let mut rig = Rig::with(can, &Wanted { road, ..Wanted::default() });
        rig.frames(3);
        (rig.gpu.plane_format(false), rig.gpu.plane_format(true))
    };
    let (direct, drawn) = (Some(Fourcc::YUYV), Some(Fourcc::XRGB8888));
    let over = Some(Fourcc::ARGB8888);
    assert_eq!(road(Abilities::all(), Road::Auto), (direct, over));
    assert_eq!(road(Abilities::all(), Road::Planes), (direct, over));
    assert_eq!(road(Abilities::all(), Road::Blend), (drawn, None));
    assert_eq!(road(Abilities { imports: false, ..Abilities::all() }, Road::Auto), (drawn, over));
    assert_eq!(road(Abilities { video: vec![], ..Abilities::all() }, Road::Auto), (drawn, over));
    // Whoever does not say how it reads Y′CbCr may read it wrongly.
    assert_eq!(road(Abilities { colours: false, ..Abilities::all() }, Road::Auto), (drawn, over));
    assert_eq!(road(Abilities::least(), Road::Auto), (drawn, None));
    assert_eq!(road(Abilities::least(), Road::Planes), (drawn, None));
    // A plane under the video is no overlay.
    assert_eq!(road(Abilities { overlay_depth: Some(0), ..Abilities::all() }, Road::Auto), (drawn, None));
}

#[test]
fn what_the_camera_s_memory_cannot_be_is_asked_once() {
    let mut rig = Rig::with(Abilities { windows: false, ..Abilities::all() }, &Wanted::default());
    rig.camera = camera(1, (40, 40));
    rig.frames(50);
    assert_eq!(rig.gpu.plane_format(false), Some(Fourcc::XRGB8888));
    assert_eq!(rig.gpu.counts().imports, 1);
}

#[test]
fn a_mode_is_chosen_by_wish_and_by_the_camera() {
    let mut rig = Rig::with(
        Abilities::all(),
        &Wanted { modes: vec![ModeWish::Camera, exact(96, 64, Some(50.0))], ..Wanted::default() },
    );
    rig.frames(3);
    assert_eq!(rig.gpu.lit().unwrap().size(), SIZE);
    // Another camera of a size that the monitor does not have, then one that it has.
    rig.camera = camera(2, (40, 40));
    rig.frames(3);
    assert_eq!(rig.gpu.lit().unwrap().to_string(), "96×64 at 50.00 Hz");
    rig.camera = camera(3, (32, 32));
    rig.frames(3);
    assert_eq!(rig.gpu.lit().unwrap().size(), (32, 32));
    let counts = rig.gpu.counts();
    assert_eq!((counts.modesets, counts.removed_while_shown), (3, 0));
    let (handles, framebuffers, blobs) = rig.gpu.held();
    assert!(handles == 0 && framebuffers <= 3 + 3 + 4 && blobs == 1, "{:?}", rig.gpu.held());
}

#[test]
fn a_mode_that_the_hardware_does_not_take_is_passed_over() {
    let mut rig = Rig::with(
        Abilities { most_px: 64 * 48, ..Abilities::all() },
        &Wanted { modes: vec![exact(96, 64, None)], ..Wanted::default() },
    );
    let skipped = (0..10).take_while(|_| rig.frame().unwrap().0 == Shown::Skipped).count();
    assert_eq!(skipped, 1);
    rig.frames(3);
    assert_eq!(rig.gpu.lit().unwrap().size(), SIZE);
}

#[test]
fn a_monitor_without_a_possible_mode_stays_dark_and_is_tried_for_ever() {
    let mut rig = Rig::with(Abilities { most_px: 10, ..Abilities::all() }, &Wanted::default());
    let mut dark = 0;
    for _ in 0..20_000 {
        assert_eq!(rig.frame().unwrap().0, Shown::Skipped, "never an error");
        dark +=
            usize::from(rig.kms.dark().is_some_and(|why| why.contains("takes none of the monitor's modes")));
    }
    assert!(dark > 19_000, "{dark}");
}

#[test]
fn a_flip_that_never_comes_is_waited_for_once_and_briefly() {
    let mut rig = Rig::new();
    rig.frames(5);
    rig.gpu.set_flips(Flips::Hanging);
    assert_eq!(rig.frame().unwrap().0, Shown::Yes);
    for _ in 0..20 {
        let begun = rig.gpu.now();
        assert_eq!(rig.show().unwrap(), Shown::Skipped);
        assert!(rig.gpu.now() - begun <= Duration::from_millis(50));
    }
    let counts = rig.gpu.counts();
    assert!(counts.longest <= Duration::from_millis(50), "{:?}", counts.longest);
    assert_eq!(counts.busy, 19, "the driver is asked again, without waiting");
    assert!(
        rig.leases().iter().sum::<i64>() <= 2,
        "what may be shown, and what is to be: {:?}",
        rig.leases()
    );
    rig.gpu.set_flips(Flips::Done);
    rig.frames(10);
    assert!(rig.kms.dark().is_none());
}

#[test]
fn a_flip_that_nobody_hears_of_is_not_missed_for_long() {
    let mut rig = Rig::new();
    rig.frames(5);
    rig.gpu.set_flips(Flips::Silent);
    let shown = (0..40).filter(|_| rig.frame().unwrap().0 == Shown::Yes).count();
    assert!(shown >= 19, "every second one: {shown}");
    rig.gpu.set_flips(Flips::Done);
    rig.frame().unwrap();
    rig.frame().unwrap();
    rig.frames(10);
    assert_eq!(rig.gpu.counts().removed_while_shown, 0);
}

#[test]
fn a_slow_monitor_is_waited_for() {
    let mut rig = Rig::new();
    rig.frames(2);
    for _ in 0..20 {
        // No time passes between pictures but that which the display takes.
        assert_eq!(rig.show().unwrap(), Shown::Yes);
    }
    let counts = rig.gpu.counts();
    assert_eq!(counts.busy, 0);
    assert!(counts.longest > Duration::from_millis(10) && counts.longest < Duration::from_millis(50));
}

#[test]
fn a_busy_driver_skips_a_picture() {
    let mut rig = Rig::new();
    rig.frames(3);
    for number in [libc::EBUSY, libc::EAGAIN, libc::EINTR] {
        rig.gpu.fail("commit", 0, number, 1);
        assert_eq!(rig.frame().unwrap().0, Shown::Skipped);
        rig.frames(2);
        assert!(rig.kms.dark().is_none());
    }
}

#[test]
fn a_monitor_unplugged_and_back_with_other_modes() {
    let mut rig = Rig::new();
    rig.frames(5);
    rig.gpu.unplug("HDMI-A-1");
    rig.gpu.advance(LOOK);
    assert_eq!(rig.frame().unwrap().0, Shown::Skipped);
    assert_eq!(rig.kms.dark(), Some("no monitor at any connector of card9"));
    assert!(rig.kms.describe().contains("no monitor"));
    assert_eq!(rig.leases(), [0; 4], "the camera has its buffers back");
    assert_eq!(rig.gpu.held(), (0, 0, 0));
    assert_eq!(rig.gpu.counts().removed_while_shown, 0);
    for _ in 0..100 {
        assert_eq!(rig.frame().unwrap().0, Shown::Skipped);
    }
    rig.gpu.plug("HDMI-A-1", &[mode(96, 64, 60, true)]);
    rig.gpu.advance(LOOK);
    rig.tend().unwrap();
    assert_eq!(rig.kms.dark(), None);
    assert_eq!(rig.kms.place(64, 48).surface, (96, 64));
    rig.frames(5);
    assert_eq!(rig.gpu.lit().unwrap().size(), (96, 64));
    // Pictures wait half a second at most.
    rig.gpu.unplug("HDMI-A-1");
    rig.gpu.plug("HDMI-A-1", &modes());
    rig.frames(5);
}

#[test]
fn another_connector_takes_over_unless_one_was_named() {
    let mut rig = Rig::new();
    rig.frames(2);
    rig.gpu.unplug("HDMI-A-1");
    rig.gpu.plug("HDMI-A-2", &modes());
    rig.gpu.advance(LOOK);
    rig.frames(2);
    assert!(rig.kms.describe().starts_with("HDMI-A-2"), "{}", rig.kms.describe());

    let wanted = Wanted { connector: Some("HDMI-A-1".into()), ..Wanted::default() };
    let mut rig = Rig::with(Abilities::all(), &wanted);
    rig.frames(2);
    rig.gpu.unplug("HDMI-A-1");
    rig.gpu.plug("HDMI-A-2", &modes());
    rig.gpu.advance(LOOK);
    assert_eq!(rig.frame().unwrap().0, Shown::Skipped);
    assert_eq!(rig.kms.dark(), Some("no monitor at HDMI-A-1 of card9"));
}

#[test]
fn no_monitor_at_the_start_is_no_error() {
    let gpu = FakeGpu::new(Abilities::all(), &modes());
    gpu.unplug("HDMI-A-1");
    let mut rig = Rig::try_new(&gpu, &Wanted::default()).unwrap();
    assert!(rig.kms.dark().is_some());
    assert_eq!(rig.frame().unwrap().0, Shown::Skipped);
    gpu.plug("HDMI-A-1", &modes());
    gpu.advance(LOOK);
    rig.frames(2);
    assert!(rig.kms.dark().is_none());
}

#[test]
fn a_connector_that_cannot_tell_counts_if_it_is_named() {
    let gpu = FakeGpu::new(Abilities::all(), &modes());
    gpu.set_status("HDMI-A-1", Status::Unknown);
    let named = Wanted { connector: Some("HDMI-A-1".into()), ..Wanted::default() };
    assert!(Rig::try_new(&gpu, &Wanted::default()).unwrap().kms.dark().is_some());
    Rig::try_new(&gpu, &named).unwrap().frames(2);
}

#[test]
fn monitors_are_not_asked_anew_all_the_time() {
    let mut rig = Rig::new();
    rig.frames(600);
    assert_eq!(rig.gpu.counts().probes, 1);
}

#[test]
fn another_master_comes_and_goes() {
    let mut rig = Rig::new();
    rig.frames(5);
    rig.gpu.take_master();
    assert_eq!(rig.frame().unwrap().0, Shown::Skipped);
    assert_eq!(rig.kms.dark(), Some("another program has taken card9"));
    for _ in 0..100 {
        assert_eq!(rig.frame().unwrap().0, Shown::Skipped);
    }
    rig.gpu.leave_master();
    rig.gpu.advance(LOOK);
    rig.frames(5);
    assert!(rig.kms.dark().is_none());
    assert_eq!(rig.gpu.counts().removed_while_shown, 0);
}

#[test]
fn what_cannot_be_opened_says_so() {
    let with = |can: Abilities, wanted: &Wanted, set: &dyn Fn(&FakeGpu)| {
        let gpu = FakeGpu::new(can, &modes());
        set(&gpu);
        line(&Rig::try_new(&gpu, wanted).err().unwrap())
    };
    let told = with(Abilities { atomic: false, ..Abilities::all() }, &Wanted::default(), &|_| ());
    assert!(told.starts_with("/dev/dri/card9 (fake) has no atomic mode setting"), "{told}");
    let told = with(Abilities::all(), &Wanted::default(), &|gpu| gpu.take_master());
    assert!(told.starts_with("not DRM master on /dev/dri/card9"), "{told}");
    let wanted = Wanted { connector: Some("DP-3".into()), ..Wanted::default() };
    let told = with(Abilities::all(), &wanted, &|_| ());
    assert_eq!(told, "no connector DP-3 on /dev/dri/card9: it has HDMI-A-1, HDMI-A-2");
}

#[test]
fn a_card_that_is_pulled_out_is_an_error() {
    let mut rig = Rig::new();
    rig.frames(3);
    rig.gpu.pull_out();
    let error = rig.show().unwrap_err();
    assert!(line(&error).contains("card9"), "{error:#}");
    assert!(rig.tend().is_err());
}

#[test]
fn what_was_shown_before_comes_back() {
    for can in [Abilities::all(), Abilities::least()] {
        let mut rig = Rig::with(can, &Wanted { modes: vec![ModeWish::Camera], ..Wanted::default() });
        assert!(rig.is_console());
        rig.camera = camera(1, (96, 64));
        rig.frames(5);
        assert!(!rig.is_console());
        let camera = rig.camera.clone();
        let gpu = rig.gpu.clone();
        rig.show().unwrap();
        drop(rig);
        let monitor = gpu.monitor().unwrap();
        assert!(monitor.2.iter().all(|pixel| *pixel == [CONSOLE; 3]) && (monitor.0, monitor.1) == SIZE);
        assert_eq!(gpu.plane_format(true), None);
        let counts = gpu.counts();
        assert_eq!((counts.restored, counts.removed_while_shown), (1, 0));
        assert_eq!(gpu.held(), (0, 0, 0));
        assert!(camera.iter().all(|buffer| buffer.leases() == 0));
    }
}

#[test]
fn it_ends_in_time_also_with_a_flip_that_hangs() {
    let mut rig = Rig::new();
    rig.frames(3);
    rig.gpu.set_flips(Flips::Hanging);
    rig.show().unwrap();
    let gpu = rig.gpu.clone();
    drop(rig);
    assert!(gpu.counts().longest <= Duration::from_millis(50));
    assert_eq!(gpu.held(), (0, 0, 0));
}

#[test]
fn a_road_that_fails_on_the_way_is_left_for_the_other() {
    // Memory that can be imported but not flipped to: converted.
    let mut rig = Rig::new();
    rig.frames(3);
    rig.gpu.fail("commit", 0, libc::EINVAL, 1);
    assert_eq!(rig.frame().unwrap().0, Shown::Skipped);
    rig.frames(5);
    assert_eq!(rig.gpu.plane_format(false), Some(Fourcc::XRGB8888));
    assert_eq!(rig.gpu.plane_format(true), Some(Fourcc::ARGB8888));
    // Planes that fail: blended.
    rig.gpu.fail("commit", 0, libc::ENOSPC, 1);
    assert_eq!(rig.frame().unwrap().0, Shown::Skipped);
    rig.frames(5);
    assert_eq!(rig.gpu.plane_format(true), None);
    assert!(rig.kms.describe().ends_with("overlay blended"));
    // And then all anew, after half a second of darkness.
    rig.gpu.fail("commit", 0, libc::EINVAL, 1);
    assert_eq!(rig.frame().unwrap().0, Shown::Skipped);
    assert!(rig.kms.dark().unwrap().starts_with("HDMI-A-1 on card9 shows nothing"), "{:?}", rig.kms.dark());
    rig.gpu.advance(LOOK);
    rig.frames(5);
    assert_eq!(rig.gpu.plane_format(true), Some(Fourcc::ARGB8888));
    assert_eq!(rig.gpu.counts().removed_while_shown, 0);

    // The other way about.
    let mut rig = Rig::with(Abilities::all(), &Wanted { road: Road::Blend, ..Wanted::default() });
    rig.frames(3);
    rig.gpu.fail("commit", 0, libc::EINVAL, 1);
    assert_eq!(rig.frame().unwrap().0, Shown::Skipped);
    rig.frames(5);
    assert_eq!(rig.gpu.plane_format(true), Some(Fourcc::ARGB8888));
}

#[test]
fn nothing_grows_over_thousands_of_pictures() {
    let mut rig = Rig::new();
    rig.frames(20);
    let held = rig.gpu.held();
    for round in 0..100 {
        rig.frames(30);
        assert!(rig.leases().iter().sum::<i64>() <= 2, "{:?}", rig.leases());
        if round % 10 == 9 {
            // The camera was plugged in again.
            let old = std::mem::replace(&mut rig.camera, camera(2 + round, SIZE));
            rig.frames(20);
            assert!(old.iter().all(|buffer| buffer.leases() == 0));
        }
        assert_eq!(rig.gpu.held(), held);
    }
    let counts = rig.gpu.counts();
    assert_eq!((counts.modesets, counts.removed_while_shown, counts.busy), (1, 0, 0));
    assert_eq!(counts.imports, 4 * 11);
}

#[test]
fn a_layer_costs_what_is_drawn() {
    let mut rig = Rig::new();
    rig.frames(10);
    let before = rig.gpu.counts().written;
    rig.frames(10);
    // A block of 64 pixels a picture, in a buffer that held just that.
    assert_eq!(rig.gpu.counts().written - before, 10 * 64 * 4);
}

#[test]
fn a_scene_that_fits_nothing_is_skipped() {
    let mut rig = Rig::new();
    rig.frames(3);
    let layer = Layer::new(3, 3);
    let lease = rig.camera[0].lease();
    let lent = rig.camera[0].lease();
    let good = rig.kms.place(64, 48);
    let bad = [
        polyp_edge::geometry::Placement { surface: (65, 48), ..good },
        polyp_edge::geometry::Placement { frame: (62, 48), ..good },
        polyp_edge::geometry::Placement {
            target: polyp_edge::geometry::Rect { x: 1, y: 0, width: 64, height: 48 },
            ..good
        },
        polyp_edge::geometry::Placement {
            target: polyp_edge::geometry::Rect { x: usize::MAX, y: 0, width: 64, height: 48 },
            ..good
        },
    ];
    for lease in [Some(&lease), None] {
        for placement in bad {
            let picture = Some(lent.view());
            let scene = Scene {
                picture,
                lease,
                layer: &layer,
                placement,
                name: std::ffi::OsStr::new(""),
                captured: Instant::now(),
            };
            assert_eq!(rig.kms.show(&scene).unwrap(), Shown::Skipped, "{placement:?}");
            rig.gpu.advance(FRAME);
        }
    }
    rig.frames(5);
    assert!(rig.kms.dark().is_none());
}

#[test]
fn the_facts_of_a_card() {
    let mut gpu = FakeGpu::new(Abilities::all(), &modes());
    gpu.connector(21, true).unwrap();
    let facts = serde_json::to_value(facts(&mut gpu)).unwrap();
    assert_eq!(facts["driver"], "fake");
    assert_eq!(facts["is_atomic"], true);
    assert_eq!(facts["connectors"][0]["name"], "HDMI-A-1");
    assert_eq!(facts["connectors"][0]["status"], "connected");
    assert_eq!(facts["connectors"][0]["modes"][0]["name"], "64x48@60.00");
    assert_eq!(facts["connectors"][0]["modes"][0]["preferred"], true);
    assert_eq!(facts["planes"][0]["kind"], "primary");
    assert_eq!(facts["planes"][0]["formats"][0], "XR24");
    assert_eq!(facts["planes"][0]["crtcs"], serde_json::json!([0]));
}

const ERRNOS: [i32; 9] = [
    libc::EBUSY,
    libc::EINTR,
    libc::EACCES,
    libc::EINVAL,
    libc::ENOMEM,
    libc::ENOSPC,
    libc::ENOENT,
    libc::EIO,
    libc::ENODEV,
];

/// A day in short: pictures, another camera, the monitor out and in again.
fn day(gpu: &FakeGpu, wanted: &Wanted) -> anyhow::Result<()> {
    let mut rig = Rig::try_new(gpu, wanted)?;
    let step = |rig: &mut Rig, count: usize| -> anyhow::Result<usize> {
        let mut shown = 0;
        for _ in 0..count {
            let waited = rig.gpu.counts().longest;
            assert!(waited <= Duration::from_millis(50), "{waited:?}");
            shown += usize::from(rig.frame()?.0 == Shown::Yes);
        }
        Ok(shown)
    };
    step(&mut rig, 4)?;
    rig.camera = camera(2, (32, 32));
    step(&mut rig, 3)?;
    gpu.unplug("HDMI-A-1");
    gpu.advance(LOOK);
    step(&mut rig, 2)?;
    gpu.plug("HDMI-A-1", &modes());
    gpu.advance(LOOK);
    step(&mut rig, 3)?;
    // Whatever has failed is over: in two seconds all is well again.
    gpu.mend();
    for _ in 0..4 {
        gpu.advance(LOOK);
        step(&mut rig, 2)?;
    }
    gpu.advance(LOOK);
    rig.frame()?;
    let shown = step(&mut rig, 5)?;
    assert!(shown == 5 && rig.kms.dark().is_none(), "{shown} {:?}", rig.kms.dark());
    assert_eq!(gpu.held().0, 0, "handles");
    let camera = rig.camera.clone();
    drop(rig);
    assert!(camera.iter().all(|buffer| buffer.leases() == 0));
    Ok(())
}

/// Each errno at each operation of a day, once and for as long as the trouble lasts.
fn each_failure(wanted: &Wanted, can: &Abilities) {
    let gpu = FakeGpu::new(can.clone(), &modes());
    day(&gpu, wanted).unwrap();
    let operations = gpu.counts().operations;
    assert!(operations > 100, "{operations}");
    let mut errors = 0;
    for number in ERRNOS {
        for at in 0..operations {
            for times in [1, 3, u64::MAX] {
                // Longer troubles at fewer places.
                if times > 1 && at % 7 != 0 {
                    continue;
                }
                let gpu = FakeGpu::new(can.clone(), &modes());
                gpu.fail("any", at, number, times);
                if let Err(error) = day(&gpu, wanted) {
                    line(&error);
                    errors += 1;
                    let opening = at < 30;
                    assert!(number == libc::ENODEV || opening || times > 1, "{error:#} {number} at {at}");
                }
                if times == 1 {
                    assert_eq!(gpu.held(), (0, 0, 0), "errno {number} at {at}");
                }
            }
        }
    }
    assert!(errors > 0);
}

#[test]
fn no_error_at_any_moment_is_more_than_a_dark_monitor_or_a_clear_end_on_planes() {
    each_failure(&Wanted { modes: vec![ModeWish::Camera], ..Wanted::default() }, &Abilities::all());
}

#[test]
fn no_error_at_any_moment_is_more_than_a_dark_monitor_or_a_clear_end_when_blending() {
    let wanted = Wanted { connector: Some("HDMI-A-1".into()), enlarge: true, ..Wanted::default() };
    each_failure(&wanted, &Abilities::least());
}
