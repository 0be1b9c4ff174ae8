//! SIGHUP: a profile is taken whole or refused whole, and assistance goes on either way.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use testing::cart::running::{PATIENCE, Running, comes_true};
use testing::cart::video::Corner;
use testing::cart::{Cart, Profile};

use crate::PROGRAM;

pub enum Variant {
    /// Taken, and seen in the picture: whether outlines have their usual colour.
    Taken { profile: Profile, usual_colour: bool },
    /// Refused with a line that has these words, of each the one or the other where it holds a `|`.
    Refused { text: String, words: &'static [&'static str] },
}

impl Variant {
    pub fn put(&self, cart: &Cart) {
        match self {
            Variant::Taken { profile, .. } => cart.put(profile),
            Variant::Refused { text, .. } => cart.put_text(text),
        }
    }
}

fn has_words(line: &str, words: &[&str]) -> bool {
    words.iter().all(|word| word.split('|').any(|word| line.contains(word)))
}

/// An age limit that no busy machine reaches: assistance is lost only where the program loses it.
pub fn patient(cart: &Cart) -> Profile {
    cart.profile().with("pipeline.max_age_ms", 1000)
}

/// Ten kinds of profiles, with more than one of some. Needs a second bundle in `other`.
pub fn variants(cart: &Cart) -> Vec<(&'static str, Variant)> {
    let usual = || patient(cart);
    let taken = |profile: Profile| Variant::Taken { profile, usual_colour: true };
    let red = |profile: Profile| Variant::Taken {
        profile: profile.with("overlay.colour", "[255, 0, 0]"),
        usual_colour: false,
    };
    let refused =
        |profile: Profile, words: &'static [&'static str]| Variant::Refused { text: profile.text(), words };
    let monitor = |key: &str, value: &str| usual().with("display.kind", "\"kms\"").with(key, value);
    vec![
        (
            "gate and age",
            taken(usual().with("gate.appear", 1).with("gate.window", 2).with("gate.hold_frames", 4)),
        ),
        ("colour", red(usual())),
        ("tint and line", taken(usual().with("overlay.tint_percent", "10.0"))),
        ("threads of the model", taken(usual().with("model.threads", 2))),
        ("another bundle", taken(usual().with("model.bundle", "\"../other\""))),
        ("colour and another bundle", red(usual().with("model.bundle", "\"../other\""))),
        ("the usual one", taken(usual())),
        (
            "a source that is not there",
            refused(usual().with("camera.source", "\"/no/such/folder\""), &["/no/such/folder"]),
        ),
        (
            "a source without that size",
            refused(usual().with("camera.source", "\"synthetic:seed=7,size=7x7\""), &["size=7x7"]),
        ),
        (
            "a state file's folder that cannot be made",
            refused(usual().with("pipeline.state_file", "\"/proc/no/state.json\""), &["/proc/no"]),
        ),
        ("a card that is not there", refused(monitor("display.card", "\"/dev/dri/card99\""), &["card99"])),
        (
            "a monitor's connector that is not there",
            // Most machines have no card that could have it.
            refused(monitor("display.connector", "\"HDMI-A-99\""), &["HDMI-A-99|/dev/dri"]),
        ),
        (
            "a folder for pictures that cannot be made",
            refused(
                usual().with("display.kind", "\"images\"").with("display.folder", "\"/proc/no\""),
                &["/proc/no"],
            ),
        ),
        ("a bundle that is not there", refused(usual().with("model.bundle", "\"../nothing\""), &["nothing"])),
        ("a value out of range", refused(usual().with("model.threads", 99), &["model.threads", "99"])),
        ("an unknown key", refused(usual().with("overlay.color", "\"red\""), &["color"])),
        (
            "a syntax error",
            Variant::Refused { text: "name = \"test\"\n[camera\n".into(), words: &["test.toml"] },
        ),
        ("an empty file", Variant::Refused { text: String::new(), words: &["test.toml"] }),
    ]
}

/// That each frame since an instant had assistance and an outline in the usual colour, where that is asked for.
#[track_caller]
pub fn assert_assisted_since(run: &Running, from: Instant, usual_colour: bool, what: &str) {
    let frames = run.video.since(from);
    let without = frames.iter().filter(|frame| frame.corner != Corner::Assist).count();
    assert_eq!(
        without,
        0,
        "{what}: of {} frames so many had no assistance; log: {}",
        frames.len(),
        run.log.text()
    );
    let bare = frames.iter().filter(|frame| usual_colour && frame.outlined == 0).count();
    assert_eq!(bare, 0, "{what}: of {} frames so many had no outline; log: {}", frames.len(), run.log.text());
}

#[test]
fn a_reload_that_changes_nothing_is_not_seen() {
    let cart = Cart::alone(PROGRAM);
    cart.put(&patient(&cart));
    let mut run = Running::start(cart.command());
    run.first_picture();
    run.assisted();
    thread::sleep(Duration::from_millis(200));
    let from = Instant::now();
    for _ in 0..20 {
        run.send(Signal::HUP);
        thread::sleep(Duration::from_millis(100));
    }
    run.assert_unbroken_since(from);
    assert_assisted_since(&run, from, true, "reloads");
    run.assert_ends_well();
    // Counted through, as if nothing had happened.
    let report = testing::cart::state_in(&cart.at("out/latency.json")).unwrap();
    let shown = report["shown"].as_u64().unwrap();
    assert_eq!(shown, run.video.frames().len() as u64, "{report}");
    assert!(report["transitions"].as_u64().unwrap() <= 2, "{report}");
    let captured = report["captured"].as_u64().unwrap();
    assert!(captured - shown <= 1 + report["not_shown"].as_u64().unwrap(), "{report}");
}

