//! `replay` as a person meets it.

use std::path::{Path, PathBuf};

use testing::bundle::write;
use testing::cart::Workplace;
use testing::folder::files;
use testing::picture::write_picture;

use crate::PROGRAM;

#[test]
fn masks_and_outlines_are_named_like_their_frames() {
    let folder = Workplace::shared();
    let at = folder.path();
    write(&at.join("model"));
    std::fs::create_dir(at.join("in")).unwrap();
    let first = write_picture(&at.join("in/polyp one.png"), 200, 160, (120.0, 70.0), 40.0);
    write_picture(&at.join("in/b.jpg"), 97, 131, (50.0, 60.0), 30.0);
    write_picture(&at.join("in/empty.png"), 64, 48, (0.0, 0.0), 0.0);

    let both = PROGRAM
        .run(at, &["replay", "in", "--model", "model", "--out", "out", "--masks", "--overlay", "--json"]);
    assert!(both.status.success(), "{}", String::from_utf8_lossy(&both.stderr));
    let names = ["b.png", "empty.png", "polyp one.png"];
    let both_folders = |name| ["masks", "overlay"].map(|folder| Path::new(folder).join(name));
    let mut expected = names.map(both_folders).concat();
    expected.sort();
    assert_eq!(files(&at.join("out")), expected);
    let summary: serde_json::Value = serde_json::from_slice(&both.stdout).unwrap();
    assert_eq!(
        (&summary["schema"], &summary["frames"], &summary["frames_with_regions"]),
        (&1.into(), &3.into(), &2.into())
    );
    assert!(summary["latency"].as_array().unwrap().iter().any(|stage| stage["stage"] == "inference"));

    let mask = image::open(at.join("out/masks/polyp one.png")).unwrap();
    assert_eq!(mask.color(), image::ColorType::L8);
    let mask = mask.into_luma8();
    assert_eq!(mask.dimensions(), (200, 160));
    assert!(mask.iter().all(|&value| value == 0 || value == 255));
    let both_set = mask.iter().zip(&first).filter(|(mask, truth)| **mask == 255 && **truth).count();
    let either = mask.iter().zip(&first).filter(|(mask, truth)| **mask == 255 || **truth).count();
    assert!(both_set as f64 > 0.75 * either as f64, "overlap {both_set} of {either}");
    assert!(
        image::open(at.join("out/masks/empty.png")).unwrap().into_luma8().iter().all(|&value| value == 0)
    );

    let frame = image::open(at.join("in/polyp one.png")).unwrap().into_rgb8();
    let drawn = image::open(at.join("out/overlay/polyp one.png")).unwrap().into_rgb8();
    let changed = frame.pixels().zip(drawn.pixels()).filter(|(a, b)| a != b).count();
    assert!((300..2500).contains(&changed), "{changed} pixels changed");
    let empty = image::open(at.join("in/empty.png")).unwrap().into_rgb8();
    assert_eq!(image::open(at.join("out/overlay/empty.png")).unwrap().into_rgb8(), empty);

    for (flag, is_mask) in [(Some("--masks"), true), (Some("--overlay"), false), (None, false)] {
        let mut arguments = vec!["replay", "in", "--model", "model", "--out", "alone"];
        arguments.extend(flag);
        assert!(PROGRAM.run(at, &arguments).status.success());
        assert_eq!(files(&at.join("alone")), names.map(PathBuf::from));
        let colour = image::open(at.join("alone/b.png")).unwrap().color();
        assert_eq!(colour == image::ColorType::L8, is_mask);
        std::fs::remove_dir_all(at.join("alone")).unwrap();
    }
}

#[test]
fn video_on_standard_input_gives_numbered_pictures() {
    use std::io::Write;
    let folder = Workplace::shared();
    write(&folder.path().join("model"));
    let mut video = b"YUV4MPEG2 W32 H24 F25:1 C444\n".to_vec();
    for _ in 0..3 {
        video.extend_from_slice(b"FRAME\n");
        video.extend_from_slice(&[128; 3 * 32 * 24]);
    }
    let mut child = PROGRAM
        .command()
        .args(["replay", "-", "--model", "model", "--out", "out"])
        .current_dir(folder.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&video).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("3 frames, 0 with regions"));
    let names = ["frame-000000.png", "frame-000001.png", "frame-000002.png"];
    assert_eq!(files(&folder.path().join("out")), names.map(PathBuf::from));
}

/// Programs of this name stand in for ffmpeg's: they note what they are asked for, and do what `does` says.
fn stand_in(at: &Path, name: &str, does: &str) {
    let path = at.join("bin").join(name);
    std::fs::create_dir_all(at.join("bin")).unwrap();
    std::fs::write(&path, format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > \"$0.asked\"\n{does}\n")).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

/// `replay` of an AVI file that only its beginning makes one, with `bin` alone in the path, or with nothing.
fn replay_avi(at: &Path, path: &str, log: &str) -> std::process::Output {
    std::fs::write(at.join("clip.avi"), b"RIFF\0\0\0\0AVI LIST").unwrap();
    let mut command = PROGRAM.command();
    command.args(["replay", "clip.avi", "--model", "model", "--out", "out", "--json"]).current_dir(at);
    command.env("RUST_LOG", log).env("PATH", path).output().unwrap()
}

