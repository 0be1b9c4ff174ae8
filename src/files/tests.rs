use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::fault::{Exit, exit_of};
use crate::files::output::RECORD;

const NAMES: &[&str] = &["*.png", "report.txt"];

fn claim(folder: &Path, inputs: &[Input<'_>], force: bool) -> Result<OutputFolder> {
    OutputFolder::claim(&Claim { folder, names: NAMES, what: "test", inputs, force })
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_write_that_fails_half_way_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.txt");
    write_whole(&path, |file| Ok(file.write_all(b"first")?)).unwrap();
    let error = write_whole(&path, |file| {
        file.write_all(b"sec")?;
        anyhow::bail!("the disc is full")
    });
    let error = error.unwrap_err();
    assert_eq!(exit_of(&error), Exit::Io);
    assert!(error.to_string().contains("report.txt") && error.to_string().contains("the disc is full"));
    assert_eq!(std::fs::read(&path).unwrap(), b"first");
    assert_eq!(names(folder.path()), ["report.txt"]);
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn single_files_replace_links_and_sweep_their_folder() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("original"), "original").unwrap();
    std::os::unix::fs::symlink("original", at.join("link")).unwrap();
    std::fs::write(at.join(".polyp-edge-writing-1-1"), "half").unwrap();
    write_readable(&at.join("link"), |file| Ok(file.write_all(b"new")?)).unwrap();
    assert_eq!(names(at), ["link", "original"]);
    assert_eq!(std::fs::read(at.join("original")).unwrap(), b"original");
    assert_eq!(std::fs::read(at.join("link")).unwrap(), b"new");
    // Of a thread's own umask there is no such thing: what this process has is what the file has.
    let umask = std::fs::read_to_string("/proc/self/status").unwrap();
    let umask = umask.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap();
    let umask = u32::from_str_radix(umask.trim(), 8).unwrap();
    assert_eq!(mode(&at.join("link")), 0o666 & !umask);
    assert_eq!(exit_of(&write_whole(Path::new("/"), |_| Ok(())).unwrap_err()), Exit::Io);
    assert_eq!(exit_of(&write_whole(&at.join("original/below"), |_| Ok(())).unwrap_err()), Exit::Io);
}

#[test]
fn a_temporary_file_that_is_being_written_is_not_swept() {
    let folder = tempfile::tempdir().unwrap();
    let opened = Arc::new(open_folder(folder.path()).unwrap());
    let mode = Mode::RUSR | Mode::WUSR;
    let mut temporary = Temporary::create(&opened, mode).unwrap();
    temporary::sweep(&opened);
    assert_eq!(names(folder.path()).len(), 1);
    temporary.rename_to("a".as_ref(), Replace::No).unwrap();
    drop(temporary);
    let mut second = Temporary::create(&opened, mode).unwrap();
    let error = second.rename_to("a".as_ref(), Replace::No).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    drop(second);
    assert_eq!(names(folder.path()), ["a"]);
}

#[test]
fn a_run_may_rewrite_its_own_file_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("out");
    let output = claim(&at, &[], false).unwrap();
    output.write_bytes("report.txt", b"first").unwrap();
    output.write_bytes("report.txt", b"second").unwrap();
    assert_eq!(std::fs::read(at.join("report.txt")).unwrap(), b"second");
    // Somebody puts a file there while the run goes on.
    std::fs::write(at.join("x.png"), "mine").unwrap();
    let error = output.write_bytes("x.png", b"new").unwrap_err();
    assert_eq!(exit_of(&error), Exit::Usage);
    std::fs::write(at.join("report.txt"), "edited").unwrap();
    assert_eq!(exit_of(&output.write_bytes("report.txt", b"third").unwrap_err()), Exit::Usage);
    assert_eq!(std::fs::read(at.join("report.txt")).unwrap(), b"edited");
    for name in ["other.txt", RECORD, "../x.png", "a/x.png", "", ".."] {
        assert_eq!(exit_of(&output.write_bytes(name, b"").unwrap_err()), Exit::Io, "{name}");
    }
    assert_eq!(names(&at), [RECORD, "report.txt", "x.png"]);
    assert_eq!(names(folder.path()), ["out"]);
}

#[test]
fn a_claim_is_told_by_its_folder_and_shared_by_its_clones() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("out");
    let output = claim(&at, &[], false).unwrap();
    assert!(output.is_at(&folder.path().join("out/../out/.")));
    assert!(!output.is_at(folder.path()));
    assert_eq!(exit_of(&claim(&at, &[], true).unwrap_err()), Exit::Usage);
    let clone = output.clone();
    let writer = std::thread::spawn(move || clone.write_bytes("a.png", b"a"));
    writer.join().unwrap().unwrap();
    drop(output);
    claim(&at, &[], false).unwrap();
    assert_eq!(names(&at), [RECORD], "the first run's picture is gone");
}

