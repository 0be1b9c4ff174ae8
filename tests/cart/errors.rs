//! What goes wrong says so in one line, with the documented exit code, and leaves nothing half-written.

use std::path::Path;
use std::process::Output;

use testing::bundle::{onnx, write, write_model};
use testing::cart::Workplace;
use testing::folder::files;
use testing::picture::write_picture;

use crate::PROGRAM;

/// One line on standard error that holds `expected`; nothing on standard output.
pub(crate) fn assert_fault(output: &Output, code: i32, expected: &str) {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    assert!(text.starts_with("polyp-edge: ") && text.contains(expected), "{text}");
    assert!(!text.contains("panic"), "{text}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// A folder with a model and two frames.
fn workplace() -> Workplace {
    let folder = Workplace::shared();
    write(&folder.path().join("model"));
    std::fs::create_dir(folder.path().join("in")).unwrap();
    write_picture(&folder.path().join("in/a.jpg"), 120, 90, (50.0, 40.0), 20.0);
    write_picture(&folder.path().join("in/b.jpg"), 120, 90, (50.0, 40.0), 20.0);
    folder
}

fn replay(at: &Path) -> Output {
    PROGRAM.run(at, &["replay", "in", "--model", "model", "--out", "out", "--masks"])
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
        assert_fault(&PROGRAM.run(at, &["model", "model"]), 65, "model.onnx");
        assert!(!at.join("out").exists());
    }
}

/// A bundle's quiet point marks less than its standard one, its self-test passes at both, and what it has not is told.
#[test]
fn a_sensitivity_is_a_point_of_the_bundle() {
    let folder = workplace();
    let at = folder.path();
    let regions = |sensitivity: &str| {
        let out = format!("out-{sensitivity}");
        let output = PROGRAM.run(
            at,
            &["replay", "in", "--model", "model", "--out", &out, "--json", "--sensitivity", sensitivity],
        );
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        summary["regions"].as_u64().unwrap()
    };
    assert_eq!((regions("standard"), regions("quiet")), (2, 0));
    let watchful = ["replay", "in", "--model", "model", "--out", "out", "--sensitivity", "watchful"];
    assert_fault(
        &PROGRAM.run(at, &watchful),
        78,
        "bright has no sensitivity watchful; it has: standard, quiet",
    );

    let profile = |sensitivity: &str| {
        let source = "[camera]\nsource = \"in\"\nrate_hz = 0.0\n";
        testing::cart::put_base(at);
        let model = format!("[model]\nbundle = \"model\"\nsensitivity = \"{sensitivity}\"\n");
        let display = "[display]\nkind = \"null\"\n[pipeline]\nlock_step = true\n";
        let text = format!("name = \"{sensitivity}\"\ninherits = \"base\"\n{source}{model}{display}");
        std::fs::write(at.join(format!("{sensitivity}.toml")), text).unwrap();
        PROGRAM.run(at, &["run", "--board", &format!("{sensitivity}.toml")])
    };
    let quiet = profile("quiet");
    assert!(quiet.status.success(), "{}", String::from_utf8_lossy(&quiet.stderr));
    let refused = profile("watchful");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("no sensitivity watchful; it has: standard, quiet"), "{said}");
    let unknown = profile("loud");
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(unknown.status.code() == Some(78) && said.contains("loud.toml"), "{said}");
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

/// The lines on standard error: what was logged, and the last, which is the program's.
fn lines(output: &Output) -> (Vec<String>, String) {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let last = lines.pop().unwrap_or_default();
    (lines, last)
}

#[test]
fn a_damaged_picture_among_others_is_named_and_left_out() {
    let folder = workplace();
    let at = folder.path();
    write_picture(&at.join("in/c.jpg"), 120, 90, (50.0, 40.0), 20.0);
    let bytes = std::fs::read(at.join("in/b.jpg")).unwrap();
    std::fs::write(at.join("in/b.jpg"), &bytes[..bytes.len() * 2 / 3]).unwrap();
    let output = PROGRAM.run(at, &["replay", "in", "--model", "model", "--out", "out", "--json"]);
    assert_eq!(output.status.code(), Some(65));
    let (logged, last) = lines(&output);
    assert!(logged.len() == 1 && logged[0].contains("b is left out: in/b.jpg"), "{logged:?}");
    assert_eq!(last, "polyp-edge: 1 of 3 frames is damaged and left out: b");
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["frames"], &summary["damaged"]["count"]), (&2.into(), &1.into()));
    assert_eq!(summary["damaged"]["names"], serde_json::json!(["b"]));
    assert_eq!(files(&at.join("out")), ["a.png", "c.png"].map(Path::new));
    for name in ["a", "c"] {
        image::open(at.join(format!("out/{name}.png"))).unwrap();
    }

    let strict = PROGRAM.run(at, &["replay", "in", "--model", "model", "--out", "out", "--strict"]);
    assert_fault(&strict, 65, "b.jpg");
    assert_eq!(
        files(&at.join("out")),
        [Path::new("a.png")],
        "what came before is whole, nothing else is there"
    );
}

#[test]
fn a_folder_of_nothing_but_damaged_pictures() {
    let folder = workplace();
    let at = folder.path();
    std::fs::create_dir(at.join("bad")).unwrap();
    for number in 0..120 {
        std::fs::write(at.join(format!("bad/{number}.jpg")), b"\xFF\xD8 no picture").unwrap();
    }
    let output = PROGRAM.run(at, &["replay", "bad", "--model", "model", "--out", "out", "--json"]);
    assert_eq!(output.status.code(), Some(65));
    let (logged, last) = lines(&output);
    assert_eq!(logged.len(), 101, "a hundred are named, then one line says that the others are counted");
    assert!(last.contains("120 of 120 frames are damaged and left out; the first of them is 0"), "{last}");
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["damaged"]["count"], 120);
    assert_eq!(summary["damaged"]["names"].as_array().unwrap().len(), 20);
}

