//! A bundle as one file, `*.polyp`: a plain tar archive (ustar) with its files in a fixed order, so that a bundle is the same
//! bytes wherever it is packed. First the manifest, then its signature if there is one, then all other files, sorted by name.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use tar::{Archive as Tar, Builder, EntryType, Header};

use super::folder::{MOST_ENTRIES, OpenFile, unreadable};
use super::names::{MANIFEST, SIGNATURE, stays_inside};
use crate::fault::Fault;
use crate::panics;

/// The largest archive, in bytes.
const LARGEST: u64 = 512 << 20;
/// Rights of a file: everybody may read it.
const MODE: u32 = 0o644;

/// An archive's files, found but not read.
pub struct Archive {
    file: File,
    path: PathBuf,
    entries: Vec<Entry>,
}

struct Entry {
    name: String,
    start: u64,
    length: u64,
}

impl Archive {
    /// Finds an archive's files.
    ///
    /// # Errors
    /// 65 if it is not exactly what [`pack`] writes, 74 if it cannot be read.
    pub fn open(file: File, path: &Path) -> Result<Archive> {
        let wrong = |what: &str| Fault::data(format!("{}: {what}", path.display()));
        let size = file.metadata().map_err(|error| unreadable(path, error))?.len();
        if size > LARGEST {
            return Err(wrong(&format!("it is larger than {} MiB, the largest size allowed", LARGEST >> 20)));
        }
        let found = panics::caught(|| find(&file, size));
        match found.unwrap_or(Err(Found::Wrong("it is a damaged tar archive"))) {
            Ok(entries) => Ok(Archive { file, path: path.to_owned(), entries }),
            Err(Found::Wrong(what)) => {
                Err(wrong(&format!("{what}; a packed bundle is what polyp-edge bundle pack writes")))
            }
            Err(Found::Unreadable(error)) => Err(unreadable(path, error)),
        }
    }

    /// A file; `None` if there is none of that name.
    pub fn file(&self, name: &str) -> Result<Option<OpenFile>> {
        self.entries.iter().find(|entry| entry.name == name).map(|entry| self.part(entry)).transpose()
    }

    /// Hands over every file in its order.
    ///
    /// # Errors
    /// 74 if there can be no more open files; and whatever `visit` says.
    pub fn walk(&self, visit: &mut dyn FnMut(&str, OpenFile) -> Result<()>) -> Result<()> {
        self.entries.iter().try_for_each(|entry| visit(&entry.name, self.part(entry)?))
    }

    fn part(&self, entry: &Entry) -> Result<OpenFile> {
        let path = self.path.join(&entry.name);
        let file = self.file.try_clone().map_err(|error| unreadable(&path, error))?;
        Ok(OpenFile::part(file, entry.start..entry.start + entry.length, path))
    }
}

/// Why there are no entries.
enum Found {
    Wrong(&'static str),
    Unreadable(io::Error),
}

fn find(file: &File, size: u64) -> Result<Vec<Entry>, Found> {
    // What the file system says is not the archive's fault; what tar says is.
    let io = |error: io::Error| match error.raw_os_error() {
        Some(_) => Found::Unreadable(error),
        None => Found::Wrong("it is not a tar archive, or was cut"),
    };
    let mut file = file;
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    let mut tar = Tar::new(file);
    let mut entries: Vec<Entry> = Vec::new();
    let mut end = 0;
    // Raw: extensions for long names, sparse files and the like are entries of other types.
    for entry in tar.entries_with_seek().map_err(io)?.raw(true) {
        let entry = entry.map_err(io)?;
        let header = entry.header();
        if header.entry_type() != EntryType::Regular || header.as_ustar().is_none() {
            return Err(Found::Wrong("it holds something else than plain files"));
        }
        let name = entry.path_bytes();
        let name = std::str::from_utf8(&name).ok().filter(|name| stays_inside(name));
        let name =
            name.ok_or(Found::Wrong("it holds a file whose name leads outside the bundle"))?.to_owned();
        let (start, length) = (entry.raw_file_position(), header.entry_size().map_err(io)?);
        end = start.saturating_add(length);
        if end > size {
            return Err(Found::Wrong("it was cut: its last file is not whole"));
        }
        if entries.last().is_some_and(|last| !is_before(&last.name, &name)) {
            return Err(Found::Wrong("its files are not in order"));
        }
        if entries.len() == MOST_ENTRIES {
            return Err(Found::Wrong("it contains too many files for a bundle"));
        }
        entries.push(Entry { name, start, length });
    }
    // Two empty blocks end it, and nothing lies behind them.
    if size != end.next_multiple_of(512) + 1024 {
        return Err(Found::Wrong("it was cut, or something was added behind its end"));
    }
    Ok(entries)
}

/// Whether a file comes before another one.
fn is_before(one: &str, other: &str) -> bool {
    let rank = |name: &str| match name {
        MANIFEST => 0,
        SIGNATURE => 1,
        _ => 2,
    };
    (rank(one), one) < (rank(other), other)
}

/// Writes an archive of files, in their order, with what `read` gives for each. The same files give the same bytes.
///
/// # Errors
/// 65 if a name is too long for the format, 74 if it cannot be written; and whatever `read` says.
pub(super) fn pack<'a>(
    names: impl Iterator<Item = &'a str>,
    mut read: impl FnMut(&str) -> Result<Vec<u8>>,
    out: &mut File,
) -> Result<()> {
    let mut tar = Builder::new(out);
    for name in names {
        let bytes = read(name)?;
        let mut header = Header::new_ustar();
        header
            .set_path(name)
            .map_err(|_| Fault::data(format!("{name:?}: the name is too long for a packed bundle")))?;
        header.set_size(bytes.len() as u64);
        header.set_mode(MODE);
        header.set_mtime(0);
        header.set_entry_type(EntryType::Regular);
        header.set_cksum();
        tar.append(&header, bytes.as_slice())?;
    }
    tar.into_inner()?.flush()?;
    Ok(())
}