#[test]
fn several_claims_are_taken_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    claim(&first, &[], false).unwrap().write_bytes("a.png", b"a").unwrap();
    std::fs::create_dir(&second).unwrap();
    std::fs::write(second.join("b.png"), "mine").unwrap();
    let third = folder.path().join("third");
    let claims = [&third, &first, &second].map(|folder| Claim {
        folder,
        names: NAMES,
        what: "test",
        inputs: &[],
        force: false,
    });
    let error = OutputFolder::claim_all(&claims).err().unwrap();
    assert!(error.to_string().contains("second/b.png"), "{error}");
    assert!(first.join("a.png").exists() && !third.exists());
}

#[test]
fn a_torn_record_and_foreign_ones_are_read_as_far_as_they_go() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    claim(at, &[], false).unwrap().write_bytes("a.png", b"a").unwrap();
    let record = std::fs::read(at.join(RECORD)).unwrap();
    // A line that a killed run did not finish.
    std::fs::write(at.join(RECORD), [&record[..], b"{\"name\":\"b.p"].concat()).unwrap();
    std::fs::write(at.join("b.png"), "mine").unwrap();
    let error = claim(at, &[], false).unwrap_err().to_string();
    assert!(error.contains("b.png"), "{error}");
    std::fs::remove_file(at.join("b.png")).unwrap();
    for foreign in [
        &b"{}\n"[..],
        b"\n",
        b"\xFF\n",
        b"{\"schema\":2,\"program\":\"polyp-edge\",\"version\":\"9\",\"what\":\"x\"}\n",
    ] {
        std::fs::write(at.join(RECORD), [foreign, &record[..]].concat()).unwrap();
        let error = claim(at, &[], false).unwrap_err().to_string();
        assert!(error.contains("a.png"), "{error}");
    }
}

#[test]
fn a_source_is_a_file_a_folder_or_nothing_on_a_disk() {
    let of = |source: &str| match Input::of_source(source.as_ref()) {
        Some(Input::File(path)) => format!("file {}", path.display()),
        Some(Input::Folder(path)) => format!("folder {}", path.display()),
        Some(Input::Tree(path)) => format!("tree {}", path.display()),
        None => "none".into(),
    };
    for (source, expected) in [
        ("-", "file /proc/self/fd/0"),
        ("synthetic", "none"),
        ("synthetic:seed=3", "none"),
        ("v4l2:/dev/video0", "none"),
        ("synthetics", "file synthetics"),
        ("./synthetic", "file ./synthetic"),
        ("/", "folder /"),
    ] {
        assert_eq!(of(source), expected);
    }
}

#[test]
fn only_files_of_this_programs_own_are_replaced_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("run");
    let path = at.join("curve.csv");
    let write = |text: &str, force| write_own(&path, force, |file| Ok(file.write_all(text.as_bytes())?));
    for text in ["1", "22", "333"] {
        check_own(&path, false).unwrap();
        write(text, false).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
    assert_eq!((mode(&at), mode(&path)), (0o700, 0o600));
    assert_eq!(names(&at), [RECORD, "curve.csv"]);
    // Changed by somebody else: it is theirs until --force says otherwise.
    std::fs::write(&path, "theirs").unwrap();
    for error in [check_own(&path, false).unwrap_err(), write("4", false).unwrap_err()] {
        assert_eq!(exit_of(&error), Exit::Usage);
        assert!(error.to_string().contains("curve.csv") && error.to_string().contains("--force"), "{error}");
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "theirs");
    write("5", true).unwrap();
    write("6", false).unwrap();
    std::fs::write(&path, "restored from a copy").unwrap();
    adopt(&at).unwrap();
    write("6", false).unwrap();
    // A write that fails keeps what was there.
    assert_eq!(exit_of(&write_own(&path, false, |_| anyhow::bail!("full")).unwrap_err()), Exit::Io);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "6");
    assert_eq!(names(&at), [RECORD, "curve.csv"]);
    // A record of somebody else's is no record.
    std::fs::write(at.join(RECORD), "notes\n").unwrap();
    assert_eq!(exit_of(&write("7", false).unwrap_err()), Exit::Usage);
    write("7", true).unwrap();
    write("8", false).unwrap();
    let null = write_own(Path::new("/dev/null"), false, |_| Ok(())).unwrap_err();
    assert!(matches!(exit_of(&null), Exit::Usage | Exit::Io), "{null}");
}

#[test]
fn many_writers_share_one_record() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            scope.spawn(move || {
                for round in 0..20 {
                    let path = at.join(format!("{writer}.txt"));
                    write_own(&path, false, |file| Ok(write!(file, "{round}")?)).unwrap();
                }
            });
        }
    });
    assert_eq!(names(at).len(), 9);
}
