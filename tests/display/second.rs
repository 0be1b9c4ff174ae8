//! A second monitor at the same card: it shows the same pictures, and whatever ails it leaves the first one alone.

use std::ffi::OsStr;

use polyp_edge::display::kms::gpu::Gpu;
use polyp_edge::display::kms::{Kms, Wanted};
use polyp_edge::display::{Scene, Shown, Sink};
use polyp_edge::overlay::Layer;
use testing::gpu::{Abilities, FakeGpu, mode};

use crate::rig::*;

fn wanted() -> Wanted {
    Wanted {
        connector: Some("HDMI-A-1".into()),
        second: Some("HDMI-A-2".into()),
        enlarge: true,
        ..Wanted::default()
    }
}

fn card(second: &[polyp_edge::display::kms::gpu::Mode]) -> FakeGpu {
    let gpu = FakeGpu::new(Abilities { second: true, ..Abilities::all() }, &modes());
    if !second.is_empty() {
        gpu.plug("HDMI-A-2", second);
    }
    gpu
}

/// Shows a picture of the first one's camera on the second one, without a layer.
fn show(sink: &mut dyn Sink, gpu: &FakeGpu, rig: &Rig) -> anyhow::Result<Shown> {
    let lease = rig.camera[0].lease();
    let view = lease.view();
    let placement = sink.place(view.width_px(), view.height_px());
    let layer = Layer::new(placement.surface.0, placement.surface.1);
    let captured = gpu.now();
    let scene =
        Scene { picture: Some(view), lease: None, layer: &layer, placement, name: OsStr::new(""), captured };
    let shown = sink.show(&scene)?;
    gpu.advance(FRAME);
    sink.tend(&mut |_| {})?;
    Ok(shown)
}

#[test]
fn both_monitors_show_the_picture_each_in_its_own_mode() {
    let gpu = card(&[mode(96, 96, 60, true)]);
    let mut rig = Rig::try_new(&gpu, &wanted()).unwrap();
    let mut second = rig.kms.take_second().unwrap();
    assert!(rig.kms.take_second().is_none(), "it is given once");
    let theirs = gpu.second().unwrap();
    rig.frames(3);
    for _ in 0..3 {
        assert_eq!(show(&mut *second, &theirs, &rig).unwrap(), Shown::Yes);
    }
    assert!(second.describe().starts_with("HDMI-A-2 on card9"), "{}", second.describe());
    assert_eq!(gpu.lit().unwrap().size(), SIZE);
    let (width, height, picture) = theirs.monitor().unwrap();
    assert_eq!((width, height), (96, 96));
    assert!(picture.iter().any(|pixel| *pixel != [0; 3]), "it is not black");
    assert!(!theirs.shows_console());
    // Both give back what they held, and their consoles come back.
    drop(second);
    drop(rig);
    assert_eq!(gpu.held(), (0, 0, 0));
    assert!(gpu.shows_console());
}

#[test]
fn a_second_monitor_comes_and_goes_while_the_first_one_goes_on() {
    let gpu = card(&[]);
    let mut rig = Rig::try_new(&gpu, &wanted()).unwrap();
    let mut second = rig.kms.take_second().unwrap();
    let theirs = gpu.second().unwrap();
    rig.frames(2);
    assert_eq!(show(&mut *second, &theirs, &rig).unwrap(), Shown::Skipped);
    assert_eq!(second.dark(), Some("no monitor at HDMI-A-2 of card9"));
    theirs.plug("HDMI-A-2", &modes());
    theirs.advance(LOOK);
    second.tend(&mut |_| {}).unwrap();
    assert_eq!(show(&mut *second, &theirs, &rig).unwrap(), Shown::Yes);
    let modesets = gpu.counts().modesets;
    theirs.unplug("HDMI-A-2");
    theirs.advance(LOOK);
    assert_eq!(show(&mut *second, &theirs, &rig).unwrap(), Shown::Skipped);
    rig.frames(20);
    assert_eq!(gpu.counts().modesets, modesets, "the first one was not switched");
}

#[test]
fn a_second_monitor_that_cannot_be_leaves_the_first_one() {
    for can in [
        Abilities::all(),
        Abilities { second: true, ..Abilities::least() },
        Abilities { second: true, ..Abilities::all() },
    ] {
        let can_second = can.second;
        let gpu = FakeGpu::new(can, &modes());
        if can_second {
            gpu.fail("lease", 0, libc::EOPNOTSUPP, 1);
        }
        let mut rig = Rig::try_new(&gpu, &wanted()).unwrap();
        assert!(rig.kms.take_second().is_none());
        rig.frames(5);
        assert_eq!(gpu.lit().unwrap().size(), SIZE);
    }
    // A connector that there is not.
    let gpu = card(&[]);
    let wanted = Wanted { second: Some("DP-7".into()), ..wanted() };
    let mut rig = Rig::try_new(&gpu, &wanted).unwrap();
    assert!(rig.kms.take_second().is_none());
    rig.frames(5);
}

#[test]
fn another_master_has_both_and_gives_both_back() {
    let gpu = card(&modes());
    let mut rig = Rig::try_new(&gpu, &wanted()).unwrap();
    let mut second = rig.kms.take_second().unwrap();
    let theirs = gpu.second().unwrap();
    rig.frames(2);
    assert_eq!(show(&mut *second, &theirs, &rig).unwrap(), Shown::Yes);
    gpu.take_master();
    for _ in 0..3 {
        assert_eq!(rig.frame().unwrap().0, Shown::Skipped);
        assert_eq!(show(&mut *second, &theirs, &rig).unwrap(), Shown::Skipped);
    }
    assert_eq!(second.dark(), Some("another program has taken over card9"));
    gpu.leave_master();
    gpu.advance(LOOK);
    rig.tend().unwrap();
    rig.frames(3);
    theirs.advance(LOOK);
    second.tend(&mut |_| {}).unwrap();
    assert_eq!(show(&mut *second, &theirs, &rig).unwrap(), Shown::Yes);
    assert_eq!(second.dark(), None);
}

#[test]
fn a_display_that_is_opened_anew_has_a_second_monitor_of_its_own() {
    let gpu = card(&modes());
    let mut rig = Rig::try_new(&gpu, &wanted()).unwrap();
    let mut former = rig.kms.take_second().unwrap();
    let theirs = gpu.second().unwrap();
    rig.frames(1);
    assert_eq!(show(&mut *former, &theirs, &rig).unwrap(), Shown::Yes);
    let mut kms = Kms::with(gpu.clone(), &wanted()).unwrap();
    let mut second = kms.take_second().unwrap();
    assert_eq!(show(&mut *former, &theirs, &rig).unwrap(), Shown::Skipped, "it has lost its lease");
    let theirs = gpu.second().unwrap();
    assert_eq!(show(&mut *second, &theirs, &rig).unwrap(), Shown::Yes);
}
