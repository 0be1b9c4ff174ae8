//! Model bundles: a folder with a manifest, the model, golden frames and a model card.
//!
//! Opening reads each file once and checks its digest. What is needed later, the model and the golden frames, is kept in
//! memory: the bytes that were checked are the bytes that are used, whatever becomes of the files. [`Bundle::open_trusted`] also
//! asks who signed the manifest, before anything but its bytes is read; the manifest's digests then speak for all other files.

mod archive;
mod folder;
mod golden;
pub mod manifest;
mod names;
#[expect(unsafe_code, reason = "a mapping of memory that nobody can change")]
mod sealed;
pub mod signature;
mod trust;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::fault::Fault;
use archive::Archive;
use folder::{Folder, OpenFile, Place};
pub use golden::{GoldenFrame, GoldenFrames};
use manifest::{FORMAT_VERSION, Manifest, OperatingPoint, Sensitivity};
use names::stays_inside;
pub use names::{MANIFEST, SIGNATURE};
use sealed::Sealed;
use signature::Signer;
pub use trust::Trust;

/// The largest manifest, in bytes: reading it makes many times as much of it.
const LARGEST_MANIFEST: u64 = 1 << 20;
/// The largest model, in bytes.
const LARGEST_MODEL: u64 = 64 << 20;
/// The largest of the files that are only checked, in bytes.
const LARGEST_FILE: u64 = 256 << 20;
/// The longest name or version, in characters: both are shown in the log and to people.
const LONGEST_WORD: usize = 64;
/// The most files of a bundle.
const MOST_FILES: usize = 1000;

/// Which bundle it is: what a state file, a report or a log says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// The model's name.
    pub name: String,
    /// The model's version.
    pub version: String,
    /// The manifest's sha256 in hex.
    pub digest: String,
    /// See [`Manifest::rollback_index`].
    pub rollback_index: u64,
    /// The key that it is signed with; `None` if nobody asked.
    pub key: Option<String>,
    /// That is the development key, which everybody has.
    pub is_development_key: bool,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, digest {}", self.name, self.version, self.digest)?;
        match &self.key {
            Some(key) if self.is_development_key => write!(f, ", signed with the development key {key}"),
            Some(key) => write!(f, ", signed with the key {key}"),
            None => Ok(()),
        }
    }
}

/// An opened bundle: its manifest makes sense, and its files were those that the manifest lists, byte for byte.
#[derive(Debug)]
pub struct Bundle {
    /// As it was read and checked when the bundle was opened.
    pub manifest: Manifest,
    /// The manifest's sha256 in hex, which stands for the whole bundle.
    pub digest: String,
    /// Who signed it; `None` if nobody asked.
    pub signer: Option<Signer>,
    directory: PathBuf,
    text: Vec<u8>,
    model: Sealed,
    golden: GoldenFrames,
}

impl Bundle {
    /// Opens the bundle in a folder, or packed into a file. Every file's digest is checked; nothing but the manifest is
    /// parsed, and the golden frames' sizes. Who signed it is not asked.
    ///
    /// # Errors
    /// 65 if a file is missing, changed, not listed or too large, or if the manifest is not valid; 74 if reading fails.
    pub fn open(path: &Path) -> anyhow::Result<Bundle> {
        Bundle::open_as(path, None)
    }

    /// As [`Self::open`], for a bundle that is to run on a cart.
    ///
    /// # Errors
    /// As there; 76 if it is not one that `trust` accepts.
    pub fn open_trusted(path: &Path, trust: &Trust) -> anyhow::Result<Bundle> {
        Bundle::open_as(path, Some(trust))
    }

    fn open_as(directory: &Path, trust: Option<&Trust>) -> anyhow::Result<Bundle> {
        let folder = Container::open(directory)?;
        let Some(file) = folder.file(MANIFEST)? else {
            return Err(Fault::data(format!(
                "{}: there is no {MANIFEST} in it, so it is not a bundle",
                directory.display()
            )));
        };
        let text = file.read(LARGEST_MANIFEST)?;
        let signer = match trust {
            Some(trust) => {
                let signature =
                    folder.file(SIGNATURE)?.map(|file| file.read(signature::LARGEST)).transpose()?;
                Some(trust.signer(directory, &text, signature.as_deref())?)
            }
            None => None,
        };
        let digest = digest(&text);
        let manifest = parse_manifest(file.path(), &text)?;
        check_manifest(&manifest)
            .map_err(|what| Fault::data(format!("{}: {what}", file.path().display())))?;
        if let Some(trust) = trust {
            trust.check(directory, &manifest)?;
        }
        let mut files = Files::new(&manifest);
        folder.walk(&mut |name, file| files.take(name, &file))?;
        let Files { model, golden, seen, .. } = files;
        let missing = |name: &str| {
            Fault::data(format!("{}: it is missing; copy the bundle again", directory.join(name).display()))
        };
        if let Some(name) = manifest.files.keys().find(|&name| !seen.contains(name)) {
            return Err(missing(name));
        }
        let model = model.ok_or_else(|| missing(&manifest.model))?;
        let golden = GoldenFrames::new(directory.to_owned(), manifest.golden.clone(), golden)?;
        Ok(Bundle { manifest, digest, signer, directory: directory.to_owned(), text, model, golden })
    }

