//! How a run ends, whatever it was doing when it was told to.

use std::time::Duration;

use polyp_edge::board::DisplayKind;
use testing::simulation::start_and_end;

/// While the folder for its pictures is still being looked at, there is nothing to report.
#[test]
fn told_to_end_at_any_instant_of_its_start_it_ends_well() {
    let us = Duration::from_micros;
    for kind in [DisplayKind::Y4m, DisplayKind::Images, DisplayKind::Null, DisplayKind::Kms] {
        for disk_hangs in [us(0), us(5_000), us(100_000)] {
            for ends_after in (0..60).map(|number| us(250 * number)) {
                let ended = start_and_end(kind, disk_hangs, ends_after);
                assert_eq!(
                    ended,
                    Ok(()),
                    "{kind:?}, the disk hangs {disk_hangs:?}, told after {ends_after:?}"
                );
            }
        }
    }
}
