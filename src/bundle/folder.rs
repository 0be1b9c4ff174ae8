//! A folder's files by descriptor. Each is opened once, beneath the folder that was opened, and never looked at by its
//! path again: whatever is put in its place, what was checked is what is used.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
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

/// A regular file, open for reading; or a part of one.
pub struct OpenFile {
    file: File,
    part: Option<Range<u64>>,
    /// For messages.
    path: PathBuf,
}

/// What a path that somebody names leads to.
pub enum Place {
    Folder(Folder),
    File(File),
}

impl Place {
    /// Opens a folder or a file; links are followed.
    ///
    /// # Errors
    /// 65 if it is neither, 74 if it cannot be opened.
    pub fn open(path: &Path) -> Result<Place> {
        match open(CWD, path, path, OFlags::empty())? {
            Some(Entry::Folder(directory)) => Ok(Place::Folder(Folder { directory, path: path.to_owned() })),
            Some(Entry::File(file)) => Ok(Place::File(file)),
            None => Err(unreadable(path, Errno::NOENT)),
        }
    }
}

impl Folder {
    /// # Errors
    /// 65 if it is no folder, 74 if it cannot be opened.
    pub fn open(path: &Path) -> Result<Folder> {
        match Place::open(path)? {
            Place::Folder(folder) => Ok(folder),
            Place::File(_) => Err(Fault::data(format!("{}: it is not a folder", path.display()))),
        }
    }

    /// A file that lies in the folder itself; `None` if there is none of that name.
    pub fn file(&self, name: &str) -> Result<Option<OpenFile>> {
        let path = self.path.join(name);
        match open(self.directory.as_fd(), name.as_ref(), &path, OFlags::NOFOLLOW)? {
            Some(Entry::File(file)) => Ok(Some(OpenFile { file, part: None, path })),
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
        match open(directory.as_fd(), name.as_ref(), &path, OFlags::NOFOLLOW)? {
            Some(Entry::File(file)) => {
                visit(&format!("{prefix}{name}"), OpenFile { file, part: None, path })?;
            }
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

fn open(directory: BorrowedFd<'_>, name: &Path, path: &Path, links: OFlags) -> Result<Option<Entry>> {
    // Without NONBLOCK, opening a pipe would wait for its other end.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | links;
    let give_up = runtime::now() + LEASED_FOR;
    let opened = loop {
        match rustix::fs::openat(directory, name, flags, Mode::empty()) {
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

pub(super) fn unreadable(path: &Path, error: impl Into<io::Error>) -> anyhow::Error {
    Fault::io(format!("{}: {}", path.display(), error.into()))
}

impl OpenFile {
    /// A part of a file, from one byte to another.
    pub(super) fn part(file: File, part: Range<u64>, path: PathBuf) -> OpenFile {
        OpenFile { file, part: Some(part), path }
    }

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
        let (start, length) = match &self.part {
            Some(part) => (part.start, part.end.saturating_sub(part.start)),
            None => (0, self.file.metadata().map_err(failed)?.len()),
        };
        if length > largest {
            return Err(too_large());
        }
        let mut piece = vec![0; PIECE];
        let mut offset = 0;
        loop {
            // A file of its own may grow meanwhile; a part is what it is.
            let left = if self.part.is_some() { length.saturating_sub(offset) } else { u64::MAX };
            let room = PIECE.min(usize::try_from(left).unwrap_or(PIECE));
            let into = piece.get_mut(..room).unwrap_or_default();
            let read = match self.file.read_at(into, start + offset) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            };
            offset += read as u64;
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
