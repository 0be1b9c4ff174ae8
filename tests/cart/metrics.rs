//! Metrics for node_exporter's textfile collector.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use testing::cart::Cart;
use testing::cart::running::{PATIENCE, Running, comes_true};

use crate::PROGRAM;

fn value(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn metrics_say_how_the_run_goes_and_that_it_has_ended() {
    let cart = Cart::shared(PROGRAM);
    let path = cart.at("metrics/polyp_edge.prom");
    fs::create_dir(cart.at("metrics")).unwrap();
    cart.put(&cart.profile().with_path("pipeline.metrics_file", &path));
    let mut run = Running::start(cart.command());
    let from = run.assisted();
    let text = || fs::read_to_string(&path).unwrap_or_default();
    assert!(
        comes_true(PATIENCE, || value(&text(), "polyp_edge_state{state=\"assist\"}") == Some(1.0)),
        "{}",
        text()
    );
    run.assert_unbroken_since(from);
    let early = text();
    run.assert_ends_well();
    let late = text();
    for name in [
        "polyp_edge_frames_captured_total",
        "polyp_edge_frames_shown_total",
        "polyp_edge_frames_outlined_total",
    ] {
        assert!(
            value(&early, name) > Some(0.0) && value(&late, name) >= value(&early, name),
            "{name}: {late}"
        );
    }
    let frames = run.video.frames().len() as f64;
    assert_eq!(value(&late, "polyp_edge_frames_shown_total"), Some(frames));
    for stage in ["capture", "prepare", "inference", "display", "video_delay", "total"] {
        let name = format!("polyp_edge_stage_seconds_count{{stage=\"{stage}\"}}");
        let all = format!("polyp_edge_stage_seconds_bucket{{stage=\"{stage}\",le=\"+Inf\"}}");
        assert!(
            value(&late, &name) > Some(0.0) && value(&late, &name) == value(&late, &all),
            "{stage}: {late}"
        );
    }
    assert_eq!(value(&late, "polyp_edge_stage_seconds_count{stage=\"display\"}"), Some(frames));
    assert_eq!(
        (value(&early, "polyp_edge_running"), value(&late, "polyp_edge_running")),
        (Some(1.0), Some(0.0))
    );
    assert!(late.contains("model=\"bright\"") && late.contains("board=\"test\""), "{late}");
    parse(&late);
}

/// Prometheus' own parser takes all of it.
fn parse(text: &str) {
    let Some(python) = std::env::var_os("POLYP_PYTHON") else {
        eprintln!("POLYP_PYTHON is not set: the metrics are not parsed by Prometheus' own parser");
        return;
    };
    let program = "import sys\nfrom prometheus_client.parser import text_string_to_metric_families as parse\n\
                   families = list(parse(sys.stdin.read()))\n\
                   assert len({family.name for family in families}) == len(families) > 10, families\n\
                   assert all(family.type != 'unknown' for family in families), families\n";
    let mut child = Command::new(python)
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
}

/// A folder that is not there costs a line in the log.
#[test]
fn metrics_that_cannot_be_written_hold_nothing_up() {
    let cart = Cart::shared(PROGRAM);
    cart.put(&cart.profile().with_path("pipeline.metrics_file", &cart.at("nowhere/polyp_edge.prom")));
    let mut run = Running::start(cart.command());
    let from = run.assisted();
    assert!(comes_true(PATIENCE, || run.log.text().contains("no metrics are written")), "{}", run.log.text());
    run.assert_unbroken_since(from);
    run.assert_ends_well();
    assert!(!cart.at("nowhere").exists());
}
