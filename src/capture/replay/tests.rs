use std::io::Cursor;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use proptest::prelude::*;

use super::*;
use crate::capture::{DamagedFrame, still};
use crate::fault::{Exit, exit_of};
use crate::frame::Frame;

/// Smooth colours, which survive compression; each `seed` another picture.
fn picture(width: usize, height: usize, seed: usize) -> Vec<u8> {
    let (w, h) = (width.max(2) - 1, height.max(2) - 1);
    let pixel = |x: usize, y: usize| {
        [(40 + 150 * x / w) as u8, (30 + 120 * y / h) as u8, (60 + 20 * (seed % 8)) as u8]
    };
    (0..width * height).flat_map(|at| pixel(at % width, at / width)).collect()
}

fn jpeg(width: usize, height: usize, seed: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let rgb = picture(width, height, seed);
    JpegEncoder::new_with_quality(&mut bytes, 95)
        .encode(&rgb, width as u32, height as u32, image::ExtendedColorType::Rgb8)
        .unwrap();
    bytes
}

fn png(width: usize, height: usize, seed: usize) -> Vec<u8> {
    let rgb = image::RgbImage::from_raw(width as u32, height as u32, picture(width, height, seed)).unwrap();
    let mut bytes = Cursor::new(Vec::new());
    rgb.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn largest_difference(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(x, y)| x.abs_diff(*y)).max().unwrap()
}

/// The exit code and the message, which must be one line.
fn fault<T>(outcome: Result<T>) -> (Exit, String) {
    let Err(error) = outcome else { panic!("this must fail") };
    let message = format!("{error:#}");
    assert!(!message.contains('\n'), "{message:?}");
    (exit_of(&error), message)
}

fn all(source: &mut dyn Source) -> Result<Vec<(String, Frame)>> {
    let mut frames = Vec::new();
    while let Some(frame) = source.next()? {
        assert_eq!(frame.number.0, frames.len() as u64);
        frames.push((source.name().to_str().unwrap().to_owned(), frame));
    }
    assert!(source.next()?.is_none(), "the end must last");
    Ok(frames)
}

fn picture_of(name: &str, bytes: &[u8], frame: &mut Frame) -> Result<()> {
    still::decode(name, bytes, still::MAX_PIXELS, frame)
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(folder.join(name), bytes).unwrap();
}

#[test]
fn a_folder_is_read_in_natural_order_and_keeps_names() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "view-10.png", &png(20, 14, 3));
    write(folder.path(), "view-2.JPG", &jpeg(40, 30, 2));
    write(folder.path(), "view-1.jpeg", &jpeg(33, 17, 1));
    write(folder.path(), "notes.txt", b"no picture");
    write(folder.path(), ".hidden.png", b"no picture");
    std::fs::create_dir(folder.path().join("masks.png")).unwrap();
    let mut source = open(folder.path()).unwrap();
    let frames = all(source.as_mut()).unwrap();
    let names: Vec<&str> = frames.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["view-1", "view-2", "view-10"]);
    assert_eq!((frames[0].1.width_px(), frames[0].1.height_px()), (33, 17));
    assert!(largest_difference(frames[0].1.pixels(), &picture(33, 17, 1)) <= 6);
    assert!(largest_difference(frames[1].1.pixels(), &picture(40, 30, 2)) <= 6);
    assert_eq!(frames[2].1.pixels(), picture(20, 14, 3));
    assert!(source.next().unwrap().is_none());
}

#[test]
fn numbers_in_names_are_compared_by_value() {
    let mut names = ["b", "a10", "a9b", "a9", "a009c", "a", "2", "10", "1"];
    names.sort_by(|a, b| folder::natural(a, b));
    assert_eq!(names, ["1", "2", "10", "a", "a9", "a9b", "a009c", "a10", "b"]);
}

#[test]
fn folders_that_give_nothing_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let (exit, message) = fault(open(folder.path()));
    assert_eq!(exit, Exit::Data);
    assert!(message.contains("contains no PNG or JPEG"), "{message}");

    let (exit, message) = fault(open(&folder.path().join("nowhere")));
    assert_eq!(exit, Exit::Io);
    assert!(message.contains("nowhere"), "{message}");

    write(folder.path(), "a.png", &png(4, 4, 0));
    write(folder.path(), "a.jpg", &jpeg(4, 4, 0));
    let (exit, message) = fault(open(folder.path()));
    assert_eq!(exit, Exit::Data);
    assert!(message.contains("a.png") && message.contains("a.jpg"), "{message}");
}

#[test]
fn every_truncation_of_an_image_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.jpg");
    let mut frame = Frame::black(1, 1);
    for (whole, tail) in [(jpeg(96, 64, 1), 0), (png(96, 64, 1), 12)] {
        // Without its closing chunk of 12 bytes a PNG is still whole.
        for length in (0..whole.len() - tail).step_by(7).chain([whole.len() - tail - 1]) {
            std::fs::write(&path, &whole[..length]).unwrap();
            let (exit, message) = fault(folder::read_image(&path, &mut frame));
            assert_eq!(exit, Exit::Data, "{length} of {}: {message}", whole.len());
            assert!(message.contains("cut.jpg"), "{message}");
        }
    }
}

