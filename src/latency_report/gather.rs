//! Logs → runs of carts, with what is missing in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::fault::{Fault, one_line};
use crate::latency::interval::Interval;
use crate::latency::log::{self, Entry, Setup};

/// What one argument says of one cart: a folder may hold many carts' logs.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// What it is called: the machine's name, and where it was found if that is not enough.
    pub name: String,
    /// Everything that ran, each once, in order.
    pub setups: Vec<Setup>,
    /// In their order.
    pub minutes: Vec<Minute>,
    /// What is missing or damaged, in words.
    pub notes: Vec<String>,
}

/// A minute, and what ran in it.
#[derive(Clone, Debug)]
pub struct Minute {
    /// Its place in [`Run::setups`].
    pub setup: usize,
    /// What happened in it.
    pub interval: Interval,
    /// The program was started anew, or minutes are missing before it.
    pub is_first: bool,
}

impl Run {
    /// All minutes together.
    pub fn total(&self) -> Interval {
        let mut total = Interval::default();
        self.minutes.iter().for_each(|minute| total.merge(&minute.interval));
        total
    }
}

/// Reads logs and folders of logs: for each argument, a run for each machine that wrote them.
///
/// # Errors
/// 74 if one cannot be read, 65 if one is no log, or if there is no minute in an argument.
pub fn gather(arguments: &[PathBuf]) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    for argument in arguments {
        let of_argument = of(argument)?;
        for (host, mut run) in of_argument {
            let place = argument
                .file_name()
                .map_or_else(|| argument.to_string_lossy(), |name| name.to_string_lossy());
            run.name = if host.is_empty() { place.into_owned() } else { host };
            runs.push((argument, run));
        }
    }
    // Two of the same name are told apart by where they lie.
    let names: Vec<String> = runs.iter().map(|(_, run)| run.name.clone()).collect();
    for (argument, run) in &mut runs {
        if names.iter().filter(|&name| *name == run.name).count() > 1 {
            run.name = format!("{} ({})", run.name, argument.display());
        }
    }
    Ok(runs.into_iter().map(|(_, run)| run).collect())
}

/// By the machine's name.
fn of(argument: &Path) -> Result<BTreeMap<String, Run>> {
    let mut runs = BTreeMap::<String, Run>::new();
    let files = files_beneath(argument)?;
    let mut unreadable = Vec::new();
    for path in &files {
        match log::read(path) {
            Ok(reading) => take_in(&mut runs, path, reading),
            // One damaged file of many hides nothing of the others.
            Err(error) if files.len() > 1 => unreadable.push(one_line(&error)),
            Err(error) => return Err(error),
        }
    }
    runs.retain(|_, run| !run.minutes.is_empty());
    match runs.values_mut().next() {
        Some(first) => first.notes.extend(unreadable),
        None => {
            return Err(Fault::data(format!("{}: there is no minute of any run in it", argument.display())));
        }
    }
    Ok(runs)
}

/// The logs in a folder and in the folders in it: a folder for each cart.
fn files_beneath(argument: &Path) -> Result<Vec<PathBuf>> {
    let mut files = log::files(argument)?;
    if argument.is_dir() {
        let failed =
            |error: std::io::Error| Fault::io(format!("cannot read {}: {error}", argument.display()));
        let mut folders = Vec::new();
        for entry in std::fs::read_dir(argument).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                folders.push(path);
            }
        }
        folders.sort();
        for folder in folders {
            files.extend(log::files(&folder)?);
        }
    }
    Ok(files)
}

