use std::path::Path;

use super::*;
use crate::display::kms::ModeWish;
use crate::fault::{Exit, exit_of};

const BASE: &str = r#"
name = "base"
[camera]
source = "synthetic"
rate_hz = 25.0
formats = ["YUYV", "MJPEG"]
sizes = ["1920x1080"]
buffers = 8
[field_of_view]
rule = "bundle"
[model]
bundle = "../models/m"
threads = 1
cores = []
[pipeline]
max_age_ms = 120
lock_step = false
realtime_priority = 0
[gate]
hold_frames = 2
steady_percent = 30.0
[overlay]
colour = [0, 255, 230]
line_px_at_480 = 2.0
tint_percent = 0.0
glyph = true
[display]
kind = "null"
folder = "out"
every_frames = 1
modes = ["camera", "1280x720@59.94", "preferred"]
composition = "auto"
enlarge = true
"#;

fn load(files: &[(&str, &str)]) -> Result<Board> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(format!("{name}.toml")), text).unwrap();
    }
    Board::load(&folder.path().join(format!("{}.toml", files.last().unwrap().0)))
}

/// The error of a profile over the base: exit 78, one line with the file's name and `expected`.
fn refused(text: &str, expected: &str) {
    let error = load(&[("base", BASE), ("leaf", text)]).unwrap_err();
    let line = format!("{error:#}");
    assert_eq!(exit_of(&error), Exit::Configuration, "{line}");
    assert!(line.contains("leaf.toml") && line.contains(expected) && !line.contains('\n'), "{line}");
}

#[test]
fn a_leaf_says_only_what_differs() {
    let leaf =
        "name = \"leaf\"\ninherits = \"middle\"\n[pipeline]\nlock_step = true\n[stop]\nafter_frames = 9";
    let middle =
        "name = \"middle\"\ninherits = \"base\"\n[pipeline]\nmax_age_ms = 90\n[camera]\nrate_hz = 0.0";
    let board = load(&[("base", BASE), ("middle", middle), ("leaf", leaf)]).unwrap();
    let pipeline = &board.profile.pipeline;
    assert_eq!((pipeline.max_age_ms, pipeline.lock_step), (90, true));
    assert_eq!((board.profile.camera.source.as_str(), board.profile.camera.rate_hz), ("synthetic", 0.0));
    assert_eq!(board.profile.stop.after_frames, Some(9));
    assert!(board.bundle().unwrap().ends_with("../models/m"));
}

