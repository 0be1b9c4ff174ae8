//! Model bundles: a folder with a manifest, the model, golden frames and a model card.

mod golden;
pub mod manifest;
mod mapped;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::fault::Fault;
pub use golden::GoldenFrame;
use manifest::{FORMAT_VERSION, Manifest};
pub use mapped::Mapped;

/// The manifest's name in its folder.
pub const MANIFEST: &str = "manifest.toml";
/// The detached signature's name; it and the manifest are the only files that the manifest does not list.
pub const SIGNATURE: &str = "manifest.toml.sig";

/// The largest manifest or signature, in bytes: reading it makes many times as much of it.
const LARGEST_MANIFEST: u64 = 1 << 20;
/// The largest file of a bundle, in bytes.
const LARGEST_FILE: u64 = 256 << 20;
/// The most files of a bundle.
const MOST_FILES: usize = 1000;

/// An opened bundle: its manifest makes sense, and its files are those that the manifest lists, byte for byte.
#[derive(Debug)]
pub struct Bundle {
    pub manifest: Manifest,
    directory: PathBuf,
}

impl Bundle {
    /// Opens the bundle in a folder. Every file's digest is checked; nothing but the manifest is parsed.
    ///
    /// # Errors
    /// 65 if a file is missing, changed, or not listed, or if the manifest makes no sense; 74 if reading fails.
    pub fn open(directory: &Path) -> anyhow::Result<Bundle> {
        let path = directory.join(MANIFEST);
        if directory.is_dir() && !path.exists() {
            return Err(Fault::data(format!("{}: no {MANIFEST} in it: not a bundle", directory.display())));
        }
        let text = read_whole(&path, LARGEST_MANIFEST)?;
        let text = String::from_utf8(text)
            .map_err(|_| Fault::data(format!("{}: it is not text", path.display())))?;
        let manifest: Manifest = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(0, |span| {
                text.as_bytes()[..span.start.min(text.len())].iter().filter(|&&byte| byte == b'\n').count()
            });
            let message = error.message().replace('\n', " ");
            Fault::data(format!("{}:{}: {message}", path.display(), line + 1))
        })?;
        let bundle = Bundle { manifest, directory: directory.to_owned() };
        bundle.check_manifest().map_err(|what| Fault::data(format!("{}: {what}", path.display())))?;
        bundle.check_files()?;
        Ok(bundle)
    }

    /// A listed file's bytes, checked against its digest once more.
    pub fn read(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let path = self.path(name);
        let bytes = read_whole(&path, LARGEST_FILE)?;
        self.check_digest(name, &bytes)?;
        Ok(bytes)
    }

    /// A listed file's bytes where the system keeps them, checked against its digest once more.
    pub fn map(&self, name: &str) -> anyhow::Result<Mapped> {
        let path = self.path(name);
        let bytes = Mapped::new(&path)?;
        self.check_digest(name, &bytes)?;
        Ok(bytes)
    }

    fn check_digest(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.path(name);
        let Some(expected) = self.manifest.files.get(name) else {
            return Err(Fault::data(format!("{}: the manifest does not list it", path.display())));
        };
        match digest(bytes).eq_ignore_ascii_case(expected) {
            true => Ok(()),
            false => Err(Fault::data(format!(
                "{}: its digest is not the manifest's: it is damaged or was changed; copy the bundle again",
                path.display()
            ))),
        }
    }

    /// Where a file of the bundle lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn check_manifest(&self) -> Result<(), String> {
        let manifest = &self.manifest;
        let (input, output) = (&manifest.input, &manifest.output);
        let ([one, channels, height, width], [batch, logits, rows, columns]) = (input.shape, output.shape);
        let decision = &manifest.decision;
        let gate = &manifest.gate;
        let inside = |value: f32| value > 0.0 && value < 1.0;
        let golden = manifest.golden.iter().flat_map(|golden| [&golden.frame, &golden.mask]);
        let unlisted =
            std::iter::once(&manifest.model).chain(golden).find(|&name| !manifest.files.contains_key(name));
        let outside = manifest.files.keys().find(|name| !stays_inside(name));
        let no_digest = manifest
            .files
            .iter()
            .find(|(_, digest)| digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let problem = match () {
            () if manifest.format_version != FORMAT_VERSION => format!(
                "format {} is not {FORMAT_VERSION}, which this program reads",
                manifest.format_version
            ),
            () if manifest.files.len() > MOST_FILES => format!("it lists more than {MOST_FILES} files"),
            () if outside.is_some() => {
                format!("the path {:?} leads out of the bundle", outside.unwrap_or(&manifest.name))
            }
            () if no_digest.is_some() => "a digest is not 64 hexadecimal digits".into(),
            () if unlisted.is_some() => {
                format!("{:?} is not among its files", unlisted.unwrap_or(&manifest.name))
            }
            () if one != 1 || channels != 3 || height != width || !(32..=1024).contains(&height) => {
                format!("the input {:?} is not [1, 3, S, S] with S from 32 to 1024", input.shape)
            }
            () if batch != 1
                || logits != 1
                || rows == 0
                || columns == 0
                || rows > height
                || columns > width =>
            {
                format!("the output {:?} is not [1, 1, H, W] within the input", output.shape)
            }
            () if [input, output].iter().any(|tensor| !tensor.scale.is_normal() || tensor.scale <= 0.0) => {
                "a scale is not positive".into()
            }
            () if !inside(decision.threshold) || !inside(decision.min_peak) => {
                "threshold and min_peak must lie between 0 and 1".into()
            }
            () if !(0.0..1.0).contains(&decision.min_region_share) => {
                "min_region_share must be at least 0 and below 1".into()
            }
            () if gate.appear == 0 || gate.appear > gate.window || gate.window > 64 => {
                format!("a gate of {} of {} frames makes no sense", gate.appear, gate.window)
            }
            () => return Ok(()),
        };
        Err(problem)
    }

    /// That the folder holds the listed files, unchanged, and nothing else.
    fn check_files(&self) -> anyhow::Result<()> {
        let mut found = BTreeSet::new();
        list(&self.directory, "", &mut found, &mut 0)?;
        found.remove(MANIFEST);
        found.remove(SIGNATURE);
        if let Some(extra) = found.iter().find(|name| !self.manifest.files.contains_key(*name)) {
            return Err(Fault::data(format!(
                "{}: the manifest does not list it",
                self.path(extra).display()
            )));
        }
        for name in self.manifest.files.keys() {
            if !found.contains(name) {
                return Err(Fault::data(format!(
                    "{}: it is missing; copy the bundle again",
                    self.path(name).display()
                )));
            }
            self.read(name)?;
        }
        Ok(())
    }
}

