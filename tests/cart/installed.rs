//! Bundles installed on a cart: their trial, the way back, and what becomes of them wherever a program is killed.

use std::fs;
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use testing::bundle;
use testing::cart::killed::{End, run_until};
use testing::cart::running::{PATIENCE, Running, comes_true};
use testing::cart::{Cart, Profile};

use crate::PROGRAM;
use crate::errors::assert_fault;

/// A bundle proves itself in six seconds.
const TRIAL_MINUTES: f64 = 0.1;
const PROVES_WITHIN: Duration = Duration::from_secs(60);

/// A cart that runs what is installed: version 1, which is good. Versions 2 and 3, and 4 with a higher rollback index, are at hand.
fn cart() -> Cart {
    let cart = Cart::shared(PROGRAM);
    for (version, rollback_index) in [("1", 0), ("2", 0), ("3", 0), ("4", 7)] {
        bundle::write_version(&cart.at(&format!("version-{version}")), version, rollback_index);
    }
    cart.put(&profile(&cart));
    succeeds(&install(&cart, "version-1"));
    succeeds(&verb(&cart, &["mark-good"]));
    cart
}

fn profile(cart: &Cart) -> Profile {
    cart.profile()
        .with("model.bundle", "\"installed\"")
        .with_path("store.folder", &cart.at("store"))
        .with("store.trial_minutes", TRIAL_MINUTES)
}

fn verb(cart: &Cart, arguments: &[&str]) -> Output {
    PROGRAM.run(&cart.at("."), &[&["bundle"], arguments, &["--board", "boards/test.toml"]].concat())
}

fn install(cart: &Cart, bundle: &str) -> Output {
    verb(cart, &["install", bundle])
}

