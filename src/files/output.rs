//! A folder that results go to.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, Stat};
use rustix::io::Errno;

use super::inputs::{Forbidden, Identity, Input, place};
use super::names::{is_plain, matches};
use super::record::{self, Header, MOST_FILES, Mark, Record};
use super::temporary::{self, Replace, Temporary};
use super::{make_folder, open_folder};
use crate::fault::Fault;
use crate::runtime;
use crate::runtime::sync::Mutex;

pub use super::record::RECORD;

/// Another process that has just been started may hold the folder's lock for a moment.
const LOCK_ATTEMPTS: usize = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A folder that this run may write to. All results go through one: there is no other way to replace nothing that
/// this program did not write.
///
/// A clone is the same claim, and any thread may write: writes wait for the disk, so a thread that must not wait
/// hands its pictures to one that may. The claim ends when the last clone is dropped.
#[derive(Clone)]
pub struct OutputFolder(Arc<Inner>);

struct Inner {
    path: PathBuf,
    /// Locked as long as the claim lasts. Files are named relative to it, wherever the path leads by then.
    folder: Arc<OwnedFd>,
    names: Mutex<Vec<String>>,
    mode: Mode,
    force: bool,
    record: Mutex<Record>,
}

/// What a claim is for.
pub struct Claim<'a> {
    /// Made if it does not exist.
    pub folder: &'a Path,
    /// The files that are going to be written: whole names, or `*.png` for every name that ends so.
    pub names: &'a [&'a str],
    /// The verb, for the folder's record.
    pub what: &'a str,
    /// Everything that is read: sources, the bundle, the profile.
    pub inputs: &'a [Input<'a>],
    /// Replace files that this program did not write.
    pub force: bool,
}

/// How much of a write survives a loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safety {
    /// All of it: the file and its name are on the disk when the write returns. For reports and what is written once.
    Synced,
    /// The file may be empty after a loss of power, never after a crash or a kill. For pictures, where waiting for the disk
    /// would cost more time than making them; the next run tells such a file from a whole one by its size.
    Unsynced,
}

impl OutputFolder {
    /// Makes the folder if need be, and claims it until the last clone is dropped.
    ///
    /// Files of an earlier run that nobody has touched since are removed: afterwards all files with this claim's
    /// names are this run's, or, with `force`, foreign ones that were not replaced. Temporary files of killed runs are
    /// removed too.
    ///
    /// # Errors
    /// Before anything is written or removed: exit 2 if the folder is one that is read, whatever it is called there; if
    /// another process has claimed it; or, without `force`, if one of the names is taken by a file that this program did
    /// not write, or that was changed since. Exit 74 if the folder cannot be made or written to.
    pub fn claim(claim: &Claim<'_>) -> Result<OutputFolder> {
        Self::examine(claim)?;
        Self::begin(claim)
    }