/// Whether a listed name is a plain relative path.
fn stays_inside(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let plain = components.by_ref().all(|component| matches!(component, Component::Normal(_)));
    plain
        && !name.is_empty()
        && !name.contains(|c: char| c == '\\' || c.is_control())
        && !name.ends_with('/')
        && !name.contains("//")
}

/// All files under a folder, by relative path. Links and special files are refused.
fn list(
    directory: &Path,
    prefix: &str,
    found: &mut BTreeSet<String>,
    entries: &mut usize,
) -> anyhow::Result<()> {
    let io = |error: io::Error| Fault::io(format!("{}: {error}", directory.display()));
    for entry in fs::read_dir(directory).map_err(io)? {
        let entry = entry.map_err(io)?;
        let path = entry.path();
        let Ok(name) = entry.file_name().into_string() else {
            return Err(Fault::data(format!("{}: its name is not UTF-8", path.display())));
        };
        if name.contains(char::is_control) {
            return Err(Fault::data(format!("{path:?}: its name has control characters")));
        }
        let kind = entry.file_type().map_err(io)?;
        if kind.is_dir() {
            list(&path, &format!("{prefix}{name}/"), found, entries)?;
        } else if kind.is_file() {
            found.insert(format!("{prefix}{name}"));
        } else {
            return Err(Fault::data(format!("{}: it is not a plain file", path.display())));
        }
        *entries += 1;
        if *entries > 2 * MOST_FILES {
            return Err(Fault::data(format!("{}: too many files", directory.display())));
        }
    }
    Ok(())
}

fn read_whole(path: &Path, largest: u64) -> anyhow::Result<Vec<u8>> {
    let io = |error: io::Error| Fault::io(format!("{}: {error}", path.display()));
    // Opening a pipe would wait for its other end.
    if !fs::symlink_metadata(path).map_err(io)?.is_file() {
        return Err(Fault::data(format!("{}: it is not a plain file", path.display())));
    }
    let file = fs::File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    file.take(largest + 1).read_to_end(&mut bytes).map_err(io)?;
    match bytes.len() as u64 > largest {
        true => Err(Fault::data(format!("{}: larger than any bundle's file", path.display()))),
        false => Ok(bytes),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The sha256 of some bytes, as the manifest has it.
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests;
