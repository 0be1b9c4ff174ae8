//! What the monitor says to the people in the room, in their language.
//!
//! Words come from a file each: those of [`BUILT_IN`] are part of the program, others are a hospital's own. A message that explains why
//! there is no assistance ends with a code by which `docs/messages.md` explains it in every language; the technical reason is in the log and
//! in the state file, in English.

mod file;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::Result;
use serde::Deserialize;

use crate::capture::live::Why;
use crate::fault::Fault;
use crate::files::read_text;
use crate::overlay;
use crate::state::{Reason, State};

use file::File;

/// Languages that the program has: their codes and their files.
pub const BUILT_IN: [(&str, &str); 6] = [
    ("de", include_str!("de.toml")),
    ("en", include_str!("en.toml")),
    ("es", include_str!("es.toml")),
    ("fr", include_str!("fr.toml")),
    ("nb", include_str!("nb.toml")),
    ("vi", include_str!("vi.toml")),
];

/// The largest file, bytes.
const LARGEST: u64 = 1 << 16;
/// The longest message, in letters: what is longer could not be read on the monitor.
const MOST_LETTERS: usize = 64;

/// Which language: the code of one that is built in, or a file of one's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum Language {
    /// `en`
    #[default]
    English,
    /// Such as `de`; whether there is one of that name is found out when it is read.
    Code(String),
    /// The path of a file; if relative, from the profile's folder.
    File(PathBuf),
}

impl From<String> for Language {
    fn from(name: String) -> Language {
        match name.as_str() {
            "en" => Language::English,
            _ if name.ends_with(".toml") => Language::File(name.into()),
            _ => Language::Code(name),
        }
    }
}

/// All messages in one language.
#[derive(Debug, PartialEq, Eq)]
pub struct Words {
    file: File,
    /// The reasons' messages, whole and with their codes.
    off: Vec<(&'static str, String)>,
    reduced: String,
    not_recording: String,
    /// The text of a file of one's own.
    own: Option<String>,
}

impl Words {
    /// Reads a language; paths start at `folder`.
    ///
    /// # Errors
    /// 78 with the line that is missing, too long, or has a letter that cannot be drawn; 74 if a file cannot be read.
    pub fn load(language: &Language, folder: &Path) -> Result<Arc<Words>> {
        match language {
            Language::English => Ok(Words::english()),
            Language::Code(code) => {
                let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| known == code) else {
                    let known: Vec<&str> = BUILT_IN.iter().map(|(code, _)| *code).collect();
                    return Err(Fault::configuration(format!(
                        "overlay.language is {code:?}, but must be one of {}, or the name of a file that ends with .toml",
                        known.join(", ")
                    )));
                };
                Words::parse(text, &format!("the language {code}")).map(Arc::new)
            }
            Language::File(path) => {
                let path = folder.join(path);
                let text = read_text(&path, LARGEST).map_err(|error| {
                    Fault::io(format!(
                        "cannot read the language {} (overlay.language): {error}",
                        path.display()
                    ))
                })?;
                let words = Words::parse(&text, &path.display().to_string())?;
                Ok(Arc::new(Words { own: Some(text), ..words }))
            }
        }
    }

    /// Those that are used where nothing is said of a language.
    pub fn english() -> Arc<Words> {
        static ENGLISH: OnceLock<Arc<Words>> = OnceLock::new();
        let english = || Words::parse(include_str!("en.toml"), "English");
        ENGLISH.get_or_init(|| Arc::new(english().unwrap_or_else(|error| unreachable!("{error}")))).clone()
    }