#[test]
fn each_profile_is_taken_or_refused_whole() {
    let cart = Cart::alone(PROGRAM);
    testing::bundle::write(&cart.at("other"));
    cart.put(&patient(&cart));
    let mut run = Running::start(cart.command());
    run.first_picture();
    run.assisted();
    thread::sleep(Duration::from_millis(200));
    let mut failures = Vec::new();
    for (name, variant) in variants(&cart) {
        let (from, known) = (Instant::now(), run.log.lines().len());
        let before = cart.state();
        variant.put(&cart);
        run.send(Signal::HUP);
        let outcome = follow(&cart, &mut run, &variant, known, from);
        if let Some(status) = run.ended() {
            failures.push(format!("{name}: the run ended with {status}: {}", last_lines(&run, known)));
            run = Running::start({
                cart.put(&patient(&cart));
                cart.command()
            });
            run.assisted();
            continue;
        }
        if let Err(what) = outcome {
            failures.push(format!("{name}: {what}: {}", last_lines(&run, known)));
        }
        let refused = matches!(variant, Variant::Refused { .. });
        if refused && since(&cart.state()) != since(&before) {
            failures.push(format!("{name}: the state changed from {before:?} to {:?}", cart.state()));
        }
        // Back to the usual one.
        let from = Instant::now();
        cart.put(&patient(&cart));
        run.send(Signal::HUP);
        let usual = |frame: &testing::cart::video::Seen| frame.outlined > 0 && frame.corner == Corner::Assist;
        if run.video.wait_since(from, PATIENCE, usual).is_none() {
            failures.push(format!("{name}: no way back: {}", last_lines(&run, known)));
        }
        thread::sleep(Duration::from_millis(100));
    }
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
    run.assert_ends_well();
}

fn since(state: &Option<serde_json::Value>) -> Option<(String, String)> {
    let state = state.as_ref()?;
    Some((state["state"].to_string(), state["since_unix_s"].to_string()))
}

fn last_lines(run: &Running, known: usize) -> String {
    run.log.lines().split_off(known.min(run.log.lines().len())).join(" | ")
}

/// What a reload must do, within its time.
fn follow(
    cart: &Cart,
    run: &mut Running,
    variant: &Variant,
    known: usize,
    from: Instant,
) -> Result<(), String> {
    match variant {
        Variant::Taken { usual_colour, .. } => {
            let seen = |frame: &testing::cart::video::Seen| (frame.outlined > 0) == *usual_colour;
            if run.video.wait_since(from, PATIENCE, seen).is_none() {
                return Err("it is not seen in the picture".into());
            }
        }
        Variant::Refused { words, .. } => {
            if run.log.wait_after(known, Duration::from_secs(3), |line| has_words(line, words)).is_none() {
                return Err(format!("no line has {words:?}"));
            }
        }
    }
    thread::sleep(Duration::from_millis(300));
    let frames = run.video.since(from);
    let bound = Duration::from_millis(100);
    let longest = frames.windows(2).map(|pair| (pair[1].at - pair[0].at, pair[0].at, pair[1].at)).max();
    let Some((gap, before, after)) = longest else { return Err(format!("{} pictures", frames.len())) };
    run.noise.catch_up();
    let noise = run.noise.of_picture(before, after);
    if gap > bound + noise {
        return Err(format!("no picture for {gap:.1?}; noise {noise:.1?}"));
    }
    let without = frames.iter().filter(|frame| frame.corner != Corner::Assist).count();
    if without > 0 {
        return Err(format!("{without} of {} frames without assistance", frames.len()));
    }
    let told =
        |words: &[&str]| run.log.lines().iter().skip(known).filter(|line| has_words(line, words)).count();
    match variant {
        Variant::Refused { words, .. } if told(words) != 1 => {
            Err(format!("told {} times why it is refused", told(words)))
        }
        Variant::Refused { .. } => {
            let bare = frames.iter().filter(|frame| frame.outlined == 0).count();
            let state = comes_true(PATIENCE, || cart.state().is_some_and(|state| state["state"] == "assist"));
            match (bare, state) {
                (0, true) => Ok(()),
                (0, false) => Err(format!("the state is {:?}", cart.state())),
                _ => Err(format!("{bare} of {} frames without an outline", frames.len())),
            }
        }
        Variant::Taken { .. } => Ok(()),
    }
}

/// The state file may move, and the old one is not written any more.
#[test]
fn a_state_file_moves_with_a_reload() {
    let cart = Cart::shared(PROGRAM);
    let mut run = Running::start(cart.command());
    run.assisted();
    assert!(comes_true(PATIENCE, || cart.state().is_some()));
    cart.put(&cart.profile().with_path("pipeline.state_file", &cart.at("elsewhere/state.json")));
    run.send(Signal::HUP);
    let moved = comes_true(PATIENCE, || testing::cart::state_in(&cart.at("elsewhere/state.json")).is_some());
    assert!(moved, "{}", run.log.text());
    let written =
        |path: &str| testing::cart::state_in(&cart.at(path)).unwrap()["written_unix_s"].as_f64().unwrap();
    thread::sleep(Duration::from_millis(200));
    let (old, new) = (written("state/state.json"), written("elsewhere/state.json"));
    assert!(comes_true(PATIENCE, || written("elsewhere/state.json") > new + 1.0));
    assert_eq!(written("state/state.json"), old);
    run.assert_ends_well();
}