    /// Which bundle it is.
    pub fn identity(&self) -> Identity {
        Identity {
            name: self.manifest.name.clone(),
            version: self.manifest.model_version.clone(),
            digest: self.digest.clone(),
            rollback_index: self.manifest.rollback_index,
            key: self.signer.as_ref().map(|signer| signer.key.to_string()),
            is_development_key: self.signer.as_ref().is_some_and(|signer| signer.is_development),
        }
    }

    /// The model's bytes, as they were when their digest was checked. No later change of the file reaches them.
    pub fn model(&self) -> &[u8] {
        &self.model
    }

    /// The manifest's bytes, which a signature is of.
    pub fn manifest_text(&self) -> &[u8] {
        &self.text
    }

    /// Writes the bundle as one file, its signature with it. The same bundle gives the same bytes.
    ///
    /// # Errors
    /// 65 if a file was changed since the bundle was opened, or has too long a name; 74 if reading or writing fails.
    pub fn pack(&self, out: &mut std::fs::File) -> anyhow::Result<()> {
        let container = Container::open(&self.directory)?;
        let signature = container.file(SIGNATURE)?.map(|file| file.read(signature::LARGEST)).transpose()?;
        let names = std::iter::once(MANIFEST)
            .chain(signature.as_ref().map(|_| SIGNATURE))
            .chain(self.manifest.files.keys().map(String::as_str));
        let read = |name: &str| {
            if name == MANIFEST {
                return Ok(self.text.clone());
            }
            if name == SIGNATURE {
                return Ok(signature.clone().unwrap_or_default());
            }
            let bytes = match container.file(name)? {
                Some(file) => file.read(LARGEST_FILE)?,
                None => Vec::new(),
            };
            match self.manifest.files.get(name) {
                Some(expected) if digest(&bytes).eq_ignore_ascii_case(expected) => Ok(bytes),
                _ => Err(Fault::data(format!(
                    "{}: it was changed while it was packed",
                    self.path(name).display()
                ))),
            }
        };
        archive::pack(names, read, out)
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

    /// The folder or packed file that was opened.
    pub fn place(&self) -> &Path {
        &self.directory
    }

    /// Where a file of the bundle lay when it was opened, for messages.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Where a bundle's files are.
enum Container {
    Folder(Folder),
    Archive(Archive),
}

impl Container {
    fn open(path: &Path) -> anyhow::Result<Container> {
        Ok(match Place::open(path)? {
            Place::File(file) => Container::Archive(Archive::open(file, path)?),
            Place::Folder(folder) => Container::Folder(folder),
        })
    }

    fn file(&self, name: &str) -> anyhow::Result<Option<OpenFile>> {
        match self {
            Container::Folder(folder) => folder.file(name),
            Container::Archive(archive) => archive.file(name),
        }
    }

    fn walk(&self, visit: &mut dyn FnMut(&str, OpenFile) -> anyhow::Result<()>) -> anyhow::Result<()> {
        match self {
            Container::Folder(folder) => folder.walk(visit),
            Container::Archive(archive) => archive.walk(visit),
        }
    }
}

fn parse_manifest(path: &Path, text: &[u8]) -> anyhow::Result<Manifest> {
    let shown = path.display();
    let text =
        std::str::from_utf8(text).map_err(|_| Fault::data(format!("{shown}: it is not UTF-8 text")))?;
    toml::from_str(text).map_err(|error| {
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
        }
    }

    /// Checks a file, and keeps it if it is needed later.
    fn take(&mut self, name: &str, file: &OpenFile) -> anyhow::Result<()> {
        let shown = file.path().display();
        let Some(expected) = self.manifest.files.get(name) else {
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
    let words = [
        ("name", &manifest.name),
        ("model_version", &manifest.model_version),
        ("compatible", &manifest.compatible),
    ];
    let no_word = words.into_iter().find(|(_, text)| {
        !(1..=LONGEST_WORD).contains(&text.chars().count()) || text.contains(char::is_control)
    });
    let no_word = no_word.map(|(name, _)| name);
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
        () if no_word.is_some() => {
            format!("{} must be text of 1 to {LONGEST_WORD} characters on one line", no_word.unwrap_or_default())
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
    for OperatingPoint { decision, gate } in std::iter::once(&standard).chain(manifest.sensitivity.values()) {
        for (name, value, range) in [
            ("threshold", decision.threshold, 0.01..=0.9999),
            ("min_peak", decision.min_peak, 0.01..=0.9999),
            ("min_region_share", decision.min_region_share, 0.0..=0.05),
        ] {
            if !range.contains(&value) {
                return Err(format!(
                    "{name} is {value}, but must be from {} to {}",
                    range.start(),
                    range.end()
                ));
            }
        }
        if gate.appear == 0 || gate.appear > gate.window.min(32) || gate.window > 64 {
            return Err(format!(
                "a gate of {} of {} frames is impossible: appear must be from 1 to window and at most 32, window at most 64",
                gate.appear, gate.window
            ));
        }
    }
    Ok(())
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
#[cfg(test)]
mod trust_tests;