fn list(cart: &Cart) -> Value {
    serde_json::from_str(&succeeds(&verb(cart, &["list", "--json"]))).unwrap()
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Changes a bundle's manifest and signs it.
fn edit_manifest(cart: &Cart, bundle: &str, edit: impl FnOnce(&mut toml::Value)) {
    let path = cart.at(bundle).join("manifest.toml");
    let mut manifest: toml::Value = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    edit(&mut manifest);
    fs::write(path, toml::to_string(&manifest).unwrap()).unwrap();
    bundle::sign(&cart.at(bundle));
}

/// The version of the model in charge, as the state file has it, and whether it is on trial.
fn in_charge(cart: &Cart, run: &Running) -> Option<(String, bool)> {
    let state = cart.state().filter(|state| state["state"] == "assist" && state["pid"] == run.id())?;
    Some((state["model"]["version"].as_str()?.to_owned(), state["on_trial"].as_bool()?))
}

#[track_caller]
fn takes_charge(cart: &Cart, run: &Running, version: &str, is_on_trial: bool) {
    let expected = Some((version.to_owned(), is_on_trial));
    let is_so = comes_true(PROVES_WITHIN, || in_charge(cart, run) == expected);
    assert!(is_so, "{expected:?}: {:?}; log: {}", cart.state(), run.log.text());
}

#[test]
fn a_new_bundle_proves_itself_and_the_picture_goes_on() {
    let cart = cart();
    let mut run = Running::start(cart.command());
    takes_charge(&cart, &run, "1", false);
    let from = run.assisted();
    succeeds(&PROGRAM.run(&cart.at("."), &["bundle", "pack", "version-4", "--out", "4.polyp"]));
    let said = succeeds(&install(&cart, "4.polyp"));
    assert!(said.contains("golden frames exact") && said.contains("0.1 minutes"), "{said}");
    assert_eq!(list(&cart)["trial"]["slot"]["version"], "4");
    run.send(Signal::HUP);
    takes_charge(&cart, &run, "4", true);
    assert!(comes_true(PROVES_WITHIN, || list(&cart)["good"]["version"] == "4"), "{}", run.log.text());
    // The state says so without a reload.
    takes_charge(&cart, &run, "4", false);
    run.assert_unbroken_since(from);
    run.assert_ends_well();
    let slots = list(&cart);
    assert_eq!((&slots["trial"], &slots["previous"]["version"]), (&Value::Null, &"1".into()));
    assert_eq!(slots["lowest_rollback_index"], 7);
    // What is older than that may not return.
    for refused in [install(&cart, "version-2"), verb(&cart, &["rollback"])] {
        assert_fault(&refused, 76, "rollback index is 0");
    }
    assert_eq!(list(&cart), slots);
    // It runs from the start.
    let mut run = Running::start(cart.command());
    takes_charge(&cart, &run, "4", false);
    run.assert_ends_well();
}

/// Each with its exit code; nothing is installed, and the run goes on as it was.
#[test]
fn what_may_not_run_is_not_installed() {
    let cart = cart();
    let mut run = Running::start(cart.command());
    takes_charge(&cart, &run, "1", false);
    let from = run.assisted();
    let before = list(&cart);
    let at = |path: &str| cart.at(path);
    fs::write(at("version-2/manifest.toml.sig"), "junk").unwrap();
    assert_fault(&install(&cart, "version-2"), 76, "not one that minisign writes");
    edit_manifest(&cart, "version-3", |manifest| {
        manifest.as_table_mut().unwrap().insert("compatible".into(), "a horse".into());
    });
    assert_fault(&install(&cart, "version-3"), 76, "it is made for \"a horse\"");
    succeeds(&PROGRAM.run(&at("."), &["bundle", "pack", "version-4", "--out", "4.polyp"]));
    let whole = fs::read(at("4.polyp")).unwrap();
    for length in [0, 511, whole.len() / 2, whole.len() - 1] {
        fs::write(at("cut.polyp"), &whole[..length]).unwrap();
        assert_fault(&install(&cart, "cut.polyp"), 65, "cut.polyp");
    }
    assert_fault(&install(&cart, "nothing"), 74, "nothing");
    // A golden mask that does not come out: the model is not what it was, or the machine is not.
    bundle::write_version(&at("wrong"), "5", 0);
    let light = fs::read(at("wrong/golden/light.png")).unwrap();
    fs::write(at("wrong/golden/dark.png"), &light).unwrap();
    edit_manifest(&cart, "wrong", |manifest| {
        manifest["files"]["golden/dark.png"] = polyp_edge::bundle::digest(&light).into();
        manifest["golden"][0]["frame"] = "golden/dark.png".into();
        manifest["decision"]["min_peak"] = 0.9999.into();
    });
    assert_fault(&install(&cart, "wrong"), 65, "the self-test failed");
    assert_eq!(list(&cart), before);
    assert!(!at("store/incoming.part").exists());
    // A model for which this profile has no time.
    cart.put(&profile(&cart).with("pipeline.max_age_ms", 40).with("camera.rate_hz", "25.0"));
    assert_fault(&install(&cart, "version-4"), 1, "the profile has time for 0.0 ms");
    assert_eq!(list(&cart), before);
    run.assert_unbroken_since(from);
    run.assert_ends_well();
}

#[test]
fn a_bundle_that_no_longer_opens_gives_way_to_the_good_one() {
    let cart = cart();
    succeeds(&install(&cart, "version-2"));
    let file = list(&cart)["trial"]["slot"]["file"].as_str().unwrap().to_owned();
    let path = cart.at("store").join(file);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
    let mut run = Running::start(cart.command());
    takes_charge(&cart, &run, "1", false);
    assert!(
        run.log.text().contains("the bundle bright 2, which was on trial, is given up"),
        "{}",
        run.log.text()
    );
    run.assert_ends_well();
    let slots = list(&cart);
    assert_eq!(slots["trial"], Value::Null);
    assert!(slots["refused"]["why"].as_str().unwrap().contains("bright-2.polyp"), "{slots}");
}

/// It marks nearly all of many pictures, which its golden frames do not show: nothing of that is drawn, and the good one returns by
/// itself.
#[test]
fn a_bundle_that_degrades_on_trial_gives_way_to_the_good_one() {
    let cart = cart();
    edit_manifest(&cart, "version-2", |manifest| {
        manifest["decision"]["threshold"] = 0.01.into();
        manifest["decision"]["min_peak"] = 0.01.into();
        manifest["golden"].as_array_mut().unwrap().remove(0);
    });
    let mut run = Running::start(cart.command());
    takes_charge(&cart, &run, "1", false);
    succeeds(&install(&cart, "version-2"));
    run.send(Signal::HUP);
    assert!(comes_true(PROVES_WITHIN, || list(&cart)["trial"] == Value::Null), "{}", run.log.text());
    takes_charge(&cart, &run, "1", false);
    let slots = list(&cart);
    assert_eq!((&slots["refused"]["slot"]["version"], &slots["good"]["version"]), (&"2".into(), &"1".into()));
    let why = slots["refused"]["why"].as_str().unwrap();
    assert!(why.contains("assistance was off while it was on trial") && why.contains("implausible"), "{why}");
    assert!(run.log.text().contains(why), "{}", run.log.text());
    run.assert_ends_well();
}

/// Killed again and again as soon as it has begun: the fourth start runs the good one.
#[test]
fn a_bundle_whose_starts_are_not_survived_gives_way_to_the_good_one() {
    let cart = cart();
    succeeds(&install(&cart, "version-2"));
    for _ in 0..3 {
        let run = Running::start(cart.command());
        takes_charge(&cart, &run, "2", true);
        drop(run);
    }
    let mut run = Running::start(cart.command());
    takes_charge(&cart, &run, "1", false);
    run.assert_ends_well();
    let why = list(&cart)["refused"]["why"].as_str().unwrap().to_owned();
    assert!(why.contains("within a minute of starting"), "{why}");
}

#[test]
fn one_goes_back_by_hand() {
    let cart = cart();
    assert_fault(&verb(&cart, &["rollback"]), 1, "there is no bundle to go back to");
    assert_fault(&verb(&cart, &["mark-good"]), 1, "no bundle is on trial");
    succeeds(&install(&cart, "version-2"));
    assert!(succeeds(&install(&cart, "version-2")).contains("installed already, and on trial"));
    assert!(succeeds(&verb(&cart, &["rollback"])).contains("bright 1 is the one to run"));
    assert!(succeeds(&install(&cart, "version-1")).contains("installed already, and the good one"));
    succeeds(&install(&cart, "version-3"));
    assert!(succeeds(&verb(&cart, &["mark-good"])).contains("bright 3 is the good one"));
    let text = succeeds(&verb(&cart, &["list"]));
    assert!(text.contains("good      bright 3") && text.contains("previous  bright 1"), "{text}");
    assert!(text.contains("refused   bright 2") && text.contains("by hand"), "{text}");
    assert!(succeeds(&verb(&cart, &["rollback"])).contains("bright 1 is the one to run"));
    assert!(succeeds(&verb(&cart, &["rollback"])).contains("bright 3 is the one to run"));
    // Version 2's file went with the installation of version 3.
    assert!(succeeds(&verb(&cart, &["prune"])).contains("0 bundles removed"));
    let packed = fs::read_dir(cart.at("store")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(packed.filter(|name| name.to_str().unwrap().ends_with(".polyp")).count(), 2);
    // None is chosen that this cart would not run.
    let before = list(&cart);
    fs::remove_dir_all(cart.at("boards/keys")).unwrap();
    assert_fault(&verb(&cart, &["rollback"]), 76, "bright 1 cannot run on this cart, so nothing is changed");
    assert_eq!(list(&cart), before);
    bundle::trust(&cart.at("boards/keys"));
    let path = cart.at("store").join(before["previous"]["file"].as_str().unwrap());
    fs::write(&path, b"damaged").unwrap();
    assert_fault(&verb(&cart, &["rollback"]), 65, "bright 1 cannot run on this cart");
    assert_eq!(list(&cart), before);
}

/// Where nothing is installed the picture goes on, and the reason is said.
#[test]
fn a_cart_without_an_installed_bundle_shows_the_picture_and_says_why() {
    let cart = Cart::shared(PROGRAM);
    cart.put(&profile(&cart));
    let mut run = Running::start(cart.command());
    run.first_picture();
    let reason =
        || cart.state().and_then(|state| state["reason"].as_str().map(str::to_owned)).unwrap_or_default();
    assert!(comes_true(PATIENCE, || reason().contains("no bundle is installed in")), "{}", run.log.text());
    run.assert_ends_with(Signal::TERM, 65);
}

/// A store on a disk that takes no more: the installation fails, the trial goes on without a record.
#[test]
fn a_store_that_cannot_be_written_costs_no_assistance() {
    let cart = cart();
    succeeds(&install(&cart, "version-2"));
    // The record's lock is a folder now: it can be opened, but nothing written beside it would help.
    let store = cart.at("store");
    let record = fs::read(store.join("slots.json")).unwrap();
    fs::remove_file(store.join("slots.lock")).unwrap();
    std::os::unix::fs::symlink("nowhere", store.join("slots.lock")).unwrap();
    let mut run = Running::start(cart.command());
    takes_charge(&cart, &run, "2", true);
    thread::sleep(Duration::from_secs(7));
    assert_eq!(in_charge(&cart, &run), Some(("2".into(), true)));
    assert!(run.log.text().contains("cannot be recorded"), "{}", run.log.text());
    assert!(run.log.text().contains("cannot be kept"), "{}", run.log.text());
    run.assert_ends_well();
    assert_eq!(fs::read(store.join("slots.json")).unwrap(), record);
    assert_fault(&install(&cart, "version-3"), 74, "cannot write to the folder of installed bundles");
}

/// An installation killed before or after any of its calls of the kernel: all of the last ones, where it takes effect, and some of
/// those before.
#[test]
fn an_installation_killed_at_any_call_leaves_a_bundle_that_runs() {
    let cart = cart();
    let command = || {
        let mut command = Command::new(PROGRAM.path());
        command.args(["bundle", "install", "version-2", "--board", "boards/test.toml"]);
        command.current_dir(cart.at(".")).env("RUST_LOG", "off");
        command
    };
    let End::Exited(0, stops) = run_until(&mut command(), u64::MAX).unwrap() else { panic!("it ends well") };
    succeeds(&verb(&cart, &["rollback"]));
    let (mut before, mut after) = (0, 0);
    let early = (0..25).map(|part| 1 + part * stops / 25);
    for stop in early.chain(stops.saturating_sub(150)..stops) {
        let ended = run_until(&mut command(), stop).unwrap();
        assert!(matches!(ended, End::Killed | End::Exited(0, _)), "{ended:?} at {stop} of {stops}");
        let slots = list(&cart);
        let version = slots["trial"]["slot"]["version"].as_str().unwrap_or("1").to_owned();
        match version.as_str() {
            "1" => before += 1,
            "2" => after += 1,
            _ => panic!("{slots}"),
        }
        let checked = PROGRAM.run(&cart.at("."), &["check", "--board", "boards/test.toml", "--json"]);
        let checked: Value = serde_json::from_str(&succeeds(&checked)).unwrap();
        assert_eq!(checked["model_version"], version.as_str(), "at {stop} of {stops}");
        if version == "2" {
            succeeds(&verb(&cart, &["rollback"]));
        }
    }
    assert!(before > 40 && after > 2, "{before} before it took effect, {after} after");
    // Nothing is left of all that.
    succeeds(&install(&cart, "version-3"));
    let left: Vec<_> =
        fs::read_dir(cart.at("store")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 5, "two bundles, the record and two locks: {left:?}");
}
