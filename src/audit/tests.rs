use std::fs;

use super::check::{Found, check};
use super::trail::Trail;
use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn event(number: u64) -> Entry {
    Entry::now(Event::InstallRefused { path: format!("bundle-{number}"), why: "a test".into() })
}

fn written(lines: u64) -> tempfile::TempDir {
    let folder = folder();
    (1..=lines).for_each(|number| append(folder.path(), &event(number)).unwrap());
    folder
}

fn found(folder: &Path) -> Found {
    check(folder, |_| Ok(())).unwrap()
}

#[track_caller]
fn breaks(folder: &Path, part: &str) {
    let found = found(folder);
    assert!(found.broken.iter().any(|what| what.contains(part)), "{part}: {found:?}");
}

fn edit(folder: &Path, edit: impl FnOnce(&mut Vec<String>)) {
    let path = folder.join("audit.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    edit(&mut lines);
    fs::write(path, lines.join("\n") + "\n").unwrap();
}

#[test]
fn what_was_written_is_whole() {
    let folder = written(20);
    let mut paths = Vec::new();
    let found = check(folder.path(), |line| {
        paths.push(line["path"].as_str().unwrap().to_owned());
        assert_eq!((&line["event"], &line["schema"]), (&"install-refused".into(), &1.into()));
        Ok(())
    });
    assert_eq!(found.unwrap(), Found { lines: 20, first: Some(1), last: Some(20), broken: Vec::new() });
    assert_eq!(paths.last().map(String::as_str), Some("bundle-20"));
}

#[test]
fn every_change_cut_and_addition_shows() {
    let of_one = |change: &dyn Fn(&mut Vec<String>), part| {
        let folder = written(5);
        edit(folder.path(), change);
        breaks(folder.path(), part);
        // It shows for ever, also once more was written.
        append(folder.path(), &event(6)).unwrap();
        assert!(!found(folder.path()).broken.is_empty());
    };
    for line in 0..4 {
        let change = |lines: &mut Vec<String>| lines[line] = lines[line].replace("a test", "A test");
        of_one(&change, "the line before it is not the one");
    }
    of_one(
        &|lines| lines[4] = lines[4].replace("a test", "A test"),
        "line 5, the last, is not as it was written",
    );
    of_one(&|lines| drop(lines.remove(2)), "lines are missing or were added");
    of_one(&|lines| lines.insert(2, lines[2].clone()), "lines are missing or were added");
    of_one(&|lines| lines.swap(1, 2), "lines are missing or were added");
    of_one(&|lines| lines[3] = "{}".into(), "it is no line of an audit trail");
    let folder = written(5);
    edit(folder.path(), |lines| lines.truncate(3));
    breaks(folder.path(), "line 5 was written: the end was cut off");
    let folder = written(5);
    fs::remove_file(folder.path().join("audit.head")).unwrap();
    breaks(folder.path(), "audit.head, is missing");
}

/// A loss of power leaves a part of a line: it is removed, the next line says so, and the chain is whole.
#[test]
fn a_line_that_was_left_unfinished_is_removed_and_told_of() {
    let folder = written(3);
    let path = folder.path().join("audit.jsonl");
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend(b"{\"schema\":1,\"numb");
    fs::write(&path, bytes).unwrap();
    breaks(folder.path(), "the line is cut");
    append(folder.path(), &event(4)).unwrap();
    let mut unfinished = Vec::new();
    let found = check(folder.path(), |line| {
        unfinished.push(line["unfinished_bytes"].as_u64().unwrap_or(0));
        Ok(())
    });
    assert_eq!(found.unwrap(), Found { lines: 4, first: Some(1), last: Some(4), broken: Vec::new() });
    assert_eq!(unfinished, [0, 0, 0, 17]);
}

#[test]
fn the_files_are_bounded_and_the_chain_goes_on_from_one_to_the_next() {
    let folder = folder();
    let trail = Trail::with_largest(folder.path(), 4096);
    for number in 1..=400 {
        trail.append(&event(number), "a boot").unwrap();
    }
    let sizes: Vec<u64> = trail.files().filter_map(|path| Some(path.metadata().ok()?.len())).collect();
    assert!(sizes.len() == 8 && sizes.iter().all(|&size| size <= 4096), "{sizes:?}");
    let found = found(folder.path());
    assert_eq!((found.last, found.broken.len()), (Some(400), 0), "{found:?}");
    assert!(found.first > Some(200), "{found:?}");
    // A file taken from the middle shows.
    fs::remove_file(folder.path().join("audit.4.jsonl")).unwrap();
    breaks(folder.path(), "lines are missing or were added");
}

#[test]
fn many_who_write_at_once_make_one_chain() {
    let folder = folder();
    let path = folder.path().to_owned();
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || (0..25).for_each(|number| append(&path, &event(number)).unwrap()))
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert_eq!(found(&path), Found { lines: 100, first: Some(1), last: Some(100), broken: Vec::new() });
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_with_its_name() {
    let folder = folder();
    fs::write(folder.path().join("file"), "").unwrap();
    let error = append(&folder.path().join("file/audit"), &event(1)).unwrap_err();
    assert!(error.to_string().contains("file/audit"), "{error:#}");
    let error = check(&folder.path().join("nothing"), |_| Ok(())).unwrap_err();
    assert!(error.to_string().contains("there is no audit trail"), "{error:#}");
}
