//! Pictures of figures.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

/// A drawing area on a bitmap in memory.
pub type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
/// What drawing gives: nothing, or the error of the library that draws.
pub type Drawn = Result<(), Box<dyn std::error::Error>>;

/// A PNG of what `draw` draws; text in the font "sans-serif".
pub fn png(width: u32, height: u32, draw: impl FnOnce(&Area) -> Drawn) -> Result<Vec<u8>> {
    let mut pixels = vec![0; 3 * width as usize * height as usize];
    let drawn = || -> Drawn {
        register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
            .map_err(|_| "the font is damaged")?;
        let root = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        root.fill(&WHITE)?;
        draw(&root)?;
        root.present()?;
        Ok(())
    };
    drawn().map_err(|error| anyhow!("cannot draw: {error}"))?;
    let mut png = std::io::Cursor::new(Vec::new());
    let colours = image::ExtendedColorType::Rgb8;
    image::write_buffer_with_format(&mut png, &pixels, width, height, colours, image::ImageFormat::Png)?;
    Ok(png.into_inner())
}
