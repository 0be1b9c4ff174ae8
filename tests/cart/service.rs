//! The program as a service manager meets it: ready once the display is open, alive as long as the display goes on, with its state.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use testing::cart::Cart;
use testing::cart::running::{PATIENCE, Running, comes_true};
use testing::cart::stopped::Stopped;

use crate::PROGRAM;

/// What the manager waits for a sign of life.
const WATCHDOG: Duration = Duration::from_millis(1200);

/// Messages with when they came.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(Instant, String)>>>);

impl Heard {
    fn listen(socket: UnixDatagram) -> Heard {
        let heard = Heard::default();
        let theirs = heard.clone();
        thread::spawn(move || {
            let mut message = [0; 4096];
            while let Ok(length) = socket.recv(&mut message) {
                let text = String::from_utf8_lossy(&message[..length]).into_owned();
                theirs.0.lock().unwrap().push((Instant::now(), text));
            }
        });
        heard
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(_, text)| text.clone()).collect()
    }

    /// All but signs of life.
    fn words(&self) -> Vec<String> {
        self.all().into_iter().filter(|text| text != "WATCHDOG=1").collect()
    }

    fn signs_since(&self, from: Instant) -> usize {
        let heard = self.0.lock().unwrap();
        heard.iter().filter(|(at, text)| *at >= from && text == "WATCHDOG=1").count()
    }

    #[track_caller]
    fn comes(&self, run: &Running, word: &str) {
        let has_come = comes_true(PATIENCE, || self.all().iter().any(|text| text.starts_with(word)));
        assert!(has_come, "no {word}: {:?}; log: {}", self.words(), run.log.text());
    }
}

/// The cart's program with a service manager that listens.
fn managed(cart: &Cart) -> (Command, Heard) {
    let path = cart.at("notify");
    let heard = Heard::listen(UnixDatagram::bind(&path).unwrap());
    let mut command = cart.command();
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
    (command, heard)
}

#[test]
fn a_run_says_that_it_is_ready_what_it_does_and_that_it_ends() {
    let cart = Cart::alone(PROGRAM);
    let (command, heard) = managed(&cart);
    let mut run = Running::start(command);
    heard.comes(&run, "READY=1");
    heard.comes(&run, "STATUS=self-test");
    heard.comes(&run, "STATUS=assist");
    heard.comes(&run, "WATCHDOG=1");
    run.send(Signal::HUP);
    heard.comes(&run, "RELOADING=1\nMONOTONIC_USEC=");
    let is_ready = || heard.all().iter().filter(|text| *text == "READY=1").count() == 2;
    assert!(comes_true(PATIENCE, is_ready), "{:?}", heard.words());
    // One that is refused is over, too.
    cart.put_text("name = \"test\"\n[camera\n");
    run.send(Signal::HUP);
    let is_ready = || heard.all().iter().filter(|text| *text == "READY=1").count() == 3;
    assert!(comes_true(PATIENCE, is_ready), "{:?}", heard.words());
    run.assert_ends_well();
    heard.comes(&run, "STOPPING=1");
    let words = heard.words();
    assert!(words.iter().all(|text| !text.is_empty() && !text.contains("STATUS=\n")), "{words:?}");
    assert_eq!(words.iter().filter(|text| text.starts_with("RELOADING=1")).count(), 2, "{words:?}");
}

#[test]
fn a_display_that_stands_still_gives_no_sign_of_life_and_nothing_else_stops_it() {
    let cart = Cart::alone(PROGRAM);
    let (command, heard) = managed(&cart);
    let mut run = Running::start(command);
    run.assisted();
    heard.comes(&run, "WATCHDOG=1");
    let stop = |name: &str| match Stopped::thread(run.id(), name) {
        Ok(stopped) => Some(stopped),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            eprintln!("a thread is not stopped: tracing is not permitted here");
            None
        }
        Err(error) => panic!("{name}: {error}; log: {}", run.log.text()),
    };
    // The thread that supervises has the program's name.
    for name in ["inference", "state file", "log", "capture", "polyp-edge"] {
        let Some(stopped) = stop(name) else { return };
        let from = Instant::now();
        thread::sleep(2 * WATCHDOG);
        let (signs, noise) = (heard.signs_since(from), run.noise.of_program(from, Instant::now()));
        assert!(signs >= 4 || noise > WATCHDOG / 2, "{name}: {signs} signs of life; log: {}", run.log.text());
        drop(stopped);
    }
    let Some(stopped) = stop("display") else { return };
    // What was under way when it was stopped.
    thread::sleep(WATCHDOG / 2);
    let from = Instant::now();
    thread::sleep(3 * WATCHDOG);
    assert_eq!(heard.signs_since(from), 0, "{:?}", heard.all());
    let told = run
        .log
        .wait_after(0, PATIENCE, |line| line.contains("the thread that shows pictures does not go on"));
    assert!(told.is_some(), "{}", run.log.text());
    drop(stopped);
    let from = Instant::now();
    assert!(comes_true(PATIENCE, || heard.signs_since(from) >= 3), "it is alive again: {}", run.log.text());
    run.assert_ends_well();
}

/// A manager whose socket is not there, or that asks for nothing, costs nothing.
#[test]
fn a_manager_that_is_not_there_is_told_of_once() {
    let cart = Cart::shared(PROGRAM);
    let mut command = cart.command();
    command.env("NOTIFY_SOCKET", cart.at("nobody")).env("WATCHDOG_USEC", "1000000");
    let mut run = Running::start(command);
    run.assisted();
    let told = run.log.count(|line| line.contains("the service manager is told nothing"));
    assert_eq!(told, 1, "{}", run.log.text());
    run.assert_ends_well();
}
