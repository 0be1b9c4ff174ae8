//! What `scripts/board-vm` needs beside the program: on the emulated board, hands on the kernel's virtual cameras (the
//! driver vivid); before that, on the machine that emulates it, pictures to feed them with.
//!
//! ```text
//! vivid render FILE SEED FIRST COUNT    frames FIRST.. of the rendered endoscope, forth and back, 1280x720 YUYV
//! vivid feed DEVICE FILE                such a file's pictures into an output device, again and again, until killed
//! vivid pipe DEVICE MS                  Y4M from standard input into an output device, each picture so much later
//! vivid timings DEVICE 1280x720 60      of an HDMI input or output
//! vivid controls DEVICE                 each control with its value, kind and choices
//! vivid set DEVICE NAME[=VALUE] …       by the control's name; a menu's choice by index or name; a button has no value
//! ```
//!
//! `render` prints what rectangle the polyps of all frames lie in, as JSON: x, y, width, height in pixels.

#[expect(unsafe_code, reason = "calls of the kernel")]
mod output;

use std::process::ExitCode;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use polyp_edge::capture::synthetic::{Canvas, Colon, Mask};
use polyp_edge::frame::Frame;
use v4l::control::{Control, Description, MenuItem, Type, Value};
use v4l::video::Output;
use v4l::{Device, FourCC};
use yuv::{YuvChromaSubsampling, YuvConversionMode, YuvPlanarImageMut, YuvRange, YuvStandardMatrix};