#[test]
fn a_jpeg_with_its_middle_missing_is_an_error() {
    let whole = jpeg(256, 192, 1);
    let scan = whole.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap() + 14;
    for keep in [1, 10, 40, 100] {
        let mut bytes = whole[..scan + keep].to_vec();
        bytes.extend_from_slice(&[0xFF, 0xD9]);
        let (exit, message) = fault(picture_of("gap.jpg", &bytes, &mut Frame::black(1, 1)));
        assert_eq!(exit, Exit::Data);
        assert!(message.contains("gap.jpg"), "{message}");
    }
}

#[test]
fn every_kind_of_jpeg_is_read_and_every_cut_in_it_noticed() {
    for (name, bytes, tolerance) in [
        ("progressive", include_bytes!("../../../tests/fixtures/capture/progressive.jpg").as_slice(), 8),
        ("subsampled", include_bytes!("../../../tests/fixtures/capture/subsampled.jpg"), 12),
        ("restarts", include_bytes!("../../../tests/fixtures/capture/restarts.jpg"), 12),
        ("grey", include_bytes!("../../../tests/fixtures/capture/grey.jpg"), 8),
    ] {
        let mut frame = Frame::black(1, 1);
        picture_of(name, bytes, &mut frame).unwrap();
        let mut expected = picture(37, 29, 1);
        if name == "grey" {
            for pixel in expected.chunks_exact_mut(3) {
                let light = 0.299 * pixel[0] as f32 + 0.587 * pixel[1] as f32 + 0.114 * pixel[2] as f32;
                pixel.fill(light.round() as u8);
            }
        }
        assert!(largest_difference(frame.pixels(), &expected) <= tolerance, "{name}");

        for length in 2..bytes.len() {
            assert_eq!(fault(picture_of(name, &bytes[..length], &mut frame)).0, Exit::Data);
        }
        let scan = bytes.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap() + 14;
        for length in scan..bytes.len() - 6 {
            let mut gap = bytes[..length].to_vec();
            gap.extend_from_slice(&[0xFF, 0xD9]);
            assert_eq!(fault(picture_of(name, &gap, &mut frame)).0, Exit::Data, "{name} cut at {length}");
        }
    }
}

#[test]
fn bytes_after_a_picture_do_no_harm() {
    let mut bytes = jpeg(16, 16, 1);
    bytes.extend_from_slice(&[0; 100]);
    let mut frame = Frame::black(1, 1);
    picture_of("padded.jpg", &bytes, &mut frame).unwrap();
    assert_eq!(frame.width_px(), 16);
}

#[test]
fn pictures_of_absurd_size_are_refused() {
    let mut huge = jpeg(16, 16, 1);
    let start = huge.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    huge[start + 5..start + 9].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0xFF]);
    let mut frame = Frame::black(1, 1);
    assert_eq!(fault(picture_of("huge.jpg", &huge, &mut frame)).0, Exit::Data);

    let mut huge = png(16, 16, 1);
    huge[16..24].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]);
    assert_eq!(fault(picture_of("huge.png", &huge, &mut frame)).0, Exit::Data);
    assert_eq!((frame.width_px(), frame.height_px()), (1, 1));
}

#[test]
fn the_message_about_a_large_picture_says_its_size_and_the_limit() {
    let mut frame = Frame::black(1, 1);
    let mut wide = png(16, 16, 1);
    wide[16..20].copy_from_slice(&9000u32.to_be_bytes());
    let mut wide_jpeg = jpeg(16, 16, 1);
    let start = wide_jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    wide_jpeg[start + 7..start + 9].copy_from_slice(&9000u16.to_be_bytes());
    for bytes in [wide, wide_jpeg] {
        let message = fault(picture_of("wide", &bytes, &mut frame)).1;
        assert_eq!(message, "wide is an image of 9000 × 16 pixels; each side must have 1 to 8192");
    }
    for bytes in [png(16, 16, 1), jpeg(16, 16, 1)] {
        still::decode("small", &bytes, 256, &mut frame).unwrap();
        let message = fault(still::decode("small", &bytes, 255, &mut frame)).1;
        assert_eq!(message, "small is an image of 16 × 16 pixels; at most 255 pixels are allowed");
    }
}

/// Puts a chunk of a PNG after its header.
fn with_chunk(png: &[u8], kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let named = [kind.as_slice(), content].concat();
    let mut sum = u32::MAX;
    for byte in &named {
        sum ^= u32::from(*byte);
        (0..8).for_each(|_| sum = if sum & 1 == 1 { sum >> 1 ^ 0xEDB8_8320 } else { sum >> 1 });
    }
    let (head, rest) = png.split_at(33);
    [head, &(content.len() as u32).to_be_bytes(), &named, &(!sum).to_be_bytes(), rest].concat()
}

