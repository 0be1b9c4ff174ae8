//! A bundle's files may change at any moment: what was opened stays as it was, and nothing ends the program by a signal.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use polyp_edge::bundle::{Bundle, MANIFEST, digest};
use polyp_edge::engine::{Engine, Options};
use testing::bundle;
use testing::cart::Workplace;
use testing::folder::files;
use testing::picture::write_picture;

use crate::PROGRAM;

fn shipped() -> PathBuf {
    testing::root().join("models/first-light")
}

/// A copy of a shipped bundle.
fn copy(to: &Path) {
    for name in files(&shipped()) {
        fs::create_dir_all(to.join(&name).parent().unwrap()).unwrap();
        fs::copy(shipped().join(&name), to.join(name)).unwrap();
    }
}

fn logits(bundle: &Bundle) -> Vec<u8> {
    let mut engine = Engine::load(bundle, &Options::default()).unwrap();
    let input: Vec<u8> =
        (0..engine.input_shape().iter().product()).map(|index: usize| (index * 37 % 251) as u8).collect();
    let mut logits = vec![0; engine.output_shape().iter().product()];
    engine.run(&input, &mut logits).unwrap();
    logits
}

/// What may happen to a file, in an order that differs from call to call.
fn spoil(path: &Path, turn: usize) {
    // One that is not there now will be there again.
    let _ = match turn % 4 {
        0 => fs::File::options().write(true).open(path).and_then(|file| file.set_len(0)),
        1 => fs::File::options().write(true).open(path).and_then(|file| {
            let length = file.metadata()?.len();
            std::os::unix::fs::FileExt::write_all_at(&file, &[0xa5; 64], length / 2)
        }),
        2 => fs::write(path.with_extension("new"), b"another")
            .and_then(|()| fs::rename(path.with_extension("new"), path)),
        _ => fs::remove_file(path),
    };
}

#[test]
fn an_open_bundle_gives_the_same_logits_while_its_files_are_spoilt() {
    let folder = Workplace::shared();
    let expected = logits(&Bundle::open(&shipped()).unwrap());
    let names = files(&shipped());
    for round in 0..4 {
        copy(folder.path());
        let open = Bundle::open(folder.path()).unwrap();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for turn in round.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    names.iter().for_each(|name| spoil(&folder.path().join(name), turn));
                }
            });
            for _ in 0..5 {
                assert_eq!(logits(&open), expected);
                assert_eq!(open.golden_frames().unwrap().len(), 4);
            }
            stop.store(true, Ordering::Relaxed);
        });
        let message = format!("{:#}", Bundle::open(folder.path()).unwrap_err());
        assert!(!message.contains('\n'), "{message}");
    }
}

#[test]
fn the_program_outlives_its_bundle() {
    // The program opens, loads and runs while each file in turn is cut to nothing, sooner or later.
    let folder = Workplace::alone();
    let source = folder.path().join("picture.png");
    write_picture(&source, 224, 224, (100.0, 100.0), 40.0);
    let dump = |model: &Path, out: &str| {
        let mut command = PROGRAM.command();
        command.args(["model", "--dump", "picture.png", "--out", out, "--frames", "1"]).arg(model);
        command.current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    };
    assert!(dump(&shipped(), "expected").status().unwrap().success());
    let expected = fs::read(folder.path().join("expected/logits.bin")).unwrap();
    assert!(expected.iter().any(|&logit| logit != expected[0]));
    let model = folder.path().join("model");
    let names = files(&shipped());
    let (mut whole, mut refused) = (0, 0);
    for round in 0..60 {
        copy(&model);
        let child = dump(&model, "out").spawn().unwrap();
        thread::sleep(Duration::from_micros(700 * round));
        for name in &names {
            fs::File::options().write(true).open(model.join(name)).unwrap().set_len(0).unwrap();
        }
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        let message = String::from_utf8(stderr).unwrap();
        match status.code() {
            Some(0) => {
                whole += 1;
                assert!(fs::read(folder.path().join("out/logits.bin")).unwrap() == expected, "other logits");
            }
            Some(65) => {
                refused += 1;
                assert_eq!(message.trim_end().lines().count(), 1, "{message}");
            }
            _ => panic!("ended by signal {:?}, {status}: {message}", status.signal()),
        }
    }
    assert!(whole > 5 && refused > 0, "{whole} loaded, {refused} refused: the test proves little");
}

