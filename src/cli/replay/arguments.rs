//! What a person says of a replay.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::bundle::manifest::Sensitivity;

/// Runs a model over recorded frames and writes what it finds: pictures, masks, results.
///
/// Each frame is treated by itself: there is no temporal gate, and the field of view is found anew. With --as-cart, the
/// recording goes through all that a cart does instead, by the rules of the profile in --board: the temporal gate, the age at which results are
/// dropped, the words in the corner. Time is then simulated, so the same recording gives the same files on any machine, however fast
/// that is.
///
/// Files are named after their frames (an image's name without its extension, else frame-000123). Without --masks, --overlay,
/// --results and --coco, frames with outlines are written. Pictures of one kind are written to DIR; masks and pictures together to
/// DIR/masks and DIR/overlay; results to DIR/results.jsonl. DIR must not be a folder that is read. Files of an earlier run in DIR are
/// removed first, unless they were changed since.
///
/// A damaged frame is named and left out; the exit code is then 65.
#[derive(clap::Args)]
pub struct Arguments {
    /// A folder of images, an image, an MJPEG or Y4M file, any other video where ffmpeg is installed, `-` for video on standard input, or
    /// `synthetic[:seed=7,…]`.
    pub source: OsString,
    /// The bundle's folder or packed file [default with --board: the profile's].
    #[arg(long, value_name = "BUNDLE", required_unless_present = "board")]
    pub model: Option<PathBuf>,
    /// Look and rules as a board's profile has them: outlines, sensitivity, field of view; with --as-cart also its gate and age limit.
    #[arg(long, value_name = "FILE")]
    pub board: Option<PathBuf>,
    /// Show the recording as a cart would.
    #[arg(long, requires = "board", conflicts_with_all = ["masks", "strict"])]
    pub as_cart: bool,
    /// With --as-cart: frames a second [default: the recording's own; for images, the profile's camera's].
    #[arg(long, value_name = "HZ", requires = "as_cart", value_parser = rate)]
    pub rate: Option<f64>,
    /// With --as-cart: how long the cart takes for a frame's result, in ms; `polyp-edge bench model` measures it there.
    #[arg(long, value_name = "MS", requires = "as_cart", default_value_t = 15.0, value_parser = inference_ms)]
    pub inference_ms: f64,
    /// Folder to write to; created if it does not exist, readable only by its owner.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Write masks: 0 and 255, at the frame's size.
    #[arg(long)]
    pub masks: bool,
    /// Write frames with outlines.
    #[arg(long)]
    pub overlay: bool,
    /// Write what was found as JSON, a line for each frame.
    #[arg(long)]
    pub results: bool,
    /// Write what was found as a COCO data set.
    #[arg(long, value_name = "FILE")]
    pub coco: Option<PathBuf>,
    /// Replace files that this program did not write.
    #[arg(long)]
    pub force: bool,
    /// Stop at the first damaged frame.
    #[arg(long)]
    pub strict: bool,
    /// Print the summary as JSON on standard output.
    #[arg(long)]
    pub json: bool,
    /// How readily polyps are marked; bundles without this point are refused [default: standard, or as the profile says].
    #[arg(long, value_enum)]
    pub sensitivity: Option<Sensitivity>,
    /// Number of threads [default: 1, or as the profile says].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: Option<u16>,
}

fn rate(text: &str) -> Result<f64, String> {
    within(text, 0.1..=240.0)
}

fn inference_ms(text: &str) -> Result<f64, String> {
    within(text, 0.0..=60_000.0)
}

fn within(text: &str, range: RangeInclusive<f64>) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if range.contains(&number) {
        Ok(number)
    } else {
        Err(format!("{text}: it must lie between {} and {}", range.start(), range.end()))
    }
}
