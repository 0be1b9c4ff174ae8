use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::fault::{Exit, exit_of};

/// A grey picture, small when compressed, whatever its size.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let picture = image::GrayImage::from_pixel(width, height, image::Luma([255]));
    picture.write_to(&mut std::io::Cursor::new(&mut bytes), image::ImageFormat::Png).unwrap();
    bytes
}

/// The length and the checksum that a chunk of a PNG picture has around its content.
fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let crc = !kind.iter().chain(content).fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    });
    [&(content.len() as u32).to_be_bytes()[..], kind, content, &crc.to_be_bytes()].concat()
}

/// A PNG picture's first bytes, which claim a size and a palette, and no pixels.
fn png_head(width: u32, height: u32, depth: u8, colour: u8) -> Vec<u8> {
    let sides = [width.to_be_bytes(), height.to_be_bytes()].concat();
    let head = chunk(b"IHDR", &[&sides[..], &[depth, colour, 0, 0, 0]].concat());
    [&b"\x89PNG\r\n\x1a\n"[..], &head].concat()
}

/// A bundle whose model is no network: opening must not care.
pub(super) fn write_bundle(directory: &Path) -> String {
    write_golden(directory, &png(8, 8), &png(8, 8), 1)
}

/// One whose manifest names the same golden frame several times.
fn write_golden(directory: &Path, frame: &[u8], mask: &[u8], times: usize) -> String {
    let files = [
        ("model.onnx", b"not a network".as_slice()),
        ("MODEL_CARD.md", b"# Card"),
        ("golden/a.png", frame),
        ("golden/b.png", mask),
    ];
    let mut listed = String::new();
    for (name, bytes) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        listed += &format!("{name:?} = {:?}\n", digest(bytes));
    }
    let golden = "[[golden]]\nframe = \"golden/a.png\"\nmask = \"golden/b.png\"\n".repeat(times);
    let manifest = format!(
        r#"format_version = 1
name = "test"
model_version = "1.0"
rollback_index = 3
model = "model.onnx"
field_of_view = "find"
[input]
name = "input"
shape = [1, 3, 256, 256]
scale = 0.0078125
zero_point = 127
[output]
name = "logits"
shape = [1, 1, 64, 64]
scale = 0.1
zero_point = 128
[decision]
threshold = 0.5
min_region_share = 0.001
min_peak = 0.6
[gate]
appear = 3
window = 5
{golden}[provenance]
data = []
seeds = []
commit = ""
[files]
{listed}"#
    );
    fs::write(directory.join(MANIFEST), &manifest).unwrap();
    manifest
}

/// The exit code and message of opening a bundle after something was done to it.
fn refused(spoil: impl FnOnce(&Path, &str)) -> (Exit, String) {
    let directory = tempfile::tempdir().unwrap();
    let manifest = write_bundle(directory.path());
    spoil(directory.path(), &manifest);
    let error = Bundle::open(directory.path()).expect_err("it must be refused");
    let message = format!("{error:#}");
    assert!(!message.contains('\n'), "{message}");
    (exit_of(&error), message)
}

fn refused_with_manifest(from: &str, to: &str) -> String {
    let (exit, message) = refused(|directory, manifest| {
        assert!(manifest.contains(from), "{from}");
        fs::write(directory.join(MANIFEST), manifest.replacen(from, to, 1)).unwrap();
    });
    assert_eq!(exit, Exit::Data, "{message}");
    assert!(message.contains(MANIFEST), "{message}");
    message
}

#[test]
fn a_whole_bundle_opens_and_reads() {
    let directory = tempfile::tempdir().unwrap();
    write_bundle(directory.path());
    let bundle = Bundle::open(directory.path()).unwrap();
    assert_eq!(bundle.manifest.rollback_index, 3);
    assert_eq!(bundle.model(), b"not a network");
    assert_eq!(bundle.read("model.onnx").unwrap(), b"not a network");
    assert_eq!(bundle.read("golden/a.png").unwrap(), png(8, 8));
    for not_kept in ["MODEL_CARD.md", MANIFEST, "nowhere"] {
        assert_eq!(exit_of(&bundle.read(not_kept).unwrap_err()), Exit::Data, "{not_kept}");
    }
    assert_eq!(bundle.golden().len(), 1);
    let golden = bundle.golden().get(0).unwrap().unwrap();
    assert_eq!((golden.frame.width_px(), golden.frame.height_px()), (8, 8));
    assert_eq!(golden.mask, [255; 64]);
    assert!(bundle.golden().get(1).is_none());
    assert_eq!(bundle.golden_frames().unwrap().len(), 1);
}

