//! Model bundles: a folder with a manifest, the model, golden frames and a model card.
//!
//! Opening reads each file once and checks its digest. What is needed later, the model and the golden frames, is kept in
//! memory: the bytes that were checked are the bytes that are used, whatever becomes of the files. Not guaranteed: that the
//! bundle comes from whom it says; a signature beside the manifest is not looked at.

mod folder;
mod golden;
pub mod manifest;
#[expect(unsafe_code, reason = "a mapping of memory that nobody can change")]
mod sealed;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::fault::Fault;
use folder::{Folder, OpenFile};
pub use golden::{GoldenFrame, GoldenFrames};
use manifest::{FORMAT_VERSION, Manifest, OperatingPoint, Sensitivity};
use sealed::Sealed;

/// The manifest's name in its folder.
pub const MANIFEST: &str = "manifest.toml";
/// The name kept for a detached signature; it and the manifest are the only files that the manifest does not list. This
/// version does not read it.
pub const SIGNATURE: &str = "manifest.toml.sig";

/// The largest manifest, in bytes: reading it makes many times as much of it.
const LARGEST_MANIFEST: u64 = 1 << 20;
/// The largest model, in bytes.
const LARGEST_MODEL: u64 = 64 << 20;
/// The largest of the files that are only checked, in bytes.
const LARGEST_FILE: u64 = 256 << 20;
/// The most files of a bundle.
const MOST_FILES: usize = 1000;

/// An opened bundle: its manifest makes sense, and its files were those that the manifest lists, byte for byte.
#[derive(Debug)]
pub struct Bundle {
    /// As it was read and checked when the bundle was opened.
    pub manifest: Manifest,
    directory: PathBuf,
    model: Sealed,
    golden: GoldenFrames,
}

impl Bundle {
    /// Opens the bundle in a folder. Every file's digest is checked; nothing but the manifest is parsed, and the golden
    /// frames' sizes.
    ///
    /// # Errors
    /// 65 if a file is missing, changed, not listed or too large, or if the manifest is not valid; 74 if reading fails.
    pub fn open(directory: &Path) -> anyhow::Result<Bundle> {
        let folder = Folder::open(directory)?;
        let Some(file) = folder.file(MANIFEST)? else {
            return Err(Fault::data(format!(
                "{}: there is no {MANIFEST} in it, so it is not a bundle",
                directory.display()
            )));
        };
        let manifest = read_manifest(&file)?;
        check_manifest(&manifest)
            .map_err(|what| Fault::data(format!("{}: {what}", file.path().display())))?;
        let mut files = Files::new(&manifest);
        folder.walk(&mut |name, file| files.take(name, &file))?;
        let Files { model, golden, seen, signed, .. } = files;
        let missing = |name: &str| {
            Fault::data(format!("{}: it is missing; copy the bundle again", directory.join(name).display()))
        };
        if let Some(name) = manifest.files.keys().find(|&name| !seen.contains(name)) {
            return Err(missing(name));
        }
        let model = model.ok_or_else(|| missing(&manifest.model))?;
        let golden = GoldenFrames::new(directory.to_owned(), manifest.golden.clone(), golden)?;
        if signed {
            log::warn!(
                "{}: this version does not verify signatures; the bundle is used as if it had none",
                directory.join(SIGNATURE).display()
            );
        }
        Ok(Bundle { manifest, directory: directory.to_owned(), model, golden })
    }

    /// The model's bytes, as they were when their digest was checked. No later change of the file reaches them.
    pub fn model(&self) -> &[u8] {
        &self.model
    }

    /// The golden frames. They may outlive the bundle, whose model's memory is then free.
    pub fn golden(&self) -> &GoldenFrames {
        &self.golden
    }

    /// All golden frames, decoded: several megabytes each. [`Self::golden`] decodes one at a time.
    ///
    /// # Errors
    /// 65 if one is damaged.
    pub fn golden_frames(&self) -> anyhow::Result<Vec<GoldenFrame>> {
        (0..self.golden.len()).filter_map(|index| self.golden.get(index)).collect()
    }

    /// The manifest alone: the memory of all else is free then, which a loaded model does not need.
    pub fn into_manifest(self) -> Manifest {
        self.manifest
    }

    /// A copy of the model's bytes or of a golden frame's file; an error for all others, which are not kept.
    pub fn read(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        if name == self.manifest.model {
            return Ok(self.model.to_vec());
        }
        match self.golden.file(name) {
            Some(bytes) => Ok(bytes.to_vec()),
            None => Err(Fault::data(format!(
                "{}: it is neither the bundle's model nor one of its golden frames",
                self.path(name).display()
            ))),
        }
    }

    /// Where a file of the bundle lay when it was opened, for messages.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

fn read_manifest(file: &OpenFile) -> anyhow::Result<Manifest> {
    let shown = file.path().display();
    let text = String::from_utf8(file.read(LARGEST_MANIFEST)?)
        .map_err(|_| Fault::data(format!("{shown}: it is not UTF-8 text")))?;
    toml::from_str(&text).map_err(|error| {
        let before = error.span().and_then(|span| text.as_bytes().get(..span.start)).unwrap_or_default();
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let message = error.message().replace('\n', " ");
        Fault::data(format!("{shown}:{line}: {message}"))
    })
}

/// What opening has found so far.
struct Files<'a> {
    manifest: &'a Manifest,
    /// Names of golden frames and their masks.
    pictures: BTreeSet<&'a str>,
    model: Option<Sealed>,
    golden: BTreeMap<String, Vec<u8>>,
    /// Bytes of `golden`.
    kept: u64,
    seen: BTreeSet<String>,
    signed: bool,
}

