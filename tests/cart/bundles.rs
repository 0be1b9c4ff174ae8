//! Keys, signatures and packed bundles, as those meet them who make bundles and bring them to carts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use rustix::process::Signal;
use testing::bundle;
use testing::cart::running::{PATIENCE, Running, comes_true};
use testing::cart::{Cart, Workplace};

use crate::PROGRAM;
use crate::errors::assert_fault;

/// A bundle and a key of its own, `ours`.
fn workplace() -> Workplace {
    let folder = Workplace::shared();
    let at = folder.path();
    bundle::write(&at.join("model"));
    fs::remove_file(at.join("model/manifest.toml.sig")).unwrap();
    fs::write(at.join("password"), "a secret\nsecond line\n").unwrap();
    keygen(at, "ours");
    fs::create_dir(at.join("keys")).unwrap();
    fs::copy(at.join("ours.pub"), at.join("keys/ours.pub")).unwrap();
    folder
}

fn keygen(at: &Path, name: &str) {
    let output = PROGRAM.run(at, &["bundle", "keygen", name, "--password-file", "password"]);
    assert!(output.status.success(), "{output:?}");
}

fn sign(at: &Path, key: &str) -> Output {
    PROGRAM.run(at, &["bundle", "sign", "model", "--key", key, "--password-file", "password"])
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_bundle_is_signed_verified_packed_and_shown() {
    let folder = workplace();
    let at = folder.path();
    let verify = |bundle: &str| PROGRAM.run(at, &["bundle", "verify", bundle, "--keys", "keys", "--json"]);
    assert_fault(&verify("model"), 76, "model: the bundle is refused: it is not signed");
    assert!(succeeds(&sign(at, "ours.key")).contains("model: signed with the key "));
    let report: serde_json::Value = serde_json::from_str(&succeeds(&verify("model"))).unwrap();
    assert_eq!((&report["name"], &report["is_development_key"]), (&"bright".into(), &false.into()));
    assert_eq!(report["comment"], "bright 1, rollback index 0");
    let text = succeeds(&PROGRAM.run(at, &["bundle", "show", "model"]));
    assert!(text.contains(report["digest"].as_str().unwrap()) && text.contains("not asked"), "{text}");
    assert!(!text.contains("signed    with"), "{text}");

    let pack = ["bundle", "pack", "model", "--out", "model.polyp"];
    succeeds(&PROGRAM.run(at, &pack));
    let from_file: serde_json::Value = serde_json::from_str(&succeeds(&verify("model.polyp"))).unwrap();
    assert_eq!(from_file, report);
    assert_fault(&PROGRAM.run(at, &pack), 2, "model.polyp: it is there already");
    succeeds(&PROGRAM.run(at, &[&pack[..], &["--force"]].concat()));
    // Every verb that reads a bundle takes a packed one.
    succeeds(&PROGRAM.run(at, &["model", "model.polyp"]));
    assert_fault(
        &PROGRAM.run(at, &["bundle", "sign", "model.polyp", "--key", "ours.key"]),
        2,
        "sign its folder",
    );
    succeeds(&PROGRAM.run(at, &["bundle", "pack", "model"]));
    assert!(at.join("bright-1.polyp").is_file());
}

#[test]
fn what_is_signed_by_others_or_spoilt_is_refused_with_76() {
    let folder = workplace();
    let at = folder.path();
    let verify = || PROGRAM.run(at, &["bundle", "verify", "model", "--keys", "keys"]);
    keygen(at, "theirs");
    succeeds(&sign(at, "theirs.key"));
    assert_fault(&verify(), 76, "which is not trusted here: trusted are ");
    fs::copy(at.join("theirs.pub"), at.join("keys/theirs.pub")).unwrap();
    assert!(succeeds(&verify()).contains("signed    with the key "));
    let manifest = fs::read_to_string(at.join("model/manifest.toml")).unwrap();
    fs::write(at.join("model/manifest.toml"), manifest.replace("min_peak = 0.8", "min_peak = 0.1")).unwrap();
    assert_fault(&verify(), 76, "it was changed after it was signed");
    fs::write(at.join("model/manifest.toml"), manifest).unwrap();
    // What the manifest lists is not signed itself, but its digest is.
    let model = fs::read(at.join("model/model.onnx")).unwrap();
    fs::write(at.join("model/model.onnx"), &model[1..]).unwrap();
    assert_fault(&verify(), 65, "model.onnx: its digest is not the one in the manifest");
    // And nothing that is not whole is signed.
    assert_fault(&sign(at, "ours.key"), 65, "model.onnx");
}

#[test]
fn keys_are_private_and_never_replaced() {
    let folder = workplace();
    let at = folder.path();
    let mode = fs::metadata(at.join("ours.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = fs::read(at.join("ours.key")).unwrap();
    let again = ["bundle", "keygen", "ours", "--password-file", "password"];
    assert_fault(&PROGRAM.run(at, &again), 2, "ours.pub: it is there already");
    fs::remove_file(at.join("ours.pub")).unwrap();
    assert_fault(&PROGRAM.run(at, &again), 2, "ours.key: it is there already");
    assert_eq!(fs::read(at.join("ours.key")).unwrap(), before);
    fs::write(at.join("password"), "wrong").unwrap();
    assert_fault(&sign(at, "ours.key"), 2, "ours.key: Wrong password");
    assert_fault(&sign(at, "none.key"), 74, "none.key");
    assert_fault(&sign(at, "model/model.onnx"), 74, "model.onnx");
    fs::write(at.join("password"), "").unwrap();
    assert_fault(&sign(at, "ours.key"), 2, "the password is empty");
    assert!(!at.join("model/manifest.toml.sig").exists());
    // Nobody is there to be asked.
    let asked = PROGRAM.run(at, &["bundle", "sign", "model", "--key", "ours.key"]);
    assert_fault(&asked, 2, "give it with --password-file");
}

/// Where there is a minisign, it verifies what this program signs, and the other way round.
#[test]
fn minisign_and_this_program_understand_each_other() {
    if Command::new("minisign").arg("-v").output().is_err() {
        eprintln!("minisign is not installed: signatures are not compared with its own");
        return;
    }
    let folder = workplace();
    let at = folder.path();
    let minisign =
        |arguments: &[&str]| Command::new("minisign").args(arguments).current_dir(at).output().unwrap();
    succeeds(&sign(at, "ours.key"));
    let files = ["-m", "model/manifest.toml", "-x", "model/manifest.toml.sig"];
    succeeds(&minisign(&[&["-V", "-p", "ours.pub"], &files[..]].concat()));
    fs::remove_file(at.join("model/manifest.toml.sig")).unwrap();
    succeeds(&minisign(&["-G", "-W", "-p", "theirs.pub", "-s", "theirs.key"]));
    succeeds(&minisign(&[&["-S", "-s", "theirs.key", "-t", "a word"], &files[..]].concat()));
    fs::copy(at.join("theirs.pub"), at.join("keys/theirs.pub")).unwrap();
    let text = succeeds(&PROGRAM.run(at, &["bundle", "verify", "model", "--keys", "keys"]));
    assert!(text.contains(": a word"), "{text}");
}

/// The picture comes and goes on, nothing is outlined, and the exit code is that of the refusal.
#[test]
fn a_run_with_a_bundle_that_is_not_trusted_shows_the_picture_without_it() {
    let cart = Cart::shared(PROGRAM);
    let spoils: [(&dyn Fn(), &str); 3] = [
        (&|| fs::remove_file(cart.at("model/manifest.toml.sig")).unwrap(), "it is not signed"),
        (&|| fs::write(cart.at("model/manifest.toml.sig"), "junk").unwrap(), "not one that minisign writes"),
        (
            &|| {
                bundle::sign(&cart.at("model"));
                fs::remove_file(cart.at("boards/keys/test.pub")).unwrap();
            },
            "no key is trusted",
        ),
    ];
    for (spoil, part) in spoils {
        spoil();
        let mut run = Running::start(cart.command());
        run.first_picture();
        assert!(comes_true(PATIENCE, || run.log.text().contains(part)), "{part}: {}", run.log.text());
        let state = || cart.state().and_then(|state| state["state"].as_str().map(str::to_owned));
        assert!(
            comes_true(PATIENCE, || state().as_deref() == Some("degraded")),
            "{part}: {:?}",
            cart.state()
        );
        run.assert_ends_with(Signal::TERM, 76);
    }
}

/// Another bundle, another cart's, an older one: refused at a reload, and what is in charge stays so.
#[test]
fn a_reload_to_a_bundle_that_is_not_trusted_changes_nothing() {
    let cart = Cart::shared(PROGRAM);
    bundle::write(&cart.at("next"));
    let mut run = Running::start(cart.command());
    run.assisted();
    let next = || cart.profile().with("model.bundle", "\"../next\"");
    for (profile, part) in [
        (next().with("trust.compatible", "\"another\""), "made for \"polyp-edge\", and this cart takes"),
        (next().with("trust.lowest_rollback_index", 1), "its rollback index is 0, lower than 1"),
        (next().with("trust.keys", "\"nowhere\""), "no key is trusted"),
    ] {
        cart.put(&profile);
        run.send(Signal::HUP);
        let is_said =
            || run.log.text().contains(part) && run.log.text().contains("the profile stays as it was");
        assert!(comes_true(PATIENCE, is_said), "{part}: {}", run.log.text());
    }
    cart.put(&next());
    run.send(Signal::HUP);
    assert!(
        comes_true(PATIENCE, || run.log.text().contains("the profile was reloaded")),
        "{}",
        run.log.text()
    );
    run.assert_ends_well();
}
