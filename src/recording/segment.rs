//! The files of a recording, in a folder of their own: a film of the bare pictures, one of the outlined ones, what was drawn in figures,
//! and what made it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::Wish;
use super::matroska::{self, Head};
use super::ring::{About, Taken};
use crate::bundle::Identity;
use crate::control::Way;
use crate::fault::{Fault, one_line};
use crate::files::{make_folder, write_whole};
use crate::health;
use crate::identity::Program;
use crate::study::shelf::{new_folder, size_of};
use crate::study::{Made, Outside};

/// Names of recordings' folders end so.
const ENDING: &str = "-video";
/// What a recording consists of: a film for each of the first two parts of a picture, a line for the third.
const FILMS: [&str; 2] = ["clean.mkv", "outlined.mkv"];
const LINES: &str = "pictures.jsonl";
const RECORD: &str = "recording.json";
/// No more is written where the file system has no more room than this: it is not the recordings' alone.
const LEAST_FREE: u64 = 256_000_000;
/// Lines wait no longer than films' pictures do.
const LINES_EVERY: Duration = Duration::from_secs(2);

/// What is done when all that is kept takes as much as it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// No more is recorded, and the monitor says so.
    #[default]
    Stop,
    /// The oldest recordings are removed.
    RemoveOldest,
}

/// Where recordings go, and how much of them there may be.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where everything is kept.
    pub folder: PathBuf,
    /// All that is kept there, together.
    pub most_bytes: u64,
    /// What is done then.
    pub when_full: WhenFull,
    /// Of the times that are written.
    pub zone: TimeZone,
}

/// How a recording came to be.
#[derive(Clone, Debug)]
pub struct Begun {
    /// What made the outlines.
    pub made: Made,
    /// How it is coded.
    pub wish: Wish,
    /// Who asked for it; nobody if the profile says that everything is recorded.
    pub by: Option<Way>,
    /// The name of the folder with what was before.
    pub continues: Option<String>,
}

/// A recording that grows, as the thread that writes sees it.
pub trait Recording: Send {
    /// The name of its folder.
    fn name(&self) -> &str;

    /// Adds a picture that belongs to the same source and has the same size as the first.
    ///
    /// # Errors
    /// 74 if it cannot be written, or if there is no room left.
    fn add(&mut self, picture: &Taken) -> Result<()>;

    /// Ends it; `why` in words, and how many pictures are missing in it.
    ///
    /// # Errors
    /// 74 if its end cannot be written. What was written before can be seen all the same.
    fn finish(self: Box<Self>, why: &str, missing: u64) -> Result<()>;
}

/// A recording in a folder.
pub struct Segment {
    place: Place,
    folder: PathBuf,
    name: String,
    program: Program,
    begun: Begun,
    films: [Option<matroska::Film>; 2],
    lines: File,
    /// Lines that are not in the file yet.
    waiting: Vec<u8>,
    lines_bytes: u64,
    /// When lines were written last, by the times of their pictures.
    written: Instant,
    /// Of the first picture.
    first: About,
    clock_is_synchronised: Option<bool>,
    pictures: u64,
    without_border: u64,
    /// What is kept besides.
    others_bytes: u64,
}

#[derive(Serialize)]
struct Record<'a> {
    schema: u32,
    program: &'a Program,
    board: &'a str,
    profile_digest: &'a str,
    /// In charge when it began.
    model: Option<&'a Identity>,
    /// Of the first picture: local time with its offset, and seconds since 1970.
    time: String,
    unix_s: f64,
    /// Whether the clock was in step with a time server; `null` if the system does not say.
    clock_is_synchronised: Option<bool>,
    width_px: usize,
    height_px: usize,
    /// What became of what lay outside the endoscope's picture.
    outside: Outside,
    rate_hz: f64,
    quality: u8,
    /// Who asked for it; `null` if everything is recorded.
    by: Option<&'a Way>,
    continues: Option<&'a str>,
    /// `null` if it was cut off.
    ended: Option<Ended<'a>>,
}

