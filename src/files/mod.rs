//! Files that are there whole or not at all, private, and never in the place of somebody else's.
//!
//! | module | job |
//! |---|---|
//! | [`output`] | a folder that results go to: never an input's, never over files that this program did not write |
//! | [`own`] | single files that are replaced again and again, if they are this program's |
//! | `inputs` | what a verb reads, as folders that it must not write to |
//! | `record` | the hidden file in an output folder that lists what was written there |
//! | `temporary` | the file that is renamed once it is whole; what removes it if the program ends before |
//! | [`signals`] | SIGINT, SIGTERM and SIGHUP end a verb at once and leave no temporary file |
//!
//! # Who may read what is written
//! Files in an output folder may hold a patient's picture: they are made with mode 0600, folders with 0700, and the
//! process's umask may only take permissions away. A umask cannot ask for more, since the usual one, 022, is set by
//! no decision of the user. One thing can: an existing folder with the set-group-ID bit is one that somebody
//! has set up for sharing with its group, and files in it give the group what the folder gives it (read, write), less
//! the umask. Others are never given anything. Single files written by [`write_readable`] hold no patient's data: figures, states. They
//! follow the umask alone (0666 less the umask).

mod inputs;
mod names;
pub mod output;
pub mod own;
mod record;
pub mod signals;
mod temporary;
#[cfg(test)]
mod tests;

use std::fs::{DirBuilder, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use rustix::fs::{Gid, Mode, OFlags, Uid};

use crate::fault::Fault;
use crate::runtime::sync::Mutex;

pub use inputs::Input;
pub use output::{Claim, OutputFolder, Safety};
pub use own::{adopt, check_own, write_own};
pub use temporary::remove_temporaries;

use temporary::{Replace, Temporary};

/// Folders whose temporary files were swept by this process, the newest last; so many are remembered.
static SWEPT: Mutex<Vec<Swept>> = Mutex::new(Vec::new());
const MOST_SWEPT: usize = 64;

/// A folder by device, inode and, for inodes are used again, when it was made.
type Swept = (u64, u64, (i64, u32));

/// The text of a file that has `most` bytes at most.
///
/// # Errors
/// Also if it is larger, no file, or no UTF-8 text.
pub fn read_text(path: &Path, most: u64) -> std::io::Result<String> {
    let wrong = |what: String| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
    // A pipe would be waited for.
    if !path.metadata()?.is_file() {
        return Err(wrong("it is no file".into()));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(wrong(format!("it is larger than {most} bytes, the largest size allowed")));
    }
    String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8 text".into()))
}

/// Writes under another name in the same folder, then renames. The file is its owner's alone (0600). An error
/// (exit 74) names the file; nothing stays behind. Not synced to the disk: `write` may do that.
///
/// A symbolic link at `path` is replaced, not followed. Replaces whatever file is there: results go to an
/// [`OutputFolder`], which does not.
pub fn write_whole(path: &Path, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    write_with_mode(path, Mode::RUSR | Mode::WUSR, write)
}

/// As [`write_whole`], but the file may be read and written by whomever the umask allows: for what holds no
/// patient's data.
pub fn write_readable(path: &Path, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    write_with_mode(path, Mode::from_raw_mode(0o666), write)
}

fn write_with_mode(path: &Path, mode: Mode, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let folder = folder_of(path);
    let write = || -> Result<()> {
        let name = path.file_name().ok_or_else(|| anyhow::anyhow!("it does not end with a file name"))?;
        let folder = open_folder(folder)?;
        sweep_once(&folder);
        let mut file = Temporary::create(&Arc::new(folder), mode)?;
        write(file.file_mut())?;
        file.rename_to(name, Replace::Yes)?;
        Ok(())
    };
    write().map_err(|error| Fault::io(format!("cannot write {}: {error:#}", path.display())))
}

/// Writes a new file with these rights, less the umask; an error (exit 74) names it, also where there is one already. Nothing
/// stays behind.
pub fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<()> {
    let write = || -> Result<()> {
        let name = path.file_name().ok_or_else(|| anyhow::anyhow!("it does not end with a file name"))?;
        let folder = open_folder(folder_of(path))?;
        let mut file = Temporary::create(&Arc::new(folder), Mode::from_raw_mode(mode))?;
        file.file_mut().write_all(bytes)?;
        file.rename_to(name, Replace::No)?;
        Ok(())
    };
    write().map_err(|error| Fault::io(format!("cannot write {}: {error:#}", path.display())))
}

/// Writes over the beginning of a regular file and cuts off the rest: needs no room on the disk, if the file was as long. Nothing
/// happens to anything else, and errors are nobody's business: it is done where writing has failed already.
pub fn overwrite(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open(path, flags, Mode::empty()).map(File::from) else { return };
    if file.metadata().is_ok_and(|file| file.is_file() && file.len() >= bytes.len() as u64)
        && file.write_all_at(bytes, 0).is_ok()
    {
        let _ = file.set_len(bytes.len() as u64);
    }
}

/// Makes a folder and those above it, each its owner's alone (0700); an error (exit 74) names it.
pub fn make_folder(folder: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Fault::io(format!("cannot create the folder {}: {error}", folder.display())))
}

