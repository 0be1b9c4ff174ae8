//! Names of files in an output folder.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::temporary;

/// The name of a file in a folder, and not one of this program's own hidden files.
pub(super) fn is_plain(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    !matches!(bytes, b"" | b"." | b"..")
        && !bytes.contains(&b'/')
        && !bytes.starts_with(temporary::PREFIX.as_bytes())
}

pub(super) fn matches(names: &[impl AsRef<str>], name: &OsStr) -> bool {
    names.iter().any(|wanted| match wanted.as_ref().strip_prefix('*') {
        Some(ending) => name.as_bytes().ends_with(ending.as_bytes()),
        None => name == wanted.as_ref(),
    })
}
