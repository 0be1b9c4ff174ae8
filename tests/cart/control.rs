//! What people in the room ask for by the socket, seen in the picture, in the state file and in the audit trail.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use testing::cart::running::{PATIENCE, Running, comes_true};
use testing::cart::video::Corner;
use testing::cart::{Cart, FRAMES_PER_SECOND, Workplace};

use crate::PROGRAM;
use crate::errors::assert_fault;

/// A cart whose socket is `control.sock` and whose audit trail is in `audit`.
fn cart() -> Cart {
    let cart = Cart::alone(PROGRAM);
    let profile = cart.profile().with_path("control.socket", &cart.at("control.sock"));
    cart.put(&profile.with_path("pipeline.audit_folder", &cart.at("audit")));
    cart
}

fn assisting(cart: &Cart) -> Running {
    let run = Running::start(cart.command());
    run.assisted();
    assert!(comes_true(PATIENCE, || cart.at("control.sock").exists()), "{}", run.log.text());
    run
}

fn says(run: &Running, words: &str) -> bool {
    comes_true(PATIENCE, || run.log.text().contains(words))
}

fn ctl(cart: &Cart, arguments: &[&str]) -> Output {
    PROGRAM.run(&cart.at("."), &[&["ctl", "--socket", "control.sock"], arguments].concat())
}

fn ask(stream: &mut BufReader<UnixStream>, line: &str) -> Value {
    stream.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{answer:?}: {error}"))
}

fn connected(path: &Path) -> BufReader<UnixStream> {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    BufReader::new(stream)
}

