//! What goes wrong says so in one line, with the documented exit code, and leaves nothing half-written.

mod bundle;

use std::path::Path;
use std::process::Output;

use bundle::{files, onnx, polyp_edge, write, write_model, write_picture};

/// One line on standard error that holds `expected`; nothing on standard output.
fn assert_fault(output: &Output, code: i32, expected: &str) {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    assert!(text.starts_with("polyp-edge: ") && text.contains(expected), "{text}");
    assert!(!text.contains("panic"), "{text}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// A folder with a model and two frames.
fn workplace() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("model"));
    std::fs::create_dir(folder.path().join("in")).unwrap();
    write_picture(&folder.path().join("in/a.jpg"), 120, 90, (50.0, 40.0), 20.0);
    write_picture(&folder.path().join("in/b.jpg"), 120, 90, (50.0, 40.0), 20.0);
    folder
}

fn replay(at: &Path) -> Output {
    polyp_edge(at, &["replay", "in", "--model", "model", "--out", "out", "--masks"])
}

#[test]
fn a_corrupt_onnx_file() {
    let whole = onnx();
    let mut wild = whole.clone();
    wild.iter_mut().skip(40).step_by(7).for_each(|byte| *byte = byte.wrapping_mul(31).wrapping_add(5));
    for model in [&whole[..whole.len() / 2], &wild, b"not a model", b""] {
        let folder = workplace();
        let at = folder.path();
        std::fs::remove_dir_all(at.join("model")).unwrap();
        write_model(&at.join("model"), model);
        assert_fault(&replay(at), 65, "model.onnx");
        assert_fault(&polyp_edge(at, &["model", "model"]), 65, "model.onnx");
        assert!(!at.join("out").exists());
    }
}

#[test]
fn a_changed_byte_in_the_bundle() {
    let folder = workplace();
    let at = folder.path();
    let path = at.join("model/model.onnx");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&path, bytes).unwrap();
    assert_fault(&replay(at), 65, "digest");
    assert!(!at.join("out").exists());
}

#[test]
fn a_truncated_jpeg() {
    let folder = workplace();
    let at = folder.path();
    let bytes = std::fs::read(at.join("in/b.jpg")).unwrap();
    std::fs::write(at.join("in/b.jpg"), &bytes[..bytes.len() * 2 / 3]).unwrap();
    assert_fault(&replay(at), 65, "b.jpg");
    assert_eq!(
        files(&at.join("out")),
        [Path::new("a.png")],
        "what came before is whole, nothing else is there"
    );
    image::open(at.join("out/a.png")).unwrap();
}

#[test]
fn an_empty_folder_and_a_source_that_is_not_there() {
    let folder = workplace();
    let at = folder.path();
    std::fs::create_dir(at.join("empty")).unwrap();
    let arguments = |source| ["replay", source, "--model", "model", "--out", "out"];
    assert_fault(&polyp_edge(at, &arguments("empty")), 65, "empty");
    assert_fault(&polyp_edge(at, &arguments("nowhere")), 74, "nowhere");
    assert_fault(&polyp_edge(at, &["replay", "in", "--model", "nowhere", "--out", "out"]), 74, "nowhere");
    assert_fault(&polyp_edge(at, &["replay", "in", "--model", "empty", "--out", "out"]), 65, "empty");
    assert!(!at.join("out").exists());
}

#[test]
fn an_output_that_cannot_be_written() {
    let folder = workplace();
    let at = folder.path();
    std::fs::write(at.join("out"), "a file is in the way").unwrap();
    assert_fault(&replay(at), 74, "out");
    std::fs::remove_file(at.join("out")).unwrap();
    std::fs::create_dir_all(at.join("out/b.png/in-the-way")).unwrap();
    assert_fault(&replay(at), 74, "b.png");
    assert_eq!(files(&at.join("out")), [Path::new("a.png")], "no temporary file stays behind");
}

#[test]
fn a_board_profile_with_an_unknown_field() {
    let folder = workplace();
    let at = folder.path();
    std::fs::create_dir(at.join("boards")).unwrap();
    let boards = Path::new(env!("CARGO_MANIFEST_DIR")).join("boards");
    std::fs::copy(boards.join("base.toml"), at.join("boards/base.toml")).unwrap();
    let text = "name = \"cart\"\ninherits = \"base\"\n[camera]\nzoom = 3\n";
    std::fs::write(at.join("boards/cart.toml"), text).unwrap();
    assert_fault(&polyp_edge(at, &["run", "--board", "boards/cart.toml"]), 78, "zoom");
    assert_fault(&polyp_edge(at, &["run", "--board", "boards/none.toml"]), 74, "none.toml");
    assert!(!at.join("out").exists());
}

#[test]
fn usage_is_exit_2() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&[&str], &str); 3] = [
        (&["replay"], "required arguments were not provided: --model <BUNDLE> --out <DIR> <SOURCE>"),
        (&["fly"], "unrecognized subcommand 'fly'"),
        (&["run", "--board", "x", "--frames", "0"], "invalid value '0' for '--frames <N>'"),
    ];
    for (arguments, expected) in cases {
        assert_fault(&polyp_edge(folder.path(), arguments), 2, expected);
    }
}

#[test]
fn unknown_kernels_in_the_environment() {
    let folder = workplace();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_polyp-edge"))
        .current_dir(folder.path())
        .args(["model", "model"])
        .env("POLYP_KERNELS", "abacus")
        .output()
        .unwrap();
    assert_fault(&output, 2, "POLYP_KERNELS: no kernels \"abacus\"");
}

#[test]
fn a_reader_that_goes_away() {
    use std::process::{Command, Stdio};
    let folder = workplace();
    let mut child = Command::new(env!("CARGO_BIN_EXE_polyp-edge"))
        .args(["model", "model"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && text.is_empty(), "{text}");
}