/// Exif data that says but an orientation.
fn upright(orientation: u8, big: bool) -> Vec<u8> {
    if big {
        [b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".as_slice(), &[orientation, 0, 0, 0, 0, 0, 0]]
            .concat()
    } else {
        [b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".as_slice(), &[orientation, 0, 0, 0, 0, 0, 0, 0]]
            .concat()
    }
}

#[test]
fn photographs_are_turned_upright_as_viewers_show_them() {
    let (width, height) = (24, 16);
    let stored = picture(width, height, 1);
    let pixel = |x: usize, y: usize| &stored[3 * (y * width + x)..3 * (y * width + x) + 3];
    // Where the corner that is stored first is to be seen, of left or right and top or bottom, and whether its row
    // runs down.
    for (orientation, right, bottom, down) in [
        (1, false, false, false),
        (2, true, false, false),
        (3, true, true, false),
        (4, false, true, false),
        (5, false, false, true),
        (6, true, false, true),
        (7, true, true, true),
        (8, false, true, true),
        (9, false, false, false),
    ] {
        let (wide, high) = if down { (height, width) } else { (width, height) };
        let mut expected = vec![0; stored.len()];
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let (along, across) = if down { (y, x) } else { (x, y) };
            let to_x = if right { wide - 1 - along } else { along };
            let to_y = if bottom { high - 1 - across } else { across };
            expected[3 * (to_y * wide + to_x)..][..3].copy_from_slice(pixel(x, y));
        }
        for big in [false, true] {
            let exif = upright(orientation, big);
            let photograph =
                with_segment(&jpeg(width, height, 1), 0xE1, &[b"Exif\0\0", exif.as_slice()].concat());
            let drawing = with_chunk(&png(width, height, 1), b"eXIf", &exif);
            for (bytes, most) in [(photograph, 6), (drawing, 0)] {
                let mut frame = Frame::black(1, 1);
                picture_of("photograph", &bytes, &mut frame).unwrap();
                assert_eq!((frame.width_px(), frame.height_px()), (wide, high), "{orientation}");
                assert!(largest_difference(frame.pixels(), &expected) <= most, "{orientation}");
            }
        }
    }
    // The pictures of a stream are those of one camera.
    let exif = [b"Exif\0\0", upright(6, true).as_slice()].concat();
    let frames = all(&mut motion(with_segment(&jpeg(24, 16, 1), 0xE1, &exif))).unwrap();
    assert_shows(&frames[0].1, 24, 16, 1);
}

fn raw_png(
    width: u32,
    height: u32,
    colour: ::png::ColorType,
    bits: u8,
    palette: &[u8],
    rows: &[u8],
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(colour);
    encoder.set_depth(::png::BitDepth::from_u8(bits).unwrap());
    if !palette.is_empty() {
        encoder.set_palette(palette);
    }
    encoder.write_header().unwrap().write_image_data(rows).unwrap();
    bytes
}

#[test]
fn pngs_of_every_kind_have_the_values_that_they_say() {
    use ::png::ColorType::*;
    let read = |bytes: &[u8]| {
        let mut frame = Frame::black(1, 1);
        picture_of("x.png", bytes, &mut frame).map(|()| frame.pixels().to_vec())
    };
    let grey = |values: &[u8]| values.iter().flat_map(|&value| [value; 3]).collect::<Vec<u8>>();
    for (colour, bits, row, expected) in [
        (Grayscale, 1, &[0b0101_0000][..], grey(&[0, 255, 0, 255])),
        (Grayscale, 2, &[0b0001_1011], grey(&[0, 85, 170, 255])),
        (Grayscale, 4, &[0x07, 0xF1], grey(&[0, 119, 255, 17])),
        (Grayscale, 8, &[0, 7, 130, 255], grey(&[0, 7, 130, 255])),
        (Grayscale, 16, &[0, 0, 0x80, 0, 0x7F, 0xFF, 255, 255], grey(&[0, 128, 127, 255])),
        (GrayscaleAlpha, 8, &[0, 9, 7, 0, 130, 255, 255, 1], grey(&[0, 7, 130, 255])),
        (Rgb, 8, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], (1..=12).collect()),
        (Rgba, 8, &[1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 99, 10, 11, 12, 255], (1..=12).collect()),
    ] {
        let bytes = raw_png(4, 1, colour, bits, &[], row);
        assert_eq!(read(&bytes).unwrap(), expected, "{colour:?} {bits}");
    }
    let palette = [9, 8, 7, 6, 5, 4, 3, 2, 1];
    for (bits, row) in [(2, &[0b0001_1000][..]), (4, &[0x01, 0x20]), (8, &[0, 1, 2, 0])] {
        let bytes = raw_png(4, 1, Indexed, bits, &palette, row);
        assert_eq!(read(&bytes).unwrap(), [9, 8, 7, 6, 5, 4, 3, 2, 1, 9, 8, 7], "{bits}");
    }
}