#[test]
fn a_signature_that_nobody_asks_for_may_be_anything() {
    let directory = tempfile::tempdir().unwrap();
    write_bundle(directory.path());
    fs::write(directory.path().join(SIGNATURE), b"\xff\xfe").unwrap();
    Bundle::open(directory.path()).unwrap();
    // Beneath another folder it is a file like any other.
    fs::write(directory.path().join("golden").join(SIGNATURE), b"").unwrap();
    let error = Bundle::open(directory.path()).unwrap_err();
    assert!(format!("{error:#}").contains("does not list it"), "{error:#}");
}

#[test]
fn every_changed_byte_is_noticed() {
    for name in ["model.onnx", "MODEL_CARD.md", "golden/a.png"] {
        let (exit, message) = refused(|directory, _| {
            let path = directory.join(name);
            let mut bytes = fs::read(&path).unwrap();
            bytes[0] ^= 1;
            fs::write(path, bytes).unwrap();
        });
        assert_eq!(exit, Exit::Data);
        assert!(message.contains(name) && message.contains("digest"), "{message}");
    }
}

#[test]
fn what_was_opened_stays_whatever_becomes_of_the_files() {
    let spoils: [fn(&Path); 4] = [
        |path| fs::write(path, b"another").unwrap(),
        |path| fs::File::options().write(true).open(path).unwrap().set_len(0).unwrap(),
        |path| fs::remove_file(path).unwrap(),
        |path| {
            fs::remove_file(path).unwrap();
            symlink("/dev/zero", path).unwrap();
        },
    ];
    for spoil in spoils {
        let directory = tempfile::tempdir().unwrap();
        write_bundle(directory.path());
        let bundle = Bundle::open(directory.path()).unwrap();
        for name in [MANIFEST, "model.onnx", "MODEL_CARD.md", "golden/a.png", "golden/b.png"] {
            spoil(&directory.path().join(name));
        }
        assert_eq!(bundle.model(), b"not a network");
        let golden = bundle.golden().clone();
        drop(bundle);
        assert_eq!(golden.get(0).unwrap().unwrap().mask, [255; 64]);
    }
}

#[test]
fn a_bundle_without_golden_frames_or_with_too_many_is_refused() {
    for (times, part) in [(0, "no golden frame"), (33, "33 golden frames, more than 32")] {
        let directory = tempfile::tempdir().unwrap();
        write_golden(directory.path(), &png(8, 8), &png(8, 8), times);
        let error = Bundle::open(directory.path()).unwrap_err();
        assert_eq!(exit_of(&error), Exit::Data);
        assert!(format!("{error:#}").contains(part), "{error:#}");
    }
    let directory = tempfile::tempdir().unwrap();
    write_golden(directory.path(), &png(8, 8), &png(8, 8), 32);
    assert_eq!(Bundle::open(directory.path()).unwrap().golden_frames().unwrap().len(), 32);
}

