//! Single files that a program replaces again and again, such as a training's checkpoints: only ever its own.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use rustix::fs::{AtFlags, Dir, Mode};

use super::names::is_plain;
use super::output::{foreign, is_untouched};
use super::record::{self, Mark, RECORD};
use super::temporary::{Replace, Temporary};
use super::{folder_of, make_folder, open_folder, sweep_once};
use crate::fault::Fault;

/// Writes a file whole or not at all, and on the disk when this returns. The file is its owner's alone (0600), as are
/// folders that have to be made. The folder's record lists it, as it lists those of an
/// [`OutputFolder`](super::OutputFolder), so that a later run knows it for this program's own.
///
/// # Errors
/// Exit 2 if a file that this program did not write, or that was changed since, has the name and `force` is not given; exit
/// 74 with the path if writing fails. Nothing stays behind.
pub fn write_own(path: &Path, force: bool, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let folder = folder_of(path);
    make_folder(folder)?;
    let cannot = |error: anyhow::Error| Fault::io(format!("cannot write {}: {error:#}", path.display()));
    let name = path.file_name().ok_or_else(|| cannot(anyhow::anyhow!("it does not end with a file name")))?;
    let opened = Arc::new(open_folder(folder).map_err(|error| cannot(error.into()))?);
    sweep_once(&opened);
    let whole = || -> Result<(Temporary, Mark)> {
        let mut file = Temporary::create(&opened, Mode::RUSR | Mode::WUSR)?;
        write(file.file_mut())?;
        file.file().sync_all()?;
        let mark = Mark::of(&rustix::fs::fstat(file.file())?);
        Ok((file, mark))
    };
    let (mut file, mark) = whole().map_err(cannot)?;
    if !force && is_foreign(&opened, name) {
        return Err(foreign(folder, name));
    }
    record::append(&opened, name, mark).map_err(|error| cannot(error.into()))?;
    let replace = if is_there(&opened, name) { Replace::Yes } else { Replace::No };
    file.rename_to(name, replace).map_err(|error| cannot(error.into()))?;
    // Some file systems cannot sync a folder; the file itself is safe by now.
    let _ = rustix::fs::fsync(&opened);
    Ok(())
}

/// Refuses, before any work is done, what [`write_own`] would refuse at its end.
///
/// # Errors
/// Exit 2 as there; a folder that does not exist yet is no error.
pub fn check_own(path: &Path, force: bool) -> Result<()> {
    let folder = folder_of(path);
    match (open_folder(folder), path.file_name()) {
        (Ok(opened), Some(name)) if !force && is_foreign(&opened, name) => Err(foreign(folder, name)),
        _ => Ok(()),
    }
}

/// Takes the files of a folder for this program's own from now on: for one that was copied or restored, when its content
/// has proved to be this program's.
///
/// # Errors
/// Exit 74 with the folder.
pub fn adopt(folder: &Path) -> Result<()> {
    let all = || -> Result<()> {
        let opened = open_folder(folder)?;
        let known = record::read(&opened);
        for entry in Dir::read_from(&opened)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            let is_ours = !is_plain(name) || name == RECORD || is_untouched(&opened, name, &known);
            if let Some(mark) = Mark::at(&opened, name).filter(|_| !is_ours) {
                record::append(&opened, name, mark)?;
            }
        }
        Ok(())
    };
    all().map_err(|error| Fault::io(format!("cannot write to the folder {}: {error:#}", folder.display())))
}

/// Devices, such as `/dev/null`, are foreign too.
fn is_foreign(folder: &OwnedFd, name: &OsStr) -> bool {
    is_there(folder, name) && !is_untouched(folder, name, &record::read(folder))
}

fn is_there(folder: &OwnedFd, name: &OsStr) -> bool {
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}