/// Runs `model` on a bundle under a limit, as `ulimit` takes it.
fn limited(bundle: &Path, limit: &str) -> Output {
    let line = format!("ulimit {limit}; exec \"$0\" model \"$1\"");
    Command::new("sh").args(["-c", &line, PROGRAM.0]).arg(bundle).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn golden_frames_that_would_fill_the_memory_are_refused_within_little() {
    let folder = Workplace::shared();
    bundle::write(folder.path());
    let mut png = std::io::Cursor::new(Vec::new());
    image::GrayImage::new(8192, 8192).write_to(&mut png, image::ImageFormat::Png).unwrap();
    let png = png.into_inner();
    let manifest = fs::read_to_string(folder.path().join(MANIFEST)).unwrap();
    for times in [1, 30, 60] {
        let (before, rest) = manifest.split_once("[[golden]]").unwrap();
        let (_, rest) = rest.split_once("[provenance]").unwrap();
        let golden = "[[golden]]\nframe = \"golden/dark.png\"\nmask = \"golden/light.png\"\n\n".repeat(times);
        let mut text = format!("{before}{golden}[provenance]{rest}");
        for name in ["golden/dark.png", "golden/light.png"] {
            let old = digest(&fs::read(folder.path().join(name)).unwrap());
            text = text.replace(&old, &digest(&png));
        }
        let spoilt = tempfile::tempdir().unwrap();
        fs::create_dir(spoilt.path().join("golden")).unwrap();
        fs::copy(folder.path().join("model.onnx"), spoilt.path().join("model.onnx")).unwrap();
        fs::write(spoilt.path().join("golden/dark.png"), &png).unwrap();
        fs::write(spoilt.path().join("golden/light.png"), &png).unwrap();
        fs::write(spoilt.path().join(MANIFEST), text).unwrap();
        // One of the pictures alone would be 64 MiB.
        let output = limited(spoilt.path(), "-v 61440");
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(65), "{message}");
        let part =
            if times > 32 { "60 golden frames, more than 32" } else { "8192 × 8192 pixels is too large" };
        assert!(message.contains(part) && message.trim_end().lines().count() == 1, "{message}");
    }
}

#[test]
fn too_little_memory_is_said_and_never_ends_in_a_signal() {
    let _turn = Workplace::shared();
    let model = testing::root().join("models/full");
    let (mut short, mut loaded) = (0, 0);
    for kib in (16 << 10..240 << 10).step_by(4 << 10) {
        let output = limited(&model, &format!("-v {kib}"));
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => loaded += 1,
            Some(74) if message.contains("memory") => {
                short += 1;
                assert_eq!(message.trim_end().lines().count(), 1, "{message}");
            }
            // The program itself has no room, or a bundle's file has none.
            code => assert!(short == 0, "{kib} KiB: {code:?}, {}: {message}", output.status),
        }
    }
    assert!(short > 0 && loaded > 0, "{short} refused, {loaded} loaded: the test proves little");
}

#[test]
fn a_limit_on_the_size_of_files_does_not_end_the_program() {
    let _turn = Workplace::shared();
    // The sealed copy counts as a file: one beyond the limit would be a signal.
    let output = limited(&shipped(), "-f 16");
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_tests_own_bundle_passes_its_self_test() {
    let folder = Workplace::shared();
    bundle::write(&folder.path().join("model"));
    testing::cart::put_base(folder.path());
    let text = "name = \"test\"\ninherits = \"base\"\n[model]\nbundle = \"model\"\n";
    fs::write(folder.path().join("test.toml"), text).unwrap();
    let check = || PROGRAM.run(folder.path(), &["check", "--board", "test.toml"]);
    let output = check();
    let (text, errors) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && text.contains("golden   all 2 masks are exact"), "{text}{errors}");
    assert!(errors.is_empty(), "{errors}");
    assert!(text.contains(&format!("signed   with the key {}", bundle::key().id())), "{text}");
    fs::write(folder.path().join("model/manifest.toml.sig"), b"signature").unwrap();
    let output = check();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(76), "{errors}");
    assert!(
        errors.contains("the bundle is refused: the signature is not one that minisign writes"),
        "{errors}"
    );
    assert_eq!(errors.trim_end().lines().count(), 1, "{errors}");
}