#[test]
fn a_palette_that_is_shorter_than_its_pixels_ask_for_is_refused() {
    let read = |bytes: &[u8]| picture_of("x.png", bytes, &mut Frame::black(1, 1));
    for bits in [1, 2, 4, 8] {
        let row = vec![0; 4 * usize::from(bits) / 8 + 1];
        let whole = raw_png(
            4,
            1,
            ::png::ColorType::Indexed,
            bits,
            &[1, 2, 3, 4, 5, 6],
            &row[..(4 * usize::from(bits)).div_ceil(8)],
        );
        read(&whole).unwrap();
        for length in [0, 1, 2, 3, 4, 5, 7] {
            // Without the palette and with another: its length need not be that of whole colours.
            let at = whole.windows(4).position(|kind| kind == b"PLTE").unwrap() - 4;
            let bare = [&whole[..at], &whole[at + 18..]].concat();
            let bytes = with_chunk(&bare, b"PLTE", &[50; 7][..length]);
            match read(&bytes) {
                Ok(()) => assert!(length >= 3),
                Err(error) => assert_eq!(exit_of(&error), Exit::Data, "{bits} {length}"),
            }
        }
    }
    let bytes = raw_png(4, 1, ::png::ColorType::Indexed, 8, &[1, 2, 3, 4, 5, 6], &[0, 1, 200, 0]);
    let message = fault(read(&bytes)).1;
    assert!(message.ends_with("its palette has 2 colours, but a pixel has colour number 201"), "{message}");
}

#[test]
fn sixteen_bits_that_were_never_filled_are_scaled_where_the_file_says_so_and_else_refused() {
    let of = |values: [u16; 4]| -> Vec<u8> { values.iter().flat_map(|value| value.to_be_bytes()).collect() };
    let make = |values| raw_png(4, 1, ::png::ColorType::Grayscale, 16, &[], &of(values));
    let read = |bytes: &[u8]| {
        let mut frame = Frame::black(1, 1);
        picture_of("x.png", bytes, &mut frame)
            .map(|()| frame.pixels().iter().copied().step_by(3).collect::<Vec<u8>>())
    };
    let measured = |values, bits: u8| read(&with_chunk(&make(values), b"sBIT", &[bits]));
    assert_eq!(measured([0, 341, 682, 1023], 10).unwrap(), [0, 85, 170, 255]);
    assert_eq!(measured([0, 1365, 2730, 4095], 12).unwrap(), [0, 85, 170, 255]);
    // As the standard has it: brought to 16 bits.
    assert_eq!(measured([0, 0x5540, 0xAA80, 0xFFC0], 10).unwrap(), [0, 85, 170, 255]);
    assert_eq!(read(&make([0, 0x5555, 0xAAAA, 0xFFFF])).unwrap(), [0, 85, 170, 255]);
    // A black picture, and a dark one that had eight bits.
    assert_eq!(read(&make([0; 4])).unwrap(), [0; 4]);
    assert_eq!(read(&make([0, 257, 2 * 257, 15 * 257])).unwrap(), [0, 1, 2, 15]);
    for (values, says) in [([0, 341, 682, 1023], "10 bits"), ([0, 1365, 2730, 4095], "12 bits")] {
        let (exit, message) = fault(read(&make(values)));
        assert!(exit == Exit::Data && message.contains(says) && message.contains("of 65535"), "{message}");
    }
}

#[test]
fn an_animated_png_is_refused_with_what_to_do() {
    let animated = |pictures: u32| {
        let counts = [pictures.to_be_bytes(), [0; 4]].concat();
        with_chunk(&png(8, 8, 1), b"acTL", &counts)
    };
    let message = fault(picture_of("x.png", &animated(3), &mut Frame::black(1, 1))).1;
    assert!(message.contains("an animated PNG of 3 frames") && message.contains("ffmpeg -i"), "{message}");
    picture_of("x.png", &animated(1), &mut Frame::black(1, 1)).unwrap();
}

