//! A camera whose first picture comes late.

use std::io::Write;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use testing::cart::running::{PATIENCE, Running};
use testing::cart::{Cart, FRAMES_PER_SECOND};

use crate::PROGRAM;

/// Until then a screen says that there is none. A video's size is that of its first picture, and that must be the
/// camera's: otherwise none of the camera's pictures would be part of it.
#[test]
fn its_pictures_are_shown_whenever_they_come() {
    let cart = Cart::alone(PROGRAM);
    cart.put(&cart.profile().with("camera.source", "\"-\"").with("camera.rate_hz", "25.0"));
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut command = cart.command();
    command.stdin(reader).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut run = Running::spawn(command);
    // Long enough for the screen that says that there are no pictures.
    thread::sleep(Duration::from_secs(2));
    let camera = thread::spawn(move || {
        let frame = [&b"FRAME\n"[..], &[100; 160 * 120 * 3]].concat();
        let header = b"YUV4MPEG2 W160 H120 F25:1 C444\n";
        let mut sent = writer.write_all(header);
        // Until the program has ended.
        while sent.is_ok() {
            thread::sleep(Duration::from_secs_f64(1.0 / FRAMES_PER_SECOND));
            sent = writer.write_all(&frame);
        }
    });
    let from = std::time::Instant::now();
    let shown = run.video.wait_since(from, PATIENCE, |frame| frame.size == (160, 120));
    assert!(shown.is_some(), "no picture of the camera; log: {}", run.log.text());
    run.assert_unbroken_for(Duration::from_secs(1));
    run.assert_ends_well();
    drop(run);
    camera.join().unwrap();
}
