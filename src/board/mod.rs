//! Board profiles: what differs from cart to cart. Strict TOML; a profile inherits from a sibling and says only what
//! differs.

mod display;
mod profile;
mod range;
mod room;
#[cfg(test)]
mod tests;
mod words;

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use jiff::tz::TimeZone;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::bundle;
use crate::fault::Fault;
use crate::language::{Language, Words};

pub use display::{Display, DisplayKind, SecondMonitor};
pub use profile::{
    Camera, FieldOfView, FieldOfViewWish, Gate, Heat, Model, NEXT, OtherSource, Overlay, Pipeline, Profile,
    Stop, Store, Trust, device,
};
pub use range::Wrong;
pub use room::{Alert, Control, Recording, Study};

/// The profile of a cart on which the package was installed.
pub const CART_PROFILE: &str = "/etc/polyp-edge/cart.toml";
/// What `model.bundle` says for the bundle that is installed in the store; a folder of that name is `./installed`.
pub const INSTALLED: &str = "installed";

/// The largest profile, bytes.
const LARGEST: u64 = 1 << 20;
/// The most profiles that inherit from one another.
const MOST_PARENTS: usize = 16;

/// A profile that was read, resolved and checked.
#[derive(Clone, Debug)]
pub struct Board {
    /// Its values lie in their ranges.
    pub profile: Profile,
    /// The sha256 in hex of the profile's text, of those that it inherits from, and of its own language's.
    pub digest: String,
    /// What the monitor says, in the profile's language.
    pub words: Arc<Words>,
    /// Of the times that the monitor shows.
    pub zone: TimeZone,
    /// The profile's folder: relative paths to bundles start here.
    folder: PathBuf,
}

impl Board {
    /// Reads a profile and those that it inherits from.
    ///
    /// # Errors
    /// Exit 78, with the file and the line that says so, for anything but a complete profile within its ranges; exit 74
    /// if a file cannot be read.
    pub fn load(path: &Path) -> Result<Board> {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let texts = Texts::read(path)?;
        let table = texts.resolve()?;
        let profile = Profile::deserialize(toml::Deserializer::from(Spanned::new(0..0, table.clone())))
            .map_err(|error| {
                let key = error.span().and_then(|span| key_at(&table, &span));
                texts.wrong(error.span(), words::reworded(key.as_deref(), error.message()))
            })?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        if profile.name != stem {
            let what =
                format!("name is {:?}, but the file is called {stem:?}: they must be the same", profile.name);
            return Err(texts.wrong(span_of(&table, "name"), what));
        }
        profile.check().map_err(|wrong| texts.wrong(span_of(&table, wrong.key), wrong.what))?;
        let language = &profile.overlay.language;
        let words = Words::load(language, &folder).map_err(|error| match language {
            // A file of its own is named by its own errors.
            Language::File(_) => error,
            _ => texts.wrong(span_of(&table, "overlay.language"), error),
        })?;
        let zone = zone(profile.overlay.time_zone.as_deref())
            .map_err(|what| texts.wrong(span_of(&table, "overlay.time_zone"), what))?;
        Ok(Board { profile, digest: texts.digest(words.own()), words, zone, folder })
    }

    /// Where the model bundle lies; `None` if it is the one that is installed in the store.
    pub fn bundle(&self) -> Option<PathBuf> {
        let bundle = &self.profile.model.bundle;
        (bundle.as_os_str() != INSTALLED).then(|| self.folder.join(bundle))
    }

    /// The file with the words of a language of its own, if it names one.
    pub fn language(&self) -> Option<PathBuf> {
        match &self.profile.overlay.language {
            Language::File(path) => Some(self.folder.join(path)),
            _ => None,
        }
    }

    /// The same with the lighter bundle for when the computer is hot in the place of its own, if there is one.
    pub fn lite(&self) -> Option<Board> {
        let mut lite = self.clone();
        lite.profile.model.bundle = self.profile.heat.lite_bundle.clone()?;
        Some(lite)
    }

    /// The folder of public keys.
    pub fn keys(&self) -> PathBuf {
        self.folder.join(&self.profile.trust.keys)
    }

    /// Which bundles may run, with the keys as they are now.
    ///
    /// # Errors
    /// 78 if the folder of keys holds something else under a key's name; 74 if it cannot be read.
    pub fn trust(&self) -> Result<bundle::Trust> {
        let trust = &self.profile.trust;
        let keys = bundle::signature::Keys::read(&self.keys())?;
        Ok(bundle::Trust {
            keys: if trust.development_key { keys.with_development() } else { keys },
            compatible: trust.compatible.clone(),
            lowest_rollback_index: trust.lowest_rollback_index,
        })
    }
}

/// A profile's file and those that it inherits from, the profile itself first.
///
/// Each text stands behind as many spaces as the texts before it have bytes, and one more, so that a place in the
/// resolved table says which file it comes from. 0 is the place of what is nowhere.
struct Texts {
    files: Vec<Text>,
}

struct Text {
    path: PathBuf,
    padding: usize,
    /// With its padding.
    text: String,
}

