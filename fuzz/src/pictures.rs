//! Pictures and video: what reading them must satisfy, and what is drawn to start from.

use std::fs;
use std::io::Cursor;
use std::path::PathBuf;
use std::sync::OnceLock;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat, RgbImage};
use polyp_edge::capture::Source;
use polyp_edge::capture::replay::{folder::read_image, mjpeg::Mjpeg, y4m::Y4m};
use polyp_edge::capture::v4l2::jpeg::Pictures;
use polyp_edge::fault::Exit;
use polyp_edge::frame::Frame;

use crate::oracle::refusal;
use crate::seeds::Seeds;

/// A picture is decoded, or refused with a reason; the second time as the first.
pub fn still(bytes: &[u8]) {
    // One folder for the whole process: its file is written anew.
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let path = FOLDER.get_or_init(|| crate::bundles::folder().keep()).join("picture");
    fs::write(&path, bytes).expect("files can be written");
    let mut frame = Frame::black(1, 1);
    match read_image(&path, &mut frame) {
        Ok(()) => {
            let mut again = Frame::black(1, 1);
            read_image(&path, &mut again).expect("what was decoded once is decoded again");
            assert!(pixels(&frame) == pixels(&again), "a picture is not the same when it is decoded again");
        }
        Err(error) => refusal(&error, &[Exit::Data]),
    }
}

fn pixels(frame: &Frame) -> Vec<u8> {
    (0..frame.height_px()).flat_map(|y| frame.row(y).to_vec()).collect()
}

/// Every picture of a stream is decoded or refused, and the stream ends. A camera's picture must be of the size asked for.
pub fn mjpeg(bytes: &[u8]) {
    drain(Box::new(Mjpeg::new("stream", Box::new(Cursor::new(bytes.to_vec())))), bytes.len());
    let (mut live, mut frame) = (Pictures::default(), Frame::black(1, 1));
    for size in [(24, 16), (64, 48)] {
        match live.decode(bytes, size, &mut frame) {
            Ok(()) => assert_eq!((frame.width_px(), frame.height_px()), size),
            Err(message) => assert!(!message.is_empty() && !message.contains('\n'), "{message:?} is no line"),
        }
    }
}

/// Every frame of a stream is read, or the stream is refused.
pub fn y4m(bytes: &[u8]) {
    match Y4m::new("stream", Box::new(Cursor::new(bytes.to_vec()))) {
        Ok(stream) => drain(Box::new(stream), bytes.len()),
        Err(error) => refusal(&error, &[Exit::Data]),
    }
}

/// A damaged frame may be followed by others; there are no more of either than bytes.
fn drain(mut source: Box<dyn Source>, bytes: usize) {
    let mut frame = Frame::black(1, 1);
    for _ in 0..bytes + 3 {
        match source.read(&mut frame) {
            Ok(true) => assert!(!source.name().is_empty()),
            Ok(false) => {
                assert!(matches!(source.read(&mut frame), Ok(false)), "the end does not stay the end");
                return;
            }
            Err(error) => refusal(&error, &[Exit::Data]),
        }
    }
    panic!("a stream of {bytes} bytes does not end");
}

/// A scene with an edge and a gradient.
fn drawn(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let bright =
            (x as f32 - width as f32 / 3.0).hypot(y as f32 - height as f32 / 2.0) < height as f32 / 3.0;
        image::Rgb(if bright { [240, 220, 200] } else { [120 + x as u8, 50 + y as u8, 40] })
    })
}

pub fn png(picture: &DynamicImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).expect("a picture can be written to memory");
    bytes.into_inner()
}

pub fn jpeg(picture: &DynamicImage, quality: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality)
        .encode_image(picture)
        .expect("a picture can be written to memory");
    bytes
}

/// PNG pictures of every kind of pixel.
pub fn png_seeds() -> Seeds {
    let picture = DynamicImage::from(drawn(24, 16));
    let kinds = [
        ("grey", picture.to_luma8().into()),
        ("grey-alpha", picture.to_luma_alpha8().into()),
        ("grey-16", picture.to_luma16().into()),
        ("rgba", picture.to_rgba8().into()),
        ("rgb-16", picture.to_rgb16().into()),
        ("one-pixel", drawn(1, 1).into()),
        ("rgb", picture),
    ];
    kinds.map(|(name, picture): (&str, DynamicImage)| (format!("png-{name}"), png(&picture))).into()
}