#[test]
fn video_in_a_container_is_decoded_by_ffmpeg() {
    let folder = Workplace::shared();
    let at = folder.path();
    write(&at.join("model"));
    let path = format!("{}:/usr/bin:/bin", at.join("bin").display());
    // Three frames, the last one cut where that is asked for.
    let frame = [b"FRAME\n".as_slice(), &[128; 3 * 16 * 16]].concat();
    let whole =
        [b"YUV4MPEG2 W16 H16 F25:1 C444 XCOLORRANGE=FULL\n".as_slice(), &frame, &frame, &frame].concat();
    std::fs::create_dir_all(at.join("bin")).unwrap();
    std::fs::write(at.join("bin/whole.y4m"), &whole).unwrap();
    std::fs::write(at.join("bin/cut.y4m"), &whole[..whole.len() - 100]).unwrap();
    stand_in(at, "ffprobe", r#"echo '{"streams":[{"height":720}],"format":{}}'"#);
    stand_in(at, "ffmpeg", "echo 'a warning' >&2; cat \"$(dirname \"$0\")/whole.y4m\"");
    let output = replay_avi(at, &path, "info");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("clip.avi is decoded by ffmpeg, as BT.709"), "{said}");
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["frames"], 3);
    let asked = std::fs::read_to_string(at.join("bin/ffmpeg.asked")).unwrap();
    for word in ["file:clip.avi", "file,pipe", "-nostdin", "yuv4mpegpipe"] {
        assert!(asked.lines().any(|line| line == word), "{word}: {asked}");
    }
    assert!(asked.contains("scale=in_color_matrix=bt709:out_color_matrix=bt601:out_range=full"), "{asked}");
    // What says its colours is taken by its word.
    stand_in(at, "ffprobe", r#"echo '{"streams":[{"height":720,"color_space":"bt709"}],"format":{}}'"#);
    assert!(replay_avi(at, &path, "warn").status.success());
    assert!(
        std::fs::read_to_string(at.join("bin/ffmpeg.asked"))
            .unwrap()
            .contains("scale=out_color_matrix=bt601")
    );

    for (does, words) in [
        ("echo 'moov atom not found' >&2; exit 1", "clip.avi: ffmpeg cannot decode it: moov atom not found"),
        (
            "cat \"$(dirname \"$0\")/cut.y4m\"; echo 'corrupt input' >&2; exit 1",
            "ffmpeg cannot decode it: corrupt input",
        ),
        // What ended well and is not whole.
        ("cat \"$(dirname \"$0\")/cut.y4m\"", "ends inside frame 2"),
    ] {
        stand_in(at, "ffmpeg", does);
        crate::errors::assert_fault(&replay_avi(at, &path, "warn"), 65, words);
    }
    stand_in(at, "ffprobe", r#"echo '{"streams":[],"format":{}}'"#);
    crate::errors::assert_fault(&replay_avi(at, &path, "warn"), 65, "clip.avi: there is no video in it");
    stand_in(at, "ffprobe", "echo 'Invalid data' >&2; exit 1");
    crate::errors::assert_fault(&replay_avi(at, &path, "warn"), 65, "ffprobe cannot read it: Invalid data");
    // Where there is no ffmpeg, the line to type is said.
    crate::errors::assert_fault(
        &replay_avi(at, "/nowhere", "warn"),
        65,
        "where ffmpeg is installed, replay runs it by itself",
    );
}

/// The same masks as by the command that is documented.
#[test]
fn ffmpeg_gives_what_its_command_gives() {
    let has_ffmpeg = ["ffmpeg", "ffprobe"].into_iter().all(|name| {
        std::process::Command::new(name).arg("-version").output().is_ok_and(|output| output.status.success())
    });
    if !has_ffmpeg {
        eprintln!("skipped: there is no ffmpeg");
        return;
    }
    let folder = Workplace::shared();
    let at = folder.path();
    write(&at.join("model"));
    let made = std::process::Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=320x240:rate=10:duration=1",
            "-c:v",
            "mpeg4",
            "clip.mp4",
        ])
        .current_dir(at)
        .status();
    assert!(made.unwrap().success());
    let own = PROGRAM.run(at, &["replay", "clip.mp4", "--model", "model", "--out", "own", "--masks"]);
    assert!(own.status.success(), "{own:?}");
    let command = polyp_edge::capture::replay::y4m::FFMPEG_COMMAND.replace("FILE", "clip.mp4").replace(
        "polyp-edge replay -",
        &format!("{} replay - --model model --out piped --masks", PROGRAM.path().display()),
    );
    let piped = std::process::Command::new("sh").args(["-c", &command]).current_dir(at).output().unwrap();
    assert!(piped.status.success(), "{piped:?}");
    let names = files(&at.join("own"));
    assert!(names.len() == 10 && names == files(&at.join("piped")), "{names:?}");
    for name in names {
        assert_eq!(
            std::fs::read(at.join("own").join(&name)).unwrap(),
            std::fs::read(at.join("piped").join(&name)).unwrap()
        );
    }
}
