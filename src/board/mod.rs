//! Board profiles: what differs from cart to cart. Strict TOML; a profile inherits from a sibling and says only what
//! differs.

mod profile;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use toml::{Table, Value};

use crate::fault::Fault;

pub use profile::{
    Camera, Display, DisplayKind, FieldOfView, FieldOfViewRule, Gate, ModeWish, Model, Overlay, Pipeline,
    Profile, Road, Stop,
};

/// A profile that was read, resolved and checked.
#[derive(Clone, Debug)]
pub struct Board {
    pub profile: Profile,
    /// The profile's folder: relative paths to bundles start here.
    folder: PathBuf,
}

impl Board {
    /// Reads a profile and those that it inherits from.
    ///
    /// # Errors
    /// Exit 78, with file and key, for anything but a complete profile within its ranges; exit 74 if a file cannot be
    /// read.
    pub fn load(path: &Path) -> Result<Board> {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let mut table = resolve(path, &mut BTreeSet::new())?;
        table.remove("inherits");
        let profile: Profile = table
            .try_into()
            .map_err(|error: toml::de::Error| wrong(path, error.to_string().trim().replace('\n', " ")))?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        if profile.name != stem {
            return Err(wrong(path, format!("name is {:?}, the file is called {stem:?}", profile.name)));
        }
        profile.check().map_err(|what| wrong(path, what))?;
        Ok(Board { profile, folder })
    }

    /// The model bundle's folder.
    pub fn bundle(&self) -> PathBuf {
        self.folder.join(&self.profile.model.bundle)
    }
}

fn wrong(path: &Path, what: impl std::fmt::Display) -> anyhow::Error {
    Fault::configuration(format!("{}: {what}", path.display()))
}

/// A profile's table over that of the profile that it inherits from.
fn resolve(path: &Path, seen: &mut BTreeSet<PathBuf>) -> Result<Table> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Fault::io(format!("cannot read the board profile {}: {error}", path.display())))?;
    let table: Table = toml::from_str(&text).map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or("");
        let line = before.matches('\n').count() + 1;
        Fault::configuration(format!("{}:{line}: {}", path.display(), error.message()))
    })?;
    if !seen.insert(path.to_owned()) {
        return Err(wrong(path, "it inherits from itself"));
    }
    let parent = match table.get("inherits") {
        None => return Ok(table),
        Some(Value::String(parent)) if is_plain(parent) => parent.clone(),
        Some(_) => {
            return Err(wrong(path, "`inherits` must be the name of a profile beside this one, as \"base\""));
        }
    };
    let mut resolved = resolve(&path.with_file_name(format!("{parent}.toml")), seen)?;
    merge(&mut resolved, table);
    Ok(resolved)
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Tables are merged key by key, anything else is replaced.
fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}
