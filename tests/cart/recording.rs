//! Films of what is shown.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use testing::cart::running::{PATIENCE, Running, comes_true};
use testing::cart::{Cart, Profile};
use testing::oracle;

use crate::PROGRAM;
use crate::errors::assert_fault;

/// A cart that records into `study`.
fn profile(cart: &Cart) -> Profile {
    let profile = cart.profile().with_path("control.socket", &cart.at("control.sock"));
    let profile = profile.with_path("pipeline.audit_folder", &cart.at("audit"));
    let profile = profile.with_path("study.folder", &cart.at("study")).with("recording.pictures", "\"both\"");
    profile.with("recording.before_s", "0.0").with("recording.memory_megabytes", 16)
}

fn assisting(cart: &Cart, profile: &Profile) -> Running {
    cart.put(profile);
    let run = Running::start(cart.command());
    run.assisted();
    assert!(comes_true(PATIENCE, || cart.at("control.sock").exists()), "{}", run.log.text());
    run
}

fn record(cart: &Cart, to: &str) -> Output {
    PROGRAM.run(&cart.at("."), &["ctl", "--socket", "control.sock", "record", to])
}

#[track_caller]
fn assert_told(told: &Output, line: &str) {
    let text = String::from_utf8_lossy(&told.stdout);
    assert_eq!(
        (told.status.code(), text.trim()),
        (Some(0), line),
        "{}",
        String::from_utf8_lossy(&told.stderr)
    );
}

/// What the state file says of recordings.
fn told(cart: &Cart) -> Value {
    let text = fs::read_to_string(cart.at("state/state.json")).unwrap_or_default();
    serde_json::from_str::<Value>(&text).map_or(Value::Null, |state| state["recording"].clone())
}

#[track_caller]
fn wait_for(cart: &Cart, run: &Running, state: &str) {
    let log = || run.log.text();
    assert!(comes_true(PATIENCE, || told(cart)["state"] == state), "{}: {}", told(cart), log());
}

/// The recordings' folders, the oldest first.
fn recordings(cart: &Cart) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(cart.at("study")) else { return Vec::new() };
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.retain(|folder| folder.to_str().unwrap().ends_with("-video"));
    folders.sort();
    folders
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Its last word is written.
fn has_ended(folder: &Path) -> bool {
    let made = fs::read(folder.join("recording.json")).unwrap_or_default();
    serde_json::from_slice::<Value>(&made).is_ok_and(|made| !made["ended"].is_null())
}

