//! Every error at every operation of a day in short.

use std::time::Duration;

use polyp_edge::display::kms::{ModeWish, Wanted};
use polyp_edge::display::{Shown, Sink};
use testing::gpu::{Abilities, FakeGpu};

use crate::rig::*;

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
