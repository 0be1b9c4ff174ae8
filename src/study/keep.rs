//! A still as files in a folder of their own, there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};

use super::dicom::{self, About, Names};
use super::privacy::blacken;
use super::shelf::{new_folder, size_of};
use super::still::{Made, Still};
use crate::detect::Region;
use crate::display::lay_over;
use crate::fault::Fault;
use crate::field_of_view;
use crate::files::make_folder;
use crate::frame::Frame;
use crate::geometry::{Placement, Rect};
use crate::health;
use crate::identity::Program;
use crate::overlay::{Filler, Layer, Painter};
use crate::track::TrackNumber;

/// What becomes of the frame outside the endoscope's picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outside {
    /// It is made black: the patient's name may stand there.
    #[default]
    Black,
    /// It is kept.
    Kept,
}

/// A still's files: the bare picture, the same with what was drawn, what was drawn in figures, and both for an archive.
const PICTURE: &str = "picture.png";
const OUTLINED: &str = "outlined.png";
const REGIONS: &str = "regions.json";
const IMAGE: &str = "picture.dcm";
const SEGMENTATION: &str = "segmentation.dcm";
/// Names of folders that are not whole yet begin so.
const UNFINISHED: &str = ".unfinished-";

/// What was drawn on a still, and what made it.
#[derive(Serialize)]
struct Written<'a> {
    schema: u32,
    program: &'a Program,
    board: &'a str,
    profile_digest: &'a str,
    model: Option<&'a crate::bundle::Identity>,
    /// Local time with its offset; and seconds since 1970.
    time: String,
    unix_s: f64,
    /// Whether the clock was in step with a time server; `null` if the system does not say.
    clock_is_synchronised: Option<bool>,
    frame: u64,
    width_px: usize,
    height_px: usize,
    /// What lay outside the endoscope's picture was made black. `false` also where no border could be found.
    outside_is_black: bool,
    state: &'a str,
    /// Outlines were drawn where there were any.
    outlines: bool,
    /// What was drawn, as it lay on this frame.
    regions: Vec<Line<'a>>,
    /// The result of which that was.
    result: Option<Newest<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    track: Option<TrackNumber>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shown: Option<bool>,
    #[serde(flatten)]
    region: &'a Region,
}

#[derive(Serialize)]
struct Newest<'a> {
    frame: u64,
    age_ms: f64,
    regions: Vec<Line<'a>>,
}

/// Keeps a still in a folder of its own beneath `folder`; gives that. The endoscope's picture lies in `fixed`, if that is given.
///
/// # Errors
/// 74 if it cannot be written, or if all that is kept there takes `most_bytes` already: nothing is removed by itself.
pub fn keep(
    folder: &Path,
    (outside, fixed, most_bytes): (Outside, Option<Rect>, u64),
    zone: &TimeZone,
    mut still: Still,
    made: &Made,
) -> Result<PathBuf> {
    still.take_over()?;
    let mut picture = std::mem::replace(&mut still.frame, Frame::black(1, 1));
    let is_blackened = outside == Outside::Black && blacken(&mut picture, fixed);
    let cannot = |error: &dyn std::fmt::Display| {
        Fault::io(format!("cannot keep the picture in {} (study.folder): {error}", folder.display()))
    };
    make_folder(folder)?;
    let taken = size_of(folder).map_err(|error| cannot(&error))?;
    let needed = 4 * picture.pixels().len() as u64;
    if taken + needed > most_bytes {
        return Err(Fault::io(format!(
            "the picture is not kept: {} has {} MB of pictures, and study.most_megabytes allows {}; move some of them elsewhere",
            folder.display(),
            taken / 1_000_000,
            most_bytes / 1_000_000
        )));
    }
    let time = Timestamp::try_from(still.clock).unwrap_or_default().to_zoned(zone.clone());
    let (unfinished, finished) = new_folder(folder, &time, UNFINISHED, "").map_err(|error| cannot(&error))?;
    let files =
        Files { folder: &unfinished, still: &still, made, time: &time, picture: &picture, is_blackened };
    let written = files.write().and_then(|()| {
        fs::rename(&unfinished, &finished)?;
        File::open(folder)?.sync_all()?;
        Ok(())
    });
    match written {
        Ok(()) => Ok(finished),
        Err(error) => {
            // What stays is found by its name.
            let _ = fs::remove_dir_all(&unfinished);
            Err(cannot(&crate::fault::one_line(&error)))
        }
    }
}

