//! Board profiles over the shipped base.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::path::Path;

/// Puts a profile over the shipped base into `boards/test.toml`, with the bundle in `model`.
pub fn put_board(folder: &Path, rest: &str) {
    fs::create_dir_all(folder.join("boards")).unwrap();
    put_base(&folder.join("boards"));
    let text = format!("name = \"test\"\ninherits = \"base\"\n[model]\nbundle = \"../model\"\n{rest}");
    fs::write(folder.join("boards/test.toml"), text).unwrap();
}

/// Puts the shipped base, which other profiles inherit, into a folder, and the key that the tests' bundles are signed with.
pub fn put_base(folder: &Path) {
    crate::bundle::trust(&folder.join("keys"));
    fs::copy(crate::root().join("boards/base.toml"), folder.join("base.toml")).unwrap();
}

/// Lines of a profile, by key: `pipeline.max_age_ms` → `120`.
#[derive(Clone)]
pub struct Profile(pub(super) BTreeMap<String, String>);

impl Profile {
    /// `value` as TOML has it: text with its quotation marks.
    pub fn with(mut self, key: &str, value: impl Display) -> Profile {
        self.0.insert(key.into(), value.to_string());
        self
    }

    /// As [`Profile::with`], for a value that is a path.
    pub fn with_path(self, key: &str, path: &Path) -> Profile {
        self.with(key, format!("{path:?}"))
    }

    /// The profile as a file has it.
    pub fn text(&self) -> String {
        let lines = self.0.iter().map(|(key, value)| format!("{key} = {value}\n"));
        format!("name = \"test\"\ninherits = \"base\"\n{}", lines.collect::<String>())
    }
}
