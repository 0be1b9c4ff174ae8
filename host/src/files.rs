//! Reading and writing with errors that name the file, and nothing half-written under a final name.

use std::io::Write;
use std::path::Path;

use polyp_edge::fault::Fault;

/// The file's bytes; one line with exit code 74 if it cannot be read.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Fault::io(format!("cannot read {}: {error}", path.display())))
}

/// As [`read`], as text; bytes that are not UTF-8 are exit code 65.
pub fn read_text(path: &Path) -> anyhow::Result<String> {
    String::from_utf8(read(path)?).map_err(|_| Fault::data(format!("{} is not UTF-8 text", path.display())))
}

/// Writes beside `path` and renames, so that `path` holds either what it held or all of `bytes`. Makes the folder.
pub fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let complain = |error: std::io::Error| Fault::io(format!("cannot write {}: {error}", path.display()));
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder).map_err(complain)?;
    let mut file = tempfile::Builder::new().prefix(".partial-").tempfile_in(folder).map_err(complain)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(complain)?;
    let plain = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(plain).map_err(complain)?;
    file.persist(path).map_err(|error| complain(error.error))?;
    Ok(())
}
