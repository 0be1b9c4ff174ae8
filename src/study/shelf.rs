//! The folder in which pictures and films are kept, each in a folder of its own that is called after its time.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::Zoned;
use jiff::tz::TimeZone;

/// Folders of the same second, at most.
const MOST_ALIKE: u32 = 100;

/// Makes a folder, its owner's alone, and gives its path and the one that it is to have in the end: its time in UTC, then `ending`, and a
/// number if there is one of that name. Until then, its name begins with `before`.
pub(crate) fn new_folder(
    folder: &Path,
    time: &Zoned,
    before: &str,
    ending: &str,
) -> io::Result<(PathBuf, PathBuf)> {
    let time = time.with_time_zone(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string();
    for number in 1..=MOST_ALIKE {
        let number = if number == 1 { String::new() } else { format!("-{number}") };
        let name = format!("{time}{number}{ending}");
        let (made, last) = (folder.join(format!("{before}{name}")), folder.join(&name));
        if last.symlink_metadata().is_ok() {
            continue;
        }
        match DirBuilder::new().mode(0o700).create(&made) {
            Ok(()) => return Ok((made, last)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many folders of one second"))
}

/// Of all files in a folder and in those beneath it.
pub(crate) fn size_of(folder: &Path) -> io::Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Somebody may be moving pictures away just now.
        let entry_size = match entry.metadata() {
            Ok(there) if there.is_dir() => size_of(&entry.path()),
            there => there.map(|there| there.len()),
        };
        size += match entry_size {
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            size => size?,
        };
    }
    Ok(size)
}