#[test]
fn golden_frames_are_bounded_before_any_is_decoded() {
    let small = png(8, 8);
    let (most, of_most) = (png_head(2048, 2048, 8, 2), png_head(2048, 2048, 8, 0));
    for (frame, mask, times, part) in [
        (&png_head(8192, 8192, 8, 2), &png_head(8192, 8192, 8, 0), 30, "8192 × 8192 pixels is too large"),
        (&png_head(2048, 2049, 8, 2), &png_head(2048, 2049, 8, 0), 1, "too large"),
        (&png_head(0, 8, 8, 2), &small, 1, "too large"),
        (&png_head(1, 8193, 8, 2), &small, 1, "too large"),
        (&most, &of_most, 5, "more than 16777216"),
        (&small, &png(8, 9), 1, "differs from its frame's size"),
        (&b"GIF89a".to_vec(), &small, 1, "must be a PNG image"),
        (&small, &vec![], 1, "must be a PNG image"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        write_golden(directory.path(), frame, mask, times);
        let error = Bundle::open(directory.path()).unwrap_err();
        assert_eq!(exit_of(&error), Exit::Data);
        let message = format!("{error:#}");
        assert!(message.contains(part) && !message.contains('\n'), "{part}: {message}");
    }
    let directory = tempfile::tempdir().unwrap();
    write_golden(directory.path(), &most, &of_most, 4);
    Bundle::open(directory.path()).unwrap();
}

#[test]
fn a_golden_frame_that_is_cut_or_makes_the_decoder_panic_is_refused() {
    // A palette that ends within its last entry: png 0.18.1 panics.
    let rows: Vec<u8> = (0..8).flat_map(|_| [0, 226, 226, 0, 0, 0, 0, 0, 0]).collect();
    let mut packed = vec![0x78, 0x01, 0x01, rows.len() as u8, 0, !(rows.len() as u8), 0xff];
    let (low, high) = rows.iter().fold((1u32, 0u32), |(low, high), &byte| {
        let low = (low + u32::from(byte)) % 65521;
        (low, (high + low) % 65521)
    });
    packed.extend_from_slice(&rows);
    packed.extend_from_slice(&(high << 16 | low).to_be_bytes());
    let palette =
        [png_head(8, 8, 8, 3), chunk(b"PLTE", &[9; 679]), chunk(b"IDAT", &packed), chunk(b"IEND", b"")];
    let whole = png(8, 8);
    for (frame, refused) in [(whole[..whole.len() / 2].to_vec(), true), (palette.concat(), false)] {
        let directory = tempfile::tempdir().unwrap();
        write_golden(directory.path(), &frame, &whole, 1);
        let bundle = Bundle::open(directory.path()).unwrap();
        match bundle.golden_frames() {
            Ok(_) => assert!(!refused, "half a picture was taken for a whole one"),
            Err(error) => {
                assert_eq!(exit_of(&error), Exit::Data);
                let message = format!("{error:#}");
                assert!(
                    message.contains("a.png: it is a damaged PNG") && !message.contains('\n'),
                    "{message}"
                );
            }
        }
    }
}

#[test]
fn missing_and_extra_files_are_refused() {
    let (exit, message) = refused(|directory, _| fs::remove_file(directory.join("golden/a.png")).unwrap());
    assert!(exit == Exit::Data && message.contains("golden/a.png"), "{message}");
    let (exit, message) = refused(|directory, _| fs::write(directory.join("golden/c.png"), b"b").unwrap());
    assert!(exit == Exit::Data && message.contains("golden/c.png"), "{message}");
    let (exit, message) = refused(|directory, _| fs::remove_file(directory.join(MANIFEST)).unwrap());
    assert!(exit == Exit::Data && message.contains("not a bundle"), "{message}");
}

#[test]
fn a_folder_that_is_not_there_is_an_io_error() {
    let error = Bundle::open(Path::new("/nowhere/at/all")).unwrap_err();
    assert_eq!(exit_of(&error), Exit::Io);
}

#[test]
fn links_are_refused() {
    let (exit, message) = refused(|directory, _| {
        let path = directory.join("MODEL_CARD.md");
        let elsewhere = tempfile::NamedTempFile::new().unwrap().into_temp_path().keep().unwrap();
        fs::rename(&path, &elsewhere).unwrap();
        symlink(elsewhere, path).unwrap();
    });
    assert!(exit == Exit::Data && message.contains("MODEL_CARD.md"), "{message}");
}

#[test]
fn a_special_file_in_place_of_any_file_is_refused_at_once() {
    for name in [MANIFEST, "model.onnx", "MODEL_CARD.md", "golden/a.png", SIGNATURE, "more"] {
        for pipe in [true, false] {
            let begun = std::time::Instant::now();
            let (exit, message) = refused(|directory, _| {
                let path = directory.join(name);
                // What is not there need not be removed.
                let _ = fs::remove_file(&path);
                if pipe {
                    use rustix::fs::{CWD, FileType, Mode, mknodat};
                    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
                } else {
                    drop(std::os::unix::net::UnixListener::bind(path).unwrap())
                }
            });
            assert!(exit == Exit::Data && message.contains("regular file"), "{message}");
            assert!(begun.elapsed() < std::time::Duration::from_secs(5));
        }
    }
}

#[test]
fn a_file_that_is_no_packed_bundle_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for bytes in [&b""[..], b"text", &[7; 4096]] {
        fs::write(file.path(), bytes).unwrap();
        let error = Bundle::open(file.path()).unwrap_err();
        assert_eq!(exit_of(&error), Exit::Data);
        assert!(format!("{error:#}").contains("polyp-edge bundle pack"), "{error:#}");
    }
}