fn jpeg_seeds() -> Seeds {
    let mut seeds = vec![];
    for (width, height) in [(24, 16), (64, 48), (17, 9), (1, 1)] {
        let picture = DynamicImage::from(drawn(width, height));
        for quality in [30, 95] {
            seeds.push((format!("jpeg-{width}x{height}-{quality}"), jpeg(&picture, quality)));
        }
        seeds.push((format!("jpeg-{width}x{height}-grey"), jpeg(&picture.to_luma8().into(), 80)));
    }
    // What says that it is progressive and is not.
    let mut progressive = jpeg(&drawn(24, 16).into(), 80);
    if let Some(at) = progressive.windows(2).position(|pair| pair == [0xFF, 0xC0]) {
        progressive[at + 1] = 0xC2;
    }
    seeds.push(("jpeg-progressive".into(), progressive));
    seeds
}

/// # Errors
/// None.
pub fn still_seeds() -> anyhow::Result<Seeds> {
    Ok([png_seeds(), jpeg_seeds()].concat())
}

/// # Errors
/// None.
pub fn mjpeg_seeds() -> anyhow::Result<Seeds> {
    let picture = jpeg(&drawn(24, 16).into(), 50);
    let without_tables = {
        let start = picture.windows(2).position(|pair| pair == [0xFF, 0xC4]).unwrap_or(0);
        let end = picture.windows(2).rposition(|pair| pair == [0xFF, 0xDA]).unwrap_or(start);
        [&picture[..start], &picture[end..]].concat()
    };
    let part = [
        &b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: "[..],
        picture.len().to_string().as_bytes(),
        b"\r\n\r\n",
        &picture,
        b"\r\n",
    ]
    .concat();
    let mut seeds = jpeg_seeds();
    seeds.extend([
        ("three".into(), picture.repeat(3)),
        ("multipart".into(), part.repeat(2)),
        (
            "http".into(),
            [&b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace\r\n\r\n"[..], &part].concat(),
        ),
        ("padded".into(), [&picture[..], &[0; 40], &picture].concat()),
        ("cut".into(), [&picture[..picture.len() * 2 / 3], &picture].concat()),
        ("without-tables".into(), without_tables.repeat(2)),
    ]);
    Ok(seeds)
}

/// # Errors
/// None.
pub fn y4m_seeds() -> anyhow::Result<Seeds> {
    let mut seeds = vec![];
    for (index, (header, bytes)) in [
        ("W16 H8 F25:1 Ip A1:1 C420jpeg", 192),
        ("W16 H8 F30000:1001 C420mpeg2 XYSCSS=420MPEG2", 192),
        ("W7 H5 F25:1 C420paldv", 35 + 2 * 12),
        ("W16 H8 F25:1 C422 XCOLORRANGE=FULL", 256),
        ("W16 H8 F50:1 C444 XCOLORRANGE=LIMITED", 384),
        ("W16 H8 F25:1 Cmono", 128),
        ("W16 H8", 192),
        ("W16 H8 F25:1 C420p10", 384),
        ("W16 H8 F25:1 It C411", 192),
        ("W8 H720 F60:1 C420", 8640),
    ]
    .into_iter()
    .enumerate()
    {
        let planes: Vec<u8> = (0..bytes).map(|byte| (byte * 37 % 251) as u8).collect();
        let frame = [&b"FRAME\n"[..], &planes].concat();
        let stream =
            [format!("YUV4MPEG2 {header}\n").into_bytes(), frame.repeat(if bytes > 500 { 1 } else { 3 })];
        seeds.push((format!("y4m-{index}"), stream.concat()));
    }
    seeds.push(("y4m-crlf".into(), b"YUV4MPEG2 W2 H2 F1:1 Cmono\r\nFRAME\r\n1234".to_vec()));
    Ok(seeds)
}