#[test]
#[expect(clippy::too_many_lines, reason = "one case after another")]
fn what_is_unknown_missing_or_out_of_range_is_refused() {
    let leaf = |rest: &str| format!("name = \"leaf\"\ninherits = \"base\"\n{rest}");
    refused(&leaf("[camera]\nzoom = 2"), "leaf.toml:4: unknown key `zoom`; possible are source, rate_hz");
    refused(&leaf("[camera]\nrate_h = 2"), "leaf.toml:4: unknown key `rate_h`; did you mean `rate_hz`?");
    refused(&leaf("[camra]\nrate_hz = 2"), "leaf.toml:3: unknown key `camra`; did you mean `camera`?");
    refused(&leaf("speed = 2"), "speed");
    refused(
        &leaf("[pipeline]\nmax_age_ms = 5"),
        "leaf.toml:4: pipeline.max_age_ms is 5, but must be from 20 to 1000",
    );
    refused(&leaf("[overlay]\ntint_percent = nan"), "overlay.tint_percent");
    refused(&leaf("[camera]\nrate_hz = 0.5"), "camera.rate_hz is 0.5, but must be from 1 to 240, or 0");
    refused(&leaf("[stop]\nafter_frames = 0"), "stop.after_frames");
    refused(
        &leaf("[model]\nthreads = \"two\""),
        "leaf.toml:4: model.threads is the text \"two\", but must be a whole number, 0 or more",
    );
    refused(
        &leaf("[model]\nthreads = -1"),
        "model.threads is the number -1, but must be a whole number, 0 or more",
    );
    refused(
        &leaf("[overlay]\ncolour = [1, 2, 300]"),
        "leaf.toml:4: overlay.colour is the number 300, but must be a whole number from 0 to 255",
    );
    refused(&leaf("[overlay]\nglyph = 1"), "overlay.glyph is the number 1, but must be true or false");
    refused(
        &leaf("[model]\nthreads = 2\ncores = [1]"),
        "leaf.toml:5: model.cores names 1 cores for 2 threads",
    );
    refused(&leaf("[model]\nthreads = 2\ncores = [1, 1]"), "names core 1 twice");
    refused(
        &leaf("[display]\nkind = \"cinema\""),
        "leaf.toml:4: display.kind cannot be `cinema`; possible are kms",
    );
    refused(&leaf("[display]\nkind = \"kns\""), "did you mean `kms`?");
    refused(&leaf("[display]\nmodes = [\"1080p\"]"), "\"1080p\", which is not camera, preferred");
    refused(&leaf("[display]\nmodes = [\"640x480@0\"]"), "640x480@0");
    refused(&leaf("[camera]\nsizes = [\"640\"]"), "camera.sizes has \"640\"");
    refused(&leaf("[camera]\nformats = []"), "camera.formats");
    refused(&leaf("[camera]\nformats = [\"RAW\"]"), "RAW");
    refused(&leaf("[camera]\nbuffers = 2"), "camera.buffers");
    refused(
        &leaf("[camera]\nsource = \"v4l2\"\nrate_hz = 0.0"),
        "leaf.toml:5: camera.rate_hz is 0, but a live camera needs a rate",
    );
    refused(
        &leaf("[camera]\nsource = \"v4l2\"\n[pipeline]\nlock_step = true"),
        "lock_step is true, but the profile has a live camera",
    );
    refused(
        &leaf("[pipeline]\nlock_step = true\n[display]\nkind = \"kms\""),
        "lock_step is true, but the profile has a monitor",
    );
    refused(&leaf("[field_of_view]\nrule = \"fixed\""), "rect_px is missing, but rule");
    refused(&leaf("[field_of_view]\nrect_px = [0, 0, 64, 64]"), "only with rule = \"fixed\"");
    refused(&leaf("[field_of_view]\nrule = \"fixed\"\nrect_px = [0, 0, 8, 64]"), "rect_px is 8");
    refused(&leaf("[gate]\nappear = 3"), "leaf.toml:4: gate.appear is set without gate.window");
    refused(&leaf("[gate]\nappear = 5\nwindow = 4"), "gate.appear is 5");
    refused(&leaf("[gate]\nsteady_percent = 90.0"), "gate.steady_percent");
    refused(&leaf("[pipeline]\nrealtime_priority = 100"), "pipeline.realtime_priority");
    refused(&leaf("[pipeline]\nstate_file = \"state.json\""), "absolute");
    refused(
        &leaf("[heat]\nfewer_at_c = 82.0"),
        "heat.lite_at_c is 81, but must be above heat.fewer_at_c, which is 82",
    );
    refused(
        &leaf("[heat]\nlite_at_c = 85.0"),
        "heat.off_at_c is 84, but must be above heat.lite_at_c, which is 85",
    );
    refused(&leaf("[heat]\nlite_at_c = 84.0"), "heat.off_at_c is 84, but must be above heat.lite_at_c");
    refused(&leaf("[heat]\noff_at_c = 121.0"), "heat.off_at_c is 121, but must be from 40 to 120");
    refused(&leaf("[heat]\noff_at_c = nan"), "heat.off_at_c");
    refused(&leaf("[heat]\nhysteresis_c = 0.0"), "leaf.toml:4: heat.hysteresis_c is 0");
    refused(&leaf("[heat]\nback_after_s = 0"), "heat.back_after_s is 0, but must be from 1 to 3600");
    refused(
        &leaf("[heat]\ninferences_hz = 10.0"),
        "heat.inferences_hz is 10, but must be from 16.7 to 240: with fewer, outlines would come and go",
    );
    refused(&leaf("[heat]\ninferences_hz = nan"), "heat.inferences_hz");
    refused(&leaf("[heat]\nlite = \"x\""), "leaf.toml:4: unknown key `lite`");
    refused("inherits = \"leaf2\"", "leaf2.toml, which does not exist");
    refused("name = \"leaf\"\n", "leaf.toml: the key `camera` is missing");
    refused("inherits = \"none\"\nname = \"leaf\"", "leaf.toml:1: inherits names");
    refused("name = \"leaf\"\ninherits = \"../base\"", "inherits");
    refused("name = \"leaf\"\ninherits = \"leaf\"", "inherits from itself");
    refused("name = \"leaf\"\n[camera", "leaf.toml:2");
}

