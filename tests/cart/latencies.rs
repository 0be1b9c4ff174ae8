//! The log of latencies: every minute of a run on the disk, whatever ends the run, and what is made of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use polyp_edge::latency::interval::{Coded, Interval, SlowFrame};
use polyp_edge::latency::log::{self, Bounds, Entry, Minutes, Reading, Setup, Writer};
use polyp_edge::latency::{Histogram, Stage};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::process::Signal;
use serde_json::Value;
use testing::bundle;
use testing::cart::running::{PATIENCE, Running, comes_true};
use testing::cart::{Cart, Profile};

use crate::PROGRAM;
use crate::errors::assert_fault;

/// How many runs are killed: `POLYP_KILLS` asks for more.
const KILLS: u64 = 5;

fn profile(cart: &Cart) -> Profile {
    cart.profile()
        .with_path("pipeline.latency_folder", &cart.at("latency"))
        .with("pipeline.latency_interval_s", "1.0")
}

/// What the newest log in a folder holds.
fn newest(folder: &Path) -> Option<(PathBuf, Reading)> {
    let path = log::files(folder).ok()?.pop()?;
    let reading = log::read(&path).ok()?;
    Some((path, reading))
}

fn minutes(reading: &Reading) -> Vec<&Interval> {
    let minutes = reading.entries.iter().filter_map(|entry| match entry {
        Entry::Minute(interval) => Some(interval),
        _ => None,
    });
    minutes.collect()
}

fn setups(reading: &Reading) -> Vec<&Setup> {
    let setups = reading.entries.iter().filter_map(|entry| match entry {
        Entry::Setup(setup) => Some(setup),
        _ => None,
    });
    setups.collect()
}

fn sum(minutes: &[&Interval]) -> Interval {
    let mut sum = Interval::default();
    minutes.iter().for_each(|minute| sum.merge(minute));
    sum
}

