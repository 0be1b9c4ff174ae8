//! Colours come out of recordings as they went in: Y4M streams by what their header says, what the program writes, JPEG.

use std::io::Cursor;
use std::time::Instant;

use polyp_edge::capture::Source;
use polyp_edge::capture::replay::mjpeg::Mjpeg;
use polyp_edge::capture::replay::y4m::{FFMPEG_COMMAND, Y4m};
use polyp_edge::display::{self, Scene, Shown, Sink};
use polyp_edge::fault::{Exit, exit_of};
use polyp_edge::frame::Frame;
use polyp_edge::geometry::Placement;
use polyp_edge::overlay::Layer;

/// Rounding to 8 bits on the way there and back.
const WITHIN: u8 = 2;

fn open(bytes: Vec<u8>) -> anyhow::Result<Y4m> {
    Y4m::new("video", Box::new(Cursor::new(bytes)))
}

/// Width and height of the two chroma planes together, for a name as `C` has it.
fn chroma_samples(format: &str, width: usize, height: usize) -> usize {
    match format {
        "mono" => 0,
        "422" => 2 * width.div_ceil(2) * height,
        "444" => 2 * width * height,
        _ => 2 * width.div_ceil(2) * height.div_ceil(2),
    }
}

/// A stream of two frames of one colour.
fn flat(header: &str, end: &str, format: &str, (width, height): (usize, usize), frame: &str) -> Vec<u8> {
    let mut bytes = format!("YUV4MPEG2 W{width} H{height} {header}{end}").into_bytes();
    let chroma = chroma_samples(format, width, height) / 2;
    for _ in 0..2 {
        bytes.extend_from_slice(frame.as_bytes());
        bytes.extend(std::iter::repeat_n(103, width * height + chroma));
        bytes.extend(std::iter::repeat_n(190, chroma));
    }
    bytes
}

fn assert_near(got: &[u8], want: [u8; 3], what: &str) {
    for pixel in got.chunks_exact(3) {
        let is_near = pixel.iter().zip(want).all(|(&got, want)| got.abs_diff(want) <= WITHIN);
        assert!(is_near, "{what}: {pixel:?} and not {want:?}");
    }
}

// What Y′ 103, Cb 103, Cr 190 are by ITU-R BT.601, BT.709 and BT.2020 in double precision, limited and full range.
const BT601: [u8; 3] = [200, 61, 51];
const BT601_FULL: [u8; 3] = [190, 67, 59];
const BT709: [u8; 3] = [212, 74, 48];
const BT709_FULL: [u8; 3] = [201, 79, 57];
const BT2020: [u8; 3] = [205, 66, 48];
const GREY: [u8; 3] = [101, 101, 101];
const GREY_FULL: [u8; 3] = [103, 103, 103];

/// What follows the magic, the error that is expected or none, the size, the colour that the first pixel must have.
type HeaderCase = (&'static str, &'static str, (usize, usize), [u8; 3]);

#[test]
fn headers_are_read_as_they_say() {
    let list: &[HeaderCase] = &[
        // ffmpeg's own, for H.264 and for MJPEG: the matrix is not named.
        ("F25:1 Ip A1:1 C420mpeg2 XYSCSS=420MPEG2 XCOLORRANGE=LIMITED", "420", (64, 480), BT601),
        ("F25:1 Ip A1:1 C420mpeg2 XYSCSS=420MPEG2 XCOLORRANGE=LIMITED", "420", (64, 576), BT601),
        ("F25:1 Ip A1:1 C420mpeg2 XYSCSS=420MPEG2 XCOLORRANGE=LIMITED", "420", (64, 720), BT709),
        ("F30000:1001 Ip A1:1 C420mpeg2 XYSCSS=420MPEG2", "420", (64, 1080), BT709),
        ("F25:1 Ip A0:0 C420jpeg XYSCSS=420JPEG XCOLORRANGE=FULL", "420", (64, 480), BT601_FULL),
        ("F25:1 Ip A0:0 C420jpeg XYSCSS=420JPEG XCOLORRANGE=FULL", "420", (64, 1080), BT601_FULL),
        ("F25:1 Ip A0:0 C444 XYSCSS=444 XCOLORRANGE=FULL", "444", (64, 720), BT601_FULL),
        ("F25:1 Ip A0:0 C422 XYSCSS=422", "422", (64, 720), BT709),
        ("F25:1 Cmono", "mono", (64, 720), GREY),
        ("F25:1 Cmono XCOLORRANGE=FULL", "mono", (64, 48), GREY_FULL),
        // C420jpeg says where chroma lies, not that the range is full.
        ("F25:1 C420jpeg", "420", (64, 48), BT601),
        ("F25:1 C420paldv", "420", (64, 48), BT601),
        // The matrix is named, in any case, by this program's names and by ffmpeg's.
        ("F25:1 C444 XCOLORRANGE=LIMITED XCOLORMATRIX=BT601", "444", (64, 720), BT601),
        ("F25:1 XCOLORMATRIX=BT601 C420", "420", (64, 1080), BT601),
        ("F25:1 C420 XCOLORMATRIX=BT709", "420", (64, 48), BT709),
        ("F25:1 C420 Xcolormatrix=smpte170m Xcolorrange=limited", "420", (64, 720), BT601),
        ("F25:1 C420 XCOLORMATRIX=BT470BG", "420", (64, 720), BT601),
        ("F25:1 C420 XCOLORMATRIX=BT709 XCOLORRANGE=FULL", "420", (64, 48), BT709_FULL),
        ("F25:1 C422 XCOLORMATRIX=BT2020", "422", (64, 48), BT2020),
        ("F25:1 C422 XCOLORMATRIX=bt2020nc", "422", (64, 720), BT2020),
        // Sampling: not named, by the old tag alone, by both, in another case; odd sizes.
        ("F25:1", "420", (64, 48), BT601),
        ("", "420", (64, 48), BT601),
        ("F25:1 XYSCSS=444", "444", (64, 48), BT601),
        ("F25:1 XYSCSS=422", "422", (64, 48), BT601),
        ("F25:1 Xyscss=420mpeg2", "420", (64, 48), BT601),
        ("F25:1 C444 XYSCSS=420JPEG", "444", (64, 48), BT601),
        ("F25:1 C420JPEG", "420", (65, 47), BT601),
        ("F25:1 XYSCSS=422", "422", (33, 17), BT601),
        ("F25:1 C444", "444", (1, 1), BT601),
        // What is not known is skipped.
        ("F25:1 C420 XLENGTH=2 Xnote Q7 A128:117 It", "420", (64, 48), BT601),
    ];
    for &(header, format, size, want) in list {
        for end in ["\n", "\r\n"] {
            for frame in ["FRAME\n", "FRAME\r\n", "FRAME Ip XNOTE=1\n"] {
                let what = format!("{header:?} {size:?} {end:?} {frame:?}");
                let mut source = open(flat(header, end, format, size, frame)).expect(&what);
                for _ in 0..2 {
                    let picture = source.next().expect(&what).expect(&what);
                    assert_eq!((picture.width_px(), picture.height_px()), size, "{what}");
                    assert_near(picture.pixels(), want, &what);
                }
                assert!(source.next().expect(&what).is_none(), "{what}");
            }
        }
    }
}

