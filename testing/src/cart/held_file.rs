//! A disk that does not answer, without privileges: the kernel lets whoever opens a file wait while another process has a
//! lease on it.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::Path;

/// While this lives, nobody opens the file: an attempt waits, for at most the 45 s of `/proc/sys/fs/lease-break-time`.
pub struct Held(#[allow(dead_code)] File);

impl Held {
    /// `None`, with a word, where the file system has no leases.
    pub fn hold(path: &Path) -> Option<Held> {
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let fcntl = |command, argument: libc::c_int| {
            // SAFETY: both commands take a number and touch no memory of this process; the descriptor is open.
            unsafe { libc::fcntl(file.as_raw_fd(), command, argument) == 0 }
        };
        // What tells the holder that somebody waits is SIGIO, which ends a process, unless it is another signal.
        const F_SETSIG: libc::c_int = 10;
        let held = fcntl(F_SETSIG, libc::SIGURG) && fcntl(libc::F_SETLEASE, libc::F_WRLCK);
        if !held {
            eprintln!("{}: skipped, because this file system has no leases", path.display());
        }
        held.then_some(Held(file))
    }
}
