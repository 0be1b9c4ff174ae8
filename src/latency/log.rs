//! Minutes on disk. A run appends to files of its own; a cut at any byte, by a pulled plug or a full disk, costs the line that was being
//! written and no other.
//!
//! A file is text, a line an entry: the CRC-32 of the entry in hex, its length in bytes, and the entry as JSON.
//!
//! ```text
//! 8f2d1c07 512 {"kind":"setup","schema":1,…}
//! 1b0ce4a2 2210 {"kind":"minute","unix_s":…}
//! ```
//!
//! Files are named by number and time of their beginning, `000012-2026-11-30T101500Z.latency`; numbers tell the order, whatever the clock
//! says. A run begins a file, and another one each day.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::interval::Interval;
use crate::fault::Fault;
use crate::files;

/// Of the entries.
pub const SCHEMA: u32 = 1;
/// How a log's file ends.
pub const ENDING: &str = ".latency";
/// The longest line, bytes: fifteen stages of durations that differ widely need a tenth of it.
const LONGEST_LINE: usize = 1 << 20;
/// A run begins another file after so long, s.
const DAY_S: f64 = 86_400.0;
/// Readable for the group, which administers.
const MODE: Mode = Mode::from_raw_mode(0o640);
const FOLDER_MODE: u32 = 0o750;

/// A line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    /// What runs from here on: first in each file, and again where something of it changes.
    Setup(Setup),
    /// What happened in a minute.
    Minute(Interval),
    /// The run has ended by itself.
    End {
        /// Seconds since 1970.
        unix_s: f64,
        /// The program's exit code.
        exit_code: u8,
    },
}

/// Which program and model run where. An older or newer program may leave something out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Setup {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Of the machine's start.
    pub boot_id: String,
    /// The process.
    pub pid: u32,
    /// The program's version, commit, build and kernel set.
    pub version: String,
    /// See above.
    pub commit: String,
    /// See above.
    pub build: String,
    /// See above.
    pub kernels: String,
    /// The machine's name.
    pub host: String,
    /// The machine's kind, as its firmware tells.
    pub hardware: String,
    /// The kernel's release.
    pub system: String,
    /// The profile's name and digest.
    pub board: String,
    /// See above.
    pub profile_digest: String,
    /// The model's name, version, digest; empty while there is none.
    pub model: String,
    /// See above.
    pub model_version: String,
    /// See above.
    pub model_digest: String,
    /// What the pictures come from and go to, a line each.
    pub feed: String,
    /// See above.
    pub display: String,
    /// By which clock the camera's driver tells when a frame was taken, and when in the frame.
    pub driver_clock: String,
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// All files of a folder together, bytes; the newest is always kept.
    pub bytes: u64,
    /// Days since a file was last written to.
    pub days: f64,
}

/// A run's log, written to.
pub struct Writer {
    folder: PathBuf,
    bounds: Bounds,
    file: File,
    written: u64,
    begun_s: f64,
    setup: Setup,
    /// The file says what runs.
    is_told: bool,
}

/// A log that minutes are appended to.
pub trait Minutes {
    /// Appends what runs from here on, if it is something else than before.
    ///
    /// # Errors
    /// As [`Self::minute`].
    fn setup(&mut self, setup: &Setup) -> Result<()>;

    /// Appends a minute; when it has returned, that is on the disk.
    ///
    /// # Errors
    /// 74 if it cannot be written: nothing of it is left in the log then, as far as the disk allows that.
    fn minute(&mut self, interval: &Interval) -> Result<()>;

    /// Appends that the run has ended.
    ///
    /// # Errors
    /// As [`Self::minute`].
    fn end(&mut self, unix_s: f64, exit_code: u8) -> Result<()>;
}

impl Writer {
    /// Begins a file, at `unix_s`, and removes the oldest ones where there are too many.
    ///
    /// # Errors
    /// 74 if the folder cannot be made or written to.
    pub fn begin(folder: &Path, bounds: Bounds, setup: Setup, unix_s: f64) -> Result<Writer> {
        let file = open(folder, bounds, unix_s).map_err(|error| cannot(folder, &error))?;
        let mut writer = Writer {
            folder: folder.to_owned(),
            bounds,
            file,
            written: 0,
            begun_s: unix_s,
            setup,
            is_told: false,
        };
        writer.tell()?;
        Ok(writer)
    }

