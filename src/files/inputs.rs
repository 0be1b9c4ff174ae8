//! What a verb reads, as folders that it must not write to.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::fault::Fault;

/// Something that a verb reads. What is not there is left to whoever opens it.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A file: results may not go to its folder.
    File(&'a Path),
    /// A folder whose files are read: results may not go there, nor to the folders of the files that its links point at.
    /// Folders inside it are not read, so they may be written to.
    Folder(&'a Path),
    /// A folder whose content is listed as a whole, as a bundle's: results may not go there nor anywhere inside it.
    Tree(&'a Path),
}

impl<'a> Input<'a> {
    /// What a source of frames reads, as [`crate::capture::open`] takes it; none for a camera or a rendered one.
    pub fn of_source(source: &'a OsStr) -> Option<Input<'a>> {
        let kind_is = |kind: &str| {
            let rest = source.as_bytes().strip_prefix(kind.as_bytes());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b":"))
        };
        match Path::new(source) {
            // The file, where standard input is one.
            _ if source == "-" => Some(Input::File(Path::new("/proc/self/fd/0"))),
            _ if kind_is("synthetic") || kind_is("v4l2") => None,
            path if path.is_dir() => Some(Input::Folder(path)),
            path => Some(Input::File(path)),
        }
    }
}

/// A folder, by what it is and not by what it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub device: u64,
    pub inode: u64,
}

impl Identity {
    /// Links are followed.
    pub(super) fn of(path: &Path) -> Option<Identity> {
        let metadata = fs::metadata(path).ok()?;
        Some(Identity { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// The folders that results may not go to.
#[derive(Default)]
pub(super) struct Forbidden {
    folders: Vec<(Identity, PathBuf)>,
    trees: Vec<(Identity, PathBuf)>,
}

impl Forbidden {
    pub(super) fn of(inputs: &[Input<'_>]) -> Forbidden {
        let mut forbidden = Forbidden::default();
        for input in inputs {
            match input {
                Input::File(file) => forbidden.add_file(file),
                Input::Folder(folder) => {
                    forbidden.add_folder(folder);
                    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                        if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                            forbidden.add_file(&entry.path());
                        }
                    }
                }
                Input::Tree(folder) => {
                    if let Some(identity) = Identity::of(folder) {
                        forbidden.trees.push((identity, folder.to_path_buf()));
                    }
                }
            }
        }
        forbidden
    }

    /// The folder in which it is named, and the one in which it lies if it is a link.
    fn add_file(&mut self, file: &Path) {
        let parent = |file: &Path| match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        if file.exists() && !file.starts_with("/proc/self") {
            self.add_folder(&parent(file));
        }
        if let Ok(file) = file.canonicalize() {
            self.add_folder(&parent(&file));
        }
    }

    fn add_folder(&mut self, folder: &Path) {
        if let Some(identity) = Identity::of(folder)
            && !self.folders.iter().any(|(known, _)| *known == identity)
        {
            self.folders.push((identity, folder.to_owned()));
        }
    }

    /// An error (exit 2) if results may not go to `folder`, which is `at` and lies in `above`.
    pub(super) fn check(&self, folder: &Path, at: Option<Identity>, above: &[Identity]) -> Result<()> {
        let refuse = |what: &str, input: &Path| {
            Err(Fault::usage(format!(
                "{} is {what} {}, which is read: nothing was written; name another output folder",
                folder.display(),
                input.display()
            )))
        };
        if let Some((_, input)) = self.folders.iter().find(|(identity, _)| Some(*identity) == at) {
            return refuse("the same folder as", input);
        }
        if let Some((_, input)) = self.trees.iter().find(|(identity, _)| Some(*identity) == at) {
            return refuse("the same folder as", input);
        }
        match self.trees.iter().find(|(identity, _)| above.contains(identity)) {
            Some((_, input)) => refuse("inside", input),
            None => Ok(()),
        }
    }
}

/// Where a folder is or would be: itself, if it is there, and the folders that it lies in.
pub(super) fn place(folder: &Path) -> Result<(Option<Identity>, Vec<Identity>)> {
    let absolute = std::path::absolute(folder)
        .map_err(|error| Fault::io(format!("cannot find the folder {}: {error}", folder.display())))?;
    let there = absolute.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let missing = absolute.strip_prefix(there).unwrap_or(Path::new(""));
    if missing.components().any(|part| part == std::path::Component::ParentDir) {
        return Err(Fault::usage(format!(
            "{} has `..` after a folder that does not exist; name the folder without it",
            folder.display()
        )));
    }
    let real = there.canonicalize().unwrap_or_else(|_| there.to_owned());
    let mut chain = real.ancestors().filter_map(Identity::of);
    if missing.as_os_str().is_empty() {
        Ok((chain.next(), chain.collect()))
    } else {
        Ok((None, chain.collect()))
    }
}
