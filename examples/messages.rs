//! Draws what the monitor says, in the letters and sizes of the monitor, as a picture: for whoever translates or checks it.
//!
//! ```text
//! cargo run --release --example messages -- --language de --height 1080 messages.png
//! ```

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;
use polyp_edge::capture::live::Why;
use polyp_edge::display::lay_over;
use polyp_edge::frame::Frame;
use polyp_edge::language::{Language, Words};
use polyp_edge::overlay::{Corner, Glyph, Layer, Painter};
use polyp_edge::state::{Reason, State};

/// Draws what the monitor says as a picture.
#[derive(Parser)]
struct Arguments {
    /// `de`, `en`, `es`, `fr`, `nb`, `vi`, or a file that ends with .toml.
    #[arg(long, default_value = "en")]
    language: String,
    /// Lines of the monitor.
    #[arg(long, default_value_t = 1080)]
    height: usize,
    /// The picture, a PNG file.
    out: PathBuf,
}

/// What the corner says, and by which dot.
fn corners(words: &Words) -> Vec<(Glyph, String)> {
    let off = |reason: Reason| (Glyph::Off, words.off(&reason).to_owned());
    vec![
        (Glyph::Assist, words.state(&State::Assist).to_owned()),
        (Glyph::Reduced, words.reduced().to_owned()),
        (Glyph::Passthrough, words.state(&State::SelfTest).to_owned()),
        (Glyph::Passthrough, words.state(&State::Passthrough).to_owned()),
        (Glyph::Off, words.outlines_off().to_owned()),
        off(Reason::Inference(String::new())),
        off(Reason::Loading),
        off(Reason::Silent),
        off(Reason::Late { age_ms: 0, limit_ms: 0 }),
        off(Reason::Slow { interval_ms: 0, limit_ms: 0 }),
        off(Reason::Unmatched),
        off(Reason::Implausible),
        off(Reason::Hot),
    ]
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let words = Words::load(&Language::from(arguments.language), Path::new("."))?;
    let height = arguments.height;
    let width = height * 16 / 9;
    let corners = corners(&words);
    let screens = [
        Why::NoDevice,
        Why::Unplugged,
        Why::Denied,
        Why::Busy,
        Why::Unsuitable,
        Why::NoCable,
        Why::NoSignal,
        Why::NoSync,
        Why::Stalled,
        Why::Failing,
    ];
    let mut painter = Painter::default();
    // The corners' words lie over mucosa in the upper half of each strip, over black in the lower.
    let (strip, screen) = (height / 16, height / 4);
    let mut sheet: Vec<u8> = Vec::new();
    let mut put = |layer: &Layer, from: usize, rows: usize, is_over_mucosa: bool| -> Result<()> {
        let mut pixels = vec![0; 3 * width * height];
        if is_over_mucosa {
            for pixel in pixels[3 * width * from..3 * width * (from + rows / 2)].chunks_exact_mut(3) {
                pixel.copy_from_slice(&[205, 120, 100]);
            }
        }
        let mut picture = Frame::from_rgb(width, height, pixels).context("the picture is too large")?;
        lay_over(layer, &mut picture);
        sheet.extend_from_slice(&picture.pixels()[3 * width * from..][..3 * width * rows]);
        Ok(())
    };
    let mut layer = Layer::new(width, height);
    for (glyph, message) in &corners {
        layer.clear();
        painter.glyph(&mut layer, Corner::LowerRight, *glyph, message);
        put(&layer, height - strip, strip, true)?;
    }
    for why in screens {
        layer.clear();
        let lines = [words.no_picture(why), "", &words.since("14:03:22 CET", 7), &words.tried(12)];
        painter.screen(&mut layer, &lines);
        put(&layer, (height - screen) / 2, screen, false)?;
    }
    let rows = sheet.len() / (3 * width);
    image::save_buffer(&arguments.out, &sheet, width as u32, rows as u32, image::ColorType::Rgb8)?;
    println!("{}: {}", words.name(), arguments.out.display());
    Ok(())
}