#[test]
fn outlines_go_with_the_next_frame_and_come_back() {
    let cart = cart();
    let mut run = assisting(&cart);
    let socket = cart.at("control.sock");
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o660);
    let mut stream = connected(&socket);
    let begun = Instant::now();
    let frame = Duration::from_secs_f64(1.0 / FRAMES_PER_SECOND);
    for _ in 0..5 {
        let asked = Instant::now();
        let answer = ask(&mut stream, r#"{"order":"outlines","to":"toggle"}"#);
        let answered = Instant::now();
        assert_eq!(answer, json!({"ok": true, "outlines": "off"}));
        let off = run.video.wait_since(asked, PATIENCE, |frame| frame.corner == Corner::Off).unwrap();
        let noise = run.noise.of_program(asked, off.at);
        assert!(off.at - asked <= 2 * frame + noise, "{:?} after it was asked for", off.at - asked);
        std::thread::sleep(4 * frame);
        // A picture that was on its way when the order was answered may come after it.
        let dark = run.video.since(answered + frame);
        assert!(dark.len() >= 2 && dark.iter().all(|seen| seen.outlined == 0 && seen.corner == Corner::Off));
        let asked = Instant::now();
        assert_eq!(ask(&mut stream, r#"{"order":"outlines","to":"on"}"#)["outlines"], "on");
        let on = run.video.wait_since(asked, PATIENCE, |frame| frame.outlined > 0).unwrap();
        let noise = run.noise.of_program(asked, on.at);
        assert!(on.at - asked <= 2 * frame + noise, "{:?} after it was asked for", on.at - asked);
    }
    run.assert_unbroken_since(begun);
    run.assert_ends_well();
}

#[test]
fn what_is_switched_off_is_said_everywhere_and_survives_a_reload() {
    let cart = cart();
    let mut run = assisting(&cart);
    let told = ctl(&cart, &["outlines", "off"]);
    assert_eq!(
        (told.status.code(), String::from_utf8_lossy(&told.stdout).trim()),
        (Some(0), "outlines are off")
    );
    assert!(comes_true(PATIENCE, || cart.state().is_some_and(|state| state["outlines"] == false)));
    // No profile hides it.
    let profile =
        cart.profile().with("overlay.glyph", false).with_path("control.socket", &cart.at("control.sock"));
    cart.put(&profile.with_path("pipeline.audit_folder", &cart.at("audit")));
    run.send(Signal::HUP);
    assert!(says(&run, "was reloaded"), "{}", run.log.text());
    let from = Instant::now();
    std::thread::sleep(Duration::from_millis(300));
    assert!(run.video.since(from).iter().all(|seen| seen.outlined == 0 && seen.corner == Corner::Off));
    let status = ctl(&cart, &["status"]);
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(
        text.contains("state     assist\noutlines  off, sensitivity standard\nmodel     bright 1\n"),
        "{text}"
    );
    let json: Value = serde_json::from_slice(&ctl(&cart, &["status", "--json"]).stdout).unwrap();
    assert_eq!((&json["ok"], &json["state"]["phase"]), (&true.into(), &"running".into()), "{json}");
    assert!(ctl(&cart, &["mark", "caecum reached"]).status.success());
    // The bundle has a quiet point and no watchful one.
    let quiet = ctl(&cart, &["sensitivity", "quiet", "--json"]);
    let answer: Value = serde_json::from_slice(&quiet.stdout).unwrap();
    assert_eq!(answer, json!({"ok": true, "sensitivity": "quiet"}));
    let watchful = ctl(&cart, &["sensitivity", "watchful"]);
    assert_fault(&watchful, 69, "watchful");
    let status = String::from_utf8_lossy(&ctl(&cart, &["status"]).stdout).into_owned();
    assert!(status.contains("outlines  off, sensitivity quiet"), "{status}");
    // A reload brings back what the profile says.
    run.send(Signal::HUP);
    let is_standard =
        || String::from_utf8_lossy(&ctl(&cart, &["status"]).stdout).contains("sensitivity standard");
    assert!(comes_true(PATIENCE, is_standard), "{}", run.log.text());
    assert!(ctl(&cart, &["outlines", "toggle"]).status.success());
    run.video.wait_since(Instant::now(), PATIENCE, |frame| frame.outlined > 0).unwrap();
    run.assert_ends_well();
    let trail = PROGRAM.run(&cart.at("."), &["audit", "--folder", "audit", "--json"]);
    let trail = String::from_utf8_lossy(&trail.stdout).into_owned();
    let uid = rustix::process::getuid().as_raw();
    for words in ["\"on\":false", "\"on\":true", "caecum reached", &format!("{{\"uid\":{uid}}}")] {
        let compact = trail.replace(": ", ":").replace(char::is_whitespace, "");
        assert!(compact.contains(&words.replace(' ', "")), "{words}: {trail}");
    }
}

#[test]
fn ten_thousand_lines_of_nonsense_and_a_thousand_clients_harm_nobody() {
    let cart = cart();
    let mut run = assisting(&cart);
    let socket = cart.at("control.sock");
    let begun = Instant::now();
    // Lines that are no orders: each is answered, and after some the client is sent away.
    let nonsense: [&[u8]; 6] = [
        b"\n\n\n",
        b"{\"order\":\n",
        b"\xff\xfe\x00\n",
        b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n",
        b"{\"order\":\"outlines\",\"to\":\"sideways\"}\n",
        b"{\"order\":\"mark\",\"text\":\"\\u0000\"}\n",
    ];
    let mut sent = 0;
    while sent < 10_000 {
        let Ok(mut stream) = UnixStream::connect(&socket) else { continue };
        for line in nonsense.iter().cycle().take(60) {
            sent += 1;
            if stream.write_all(line).is_err() {
                break;
            }
        }
    }
    // A line without an end, clients that read nothing, that say nothing, that go at once.
    let mut endless = UnixStream::connect(&socket).unwrap();
    let _ = endless.write_all(&[b'x'; 100_000]);
    let mut deaf = UnixStream::connect(&socket).unwrap();
    deaf.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    for _ in 0..2000 {
        if deaf.write_all(b"{\"order\":\"status\"}\n").is_err() {
            break;
        }
    }
    let mut kept = Vec::new();
    for number in 0..1000 {
        if let Ok(stream) = UnixStream::connect(&socket)
            && number % 3 == 0
        {
            kept.push(stream);
        }
    }
    let open = std::fs::read_dir(format!("/proc/{}/fd", run.id())).unwrap().count();
    assert!(open < 100, "{open} descriptors are open");
    // Who has something to say is heard, as soon as one of the silent ones may go.
    let answer = comes_true(PATIENCE, || ctl(&cart, &["outlines", "off"]).status.success());
    assert!(answer, "{}", run.log.text());
    run.assert_unbroken_since(begun);
    drop((kept, deaf, endless));
    // The end of a line is not needed by who ends the connection with it.
    let mut last = UnixStream::connect(&socket).unwrap();
    last.write_all(b"{\"order\":\"status\"}").unwrap();
    last.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    last.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"outlines\":\"off\""), "{answer}");
    assert!(run.log.text().lines().count() < 60, "{}", run.log.text());
    run.assert_ends_well();
}

