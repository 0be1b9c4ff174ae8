//! Files that are there whole or not at all.

use std::fs::File;
use std::path::Path;

use anyhow::Result;

use crate::fault::Fault;

/// Writes under another name in the same folder, then renames. An error (exit 74) names the file; nothing stays behind.
pub fn write_whole(path: &Path, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> Result<()> {
        let mut file = tempfile::Builder::new().prefix(".writing-").tempfile_in(folder)?;
        write(file.as_file_mut())?;
        make_readable(file.path())?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|error| Fault::io(format!("cannot write {}: {error:#}", path.display())))
}

/// Makes a folder and those above it; an error (exit 74) names it.
pub fn make_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)
        .map_err(|error| Fault::io(format!("cannot make the folder {}: {error}", folder.display())))
}

/// Temporary files are their owner's alone; results are for those who may read the folder.
#[cfg(unix)]
fn make_readable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}
#[cfg(not(unix))]
fn make_readable(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::fault::{Exit, exit_of};

    #[test]
    fn a_write_that_fails_half_way_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.txt");
        write_whole(&path, |file| Ok(file.write_all(b"first")?)).unwrap();
        let error = write_whole(&path, |file| {
            file.write_all(b"sec")?;
            anyhow::bail!("the disc is full")
        });
        let error = error.unwrap_err();
        assert_eq!(exit_of(&error), Exit::Io);
        assert!(error.to_string().contains("report.txt") && error.to_string().contains("the disc is full"));
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
