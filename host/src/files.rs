//! Reading and writing with errors that name the file, and nothing half-written under a final name.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use polyp_edge::fault::Fault;

/// The file's bytes; one line with exit code 74 if it cannot be read.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Fault::io(format!("cannot read {}: {error}", path.display())))
}

/// As [`read`], as text; bytes that are not UTF-8 are exit code 65.
pub fn read_text(path: &Path) -> anyhow::Result<String> {
    String::from_utf8(read(path)?).map_err(|_| Fault::data(format!("{} is not UTF-8 text", path.display())))
}

/// Whether files that this program did not write may be replaced: `--force`, which holds for the whole process.
static FORCE: AtomicBool = AtomicBool::new(false);

/// From now on files that this program did not write may be replaced.
pub fn allow_replacing() {
    FORCE.store(true, Ordering::Relaxed);
}

/// Writes a file whole or not at all; makes the folder. See [`polyp_edge::files::write_own`].
///
/// # Errors
/// Exit 2 if a file of the name is there that this program did not write, unless [`allow_replacing`] was called; exit 74
/// if writing fails.
pub fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    polyp_edge::files::write_own(path, FORCE.load(Ordering::Relaxed), |file| Ok(file.write_all(bytes)?))
}

/// Refuses, before any work is done, a file that [`write_whole`] would refuse at its end.
pub fn check_writable(path: &Path) -> anyhow::Result<()> {
    polyp_edge::files::check_own(path, FORCE.load(Ordering::Relaxed))
}

/// A folder that is being filled and has no name yet.
pub struct NewFolder(tempfile::TempDir);

impl NewFolder {
    /// Where the folder lies while it is being filled.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file below the folder; exit 74 if that fails.
    pub fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.0.path().join(name);
        if let Some(folder) = path.parent() {
            polyp_edge::files::make_folder(folder)?;
        }
        polyp_edge::files::write_whole(&path, |file| {
            file.write_all(bytes)?;
            Ok(file.sync_all()?)
        })
    }
}

/// A folder that is written as one.
pub struct FolderKind {
    /// The file that is in every folder of the kind.
    pub mark: &'static str,
    /// What else may be in one: names, or endings after a `*`.
    pub names: &'static [&'static str],
}

impl FolderKind {
    /// The first entry of a folder, in the order of their names, that a folder of the kind would not have.
    fn stranger(&self, folder: &Path) -> std::io::Result<Option<OsString>> {
        let is_known = |name: &OsStr| {
            let mut names = self.names.iter().chain([&self.mark]);
            names.any(|known| match known.strip_prefix('*') {
                Some(ending) => name.as_encoded_bytes().ends_with(ending.as_bytes()),
                None => name == *known,
            })
        };
        let mut strangers = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let name = entry?.file_name();
            if !is_known(&name) {
                strangers.push(name);
            }
        }
        strangers.sort();
        Ok(strangers.into_iter().next())
    }
}

/// Fills a folder beside `path`, its owner's alone (0700), and renames it. A folder of the kind at `path`, or an empty
/// one, is replaced.
///
/// # Errors
/// Exit 2 if anything else is at `path`, or a folder with files that the kind does not have, before `fill` is called;
/// those of `fill`; exit 74 if writing fails. What was at `path` is there still.
pub fn write_folder(
    path: &Path,
    kind: &FolderKind,
    fill: impl FnOnce(&NewFolder) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let complain = |error: std::io::Error| Fault::io(format!("cannot write {}: {error}", path.display()));
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    check_folder(path, kind)?;
    polyp_edge::files::make_folder(parent)?;
    let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    let new = tempfile::Builder::new().prefix(".partial-").permissions(owner_only).tempdir_in(parent);
    let new = NewFolder(new.map_err(complain)?);
    fill(&new)?;
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
    let _ = new.0.keep();
    Ok(())
}

/// Refuses, before any work is done, a folder that [`write_folder`] would refuse.
pub fn check_folder(path: &Path, kind: &FolderKind) -> anyhow::Result<()> {
    let stranger = match kind.stranger(path) {
        Ok(stranger) => stranger,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Fault::io(format!("cannot write {}: {error}", path.display()))),
    };
    let is_empty = std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    let mark = kind.mark;
    match stranger {
        Some(name) => Err(Fault::usage(format!(
            "{} contains {}, which is not part of what would be written there: name another folder",
            path.display(),
            Path::new(&name).display()
        ))),
        None if !is_empty && !path.join(mark).is_file() => Err(Fault::usage(format!(
            "{} contains something other than what would be written there (it has no {mark}): name another folder",
            path.display()
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyp_edge::fault::{Exit, exit_of};

    const MADE: FolderKind = FolderKind { mark: "mark", names: &["*.csv"] };

    #[test]
    fn a_folder_appears_whole_or_not_at_all() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("made");
        let failed = write_folder(&path, &MADE, |folder| {
            folder.write("mark", b"1")?;
            Err(Fault::data("no"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
        for content in ["1", "2"] {
            write_folder(&path, &MADE, |folder| folder.write("mark", content.as_bytes())).unwrap();
            assert_eq!(read_text(&path.join("mark")).unwrap(), content);
            assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 1);
        }
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o700);
        let refused = |kind: &FolderKind| {
            let error = write_folder(&path, kind, |_| panic!("nothing is made")).unwrap_err();
            assert_eq!(exit_of(&error), Exit::Usage);
            error.to_string()
        };
        assert!(refused(&FolderKind { mark: "other", names: &["*"] }).contains("it has no other"));
        std::fs::write(path.join("table.csv"), "").unwrap();
        std::fs::write(path.join("notes.txt"), "mine").unwrap();
        assert!(refused(&MADE).contains("notes.txt"));
        assert_eq!(read_text(&path.join("mark")).unwrap(), "2");
        std::fs::remove_file(path.join("notes.txt")).unwrap();
        write_folder(&path, &MADE, |folder| folder.write("mark", b"3")).unwrap();
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 1);
    }

    #[test]
    fn an_unwritable_place_is_exit_74() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(exit_of(&write_whole(&file.join("below"), b"").unwrap_err()), Exit::Io);
        let below = file.join("below/deep");
        assert_eq!(exit_of(&write_folder(&below, &MADE, |_| Ok(())).unwrap_err()), Exit::Io);
    }
}