#[test]
fn what_is_not_read_is_refused_before_the_first_picture() {
    for (header, says) in [
        ("W64 H48 F25:1 C420p10", "10 bits"),
        ("W64 H48 F25:1 C444p16", "16 bits"),
        ("W64 H48 F25:1 Cmono12", "12 bits"),
        ("W64 H48 F25:1 XYSCSS=422P10", "10 bits"),
        ("W64 H48 F25:1 C411", "format C411"),
        ("W64 H48 F25:1 C444alpha", "format C444alpha"),
        ("W64 H48 F25:1 XYSCSS=411", "411"),
        ("W64 H48 F25:1 C", "pixel format"),
        ("W64 H48 F25:1 C444 XCOLORMATRIX=YCGCO", "XCOLORMATRIX=YCGCO"),
        ("W64 H48 F25:1 C444 XCOLORMATRIX=", "XCOLORMATRIX="),
        ("W64 H48 F25:1 C444 XCOLORRANGE=TV", "XCOLORRANGE=TV"),
        ("W8193 H48 F25:1", "8192"),
        ("W64 H99999999999999999999999 F25:1", "8192"),
        ("W0 H48 F25:1", "no pixels"),
        ("W64 F25:1", "width or height is missing"),
        ("W64 H4x8 F25:1", "width or height is missing"),
        ("W64 H48 F25", "F25"),
    ] {
        let error = open(format!("YUV4MPEG2 {header}\n").into_bytes()).err().expect(header);
        let message = format!("{error:#}").replace("XCOLORMATRIX=BT601, BT709", "");
        assert_eq!(exit_of(&error), Exit::Data, "{header}");
        assert!(message.starts_with("video ") && message.contains(says), "{header}: {message}");
        assert!(!message.contains('\n'), "{message}");
    }
    let long = format!("YUV4MPEG2 W64 H48 X{}\n", "a".repeat(2000));
    assert!(format!("{:#}", open(long.into_bytes()).err().unwrap()).contains("1024"));
}

#[test]
fn a_stream_whose_frames_have_another_size_than_its_header_says_is_an_error() {
    let mut bytes = flat("F25:1 C420", "\n", "444", (64, 48), "FRAME\n");
    bytes.truncate(bytes.len() - 5);
    let mut source = open(bytes).unwrap();
    assert!(source.next().unwrap().is_some());
    let error = source.next().err().unwrap();
    assert_eq!(exit_of(&error), Exit::Data);
    assert!(format!("{error:#}").contains("frame 1"), "{error:#}");
    assert!(source.next().unwrap().is_none());
}

/// Primaries, greys, the colour of mucosa, and random ones.
fn colours(width: usize, height: usize) -> Vec<u8> {
    let named: Vec<[u8; 3]> = [[200, 60, 50]]
        .into_iter()
        .chain((0..8u8).map(|bits| [0, 1, 2].map(|bit| if bits >> bit & 1 == 1 { 255 } else { 0 })))
        .chain((0..=255).map(|grey| [grey; 3]))
        .collect();
    let mut state = 7u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..width * height)
        .flat_map(|at| named.get(at).copied().unwrap_or_else(|| [random(), random(), random()]))
        .collect()
}