impl<'a> Files<'a> {
    fn new(manifest: &'a Manifest) -> Files<'a> {
        let pictures =
            manifest.golden.iter().flat_map(|golden| [golden.frame.as_str(), golden.mask.as_str()]);
        Files {
            manifest,
            pictures: pictures.collect(),
            model: None,
            golden: BTreeMap::new(),
            kept: 0,
            seen: BTreeSet::new(),
            signed: false,
        }
    }

    /// Checks a file, and keeps it if it is needed later.
    fn take(&mut self, name: &str, file: &OpenFile) -> anyhow::Result<()> {
        let shown = file.path().display();
        let Some(expected) = self.manifest.files.get(name) else {
            self.signed |= name == SIGNATURE;
            return match name {
                MANIFEST | SIGNATURE => Ok(()),
                _ => Err(Fault::data(format!(
                    "{shown}: the manifest does not list it; remove it, or copy the bundle again"
                ))),
            };
        };
        let mut hash = Sha256::new();
        if name == self.manifest.model {
            let model = Sealed::copy(file, LARGEST_MODEL)?;
            hash.update(&*model);
            self.model = Some(model);
        } else if self.pictures.contains(name) {
            let bytes = file.read(golden::LARGEST_FILE)?;
            hash.update(&bytes);
            self.kept += bytes.len() as u64;
            if self.kept > golden::LARGEST_OF_ALL {
                return Err(Fault::data(format!(
                    "{shown}: the bundle's golden frames take more than {} KiB in total",
                    golden::LARGEST_OF_ALL >> 10
                )));
            }
            self.golden.insert(name.to_owned(), bytes);
        } else {
            file.pieces(LARGEST_FILE, |piece| {
                hash.update(piece);
                Ok(())
            })?;
        }
        if !hex(&hash.finalize()).eq_ignore_ascii_case(expected) {
            return Err(Fault::data(format!(
                "{shown}: its digest is not the one in the manifest: it is damaged or was changed; copy the bundle again"
            )));
        }
        self.seen.insert(name.to_owned());
        Ok(())
    }
}

fn check_manifest(manifest: &Manifest) -> Result<(), String> {
    let (input, output) = (&manifest.input, &manifest.output);
    let ([one, channels, height, width], [batch, logits, rows, columns]) = (input.shape, output.shape);
    let golden = manifest.golden.iter().flat_map(|golden| [&golden.frame, &golden.mask]);
    let unlisted =
        std::iter::once(&manifest.model).chain(golden).find(|&name| !manifest.files.contains_key(name));
    let outside = manifest.files.keys().find(|name| !stays_inside(name));
    let no_digest = manifest
        .files
        .iter()
        .find(|(_, digest)| digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let problem = match () {
        () if manifest.format_version != FORMAT_VERSION => {
            format!("format version {} is not supported; this program reads version {FORMAT_VERSION}", manifest.format_version)
        }
        () if manifest.files.len() > MOST_FILES => format!("it lists more than {MOST_FILES} files"),
        () if manifest.golden.is_empty() => {
            "it names no golden frame, so the model cannot be tested; write the bundle again with polyp-host export"
                .into()
        }
        () if manifest.golden.len() > golden::MOST_FRAMES => {
            format!("it names {} golden frames, more than {}", manifest.golden.len(), golden::MOST_FRAMES)
        }
        () if outside.is_some() => {
            format!("the path {:?} leads outside the bundle", outside.unwrap_or(&manifest.name))
        }
        () if no_digest.is_some() => "a digest does not consist of 64 hexadecimal digits".into(),
        () if unlisted.is_some() => {
            format!("{:?} is not among its files", unlisted.unwrap_or(&manifest.name))
        }
        () if one != 1 || channels != 3 || height != width || !(32..=1024).contains(&height) => {
            format!("the input {:?} is not [1, 3, S, S] with S from 32 to 1024", input.shape)
        }
        () if batch != 1 || logits != 1 || rows == 0 || columns == 0 || rows > height || columns > width => {
            format!("the output {:?} is not [1, 1, H, W] within the input", output.shape)
        }
        () if [input, output].iter().any(|tensor| !tensor.scale.is_normal() || tensor.scale <= 0.0) => {
            "a scale is not positive".into()
        }
        () => return check_points(manifest),
    };
    Err(problem)
}

/// The decision rules and gates at every sensitivity.
fn check_points(manifest: &Manifest) -> Result<(), String> {
    if manifest.sensitivity.contains_key(&Sensitivity::Standard) {
        return Err(
            "the sensitivity standard is what decision and gate say, and cannot be given again".into()
        );
    }
    let standard = OperatingPoint { decision: manifest.decision, gate: manifest.gate };
    let inside = |value: f32| value > 0.0 && value < 1.0;
    for OperatingPoint { decision, gate } in std::iter::once(&standard).chain(manifest.sensitivity.values()) {
        if !inside(decision.threshold) || !inside(decision.min_peak) {
            return Err("threshold and min_peak must lie between 0 and 1".into());
        }
        if !(0.0..1.0).contains(&decision.min_region_share) {
            return Err("min_region_share must be at least 0 and below 1".into());
        }
        if gate.appear == 0 || gate.appear > gate.window || gate.window > 64 {
            return Err(format!(
                "a gate of {} of {} frames is impossible: appear must be from 1 to window, window at most 64",
                gate.appear, gate.window
            ));
        }
    }
    Ok(())
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

/// Bytes in hexadecimal digits, as a manifest has its digests.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The sha256 of some bytes, as the manifest has it.
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests;