/// Makes a folder and those above it, less what the umask takes. Where an administrator makes them, they belong to the owner of the
/// folder above, whose service is going to write there.
pub fn make_shared_folder(folder: &Path, mode: u32) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder_of(folder);
    make_shared_folder(above, mode)?;
    match DirBuilder::new().mode(mode).create(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && folder.is_dir() => return Ok(()),
        made => made?,
    }
    give_to_owner_of(above, open_folder(folder)?.as_fd())?;
    // Its name is on the disk when this returns.
    Ok(rustix::fs::fsync(open_folder(above)?)?)
}

/// Gives a file or folder to the owner of another folder, where the process may do that at all.
pub fn give_to_owner_of(folder: &Path, file: BorrowedFd<'_>) -> std::io::Result<()> {
    let (owner, mine) = (rustix::fs::fstat(open_folder(folder)?)?, rustix::fs::fstat(file)?);
    let is_other = (owner.st_uid, owner.st_gid) != (mine.st_uid, mine.st_gid);
    if is_other && rustix::process::geteuid().is_root() {
        let (user, group) = (Uid::from_raw(owner.st_uid), Gid::from_raw(owner.st_gid));
        rustix::fs::fchown(file, Some(user), Some(group))?;
    }
    Ok(())
}

/// That files can be made in a folder. Leaves nothing behind, and removes what a killed run has left.
pub fn check_writable(folder: &Path) -> std::io::Result<()> {
    let folder = open_folder(folder)?;
    sweep_once(&folder);
    Temporary::create(&Arc::new(folder), Mode::RUSR | Mode::WUSR).map(drop)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn open_folder(folder: &Path) -> std::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(folder, flags, Mode::empty())?)
}

/// Removes what a killed run left in a folder, the first time that this process writes there.
fn sweep_once(folder: &OwnedFd) {
    let Ok(stat) = rustix::fs::fstat(folder) else { return };
    let flags = rustix::fs::AtFlags::EMPTY_PATH;
    let made = rustix::fs::statx(folder, "", flags, rustix::fs::StatxFlags::BTIME);
    let made = made.map_or((0, 0), |made| (made.stx_btime.tv_sec, made.stx_btime.tv_nsec));
    let mut swept = SWEPT.lock();
    #[allow(clippy::unnecessary_cast)]
    let folder_is = (stat.st_dev as u64, stat.st_ino as u64, made);
    if swept.contains(&folder_is) {
        return;
    }
    if swept.len() >= MOST_SWEPT {
        swept.remove(0);
    }
    swept.push(folder_is);
    drop(swept);
    temporary::sweep(folder);
}
