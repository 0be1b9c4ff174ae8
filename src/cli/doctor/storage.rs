//! Room on the disks that the profile names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};

use super::findings::Findings;
use crate::board::Board;

/// Less than this, and the reports and the state will soon not be written any more.
const LEAST_MB: u64 = 64;

pub(super) fn look(board: &Board, findings: &mut Findings) {
    let profile = &board.profile;
    let state = profile.pipeline.state_file.as_deref().and_then(Path::parent);
    let study = profile.study.folder.as_deref();
    let folders =
        [Some(profile.display.folder.as_path()), state, study, Some(Path::new("/var/lib/polyp-edge"))];
    let there = |folder: &Path| folder.ancestors().find(|part| part.exists()).map(Path::to_owned);
    let folders: BTreeSet<PathBuf> = folders.into_iter().flatten().filter_map(there).collect();
    for folder in folders {
        let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
        let Ok(disk) = statvfs(&folder) else { continue };
        let room = Room {
            free_mb: disk.f_bavail.saturating_mul(disk.f_frsize) >> 20,
            has_entries: disk.f_files == 0 || disk.f_favail > 0,
            is_read_only: disk.f_flag.contains(StatVfsMountFlags::RDONLY),
        };
        room.judge(&folder, findings);
    }
}

/// What a disk still takes.
struct Room {
    free_mb: u64,
    /// More files can be made.
    has_entries: bool,
    is_read_only: bool,
}

impl Room {
    fn judge(&self, folder: &Path, findings: &mut Findings) {
        let at = folder.display();
        if self.is_read_only {
            findings.advice(
                format!("{at} is on a disk that cannot be written: no state and no report will be"),
                "mount it for writing in /etc/fstab, or name another folder in the profile",
            );
        } else if self.free_mb < LEAST_MB || !self.has_entries {
            let lacks = if self.has_entries {
                format!("only {} MB are free at {at}", self.free_mb)
            } else {
                format!("no more files can be made at {at}")
            };
            let what = format!("{lacks}: once there is no room, no state and no report will be written");
            findings.advice(
                what,
                "remove what is not needed; to keep the system's log small for good: printf '[Journal]\\nSystemMaxUse=100M\\n' | sudo \
                 tee /etc/systemd/journald.conf.d/polyp-edge.conf && sudo systemctl restart systemd-journald",
            );
        } else {
            findings.good(format!("{at}: {} MB are free", self.free_mb));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::findings::Level;
    use super::*;

    #[test]
    fn a_disk_is_judged() {
        let judged = |free_mb, has_entries, is_read_only| {
            let mut findings = Findings::default();
            Room { free_mb, has_entries, is_read_only }
                .judge(Path::new("/var/lib/polyp-edge"), &mut findings);
            let [finding] = &findings.0[..] else { panic!("{findings:?}", findings = findings.0) };
            (finding.level, finding.what.clone())
        };
        assert_eq!(judged(64, true, false).0, Level::Good);
        let (level, what) = judged(63, true, false);
        assert!(level == Level::Advice && what.contains("only 63 MB"), "{what}");
        assert!(judged(500, false, false).1.contains("no more files"));
        assert!(judged(500, true, true).1.contains("cannot be written"));
    }
}
