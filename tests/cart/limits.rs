//! Limits of the system: full disks, file sizes, descriptors, memory.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use testing::cart::Cart;
use testing::cart::running::{PATIENCE, Running};
use testing::cart::system::may_mount;

use crate::PROGRAM;

/// The exit codes that the program documents.
const DOCUMENTED: [i32; 8] = [0, 1, 2, 65, 69, 74, 76, 78];

/// Ended by itself with a documented code, not by a signal or a panic; a code other than 0 with one line that says why.
/// Gives the code.
#[track_caller]
fn assert_ended_properly(run: &mut Running, what: &str) -> i32 {
    let ended =
        run.wait(PATIENCE).unwrap_or_else(|| panic!("{what}: it does not end; log: {}", run.log.text()));
    run.log.wait_for_end(PATIENCE);
    let log = run.log.text();
    assert_eq!(ended.status.signal(), None, "{what}: {}; log: {log}", ended.status);
    let code = ended.status.code().unwrap();
    assert!(DOCUMENTED.contains(&code), "{what}: exit code {code}; log: {log}");
    assert!(!log.contains("panicked"), "{what}: {log}");
    let errors = run.log.lines().into_iter().filter(|line| line.starts_with("polyp-edge: ")).count();
    assert_eq!(errors, usize::from(code != 0), "{what}: exit code {code}; log: {log}");
    code
}

fn start(mut command: std::process::Command, arguments: &[&str]) -> Running {
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    Running::spawn(command)
}

/// That a folder holds whole pictures and nothing else but reports.
#[track_caller]
fn assert_whole_pictures(folder: &Path) -> usize {
    let names = testing::folder::files(folder);
    for name in &names {
        let path = folder.join(name);
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("png") => {
                drop(image::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
            }
            Some("json") => drop(testing::cart::state_in(&path).unwrap()),
            _ => assert!(name.to_str().is_some_and(|name| !name.contains(".writing-")), "{name:?}"),
        }
    }
    names.iter().filter(|name| name.extension().is_some_and(|extension| extension == "png")).count()
}

#[test]
fn a_limit_on_file_sizes_is_an_error_and_no_death() {
    let cart = Cart::shared(PROGRAM);
    let images = cart.profile().with("display.kind", "\"images\"");
    cart.put(&images);
    // Blocks of 512 bytes: less than a picture has.
    let mut run = start(cart.command_after("ulimit -f 4"), &["--frames", "20"]);
    assert_eq!(assert_ended_properly(&mut run, "pictures over the limit"), 74);
    assert!(run.log.text().contains("frame-000000.png"), "{}", run.log.text());
    assert_eq!(assert_whole_pictures(&cart.at("out")), 0);
}

#[test]
fn a_limit_of_no_bytes_at_all_leaves_the_picture() {
    let cart = Cart::alone(PROGRAM);
    let mut run = Running::start(cart.command_after("ulimit -f 0"));
    run.first_picture();
    run.assisted();
    run.assert_unbroken_for(Duration::from_secs(1));
    run.send(rustix::process::Signal::TERM);
    // The reports are lost, and that is an error.
    assert_eq!(assert_ended_properly(&mut run, "reports over the limit"), 74);
    assert_eq!(testing::folder::files(&cart.at("state")).len(), 0);
}

#[test]
fn a_full_disk_is_an_error_and_leaves_no_half_of_a_picture() {
    if !may_mount("a_full_disk_is_an_error_and_leaves_no_half_of_a_picture") {
        return;
    }
    let cart = Cart::shared(PROGRAM);
    cart.put(&cart.profile().with("display.kind", "\"images\""));
    fs::create_dir(cart.at("out")).unwrap();
    fs::create_dir(cart.at("kept")).unwrap();
    // What is in the small disk when the program has ended is kept by the shell that waits for it.
    let mut command = std::process::Command::new("unshare");
    let script = "mount -t tmpfs -o size=200k small out && { \"$0\" run --board boards/test.toml --frames 100; code=$?; \
                  cp -a out/. kept; exit $code; }";
    command.args(["--mount", "sh", "-c", script, PROGRAM.0]).current_dir(cart.at(""));
    let mut run = start(command, &[]);
    assert_eq!(assert_ended_properly(&mut run, "a full disk"), 74);
    assert!(run.log.text().contains(".png"), "{}", run.log.text());
    assert!(assert_whole_pictures(&cart.at("kept")) > 0);
}

#[test]
fn with_few_descriptors_it_works_or_says_why_not() {
    let cart = Cart::shared(PROGRAM);
    cart.put(&cart.profile().with("display.kind", "\"images\""));
    let mut codes = Vec::new();
    // With fewer the loader of programs cannot open the C library.
    for most in 4..=24 {
        let mut run = start(cart.command_after(&format!("ulimit -n {most}")), &["--frames", "3"]);
        codes.push(assert_ended_properly(&mut run, &format!("{most} descriptors")));
    }
    assert_eq!(codes.last(), Some(&0), "{codes:?}");
}

#[test]
fn with_little_memory_it_works_or_says_why_not() {
    let cart = Cart::shared(PROGRAM);
    let large = format!("{:?}", testing::root().join("models/first-light"));
    for bundle in ["\"../model\"", &large] {
        let profile = cart.profile().with("display.kind", "\"images\"").with("model.bundle", bundle);
        // The shipped ones are signed with it.
        cart.put(&profile.with("trust.development_key", true));
        for most_mb in [640, 800] {
            let command = cart.command_after(&format!("ulimit -v {}", most_mb * 1024));
            let mut run = start(command, &["--frames", "3"]);
            assert_ended_properly(&mut run, &format!("{bundle} in {most_mb} MB"));
        }
        // With less, not even a list of a few bytes may find room, which ends any program on the spot. What it has
        // written until then is whole.
        for most_mb in [80, 160, 240, 320, 480] {
            let command = cart.command_after(&format!("ulimit -v {}", most_mb * 1024));
            let mut run = start(command, &["--frames", "3"]);
            let ended = run.wait(PATIENCE).unwrap_or_else(|| panic!("{most_mb} MB: {}", run.log.text()));
            run.log.wait_for_end(PATIENCE);
            match ended.status.code() {
                Some(code) => assert!(DOCUMENTED.contains(&code), "{most_mb} MB: {code}: {}", run.log.text()),
                None => {
                    let says = run.log.count(|line| line.contains("memory allocation of"));
                    assert!(says > 0, "{most_mb} MB: {}: {}", ended.status, run.log.text());
                }
            }
            assert_whole_pictures(&cart.at("out"));
        }
    }
}
