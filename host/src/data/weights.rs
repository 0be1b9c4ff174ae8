//! Where published weights lie.

use std::path::{Path, PathBuf};

/// The folder that `scripts/weights` puts them into: `POLYP_WEIGHTS`, else one in the user's cache.
fn fetched() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("POLYP_WEIGHTS").or_else(|| {
        let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
        Some(cache.join("polyp-edge/weights"))
    })
}

/// A file as a configuration names it: in the data folder, else among those that were fetched. Where there is none, the
/// path in the data folder.
pub fn find(name: &Path, data: &Path) -> PathBuf {
    let in_data = data.join(name);
    let file = name.file_name().and_then(|file| Some(fetched()?.join(file)));
    match file {
        Some(file) if !in_data.is_file() && file.is_file() => file,
        _ => in_data,
    }
}
