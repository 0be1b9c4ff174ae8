//! A service's unit as systemd reads it: the file, and what drop-ins change of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where units lie, the most important first.
const FOLDERS: [&str; 5] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

/// The settings of a unit's `[Service]`.
#[derive(Debug, Default)]
pub(super) struct Unit {
    settings: BTreeMap<String, Vec<String>>,
}

impl Unit {
    /// The unit of this name beneath a root; `None` if there is none.
    pub(super) fn find(root: &Path, name: &str) -> Option<(PathBuf, Unit)> {
        let folders = FOLDERS.map(|folder| root.join(folder));
        let path = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file())?;
        let mut unit = Unit::default();
        unit.read(&fs::read_to_string(&path).ok()?);
        // By name, and of the same name the most important.
        let mut drop_ins = BTreeMap::new();
        for folder in folders.iter().rev() {
            for entry in fs::read_dir(folder.join(format!("{name}.d"))).into_iter().flatten().flatten() {
                if entry.path().extension().is_some_and(|ending| ending == "conf") {
                    drop_ins.insert(entry.file_name(), entry.path());
                }
            }
        }
        for path in drop_ins.values() {
            unit.read(&fs::read_to_string(path).unwrap_or_default());
        }
        Some((path, unit))
    }

    fn read(&mut self, text: &str) {
        let mut is_service = false;
        let text = text.replace("\\\n", " ");
        for line in text.lines().map(str::trim) {
            if line.starts_with('[') {
                is_service = line == "[Service]";
            } else if is_service
                && !line.starts_with(['#', ';'])
                && let Some((key, value)) = line.split_once('=')
            {
                let values = self.settings.entry(key.trim().to_owned()).or_default();
                match value.trim() {
                    // Nothing takes back what was said before.
                    "" => values.clear(),
                    value => values.push(value.to_owned()),
                }
            }
        }
    }

    /// What was said last; empty if nothing was.
    pub(super) fn last(&self, key: &str) -> &str {
        self.settings.get(key).and_then(|values| values.last()).map_or("", String::as_str)
    }

    /// All words that were said.
    pub(super) fn words(&self, key: &str) -> impl Iterator<Item = &str> {
        self.settings.get(key).into_iter().flatten().flat_map(|value| value.split_whitespace())
    }

    /// A span of time or a number that is there and not nothing.
    pub(super) fn is_set(&self, key: &str) -> bool {
        let value = self.last(key);
        !value.is_empty()
            && value != "infinity"
            && value.trim_start_matches('0').starts_with(|letter: char| letter.is_ascii_digit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_ins_change_what_the_unit_says() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert!(Unit::find(root.path(), "a.service").is_none());
        write(
            "usr/lib/systemd/system/a.service",
            "[Unit]\nUser=nobody\n[Service]\n# User=nobody\nUser=a\nDeviceAllow=one \\\n  rw\nDeviceAllow=two\nWatchdogSec=4s\n\
             [Install]\nUser=nobody\n",
        );
        write(
            "etc/systemd/system/a.service.d/10.conf",
            "[Service]\nWatchdogSec=0\nDeviceAllow=\nDeviceAllow=three r\n",
        );
        write("run/systemd/system/a.service.d/10.conf", "[Service]\nUser=wrong\n");
        let (path, unit) = Unit::find(root.path(), "a.service").unwrap();
        assert!(path.ends_with("usr/lib/systemd/system/a.service"));
        assert_eq!((unit.last("User"), unit.last("Group")), ("a", ""));
        assert_eq!(unit.words("DeviceAllow").collect::<Vec<_>>(), ["three", "r"]);
        assert!(!unit.is_set("WatchdogSec") && !unit.is_set("User"));
    }
}
