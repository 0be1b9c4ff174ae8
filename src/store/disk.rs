//! The operations on a store's folder. Each either happens or does not, wherever power is lost; a name is on the disk for certain
//! once the folder is synced.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::files;

/// See the module. Names are those of files in the folder.
pub trait Disk {
    /// A file's bytes; `None` if there is none. `InvalidData` if there are more than `largest`.
    ///
    /// # Errors
    /// If it cannot be read.
    fn read(&self, name: &str, largest: u64) -> io::Result<Option<Vec<u8>>>;

    /// The files' names, sorted; none if there is no folder.
    ///
    /// # Errors
    /// If they cannot be read.
    fn list(&self) -> io::Result<Vec<String>>;

    /// A new file whose content is on the disk when this returns. If it fails, a part of it may be there.
    ///
    /// # Errors
    /// If there is one of that name, if it cannot be written, or what `write` says.
    fn create(&self, name: &str, write: &mut dyn FnMut(&mut File) -> Result<()>) -> Result<()>;

    /// Gives a file another name, in place of one that has it.
    ///
    /// # Errors
    /// If it cannot be.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file, if there is one.
    ///
    /// # Errors
    /// If it cannot be.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// All names are on the disk when this returns.
    ///
    /// # Errors
    /// If they cannot be written.
    fn sync(&self) -> io::Result<()>;

    /// A lock of that name, for as long as it is kept; `None` if somebody else has it. Makes the folder if need be.
    ///
    /// # Errors
    /// If the folder cannot be made or the lock's file not be opened.
    fn lock(&self, name: &str) -> io::Result<Option<Lock>>;
}

/// Ends when it is dropped, or with the process.
pub struct Lock(#[expect(dead_code, reason = "kept open")] OwnedFd);

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lock")
    }
}

/// A folder of the machine's.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    pub fn new(path: &Path) -> Folder {
        Folder { path: path.to_owned() }
    }

    fn open(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::open(&self.path, flags, Mode::empty())?)
    }
}

/// Bundles are public: whoever may enter the folder may read them.
const MODE: Mode = Mode::from_raw_mode(0o644);
const FOLDER_MODE: u32 = 0o755;

impl Disk for Folder {
    fn read(&self, name: &str, largest: u64) -> io::Result<Option<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::open(self.path.join(name), flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a regular file"));
        }
        let mut bytes = Vec::new();
        file.take(largest + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > largest {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it is larger than {largest} bytes"),
            ));
        }
        Ok(Some(bytes))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let folder = match self.open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            folder => folder?,
        };
        let mut names = Vec::new();
        for entry in Dir::read_from(&folder)? {
            if let Ok(name) = entry?.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        names.retain(|name| name != "." && name != "..");
        names.sort();
        Ok(names)
    }

    fn create(&self, name: &str, write: &mut dyn FnMut(&mut File) -> Result<()>) -> Result<()> {
        let folder = self.open()?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(&folder, name, flags, MODE)?);
        write(&mut file)?;
        file.sync_all()?;
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let folder = self.open()?;
        Ok(rustix::fs::renameat(&folder, from, &folder, to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.open()?, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.open()?)?)
    }

    fn lock(&self, name: &str) -> io::Result<Option<Lock>> {
        files::make_shared_folder(&self.path, FOLDER_MODE)?;
        let folder = self.open()?;
        // Read-only, so that whoever did not make the file may lock it too.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&folder, name, flags | OFlags::CREATE, MODE) {
            // Its maker is another user, and the folder everybody's.
            Err(Errno::ACCESS) => rustix::fs::openat(&folder, name, flags, Mode::empty())?,
            file => file?,
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock(file))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
