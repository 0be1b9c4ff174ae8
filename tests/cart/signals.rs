//! A replay ends when a signal asks for it, and leaves nothing half-written.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use testing::cart::noise::Noise;
use testing::cart::{Workplace, process};
use testing::folder::files;

use crate::PROGRAM;
use crate::files::filled;

/// A video with two frames written and more to come: the program waits for them.
pub fn waiting(at: &Path, flags: &[&str]) -> (Child, std::process::ChildStdin) {
    let mut child = PROGRAM
        .command()
        .args(["replay", "-", "--model", "model", "--out", "out"])
        .args(flags)
        .current_dir(at)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"YUV4MPEG2 W32 H24 F25:1 C444\n").unwrap();
    for _ in 0..2 {
        input.write_all(b"FRAME\n").unwrap();
        input.write_all(&[128; 3 * 32 * 24]).unwrap();
    }
    let begun = Instant::now();
    while !at.join("out/frame-000001.png").exists() {
        assert!(begun.elapsed() < Duration::from_secs(20), "no picture came");
        std::thread::sleep(Duration::from_millis(5));
    }
    (child, input)
}

fn workplace() -> Workplace {
    filled(Workplace::alone())
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// That a signal ends it, within a second and what the machine itself delayed it; gives the signal that it ended by.
fn ended_by(child: &mut Child, asked: Signal) -> Option<Signal> {
    let noise = Noise::of(child.id());
    noise.catch_up();
    let begun = Instant::now();
    signal(child, asked);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.signal().and_then(Signal::from_named_raw);
        }
        let took = begun.elapsed();
        let noise = noise.of_program(begun, Instant::now());
        if took > Duration::from_secs(1) + noise {
            let doings = process::doings(child.id());
            child.kill().unwrap();
            panic!("it still runs {took:?} after the signal; noise {noise:.1?}; its threads: {doings}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_signal_ends_a_replay_whose_source_sends_nothing() {
    for asked in [Signal::TERM, Signal::INT, Signal::HUP] {
        let folder = workplace();
        let at = folder.path();
        let (mut child, _input) = waiting(at, &[]);
        let mut ends = asked;
        // Whoever started these tests by nohup wants them, and so this program, to outlive SIGHUP.
        if process::ignores(std::process::id(), asked.as_raw()) {
            signal(&child, asked);
            std::thread::sleep(Duration::from_millis(300));
            assert!(child.try_wait().unwrap().is_none(), "a signal that is to be ignored ended it");
            ends = Signal::TERM;
        }
        assert_eq!(ended_by(&mut child, ends), Some(ends));
        let names = ["frame-000000.png", "frame-000001.png"].map(Path::new);
        assert_eq!(files(&at.join("out")), names, "what was written is whole, no temporary file is left");
        for name in names {
            image::open(at.join("out").join(name)).unwrap();
        }
    }
}

#[test]
fn a_signal_ends_a_replay_that_nobody_listens_to() {
    let folder = workplace();
    let at = folder.path();
    // The pipe is full before the summary comes.
    let (reader, writer) = std::io::pipe().unwrap();
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK).unwrap();
    while (&writer).write(b"x").is_ok() {}
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::empty()).unwrap();
    let mut child = PROGRAM
        .command()
        .args(["replay", "set/images", "--model", "model", "--out", "out", "--json"])
        .current_dir(at)
        .stdout(writer)
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !at.join("out/b.png").exists() {
        assert!(begun.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(200));
    assert!(child.try_wait().unwrap().is_none(), "it waits for its reader");
    assert_eq!(ended_by(&mut child, Signal::TERM), Some(Signal::TERM));
    assert_eq!(files(&at.join("out")), ["a.png", "b.png"].map(Path::new));
    drop(reader);
}

#[test]
fn a_signal_at_any_time_leaves_no_temporary_file() {
    let folder = workplace();
    let at = folder.path();
    for round in 0..24u64 {
        let mut child = PROGRAM
            .command()
            .args(["replay", "synthetic:size=320x240", "--model", "model", "--out", "out"])
            .current_dir(at)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(45 + 7 * round));
        assert_eq!(ended_by(&mut child, Signal::TERM), Some(Signal::TERM));
        let hidden: Vec<_> = Some(at.join("out"))
            .filter(|out| out.exists())
            .map(|out| files(&out))
            .unwrap_or_default()
            .into_iter()
            .filter(|path| path.to_string_lossy().starts_with('.'))
            .collect();
        assert!(hidden.is_empty(), "{hidden:?}");
    }
}

#[test]
fn what_a_killed_run_left_is_swept_by_the_next_one() {
    let folder = workplace();
    let at = folder.path();
    for round in 0..24u64 {
        let mut child = PROGRAM
            .command()
            .args(["replay", "synthetic:size=320x240", "--model", "model", "--out", "out"])
            .current_dir(at)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(60 + 7 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        // Whatever bears a final name is whole; the first may be killed before there is a folder.
        for name in Some(at.join("out")).filter(|out| out.exists()).map(|out| files(&out)).unwrap_or_default()
        {
            if !name.to_string_lossy().starts_with('.') {
                image::open(at.join("out").join(name)).unwrap();
            }
        }
    }
    std::fs::create_dir_all(at.join("out")).unwrap();
    std::fs::write(at.join("out/.polyp-edge-writing-1-0"), "a dead run's").unwrap();
    std::fs::write(at.join("out/.writing-mine"), "not this program's").unwrap();
    let output = PROGRAM.run(at, &["replay", "set/images", "--model", "model", "--out", "out"]);
    assert!(output.status.success(), "the files of killed runs are known as this program's: {output:?}");
    assert_eq!(files(&at.join("out")), [".writing-mine", "a.png", "b.png"].map(Path::new));
}

#[test]
fn a_program_started_by_nohup_outlives_its_terminal() {
    let folder = workplace();
    let at = folder.path();
    let mut command = Command::new("sh");
    let script = format!("trap '' HUP; exec {} replay - --model model --out out", PROGRAM.0);
    let mut child = command
        .args(["-c", &script])
        .current_dir(at)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut frame = b"YUV4MPEG2 W32 H24 F25:1 C444\nFRAME\n".to_vec();
    frame.extend_from_slice(&[128; 3 * 32 * 24]);
    input.write_all(&frame).unwrap();
    let begun = Instant::now();
    while !at.join("out/frame-000000.png").exists() {
        assert!(begun.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    signal(&child, Signal::HUP);
    std::thread::sleep(Duration::from_millis(100));
    drop(input);
    let mut summary = String::new();
    child.stdout.take().unwrap().read_to_string(&mut summary).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(summary.starts_with("1 frames"), "{summary}");
}
