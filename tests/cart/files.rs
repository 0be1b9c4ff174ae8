//! Nothing that is read is written over, nothing that somebody else wrote is replaced, nothing stays behind.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use testing::bundle::write;
use testing::cart::Workplace;
use testing::folder::{RECORD, files};
use testing::picture::write_picture;

use crate::PROGRAM;
use crate::signals::waiting;

fn workplace() -> Workplace {
    filled(Workplace::shared())
}

/// Puts a model, two frames and, beside them, the true masks into a folder.
pub fn filled(folder: Workplace) -> Workplace {
    let at = folder.path();
    write(&at.join("model"));
    for name in ["set/images", "set/masks"] {
        std::fs::create_dir_all(at.join(name)).unwrap();
    }
    for name in ["a", "b"] {
        write_picture(&at.join(format!("set/images/{name}.png")), 120, 90, (50.0, 40.0), 20.0);
        std::fs::write(at.join(format!("set/masks/{name}.png")), "the truth").unwrap();
    }
    folder
}

fn error_line(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

/// Every file with its content, and every folder's name.
fn everything(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                all.push((path.clone(), Vec::new()));
                folders.push(path);
            } else {
                all.push((path.clone(), std::fs::read(path).unwrap_or_default()))
            }
        }
    }
    all.sort();
    all
}

#[test]
fn a_folder_that_is_read_is_never_written_to() {
    let folder = workplace();
    let at = folder.path();
    symlink("set/images", at.join("link")).unwrap();
    symlink("set/images/a.png", at.join("a-link.png")).unwrap();
    std::fs::create_dir(at.join("links")).unwrap();
    symlink("../set/images/a.png", at.join("links/1.png")).unwrap();
    std::fs::create_dir_all(at.join("model/golden")).unwrap();
    let absolute = at.join("set/images");
    let absolute = absolute.to_str().unwrap();
    let video = at.join("video");
    std::fs::create_dir(&video).unwrap();
    let mut jpeg = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(32, 24).write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    std::fs::write(video.join("v.mjpg"), jpeg.into_inner()).unwrap();
    let before = everything(at);
    let same = "the same folder as";
    let cases: &[(&str, &str, &[&str], &str)] = &[
        ("set/images", "set/images", &[], same),
        ("set/images", "set/images/", &[], same),
        ("set/images/", "set/../set/./images", &[], same),
        ("set/images", absolute, &[], same),
        (absolute, "link", &[], same),
        ("link", "set/images", &[], same),
        ("link/", "link/.", &[], same),
        ("set/images/a.png", "set/images", &[], same),
        ("a-link.png", "set/images", &[], same),
        ("a-link.png", ".", &[], same),
        ("links", "set/images", &["--force"], same),
        ("video/v.mjpg", "video", &[], same),
        ("set/images", "set/images", &["--force"], same),
        ("set/images", "set/images", &["--masks", "--overlay"], same),
        ("set/masks", "set", &["--masks", "--overlay", "--force"], same),
        ("set/images", "model", &[], same),
        ("set/images", "model/golden", &["--force"], "inside"),
        ("set/images", "model/new/deep", &[], "inside"),
        ("set/images", "nowhere/../set/images", &[], "`..` after a folder that does not exist"),
        // The data set's own masks: nobody reads them here, but nobody wrote them by this program either.
        ("set/images", "set", &["--masks", "--overlay"], "set/masks/a.png was not written by this program"),
        ("set/images", "set/masks", &["--masks"], "set/masks/a.png was not written by this program"),
    ];
    for (source, out, flags, expected) in cases {
        let output =
            PROGRAM.run(at, &[&["replay", source, "--model", "model", "--out", out], *flags].concat());
        assert_eq!(output.status.code(), Some(2), "{source} {out} {flags:?}: {output:?}");
        let line = error_line(&output);
        assert!(line.contains(expected) && !line.contains("panic"), "{source} {out} {flags:?}: {line}");
        assert_eq!(everything(at), before, "{source} {out} {flags:?} changed something");
    }
}