/// What is written of a still.
struct Files<'a> {
    folder: &'a Path,
    still: &'a Still,
    made: &'a Made,
    time: &'a Zoned,
    picture: &'a Frame,
    is_blackened: bool,
}

impl Files<'_> {
    fn write(&self) -> Result<()> {
        let (program, names) = (Program::this(), Names::new());
        self.file(PICTURE, |file| png(file, self.picture))?;
        self.file(OUTLINED, |file| png(file, &self.outlined()))?;
        self.file(REGIONS, |mut file| {
            serde_json::to_writer_pretty(&mut file, &self.regions(&program))?;
            Ok(file.write_all(b"\n")?)
        })?;
        let model = self.made.model.as_ref();
        let about = About {
            names: &names,
            time: self.time,
            program: &program,
            model: &model.map_or("no model".into(), |model| format!("{} {}", model.name, model.version)),
            is_blackened: self.is_blackened,
        };
        self.file(IMAGE, |file| dicom::image(&about, self.picture, file))?;
        let masks = self.masks();
        if !masks.is_empty() {
            let size = (self.picture.width_px(), self.picture.height_px());
            self.file(SEGMENTATION, |file| dicom::segmentation(&about, size, &masks, file))?;
        }
        File::open(self.folder)?.sync_all()?;
        Ok(())
    }

    /// Readable by its owner alone, and on the disk once this returns.
    fn file(&self, name: &str, write: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.folder.join(name))?;
        let mut writer = BufWriter::new(file);
        write(&mut writer)?;
        writer.flush()?;
        Ok(writer.get_ref().sync_all()?)
    }

    fn outlined(&self) -> Frame {
        let (width, height) = (self.picture.width_px(), self.picture.height_px());
        let mut layer = Layer::new(width, height);
        let field = field_of_view::find(self.picture);
        let placement = Placement::identity(width, height);
        Painter::new(self.still.style).marks(&mut layer, self.still.shown.list(), &[], &field, &placement);
        let mut outlined = self.picture.clone();
        lay_over(&layer, &mut outlined);
        outlined
    }

    fn masks(&self) -> Vec<(String, Vec<bool>)> {
        let (width, height) = (self.picture.width_px(), self.picture.height_px());
        let mut filler = Filler::default();
        let shown = &self.still.shown;
        let masks = shown.list().iter().zip(shown.tracks()).map(|(region, track)| {
            let mut mask = vec![false; width * height];
            filler.spans(&region.outline, width, height, |y, columns| {
                let row = y * width;
                mask.get_mut(row + columns.start..row + columns.end).unwrap_or_default().fill(true);
            });
            (format!("Region {}", track.0), mask)
        });
        masks.filter(|(_, mask)| mask.contains(&true)).collect()
    }

    fn regions<'a>(&'a self, program: &'a Program) -> Written<'a> {
        let Files { still, made, time, picture, .. } = self;
        let drawn = still.shown.list().iter().zip(still.shown.tracks());
        let result = still.result.as_ref().map(|result| {
            let followed = still.shown.followed().iter().map(Some).chain(std::iter::repeat(None));
            let lines = result.found.iter().zip(followed).map(|(region, followed)| Line {
                track: followed.and_then(|followed| followed.track),
                shown: followed.map(|followed| followed.is_shown),
                region,
            });
            Newest { frame: result.number.0, age_ms: millis(result.age), regions: lines.collect() }
        });
        Written {
            schema: 1,
            program,
            board: &made.board,
            profile_digest: &made.profile_digest,
            model: made.model.as_ref(),
            time: time.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
            unix_s: time.timestamp().as_microsecond() as f64 / 1e6,
            clock_is_synchronised: health::clock_is_synchronised(),
            frame: still.number.0,
            width_px: picture.width_px(),
            height_px: picture.height_px(),
            outside_is_black: self.is_blackened,
            state: still.state.word(),
            outlines: still.outlines,
            regions: drawn.map(|(region, track)| Line { track: Some(track), shown: None, region }).collect(),
            result,
        }
    }
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn png(file: &mut BufWriter<File>, picture: &Frame) -> Result<()> {
    PngEncoder::new_with_quality(file, CompressionType::Fast, FilterType::Adaptive).write_image(
        picture.pixels(),
        picture.width_px() as u32,
        picture.height_px() as u32,
        ExtendedColorType::Rgb8,
    )?;
    Ok(())
}
