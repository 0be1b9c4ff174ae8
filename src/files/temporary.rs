//! The file that is renamed once it is whole, and what removes it if the program ends before.
//!
//! A temporary file's writer holds a lock on it (flock) for as long as it lives. The kernel drops the lock with the
//! process, so a temporary file that can be locked is one whose writer is dead.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::runtime;
use crate::runtime::sync::{Mutex, MutexGuard};
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

/// No other program's files begin like this.
pub(super) const PREFIX: &str = ".polyp-edge-writing-";
/// Names that are tried before a folder is given up.
const ATTEMPTS: usize = 100;
/// How long [`remove_temporaries`] waits for a thread whose file system does not answer.
const PATIENCE: Duration = Duration::from_millis(300);

/// This process's temporary files. Whoever holds the lock may make, rename or remove one.
static LIVE: Mutex<Vec<Live>> = Mutex::new(Vec::new());
static NEXT: AtomicU64 = AtomicU64::new(0);

struct Live {
    folder: Arc<OwnedFd>,
    name: String,
}

/// A file under a temporary name; removed when dropped, unless it was renamed.
pub(super) struct Temporary {
    file: File,
    folder: Arc<OwnedFd>,
    name: String,
}

/// What becomes of a file that has the final name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replace {
    Yes,
    /// `AlreadyExists` if there is one.
    No,
}

impl Temporary {
    /// The umask takes from `mode` what it does.
    pub(super) fn create(folder: &Arc<OwnedFd>, mode: Mode) -> io::Result<Temporary> {
        for _ in 0..ATTEMPTS {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{PREFIX}{}-{number}", std::process::id());
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut live = live();
            let file = match rustix::fs::openat(folder, &name, flags, mode) {
                Err(Errno::EXIST) => continue,
                file => file?,
            };
            let temporary = Temporary { file: file.into(), folder: folder.clone(), name };
            live.push(Live { folder: folder.clone(), name: temporary.name.clone() });
            drop(live);
            if temporary.is_kept()? {
                return Ok(temporary);
            }
        }
        Err(io::Error::other("no free name for a temporary file"))
    }

    /// Locks it; `false` if another process took it, between its making and its locking, for a dead one's.
    fn is_kept(&self) -> io::Result<bool> {
        match rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Ok(false),
            // Some network file systems have no locks: nobody sweeps there either.
            Err(_) => Ok(true),
            Ok(()) => Ok(rustix::fs::fstat(&self.file)?.st_nlink > 0),
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn file_mut(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives the file its final name in the same folder. It stays temporary, and is removed, if that fails.
    pub(super) fn rename_to(&mut self, name: &OsStr, replace: Replace) -> io::Result<()> {
        let _live = live();
        match replace {
            Replace::Yes => rustix::fs::renameat(&self.folder, &self.name, &self.folder, name)?,
            Replace::No => rename_to_free(&self.folder, &self.name, name)?,
        }
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let mut live = live();
        live.retain(|live| live.name != self.name);
        // Gone already if it was renamed: names are never used twice.
        let _ = rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty());
    }
}

fn rename_to_free(folder: &OwnedFd, from: &str, to: &OsStr) -> io::Result<()> {
    match rustix::fs::renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        // The file system cannot do both at once.
        Err(Errno::INVAL | Errno::NOSYS) => {}
        result => return Ok(result?),
    }
    match rustix::fs::statat(folder, to, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(Errno::NOENT) => Ok(rustix::fs::renameat(folder, from, folder, to)?),
        Err(error) => Err(error.into()),
    }
}

/// Removes the temporary files whose writers are dead.
pub(super) fn sweep(folder: &OwnedFd) {
    let Ok(entries) = Dir::read_from(folder) else { return };
    for entry in entries {
        let Ok(entry) = entry else { return };
        let name = entry.file_name();
        if name.to_bytes().starts_with(PREFIX.as_bytes()) && is_abandoned(folder, name) {
            let _ = rustix::fs::unlinkat(folder, name, AtFlags::empty());
            log::info!(
                "removed {}, which an interrupted run left behind",
                OsStr::from_bytes(name.to_bytes()).display()
            );
        }
    }
}

fn is_abandoned(folder: &OwnedFd, name: &std::ffi::CStr) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::openat(folder, name, flags, Mode::empty()) else { return false };
    let is_file = rustix::fs::fstat(&file)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
    is_file && rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Removes this process's temporary files and keeps its threads from making or renaming any: for the moment before the
/// process ends. Waits 0.3 s at most.
pub fn remove_temporaries() {
    let begun = runtime::now();
    let live = loop {
        match LIVE.try_lock() {
            Some(live) => break live,
            None if runtime::since(begun) > PATIENCE => return,
            None => runtime::thread::sleep(Duration::from_millis(1)),
        }
    };
    for Live { folder, name } in live.iter() {
        let _ = rustix::fs::unlinkat(folder, name, AtFlags::empty());
    }
    // Never unlocked: no file is made or renamed from here on.
    std::mem::forget(live);
}

fn live() -> MutexGuard<'static, Vec<Live>> {
    LIVE.lock()
}
