//! The hidden file in an output folder that lists what was written there.
//!
//! Lines of JSON: first a header, then one line for each file, added before the file gets its name. So every file of
//! a run that was killed is listed too; a line without its end, which a killed run may leave, is left out.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use serde::{Deserialize, Serialize};

/// Its name in the folder.
pub const RECORD: &str = ".polyp-edge-output.jsonl";
const SCHEMA: u32 = 1;
/// The most files of one run in one folder.
pub(super) const MOST_FILES: usize = 500_000;
/// The longest line, bytes: a name has 255 bytes at most.
const LONGEST_LINE: u64 = 4096;

#[derive(Serialize, Deserialize)]
pub(super) struct Header {
    schema: u32,
    program: String,
    version: String,
    /// The verb.
    what: String,
}

impl Header {
    pub(super) fn new(what: &str) -> Header {
        Header {
            schema: SCHEMA,
            program: "polyp-edge".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            what: what.into(),
        }
    }
}

/// What a file was when it was written: whoever changes it changes one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    size: u64,
    modified_s: i64,
    modified_ns: u64,
}

impl Mark {
    pub(super) fn of(stat: &Stat) -> Mark {
        // The fields' widths differ between machines.
        #[allow(clippy::unnecessary_cast)]
        Mark {
            size: stat.st_size as u64,
            modified_s: stat.st_mtime as i64,
            modified_ns: stat.st_mtime_nsec as u64,
        }
    }

    /// Of a regular file in the folder; links are not followed.
    pub(super) fn at(folder: &OwnedFd, name: &OsStr) -> Option<Mark> {
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        (FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).then(|| Mark::of(&stat))
    }
}

#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The name's bytes in hexadecimal, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    name_bytes: Option<String>,
    #[serde(flatten)]
    mark: Mark,
}

impl Line {
    fn new(name: &OsStr, mark: Mark) -> Line {
        let text = name.to_str().map(str::to_owned);
        let bytes =
            text.is_none().then(|| name.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect());
        Line { name: text, name_bytes: bytes, mark }
    }

    fn name(self) -> Option<OsString> {
        match (self.name, self.name_bytes) {
            (Some(name), _) => Some(name.into()),
            (None, Some(hex)) => {
                let byte = |index| u8::from_str_radix(hex.get(2 * index..2 * index + 2)?, 16).ok();
                Some(OsString::from_vec((0..hex.len() / 2).map(byte).collect::<Option<_>>()?))
            }
            (None, None) => None,
        }
    }
}

/// The record of a run that is going on.
pub(super) struct Record {
    file: File,
    length: u64,
    files: usize,
}

impl Record {
    /// `file` holds nothing yet.
    pub(super) fn begin(mut file: File, header: &Header) -> std::io::Result<Record> {
        let mut line = serde_json::to_vec(header)?;
        line.push(b'\n');
        file.write_all(&line)?;
        Ok(Record { file, length: line.len() as u64, files: 0 })
    }

    pub(super) fn is_full(&self) -> bool {
        self.files >= MOST_FILES
    }

    /// A line more, or none: what a full disk has taken of it is cut off again.
    pub(super) fn add(&mut self, name: &OsStr, mark: Mark) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(&Line::new(name, mark))?;
        line.push(b'\n');
        let written = self.file.seek(SeekFrom::Start(self.length)).and_then(|_| self.file.write_all(&line));
        if let Err(error) = written {
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += line.len() as u64;
        self.files += 1;
        Ok(())
    }
}

/// Adds a line to the folder's record, and begins one where there is none of this program's.
pub(super) fn append(folder: &OwnedFd, name: &OsStr, mark: Mark) -> std::io::Result<()> {
    let flags = OFlags::RDWR
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(folder, RECORD, flags, Mode::RUSR | Mode::WUSR)?);
    // Waits for a process that adds a line of its own. Some network file systems have no locks.
    let _ = rustix::fs::flock(&file, FlockOperation::LockExclusive);
    let mut lines = Vec::new();
    let length = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    if !has_our_header(&mut BufReader::new(&file)) {
        file.set_len(0)?;
        serde_json::to_writer(&mut lines, &Header::new("single files"))?;
        lines.push(b'\n');
    }
    serde_json::to_writer(&mut lines, &Line::new(name, mark))?;
    lines.push(b'\n');
    let written = file.write_all(&lines);
    if written.is_err() {
        // What a full disk has taken of it is cut off again.
        let _ = file.set_len(length);
    }
    written
}

fn has_our_header(reader: &mut impl BufRead) -> bool {
    let mut line = Vec::new();
    let read = reader.take(LONGEST_LINE).read_until(b'\n', &mut line);
    read.is_ok()
        && line.last() == Some(&b'\n')
        && serde_json::from_slice::<Header>(&line)
            .is_ok_and(|header| header.schema == SCHEMA && header.program == "polyp-edge")
}

/// The files that a folder's record lists, by name, as they were written last. None if there is no record of ours.
pub(super) fn read(folder: &OwnedFd) -> HashMap<OsString, Vec<Mark>> {
    let mut files: HashMap<OsString, Vec<Mark>> = HashMap::new();
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::openat(folder, RECORD, flags, Mode::empty()) else { return files };
    let mut reader = BufReader::new(File::from(file));
    if !has_our_header(&mut reader) {
        return files;
    }
    let mut line = Vec::new();
    let mut next = |line: &mut Vec<u8>| {
        line.clear();
        let read = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', line);
        read.is_ok() && line.last() == Some(&b'\n')
    };
    for _ in 0..MOST_FILES {
        if !next(&mut line) {
            break;
        }
        let Ok(entry) = serde_json::from_slice::<Line>(&line) else { continue };
        let mark = entry.mark;
        if let Some(name) = entry.name().filter(|name| super::names::is_plain(name)) {
            files.entry(name).or_default().push(mark);
        }
    }
    files
}
