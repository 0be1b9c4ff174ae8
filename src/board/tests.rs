use std::path::Path;

use super::*;
use crate::fault::{Exit, exit_of};

const BASE: &str = r#"
name = "base"
[camera]
source = "synthetic"
rate_hz = 25.0
[model]
bundle = "../models/m"
threads = 1
cores = []
[pipeline]
max_age_ms = 120
lock_step = false
[overlay]
colour = [0, 255, 230]
line_px_at_480 = 2.0
tint_percent = 0.0
glyph = true
[display]
kind = "null"
folder = "out"
every_frames = 1
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
    assert!(board.bundle().ends_with("../models/m"));
}

#[test]
fn what_is_unknown_missing_or_out_of_range_is_refused() {
    let leaf = |rest: &str| format!("name = \"leaf\"\ninherits = \"base\"\n{rest}");
    refused(&leaf("[camera]\nzoom = 2"), "zoom");
    refused(&leaf("speed = 2"), "speed");
    refused(&leaf("[pipeline]\nmax_age_ms = 5"), "pipeline.max_age_ms is 5: it must lie in 20..=1000");
    refused(&leaf("[overlay]\ntint_percent = nan"), "overlay.tint_percent");
    refused(&leaf("[camera]\nrate_hz = 0.5"), "camera.rate_hz");
    refused(&leaf("[stop]\nafter_frames = 0"), "stop.after_frames");
    refused(&leaf("[model]\nthreads = \"two\""), "threads");
    refused(&leaf("[model]\nthreads = 2\ncores = [1]"), "1 cores for 2 threads");
    refused(&leaf("[model]\nthreads = 2\ncores = [1, 1]"), "names 1 twice");
    refused(&leaf("[display]\nkind = \"cinema\""), "cinema");
    refused("inherits = \"base\"", "name is \"base\"");
    refused("name = \"leaf\"\n", "missing field");
    refused("name = \"leaf\"\ninherits = \"../base\"", "inherits");
    refused("name = \"leaf\"\ninherits = \"leaf\"", "inherits from itself");
    refused("name = \"leaf\"\n[camera", "leaf.toml:2");
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
