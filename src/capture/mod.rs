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
mod limits;
pub mod live;
mod png;
pub mod replay;
mod source;
pub mod still;
pub mod synthetic;
#[cfg(test)]
mod tests;
pub mod v4l2;

use std::path::Path;

use anyhow::Result;

pub use source::Source;
pub(crate) use source::name_by_number;
pub use synthetic::Mask;

pub use crate::fault::DamagedFrame;
use crate::fault::Fault;

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
            "{source}: `{setting}` is an unknown setting or has an invalid value; write, for example, synthetic:seed=18,size=640x480,fps=25,frames=300"
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