const WIDTH: usize = 1280;
const HEIGHT: usize = 720;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["controls", device] => controls(device),
        ["set", device, settings @ ..] => set(device, settings),
        ["timings", device, size, rate] => timings(device, size, rate),
        ["render", file, seed, first, count] => render(file, seed, first, count),
        ["feed", device, file] => feed(device, file),
        ["pipe", device, ms] => pipe(device, ms),
        _ => {
            eprintln!(
                "vivid render FILE SEED FIRST COUNT | feed DEVICE FILE | pipe DEVICE MS | timings DEVICE WIDTHxHEIGHT RATE | …"
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

fn render(path: &str, seed: &str, first: &str, count: &str) -> Result<()> {
    let (seed, first, count): (u64, u64, u64) = (seed.parse()?, first.parse()?, count.parse()?);
    let colon = Colon::new(WIDTH, HEIGHT, seed);
    let (mut canvas, mut mask, mut frame) = (Canvas::default(), Mask::default(), Frame::black(WIDTH, HEIGHT));
    let mut image = YuvPlanarImageMut::alloc(WIDTH as u32, HEIGHT as u32, YuvChromaSubsampling::Yuv422);
    let (mut pictures, mut polyps) = (Vec::new(), None);
    for number in first..first + count {
        colon.render_into(number, &mut canvas, &mut frame, &mut mask);
        for index in (0..mask.pixels.len()).filter(|&index| mask.pixels[index] != 0) {
            let (x, y) = (index % WIDTH, index / WIDTH);
            let [left, top, right, bottom] = polyps.unwrap_or([x, y, x, y]);
            polyps = Some([left.min(x), top.min(y), right.max(x), bottom.max(y)]);
        }
        pictures.push(yuyv(&frame, &mut image)?);
    }
    let Some([left, top, right, bottom]) = polyps else {
        bail!("no polyp in frames {first}..{} of seed {seed}", first + count);
    };
    let back = pictures.iter().rev().skip(1).take(pictures.len().saturating_sub(2));
    let all: Vec<u8> = pictures.iter().chain(back).flatten().copied().collect();
    std::fs::write(path, all).with_context(|| path.to_owned())?;
    println!("[{left}, {top}, {}, {}]", right - left + 1, bottom - top + 1);
    Ok(())
}

/// Rows of Y₀ Cb Y₁ Cr, as HDMI carries high definition: BT.709, 16 to 235.
fn yuyv(frame: &Frame, image: &mut YuvPlanarImageMut<'_, u8>) -> Result<Vec<u8>> {
    let (range, matrix, mode) = (YuvRange::Limited, YuvStandardMatrix::Bt709, YuvConversionMode::Balanced);
    yuv::rgb_to_yuv422(image, frame.pixels(), frame.stride().0 as u32, range, matrix, mode)?;
    let mut picture = Vec::with_capacity(2 * WIDTH * HEIGHT);
    let rows = image.y_plane.borrow().chunks_exact(image.y_stride as usize);
    let blue = image.u_plane.borrow().chunks_exact(image.u_stride as usize);
    let red = image.v_plane.borrow().chunks_exact(image.v_stride as usize);
    for ((luma, blue), red) in rows.zip(blue).zip(red) {
        for ((luma, blue), red) in luma[..WIDTH].chunks_exact(2).zip(blue).zip(red) {
            picture.extend([luma[0], *blue, luma[1], *red]);
        }
    }
    Ok(picture)
}

fn feed(path: &str, file: &str) -> Result<()> {
    let pictures = std::fs::read(file).with_context(|| file.to_owned())?;
    let mut queue = queue(path, 3)?;
    for picture in pictures.chunks_exact(2 * WIDTH * HEIGHT).cycle() {
        // Waits for the driver: the pace is that of the device's timings.
        queue.show(picture)?;
    }
    bail!("{file} holds no picture");
}

/// What the cable's other end does with pictures that it gets: sends them on, later.
fn pipe(path: &str, ms: &str) -> Result<()> {
    let delay = Duration::from_millis(ms.parse()?);
    let mut queue = queue(path, 2)?;
    let mut decoder = y4m::decode(std::io::stdin().lock())?;
    ensure!(
        (decoder.get_width(), decoder.get_height()) == (WIDTH, HEIGHT),
        "pictures of {}x{}",
        decoder.get_width(),
        decoder.get_height()
    );
    ensure!(
        matches!(decoder.get_colorspace(), y4m::Colorspace::C444),
        "it is not 4:4:4, as polyp-edge writes it"
    );
    // A second of them.
    let (sender, pictures) = sync_channel::<(Instant, Vec<u8>)>(30);
    let sends = std::thread::spawn(move || -> Result<()> {
        for (due, picture) in pictures {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            queue.show(&picture)?;
        }
        Ok(())
    });
    while let Ok(frame) = decoder.read_frame() {
        let (luma, blue, red) = (frame.get_y_plane(), frame.get_u_plane(), frame.get_v_plane());
        let mut picture = Vec::with_capacity(2 * WIDTH * HEIGHT);
        for ((luma, blue), red) in luma.chunks_exact(2).zip(blue.chunks_exact(2)).zip(red.chunks_exact(2)) {
            picture.extend([luma[0], blue[0], luma[1], red[0]]);
        }
        // If it fails, that is what is said.
        if sender.send((Instant::now() + delay, picture)).is_err() {
            break;
        }
    }
    drop(sender);
    sends.join().map_err(|_| anyhow!("the thread that sends panicked"))?
}

/// An output device's buffers, for pictures of the size that all here have.
fn queue(path: &str, buffers: u32) -> Result<output::Queue> {
    let device = open(path)?;
    let mut wanted = Output::format(&device)?;
    (wanted.width, wanted.height, wanted.fourcc) = (WIDTH as u32, HEIGHT as u32, FourCC::new(b"YUYV"));
    let format = Output::set_format(&device, &wanted)?;
    let granted = (format.width as usize, format.height as usize, format.stride as usize, format.fourcc);
    ensure!(
        granted == (WIDTH, HEIGHT, 2 * WIDTH, wanted.fourcc),
        "{path} takes no {WIDTH}x{HEIGHT} YUYV, but\n{format}"
    );
    drop(device);
    output::Queue::new(output::open(path)?, buffers)
}
