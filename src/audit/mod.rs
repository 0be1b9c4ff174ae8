//! What happened on a cart, for whoever has to answer for it: lines of JSON, each with the digest of the one before, so that a line
//! that was changed or taken out shows.
//!
//! | module | job |
//! |---|---|
//! | [`event`] | what is recorded |
//! | `trail` | the files: appending, rotation, and what an interrupted write has left |
//! | [`mod@check`] | whether the lines are all there and as they were written |
//!
//! # What is guaranteed, and what is not
//! Each line holds the SHA-256 of the line before it, over all files, and a file beside them holds the number and the digest of the last
//! one. So a line that was changed, taken out or put in between is found, and so is a cut at the end. Whoever can write to the folder can
//! write all of it anew: it is a record against accidents and against quiet corrections, not against the machine's owner. The oldest
//! lines are removed once all take 8 MiB.

pub mod check;
pub mod event;
#[cfg(test)]
mod tests;
mod trail;

use std::path::Path;

use anyhow::Result;

use crate::identity::boot_id;
pub use event::{Entry, Event};
use trail::Trail;

/// The files that a trail can have in its folder.
pub fn names() -> impl Iterator<Item = String> {
    trail::names().chain([trail::HEAD.to_owned()])
}

/// Appends to the audit trail in a folder, which is made if need be. On the disk when this returns.
///
/// # Errors
/// 74, with the folder.
pub fn append(folder: &Path, entry: &Entry) -> Result<()> {
    Trail::at(folder).append(entry, &boot_id())
}

/// As [`append`] for a command, whose work is done whether it can be recorded or not: that it cannot is a warning.
pub fn note(folder: Option<&Path>, event: Event) {
    if let Some(folder) = folder
        && let Err(error) = append(folder, &Entry::now(event))
    {
        log::warn!("{}", crate::fault::one_line(&error));
    }
}