#[test]
fn folders_in_folders_are_bounded() {
    let (exit, message) =
        refused(|directory, _| fs::create_dir_all(directory.join("d/".repeat(40))).unwrap());
    assert!(exit == Exit::Data && message.contains("deep"), "{message}");
}

#[test]
fn a_manifest_of_any_size_is_not_parsed() {
    let (exit, message) = refused(|directory, manifest| {
        fs::write(directory.join(MANIFEST), format!("{manifest}#{}", "#".repeat(1 << 20))).unwrap();
    });
    assert!(exit == Exit::Data && message.contains("larger"), "{message}");
}

#[test]
fn folders_are_counted_too() {
    let (exit, message) = refused(|directory, _| {
        (0..2001).for_each(|index| fs::create_dir(directory.join(format!("{index}"))).unwrap());
    });
    assert!(exit == Exit::Data && message.contains("too many"), "{message}");
}

#[test]
fn names_on_several_lines_are_refused() {
    let (exit, message) = refused(|directory, _| fs::write(directory.join("more\nlines"), b"").unwrap());
    assert!(exit == Exit::Data, "{message}");
}

#[test]
fn manifests_that_make_no_sense_are_refused() {
    for (from, to, part) in [
        ("format_version = 1", "format_version = 9", "format version 9"),
        ("name = \"test\"", "name = test", ":2:"),
        ("rollback_index = 3", "rollback_index = -3", ""),
        ("model = \"model.onnx\"", "model = \"other.onnx\"", "other.onnx"),
        ("\"model.onnx\" = ", "\"../model.onnx\" = ", "leads outside"),
        ("\"model.onnx\" = ", "\"/etc/passwd\" = ", "leads outside"),
        ("\"model.onnx\" = ", "\"model\\n.onnx\" = ", "leads outside"),
        ("\"model.onnx\" = \"", "\"model.onnx\" = \"0", "digest"),
        ("mask = \"golden/b.png\"", "mask = \"golden/c.png\"", "golden/c.png"),
        ("shape = [1, 3, 256, 256]", "shape = [1, 3, 256, 255]", "input"),
        ("shape = [1, 3, 256, 256]", "shape = [1, 3, 99999999, 99999999]", "input"),
        ("shape = [1, 1, 64, 64]", "shape = [1, 2, 64, 64]", "output"),
        ("scale = 0.1", "scale = 0.0", "scale"),
        ("scale = 0.1", "scale = nan", "scale"),
        ("threshold = 0.5", "threshold = 1.5", "threshold"),
        ("threshold = 0.5", "threshold = nan", "threshold"),
        ("threshold = 0.5", "threshold = 0.001", "from 0.01 to 0.9999"),
        ("min_peak = 0.6", "min_peak = 1.0", "from 0.01 to 0.9999"),
        ("min_region_share = 0.001", "min_region_share = 0.06", "from 0 to 0.05"),
        ("appear = 3\nwindow = 5", "appear = 33\nwindow = 64", "at most 32"),
        ("name = \"test\"", "name = \"\"", "name must be text"),
        ("name = \"test\"", "name = \"two\\nlines\"", "name must be text"),
        ("model_version = \"1.0\"", "model_version = \"\\u001b[31m\"", "model_version must be text"),
        ("rollback_index = 3", "rollback_index = 3\ncompatible = \"\"", "compatible must be text"),
        ("min_region_share = 0.001", "min_region_share = 1.0", "min_region_share"),
        ("appear = 3", "appear = 6", "gate"),
        ("window = 5", "window = 5\nsecret = 1", "secret"),
    ] {
        let message = refused_with_manifest(from, to);
        assert!(message.contains(part), "{to}: {message}");
    }
}