#[test]
fn an_empty_folder_and_a_source_that_is_not_there() {
    let folder = workplace();
    let at = folder.path();
    std::fs::create_dir(at.join("empty")).unwrap();
    let arguments = |source| ["replay", source, "--model", "model", "--out", "out"];
    assert_fault(&PROGRAM.run(at, &arguments("empty")), 65, "empty");
    assert_fault(&PROGRAM.run(at, &arguments("nowhere")), 74, "nowhere");
    assert_fault(&PROGRAM.run(at, &["replay", "in", "--model", "nowhere", "--out", "out"]), 74, "nowhere");
    assert_fault(&PROGRAM.run(at, &["replay", "in", "--model", "empty", "--out", "out"]), 65, "empty");
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
    assert_fault(&replay(at), 2, "out/b.png was not written by this program");
    assert_eq!(files(&at.join("out")), [] as [&Path; 0]);
    let forced = PROGRAM.run(at, &["replay", "in", "--model", "model", "--out", "out", "--masks", "--force"]);
    assert_fault(&forced, 74, "b.png");
    assert_eq!(files(&at.join("out")), [Path::new("a.png")], "no temporary file stays behind");
}

#[test]
fn a_board_profile_with_an_unknown_field() {
    let folder = workplace();
    let at = folder.path();
    std::fs::create_dir(at.join("boards")).unwrap();
    let boards = testing::root().join("boards");
    std::fs::copy(boards.join("base.toml"), at.join("boards/base.toml")).unwrap();
    let text = "name = \"cart\"\ninherits = \"base\"\n[camera]\nzoom = 3\n";
    std::fs::write(at.join("boards/cart.toml"), text).unwrap();
    assert_fault(
        &PROGRAM.run(at, &["run", "--board", "boards/cart.toml"]),
        78,
        "boards/cart.toml:4: unknown key `zoom`",
    );
    assert_fault(&PROGRAM.run(at, &["run", "--board", "boards/none.toml"]), 74, "none.toml");
    assert!(!at.join("out").exists());
}

#[test]
fn usage_is_exit_2_and_says_what_was_meant_and_where_the_help_is() {
    let folder = Workplace::shared();
    let cases: [(&[&str], &str, &str); 9] = [
        (
            &["replay"],
            "required arguments were not provided: --out <DIR> --model <BUNDLE> <SOURCE>",
            "see `polyp-edge replay --help`",
        ),
        (&["fly"], "unrecognized subcommand 'fly'", "see `polyp-edge --help`"),
        (&["reply"], "'replay'", "see `polyp-edge --help`"),
        (&["replay", "x", "--mask"], "'--masks'", "see `polyp-edge replay --help`"),
        (
            &["run", "--board", "x", "--frames", "0"],
            "invalid value '0' for '--frames <N>'",
            "see `polyp-edge run --help`",
        ),
        (
            &["bench", "model", "x", "--json", "file"],
            "unexpected argument 'file'",
            "see `polyp-edge bench model --help`",
        ),
        (&["model"], "--model <BUNDLE>", "see `polyp-edge model --help`"),
        (&["cross-check"], "required arguments were not provided", "see `polyp-edge cross-check --help`"),
        (&["cross-check", "--model", "x", "a", "b"], "unexpected argument b", ""),
    ];
    for (arguments, expected, help) in cases {
        let output = PROGRAM.run(folder.path(), arguments);
        assert_fault(&output, 2, expected);
        assert_fault(&output, 2, help);
    }
}

#[test]
fn verbs_take_the_bundle_and_json_alike() {
    let folder = workplace();
    let at = folder.path();
    let cases: [&[&str]; 6] = [
        &["model", "--model", "model"],
        &["model", "model"],
        &["bench", "model", "model", "--runs", "2"],
        &["cross-check", "--model", "model", "in", "--limit", "100"],
        &["cross-check", "model", "in", "--limit", "100"],
        &["replay", "in", "--model", "model", "--out", "out"],
    ];
    for arguments in cases {
        let output = PROGRAM.run(at, &[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["schema"], 1, "{arguments:?}");
    }
}

#[test]
fn unknown_kernels_in_the_environment() {
    let folder = workplace();
    let output = PROGRAM
        .command()
        .current_dir(folder.path())
        .args(["model", "model"])
        .env("POLYP_KERNELS", "abacus")
        .output()
        .unwrap();
    assert_fault(&output, 2, "POLYP_KERNELS: no kernel set \"abacus\"");
}

#[test]
fn a_reader_that_goes_away() {
    use std::process::Stdio;
    let folder = workplace();
    let mut child = PROGRAM
        .command()
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

#[test]
fn the_program_says_which_one_it_is() {
    let folder = Workplace::shared();
    let plain = PROGRAM.run(folder.path(), &["--version"]);
    assert_eq!(plain.stdout, format!("polyp-edge {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
    for order in [["--version", "--json"], ["--json", "-V"]] {
        let output = PROGRAM.run(folder.path(), &order);
        assert!(output.status.success(), "{output:?}");
        let program: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(program["version"], env!("CARGO_PKG_VERSION"));
        for key in ["commit", "build", "target", "kernels", "host"] {
            assert!(program[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {program}");
        }
    }
    assert_fault(&PROGRAM.run(folder.path(), &["--json"]), 2, "--json");
}
