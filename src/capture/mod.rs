//! Where frames come from: [`open`] takes what a person names and gives a [`Source`].
//!
//! | module | source |
//! |---|---|
//! | [`live`] | what a camera is to the pipeline |
//! | [`still`], `png`, [`jpeg`] | one picture, from its bytes |
//! | `foreign` | what a file is that is not read |
//! | [`replay`] | folders of images, MJPEG and Y4M files, video on standard input |
//! | [`synthetic`] | a rendered endoscope that knows its polyps |
//! | [`v4l2`] | cameras and grabbers, live |

mod foreign;
pub mod jpeg;
pub mod live;
mod png;
pub mod replay;
pub mod still;
pub mod synthetic;
#[cfg(test)]
mod tests;
pub mod v4l2;

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::path::Path;

use anyhow::Result;

pub use synthetic::Mask;

use crate::fault::Fault;
use crate::frame::Frame;

/// One frame of a source is damaged; the frames after it can still be read.
///
/// The message is one line: which frame of which stream or file, and what is wrong with it. Its exit code is 65.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DamagedFrame {
    pub message: String,
}

impl DamagedFrame {
    /// Already wrapped: it is only ever returned as an error.
    #[allow(clippy::new_ret_no_self)]
    pub fn new(message: impl Into<String>) -> anyhow::Error {
        let message = message.into();
        anyhow::Error::new(DamagedFrame { message })
    }
}

/// Something that gives one frame after another.
pub trait Source: Send {
    /// Reads the next frame into memory that is kept; `false` at the end, which stays so.
    ///
    /// Errors: a [`DamagedFrame`] where this one frame cannot be read but the next call goes on with the frame after
    /// it. `frame` then holds nothing of use, and [`Source::name`] is the damaged frame's name. The damaged frame keeps its
    /// number, so that the frames after it are numbered and named as if it were whole. After any other error
    /// nothing more is to be had, and each later call gives `false`.
    fn read(&mut self, frame: &mut Frame) -> Result<bool>;

    /// The last frame's name, for naming what is made of it: its image's stem, else `frame-000123`.
    /// After a [`DamagedFrame`] it is the name that the frame would have had.
    fn name(&self) -> &OsStr;

    /// The last frame's true polyps, where the source knows them.
    fn truth(&self) -> Option<&Mask> {
        None
    }

    /// How many frames are still to come, where the source knows.
    fn remaining(&self) -> Option<u64> {
        None
    }

    /// The next frame in memory of its own; `None` at the end.
    fn next(&mut self) -> Result<Option<Frame>> {
        let mut frame = Frame::black(1, 1);
        Ok(self.read(&mut frame)?.then_some(frame))
    }
}

/// Opens a source by what it is given: `-` for video on standard input, `synthetic` for the rendered endoscope,
/// else the path of a folder, an image or a video file.
///
/// The rendered endoscope takes settings: `synthetic:seed=18,size=640x480,fps=25,frames=300`, any of them left out;
/// without `frames` it does not end. A folder of that name is `./synthetic`.
///
/// Errors: exit 2 for settings that are unknown or out of range, 74 for what cannot be read, 65 for what is damaged or unknown.
pub fn open(source: &str) -> Result<Box<dyn Source>> {
    match source.strip_prefix("synthetic") {
        _ if source == "-" => replay::standard_input(),
        Some("") => Ok(Box::new(synthetic(source, "")?)),
        Some(settings) if settings.starts_with(':') => Ok(Box::new(synthetic(source, &settings[1..])?)),
        _ => replay::open(Path::new(source)),
    }
}

fn synthetic(source: &str, settings: &str) -> Result<synthetic::Synthetic> {
    let wrong = |setting: &str| {
        Fault::usage(format!(
            "{source}: `{setting}` is not a setting or not a possible value; write, for example, synthetic:seed=18,size=640x480,fps=25,frames=300"
        ))
    };
    let (mut seed, mut size, mut fps, mut frames) = (synthetic::DEMO_SEED, (640, 480), synthetic::FPS, None);
    for setting in settings.split(',').filter(|setting| !setting.is_empty()) {
        let (key, value) = setting.split_once('=').ok_or_else(|| wrong(setting))?;
        let number = || value.parse::<u64>().map_err(|_| wrong(setting));
        match key {
            "seed" => seed = number()?,
            "frames" => frames = Some(number()?),
            "fps" => match value.parse::<f64>() {
                Ok(rate) if (1.0..=240.0).contains(&rate) => fps = rate,
                _ => return Err(wrong(setting)),
            },
            "size" => {
                let sides = value.split_once('x').map(|(width, height)| (width.parse(), height.parse()));
                match sides {
                    Some((Ok(width), Ok(height)))
                        if (16..=synthetic::MAX_SIDE_PX).contains(&width)
                            && (16..=synthetic::MAX_SIDE_PX).contains(&height) =>
                    {
                        size = (width, height)
                    }
                    _ => return Err(wrong(setting)),
                }
            }
            _ => return Err(wrong(setting)),
        }
    }
    let camera = synthetic::Synthetic::new(synthetic::Colon::new(size.0, size.1, seed)).fps(fps);
    Ok(match frames {
        Some(frames) => camera.limit(frames),
        None => camera,
    })
}

/// `frame-000123`, in memory that is kept.
pub(crate) fn name_by_number(number: u64, name: &mut OsString) {
    name.clear();
    // Writing to a string cannot fail.
    let _ = write!(name, "frame-{number:06}");
}