    fn parse(text: &str, name: &str) -> Result<Words> {
        let wrong = |what: &dyn std::fmt::Display| Fault::configuration(format!("{name}: {what}"));
        let file: File = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            wrong(&format!("line {line}: {}", error.message().replace('\n', " ")))
        })?;
        let off = |why: &str, code: &'static str| (code, format!("{} – {why} ({code})", file.assist_off));
        let why = &file.why_off;
        let words = Words {
            off: vec![
                off(&why.model, "M1"),
                off(&why.inference, "M2"),
                off(&why.loading, "M3"),
                off(&why.silent, "M4"),
                off(&why.late, "M5"),
                off(&why.slow, "M6"),
                off(&why.unmatched, "M7"),
                off(&why.implausible, "M8"),
                off(&why.hot, "H1"),
            ],
            not_recording: format!("{} ({NOT_RECORDING})", file.not_recording),
            reduced: format!("{} – {} ({REDUCED})", file.assist_reduced, file.why_reduced.hot),
            file,
            own: None,
        };
        for message in words.all() {
            if message.trim().is_empty() {
                return Err(wrong(&"a message is empty: each must have words"));
            }
            if message.chars().count() > MOST_LETTERS {
                return Err(wrong(&format!(
                    "{message:?} is longer than {MOST_LETTERS} letters, code included"
                )));
            }
            if let Some(letter) = overlay::missing_letter(message) {
                return Err(wrong(&format!("{message:?} has {letter:?}, which the program's font lacks")));
            }
        }
        for (line, wanted) in [(&words.file.below.since, "{time}"), (&words.file.below.tried, "{times}")] {
            if !line.contains(wanted) {
                return Err(wrong(&format!("{line:?} must contain {wanted}")));
            }
        }
        Ok(words)
    }

    /// The text of the file, if it is one of one's own.
    pub fn own(&self) -> Option<&str> {
        self.own.as_deref()
    }

    /// The language's own name.
    pub fn name(&self) -> &str {
        &self.file.language
    }

    /// What the corner says in a state.
    pub fn state(&self, state: &State) -> &str {
        match state {
            State::SelfTest => &self.file.self_test,
            State::Assist => &self.file.assist,
            State::Degraded(reason) => self.off(reason),
            State::Passthrough | State::NoSignal(_) => &self.file.passthrough,
        }
    }

    /// That there is no assistance, why, and the reason's code.
    pub fn off(&self, reason: &Reason) -> &str {
        let code = reason.code();
        self.off.iter().find(|(known, _)| *known == code).map_or(&self.file.assist_off, |(_, words)| words)
    }

    /// That there is assistance, but less than there would be if the computer were cooler.
    pub fn reduced(&self) -> &str {
        &self.reduced
    }

    /// That somebody in the room has switched outlines off.
    pub fn outlines_off(&self) -> &str {
        &self.file.outlines_off
    }

    /// That what is shown is recorded.
    pub fn recording(&self) -> &str {
        &self.file.recording
    }

    /// That it is to be recorded, and is not.
    pub fn not_recording(&self) -> &str {
        &self.not_recording
    }

    /// Why there is no picture.
    pub fn no_picture(&self, why: Why) -> &str {
        let words = &self.file.no_picture;
        match why {
            Why::NoDevice => &words.no_device,
            Why::Unplugged => &words.unplugged,
            Why::Denied => &words.denied,
            Why::Busy => &words.busy,
            Why::Unsuitable => &words.unsuitable,
            Why::NoCable => &words.no_cable,
            Why::NoSignal => &words.no_signal,
            Why::NoSync => &words.no_sync,
            Why::Stalled => &words.stalled,
            Why::Failing => &words.failing,
        }
    }

    /// Since when there is no picture.
    pub fn since(&self, time: &str, seconds: u64) -> String {
        self.file.below.since.replace("{time}", time).replace("{seconds}", &seconds.to_string())
    }

    /// How often it was tried to get one again; nothing if it was not.
    pub fn tried(&self, times: u64) -> String {
        match times {
            0 => String::new(),
            1 => self.file.below.tried_once.clone(),
            _ => self.file.below.tried.replace("{times}", &times.to_string()),
        }
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        let file = &self.file;
        let corner = [
            &file.self_test,
            &file.passthrough,
            &file.assist,
            &file.outlines_off,
            &self.reduced,
            &file.recording,
            &self.not_recording,
        ];
        let below = [&file.below.since, &file.below.tried_once, &file.below.tried];
        let words = corner.into_iter().chain(below).chain(self.off.iter().map(|(_, words)| words));
        words.map(String::as_str).chain(file.no_picture.all())
    }
}

