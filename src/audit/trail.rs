//! The audit trail's files.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::event::{Entry, Event, Line, SCHEMA};
use crate::bundle::digest;
use crate::fault::Fault;
use crate::{files, health, runtime};

/// What is written to. Older ones are `audit.1.jsonl`, `audit.2.jsonl` and so on.
const NEWEST: &str = "audit.jsonl";
/// The number and the digest of the last line.
pub(super) const HEAD: &str = "audit.head";
const LOCK: &str = "audit.lock";
/// A file is put aside when it would become larger, bytes; so many are kept beside the newest.
const LARGEST: u64 = 1 << 20;
const KEPT: u32 = 7;
/// The longest line, bytes.
pub(super) const LONGEST_LINE: usize = 16 << 10;
/// How long a line waits for another program's.
const PATIENCE: Duration = Duration::from_secs(5);
/// Readable for the group, which administers.
const MODE: Mode = Mode::from_raw_mode(0o640);
const FOLDER_MODE: u32 = 0o750;

/// The last line that was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// 0: there is none.
    pub number: u64,
    /// Of the whole line with its end.
    pub digest: String,
}

pub(super) struct Trail {
    folder: PathBuf,
    largest: u64,
}

impl Trail {
    pub(super) fn at(folder: &Path) -> Trail {
        Trail { folder: folder.to_owned(), largest: LARGEST }
    }

    #[cfg(test)]
    pub(super) fn with_largest(folder: &Path, largest: u64) -> Trail {
        Trail { folder: folder.to_owned(), largest }
    }

    /// The files that there can be, the oldest first.
    pub(super) fn files(&self) -> impl Iterator<Item = PathBuf> {
        names().map(|name| self.folder.join(name))
    }

    /// What the file beside the lines says was the last; `None` if there is none that can be read.
    pub(super) fn head(&self) -> Option<Head> {
        let mut text = String::new();
        File::open(self.folder.join(HEAD)).ok()?.take(4096).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }

    pub(super) fn append(&self, entry: &Entry, boot_id: &str) -> Result<()> {
        self.try_append(entry, boot_id).map_err(|error| {
            Fault::io(format!("cannot write to the audit trail in {}: {error}", self.folder.display()))
        })
    }

    fn try_append(&self, entry: &Entry, boot_id: &str) -> io::Result<()> {
        files::make_shared_folder(&self.folder, FOLDER_MODE)?;
        let _lock = self.lock()?;
        let mut file = self.open(NEWEST)?;
        let mut end = End::of(&mut file)?;
        if end.unfinished > 0 {
            file.set_len(end.length)?;
        }
        let (unfinished_bytes, mut last) = (end.unfinished, end.head());
        if end.last.is_none() {
            // The newest was put aside, or the folder is new.
            let older =
                File::open(self.folder.join("audit.1.jsonl")).and_then(|mut older| End::of(&mut older));
            last = older.ok().and_then(|older| older.head());
        }
        // The head is what was written, whatever has become of the lines: what does not fit to it is to show for ever. It is older than
        // the last line if the power failed between the two.
        let last = match (last, self.head()) {
            (Some(last), Some(head)) if head.number < last.number => last,
            (last, head) => head.or(last).unwrap_or_default(),
        };
        let clock_is_synchronised = health::clock_is_synchronised();
        let line = |event| {
            serde_json::to_string(&Line {
                schema: SCHEMA,
                number: last.number.saturating_add(1),
                unix_s: entry.unix_s,
                uptime_s: entry.uptime_s,
                boot_id,
                clock_is_synchronised,
                unfinished_bytes,
                event,
                before: &last.digest,
            })
        };
        let mut line = match line(&entry.event)? {
            line if line.len() < LONGEST_LINE => line,
            _ => line(&Event::Lost { events: 1 })?,
        };
        line.push('\n');
        if end.length > 0 && end.length + line.len() as u64 > self.largest {
            self.rotate()?;
            file = self.open(NEWEST)?;
            end = End::default();
        }
        file.seek(SeekFrom::Start(end.length))?;
        if let Err(error) = file.write_all(line.as_bytes()).and_then(|()| file.sync_data()) {
            // What a full disk has taken of it is cut off again.
            let _ = file.set_len(end.length);
            return Err(error);
        }
        // After the line: one that is older than the lines is no cut.
        let head = Head { number: last.number.saturating_add(1), digest: digest(line.as_bytes()) };
        let mut head_file = self.open(&format!("{HEAD}.part"))?;
        head_file.set_len(0)?;
        head_file.write_all(serde_json::to_string(&head)?.as_bytes())?;
        head_file.sync_data()?;
        std::fs::rename(self.folder.join(format!("{HEAD}.part")), self.folder.join(HEAD))
    }

    fn rotate(&self) -> io::Result<()> {
        let older = |number: u32| self.folder.join(format!("audit.{number}.jsonl"));
        for number in (1..KEPT).rev() {
            match std::fs::rename(older(number), older(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::rename(self.folder.join(NEWEST), older(1))
    }

    /// Opens a file for reading and writing, and makes it the folder's owner's if it is new.
    fn open(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(self.folder.join(name), flags, MODE)?);
        files::give_to_owner_of(&self.folder, file.as_fd())?;
        Ok(file)
    }

    fn lock(&self) -> io::Result<File> {
        let (file, until) = (self.open(LOCK)?, runtime::now() + PATIENCE);
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                Err(Errno::WOULDBLOCK) if runtime::now() < until => {
                    runtime::thread::sleep(Duration::from_millis(10));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Names of files with lines, the oldest first.
pub(super) fn names() -> impl Iterator<Item = String> {
    let older = (1..=KEPT).rev().map(|number| format!("audit.{number}.jsonl"));
    older.chain([NEWEST.to_owned()])
}

/// The end of a file of lines.
#[derive(Default)]
struct End {
    /// Up to the end of the last whole line.
    length: u64,
    /// Bytes after it.
    unfinished: u64,
    /// The last whole line, with its end.
    last: Option<Vec<u8>>,
}

impl End {
    fn of(file: &mut File) -> io::Result<End> {
        let length = file.metadata()?.len();
        let start = length.saturating_sub(2 * LONGEST_LINE as u64);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(length - start).read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let unfinished = (bytes.len() - whole) as u64;
        bytes.truncate(whole);
        let begin = bytes.iter().rev().skip(1).position(|&byte| byte == b'\n');
        let begin = begin.map_or(0, |back| bytes.len().saturating_sub(1 + back));
        let last = bytes.get(begin..).filter(|line| !line.is_empty()).map(<[u8]>::to_vec);
        Ok(End { length: length - unfinished, unfinished, last })
    }

    fn head(&self) -> Option<Head> {
        let line = self.last.as_ref()?;
        let value: serde_json::Value = serde_json::from_slice(line).ok()?;
        Some(Head { number: value.get("number")?.as_u64()?, digest: digest(line) })
    }
}
