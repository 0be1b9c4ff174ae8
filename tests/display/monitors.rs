//! Which mode is set at which monitor, and monitors that come and go.

use polyp_edge::display::kms::gpu::Status;
use polyp_edge::display::kms::{ModeWish, Wanted};
use polyp_edge::display::{Shown, Sink};
use testing::gpu::{Abilities, FakeGpu, mode};

use crate::rig::*;

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
            usize::from(rig.kms.dark().is_some_and(|why| why.contains("refuses all of the monitor's modes")));
    }
    assert!(dark > 19_000, "{dark}");
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
