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
