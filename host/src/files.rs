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
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        polyp_edge::files::make_folder(folder)?;
    }
    polyp_edge::files::write_whole(path, |file| {
        file.write_all(bytes)?;
        Ok(file.sync_all()?)
    })
}

/// Fills a folder beside `path` and renames it. A folder at `path` that holds `mark`, a file that names its kind, or
/// nothing, is replaced; anything else there is left alone, with exit code 2.
pub fn write_folder(
    path: &Path,
    mark: &str,
    fill: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let complain = |error: std::io::Error| Fault::io(format!("cannot write {}: {error}", path.display()));
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let occupied = match std::fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(complain(error)),
    };
    if occupied && !path.join(mark).is_file() {
        return Err(Fault::usage(format!(
            "{} holds something other than what is to be written (no {mark} in it); name another folder",
            path.display()
        )));
    }
    std::fs::create_dir_all(parent).map_err(complain)?;
    let new = tempfile::Builder::new().prefix(".partial-").tempdir_in(parent).map_err(complain)?;
    fill(new.path())?;
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(new.path(), readable).map_err(complain)?;
    let aside = tempfile::Builder::new().prefix(".previous-").tempdir_in(parent).map_err(complain)?;
    if path.is_dir() {
        std::fs::rename(path, aside.path().join("folder")).map_err(complain)?;
    }
    if let Err(error) = std::fs::rename(new.path(), path) {
        // Put back what was there; the error that is told is the first one.
        let _ = std::fs::rename(aside.path().join("folder"), path);
        return Err(complain(error));
    }
    // It bears its final name now and must stay.
    let _ = new.keep();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyp_edge::fault::{Exit, exit_of};

    #[test]
    fn a_folder_appears_whole_or_not_at_all() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("made");
        let failed = write_folder(&path, "mark", |folder| {
            write_whole(&folder.join("mark"), b"1")?;
            Err(Fault::data("no"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
        for content in ["1", "2"] {
            write_folder(&path, "mark", |folder| write_whole(&folder.join("mark"), content.as_bytes()))
                .unwrap();
            assert_eq!(read_text(&path.join("mark")).unwrap(), content);
            assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 1);
        }
        let error = write_folder(&path, "other", |_| Ok(())).unwrap_err();
        assert_eq!(exit_of(&error), Exit::Usage);
        assert_eq!(read_text(&path.join("mark")).unwrap(), "2");
    }

    #[test]
    fn an_unwritable_place_is_exit_74() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(exit_of(&write_whole(&file.join("below"), b"").unwrap_err()), Exit::Io);
        assert_eq!(
            exit_of(&write_folder(&file.join("below/deep"), "mark", |_| Ok(())).unwrap_err()),
            Exit::Io
        );
    }
}