#[derive(Serialize)]
struct Ended<'a> {
    why: &'a str,
    pictures: u64,
    /// Pictures that were coded and not written in time.
    missing: u64,
    /// Pictures in which no border could be told: nothing in them was made black. `null` where there are none.
    without_border: Option<u64>,
}

impl Segment {
    /// Begins a recording with its first picture, which is yet to be added.
    ///
    /// # Errors
    /// 74 if it cannot be written, or if there is no room.
    pub fn begin(place: Place, first: &About, begun: Begun) -> Result<Segment> {
        let cannot = |error: &dyn std::fmt::Display| {
            Fault::io(format!("cannot record in {} (study.folder): {error}", place.folder.display()))
        };
        make_folder(&place.folder)?;
        let others_bytes = make_room(&place, None).map_err(|error| cannot(&one_line(&error)))?;
        let time = Timestamp::try_from(first.clock).unwrap_or_default().to_zoned(place.zone.clone());
        let (folder, _) = new_folder(&place.folder, &time, "", ENDING).map_err(|error| cannot(&error))?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let program = Program::this();
        let wanted = [begun.wish.pictures.has_clean(), begun.wish.pictures.has_outlined()];
        let begin = || -> std::io::Result<_> {
            let mut films = [None, None];
            for ((film, file), wanted) in films.iter_mut().zip(FILMS).zip(wanted) {
                if wanted {
                    let head = Head {
                        size: first.size,
                        date: first.clock,
                        title: format!("{name} {file}"),
                        program: format!("polyp-edge {}", program.version),
                    };
                    *film = Some(matroska::Film::begin(create(&folder.join(file))?, head)?);
                }
            }
            let lines = create(&folder.join(LINES))?;
            Ok((films, lines))
        };
        let (films, lines) = begin().map_err(|error| cannot(&error))?;
        let segment = Segment {
            place: place.clone(),
            folder,
            name,
            program,
            begun,
            films,
            lines,
            waiting: Vec::new(),
            lines_bytes: 0,
            written: first.at,
            first: *first,
            clock_is_synchronised: health::clock_is_synchronised(),
            pictures: 0,
            without_border: 0,
            others_bytes,
        };
        segment.write_record(None)?;
        Ok(segment)
    }

    fn cannot(&self, error: &dyn std::fmt::Display) -> anyhow::Error {
        Fault::io(format!("cannot go on recording in {}: {error}", self.folder.display()))
    }

    fn bytes(&self) -> u64 {
        let films: u64 = self.films.iter().flatten().map(matroska::Film::bytes).sum();
        films + self.lines_bytes
    }

    fn try_add(&mut self, picture: &Taken, about: &About) -> Result<()> {
        let at = about.at.saturating_duration_since(self.first.at);
        let mut is_written = false;
        for (index, film) in self.films.iter_mut().enumerate() {
            if let Some(film) = film {
                is_written |= film.picture(at, picture.part(index))?;
            }
        }
        self.waiting.extend_from_slice(picture.part(FILMS.len()));
        self.pictures += 1;
        self.without_border += u64::from(!about.is_black_outside);
        // Without films, lines are all that there is.
        is_written |= about.at.saturating_duration_since(self.written) >= LINES_EVERY;
        if is_written {
            self.written = about.at;
            self.write_lines()?;
            for film in self.films.iter().flatten() {
                film.sync()?;
            }
            if self.others_bytes + self.bytes() > self.place.most_bytes || is_full(&self.place.folder)? {
                self.others_bytes = make_room(&self.place, Some((&self.name, self.bytes())))?;
            }
        }
        Ok(())
    }

    fn write_lines(&mut self) -> std::io::Result<()> {
        self.lines.write_all(&self.waiting)?;
        self.lines_bytes += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }

    fn write_record(&self, ended: Option<Ended<'_>>) -> Result<()> {
        let Segment { begun, first, .. } = self;
        let time = Timestamp::try_from(first.clock).unwrap_or_default().to_zoned(self.place.zone.clone());
        let record = Record {
            schema: 1,
            program: &self.program,
            board: &begun.made.board,
            profile_digest: &begun.made.profile_digest,
            model: begun.made.model.as_ref(),
            time: time.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
            unix_s: first.clock.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            clock_is_synchronised: self.clock_is_synchronised,
            width_px: first.size.0,
            height_px: first.size.1,
            outside: begun.wish.outside,
            rate_hz: begun.wish.rate_hz,
            quality: begun.wish.quality,
            by: begun.by.as_ref(),
            continues: begun.continues.as_deref(),
            ended,
        };
        write_whole(&self.folder.join(RECORD), |file| {
            serde_json::to_writer_pretty(&mut *file, &record)?;
            file.write_all(b"\n")?;
            Ok(file.sync_all()?)
        })
    }