    /// Appends what runs from here on, unless the file says so.
    fn tell(&mut self) -> Result<()> {
        if !self.is_told {
            self.append(&Entry::Setup(self.setup.clone()))?;
            self.is_told = true;
        }
        Ok(())
    }

    fn append(&mut self, entry: &Entry) -> Result<()> {
        let line = line(entry)?;
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // What a full disk has taken of it is cut off again.
            let _ = self.file.set_len(self.written);
            return Err(cannot(&self.folder, &error));
        }
        self.written += line.len() as u64;
        Ok(())
    }
}

impl Minutes for Writer {
    fn setup(&mut self, setup: &Setup) -> Result<()> {
        if self.setup != *setup {
            (self.setup, self.is_told) = (setup.clone(), false);
        }
        self.tell()
    }

    /// After a day it begins another file.
    fn minute(&mut self, interval: &Interval) -> Result<()> {
        // A clock that was set back does not begin one file after another.
        if interval.unix_s >= self.begun_s + DAY_S {
            self.file = open(&self.folder, self.bounds, interval.unix_s)
                .map_err(|error| cannot(&self.folder, &error))?;
            (self.written, self.begun_s, self.is_told) = (0, interval.unix_s, false);
        }
        self.tell()?;
        self.append(&Entry::Minute(interval.clone()))
    }

    fn end(&mut self, unix_s: f64, exit_code: u8) -> Result<()> {
        self.append(&Entry::End { unix_s, exit_code })
    }
}

fn cannot(folder: &Path, error: &std::io::Error) -> anyhow::Error {
    Fault::io(format!("cannot write latencies to {}: {error}", folder.display()))
}

/// An entry as it is written.
///
/// # Errors
/// If it is no JSON, which cannot be.
fn line(entry: &Entry) -> Result<String> {
    let text = serde_json::to_string(entry)?;
    Ok(format!("{:08x} {} {text}\n", crc32fast::hash(text.as_bytes()), text.len()))
}

/// The folder's logs, by number: their number, path and size.
fn logs(folder: &Path) -> std::io::Result<Vec<(u64, PathBuf, fs::Metadata)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(number_of);
        if let (Some(number), Ok(about)) = (number, entry.metadata())
            && about.is_file()
        {
            found.push((number, entry.path(), about));
        }
    }
    found.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    Ok(found)
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_suffix(ENDING)?.split_once('-')?.0.parse().ok()
}

/// Removes what is too old or too much, and makes the next file.
fn open(folder: &Path, bounds: Bounds, unix_s: f64) -> std::io::Result<File> {
    files::make_shared_folder(folder, FOLDER_MODE)?;
    let found = logs(folder)?;
    let next = found.last().map_or(1, |(number, ..)| number.saturating_add(1));
    let now = SystemTime::UNIX_EPOCH + Duration::try_from_secs_f64(unix_s).unwrap_or_default();
    let oldest = Duration::try_from_secs_f64(86_400.0 * bounds.days).unwrap_or(Duration::MAX);
    let mut bytes: u64 = found.iter().map(|(.., about)| about.len()).sum();
    for (_, path, about) in &found {
        let age = about.modified().ok().and_then(|at| now.duration_since(at).ok()).unwrap_or_default();
        if age > oldest || bytes > bounds.bytes {
            fs::remove_file(path)?;
            bytes -= about.len();
        }
    }
    let at = jiff::Timestamp::try_from(now).unwrap_or_default().strftime("%Y-%m-%dT%H%M%SZ");
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(folder.join(format!("{next:06}-{at}{ENDING}")), flags, MODE)?);
    files::give_to_owner_of(folder, file.as_fd())?;
    // The name, too, outlives a loss of power.
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// In their order.
    pub entries: Vec<Entry>,
    /// Bytes that are no entry: where they begin and how many they are.
    pub damaged: Vec<(u64, u64)>,
}