fn lines(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("pictures.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What ffmpeg's libraries find in a recording's films.
fn films(folder: &Path) -> Option<Value> {
    let read = oracle::python()?.arg("read_film.py").arg(folder).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    Some(serde_json::from_slice(&read.stdout).unwrap())
}

fn times(film: &Value) -> Vec<f64> {
    film["times"].as_array().unwrap().iter().map(|time| time.as_f64().unwrap()).collect()
}

#[test]
fn what_is_shown_is_recorded_bare_and_outlined_while_the_picture_goes_on() {
    let cart = Cart::alone(PROGRAM);
    let mut run = assisting(&cart, &profile(&cart));
    assert_eq!(told(&cart)["state"], "off");
    let from = Instant::now();
    assert_told(&record(&cart, "start"), "recording");
    wait_for(&cart, &run, "recording");
    std::thread::sleep(Duration::from_secs(3));
    assert_told(&record(&cart, "start"), "recording");
    assert_told(&record(&cart, "stop"), "not recording");
    wait_for(&cart, &run, "off");
    run.assert_unbroken_since(from);
    run.assert_ends_well();

    let folders = recordings(&cart);
    assert_eq!(folders.len(), 1, "{folders:?}");
    let folder = &folders[0];
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder), 0o700);
    for name in ["clean.mkv", "outlined.mkv", "pictures.jsonl", "recording.json"] {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
    let made = json(&folder.join("recording.json"));
    assert_eq!(made["ended"]["why"], "it was told to end");
    assert_eq!((&made["width_px"], &made["model"]["name"]), (&160.into(), &"bright".into()));
    assert!(made["by"]["socket"]["uid"].is_u64(), "{made}");
    let lines = lines(folder);
    // Of 25 a second over three seconds.
    assert_eq!(made["ended"]["pictures"], lines.len());
    let missing = made["ended"]["missing"].as_u64().unwrap();
    assert!(lines.len() > 40 && lines.len() < 140, "{}", lines.len());
    assert!(missing < 10, "{missing}");
    let frames: Vec<u64> = lines.iter().map(|line| line["frame"].as_u64().unwrap()).collect();
    assert!(frames.is_sorted() && frames.windows(2).all(|pair| pair[0] < pair[1]), "{frames:?}");
    let regions: usize = lines.iter().map(|line| line["regions"].as_array().unwrap().len()).sum();
    assert!(regions > 20, "{regions} regions");
    assert!(lines.iter().all(|line| line["state"] == "assist"));

    let audit = PROGRAM.run(&cart.at("."), &["audit", "--folder", "audit", "--json"]);
    let audit = String::from_utf8_lossy(&audit.stdout).into_owned();
    let name = folder.file_name().unwrap().to_str().unwrap();
    assert!(audit.contains("\"recording-begun\"") && audit.contains("\"recording-ended\""), "{audit}");
    assert_eq!(audit.matches(name).count(), 2, "{audit}");

    let Some(films) = films(folder) else { return };
    let (clean, outlined) = (&films["clean.mkv"], &films["outlined.mkv"]);
    for film in [clean, outlined] {
        assert_eq!((&film["codec"], &film["sizes"]), (&"mjpeg".into(), &serde_json::json!([[160, 120]])));
        let times = times(film);
        assert_eq!(times.len(), lines.len(), "each line has a picture");
        assert!(times.is_sorted());
        // As far apart as they were shown.
        let of = |line: &Value| line["unix_s"].as_f64().unwrap();
        let shown = of(&lines[lines.len() - 1]) - of(&lines[0]);
        assert!((times[times.len() - 1] - shown).abs() < 0.1, "{times:?}, {shown}");
        assert!((film["lasts"].as_f64().unwrap() - times[times.len() - 1]).abs() < 0.1, "{film}");
        let sought = film["sought"].as_f64().unwrap();
        assert!(sought > 0.0 && sought < times[times.len() - 1], "{sought}");
    }
    assert!(outlined["cyan"].as_u64() > clean["cyan"].as_u64().map(|cyan| cyan + 1000), "{films}");
}

#[test]
fn the_last_seconds_are_kept_when_somebody_wants_them() {
    let cart = Cart::alone(PROGRAM);
    let profile = profile(&cart).with("recording.before_s", "1.0").with("recording.pictures", "\"clean\"");
    let mut run = assisting(&cart, &profile);
    std::thread::sleep(Duration::from_millis(1500));
    assert_told(&record(&cart, "last"), "the last seconds are being written");
    let first_ended = || recordings(&cart).first().is_some_and(|folder| has_ended(folder));
    assert!(comes_true(PATIENCE, first_ended), "{}", run.log.text());
    let folder = &recordings(&cart)[0];
    let count = lines(folder).len();
    assert!((15..=26).contains(&count), "{count} pictures of one second at 25");
    assert!(!folder.join("outlined.mkv").exists());
    assert!(fs::metadata(folder.join("clean.mkv")).unwrap().len() > 10_000);
    // A recording that begins has them, too.
    assert_told(&record(&cart, "toggle"), "recording");
    std::thread::sleep(Duration::from_millis(500));
    assert_fault(&record(&cart, "last"), 69, "the last seconds are recorded already");
    assert_told(&record(&cart, "toggle"), "not recording");
    let second_ended = || recordings(&cart).get(1).is_some_and(|folder| has_ended(folder));
    assert!(comes_true(PATIENCE, second_ended), "{}", run.log.text());
    let count = lines(&recordings(&cart)[1]).len();
    assert!((25..=60).contains(&count), "{count} pictures of a second and a half at 25");
    run.assert_ends_well();
}

#[test]
fn without_recordings_in_the_profile_orders_are_refused_with_a_reason() {
    let cart = Cart::alone(PROGRAM);
    let without = cart.profile().with_path("control.socket", &cart.at("control.sock"));
    let mut run = assisting(&cart, &without);
    assert_eq!(told(&cart)["state"], "none");
    assert_fault(&record(&cart, "start"), 69, "recording.pictures in the profile is off");
    run.assert_ends_well();
    let mut run = assisting(&cart, &profile(&cart));
    assert_fault(&record(&cart, "last"), 69, "recording.before_s in the profile is 0");
    assert_told(&record(&cart, "stop"), "not recording");
    run.assert_ends_well();
    cart.put(&without.with("recording.pictures", "\"both\""));
    let check = PROGRAM.run(&cart.at("."), &["check", "--board", "boards/test.toml"]);
    assert_fault(&check, 78, "name one by study.folder");
}

/// One after the other, each going on where the one before ended; and the program's end ends the last.
#[test]
fn everything_is_recorded_in_folders_that_follow_one_another() {
    let cart = Cart::alone(PROGRAM);
    let profile = profile(&cart).with("recording.continuous", true).with("recording.segment_s", "1.0");
    cart.put(&profile);
    let mut run = Running::start(cart.command());
    assert!(comes_true(PATIENCE, || recordings(&cart).len() >= 3), "{}", run.log.text());
    run.assert_ends_well();
    let folders = recordings(&cart);
    let mut before: Option<(String, u64)> = None;
    for folder in &folders {
        let made = json(&folder.join("recording.json"));
        let frames: Vec<u64> = lines(folder).iter().map(|line| line["frame"].as_u64().unwrap()).collect();
        assert!(made["by"].is_null() && made["ended"].is_object(), "{made}");
        if let Some((name, last)) = before {
            assert_eq!(made["continues"], name);
            assert!(frames[0] > last && frames[0] < last + 12, "{last}, then {}", frames[0]);
        }
        before = Some((folder.file_name().unwrap().to_str().unwrap().to_owned(), frames[frames.len() - 1]));
    }
    let last = json(&folders[folders.len() - 1].join("recording.json"));
    assert_eq!(last["ended"]["why"], "the program has ended");
}

#[test]
fn a_recording_that_is_cut_off_can_be_seen_up_to_there() {
    let cart = Cart::alone(PROGRAM);
    let mut run = assisting(&cart, &profile(&cart));
    assert_told(&record(&cart, "start"), "recording");
    wait_for(&cart, &run, "recording");
    std::thread::sleep(Duration::from_millis(2500));
    run.send(Signal::KILL);
    run.wait(PATIENCE);
    let folder = &recordings(&cart)[0];
    assert!(json(&folder.join("recording.json"))["ended"].is_null());
    let Some(films) = films(folder) else { return };
    for film in [&films["clean.mkv"], &films["outlined.mkv"]] {
        let times = times(film);
        assert!(times.len() > 20 && times.is_sorted(), "{times:?}");
    }
}

#[test]
fn a_full_disk_is_told_and_the_recording_goes_on_once_there_is_room() {
    let cart = Cart::alone(PROGRAM);
    fs::create_dir(cart.at("study")).unwrap();
    fs::write(cart.at("study/earlier"), vec![0; 11_000_000]).unwrap();
    let profile = profile(&cart).with("study.most_megabytes", 10).with("recording.segment_s", "1.0");
    let mut run = assisting(&cart, &profile);
    let from = Instant::now();
    assert_told(&record(&cart, "start"), "recording");
    wait_for(&cart, &run, "failed");
    let why = told(&cart)["why"].as_str().unwrap().to_owned();
    assert!(why.contains("study.most_megabytes allows 10"), "{why}");
    assert!(recordings(&cart).is_empty());
    fs::remove_file(cart.at("study/earlier")).unwrap();
    wait_for(&cart, &run, "recording");
    // In the folder's place is a file; then the folder again.
    fs::rename(cart.at("study"), cart.at("away")).unwrap();
    fs::write(cart.at("study"), "").unwrap();
    wait_for(&cart, &run, "failed");
    fs::remove_file(cart.at("study")).unwrap();
    wait_for(&cart, &run, "recording");
    assert!(comes_true(PATIENCE, || !recordings(&cart).is_empty()));
    run.assert_unbroken_since(from);
    let log = run.log.text();
    assert_eq!(log.matches("it is tried again every").count(), 2, "a line for each time: {log}");
    run.assert_ends_well();
    // What was recorded before the folder went can be seen, too.
    assert!(fs::read_dir(cart.at("away")).unwrap().count() > 0);
}

#[test]
fn the_oldest_recordings_make_room_where_the_profile_says_so_and_pictures_never() {
    let cart = Cart::alone(PROGRAM);
    let profile =
        profile(&cart).with("study.most_megabytes", 10).with("recording.when_full", "\"remove-oldest\"");
    for (folder, megabytes) in
        [("20200101T000000Z-video", 6), ("20210101T000000Z-video", 3), ("20190101T000000Z", 2)]
    {
        fs::create_dir_all(cart.at("study").join(folder)).unwrap();
        fs::write(cart.at("study").join(folder).join("content"), vec![0; megabytes * 1_000_000]).unwrap();
    }
    let mut run = assisting(&cart, &profile);
    assert_told(&record(&cart, "start"), "recording");
    assert!(comes_true(PATIENCE, || recordings(&cart).len() == 2), "{}", run.log.text());
    wait_for(&cart, &run, "recording");
    run.assert_ends_well();
    assert!(!cart.at("study/20200101T000000Z-video").exists());
    assert!(cart.at("study/20210101T000000Z-video").exists() && cart.at("study/20190101T000000Z").exists());
}

/// Without pictures: a line for each frame, with what it took.
#[test]
fn figures_of_every_frame_are_recorded_without_a_picture() {
    let cart = Cart::alone(PROGRAM);
    let profile = profile(&cart).with("recording.pictures", "\"figures\"").with("recording.rate_hz", "120.0");
    let mut run = assisting(&cart, &profile);
    assert_told(&record(&cart, "start"), "recording");
    std::thread::sleep(Duration::from_secs(3));
    assert_told(&record(&cart, "stop"), "not recording");
    wait_for(&cart, &run, "off");
    run.assert_ends_well();
    let folder = &recordings(&cart)[0];
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["pictures.jsonl", "recording.json"]);
    let lines = lines(folder);
    let frames: Vec<u64> = lines.iter().map(|line| line["frame"].as_u64().unwrap()).collect();
    let (first, last) = (frames[0], frames[frames.len() - 1]);
    // A machine that is busy may leave one out.
    assert!(frames.len() as u64 + 3 > last - first, "{frames:?}");
    assert!(last - first > 50, "{frames:?}");
    for line in &lines {
        for part in ["ready_us", "waited_us", "draw_us", "display_us", "held_back"] {
            assert!(line[part].is_u64(), "{part}: {line}");
        }
        assert!(line["outside_is_black"].is_null() && line["driver_us"].is_null(), "{line}");
    }
    assert!(json(&folder.join("recording.json"))["ended"]["without_border"].is_null());
}