#[test]
fn a_socket_that_was_left_behind_is_replaced_and_one_in_use_is_not() {
    let cart = cart();
    let mut first = assisting(&cart);
    first.send(Signal::KILL);
    assert!(first.wait(PATIENCE).is_some());
    assert!(cart.at("control.sock").exists(), "it was left behind");
    let mut second = assisting(&cart);
    assert!(comes_true(PATIENCE, || ctl(&cart, &["status"]).status.success()), "{}", second.log.text());
    // A second program on the same profile does not take the orders of the first.
    let mut third = Running::start(cart.command());
    assert!(says(&third, "another program listens there"), "{}", third.log.text());
    third.send(Signal::TERM);
    third.wait(PATIENCE);
    assert!(ctl(&cart, &["status"]).status.success());
    second.assert_ends_well();
    let _ = std::fs::remove_file(cart.at("control.sock"));
    std::fs::write(cart.at("control.sock"), "mine").unwrap();
    let mut fourth = Running::start(cart.command());
    assert!(says(&fourth, "that is no socket"), "{}", fourth.log.text());
    fourth.assisted();
    fourth.assert_ends_well();
    assert_eq!(std::fs::read(cart.at("control.sock")).unwrap(), b"mine");
}

#[test]
fn an_order_that_cannot_be_given_is_one_line() {
    let folder = Workplace::shared();
    let at = folder.path();
    let ctl = |arguments: &[&str]| PROGRAM.run(at, &[&["ctl"], arguments].concat());
    assert_fault(&ctl(&["--socket", "nothing.sock", "status"]), 69, "no polyp-edge listens there");
    assert_fault(&ctl(&["outlines", "sideways"]), 2, "sideways");
    assert_fault(&ctl(&["--socket", "nothing.sock", "mark", "  "]), 2, "a mark needs a text");
    std::fs::write(at.join("file"), "").unwrap();
    assert_fault(&ctl(&["--socket", "file", "status"]), 69, "no polyp-edge listens there");
    // A program that listens and never answers, and one that answers nonsense.
    let listener = std::os::unix::net::UnixListener::bind(at.join("other.sock")).unwrap();
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 100]);
        stream.write_all(b"hello\n").unwrap();
        let (stream, _) = listener.accept().unwrap();
        drop(stream);
    });
    assert_fault(&ctl(&["--socket", "other.sock", "status"]), 65, "the answer is not understood");
    let gone = ctl(&["--socket", "other.sock", "status"]);
    assert!([Some(69), Some(74)].contains(&gone.status.code()), "{gone:?}");
    other.join().unwrap();
}

/// The picture goes on from another source; one that cannot be had changes nothing.
#[test]
fn people_switch_between_sources() {
    let cart = cart();
    let profile = cart.profile().with_path("control.socket", &cart.at("control.sock"));
    let profile =
        profile.with_path("pipeline.audit_folder", &cart.at("audit")).with("camera.name", "\"left\"");
    let others = format!(
        "[{{ name = \"right\", source = \"synthetic:seed=9,size=160x120\" }}, {{ name = \"gone\", source = {:?} }}]",
        cart.at("gone.y4m")
    );
    cart.put(&profile.with("camera.others", others));
    let mut run = assisting(&cart);
    let from = Instant::now();
    let told = |output: &Output| String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert_eq!(told(&ctl(&cart, &["input", "next"])), "pictures come from the source right");
    assert!(comes_true(PATIENCE, || {
        let status: Value = serde_json::from_slice(&ctl(&cart, &["status", "--json"]).stdout).unwrap();
        status["input"] == "right" && status["state"]["state"] == "assist"
    }));
    // No outline of the one source is drawn on the other: that outlines came back shows that there are new ones.
    let asked = Instant::now();
    assert!(run.video.wait_since(asked, PATIENCE, |frame| frame.outlined > 0).is_some());
    assert_fault(&ctl(&cart, &["input", "gone"]), 69, "gone.y4m");
    assert_fault(&ctl(&cart, &["input", "middle"]), 69, "the profile has right, gone, left");
    assert_eq!(told(&ctl(&cart, &["input", "left"])), "pictures come from the source left");
    run.assert_unbroken_since(from);
    let audit = PROGRAM.run(&cart.at("."), &["audit", "--folder", "audit", "--json"]);
    let audit = String::from_utf8_lossy(&audit.stdout).into_owned();
    assert_eq!(audit.matches("\"event\":\"input\"").count(), 2, "{audit}");
    run.assert_ends_well();
}