impl Reading {
    /// Whether the run says that it ended: else it was killed, lost its power, or goes on.
    pub fn has_ended(&self) -> bool {
        matches!(self.entries.last(), Some(Entry::End { .. }))
    }
}

/// Reads a log. What is damaged is left out and told of.
///
/// # Errors
/// 74 if it cannot be read; 65 if nothing of it is an entry.
pub fn read(path: &Path) -> Result<Reading> {
    let failed = |error: std::io::Error| Fault::io(format!("cannot read {}: {error}", path.display()));
    let mut reader = BufReader::new(File::open(path).map_err(failed)?);
    let (mut reading, mut at, mut bytes) = (Reading::default(), 0, Vec::new());
    loop {
        bytes.clear();
        let count =
            (&mut reader).take(LONGEST_LINE as u64).read_until(b'\n', &mut bytes).map_err(failed)? as u64;
        if count == 0 {
            break;
        }
        match entry_of(&bytes) {
            Some(entry) => reading.entries.push(entry),
            None => match reading.damaged.last_mut() {
                Some((from, length)) if *from + *length == at => *length += count,
                _ => reading.damaged.push((at, count)),
            },
        }
        at += count;
    }
    if reading.entries.is_empty() {
        return Err(Fault::data(format!(
            "{}: it is no log of latencies, or nothing of it is whole",
            path.display()
        )));
    }
    Ok(reading)
}

fn entry_of(line: &[u8]) -> Option<Entry> {
    let text = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (checksum, rest) = text.split_once(' ')?;
    let (length, text) = rest.split_once(' ')?;
    let is_whole = u32::from_str_radix(checksum, 16).ok()? == crc32fast::hash(text.as_bytes())
        && length.parse() == Ok(text.len());
    is_whole.then(|| serde_json::from_str(text).ok())?
}

