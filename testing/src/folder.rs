//! What lies in a folder.

use std::path::{Path, PathBuf};

/// Lists what the program wrote into a folder.
pub const RECORD: &str = ".polyp-edge-output.jsonl";

/// All files under a folder, by relative path, sorted; without the records of what was written there.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.file_name().unwrap() == RECORD => {}
                false => found.push(path.strip_prefix(folder).unwrap().to_owned()),
            }
        }
    }
    found.sort();
    found
}
