//! What happened on a cart is recorded, and whoever changes the record is found.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;
use testing::bundle;
use testing::cart::running::{PATIENCE, Running, comes_true};
use testing::cart::{Cart, Profile};

use crate::PROGRAM;
use crate::errors::assert_fault;

fn profile(cart: &Cart) -> Profile {
    cart.profile()
        .with("model.bundle", "\"installed\"")
        .with_path("store.folder", &cart.at("store"))
        .with_path("pipeline.audit_folder", &cart.at("audit"))
}

fn lines(cart: &Cart) -> Vec<Value> {
    let text = fs::read_to_string(cart.at("audit/audit.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn events(cart: &Cart) -> Vec<String> {
    lines(cart).iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_carts_life_is_recorded_in_order() {
    let cart = Cart::shared(PROGRAM);
    cart.put(&profile(&cart));
    bundle::write_version(&cart.at("next"), "2", 0);
    let verb = |arguments: &[&str]| {
        PROGRAM.run(&cart.at("."), &[arguments, &["--board", "boards/test.toml"]].concat())
    };
    assert!(verb(&["bundle", "install", "model"]).status.success());
    assert!(verb(&["bundle", "mark-good"]).status.success());
    let mut run = Running::start(cart.command());
    run.assisted();
    assert_fault(&verb(&["bundle", "install", "nothing"]), 74, "nothing");
    assert!(verb(&["bundle", "install", "next"]).status.success());
    run.send(Signal::HUP);
    let is_recorded =
        |event: &'static str| comes_true(PATIENCE, || events(&cart).iter().any(|known| known == event));
    assert!(is_recorded("reloaded"), "{}", run.log.text());
    cart.put_text("nonsense");
    run.send(Signal::HUP);
    assert!(is_recorded("reload-refused"), "{}", run.log.text());
    cart.put(&profile(&cart));
    run.assert_ends_well();
    assert!(verb(&["bundle", "rollback"]).status.success());
    let mut told = events(&cart);
    // The run's own thread may be later than the command that it meets.
    told.retain(|event| event != "state");
    assert_eq!(
        told,
        [
            "installed",
            "trial-passed",
            "started",
            "model",
            "install-refused",
            "installed",
            "reloaded",
            "model",
            "reload-refused",
            "stopped",
            "rolled-back"
        ]
    );
    let lines = lines(&cart);
    let first = |event: &str| lines.iter().find(|line| line["event"] == event).unwrap();
    assert_eq!(first("started")["program"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (&first("model")["model"]["name"], &first("model")["on_trial"]),
        (&"bright".into(), &false.into())
    );
    assert_eq!(first("stopped")["exit_code"], 0);
    assert!(first("reload-refused")["why"].as_str().unwrap().contains("boards/test.toml"));
    let states: Vec<_> =
        lines.iter().filter(|line| line["event"] == "state").map(|line| &line["state"]).collect();
    assert!(states.contains(&&"assist".into()), "{states:?}");
}

#[test]
fn a_trail_is_shown_and_checked() {
    let cart = Cart::shared(PROGRAM);
    cart.put(&profile(&cart));
    let verb = |arguments: &[&str]| {
        PROGRAM.run(&cart.at("."), &[arguments, &["--board", "boards/test.toml"]].concat())
    };
    assert!(verb(&["bundle", "install", "model"]).status.success());
    assert!(verb(&["bundle", "mark-good"]).status.success());
    let checked = verb(&["audit", "--check"]);
    assert!(
        String::from_utf8_lossy(&checked.stdout).ends_with(", all as they were written\n"),
        "{checked:?}"
    );
    let shown = verb(&["audit"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("trial-passed   bundle bright 1"), "{shown:?}");
    let text = fs::read_to_string(cart.at("audit/audit.jsonl")).unwrap();
    fs::write(cart.at("audit/audit.jsonl"), text.replace("bright 1", "bright 2")).unwrap();
    let checked = verb(&["audit", "--check"]);
    assert_eq!(checked.status.code(), Some(1));
    let (found, said) = (String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    assert!(found.contains("BROKEN ") && found.contains("audit.jsonl:"), "{found}");
    assert!(said.contains("the audit trail is not as it was written"), "{said}");
    let by_folder = PROGRAM.run(&cart.at("."), &["audit", "--folder", "audit", "--json"]);
    assert_eq!(by_folder.status.code(), Some(1));
    assert_fault(
        &PROGRAM.run(&cart.at("."), &["audit", "--folder", "nowhere"]),
        74,
        "there is no audit trail in it",
    );
    cart.put(&cart.profile());
    assert_fault(&verb(&["audit"]), 78, "pipeline.audit_folder is not set");
}

/// A folder that cannot be written to costs a line in the log.
#[test]
fn an_audit_trail_that_cannot_be_written_holds_nothing_up() {
    let cart = Cart::shared(PROGRAM);
    fs::write(cart.at("audit"), "").unwrap();
    cart.put(&cart.profile().with_path("pipeline.audit_folder", &cart.at("audit")));
    let mut run = Running::start(cart.command());
    let from = run.assisted();
    let is_said = || run.log.text().contains("cannot write to the audit trail");
    assert!(comes_true(PATIENCE, is_said), "{}", run.log.text());
    run.assert_unbroken_since(from);
    run.assert_ends_well();
    assert_eq!(run.log.text().matches("cannot write to the audit trail").count(), 1, "{}", run.log.text());
}