#[test]
fn what_the_program_writes_reads_back_the_same_at_every_size() {
    for (width, height) in [(640, 480), (720, 576), (1280, 720), (1920, 1080), (65, 47)] {
        let frame = Frame::from_rgb(width, height, colours(width, height)).unwrap();
        let layer = Layer::default();
        let mut bytes = Vec::new();
        let mut sink = display::Y4m::new(&mut bytes, 25);
        let scene = Scene {
            picture: Some(frame.view()),
            lease: None,
            layer: &layer,
            placement: Placement::identity(width, height),
            name: std::ffi::OsStr::new(""),
            captured: Instant::now(),
        };
        assert_eq!(sink.show(&scene).unwrap(), Shown::Yes);
        drop(sink);
        let mut source = open(bytes).unwrap();
        let read = source.next().unwrap().unwrap();
        for (got, want) in read.pixels().chunks_exact(3).zip(frame.pixels().chunks_exact(3)) {
            let is_near = got.iter().zip(want).all(|(&got, &want)| got.abs_diff(want) <= WITHIN);
            assert!(is_near, "{width}×{height}: {got:?} and not {want:?}");
        }
    }
}

/// Other programs stop at headers above a hundred bytes or so, and skip extensions.
#[test]
fn what_the_program_writes_says_its_colours_in_a_short_header() {
    let frame = Frame::black(1920, 1080);
    let layer = Layer::default();
    let mut bytes = Vec::new();
    let scene = Scene {
        picture: Some(frame.view()),
        lease: None,
        layer: &layer,
        placement: Placement::identity(1920, 1080),
        name: std::ffi::OsStr::new(""),
        captured: Instant::now(),
    };
    display::Y4m::new(&mut bytes, 60).show(&scene).unwrap();
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap();
    assert_eq!(
        std::str::from_utf8(&bytes[..end]).unwrap(),
        "YUV4MPEG2 W1920 H1080 F60:1 XCOLORRANGE=LIMITED XCOLORMATRIX=BT601 C444"
    );
}

#[test]
fn jpeg_is_bt601_in_full_range_at_every_size() {
    for (width, height) in [(640, 480), (720, 576), (1280, 720), (1920, 1080)] {
        for colour in [[200, 60, 50], [128, 128, 128], [40, 20, 10], [90, 140, 200]] {
            let rgb: Vec<u8> = colour.repeat(width * height);
            let mut bytes = Vec::new();
            image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 100)
                .encode(&rgb, width as u32, height as u32, image::ExtendedColorType::Rgb8)
                .unwrap();
            let mut source = Mjpeg::new("video", Box::new(Cursor::new(bytes)));
            let picture = source.next().unwrap().unwrap();
            assert_near(picture.pixels(), colour, &format!("{width}×{height}"));
        }
    }
}

#[test]
fn the_printed_command_makes_a_stream_that_is_read_with_its_colours() {
    for part in ["out_color_matrix=bt601", "out_range=full", "-color_range pc", "format=yuv444p"] {
        assert!(FFMPEG_COMMAND.contains(part), "{part}");
    }
    // What ffmpeg 5.1 writes as the header for that command; the samples are (200, 60, 50) in BT.601, full range.
    for (width, height) in [(640, 480), (720, 576), (1280, 720), (1920, 1080)] {
        let mut bytes =
            format!("YUV4MPEG2 W{width} H{height} F25:1 Ip A0:0 C444 XYSCSS=444 XCOLORRANGE=FULL\nFRAME\n")
                .into_bytes();
        for sample in [101, 99, 199] {
            bytes.extend(std::iter::repeat_n(sample, width * height));
        }
        let mut source = open(bytes).unwrap();
        assert_near(source.next().unwrap().unwrap().pixels(), [200, 60, 50], &format!("{height} lines"));
    }
    let guide = std::fs::read_to_string(testing::root().join("docs/operating.md")).unwrap();
    let one_line: Vec<&str> = guide.split_whitespace().filter(|&word| word != "\\").collect();
    let command = FFMPEG_COMMAND.split(" | ").next().unwrap().replace("FILE", "VIDEO");
    assert!(one_line.join(" ").contains(&command), "docs/operating.md prints another command than {command}");
}

#[test]
fn files_that_ffmpeg_reads_are_refused_with_the_command() {
    let folder = std::env::temp_dir().join(format!("polyp-edge-colour-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (name, head) in [
        ("a.avi", &b"RIFF\0\0\0\0AVI LIST"[..]),
        ("a.mp4", b"\0\0\0\x20ftypisom"),
        ("a.mkv", b"\x1A\x45\xDF\xA3"),
    ] {
        let path = folder.join(name);
        std::fs::write(&path, head).unwrap();
        let error = polyp_edge::capture::replay::open(&path).err().unwrap();
        assert_eq!(exit_of(&error), Exit::Data);
        assert!(format!("{error:#}").contains(FFMPEG_COMMAND), "{error:#}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