#[test]
fn a_profile_from_before_heat_was_looked_at_is_valid_with_any_age_limit() {
    for age in [20, 60, 120, 1000] {
        let leaf = format!("name = \"leaf\"\ninherits = \"base\"\n[pipeline]\nmax_age_ms = {age}");
        let board = load(&[("base", BASE), ("leaf", &leaf)]).unwrap();
        assert_eq!(board.profile.heat, Heat::default());
        let least = (2000.0 / age as f64).max(5.0);
        assert!((board.profile.reduced_hz() - least).abs() < 1e-9);
        assert!(board.lite().is_none());
    }
    let leaf =
        "name = \"leaf\"\ninherits = \"base\"\n[heat]\ninferences_hz = 20.0\nlite_bundle = \"../models/l\"";
    let board = load(&[("base", BASE), ("leaf", leaf)]).unwrap();
    assert!((board.profile.reduced_hz() - 20.0).abs() < 1e-9);
    let lite = board.lite().unwrap();
    assert!(
        lite.bundle().unwrap().ends_with("../models/l") && board.bundle().unwrap().ends_with("../models/m")
    );
    assert_eq!(lite.profile.model.threads, board.profile.model.threads);
    let limits = board.profile.heat.limits(true);
    assert_eq!((limits.lite_c, board.profile.heat.limits(false).lite_c), (Some(81.0), None));
}

#[test]
fn a_wrong_value_is_told_with_the_file_that_sets_it() {
    let base = BASE.replace("max_age_ms = 120", "max_age_ms = 5");
    let leaf = "name = \"leaf\"\ninherits = \"middle\"\n[pipeline]\nlock_step = true";
    let middle = "name = \"middle\"\ninherits = \"base\"";
    let error = load(&[("base", &base), ("middle", middle), ("leaf", leaf)]).unwrap_err().to_string();
    let line = base.lines().position(|line| line.starts_with("max_age_ms")).unwrap() + 1;
    assert!(error.contains(&format!("base.toml:{line}: pipeline.max_age_ms is 5")), "{error}");
    let middle = "name = \"middle\"\ninherits = \"base\"\n\n[pipeline]\nmax_age_ms = 6";
    let error = load(&[("base", &base), ("middle", middle), ("leaf", leaf)]).unwrap_err().to_string();
    assert!(error.contains("middle.toml:5: pipeline.max_age_ms is 6"), "{error}");
    let middle = "name = \"middle\"\ninherits = \"base\"\n[pipeline]\nmax_age_ms = true";
    let error = load(&[("base", &base), ("middle", middle), ("leaf", leaf)]).unwrap_err().to_string();
    assert!(error.contains("middle.toml:4: pipeline.max_age_ms is boolean true"), "{error}");
    let error = load(&[("base", BASE), ("leaf", "inherits = \"base\"")]).unwrap_err().to_string();
    assert!(error.contains("base.toml:2: name is \"base\", but the file is called \"leaf\""), "{error}");
}