    /// Claims several folders, or none of them: what is wrong with one is found before another is made or changed.
    pub fn claim_all(claims: &[Claim<'_>]) -> Result<Vec<OutputFolder>> {
        claims.iter().try_for_each(Self::examine)?;
        claims.iter().map(Self::begin).collect()
    }

    /// Refuses what would be refused; changes nothing.
    fn examine(claim: &Claim<'_>) -> Result<()> {
        let (at, above) = place(claim.folder)?;
        Forbidden::of(claim.inputs).check(claim.folder, at, &above)?;
        if at.is_some() {
            Self::open(claim)?;
        }
        Ok(())
    }

    /// A folder that exists, locked and looked through.
    fn open(claim: &Claim<'_>) -> Result<(OwnedFd, Stat, There)> {
        let cannot = |error: std::io::Error| cannot_write_to(claim.folder, &error);
        let folder = open_folder(claim.folder).map_err(cannot)?;
        let stat = rustix::fs::fstat(&folder).map_err(|error| cannot(error.into()))?;
        lock(&folder, claim.folder)?;
        let there = survey(&folder, claim.names, &record::read(&folder)).map_err(cannot)?;
        match &there.foreign {
            Some(name) if !claim.force => Err(foreign(claim.folder, name)),
            _ => Ok((folder, stat, there)),
        }
    }

    fn begin(claim: &Claim<'_>) -> Result<OutputFolder> {
        let cannot = |error: std::io::Error| cannot_write_to(claim.folder, &error);
        make_folder(claim.folder)?;
        let (folder, stat, there) = Self::open(claim)?;
        // Once more, of the folder that is open now: the path may lead elsewhere than it did.
        let (_, above) = place(claim.folder)?;
        Forbidden::of(claim.inputs).check(claim.folder, Some(identity(&stat)), &above)?;
        temporary::sweep(&folder);
        for name in &there.ours {
            rustix::fs::unlinkat(&folder, name, AtFlags::empty()).map_err(|error| cannot(error.into()))?;
        }
        if !there.ours.is_empty() {
            log::info!("{}: removed {} files of an earlier run", claim.folder.display(), there.ours.len());
        }
        let (folder, mode) = (Arc::new(folder), file_mode(&stat));
        let record = begin_record(&folder, mode, claim.what).map_err(cannot)?;
        Ok(OutputFolder(Arc::new(Inner {
            path: claim.folder.to_owned(),
            folder,
            names: Mutex::new(claim.names.iter().map(|&name| name.to_owned()).collect()),
            mode,
            force: claim.force,
            record: Mutex::new(record),
        })))
    }

    /// As it was given.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Whether a path leads to this folder: then a second claim is not needed, and would be refused.
    pub fn is_at(&self, path: &Path) -> bool {
        rustix::fs::fstat(&self.0.folder).is_ok_and(|stat| Identity::of(path) == Some(identity(&stat)))
    }

    /// Claims further names in the same folder.
    ///
    /// # Errors
    /// As [`OutputFolder::claim`], if one of them is taken; the claim is then as it was.
    pub fn also(&self, names: &[&str]) -> Result<()> {
        let inner = &*self.0;
        let record = inner.record.lock();
        let there = survey(&inner.folder, names, &record::read(&inner.folder))
            .map_err(|error| cannot_write_to(&inner.path, &error))?;
        drop(record);
        if let Some(name) = there.foreign.filter(|_| !inner.force) {
            return Err(foreign(&inner.path, &name));
        }
        let mut claimed = inner.names.lock();
        for name in names.iter().map(|&name| name.to_owned()) {
            if !claimed.contains(&name) {
                claimed.push(name);
            }
        }
        Ok(())
    }

    /// Writes a file whole or not at all: under a temporary name, which is then changed to the final one. A file
    /// that this run has written under the same name is replaced.
    ///
    /// # Errors
    /// Exit 74 with the file's path; exit 2 if a file that this program did not write has come to be there since the
    /// claim, unless forced. Nothing stays behind.
    pub fn write(
        &self,
        name: impl AsRef<OsStr>,
        safety: Safety,
        write: impl FnOnce(&mut File) -> Result<()>,
    ) -> Result<()> {
        let mut growing = self.begin_file(name)?;
        write(growing.file.file_mut()).map_err(|error| growing.cannot(&error))?;
        growing.finish(safety)
    }

    /// Begins a file that is written piece by piece; it has its name once it is [finished](Growing::finish).
    ///
    /// # Errors
    /// Exit 74 with the file's path.
    pub fn begin_file(&self, name: impl AsRef<OsStr>) -> Result<Growing> {
        let (inner, name) = (&*self.0, name.as_ref());
        let cannot = |error: anyhow::Error| cannot_write(&inner.path, name, &error);
        if !is_plain(name) || !matches(&inner.names.lock(), name) {
            return Err(cannot(anyhow::anyhow!("the folder was not claimed for a file of this name")));
        }
        let file = Temporary::create(&inner.folder, inner.mode).map_err(|error| cannot(error.into()))?;
        Ok(Growing { folder: self.clone(), name: name.to_owned(), file })
    }

    /// As [`OutputFolder::write`], for bytes that are there already; synced.
    pub fn write_bytes(&self, name: impl AsRef<OsStr>, bytes: &[u8]) -> Result<()> {
        self.write(name, Safety::Synced, |file| Ok(std::io::Write::write_all(file, bytes)?))
    }
}

/// A file of an output folder that is being written. Nothing stays behind if it is dropped.
pub struct Growing {
    folder: OutputFolder,
    name: OsString,
    file: Temporary,
}

fn cannot_write(folder: &Path, name: &OsStr, error: &anyhow::Error) -> anyhow::Error {
    Fault::io(format!("cannot write {}: {error:#}", folder.join(name).display()))
}

impl Growing {
    /// Adds to the file.
    ///
    /// # Errors
    /// Exit 74 with the file's path.
    pub fn add(&mut self, bytes: &[u8]) -> Result<()> {
        std::io::Write::write_all(self.file.file_mut(), bytes).map_err(|error| self.cannot(&error.into()))
    }

    fn cannot(&self, error: &anyhow::Error) -> anyhow::Error {
        cannot_write(&self.folder.0.path, &self.name, error)
    }