#[test]
fn a_file_on_standard_input_is_read_too() {
    let folder = workplace();
    let at = folder.path();
    std::fs::create_dir(at.join("video")).unwrap();
    let mut video = b"YUV4MPEG2 W32 H24 F25:1 C444\nFRAME\n".to_vec();
    video.extend_from_slice(&[128; 3 * 32 * 24]);
    std::fs::write(at.join("video/v.y4m"), &video).unwrap();
    let output = PROGRAM
        .command()
        .args(["replay", "-", "--model", "model", "--out", "video"])
        .current_dir(at)
        .stdin(std::fs::File::open(at.join("video/v.y4m")).unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(files(&at.join("video")), [Path::new("v.y4m")]);
}

#[test]
fn a_folder_beside_or_inside_the_source_is_fine() {
    let folder = workplace();
    let at = folder.path();
    for out in ["set/images/out", "set/out", "out/./deep"] {
        let output = PROGRAM.run(at, &["replay", "set/images", "--model", "model", "--out", out]);
        assert!(output.status.success(), "{out}: {output:?}");
        assert_eq!(files(&at.join(out)), ["a.png", "b.png"].map(Path::new));
    }
}

#[test]
fn a_second_run_removes_the_firsts_files_and_no_others() {
    let folder = workplace();
    let at = folder.path();
    let run = |source: &str, flags: &[&str]| {
        PROGRAM.run(at, &[&["replay", source, "--model", "model", "--out", "out"], flags].concat())
    };
    assert!(run("set/images", &[]).status.success());
    std::fs::write(at.join("out/notes.txt"), "mine").unwrap();
    // One frame less: the other's picture is an earlier run's, and goes.
    assert!(run("set/images/a.png", &[]).status.success());
    assert_eq!(files(&at.join("out")), ["a.png", "notes.txt"].map(Path::new));

    // A picture that somebody changed is theirs, and so is one that they added.
    for name in ["a.png", "c.png"] {
        assert!(run("set/images", &["--force"]).status.success());
        std::fs::write(at.join("out").join(name), "edited").unwrap();
        let refused = run("set/images", &[]);
        assert_eq!(refused.status.code(), Some(2));
        let line = error_line(&refused);
        assert!(line.contains(&format!("out/{name} was not written by this program")), "{line}");
        assert!(line.contains("--force"), "{line}");
        assert_eq!(std::fs::read(at.join("out").join(name)).unwrap(), b"edited");
        assert!(at.join("out/b.png").exists(), "nothing is removed by a run that is refused");
    }
    assert!(run("set/images", &["--force"]).status.success());
    image::open(at.join("out/a.png")).unwrap();
    assert_eq!(std::fs::read(at.join("out/c.png")).unwrap(), b"edited", "no frame has its name");
    assert_eq!(std::fs::read(at.join("out/notes.txt")).unwrap(), b"mine");
}

#[test]
fn links_in_the_output_folder_are_not_followed() {
    let folder = workplace();
    let at = folder.path();
    std::fs::create_dir(at.join("out")).unwrap();
    symlink("../set/masks/a.png", at.join("out/a.png")).unwrap();
    std::fs::hard_link(at.join("set/images/b.png"), at.join("out/b.png")).unwrap();
    let original = std::fs::read(at.join("set/images/b.png")).unwrap();
    let run = |flags: &[&str]| {
        PROGRAM.run(at, &[&["replay", "set/images", "--model", "model", "--out", "out"], flags].concat())
    };
    assert_eq!(run(&[]).status.code(), Some(2));
    assert!(run(&["--force"]).status.success());
    assert_eq!(std::fs::read(at.join("set/masks/a.png")).unwrap(), b"the truth");
    assert_eq!(std::fs::read(at.join("set/images/b.png")).unwrap(), original);
    assert!(at.join("out/a.png").symlink_metadata().unwrap().is_file());
}

#[test]
fn a_folder_is_one_runs_at_a_time() {
    let folder = workplace();
    let at = folder.path();
    let (mut child, mut frames) = waiting(at, &[]);
    let second = PROGRAM.run(at, &["replay", "set/images", "--model", "model", "--out", "out"]);
    assert_eq!(second.status.code(), Some(2), "{second:?}");
    assert!(error_line(&second).contains("another polyp-edge is writing to the folder out"));
    frames.flush().unwrap();
    drop(frames);
    assert!(child.wait().unwrap().success());
    let third = PROGRAM.run(at, &["replay", "set/images", "--model", "model", "--out", "out"]);
    assert!(third.status.success(), "{third:?}");
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o7777
}

/// Replays with a umask, which the child alone gets.
fn replay_with_umask(at: &Path, umask: u32, out: &str) {
    let command = format!("umask {umask:o}; exec {} replay set/images --model model --out {out}", PROGRAM.0);
    let output = Command::new("sh").args(["-c", &command]).current_dir(at).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn pictures_are_their_owners_alone() {
    let folder = workplace();
    let at = folder.path();
    for umask in [0o000, 0o002, 0o022, 0o077] {
        let out = format!("new-{umask:o}/deep");
        replay_with_umask(at, umask, &out);
        let out = at.join(out);
        assert_eq!((mode(&out), mode(out.parent().unwrap())), (0o700, 0o700), "umask {umask:o}");
        for name in ["a.png", "b.png", RECORD] {
            assert_eq!(mode(&out.join(name)), 0o600, "{name}, umask {umask:o}");
        }
    }
    // A folder that the user made keeps its own permissions; what is in it is private all the same.
    let made = |name: &str, mode: u32| {
        let path = at.join(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let open = made("open", 0o755);
    replay_with_umask(at, 0o022, "open");
    assert_eq!((mode(&open), mode(&open.join("a.png"))), (0o755, 0o600));
    // Set up for a group, by its set-group-ID bit: the group gets what the folder gives it, less the umask.
    for (name, bits, umask, expected) in [
        ("shared", 0o2770, 0o002, 0o660),
        ("read", 0o2750, 0o002, 0o640),
        ("masked", 0o2770, 0o022, 0o640),
        ("closed", 0o2770, 0o077, 0o600),
        ("others", 0o2777, 0o000, 0o660),
    ] {
        let path = made(name, bits);
        replay_with_umask(at, umask, name);
        assert_eq!(mode(&path.join("a.png")), expected, "{name}");
        assert_eq!(mode(&path), bits, "{name}");
    }
}

#[test]
fn names_that_are_not_text_survive_byte_for_byte() {
    let folder = workplace();
    let at = folder.path();
    let name = |bytes: &[u8]| PathBuf::from(std::ffi::OsStr::from_bytes(bytes));
    let source = at.join(name(b"fr\xE9d\xE9ric"));
    std::fs::create_dir(&source).unwrap();
    let names: [&[u8]; 3] = [b"polype-\xE9.png", b"polype-\xE8.png", "größe.png".as_bytes()];
    for bytes in names {
        std::fs::copy(at.join("set/images/a.png"), source.join(name(bytes))).unwrap();
    }
    let run = || {
        PROGRAM
            .command()
            .arg("replay")
            .arg(&source)
            .args(["--model", "model", "--out", "out", "--masks", "--overlay"])
            .current_dir(at)
            .output()
            .unwrap()
    };
    // Twice: the record knows such names again.
    for _ in 0..2 {
        let output = run();
        assert!(output.status.success(), "{output:?}");
        let mut expected: Vec<PathBuf> = names
            .iter()
            .flat_map(|bytes| ["masks", "overlay"].map(|folder| Path::new(folder).join(name(bytes))))
            .collect();
        expected.sort();
        assert_eq!(files(&at.join("out")), expected);
    }
    // `run` writes its pictures by another way.
    std::fs::rename(&source, at.join("frames")).unwrap();
    testing::cart::put_base(at);
    let profile = "name = \"test\"\ninherits = \"base\"\n[model]\nbundle = \"model\"\n\
                   [camera]\nsource = \"frames\"\nrate_hz = 0.0\n[pipeline]\nlock_step = true\n\
                   [display]\nkind = \"images\"\nfolder = \"shown\"\n";
    std::fs::write(at.join("test.toml"), profile).unwrap();
    let output = PROGRAM.run(at, &["run", "--board", "test.toml"]);
    assert!(output.status.success(), "{output:?}");
    let mut expected = names.map(name);
    expected.sort();
    let shown = files(&at.join("shown"));
    assert!(expected.iter().all(|picture| shown.contains(picture)), "{shown:?}");
}

#[test]
fn a_full_disk_is_one_line_and_leaves_nothing_half_written() {
    let folder = workplace();
    let at = folder.path();
    // The most that a file may have stands in for the disk: 1 block of 512 bytes is less than a picture.
    let command =
        format!("trap '' XFSZ; ulimit -f 1; exec {} replay set/images --model model --out out", PROGRAM.0);
    let output = Command::new("sh").args(["-c", &command]).current_dir(at).output().unwrap();
    assert_eq!(output.status.code(), Some(74), "{output:?}");
    assert!(error_line(&output).contains("cannot write out/a.png"));
    assert_eq!(files(&at.join("out")), [] as [&Path; 0]);
}

#[test]
fn a_summary_that_cannot_be_written_is_an_io_error() {
    let folder = workplace();
    let output = PROGRAM
        .command()
        .args(["replay", "set/images", "--model", "model", "--out", "out", "--json"])
        .current_dir(folder.path())
        .stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(74), "{output:?}");
    assert!(error_line(&output).contains("standard output"));
}

#[test]
fn dumped_tensors_replace_nothing_but_their_own() {
    let folder = workplace();
    let at = folder.path();
    let dump = |out: &str, flags: &[&str]| {
        PROGRAM.run(
            at,
            &[&["model", "--model", "model", "--dump", "set/images", "--out", out, "--frames", "1"], flags]
                .concat(),
        )
    };
    for _ in 0..2 {
        assert!(dump("dump", &[]).status.success());
        assert_eq!(files(&at.join("dump")), ["inputs.bin", "logits.bin"].map(Path::new));
    }
    assert_eq!(mode(&at.join("dump/inputs.bin")), 0o600);
    std::fs::write(at.join("dump/logits.bin"), "mine").unwrap();
    let refused = dump("dump", &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(error_line(&refused).contains("dump/logits.bin"));
    assert!(dump("dump", &["--force"]).status.success());
    assert_eq!(dump("set/images", &["--force"]).status.code(), Some(2));
    assert_eq!(dump("model", &["--force"]).status.code(), Some(2));
}