fn take_in(runs: &mut BTreeMap<String, Run>, path: &Path, reading: log::Reading) {
    let has_ended = reading.has_ended();
    let (mut host, mut setup, mut is_first) = (String::new(), None, true);
    let mut last_unix_s = None;
    for entry in reading.entries {
        match entry {
            Entry::Setup(told) => {
                host.clone_from(&told.host);
                let run = runs.entry(host.clone()).or_default();
                let place = run.setups.iter().position(|known| is_alike(known, &told));
                setup = Some(place.unwrap_or_else(|| {
                    run.setups.push(told);
                    run.setups.len() - 1
                }));
            }
            Entry::Minute(interval) => {
                let run = runs.entry(host.clone()).or_default();
                let setup = *setup.get_or_insert_with(|| {
                    run.setups.push(Setup::default());
                    run.setups.len() - 1
                });
                last_unix_s = Some(interval.unix_s);
                run.minutes.push(Minute { setup, interval, is_first });
                is_first = false;
            }
            Entry::End { .. } => {}
        }
    }
    let Some(run) = runs.get_mut(&host) else { return };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    for (at, length) in &reading.damaged {
        run.notes.push(format!("{name}: {length} bytes from byte {at} on are damaged and left out"));
    }
    if let (false, Some(unix_s)) = (has_ended, last_unix_s) {
        run.notes.push(format!(
            "{name}: no end after the minute that ended at {}: the run was killed or lost its power, goes on, or went on in another file",
            time(unix_s)
        ));
    }
}

/// The same but for what differs at each start.
fn is_alike(one: &Setup, other: &Setup) -> bool {
    let plain = |setup: &Setup| Setup { boot_id: String::new(), pid: 0, ..setup.clone() };
    plain(one) == plain(other)
}

/// A time for people.
pub fn time(unix_s: f64) -> String {
    let at = jiff::Timestamp::from_second(unix_s as i64).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Exit, exit_of};
    use crate::latency::log::{Bounds, Minutes, Writer};

    const BOUNDS: Bounds = Bounds { bytes: 1 << 20, days: 30.0 };

    fn write(folder: &Path, host: &str, minutes: u64, ends: bool) {
        let setup = Setup { host: host.into(), ..Setup::default() };
        let mut writer = Writer::begin(folder, BOUNDS, setup, 1e9).unwrap();
        for number in 0..minutes {
            let unix_s = 1e9 + 60.0 * number as f64;
            writer.minute(&Interval { unix_s, seconds: 60.0, ..Interval::default() }).unwrap();
        }
        if ends {
            writer.end(1e9, 0).unwrap();
        }
    }

    #[test]
    fn many_carts_in_one_folder_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        write(folder.path(), "one", 3, true);
        write(folder.path(), "two", 2, true);
        write(folder.path(), "one", 4, false);
        write(&at("of-three"), "three", 1, true);
        std::fs::write(at("000009-junk.latency"), "junk").unwrap();
        let runs = gather(&[folder.path().to_owned()]).unwrap();
        let found: Vec<_> =
            runs.iter().map(|run| (run.name.as_str(), run.minutes.len(), run.setups.len())).collect();
        assert_eq!(found, [("one", 7, 1), ("three", 1, 1), ("two", 2, 1)]);
        let firsts: Vec<_> = runs[0].minutes.iter().map(|minute| minute.is_first).collect();
        assert_eq!(firsts, [true, false, false, true, false, false, false]);
        assert!(
            runs[0]
                .notes
                .iter()
                .any(|note| note.contains("no end after the minute that ended at 2001-09-09 01:49:40 UTC"))
        );
        assert!(runs[0].notes.iter().any(|note| note.contains("000009-junk.latency")), "{:?}", runs[0].notes);
        // The same machine twice: told apart by the place.
        let twice = gather(&[at("of-three"), folder.path().to_owned()]).unwrap();
        assert_eq!(twice.len(), 4);
        assert!(
            twice[0].name.starts_with("three (") && twice[2].name.starts_with("three ("),
            "{}",
            twice[0].name
        );
    }

    #[test]
    fn what_is_no_log_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let exit = |path: PathBuf| exit_of(&gather(&[path]).unwrap_err());
        assert_eq!(exit(at("nothing")), Exit::Io);
        assert_eq!(exit(folder.path().to_owned()), Exit::Data);
        std::fs::write(at("junk"), "junk").unwrap();
        assert_eq!(exit(at("junk")), Exit::Data);
        write(&at("empty"), "one", 0, true);
        assert_eq!(exit(at("empty")), Exit::Data);
    }
}