    /// Gives the file its name. A file that this run has written under the same name is replaced.
    ///
    /// # Errors
    /// As [`OutputFolder::write`].
    pub fn finish(self, safety: Safety) -> Result<()> {
        let Growing { folder, name, mut file } = self;
        let inner = &*folder.0;
        let cannot = |error: anyhow::Error| cannot_write(&inner.path, &name, &error);
        let whole = || -> Result<()> {
            if safety == Safety::Synced {
                file.file().sync_all()?;
            }
            let mark = Mark::of(&rustix::fs::fstat(file.file())?);
            let mut record = inner.record.lock();
            if record.is_full() {
                anyhow::bail!("the folder holds {MOST_FILES} files of this run; name another folder");
            }
            record.add(&name, mark)?;
            Ok(())
        };
        whole().map_err(cannot)?;
        let renamed = match file.rename_to(&name, Replace::No) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                if !inner.force && !inner.is_ours(&name) {
                    return Err(foreign(&inner.path, &name));
                }
                file.rename_to(&name, Replace::Yes)
            }
            renamed => renamed,
        };
        renamed.map_err(|error| cannot(error.into()))?;
        if safety == Safety::Synced {
            // Some file systems cannot sync a folder; the file itself is safe by now.
            let _ = rustix::fs::fsync(&inner.folder);
        }
        Ok(())
    }
}

impl std::fmt::Debug for OutputFolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OutputFolder({})", self.0.path.display())
    }
}

impl Inner {
    fn is_ours(&self, name: &OsStr) -> bool {
        // Read anew: a run may write any number of files, and hardly ever one of them twice.
        let _record = self.record.lock();
        is_untouched(&self.folder, name, &record::read(&self.folder))
    }
}

/// What a folder holds under the names of a claim.
#[derive(Default)]
struct There {
    /// By the record, untouched.
    ours: Vec<OsString>,
    /// The first of all others, in the order of their bytes.
    foreign: Option<OsString>,
}

fn survey(
    folder: &OwnedFd,
    names: &[&str],
    earlier: &HashMap<OsString, Vec<Mark>>,
) -> std::io::Result<There> {
    let mut there = There::default();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if !is_plain(name) || name == RECORD {
            continue;
        }
        if is_untouched(folder, name, earlier) {
            there.ours.push(name.to_owned());
        } else if matches(names, name) && there.foreign.as_deref().is_none_or(|first| name < first) {
            there.foreign = Some(name.to_owned());
        }
    }
    Ok(there)
}

pub(super) fn is_untouched(folder: &OwnedFd, name: &OsStr, written: &HashMap<OsString, Vec<Mark>>) -> bool {
    written.get(name).is_some_and(|marks| Mark::at(folder, name).is_some_and(|now| marks.contains(&now)))
}

fn begin_record(folder: &Arc<OwnedFd>, mode: Mode, what: &str) -> std::io::Result<Record> {
    let mut temporary = Temporary::create(folder, mode)?;
    let record = Record::begin(temporary.file().try_clone()?, &Header::new(what))?;
    temporary.rename_to(OsStr::new(RECORD), Replace::Yes)?;
    Ok(record)
}

fn cannot_write_to(folder: &Path, error: &std::io::Error) -> anyhow::Error {
    Fault::io(format!("cannot write to the folder {}: {error}", folder.display()))
}

pub(super) fn foreign(folder: &Path, name: &OsStr) -> anyhow::Error {
    Fault::usage(format!(
        "{} was not written by this program, or was changed since: name another folder, or give --force to replace such \
         files",
        folder.join(name).display()
    ))
}

fn lock(folder: &OwnedFd, path: &Path) -> Result<()> {
    for _ in 0..LOCK_ATTEMPTS {
        match rustix::fs::flock(folder, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => runtime::thread::sleep(LOCK_PAUSE),
            // Some network file systems have no locks.
            _ => return Ok(()),
        }
    }
    Err(Fault::usage(format!(
        "another polyp-edge is writing to the folder {}: wait until it has ended, or name another folder",
        path.display()
    )))
}

/// See the rule in [`super`].
fn file_mode(folder: &Stat) -> Mode {
    let folder = Mode::from_raw_mode(folder.st_mode);
    let owner = Mode::RUSR | Mode::WUSR;
    if folder.contains(Mode::SGID) { owner | (folder & (Mode::RGRP | Mode::WGRP)) } else { owner }
}

#[allow(clippy::unnecessary_cast)]
fn identity(stat: &Stat) -> Identity {
    Identity { device: stat.st_dev as u64, inode: stat.st_ino as u64 }
}