fn report(cart: &Cart, arguments: &[&str]) -> Output {
    PROGRAM.run(&cart.at("."), &[&["report", "latency"], arguments].concat())
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_run_is_logged_minute_by_minute_and_reported() {
    let cart = Cart::shared(PROGRAM);
    cart.put(&profile(&cart));
    let mut run = Running::start(cart.command());
    let from = run.assisted();
    let has =
        |count| newest(&cart.at("latency")).is_some_and(|(_, reading)| minutes(&reading).len() >= count);
    assert!(comes_true(PATIENCE, || has(3)), "{}", run.log.text());
    // Another model is another setup in the same file.
    bundle::write_version(&cart.at("second"), "2", 0);
    cart.put(&profile(&cart).with_path("model.bundle", &cart.at("second")));
    run.send(Signal::HUP);
    let told = || newest(&cart.at("latency")).is_some_and(|(_, reading)| setups(&reading).len() > 1);
    assert!(comes_true(PATIENCE, told), "{}", run.log.text());
    run.assert_unbroken_since(from);
    run.assert_ends_well();

    let (path, reading) = newest(&cart.at("latency")).unwrap();
    assert!(
        reading.damaged.is_empty()
            && reading.entries.last().is_some_and(|end| matches!(end, Entry::End { exit_code: 0, .. }))
    );
    let told = setups(&reading);
    let last = told.last().unwrap();
    assert_eq!((told[0].model_version.as_str(), last.model_version.as_str()), ("1", "2"));
    assert!(
        last.board == "test" && !last.host.is_empty() && !last.system.is_empty() && last.pid != 0,
        "{last:?}"
    );
    let all = minutes(&reading);
    let total = sum(&all);
    // The same as the run says of itself at its end.
    let of_run: Value = serde_json::from_slice(&fs::read(cart.at("out/latency.json")).unwrap()).unwrap();
    let frames = total.frames;
    assert_eq!(Some(frames.captured), of_run["captured"].as_u64());
    assert_eq!(Some(frames.shown), of_run["shown"].as_u64());
    assert_eq!(frames.shown, run.video.frames().len() as u64);
    assert!(frames.captured.abs_diff(frames.shown + frames.not_shown()) <= 1, "{frames:?}");
    for stage in of_run["stages"].as_array().unwrap() {
        let which: Stage = serde_json::from_value(stage["stage"].clone()).unwrap();
        let durations = total.stage(which);
        assert_eq!(Some(durations.count()), stage["count"].as_u64(), "{stage}");
        let p99 = durations.quantile_us(0.99) as f64 / 1e3;
        assert!((p99 - stage["p99_ms"].as_f64().unwrap()).abs() < 1e-9 + p99 / 100.0, "{stage}: {p99}");
    }
    let long = all.iter().filter(|minute| (0.9..3.0).contains(&minute.seconds)).count();
    assert!(long + 1 >= all.len(), "{:?}", all.iter().map(|minute| minute.seconds).collect::<Vec<_>>());
    assert!(total.states["assist"] > 1.0 && total.machine.runnable.is_some(), "{total:?}");
    assert_eq!(total.slowest.len(), 4);
    let slowest = total.slowest[0].video_delay_us();
    assert!(slowest.abs_diff(total.stage(Stage::VideoDelay).max_us()) < 100, "{slowest} µs: {total:?}");

    is_reported(&cart, &path, frames.shown, all.len());
}

/// As a table, a page, lines for a spreadsheet and JSON; of the file and of its folder.
fn is_reported(cart: &Cart, path: &Path, shown: u64, minutes: usize) {
    let text = succeeds(&report(cart, &["latency", "--html", "page.html", "--csv", "lines.csv"]));
    assert!(text.contains("video delay") && text.contains(&format!("shown {}", shown)), "{text}");
    let page = fs::read_to_string(cart.at("page.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.matches("<svg").count() > 10, "{page}");
    for elsewhere in ["src=\"http", "href=\"http", "<script", "@import", "url("] {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
    let lines = fs::read_to_string(cart.at("lines.csv")).unwrap();
    assert!(
        lines.lines().all(|line| line.split(',').count() == 19) && lines.lines().count() > minutes,
        "{lines}"
    );
    let json: Value =
        serde_json::from_str(&succeeds(&report(cart, &[path.to_str().unwrap(), "latency", "--json"])))
            .unwrap();
    assert_eq!(json["runs"].as_array().unwrap().len(), 2);
    assert_eq!(json["runs"][1]["frames"]["shown"].as_u64(), Some(shown));
    assert_eq!(json["differences"][0]["before_ms"], json["differences"][0]["after_ms"]);
    assert_fault(&report(cart, &["latency", "--html", "page.html"]), 2, "--force replaces it");
    assert_fault(&report(cart, &["nowhere"]), 74, "nowhere");
    fs::write(cart.at("junk"), "junk").unwrap();
    assert_fault(&report(cart, &["junk"]), 65, "it is no log of latencies");
}

/// At whatever moment a run is killed: every interval that was over is there.
#[test]
fn a_run_that_is_killed_loses_no_interval_that_was_over() {
    let kills = std::env::var("POLYP_KILLS").map_or(KILLS, |count| count.parse().unwrap());
    let cart = Cart::shared(PROGRAM);
    cart.put(&profile(&cart));
    let mut random = ChaCha8Rng::seed_from_u64(19);
    for kill in 0..kills {
        let mut run = Running::start(cart.command());
        run.first_picture();
        thread::sleep(Duration::from_secs_f64(random.random_range(1.2..3.5)));
        let shown = run.video.frames().len() as u64;
        run.send(Signal::KILL);
        run.wait(PATIENCE);
        let (path, reading) = newest(&cart.at("latency")).unwrap();
        assert!(!reading.has_ended() && reading.damaged.len() <= 1, "{reading:?}");
        let kept = sum(&minutes(&reading));
        // What is missing is younger than an interval and the time that one takes to be written.
        let missing = shown.saturating_sub(kept.frames.shown);
        let per_second = testing::cart::FRAMES_PER_SECOND as u64;
        assert!(
            missing <= 2 * per_second,
            "kill {kill}: of {shown} frames, {} are in {}",
            kept.frames.shown,
            path.display()
        );
        let text = succeeds(&report(&cart, &[path.to_str().unwrap()]));
        assert!(text.contains("the run was killed or lost its power"), "{text}");
    }
    assert_eq!(log::files(&cart.at("latency")).unwrap().len() as u64, kills);
}

/// A folder that cannot be written to costs a line in the log and nothing else; what was counted meanwhile is written later.
#[test]
fn a_log_that_cannot_be_written_holds_nothing_up_and_is_caught_up() {
    let cart = Cart::shared(PROGRAM);
    cart.put(&profile(&cart));
    fs::write(cart.at("latency"), "in the way").unwrap();
    let mut run = Running::start(cart.command());
    let from = run.assisted();
    assert!(comes_true(PATIENCE, || run.log.text().contains("cannot write latencies")), "{}", run.log.text());
    fs::remove_file(cart.at("latency")).unwrap();
    let is_back = || run.log.text().contains("latencies are written again");
    assert!(comes_true(PATIENCE, is_back), "{}", run.log.text());
    run.assert_unbroken_since(from);
    run.assert_ends_well();
    let (_, reading) = newest(&cart.at("latency")).unwrap();
    assert_eq!(sum(&minutes(&reading)).frames.shown, run.video.frames().len() as u64);
    assert_eq!(run.log.text().matches("cannot write latencies").count(), 1);
}

/// The browser's own words about a page, and the page as it has it; `None` where there is no browser.
fn in_a_browser(page: &Path) -> Option<(String, String)> {
    let browser = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
        Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
    });
    let Some(browser) = browser else {
        eprintln!("skipped: there is no Chromium");
        return None;
    };
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            "--v=0",
            "--dump-dom",
        ])
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some((text(&output.stdout), text(&output.stderr)))
}

