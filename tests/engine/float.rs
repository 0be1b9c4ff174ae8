//! The int8 engine against the same network in float through tract's own ops.

use crate::PROGRAM;

fn cross_check(arguments: &[&str]) -> (Option<i32>, String, String) {
    let bundle = testing::root().join("models/first-light");
    let mut command = PROGRAM.command();
    let output = command.arg("cross-check").arg(bundle).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_shipped_model_agrees_with_tracts_float_ops() {
    let (code, json, error) = cross_check(&["synthetic:seed=3,size=640x480", "--frames", "2", "--json"]);
    assert_eq!(code, Some(0), "{error}");
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["frames"], 2);
    // Each quantised node may round its own way where float sums are not exact, and resizing rounds down in int8.
    assert!(report["mean_steps"].as_f64().unwrap() < 2.0, "{json}");
    assert!(report["same_side"].as_f64().unwrap() > 0.99, "{json}");
    assert!(report["same"].as_f64().unwrap() < 1.0, "both ways are the same one: {json}");
}

#[test]
fn too_great_a_difference_is_an_assertion_that_failed() {
    let (code, _, error) = cross_check(&["--frames", "1", "--limit", "0"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("mean difference") && error.lines().count() == 1, "{error}");
}
