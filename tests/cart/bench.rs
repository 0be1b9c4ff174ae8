//! What `bench` measures and requires.

use std::process::Output;

use serde_json::Value;
use testing::cart::Cart;

use crate::PROGRAM;
use crate::errors::assert_fault;

/// What was measured is told, and then what is missed.
#[track_caller]
fn misses(output: &Output, words: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && !output.stdout.is_empty(), "{output:?}");
    assert!(said.contains("required and missed: ") && said.contains(words), "{said}");
}

#[test]
fn everything_between_camera_and_monitor_is_measured_and_required() {
    let cart = Cart::shared(PROGRAM);
    cart.put(&cart.profile());
    let bench = |arguments: &[&str]| {
        let all = [
            &["bench", "pipeline", "--board", "boards/test.toml", "--seconds", "1", "--warm-up", "0.2"],
            arguments,
        ];
        PROGRAM.run(&cart.at("."), &all.concat())
    };
    let output = bench(&[
        "--json",
        "--require",
        "video_delay.p99.9<=5s",
        "--require",
        "frames.damaged<=0",
        "--require",
        "interval.max<=5s",
    ]);
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let shown = report["frames"]["shown"].as_u64().unwrap();
    assert!(
        (10..60).contains(&shown) && report["state"] == "assist" && report["missed"] == Value::Array(vec![]),
        "{report}"
    );
    assert!(report["model"].as_str().unwrap().starts_with("bright 1"), "{report}");
    let stages: Vec<_> =
        report["stages"].as_array().unwrap().iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    for stage in ["inference", "video_delay", "total", "interval"] {
        assert!(stages.contains(&stage), "{stages:?}");
    }
    // What was warm-up is not in it.
    let counted =
        report["stages"].as_array().unwrap().iter().find(|stage| stage["stage"] == "video_delay").unwrap();
    assert!(counted["count"].as_u64().unwrap().abs_diff(shown) <= 2, "{report}");
    // Nothing was written.
    assert!(!cart.at("out").exists());
    misses(&bench(&["--require", "video_delay.p50<=0us"]), "video_delay.p50<=0us: it is");
    assert_fault(&bench(&["--require", "colour.p50<=1ms"]), 2, "there is no stage \"colour\"");
    assert_fault(&bench(&["--camera", "nowhere"]), 74, "nowhere");
    let without = bench(&["--no-model", "--camera", "synthetic:seed=2,size=320x240", "--busy", "1"]);
    let text = String::from_utf8(without.stdout).unwrap();
    assert!(
        without.status.success() && text.contains("model     none") && text.contains("beside 1 busy threads"),
        "{text}"
    );
}

#[test]
fn a_model_is_measured_on_noise_and_on_a_picture() {
    let cart = Cart::shared(PROGRAM);
    let bench = |arguments: &[&str]| {
        PROGRAM.run(&cart.at("."), &[&["bench", "model", "model", "--runs", "7"], arguments].concat())
    };
    let output = bench(&["--json", "--require", "inference.max<=10s"]);
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (
            report["samples_ms"].as_array().unwrap().len(),
            report["golden"]["samples_ms"].as_array().unwrap().len()
        ),
        (7, 7)
    );
    assert!(
        report["median_ms"].as_f64() > Some(0.0) && report["golden"]["max_ms"].as_f64() > Some(0.0),
        "{report}"
    );
    misses(&bench(&["--require", "inference.mean<=0ms"]), "inference.mean<=0ms: it is");
    misses(&bench(&["--require", "draw.mean<=1ms"]), "draw was never timed");
}

/// What there is to connect is said, and that nothing came back.
#[test]
fn a_loop_without_a_cable_is_told_of() {
    let cart = Cart::shared(PROGRAM);
    let loopback = |seconds: &str| {
        let arguments = [
            "bench",
            "loopback",
            "--board",
            "boards/test.toml",
            "--no-model",
            "--warm-up",
            "0.2",
            "--seconds",
            seconds,
        ];
        PROGRAM.run(&cart.at("."), &arguments)
    };
    cart.put(&cart.profile());
    let output = loopback("1");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(69) && said.contains("the pattern came back 0 times"), "{said}");
    cart.put(&cart.profile().with("display.kind", "\"null\""));
    assert_fault(&loopback("1"), 78, "display.kind: there is nothing to connect a cable to");
    assert_fault(&loopback("never"), 2, "never");
}