#[test]
fn what_a_file_is_shows_in_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let mut transport = vec![0; 3 * 188];
    transport.iter_mut().step_by(188).for_each(|byte| *byte = b'G');
    let medical = [vec![0; 128], b"DICM".to_vec()].concat();
    for (name, bytes, says) in [
        ("video.avi", b"RIFF\x10\0\0\0AVI LIST....".as_slice(), "AVI"),
        ("video.mp4", b"\0\0\0\x20ftypisom........", "MP4"),
        ("video.mkv", b"\x1A\x45\xDF\xA3............", "Matroska"),
        ("video.ts", &transport, "an MPEG transport stream, which is not supported: pipe it through ffmpeg"),
        ("video.h264", b"\0\0\0\x01\x67\x64\0\x28....", "H.264"),
        ("image.dcm", &medical, "a DICOM file, which is not supported: convert it with dcm2img"),
        (
            "image.webp",
            b"RIFF\x10\0\0\0WEBPVP8 ....",
            "a WebP image, which is not supported: convert it with dwebp",
        ),
        (
            "image.tiff",
            b"II*\0\x08\0\0\0............",
            "a TIFF image, which is not supported: convert it with ffmpeg",
        ),
        ("image.heic", b"\0\0\0\x20ftypheic........", "a HEIF image"),
        ("text.jpg", b"this is no picture at all", "neither"),
        ("nothing.y4m", b"", "empty"),
    ] {
        write(folder.path(), name, bytes);
        let (exit, message) = fault(open(&folder.path().join(name)));
        assert_eq!(exit, Exit::Data);
        assert!(message.contains(says) && message.contains(name), "{message}");
    }
    write(folder.path(), "one.dat", &png(8, 8, 1));
    write(folder.path(), "two.jpg", &jpeg(8, 8, 1));
    for name in ["one", "two"] {
        let extension = if name == "one" { "dat" } else { "jpg" };
        let mut source = open(&folder.path().join(name).with_extension(extension)).unwrap();
        let frames = all(source.as_mut()).unwrap();
        assert_eq!((frames.len(), frames[0].0.as_str()), (1, name));
    }
    #[cfg(target_os = "linux")]
    assert_eq!(fault(open(Path::new("/dev/null"))).0, Exit::Usage);
}

#[test]
fn a_damaged_image_in_a_folder_keeps_its_number_and_the_next_one_is_read() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.png", &png(8, 8, 1));
    write(folder.path(), "b.png", b"no picture");
    write(folder.path(), "c.png", &png(8, 8, 2));
    let mut source = open(folder.path()).unwrap();
    let mut frame = Frame::black(1, 1);
    assert!(source.read(&mut frame).unwrap());
    let error = source.read(&mut frame).unwrap_err();
    let damaged = error.downcast_ref::<DamagedFrame>().unwrap();
    assert!(damaged.message.contains("b.png"), "{damaged}");
    assert_eq!((exit_of(&error), source.name().to_str().unwrap()), (Exit::Data, "b"));
    assert!(source.read(&mut frame).unwrap());
    assert_eq!(
        (frame.number.0, source.name().to_str().unwrap(), frame.pixels()),
        (2, "c", picture(8, 8, 2).as_slice())
    );
    assert!(!source.read(&mut frame).unwrap());
}

/// Puts a segment right after a picture's SOI.
fn with_segment(picture: &[u8], code: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xFF, 0xD8, 0xFF, code];
    bytes.extend_from_slice(&(content.len() as u16 + 2).to_be_bytes());
    bytes.extend_from_slice(content);
    bytes.extend_from_slice(&picture[2..]);
    bytes
}

fn motion(bytes: Vec<u8>) -> mjpeg::Mjpeg {
    mjpeg::Mjpeg::new("video", Box::new(Cursor::new(bytes)))
}

#[test]
fn motion_jpeg_is_split_where_pictures_end() {
    let thumbnail = jpeg(16, 16, 5);
    let mut bytes = with_segment(&jpeg(48, 32, 1), 0xE1, &thumbnail);
    bytes.extend_from_slice(&[0; 3]);
    bytes.extend_from_slice(&with_segment(&jpeg(48, 32, 2), 0xFE, b"\xFF\xD9\xFF\xD8 in a comment \xFF"));
    bytes.extend_from_slice(b"\r\n--boundary\r\nContent-Type: image/jpeg\r\n\r\n");
    bytes.extend_from_slice(&jpeg(24, 40, 3));
    let frames = all(&mut motion(bytes)).unwrap();
    assert_eq!(frames.len(), 3);
    for (index, (name, frame)) in frames.iter().enumerate() {
        assert_eq!(*name, format!("frame-{index:06}"));
        let (width, height) = if index == 2 { (24, 40) } else { (48, 32) };
        assert!(largest_difference(frame.pixels(), &picture(width, height, index + 1)) <= 6);
    }
    assert_eq!(frames[1].1.timestamp.0.as_millis(), 40);
}

#[test]
fn motion_jpeg_that_is_cut_or_broken_is_an_error_after_its_good_frames() {
    let one = jpeg(48, 32, 1);
    for cut in [one.len() + 3, one.len() + 200, 2 * one.len() - 1] {
        let mut bytes = one.repeat(2);
        bytes.truncate(cut);
        let mut source = motion(bytes);
        assert!(source.next().unwrap().is_some());
        let (exit, message) = fault(source.next());
        assert_eq!(exit, Exit::Data);
        assert!(message.contains("frame 1") && message.contains("ends inside"), "{message}");
        assert!(source.next().unwrap().is_none());
    }
    assert_eq!(fault(all(&mut motion(vec![7; 2 << 20]))).0, Exit::Data);
    assert_eq!(fault(all(&mut motion(Vec::new()))).0, Exit::Data);
}