/// A whole page in a browser, where there is one: no error, and something on it.
#[test]
fn a_browser_shows_the_page_without_an_error() {
    let cart = Cart::shared(PROGRAM);
    cart.put(&profile(&cart));
    let mut run = Running::start(cart.command());
    run.assisted();
    thread::sleep(Duration::from_millis(1500));
    run.assert_ends_well();
    succeeds(&report(&cart, &["latency", "--html", "page.html"]));
    let Some((dom, said)) = in_a_browser(&cart.at("page.html")) else { return };
    assert!(dom.contains("Percentiles") && dom.contains("<svg"), "{dom}");
    assert!(!said.contains("CONSOLE"), "{said}");
}

/// Three hours of a cart whose pictures take about so long, hot and often without assistance if it is the slowest.
fn write_cart(folder: &Path, number: u64, ms: f64) {
    let mut random = ChaCha8Rng::seed_from_u64(number);
    let setup =
        Setup { host: format!("cart-{number:02}"), hardware: "a made-up board".into(), ..Setup::default() };
    let mut writer = Writer::begin(folder, Bounds { bytes: 1 << 24, days: 30.0 }, setup, 1.8e9).unwrap();
    for minute in 1..=180 {
        let (video, total, interval) = (Histogram::default(), Histogram::default(), Histogram::default());
        let wanders = ms * random.random_range(0.9..1.1);
        for _ in 0..400 {
            let tail = if random.random_bool(0.003) { random.random_range(1.0..4.0) } else { 1.0 };
            let of = |ms: f64| Duration::from_micros((1e3 * ms) as u64);
            video.record(of(wanders * tail * random.random_range(0.8..1.2)));
            total.record(of(20.0 * wanders * random.random_range(0.9..1.3)));
            interval.record(of(16.67 * random.random_range(0.98..1.02)));
        }
        let is_bad = ms > 3.0 && minute % 40 < 6;
        let mut one =
            Interval { unix_s: 1.8e9 + 60.0 * f64::from(minute), seconds: 60.0, ..Interval::default() };
        one.stages.insert(Stage::VideoDelay, Coded(video.read()));
        one.stages.insert(Stage::Total, Coded(total.read()));
        one.stages.insert(Stage::Interval, Coded(interval.read()));
        (one.frames.captured, one.frames.shown) = (400, if is_bad { 380 } else { 400 });
        one.frames.overtaken = 400 - one.frames.shown;
        one.states.insert("assist".into(), if is_bad { 20.0 } else { 60.0 });
        if is_bad {
            one.states.insert("degraded".into(), 40.0);
            one.machine.throttled.push("the firmware lowered the clock".into());
        }
        one.machine.hottest_c = Some(if is_bad { 84.5 } else { 61.0 });
        one.slowest.push(SlowFrame {
            unix_s: one.unix_s as u64,
            waited_us: (600.0 * ms) as u32,
            draw_us: (900.0 * ms) as u32,
            display_us: (1500.0 * ms) as u32,
            ..SlowFrame::default()
        });
        writer.minute(&one).unwrap();
    }
    writer.end(1.8e9 + 180.0 * 60.0, 0).unwrap();
}

#[test]
fn twenty_carts_make_one_page_that_begins_with_the_slowest() {
    let cart = Cart::shared(PROGRAM);
    let folder = cart.at("fleet");
    for number in 0..20 {
        let ms = if number == 13 { 3.4 } else { 1.5 };
        write_cart(&folder.join(format!("{number:02}")), number, ms);
    }
    succeeds(&report(&cart, &["fleet", "--html", "page.html"]));
    let page = fs::read_to_string(cart.at("page.html")).unwrap();
    let glance = page.split("<h2>").find(|part| part.starts_with("At a glance")).unwrap();
    let names: Vec<&str> = glance.split("<tr><th>").skip(2).filter_map(|row| row.split('<').next()).collect();
    assert_eq!(names.len(), 20, "{glance}");
    assert_eq!(names[0], "cart-13", "the slowest first");
    assert!(page.contains("the other 15"), "five lines are told apart");
    // A row for each cart: no table is twenty columns wide.
    let widest = page.split("<tr>").map(|row| row.matches("<th").count()).max().unwrap();
    assert!(widest <= 12, "{widest} columns");
    assert!(page.len() < 1_500_000, "{} bytes", page.len());
    let Some((dom, said)) = in_a_browser(&cart.at("page.html")) else { return };
    assert!(dom.contains("At a glance") && dom.contains("cart-13"), "{dom}");
    assert!(!said.contains("CONSOLE"), "{said}");
}
