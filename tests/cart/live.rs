//! Live video's verbs as a person meets them, where there is neither camera nor monitor.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use testing::bundle::write;
use testing::cart::{Workplace, put_board};

use crate::PROGRAM;
use crate::errors::assert_fault;

fn json(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn the_shipped_boards_pass_their_check_without_hardware() {
    let folder = Workplace::shared();
    let boards = folder.path().join("boards");
    for file in testing::folder::files(&testing::root().join("boards")) {
        std::fs::create_dir_all(&boards).unwrap();
        std::fs::copy(testing::root().join("boards").join(&file), boards.join(&file)).unwrap();
    }
    std::os::unix::fs::symlink(testing::root().join("models"), folder.path().join("models")).unwrap();
    for board in ["raspberry-pi-5", "jetson-orin-nano", "generic", "bench", "sim"] {
        let path = boards.join(format!("{board}.toml"));
        let check = || PROGRAM.run(folder.path(), &["check", "--json", "--board", path.to_str().unwrap()]);
        let mut output = check();
        if ["raspberry-pi-5", "jetson-orin-nano", "generic"].contains(&board) {
            // What is for patients takes no bundle that everybody could have signed.
            assert_fault(&output, 76, "it is signed with the development key");
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, text + "\n[trust]\ndevelopment_key = true\n").unwrap();
            output = check();
        }
        assert!(output.status.success(), "{board}: {}", String::from_utf8_lossy(&output.stderr));
        let report = json(&output.stdout);
        assert_eq!((&report["schema"], &report["board"]), (&1.into(), &board.into()));
        assert_eq!(report["golden_frames"], 4);
        if !["sim", "bench", "generic"].contains(&board) {
            // Three of five frames at 60 a second.
            let delay = report["gate_delay_ms"].as_f64().unwrap();
            assert!((delay - 2000.0 / 60.0).abs() < 0.01, "{delay}");
        }
    }
}

#[test]
fn a_machine_can_be_probed_and_says_what_is_missing() {
    let folder = Workplace::shared();
    let output = PROGRAM.run(folder.path(), &["probe", "--json"]);
    assert!(output.status.success());
    let report = json(&output.stdout);
    assert_eq!(report["schema"], 1);
    assert!(report["machine"]["cores"].as_u64().unwrap() > 0 && report["cameras"].is_array());
    assert!(PROGRAM.run(folder.path(), &["probe"]).stdout.starts_with(b"machine "));

    write(&folder.path().join("model"));
    put_board(folder.path(), "[camera]\nsource = \"v4l2:/dev/no-such-camera\"\n");
    let output = PROGRAM.run(folder.path(), &["doctor", "--board", "boards/test.toml"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("ok   profile test: valid") && text.contains("ok   bundle"), "{text}");
    assert!(
        text.contains("BAD  the profile's camera /dev/no-such-camera does not exist\n     → plug it in"),
        "{text}"
    );
}

#[test]
fn without_a_camera_the_run_goes_on_and_says_so() {
    let folder = Workplace::shared();
    let at = folder.path();
    write(&at.join("model"));
    let state = at.join("run/state.json");
    let rest = format!(
        "[camera]\nsource = \"v4l2:/dev/no-such-camera\"\n[pipeline]\nstate_file = {state:?}\n[display]\nkind = \"images\"\n"
    );
    put_board(at, &rest);
    let output = PROGRAM.run(at, &["run", "--board", "boards/test.toml", "--seconds", "2"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = json(&std::fs::read(&state).unwrap());
    assert_eq!((&told["state"], &told["reason"]), (&"no-signal".into(), &"no camera".into()), "{told}");
    let screen = image::open(at.join("out/no-signal.png")).unwrap().into_rgb8();
    let lit = screen.pixels().filter(|pixel| pixel.0 == [200, 200, 200]).count();
    assert!(lit > 1000, "the screen says why: {lit} pixels");
}

/// What a child has said on its standard error so far.
fn listen(child: &mut Child) -> Arc<Mutex<String>> {
    let said = Arc::new(Mutex::new(String::new()));
    let (heard, stderr) = (said.clone(), child.stderr.take().unwrap());
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            *heard.lock().unwrap() += &(line + "\n");
        }
    });
    said
}

fn wait_for(said: &Mutex<String>, words: &str) {
    let begun = Instant::now();
    while !said.lock().unwrap().contains(words) {
        assert!(begun.elapsed() < Duration::from_secs(30), "no {words:?} in: {}", said.lock().unwrap());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_profile_is_reloaded_or_refused_and_the_end_comes_when_it_is_asked_for() {
    let folder = Workplace::shared();
    let at = folder.path();
    write(&at.join("model"));
    let camera = "[camera]\nsource = \"synthetic:size=160x128\"\nrate_hz = 30.0\n";
    put_board(at, camera);
    let mut child = PROGRAM
        .command()
        .current_dir(at)
        .args(["run", "--board", "boards/test.toml"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = listen(&mut child);
    let send = |signal| kill_process(Pid::from_raw(child.id() as i32).unwrap(), signal).unwrap();
    wait_for(&said, "→ assist");
    put_board(at, &format!("{camera}[overlay]\ntint_percent = 90.0\n"));
    send(Signal::HUP);
    wait_for(&said, "the profile stays as it was");
    assert!(said.lock().unwrap().contains("overlay.tint_percent is 90"));
    put_board(at, &format!("{camera}[overlay]\ntint_percent = 10.0\n"));
    said.lock().unwrap().clear();
    send(Signal::HUP);
    wait_for(&said, "the profile was reloaded and is in use");
    // Some frames more, with the new profile.
    std::thread::sleep(Duration::from_millis(300));
    assert!(!said.lock().unwrap().contains("assist"), "assistance went on: {}", said.lock().unwrap());
    send(Signal::TERM);
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not end");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "{status}: {}", said.lock().unwrap());
    let report = json(&std::fs::read(at.join("out/latency.json")).unwrap());
    assert!(report["shown"].as_u64().unwrap() > 2);
}
