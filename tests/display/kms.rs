//! The display against a card that refuses what the kernel refuses: choices, trouble, and what is given back.

use std::time::{Duration, Instant};

use polyp_edge::display::kms::facts::facts;
use polyp_edge::display::kms::gpu::{FourCc, Gpu};
use polyp_edge::display::kms::{Composition, ModeWish, Wanted};
use polyp_edge::display::{Scene, Shown, Sink};
use polyp_edge::overlay::Layer;
use testing::gpu::{Abilities, CONSOLE, FakeGpu, Flips};

use crate::rig::*;

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
        "HDMI-A-1 on card9 (fake): 64×48 at 60.00 Hz, video directly from the camera's memory, overlay on a plane of its own"
    );
}

#[test]
fn compositions_are_chosen_as_the_hardware_can_and_the_profile_asks() {
    let composition = |can: Abilities, composition: Composition| {
        let mut rig = Rig::with(can, &Wanted { composition, ..Wanted::default() });
        rig.frames(3);
        (rig.gpu.plane_format(false), rig.gpu.plane_format(true))
    };
    let (direct, drawn) = (Some(FourCc::YUYV), Some(FourCc::XRGB8888));
    let over = Some(FourCc::ARGB8888);
    assert_eq!(composition(Abilities::all(), Composition::Auto), (direct, over));
    assert_eq!(composition(Abilities::all(), Composition::Planes), (direct, over));
    assert_eq!(composition(Abilities::all(), Composition::Blend), (drawn, None));
    assert_eq!(
        composition(Abilities { imports: false, ..Abilities::all() }, Composition::Auto),
        (drawn, over)
    );
    assert_eq!(
        composition(Abilities { video: vec![], ..Abilities::all() }, Composition::Auto),
        (drawn, over)
    );
    // Whoever does not say how it reads Y′CbCr may read it wrongly.
    assert_eq!(
        composition(Abilities { colours: false, ..Abilities::all() }, Composition::Auto),
        (drawn, over)
    );
    assert_eq!(composition(Abilities::least(), Composition::Auto), (drawn, None));
    assert_eq!(composition(Abilities::least(), Composition::Planes), (drawn, None));
    // A plane under the video is no overlay.
    assert_eq!(
        composition(Abilities { overlay_depth: Some(0), ..Abilities::all() }, Composition::Auto),
        (drawn, None)
    );
}

#[test]
fn what_the_camera_s_memory_cannot_be_is_asked_once() {
    let mut rig = Rig::with(Abilities { windows: false, ..Abilities::all() }, &Wanted::default());
    rig.camera = camera(1, (40, 40));
    rig.frames(50);
    assert_eq!(rig.gpu.plane_format(false), Some(FourCc::XRGB8888));
    assert_eq!(rig.gpu.counts().imports, 1);
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
fn another_master_comes_and_goes() {
    let mut rig = Rig::new();
    rig.frames(5);
    rig.gpu.take_master();
    assert_eq!(rig.frame().unwrap().0, Shown::Skipped);
    assert_eq!(rig.kms.dark(), Some("another program has taken over card9"));
    for _ in 0..100 {
        assert_eq!(rig.frame().unwrap().0, Shown::Skipped);
    }
    rig.gpu.leave_master();
    rig.gpu.advance(LOOK);
    rig.frames(5);
    assert!(rig.kms.dark().is_none());
    assert_eq!(rig.gpu.counts().removed_while_shown, 0);
}

/// Another program took the card over and left it again, and nobody looked until the end; or nobody had seen that it came.
#[test]
fn the_console_comes_back_where_the_other_master_has_left() {
    for is_seen in [true, false] {
        let mut rig = Rig::new();
        rig.frames(5);
        rig.gpu.take_master();
        if is_seen {
            assert_eq!(rig.frame().unwrap().0, Shown::Skipped);
        }
        rig.gpu.leave_master();
        let gpu = rig.gpu.clone();
        drop(rig);
        assert!(gpu.shows_console(), "seen: {is_seen}");
        assert_eq!((gpu.held(), gpu.counts().removed_while_shown), ((0, 0, 0), 0), "seen: {is_seen}");
    }
}

#[test]
fn a_monitor_whose_console_could_not_be_saved_is_switched_off_at_the_end() {
    let gpu = FakeGpu::new(Abilities::all(), &modes());
    gpu.fail("save", 0, libc::EPERM, 1);
    let mut rig = Rig::try_new(&gpu, &Wanted::default()).unwrap();
    rig.frames(5);
    drop(rig);
    assert!(gpu.lit().is_none());
    assert_eq!((gpu.held(), gpu.counts().removed_while_shown), ((0, 0, 0), 0));
}

#[test]
fn what_cannot_be_opened_says_so() {
    let with = |can: Abilities, wanted: &Wanted, set: &dyn Fn(&FakeGpu)| {
        let gpu = FakeGpu::new(can, &modes());
        set(&gpu);
        line(&Rig::try_new(&gpu, wanted).err().unwrap())
    };
    let told = with(Abilities { atomic: false, ..Abilities::all() }, &Wanted::default(), &|_| ());
    assert!(told.starts_with("/dev/dri/card9 (fake) does not support atomic mode setting"), "{told}");
    let told = with(Abilities::all(), &Wanted::default(), &|gpu| gpu.take_master());
    assert!(told.starts_with("cannot become DRM master on /dev/dri/card9"), "{told}");
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
    assert_eq!(rig.gpu.plane_format(false), Some(FourCc::XRGB8888));
    assert_eq!(rig.gpu.plane_format(true), Some(FourCc::ARGB8888));
    // Planes that fail: blended.
    rig.gpu.fail("commit", 0, libc::ENOSPC, 1);
    assert_eq!(rig.frame().unwrap().0, Shown::Skipped);
    rig.frames(5);
    assert_eq!(rig.gpu.plane_format(true), None);
    assert!(rig.kms.describe().ends_with("overlay blended"));
    // And then all anew, after half a second of darkness.
    rig.gpu.fail("commit", 0, libc::EINVAL, 1);
    assert_eq!(rig.frame().unwrap().0, Shown::Skipped);
    assert!(
        rig.kms.dark().unwrap().starts_with("HDMI-A-1 on card9 cannot show a frame"),
        "{:?}",
        rig.kms.dark()
    );
    rig.gpu.advance(LOOK);
    rig.frames(5);
    assert_eq!(rig.gpu.plane_format(true), Some(FourCc::ARGB8888));
    assert_eq!(rig.gpu.counts().removed_while_shown, 0);

    // The other way about.
    let mut rig =
        Rig::with(Abilities::all(), &Wanted { composition: Composition::Blend, ..Wanted::default() });
    rig.frames(3);
    rig.gpu.fail("commit", 0, libc::EINVAL, 1);
    assert_eq!(rig.frame().unwrap().0, Shown::Skipped);
    rig.frames(5);
    assert_eq!(rig.gpu.plane_format(true), Some(FourCc::ARGB8888));
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
