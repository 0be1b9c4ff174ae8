//! What `scripts/board-vm` does to the kernel's virtual cameras (the driver vivid) from inside the emulated board.
//!
//! ```text
//! vivid controls DEVICE                 each control with its value, kind and choices
//! vivid set DEVICE NAME[=VALUE] …       by the control's name; a menu's choice by its index or name; a button has no value
//! vivid timings DEVICE 1280x720 60      of an HDMI input or output
//! vivid feed DEVICE SEED FIRST COUNT    the rendered endoscope's frames FIRST.., forth and back, into an output device
//! ```
//!
//! `feed` renders at the size of the device's timings, prints one line of JSON when all frames are ready (the size, and
//! what rectangle the polyps of all frames lie in: x, y, width, height in pixels), and writes until it is killed.

mod output;

use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use polyp_edge::capture::synthetic::{Canvas, Colon, Mask};
use polyp_edge::frame::Frame;
use v4l::control::{Control, Description, MenuItem, Type, Value};
use v4l::video::Output;
use v4l::{Device, FourCC};
use yuv::{YuvChromaSubsampling, YuvConversionMode, YuvPlanarImageMut, YuvRange, YuvStandardMatrix};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["controls", device] => controls(device),
        ["set", device, settings @ ..] => set(device, settings),
        ["timings", device, size, rate] => timings(device, size, rate),
        ["feed", device, seed, first, count] => feed(device, seed, first, count),
        _ => {
            eprintln!(
                "vivid controls DEVICE | set DEVICE NAME[=VALUE] … | timings DEVICE WIDTHxHEIGHT RATE | \
                 feed DEVICE SEED FIRST COUNT"
            );
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vivid: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn open(path: &str) -> Result<Device> {
    Device::with_path(path).with_context(|| path.to_owned())
}

fn controls(path: &str) -> Result<()> {
    let device = open(path)?;
    for control in device.query_controls()? {
        let value = device.control(control.id).map(|now| format!("{:?}", now.value));
        println!("{}={} ({:?})", control.name, value.unwrap_or("–".into()), control.typ);
        for (index, item) in control.items.iter().flatten() {
            println!("    {index}: {item}");
        }
    }
    Ok(())
}

fn set(path: &str, settings: &[&str]) -> Result<()> {
    let device = open(path)?;
    let known = device.query_controls()?;
    for setting in settings {
        let (name, value) =
            setting.split_once('=').map_or((*setting, None), |(name, value)| (name, Some(value)));
        let control = known
            .iter()
            .find(|control| control.name == name)
            .with_context(|| format!("{path} has no control {name}"))?;
        let value = parse(control, value).with_context(|| format!("{path}: {setting}"))?;
        device
            .set_control(Control { id: control.id, value })
            .with_context(|| format!("{path}: {setting}"))?;
    }
    Ok(())
}

fn parse(control: &Description, value: Option<&str>) -> Result<Value> {
    Ok(match (control.typ, value) {
        (Type::Button, None) => Value::Integer(0),
        (Type::Boolean, Some(value)) => Value::Boolean(value == "1"),
        (Type::Menu, Some(value)) => {
            let named = |item: &MenuItem| matches!(item, MenuItem::Name(name) if name == value);
            let index = control.items.iter().flatten().find(|(_, item)| named(item)).map(|(index, _)| *index);
            Value::Integer(index.map_or_else(|| value.parse(), |index| Ok(i64::from(index)))?)
        }
        (Type::Integer | Type::IntegerMenu | Type::Bitmask, Some(value)) => Value::Integer(value.parse()?),
        (kind, _) => bail!("a control of the kind {kind} is not set like this"),
    })
}

fn timings(path: &str, size: &str, rate: &str) -> Result<()> {
    let (width, height) = size.split_once('x').context("a size is written 1280x720")?;
    output::set_timings(&output::open(path)?, width.parse()?, height.parse()?, rate.parse()?)
}

fn feed(path: &str, seed: &str, first: &str, count: &str) -> Result<()> {
    let (seed, first, count): (u64, u64, u64) = (seed.parse()?, first.parse()?, count.parse()?);
    let device = open(path)?;
    let mut wanted = Output::format(&device)?;
    wanted.fourcc = FourCC::new(b"YUYV");
    let format = Output::set_format(&device, &wanted)?;
    let (width, height) = (format.width as usize, format.height as usize);
    ensure!(format.fourcc == wanted.fourcc, "{path} takes {} where YUYV was asked for", format.fourcc);

    let colon = Colon::new(width, height, seed);
    let (mut canvas, mut mask, mut frame) = (Canvas::default(), Mask::default(), Frame::black(width, height));
    let (mut pictures, mut all) = (Vec::new(), Mask { width, height, pixels: vec![0; width * height] });
    let mut image = YuvPlanarImageMut::alloc(width as u32, height as u32, YuvChromaSubsampling::Yuv422);
    for number in first..first + count {
        colon.render_into(number, &mut canvas, &mut frame, &mut mask);
        for (all, one) in all.pixels.iter_mut().zip(&mask.pixels) {
            *all |= one;
        }
        pictures.push(yuyv(&frame, &mut image, format.stride as usize, format.size as usize)?);
    }
    let columns = (0..width).filter(|x| (0..height).any(|y| all.pixels[y * width + x] != 0));
    let rows = (0..height).filter(|y| all.pixels[y * width..][..width].contains(&255));
    let (columns, rows): (Vec<usize>, Vec<usize>) = (columns.collect(), rows.collect());
    let (&[left, .., right], &[top, .., bottom]) = (columns.as_slice(), rows.as_slice()) else {
        bail!("no polyp in frames {first}..{} of seed {seed}", first + count);
    };
    println!(
        "{{\"size\": [{width}, {height}], \"polyps\": [{left}, {top}, {}, {}]}}",
        right - left + 1,
        bottom - top + 1
    );

    drop(device);
    let mut queue = output::Queue::new(output::open(path)?, 3)?;
    let back = pictures.iter().rev().skip(1).take(pictures.len().saturating_sub(2));
    for picture in pictures.iter().chain(back).cycle() {
        // Waits for the driver: the pace is that of the device's timings.
        queue.show(picture)?;
    }
    Ok(())
}

/// Rows of Y₀ Cb Y₁ Cr, `stride` bytes apart, as HDMI carries high definition: BT.709, 16 to 235.
fn yuyv(frame: &Frame, image: &mut YuvPlanarImageMut<'_, u8>, stride: usize, size: usize) -> Result<Vec<u8>> {
    let (range, matrix, mode) = (YuvRange::Limited, YuvStandardMatrix::Bt709, YuvConversionMode::Balanced);
    yuv::rgb_to_yuv422(image, frame.pixels(), frame.stride().0 as u32, range, matrix, mode)?;
    let mut picture = vec![0; size];
    let rows = image.y_plane.borrow().chunks_exact(image.y_stride as usize);
    let chroma = image.u_plane.borrow().chunks_exact(image.u_stride as usize);
    let chroma = chroma.zip(image.v_plane.borrow().chunks_exact(image.v_stride as usize));
    for ((luma, (blue, red)), to) in rows.zip(chroma).zip(picture.chunks_exact_mut(stride)) {
        for (((luma, blue), red), to) in luma.chunks_exact(2).zip(blue).zip(red).zip(to.chunks_exact_mut(4)) {
            to.copy_from_slice(&[luma[0], *blue, luma[1], *red]);
        }
    }
    Ok(picture)
}
