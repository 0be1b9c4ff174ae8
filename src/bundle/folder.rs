//! A folder's files by descriptor. Each is opened once, beneath the folder that was opened, and never looked at by its
//! path again: whatever is put in its place, what was checked is what is used.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use rustix::fs::{CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::fault::Fault;
use crate::runtime;

/// The most entries of a folder and all folders in it, and how deep they lie.
pub const MOST_ENTRIES: usize = 2000;
const DEEPEST: usize = 16;

/// What is read at once.
const PIECE: usize = 64 << 10;

pub struct Folder {
    directory: OwnedFd,
    path: PathBuf,
}

/// A regular file, open for reading.
pub struct OpenFile {
    file: File,
    /// For messages.
    path: PathBuf,
}

impl Folder {
    /// # Errors
    /// 65 if it is no folder, 74 if it cannot be opened.
    pub fn open(path: &Path) -> Result<Folder> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
            Ok(directory) => Ok(Folder { directory, path: path.to_owned() }),
            Err(Errno::NOTDIR) => {
                Err(Fault::data(format!("{}: it is not a folder; a bundle must be a folder", path.display())))
            }
            Err(error) => Err(unreadable(path, error)),
        }
    }

    /// A file that lies in the folder itself; `None` if there is none of that name.
    pub fn file(&self, name: &str) -> Result<Option<OpenFile>> {
        let path = self.path.join(name);
        match open(&self.directory, name, &path)? {
            Some(Entry::File(file)) => Ok(Some(OpenFile { file, path })),
            Some(Entry::Folder(_)) => Err(not_plain(&path)),
            None => Ok(None),
        }
    }

    /// Opens every file in the folder and in those in it, one after the other, sorted by name, and hands it over with its
    /// relative path.
    ///
    /// # Errors
    /// 65 for links, for special files, for names that are not UTF-8 or hold control characters, for too many entries;
    /// 74 if something cannot be read; and whatever `visit` says.
    pub fn walk(&self, visit: &mut dyn FnMut(&str, OpenFile) -> Result<()>) -> Result<()> {
        walk(&self.directory, &self.path, "", DEEPEST, &mut 0, visit)
    }
}

fn walk(
    directory: &OwnedFd,
    path: &Path,
    prefix: &str,
    deeper: usize,
    entries: &mut usize,
    visit: &mut dyn FnMut(&str, OpenFile) -> Result<()>,
) -> Result<()> {
    for name in names(directory, path, entries)? {
        let path = path.join(&name);
        match open(directory, &name, &path)? {
            Some(Entry::File(file)) => visit(&format!("{prefix}{name}"), OpenFile { file, path })?,
            Some(Entry::Folder(_)) if deeper == 0 => {
                return Err(Fault::data(format!(
                    "{}: folders are nested more than {DEEPEST} levels deep",
                    path.display()
                )));
            }
            Some(Entry::Folder(folder)) => {
                walk(&folder, &path, &format!("{prefix}{name}/"), deeper - 1, entries, visit)?;
            }
            // Removed since it was listed.
            None => {}
        }
    }
    Ok(())
}

/// The names in a folder, sorted, without `.` and `..`.
fn names(directory: &OwnedFd, path: &Path, entries: &mut usize) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in Dir::read_from(directory).map_err(|error| unreadable(path, error))? {
        let entry = entry.map_err(|error| unreadable(path, error))?;
        let name = match entry.file_name().to_str() {
            Ok("." | "..") => continue,
            Ok(name) => name,
            Err(_) => {
                let shown = path.join(entry.file_name().to_string_lossy().into_owned());
                return Err(Fault::data(format!("{}: its name is not UTF-8", shown.display())));
            }
        };
        if name.contains(char::is_control) {
            return Err(Fault::data(format!("{:?}: its name has control characters", path.join(name))));
        }
        *entries += 1;
        if *entries > MOST_ENTRIES {
            return Err(Fault::data(format!("{}: it contains too many files for a bundle", path.display())));
        }
        names.insert(name.to_owned());
    }
    Ok(names)
}

enum Entry {
    File(File),
    Folder(OwnedFd),
}

/// The kernel takes a lease away from whoever does not let go within `/proc/sys/fs/lease-break-time`, 45 s if nobody changed it.
const LEASED_FOR: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

fn open(directory: &OwnedFd, name: &str, path: &Path) -> Result<Option<Entry>> {
    // Without NONBLOCK, opening a pipe would wait for its other end.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let give_up = runtime::now() + LEASED_FOR;
    let opened = loop {
        match rustix::fs::openat(directory.as_fd(), name, flags, Mode::empty()) {
            // Another program, such as a file server, holds a lease on it, and has been asked to let go.
            Err(Errno::WOULDBLOCK) if runtime::now() < give_up => runtime::thread::sleep(LOOK_EVERY),
            opened => break opened,
        }
    };
    let opened = match opened {
        Ok(opened) => opened,
        Err(Errno::NOENT) => return Ok(None),
        // A link; a socket or a device without a driver.
        Err(Errno::LOOP | Errno::NXIO | Errno::NODEV) => return Err(not_plain(path)),
        Err(error) => return Err(unreadable(path, error)),
    };
    let kind = rustix::fs::fstat(&opened).map_err(|error| unreadable(path, error))?.st_mode;
    match FileType::from_raw_mode(kind) {
        FileType::RegularFile => Ok(Some(Entry::File(File::from(opened)))),
        FileType::Directory => Ok(Some(Entry::Folder(opened))),
        _ => Err(not_plain(path)),
    }
}

fn not_plain(path: &Path) -> anyhow::Error {
    Fault::data(format!("{}: it is not a regular file", path.display()))
}

fn unreadable(path: &Path, error: impl Into<io::Error>) -> anyhow::Error {
    Fault::io(format!("{}: {}", path.display(), error.into()))
}

impl OpenFile {
    /// Reads all of it, from its start, and hands it over piece by piece.
    ///
    /// # Errors
    /// 65 if it is longer than `largest`, 74 if it cannot be read or `take` fails.
    pub fn pieces(&self, largest: u64, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> Result<()> {
        let failed = |error: io::Error| unreadable(&self.path, error);
        let too_large = || {
            let most = largest >> 10;
            Fault::data(format!(
                "{}: it is larger than {most} KiB, the largest size allowed",
                self.path.display()
            ))
        };
        if self.file.metadata().map_err(failed)?.len() > largest {
            return Err(too_large());
        }
        let mut piece = vec![0; PIECE];
        let mut offset = 0;
        loop {
            let read = match self.file.read_at(&mut piece, offset) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            };
            offset += read as u64;
            // It may grow meanwhile.
            if offset > largest {
                return Err(too_large());
            }
            take(piece.get(..read).unwrap_or_default()).map_err(failed)?;
        }
    }

    /// All of it, in memory of our own.
    pub fn read(&self, largest: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.pieces(largest, |piece| {
            bytes.try_reserve(piece.len())?;
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}