/// Numbers and pixels of the good frames, and the messages about the others.
fn good_and_bad(source: &mut dyn Source) -> (Vec<(u64, Frame)>, Vec<String>) {
    let (mut good, mut bad, mut frame) = (Vec::new(), Vec::new(), Frame::black(1, 1));
    loop {
        let number = good.len() + bad.len();
        match source.read(&mut frame) {
            Ok(false) => break,
            Ok(true) => {
                assert_eq!(frame.number.0, number as u64);
                good.push((frame.number.0, frame.clone()));
            }
            Err(error) => {
                let damaged = error.downcast_ref::<DamagedFrame>().unwrap_or_else(|| panic!("{error:#}"));
                assert!(damaged.message.starts_with(&format!("video, frame {number}, is a ")), "{damaged}");
                bad.push(damaged.message.clone());
            }
        }
        assert_eq!(source.name().to_str().unwrap(), format!("frame-{number:06}"));
    }
    assert!(!source.read(&mut frame).unwrap(), "the end must last");
    (good, bad)
}

fn assert_shows(frame: &Frame, width: usize, height: usize, seed: usize) {
    assert_eq!((frame.width_px(), frame.height_px()), (width, height));
    assert!(largest_difference(frame.pixels(), &picture(width, height, seed)) <= 6);
}

#[test]
fn a_bad_frame_in_a_stream_keeps_its_number_and_the_next_one_is_read() {
    let frames: Vec<Vec<u8>> = (0..5).map(|seed| jpeg(48, 32, seed)).collect();
    let scan = |frame: &[u8]| frame.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap() + 14;
    type Hurt = (&'static str, fn(&mut Vec<u8>, usize));
    let hurts: [Hurt; 7] = [
        ("cut in its data", |bytes, scan| bytes.truncate(scan + 40)),
        ("cut in its header", |bytes, _| bytes.truncate(100)),
        ("overwritten", |bytes, scan| bytes[scan + 10..scan + 40].fill(0)),
        ("a piece lost", |bytes, scan| drop(bytes.drain(scan + 10..scan + 40))),
        ("a segment that claims the next picture too", |bytes, _| bytes[4..6].copy_from_slice(&[0x10, 0])),
        ("a marker overwritten", |bytes, scan| bytes[scan - 14] = 0x12),
        ("without its header", |bytes, _| {
            let at = bytes.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
            bytes[at + 1] = 0xFE;
        }),
    ];
    for (name, hurt) in hurts {
        for which in [0, 2, 4] {
            let mut stream = frames.clone();
            let scan = scan(&stream[which]);
            hurt(&mut stream[which], scan);
            // A claim on what follows the last frame takes nothing from another.
            let (good, bad) = good_and_bad(&mut motion(stream.concat()));
            assert_eq!((good.len(), bad.len()), (4, 1), "{name}, {which}: {bad:?}");
            for (number, frame) in &good {
                assert_shows(frame, 48, 32, *number as usize);
            }
        }
    }
}

#[test]
fn a_stream_without_ends_of_pictures_is_split_where_the_next_begins() {
    let thumbnail = jpeg(16, 16, 5);
    let frames: Vec<u8> = (0..4)
        .flat_map(|seed| {
            let whole = with_segment(&jpeg(48, 32, seed), 0xE1, &thumbnail);
            whole[..whole.len() - 2].to_vec()
        })
        .collect();
    let (good, bad) = good_and_bad(&mut motion(frames.clone()));
    assert_eq!((good.len(), bad.len()), (4, 0), "{bad:?}");
    for (number, frame) in &good {
        assert_shows(frame, 48, 32, *number as usize);
    }
    // The power went off: the last picture lacks more than its end.
    let (good, bad) = good_and_bad(&mut motion(frames[..frames.len() - 30].to_vec()));
    assert_eq!((good.len(), bad.len()), (3, 1));
    assert!(bad[0].contains("ends too soon"), "{bad:?}");
}

#[test]
fn multipart_headers_and_junk_before_pictures_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut stream =
        b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=cut\r\n\r\n".to_vec();
    for seed in 0..3 {
        let picture = jpeg(48, 32, seed);
        stream.extend_from_slice(b"--cut\r\nContent-Type: image/jpeg\r\nContent-Length: ");
        stream.extend_from_slice(format!("{}\r\n\r\n", picture.len()).as_bytes());
        stream.extend_from_slice(&picture);
        stream.extend_from_slice(b"\r\n");
    }
    stream.extend_from_slice(b"--cut--\r\n");
    let junk =
        [vec![0x5A; 70_000], jpeg(48, 32, 0)[30..].to_vec(), [0; 900].to_vec(), jpeg(48, 32, 0)].concat();
    for (name, bytes, frames) in [("saved", &stream, 3), ("rest.mjpg", &junk, 1)] {
        write(folder.path(), name, bytes);
        let frames_read = all(open(&folder.path().join(name)).unwrap().as_mut()).unwrap();
        assert_eq!(frames_read.len(), frames);
        for (seed, (_, frame)) in frames_read.iter().enumerate() {
            assert_shows(frame, 48, 32, seed);
        }
    }
    write(folder.path(), "much.mjpg", &[vec![0x5A; 1 << 22], jpeg(48, 32, 0)].concat());
    let (exit, message) = fault(open(&folder.path().join("much.mjpg")));
    assert!(exit == Exit::Data && message.contains("neither"), "{message}");
}