impl Texts {
    fn read(path: &Path) -> Result<Texts> {
        let mut texts = Texts { files: Vec::new() };
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let padding = texts.files.last().map_or(1, |last| last.text.len() + 1);
            let text = " ".repeat(padding) + &read_text(&path)?;
            texts.files.push(Text { path: path.clone(), padding, text });
            next = texts.parent(&path)?;
        }
        Ok(texts)
    }

    /// The file that the last one inherits from.
    fn parent(&self, path: &Path) -> Result<Option<PathBuf>> {
        let Some(last) = self.files.last() else { return Ok(None) };
        let table = self.parse(last)?;
        let Some(value) = table.get("inherits") else { return Ok(None) };
        let wrong = |what| Err(self.wrong(Some(value.span()), what));
        let name = match value.get_ref() {
            DeValue::String(name) if is_plain(name) => name,
            _ => return wrong("inherits must be the name of a profile in the same folder, such as \"base\""),
        };
        let parent = path.with_file_name(format!("{name}.toml"));
        if self.files.iter().any(|file| file.path == parent) {
            return wrong("the profile inherits from itself");
        }
        if self.files.len() >= MOST_PARENTS {
            return wrong("profiles inherit from one another over more than 16 levels; 16 are allowed");
        }
        if !parent.exists() {
            let what = format!("inherits names {}, which does not exist", parent.display());
            return Err(self.wrong(Some(value.span()), what));
        }
        Ok(Some(parent))
    }

    /// Of all of them, and of the words of a language of the cart's own.
    fn digest(&self, words: Option<&str>) -> String {
        let texts = self.files.iter().map(|file| file.text.get(file.padding..).unwrap_or_default());
        let texts: Vec<&str> = texts.chain(words).collect();
        bundle::digest(texts.join("\n").as_bytes())
    }

    fn parse<'a>(&self, file: &'a Text) -> Result<DeTable<'a>> {
        let parsed = DeTable::parse(&file.text).map(Spanned::into_inner);
        parsed.map_err(|error| self.wrong(error.span().or(Some(file.padding..file.padding)), error.message()))
    }

    /// The table of the last file, then each one's over it.
    fn resolve(&self) -> Result<DeTable<'_>> {
        let mut resolved = DeTable::new();
        for file in self.files.iter().rev() {
            merge(&mut resolved, self.parse(file)?);
        }
        resolved.remove("inherits");
        Ok(resolved)
    }

    /// An error at a place, with the file's name and the line's number; without a place, of the profile itself.
    fn wrong(&self, place: Option<Range<usize>>, what: impl std::fmt::Display) -> anyhow::Error {
        let start = place.map_or(0, |place| place.start);
        let file = self.files.iter().rev().find(|file| file.padding <= start);
        let Some(file) = file.or(self.files.first()) else { return Fault::configuration(what.to_string()) };
        let line = match start {
            0 => String::new(),
            _ => {
                let before = file.text.as_bytes().get(..start).unwrap_or(file.text.as_bytes());
                format!(":{}", before.iter().filter(|&&byte| byte == b'\n').count() + 1)
            }
        };
        Fault::configuration(format!("{}{line}: {what}", file.path.display()))
    }
}

/// The time zone of this name, or the computer's own; UTC if it has none.
fn zone(name: Option<&str>) -> Result<TimeZone, String> {
    match name {
        None => Ok(TimeZone::try_system().unwrap_or(TimeZone::UTC)),
        Some(name) => TimeZone::get(name).map_err(|_| {
            format!(
                "overlay.time_zone is {name:?}, which this computer does not know: names are those of /usr/share/zoneinfo, such as \
                 \"Europe/Oslo\""
            )
        }),
    }
}

fn read_text(path: &Path) -> Result<String> {
    let cannot = |error: std::io::Error| {
        Fault::io(format!("cannot read the board profile {}: {error}", path.display()))
    };
    let wrong = |what: &str| Err(Fault::configuration(format!("{}: {what}", path.display())));
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(cannot)?;
    if bytes.len() as u64 > LARGEST {
        return wrong("the board profile is larger than 1 MiB, the largest size allowed");
    }
    String::from_utf8(bytes).or_else(|_| wrong("the board profile is not UTF-8 text"))
}

/// Where a value of the resolved table is set: `camera.rate_hz`. That of its table, if there is no such value.
fn span_of(table: &DeTable<'_>, key: &str) -> Option<Range<usize>> {
    let mut names = key.split('.');
    let mut value = table.get(names.next()?)?;
    for name in names {
        match value.get_ref().get(name) {
            Some(next) => value = next,
            None => break,
        }
    }
    Some(value.span())
}

/// The key whose value lies at a place: `camera.rate_hz`.
fn key_at(table: &DeTable<'_>, place: &Range<usize>) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        let key = key.get_ref();
        match value.get_ref() {
            _ if value.span() == *place => Some(key.to_string()),
            DeValue::Table(inner) => key_at(inner, place).map(|rest| format!("{key}.{rest}")),
            DeValue::Array(items) if items.iter().any(|item| item.span() == *place) => Some(key.to_string()),
            _ => None,
        }
    })
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Tables are merged key by key, anything else is replaced. Keys and values say where they were set last.
fn merge<'a>(base: &mut DeTable<'a>, over: DeTable<'a>) {
    for (key, value) in over {
        let span = value.span();
        let before = base.remove(key.get_ref().as_ref()).map(Spanned::into_inner);
        let value = match (before, value.into_inner()) {
            (Some(DeValue::Table(mut base)), DeValue::Table(over)) => {
                merge(&mut base, over);
                DeValue::Table(base)
            }
            (_, value) => value,
        };
        base.insert(key, Spanned::new(span, value));
    }
}