#[test]
fn cameras_and_modes_are_read() {
    let leaf = "name = \"leaf\"\ninherits = \"base\"\n[camera]\nsource = \"v4l2:/dev/v4l/by-id/a\"";
    let Profile { camera, display, .. } = load(&[("base", BASE), ("leaf", leaf)]).unwrap().profile;
    assert_eq!(camera.device(), Some(Some("/dev/v4l/by-id/a")));
    assert_eq!(camera.sizes(), Ok(vec![(1920, 1080)]));
    let exact = ModeWish::Exact { width: 1280, height: 720, refresh_hz: Some(59.94) };
    assert_eq!(display.modes(), Ok(vec![ModeWish::Camera, exact, ModeWish::Preferred]));
    let named = |source: &str| Camera { source: source.into(), ..camera.clone() };
    assert_eq!(named("v4l2").device(), Some(None));
    assert_eq!(named("v4l2x").device(), None);
    assert_eq!(named("v4l2:").device(), None);
    assert_eq!(named("synthetic").device(), None);
}

#[test]
fn one_source_follows_another_and_the_first_the_last() {
    let leaf = "name = \"leaf\"\ninherits = \"base\"\n[camera]\nsource = \"v4l2:/dev/a\"\nname = \"left\"\n\
                [[camera.others]]\nname = \"right\"\nsource = \"v4l2:/dev/b\"\ninput = 1\n\
                [[camera.others]]\nname = \"clip\"\nsource = \"clip.y4m\"\n";
    let mut camera = load(&[("base", BASE), ("leaf", leaf)]).unwrap().profile.camera;
    let at = |camera: &Camera| (camera.name.clone(), camera.source.clone(), camera.input);
    let first = at(&camera);
    assert_eq!(camera.switch("next"), Ok(()));
    assert_eq!(at(&camera), ("right".into(), "v4l2:/dev/b".into(), Some(1)));
    camera.switch("next").unwrap();
    assert_eq!(camera.source, "clip.y4m");
    camera.switch("next").unwrap();
    assert_eq!(at(&camera), first);
    camera.switch("clip").unwrap();
    camera.switch("clip").unwrap();
    assert_eq!(camera.source, "clip.y4m");
    camera.switch("left").unwrap();
    assert_eq!(at(&camera), first);
    assert_eq!(camera.switch("middle"), Err(vec!["left", "right", "clip"]));
    for (from, to, what) in [
        ("right", "left", "camera.others names \"left\" twice"),
        ("right", "next", "camera.name is \"next\""),
        ("right", "", "camera.name is \"\""),
        ("clip.y4m", "-", "nobody can switch to standard input"),
    ] {
        let error = load(&[("base", BASE), ("leaf", &leaf.replace(from, to))]).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
    let alone = load(&[("base", BASE), ("leaf", "name = \"leaf\"\ninherits = \"base\"")]).unwrap();
    assert_eq!(alone.profile.camera.clone().switch("next"), Err(vec!["1"]));
}

#[test]
fn a_profile_that_is_not_there_is_an_io_error() {
    assert_eq!(exit_of(&Board::load(Path::new("no/such.toml")).unwrap_err()), Exit::Io);
}

#[test]
fn the_shipped_profiles_are_sound() {
    let boards = Path::new(env!("CARGO_MANIFEST_DIR")).join("boards");
    let mut count = 0;
    for entry in std::fs::read_dir(boards).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            Board::load(&path).unwrap();
            count += 1;
        }
    }
    assert!(count >= 2);
}

#[test]
fn a_colour_that_is_hard_to_see_is_doubted_and_allowed() {
    let doubts = |colour: &str| {
        let leaf = format!(
            "name = \"leaf\"\ninherits = \"base\"\n[overlay]\nmark = \"brackets\"\ncolour = {colour}"
        );
        load(&[("base", BASE), ("leaf", &leaf)]).unwrap().profile.doubts()
    };
    assert!(doubts("[0, 255, 230]").is_empty());
    let red = doubts("[255, 0, 0]");
    assert!(red.len() == 1 && red[0].contains("people with protanopia"), "{red:?}");
}