/// A Y4M stream of random samples, and the RGB that BT.601 or BT.709 gives for it in floating point.
fn video(format: &str, width: usize, height: usize, more: &str) -> (Vec<u8>, Vec<f64>) {
    let (x_step, y_step, grey) = match format {
        "mono" => (1, 1, true),
        "422" => (2, 1, false),
        "444" => (1, 1, false),
        _ => (2, 2, false),
    };
    let (wide, high) = (width.div_ceil(x_step), height.div_ceil(y_step));
    let mut state = 7u32;
    let mut sample = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (16 + (state >> 16) % 225) as u8
    };
    let luma: Vec<u8> = (0..width * height).map(|_| sample()).collect();
    let chroma: Vec<u8> = (0..if grey { 0 } else { 2 * wide * high }).map(|_| sample()).collect();
    let mut bytes =
        format!("YUV4MPEG2 W{width} H{height} F30000:1001 Ip A1:1 C{format}{more}\nFRAME\n").into_bytes();
    bytes.extend_from_slice(&luma);
    bytes.extend_from_slice(&chroma);

    let is_bt601 = height <= 576 || more.contains("FULL");
    let (red, blue) = if is_bt601 { (0.299, 0.114) } else { (0.2126, 0.0722) };
    let (offset, luma_span, chroma_span) =
        if more.contains("FULL") { (0.0, 255.0, 255.0) } else { (16.0, 219.0, 224.0) };
    let mut rgb = Vec::new();
    for (at, &light) in luma.iter().enumerate() {
        let cell = (at / width / y_step) * wide + at % width / x_step;
        let y = (light as f64 - offset) / luma_span;
        let centred = |plane: usize| match chroma.get(plane * wide * high + cell) {
            Some(&value) if !grey => (value as f64 - 128.0) / chroma_span,
            _ => 0.0,
        };
        let (r, b) = (y + 2.0 * (1.0 - red) * centred(1), y + 2.0 * (1.0 - blue) * centred(0));
        let g = (y - red * r - blue * b) / (1.0 - red - blue);
        rgb.extend([r, g, b].map(|value| (255.0 * value).clamp(0.0, 255.0)));
    }
    (bytes, rgb)
}

fn y4m_source(bytes: Vec<u8>) -> Result<y4m::Y4m> {
    y4m::Y4m::new("video", Box::new(Cursor::new(bytes)))
}

#[test]
fn uncompressed_video_gets_the_colours_of_its_standard() {
    for format in ["420jpeg", "420mpeg2", "420", "422", "444", "mono"] {
        for (width, height) in [(64, 48), (65, 47), (1, 1), (2, 3), (318, 720)] {
            for more in ["", " XCOLORRANGE=FULL", " XYSCSS=420JPEG XCOLORRANGE=LIMITED"] {
                let (bytes, expected) = video(format, width, height, more);
                let mut source = y4m_source(bytes).unwrap();
                let frame = source.next().unwrap().unwrap();
                assert_eq!((frame.width_px(), frame.height_px()), (width, height));
                for (got, want) in frame.pixels().iter().zip(&expected) {
                    let off = (*got as f64 - want).abs();
                    assert!(off <= 2.0, "{format} {width}×{height}{more}: {got} and not {want:.1}");
                }
                assert!(source.next().unwrap().is_none());
            }
        }
    }
}

#[test]
fn video_keeps_its_rate_and_ends_cleanly() {
    let (mut bytes, _) = video("420jpeg", 16, 16, "");
    let frame = bytes[bytes.len() - 16 * 16 * 3 / 2 - 6..].to_vec();
    bytes.extend_from_slice(&frame.repeat(2));
    let mut source = y4m_source(bytes).unwrap();
    assert!((source.fps() - 29.97).abs() < 0.01);
    let frames = all(&mut source).unwrap();
    assert_eq!(frames.len(), 3);
    assert_eq!(frames[2].1.timestamp.0.as_millis(), 66);
    assert_eq!(frames[2].0, "frame-000002");
}

