//! `run` as a person meets it.

use testing::bundle::write;
use testing::cart::{Workplace, put_board};
use testing::folder::files;

use crate::PROGRAM;

const SIM: &str =
    "[camera]\nsource = \"synthetic:seed=3,size=160x128\"\nrate_hz = 0.0\n[pipeline]\nlock_step = true\n";

#[test]
fn the_rendered_endoscope_gives_pictures_latencies_and_a_score() {
    let folder = Workplace::shared();
    let at = folder.path();
    write(&at.join("model"));
    put_board(at, &format!("{SIM}[display]\nkind = \"images\"\nevery_frames = 4\n"));
    let output = PROGRAM.run(at, &["run", "--board", "boards/test.toml", "--frames", "12"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = [
        "frame-000000.png",
        "frame-000004.png",
        "frame-000008.png",
        "latency.json",
        "latency.txt",
        "score.json",
    ];
    assert_eq!(files(&at.join("out")), expected.map(std::path::PathBuf::from));
    let read = |name: &str| std::fs::read(at.join("out").join(name)).unwrap();
    let latency: serde_json::Value = serde_json::from_slice(&read("latency.json")).unwrap();
    assert_eq!(
        (&latency["captured"], &latency["shown"], &latency["state"]),
        (&12.into(), &12.into(), &"assist".into())
    );
    let score: serde_json::Value = serde_json::from_slice(&read("score.json")).unwrap();
    assert_eq!(score["frames"], 12);
    let text = String::from_utf8(read("latency.txt")).unwrap();
    for stage in ["capture", "field of view + preprocess", "inference", "detect", "draw", "total"] {
        assert!(text.contains(stage), "{text}");
    }
    assert!(String::from_utf8_lossy(&output.stdout).contains("rendered polyps:"));
}

#[test]
fn a_damaged_bundle_leaves_the_picture_and_says_so_at_the_end() {
    let folder = Workplace::shared();
    let at = folder.path();
    write(&at.join("model"));
    let mut model = std::fs::read(at.join("model/model.onnx")).unwrap();
    model[300] ^= 1;
    std::fs::write(at.join("model/model.onnx"), model).unwrap();
    put_board(at, &format!("{SIM}[display]\nkind = \"images\"\nfolder = \"pictures\"\n"));
    let output = PROGRAM.run(at, &["run", "--board", "boards/test.toml", "--frames", "3"]);
    assert_eq!(output.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&output.stderr).contains("model.onnx"));
    assert_eq!(
        files(&at.join("pictures")).iter().filter(|path| path.extension().unwrap() == "png").count(),
        3
    );
    let report = std::fs::read_to_string(at.join("pictures/latency.json")).unwrap();
    assert!(report.contains("degraded: model"), "{report}");
}

#[test]
fn video_on_standard_output_is_nothing_but_video() {
    let folder = Workplace::shared();
    let at = folder.path();
    write(&at.join("model"));
    put_board(at, &format!("{SIM}[display]\nkind = \"y4m\"\n[stop]\nafter_frames = 2\n"));
    let output = PROGRAM.run(at, &["run", "--board", "boards/test.toml"]);
    assert!(output.status.success());
    let header = b"YUV4MPEG2 W160 H128 F25:1 XCOLORRANGE=LIMITED XCOLORMATRIX=BT601 C444\n";
    assert!(output.stdout.starts_with(header));
    assert_eq!(output.stdout.len(), header.len() + 2 * (6 + 3 * 160 * 128));
    assert!(String::from_utf8_lossy(&output.stderr).contains("2 frames captured"));
}