/// The logs in a folder, the oldest first; or the file itself.
///
/// # Errors
/// 74 if the folder cannot be read, or there is nothing.
pub fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error: std::io::Error| Fault::io(format!("cannot read {}: {error}", path.display()));
    match fs::metadata(path) {
        Ok(about) if about.is_dir() => {
            Ok(logs(path).map_err(failed)?.into_iter().map(|(_, path, _)| path).collect())
        }
        Ok(_) => Ok(vec![path.to_owned()]),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(Fault::io(format!("{}: there is no such file or folder", path.display())))
        }
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fault::{Exit, exit_of};

    const BOUNDS: Bounds = Bounds { bytes: 1 << 20, days: 30.0 };

    fn minute(number: u64) -> Interval {
        Interval {
            unix_s: 1e9 + 60.0 * number as f64,
            seconds: 60.0,
            transitions: number,
            ..Interval::default()
        }
    }

    fn write(folder: &Path, minutes: u64) -> PathBuf {
        let mut writer = Writer::begin(folder, BOUNDS, Setup::default(), 1e9).unwrap();
        (0..minutes).for_each(|number| writer.minute(&minute(number)).unwrap());
        files(folder).unwrap().pop().unwrap()
    }

    fn numbers(reading: &Reading) -> Vec<u64> {
        let minutes = reading.entries.iter().filter_map(|entry| match entry {
            Entry::Minute(interval) => Some(interval.transitions),
            _ => None,
        });
        minutes.collect()
    }

    #[test]
    fn a_run_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let setup = Setup { host: "cart-7".into(), ..Setup::default() };
        let mut writer = Writer::begin(&folder.path().join("new"), BOUNDS, setup.clone(), 1e9).unwrap();
        writer.minute(&minute(1)).unwrap();
        writer.setup(&setup).unwrap();
        let other = Setup { model: "lite".into(), ..setup.clone() };
        writer.setup(&other).unwrap();
        writer.end(1e9, 3).unwrap();
        let found = files(&folder.path().join("new")).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].file_name().unwrap(), "000001-2001-09-09T014640Z.latency");
        let reading = read(&found[0]).unwrap();
        let expected = [
            Entry::Setup(setup),
            Entry::Minute(minute(1)),
            Entry::Setup(other),
            Entry::End { unix_s: 1e9, exit_code: 3 },
        ];
        assert_eq!((reading.entries.as_slice(), reading.damaged.as_slice()), (&expected[..], &[][..]));
        assert!(reading.has_ended());
    }

    #[test]
    fn a_cut_at_any_byte_costs_one_line_at_most() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), 5);
        let whole = fs::read(&path).unwrap();
        let ends: Vec<usize> = (0..whole.len()).filter(|&at| whole[at] == b'\n').map(|at| at + 1).collect();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let lines = ends.iter().filter(|&&end| end <= length).count();
            if lines == 0 {
                assert_eq!(exit_of(&read(&path).unwrap_err()), Exit::Data);
                continue;
            }
            let reading = read(&path).unwrap();
            assert_eq!(reading.entries.len(), lines, "cut after {length} bytes");
            let rest = length - ends[lines - 1];
            let damaged: Vec<_> =
                (rest > 0).then_some((ends[lines - 1] as u64, rest as u64)).into_iter().collect();
            assert_eq!(reading.damaged, damaged);
            assert!(!reading.has_ended());
        }
    }

    #[test]
    fn another_file_is_begun_each_day_and_whenever_a_run_begins() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::begin(folder.path(), BOUNDS, Setup::default(), 1e9).unwrap();
        // The clock is set back by years, and forward again.
        for unix_s in [1e9 + 60.0, 5e8, 1e9 + 86_400.0, 1e9 + 86_460.0] {
            writer.minute(&Interval { unix_s, ..Interval::default() }).unwrap();
        }
        write(folder.path(), 1);
        let found = files(folder.path()).unwrap();
        let minutes: Vec<_> = found.iter().map(|path| numbers(&read(path).unwrap()).len()).collect();
        assert_eq!(minutes, [2, 2, 1]);
    }

    #[test]
    fn the_oldest_go_where_there_are_too_many() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), 50);
        let size = fs::metadata(path).unwrap().len();
        fs::write(folder.path().join("notes.txt"), "somebody's").unwrap();
        let bounds = Bounds { bytes: 3 * size, days: 30.0 };
        for _ in 0..6 {
            let mut writer = Writer::begin(folder.path(), bounds, Setup::default(), 1e9).unwrap();
            (0..50).for_each(|number| writer.minute(&minute(number)).unwrap());
        }
        let found = files(folder.path()).unwrap();
        let first = found[0].file_name().unwrap().to_str().unwrap();
        assert!(found.len() == 4 && first.starts_with("000004-"), "{found:?}");
        assert!(folder.path().join("notes.txt").exists());
        // By age: all were just written, in a year they are old.
        let later = jiff::Timestamp::now().as_second() as f64 + 365.0 * DAY_S;
        Writer::begin(folder.path(), bounds, Setup::default(), later).unwrap();
        assert_eq!(files(folder.path()).unwrap().len(), 1);
    }

    proptest! {
        /// Bytes that are changed, removed or put in cost the lines that they lie in.
        #[test]
        fn damage_costs_the_lines_that_it_lies_in(at in 0usize..2000, removed in 0usize..300, put in proptest::collection::vec(any::<u8>(), 0..50)) {
            let folder = tempfile::tempdir().unwrap();
            let path = write(folder.path(), 12);
            let mut bytes = fs::read(&path).unwrap();
            let at = at % bytes.len();
            let end = (at + removed).min(bytes.len());
            let same = bytes[at..end] == put[..];
            let lines = bytes[at..end].iter().filter(|&&byte| byte == b'\n').count() as u64;
            bytes.splice(at..end, put);
            fs::write(&path, &bytes).unwrap();
            match read(&path) {
                Ok(reading) => {
                    let found = numbers(&reading);
                    prop_assert!(found.len() as u64 + lines + 2 >= 12, "{:?}", found);
                    prop_assert!(found.is_sorted() && found.iter().all(|&number| number < 12));
                    let counted: u64 = reading.damaged.iter().map(|&(_, length)| length).sum();
                    prop_assert!(counted <= bytes.len() as u64);
                    prop_assert!(same || end == at || reading.entries.len() < 14 || !reading.damaged.is_empty());
                }
                Err(error) => prop_assert_eq!(exit_of(&error), Exit::Data),
            }
        }
    }
}