#[test]
fn damaged_video_is_an_error() {
    let (whole, _) = video("420jpeg", 16, 16, "");
    let header = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for length in 0..whole.len() {
        let outcome = y4m_source(whole[..length].to_vec()).and_then(|mut source| all(&mut source));
        let (exit, message) = fault(outcome);
        assert_eq!(exit, Exit::Data, "{length}: {message}");
        if length > header {
            assert!(message.contains("ends inside frame 0"), "{message}");
        }
    }
    let mut second = whole.clone();
    second.extend_from_slice(b"FRAMF\n");
    second.extend_from_slice(&[0; 384]);
    let mut source = y4m_source(second).unwrap();
    assert!(source.next().unwrap().is_some());
    assert_eq!(fault(source.next()).0, Exit::Data);
    assert!(source.next().unwrap().is_none());
}

#[test]
fn video_headers_that_ask_too_much_are_refused() {
    for (header, says) in [
        ("W9000 H16 F25:1 C420jpeg", "8192"),
        ("W100000 H100000 F25:1 C444", "8192"),
        ("W18446744073709551615 H18446744073709551615 F25:1", "8192"),
        ("W8589934592 H2147483648 F25:1 C444", "8192"),
        ("W0 H16 F25:1", "header"),
        ("W16 H-3 F25:1", "header"),
        ("W16 H16 F25:1 C420p10", "10 bits"),
        ("W16 H16 F25:1 C411", "ffmpeg"),
    ] {
        let (exit, message) = fault(y4m_source(format!("YUV4MPEG2 {header}\n").into_bytes()));
        assert_eq!(exit, Exit::Data);
        assert!(message.contains(says), "{header}: {message}");
    }
    let mut odd_rate = b"YUV4MPEG2 W1 H1 F25:0 Cmono\nFRAME\n".to_vec();
    odd_rate.push(126);
    assert_eq!(y4m_source(odd_rate).unwrap().fps(), 25.0);
}

/// A pipe that gives one byte at a time.
struct Dripping(Cursor<Vec<u8>>);

impl Read for Dripping {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.by_ref().take(1).read(buffer)
    }
}

#[test]
fn a_pipe_is_read_however_its_bytes_arrive() {
    let open = |bytes: Vec<u8>| stream("standard input", Box::new(Dripping(Cursor::new(bytes))), |_| None);
    let (bytes, _) = video("420jpeg", 16, 16, "");
    assert_eq!(all(open(bytes).unwrap().as_mut()).unwrap().len(), 1);
    assert_eq!(all(open(jpeg(16, 16, 1).repeat(3)).unwrap().as_mut()).unwrap().len(), 3);
    for (bytes, says) in [(Vec::new(), "empty"), (png(4, 4, 1), "PNG"), (b"what".to_vec(), "neither")] {
        let (exit, message) = fault(open(bytes));
        assert_eq!(exit, Exit::Data);
        assert!(message.starts_with("standard input") && message.contains(says), "{message}");
    }
}

/// A stream with a few bytes changed, lost or put in.
fn damaged(stream: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..6);
    edits.prop_map(move |edits| {
        let mut bytes = stream.clone();
        for (place, value, kind) in edits {
            let at = place.index(bytes.len());
            match kind {
                0 => bytes[at] = value,
                1 => bytes.truncate(at + 1),
                _ => bytes.insert(at, value),
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Either frames or one fault about data, never a panic.
    #[test]
    fn random_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut jpeg = vec![0xFF, 0xD8, 0xFF];
        jpeg.extend_from_slice(&bytes);
        let mut header = b"YUV4MPEG2 W2 H2 ".to_vec();
        header.extend_from_slice(&bytes);
        for bytes in [bytes, jpeg.clone()] {
            prop_assert!(all(&mut motion(bytes.clone())).is_ok_and(|frames| frames.len() < 9)
                || fault(all(&mut motion(bytes))).0 == Exit::Data);
        }
        if let Err(error) = picture_of("picture", &jpeg, &mut Frame::black(1, 1)) {
            prop_assert_eq!(exit_of(&error), Exit::Data);
        }
        if let Err(error) = y4m_source(header).and_then(|mut source| all(&mut source)) {
            prop_assert_eq!(exit_of(&error), Exit::Data);
        }
    }

    #[test]
    fn damaged_motion_jpeg_does_not_panic(bytes in damaged(jpeg(24, 16, 1).repeat(2))) {
        if let Err(error) = all(&mut motion(bytes)) {
            prop_assert_eq!(exit_of(&error), Exit::Data);
        }
    }

    #[test]
    fn damaged_png_does_not_panic(bytes in damaged(png(24, 16, 1))) {
        if let Err(error) = picture_of("picture", &bytes, &mut Frame::black(1, 1)) {
            prop_assert_eq!(exit_of(&error), Exit::Data);
        }
    }

    #[test]
    fn damaged_video_does_not_panic(bytes in damaged(video("422", 5, 3, "").0)) {
        if let Err(error) = y4m_source(bytes).and_then(|mut source| all(&mut source)) {
            prop_assert_eq!(exit_of(&error), Exit::Data);
        }
    }
}