    fn try_finish(&mut self, why: &str, missing: u64) -> Result<()> {
        for film in self.films.iter_mut().filter_map(Option::take) {
            film.finish()?;
        }
        self.write_lines()?;
        self.lines.sync_all()?;
        let ended = Ended {
            why,
            pictures: self.pictures,
            missing,
            without_border: Some(self.without_border).filter(|_| self.begun.wish.pictures.has_films()),
        };
        self.write_record(Some(ended))?;
        Ok(File::open(&self.folder)?.sync_all()?)
    }
}

impl Recording for Segment {
    fn name(&self) -> &str {
        &self.name
    }

    fn add(&mut self, picture: &Taken) -> Result<()> {
        let Some(about) = picture.about else { return Ok(()) };
        self.try_add(picture, &about).map_err(|error| self.cannot(&one_line(&error)))
    }

    fn finish(mut self: Box<Self>, why: &str, missing: u64) -> Result<()> {
        self.try_finish(why, missing).map_err(|error| self.cannot(&one_line(&error)))
    }
}

/// Readable by its owner alone.
fn create(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn is_full(folder: &Path) -> std::io::Result<bool> {
    let there = rustix::fs::statvfs(folder)?;
    Ok(there.f_bavail.saturating_mul(there.f_frsize) < LEAST_FREE)
}

/// Makes room for what is yet to come, as far as that is allowed; gives the bytes of all that is kept besides the recording that is under
/// way, whose name and bytes these are.
fn make_room(place: &Place, under_way: Option<(&str, u64)>) -> Result<u64> {
    let (name, mine) = under_way.unwrap_or_default();
    loop {
        let others = size_of(&place.folder)?.saturating_sub(mine);
        let is_over = others + mine >= place.most_bytes;
        let is_full = is_full(&place.folder)?;
        if !is_over && !is_full {
            return Ok(others);
        }
        let oldest = match place.when_full {
            WhenFull::Stop => None,
            WhenFull::RemoveOldest => oldest(&place.folder, name)?,
        };
        match oldest {
            Some(oldest) => {
                log::info!("{} is removed to make room for newer recordings", oldest.display());
                fs::remove_dir_all(oldest)?;
            }
            None if is_over => anyhow::bail!(
                "all that is kept there takes {} MB, and study.most_megabytes allows {}; move some of it elsewhere",
                (others + mine) / 1_000_000,
                place.most_bytes / 1_000_000
            ),
            None => anyhow::bail!(
                "the disk is full, but for the {} MB that are left to others",
                LEAST_FREE / 1_000_000
            ),
        }
    }
}

/// The oldest recording, by its name, but for the one that is under way.
fn oldest(folder: &Path, under_way: &str) -> std::io::Result<Option<PathBuf>> {
    let mut oldest: Option<PathBuf> = None;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_recording = name.to_str().is_some_and(|name| name.ends_with(ENDING) && name != under_way)
            && entry.file_type()?.is_dir();
        let path = entry.path();
        if is_recording && oldest.as_ref().is_none_or(|oldest| path < *oldest) {
            oldest = Some(path);
        }
    }
    Ok(oldest)
}

/// Whether a picture belongs to another recording than the one that began with `first`, at `begun`: in words why, if so.
pub fn another(first: &About, next: &About, longest: Duration) -> Option<&'static str> {
    let lasts = |at: Instant| at.saturating_duration_since(first.at);
    if next.epoch != first.epoch {
        Some("another source, or the camera was away")
    } else if next.size != first.size {
        Some("pictures of another size")
    } else if lasts(next.at) >= longest {
        Some("it goes on in the next folder")
    } else {
        None
    }
}