#[test]
fn ways_to_give_orders_are_checked() {
    let leaf = |rest: &str| format!("name = \"leaf\"\ninherits = \"base\"\n[control]\n{rest}");
    let input = |device: &str, keys: &str| {
        leaf(&format!("[[control.inputs]]\ndevice = \"{device}\"\nkeys = {{ {keys} }}\n"))
    };
    let pedal = "/dev/input/by-id/pedal";
    let text = input(pedal, "KEY_F13 = \"outlines-toggle\", BTN_0 = \"outlines-off-while-held\"")
        + "[[control.pins]]\nchip = \"/dev/gpiochip0\"\nline = 17\naction = \"mark\"\n";
    let board = load(&[("base", BASE), ("leaf", &text)]).unwrap();
    let control = &board.profile.control;
    assert_eq!((control.socket.as_ref(), control.inputs.len(), control.pins.len()), (None, 1, 1));
    assert_eq!(control.inputs[0].bound().len(), 2);
    for (text, expected) in [
        (leaf("socket = \"run/control.sock\""), "control.socket"),
        (input("event0", "KEY_A = \"mark\""), "absolute path"),
        (input(pedal, ""), "names no keys"),
        (input(pedal, "F13 = \"mark\""), "KEY_F13 or BTN_0"),
        (input(pedal, "KEY_A = \"explode\""), "outlines-toggle"),
        (leaf("[[control.pins]]\nchip = \"/dev/gpiochip0\"\naction = \"mark\""), "line"),
        (
            leaf(
                "[[control.pins]]\nchip = \"/dev/gpiochip0\"\nline = 1\ndebounce_ms = 2000\naction = \"mark\"",
            ),
            "control.pins",
        ),
    ] {
        refused(&text, expected);
    }
    let twice = input(pedal, "KEY_A = \"mark\"").replace("[control]\n", "");
    let twice = input(pedal, "KEY_B = \"mark\"") + twice.split_once("\"base\"\n").unwrap().1;
    refused(&twice, "twice");
}

/// What the monitor says is part of what was frozen.
#[test]
fn another_word_of_ones_own_language_is_another_profile() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/boards/base.toml"), at("base.toml")).unwrap();
    let english = crate::language::BUILT_IN.iter().find(|(code, _)| *code == "en").unwrap().1;
    let digest = |language: &str, words: &str| {
        let profile = format!("name = \"own\"\ninherits = \"base\"\n[overlay]\nlanguage = {language:?}\n");
        std::fs::write(at("own.toml"), profile).unwrap();
        std::fs::write(at("ours.toml"), words).unwrap();
        Board::load(&at("own.toml")).unwrap().digest
    };
    let ours = digest("ours.toml", english);
    assert_eq!(digest("ours.toml", english), ours);
    assert_ne!(digest("ours.toml", &english.replace("NO SIGNAL", "NOTHING TO SEE")), ours);
    assert_eq!(digest("de", english), digest("de", ""));
}

/// In words, with the line: a choice is told with what there is to choose from.
#[test]
fn a_corner_and_a_language_are_ones_that_there_are() {
    let leaf = |rest: &str| format!("name = \"leaf\"\ninherits = \"base\"\n[overlay]\n{rest}");
    refused(
        &leaf("corner = \"middle\""),
        "leaf.toml:4: overlay.corner cannot be `middle`; possible are black, lower-right",
    );
    refused(&leaf("language = \"xx\""), "leaf.toml:4: overlay.language is \"xx\", but must be one of de, en");
    let own = load(&[("base", BASE), ("leaf", &leaf("corner = \"upper-left\""))]).unwrap();
    assert_eq!(own.profile.overlay.corner, crate::overlay::CornerWish::UpperLeft);
}

#[test]
fn a_time_zone_is_one_that_the_computer_knows() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/boards/base.toml"), at("base.toml")).unwrap();
    std::fs::write(
        at("own.toml"),
        "name = \"own\"\ninherits = \"base\"\n[overlay]\ntime_zone = \"Mars/Olympus\"\n",
    )
    .unwrap();
    let error = Board::load(&at("own.toml")).unwrap_err();
    assert_eq!(exit_of(&error), Exit::Configuration);
    assert!(error.to_string().contains("own.toml:4: overlay.time_zone is \"Mars/Olympus\""), "{error}");
}
