//! What somebody sends who reports a fault.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use testing::bundle;
use testing::cart::Cart;
use testing::cart::running::{PATIENCE, Running, comes_true};

use crate::PROGRAM;
use crate::errors::assert_fault;

/// The archive's files, as anybody's tar unpacks them.
fn unpacked(archive: &Path) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let tar = Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(folder.path()).status().unwrap();
    assert!(tar.success());
    let root = folder.path().join("polyp-edge-report");
    let files = testing::folder::files(&root).into_iter();
    files
        .map(|file| {
            let bytes = fs::read(root.join(&file)).unwrap();
            assert!(!bytes.starts_with(b"\x89PNG") && !bytes.starts_with(b"\xff\xd8"), "{}", file.display());
            (file.to_str().unwrap().to_owned(), String::from_utf8_lossy(&bytes).into_owned())
        })
        .collect()
}

#[test]
fn a_report_holds_what_is_needed_and_no_picture() {
    let cart = Cart::shared(PROGRAM);
    bundle::write_version(&cart.at("next"), "2", 0);
    cart.put(
        &cart
            .profile()
            .with("display.kind", "\"images\"")
            .with_path("display.folder", &cart.at("out"))
            .with("model.bundle", "\"installed\"")
            .with_path("store.folder", &cart.at("store"))
            .with_path("pipeline.audit_folder", &cart.at("audit"))
            .with_path("pipeline.metrics_file", &cart.at("state/polyp_edge.prom")),
    );
    assert!(
        PROGRAM
            .run(&cart.at("."), &["bundle", "install", "next", "--board", "boards/test.toml"])
            .status
            .success()
    );
    let mut run = Running::start(cart.command());
    assert!(comes_true(PATIENCE, || cart.state().is_some_and(|state| state["state"] == "assist")));
    run.assert_ends_well();
    let report = ["report", "--board", "boards/test.toml", "--out", "report.tar"];
    let output = PROGRAM.run(&cart.at("."), &report);
    assert!(output.status.success(), "{output:?}");
    let files = unpacked(&cart.at("report.tar"));
    for (name, part) in [
        ("README.txt", "There is no picture in here"),
        ("version.json", "\"version\""),
        ("probe.json", "\"schema\""),
        ("doctor.txt", "profile test: valid"),
        ("check.txt", "profile  test: valid"),
        ("bundles.json", "bright-2.polyp"),
        ("profiles/test.toml", "model.bundle = \"installed\""),
        ("profiles/base.toml", "name = \"base\""),
        ("state.json", "\"phase\": \"stopped\""),
        ("metrics.prom", "polyp_edge_running 0"),
        ("audit/audit.jsonl", "\"event\":\"stopped\""),
        ("audit/audit.head", "\"digest\""),
        ("reports/latency.json", "\"stages\""),
        ("machine/cpu", "processor"),
    ] {
        assert!(files.get(name).is_some_and(|text| text.contains(part)), "{name}: {files:?}");
    }
    assert!(
        files.keys().all(|name| !name.ends_with(".png") && !name.contains("frame-")),
        "{:?}",
        files.keys()
    );
    assert_fault(&PROGRAM.run(&cart.at("."), &report), 2, "report.tar: it is there already");
    // A profile that is wrong is a part of what is wrong.
    cart.put_text("nonsense");
    let output = PROGRAM.run(&cart.at("."), &[&report[..], &["--force"]].concat());
    assert!(output.status.success(), "{output:?}");
    let files = unpacked(&cart.at("report.tar"));
    assert!(files["README.txt"].contains("state, audit trail and metrics: boards/test.toml"), "{files:?}");
    assert_eq!(files["profiles/test.toml"], "nonsense");
}