/// The code of assistance that is reduced because of heat.
pub const REDUCED: &str = "H2";
/// The code of a recording that does not succeed.
pub const NOT_RECORDING: &str = "R1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Exit, exit_of};

    fn parsed(text: &str) -> Result<Words> {
        Words::parse(text, "test.toml")
    }

    #[test]
    fn every_language_has_every_line_in_letters_that_can_be_drawn() {
        for (code, text) in BUILT_IN {
            let words = parsed(text).unwrap_or_else(|error| panic!("{code}: {error}"));
            // Whatever the language, the code is what service is told.
            assert!(words.off(&Reason::Inference(String::new())).ends_with(" (M2)"), "{code}");
            let loaded = Words::load(&Language::from(code.to_owned()), Path::new("/")).unwrap();
            assert_eq!(*loaded, words);
            for line in text.lines().filter(|line| line.contains(" = ")) {
                let error = parsed(&text.replace(line, "")).unwrap_err();
                assert!(error.to_string().contains("missing field"), "{code}, without {line}: {error}");
                assert_eq!(exit_of(&error), Exit::Configuration);
            }
        }
    }

    #[test]
    fn languages_differ() {
        for (index, (code, text)) in BUILT_IN.iter().enumerate() {
            let words = parsed(text).unwrap();
            for (other, theirs) in &BUILT_IN[..index] {
                let theirs = parsed(theirs).unwrap();
                let same = words.all().zip(theirs.all()).filter(|(one, other)| one == other).count();
                assert!(same <= 3, "{code} and {other} have {same} messages in common");
            }
        }
    }

    #[test]
    fn a_file_of_ones_own_is_read_or_refused_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let load = |text: &str| {
            std::fs::write(folder.path().join("own.toml"), text).unwrap();
            Words::load(&Language::from("own.toml".to_owned()), folder.path())
        };
        let english = BUILT_IN[1].1;
        let own = load(&english.replace("\"NO SIGNAL\"", "\"BRAK SYGNAŁU\"")).unwrap();
        assert_eq!(own.no_picture(Why::NoSignal), "BRAK SYGNAŁU");
        for (from, to, what) in [
            ("\"NO SIGNAL\"", "\"没有信号\"", "has '没', which the program's font lacks"),
            ("\"NO SIGNAL\"", "7", "line 37: invalid type: integer `7`, expected a string"),
            ("\"no results\"", "\"there are no results at all that could be drawn on it\"", "longer than 64"),
            ("\"NO CAMERA\"", "\" \"", "a message is empty"),
            ("{times}", "many", "must contain {times}"),
            ("tried_once", "tried_twice", "unknown field `tried_twice`"),
        ] {
            let error = load(&english.replace(from, to)).unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
            assert!(error.to_string().contains("own.toml: "), "{error}");
        }
        let error = Words::load(&Language::from("xx".to_owned()), folder.path()).unwrap_err();
        assert!(error.to_string().contains("one of de, en, es, fr, nb, vi"), "{error}");
        let error = Words::load(&Language::from("gone.toml".to_owned()), folder.path()).unwrap_err();
        assert_eq!(exit_of(&error), Exit::Io);
    }

    /// What is on the monitor can be looked up.
    #[test]
    fn every_message_is_explained() {
        let guide = include_str!("../../docs/messages.md");
        let words = Words::english();
        let file = &words.file;
        let corner = [
            &file.self_test,
            &file.passthrough,
            &file.outlines_off,
            &file.recording,
            &words.not_recording,
            &words.reduced,
        ];
        for message in corner.into_iter().chain(words.off.iter().map(|(_, message)| message)) {
            assert!(guide.contains(&format!("| `{message}` |")), "docs/messages.md lacks {message:?}");
        }
        for message in file.no_picture.all() {
            assert!(guide.contains(&format!("`{message}`")), "docs/messages.md lacks {message:?}");
        }
        let mut codes: Vec<_> =
            words.off.iter().map(|(code, _)| *code).chain([REDUCED, NOT_RECORDING]).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), words.off.len() + 2, "each has a code of its own");
        for (code, name) in BUILT_IN.map(|(code, text)| (code, parsed(text).unwrap().file.language)) {
            assert!(guide.contains(&format!("| {name} | `{code}` |")), "docs/messages.md lacks {name}");
        }
    }

    #[test]
    fn figures_are_filled_in() {
        let words = Words::english();
        assert_eq!(words.since("14:03:22 CET", 7), "since 14:03:22 CET, 7 s");
        assert_eq!(
            [0, 1, 12].map(|times| words.tried(times)),
            ["", "tried once, still trying", "tried 12 times, still trying"]
        );
    }
}
