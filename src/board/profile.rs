//! The fields of a profile and their ranges.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::display::{Display, DisplayKind, size};
use super::range::{Wrong, within, wrong};
use super::room::{Alert, Control, Recording, Study};
use crate::bundle::manifest::{COMPATIBLE, Sensitivity};
use crate::field_of_view::Rule;
use crate::frame::PixelFormat;
use crate::geometry::Rect;
use crate::language::Language;
use crate::overlay::{CornerWish, Mark, Style, contrast};
use crate::thermal::Limits;

/// Inferences a second may be so few that each result is half of `max_age_ms` old when the next frame is looked at: the other half
/// is for computing it, and for the frame that comes late.
const RESULTS_IN_MAX_AGE: f64 = 2.0;
/// And so few at all: the gate forgets what it saw half a second ago.
const FEWEST_HZ: f64 = 5.0;
/// Instead of a source's name: the one after this.
pub const NEXT: &str = "next";

/// A resolved profile. All fields must be there; `base.toml` has most of them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The file's name without `.toml`.
    pub name: String,
    /// Where pictures come from.
    pub camera: Camera,
    /// Where the endoscope's picture sits in the camera's.
    pub field_of_view: FieldOfView,
    /// Which model runs, and on which cores.
    pub model: Model,
    /// Which bundles may run. May be left out.
    #[serde(default)]
    pub trust: Trust,
    /// Where bundles are installed. May be left out.
    #[serde(default)]
    pub store: Store,
    /// How frames and results meet.
    pub pipeline: Pipeline,
    /// When regions are shown.
    pub gate: Gate,
    /// What is drawn over the picture.
    pub overlay: Overlay,
    /// Where pictures go.
    pub display: Display,
    /// What is done when the computer gets hot. May be left out.
    #[serde(default)]
    pub heat: Heat,
    /// How the people in the room give orders. May be left out: then they cannot.
    #[serde(default)]
    pub control: Control,
    /// What tells the room of a new region without the monitor. May be left out: then nothing.
    #[serde(default)]
    pub alert: Alert,
    /// What is kept of what is seen. May be left out: then nothing.
    #[serde(default)]
    pub study: Study,
    /// Films of it. May be left out: then none.
    #[serde(default)]
    pub recording: Recording,
    /// When a run ends by itself. May be left out.
    #[serde(default)]
    pub stop: Stop,
}

/// Where pictures come from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// `v4l2` for the first live camera, `v4l2:DEVICE` for one by its path; else as `replay` takes it:
    /// `synthetic:seed=7,size=640x480`, a folder, a file, `-`.
    pub source: String,
    /// 1..=240. Asked of a live camera; a recorded or rendered source is read at this rate, or, with 0, as fast as it
    /// gives frames.
    pub rate_hz: f64,
    /// Of a live camera, the most wanted first.
    pub formats: Vec<PixelFormat>,
    /// Of a live camera, `WIDTHxHEIGHT`, the most wanted first; none: the largest that it gives at the rate.
    pub sizes: Vec<String>,
    /// A live camera's buffers, 4..=32.
    pub buffers: u32,
    /// Which of a live camera's inputs; none: the one that is on.
    pub input: Option<u32>,
    /// What people call this source, 1 to 32 characters. May be left out: `1`.
    #[serde(default = "first")]
    pub name: String,
    /// Other sources that people in the room can switch to.
    #[serde(default)]
    pub others: Vec<OtherSource>,
}

fn first() -> String {
    "1".into()
}

/// A source that people can switch to; formats, sizes and rate are those of the camera.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherSource {
    /// What people call it, 1 to 32 characters; not `next`.
    pub name: String,
    /// As the camera's.
    pub source: String,
    /// As the camera's.
    pub input: Option<u32>,
}

/// Where the endoscope's picture sits in the camera's.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldOfView {
    /// How it is found; `fixed` needs `rect_px`.
    pub rule: FieldOfViewWish,
    /// With `fixed`: left, top, width, height in the camera's pixels. Sides 16..=4096.
    pub rect_px: Option<[usize; 4]>,
}

impl FieldOfView {
    /// Where the endoscope's picture lies, if the profile says so.
    pub fn fixed(&self) -> Option<Rect> {
        match self.rule() {
            Some(Rule::Fixed(rect)) => Some(rect),
            _ => None,
        }
    }

    /// `None`: the bundle's rule.
    pub fn rule(&self) -> Option<Rule> {
        match (self.rule, self.rect_px) {
            (FieldOfViewWish::Find, _) => Some(Rule::Find),
            (FieldOfViewWish::WholeFrame, _) => Some(Rule::WholeFrame),
            (FieldOfViewWish::Fixed, Some([x, y, width, height])) => {
                Some(Rule::Fixed(Rect { x, y, width, height }))
            }
            (FieldOfViewWish::Bundle | FieldOfViewWish::Fixed, _) => None,
        }
    }
}

/// How the endoscope's picture is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FieldOfViewWish {
    /// As the bundle says.
    Bundle,
    /// Looked for.
    Find,
    /// The camera's picture is the endoscope's.
    WholeFrame,
    /// Always `rect_px`: for a processor whose picture stays where it is.
    Fixed,
}

/// Which model runs, and on which cores.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The bundle's folder or packed file; if relative, from the profile's folder. `installed`: the one in the store.
    pub bundle: PathBuf,
    /// 1..=16.
    pub threads: usize,
    /// The threads' cores, one each; none: the system chooses.
    pub cores: Vec<usize>,
    /// How readily polyps are marked: a point of the bundle's operating curve; `standard` if left out.
    #[serde(default)]
    pub sensitivity: Sensitivity,
}

/// Which bundles may run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trust {
    /// A folder of public keys, `*.pub`; if relative, from the profile's folder. One of them must have signed the bundle.
    pub keys: PathBuf,
    /// What the bundle must have been made for, 1 to 64 characters.
    pub compatible: String,
    /// A bundle with a lower rollback index is refused.
    pub lowest_rollback_index: u64,
    /// The development key, which everybody has, may have signed the bundle, too. For simulation and benches alone.
    pub development_key: bool,
}

/// Bundles as they usually are, signed with a key in `keys`.
impl Default for Trust {
    fn default() -> Trust {
        Trust {
            keys: "keys".into(),
            compatible: COMPATIBLE.into(),
            lowest_rollback_index: 0,
            development_key: false,
        }
    }
}

/// Where bundles are installed, and how a new one proves itself.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// An absolute path.
    pub folder: PathBuf,
    /// For how many minutes a new bundle must have assisted, without degradation, before it is the good one; 0.1..=10000.
    pub trial_minutes: f64,
}

impl Default for Store {
    fn default() -> Store {
        Store { folder: "/var/lib/polyp-edge/bundles".into(), trial_minutes: 10.0 }
    }
}

/// How frames and results meet, and what is told of the run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// A result older than this is not drawn, 20..=1000.
    pub max_age_ms: u64,
    /// Each frame waits for its result. For simulation alone: the picture then stalls when inference does.
    pub lock_step: bool,
    /// Real-time priority of what captures and shows, 1..=99; 0: none. Needs CAP_SYS_NICE or a limit on rtprio.
    pub realtime_priority: u8,
    /// Where the device's state is written whenever it changes; none: nowhere.
    pub state_file: Option<PathBuf>,
    /// The folder of the audit trail; none: nothing is recorded.
    pub audit_folder: Option<PathBuf>,
    /// A file for node_exporter's textfile collector, `*.prom`; none: there are no metrics.
    pub metrics_file: Option<PathBuf>,
    /// The folder of the log of latencies; none: there is none.
    pub latency_folder: Option<PathBuf>,
    /// How long the intervals in it are, in s, 1..=3600. May be left out: a minute.
    #[serde(default = "latency_interval_s")]
    pub latency_interval_s: f64,
    /// All its files together, 1..=10000; the newest is always kept. May be left out: 64.
    #[serde(default = "latency_megabytes")]
    pub latency_megabytes: u64,
    /// How long files are kept, 1..=3650. May be left out: 90.
    #[serde(default = "latency_days")]
    pub latency_days: f64,
    /// The program denies itself all files but those that the profile at its start lets it need. May be left out: then it does.
    #[serde(default = "yes")]
    pub sandbox: bool,
}

fn yes() -> bool {
    true
}

fn latency_interval_s() -> f64 {
    60.0
}

fn latency_megabytes() -> u64 {
    64
}

fn latency_days() -> f64 {
    90.0
}

/// When regions are shown, beyond what the bundle says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// Over the bundle's: shown once it was seen in `appear` of `window` frames; both or neither. 1..=64.
    pub appear: Option<u32>,
    /// As `appear`; no less than it.
    pub window: Option<u32>,
    /// A region that is shown stays for so many frames in which it is not found, 0..=10.
    pub hold_frames: u32,
    /// How much of the last outline is in the next one, 0..=80.
    pub steady_percent: f32,
}

/// What is drawn over the picture.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overlay {
    /// `outline`, `brackets`, `box` or `margin`. May be left out: an outline.
    #[serde(default)]
    pub mark: Mark,
    /// Red, green, blue. One that is hard to tell from mucosa, also for people who see fewer colours, is told of.
    pub colour: [u8; 3],
    /// In a picture 480 pixels high, 0.5..=8.
    pub line_px_at_480: f32,
    /// How much of the colour lies over a region's inside, 0..=50.
    pub tint_percent: f32,
    /// Over so many milliseconds, 0..=500, a new mark becomes opaque, from a third on: it does not jump at the eye. May be left out: 0.
    #[serde(default)]
    pub fade_in_ms: u64,
    /// Whether outlines are drawn where the picture has moved to since the frame in which they were found. May be left out: they are.
    #[serde(default = "yes")]
    pub follow_motion: bool,
    /// Whether the corner says so while outlines are drawn. That they are not drawn is always said.
    pub glyph: bool,
    /// The corner in which the monitor says what the program is doing: `black` for the first that has room, or `lower-right`,
    /// `lower-left`, `upper-right`, `upper-left`. May be left out: `black`.
    #[serde(default)]
    pub corner: CornerWish,
    /// The language of what the monitor says: `de`, `en`, `es`, `fr`, `nb`, `vi`, or a file of one's own that ends with `.toml`; if
    /// relative, from the profile's folder. May be left out: `en`.
    #[serde(default)]
    pub language: Language,
    /// Of the times that the monitor shows, such as `Europe/Oslo`. May be left out: the computer's own.
    pub time_zone: Option<String>,
}

/// What is done when the computer gets hot, by its hottest sensor. Each limit is higher than the one before.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Heat {
    /// From here on there are fewer inferences a second; °C, 40..=120.
    pub fewer_at_c: f32,
    /// From here on `lite_bundle` is used; °C, 40..=120. Without one, nothing changes here.
    pub lite_at_c: f32,
    /// From here on assistance is off; °C, 40..=120.
    pub off_at_c: f32,
    /// So far below a limit, the step before it will do; °C, 1..=20.
    pub hysteresis_c: f32,
    /// If it has been so for so long; seconds, 1..=3600.
    pub back_after_s: u64,
    /// How many inferences a second are fewer, at most 240; as few as `pipeline.max_age_ms` allows if left out, and no fewer than that.
    pub inferences_hz: Option<f64>,
    /// A lighter bundle's folder; if relative, from the profile's folder. If left out, its step is, too.
    pub lite_bundle: Option<PathBuf>,
}

/// A Raspberry Pi 5's: it turns its fan up at 75 °C, slows its cores down from 80 °C on and its graphics, too, at 85 °C.
impl Default for Heat {
    fn default() -> Heat {
        Heat {
            fewer_at_c: 78.0,
            lite_at_c: 81.0,
            off_at_c: 84.0,
            hysteresis_c: 4.0,
            back_after_s: 60,
            inferences_hz: None,
            lite_bundle: None,
        }
    }
}

/// When a run ends by itself; never, if nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// At least 1.
    pub after_frames: Option<u64>,
    /// 0.001..=1e9.
    pub after_s: Option<f64>,
}

impl Profile {
    /// That every value lies in its range; else what does not.
    pub fn check(&self) -> Result<(), Wrong> {
        let rate = self.camera.rate_hz;
        if rate != 0.0 {
            within("camera.rate_hz", rate, 1.0..=240.0)
                .map_err(|wrong| Wrong { what: format!("{}, or 0", wrong.what), ..wrong })?;
        }
        within("model.threads", self.model.threads, 1..=16)?;
        let (threads, cores) = (self.model.threads, &self.model.cores);
        if !cores.is_empty() && cores.len() != threads {
            return wrong(
                "model.cores",
                format!("names {} cores for {threads} threads: name one core for each thread", cores.len()),
            );
        }
        for (index, core) in cores.iter().enumerate() {
            within("model.cores", *core, 0..=1023)?;
            if cores[..index].contains(core) {
                return wrong("model.cores", format!("names core {core} twice"));
            }
        }
        if !(1..=64).contains(&self.trust.compatible.chars().count()) {
            return wrong("trust.compatible", "must be text of 1 to 64 characters");
        }
        if !self.store.folder.is_absolute() {
            return wrong(
                "store.folder",
                format!("is {:?}, but must be an absolute path", self.store.folder),
            );
        }
        within("store.trial_minutes", self.store.trial_minutes, 0.1..=1e4)?;
        within("pipeline.max_age_ms", self.pipeline.max_age_ms, 20..=1000)?;
        within("overlay.line_px_at_480", self.overlay.line_px_at_480, 0.5..=8.0)?;
        within("overlay.tint_percent", self.overlay.tint_percent, 0.0..=50.0)?;
        within("overlay.fade_in_ms", self.overlay.fade_in_ms, 0..=500)?;
        self.display.check()?;
        self.check_live()?;
        self.check_heat()?;
        self.control.check()?;
        self.alert.check(&self.control)?;
        self.study.check()?;
        self.recording.check(&self.study)?;
        within("stop.after_frames", self.stop.after_frames.unwrap_or(1), 1..=u64::MAX)?;
        within("stop.after_s", self.stop.after_s.unwrap_or(1.0), 0.001..=1e9)
    }

    /// What is allowed and hardly meant, one line each, with its key first.
    pub fn doubts(&self) -> Vec<String> {
        let (difference, sight) = contrast::least(self.overlay.colour);
        let is_hard_to_see = difference < contrast::LEAST;
        let line = is_hard_to_see.then(|| {
            format!(
                "overlay.colour {:?} is one that {sight} can hardly tell from mucosa: it differs by {difference:.0}, and {} is needed; \
                 cyan [0, 255, 230], blue [80, 160, 255] and yellow [255, 255, 0] are easy to see",
                self.overlay.colour,
                contrast::LEAST
            )
        });
        line.into_iter().collect()
    }

    /// What only live video needs.
    #[expect(clippy::too_many_lines, reason = "one rule after another, in the order of the keys")]
    fn check_live(&self) -> Result<(), Wrong> {
        let camera = &self.camera;
        within("camera.buffers", camera.buffers, 4..=32)?;
        let names: Vec<&str> = [camera.name.as_str()]
            .into_iter()
            .chain(camera.others.iter().map(|other| &*other.name))
            .collect();
        for (number, name) in names.iter().enumerate() {
            if !(1..=32).contains(&name.chars().count())
                || name.chars().any(char::is_control)
                || *name == NEXT
            {
                return wrong(
                    "camera.name",
                    format!("is {name:?}, but must be 1 to 32 characters, and not \"next\""),
                );
            }
            if names.iter().take(number).any(|other| other == name) {
                return wrong("camera.others", format!("names {name:?} twice"));
            }
        }
        if camera.others.iter().any(|other| other.source == "-") {
            return wrong("camera.others", "has \"-\": nobody can switch to standard input");
        }
        if camera.formats.is_empty() {
            return wrong("camera.formats", "is empty: name at least one format");
        }
        if let Err(size) = camera.sizes() {
            return wrong(
                "camera.sizes",
                format!("has {size:?}, which is not WIDTHxHEIGHT with sides of 16 to 4096 pixels"),
            );
        }
        if camera.device().is_some() && camera.rate_hz == 0.0 {
            return wrong("camera.rate_hz", "is 0, but a live camera needs a rate from 1 to 240");
        }
        match (self.field_of_view.rule, self.field_of_view.rect_px) {
            (FieldOfViewWish::Fixed, None) => {
                return wrong("field_of_view.rect_px", "is missing, but rule = \"fixed\" needs it");
            }
            (FieldOfViewWish::Fixed, Some([left, top, width, height])) => {
                for (side, least) in [(left, 0), (top, 0), (width, 16), (height, 16)] {
                    within("field_of_view.rect_px", side, least..=4096)?;
                }
            }
            (_, Some(_)) => return wrong("field_of_view.rect_px", "may be set only with rule = \"fixed\""),
            (_, None) => {}
        }
        let is_live = camera.device().is_some();
        if self.pipeline.lock_step && (is_live || self.display.kind == DisplayKind::Kms) {
            let what = if is_live { "a live camera" } else { "a monitor" };
            return wrong(
                "pipeline.lock_step",
                format!(
                    "is true, but the profile has {what}, whose picture would wait for inference: set it to false"
                ),
            );
        }
        within("pipeline.realtime_priority", self.pipeline.realtime_priority, 0..=99)?;
        if let Some(state_file) = &self.pipeline.state_file
            && !state_file.is_absolute()
        {
            return wrong("pipeline.state_file", format!("is {state_file:?}, but must be an absolute path"));
        }
        if let Some(folder) = &self.pipeline.audit_folder
            && !folder.is_absolute()
        {
            return wrong("pipeline.audit_folder", format!("is {folder:?}, but must be an absolute path"));
        }
        if let Some(folder) = &self.pipeline.latency_folder
            && !folder.is_absolute()
        {
            return wrong("pipeline.latency_folder", format!("is {folder:?}, but must be an absolute path"));
        }
        within("pipeline.latency_interval_s", self.pipeline.latency_interval_s, 1.0..=3600.0)?;
        within("pipeline.latency_megabytes", self.pipeline.latency_megabytes, 1..=10_000)?;
        within("pipeline.latency_days", self.pipeline.latency_days, 1.0..=3650.0)?;
        if let Some(file) = &self.pipeline.metrics_file
            && !(file.is_absolute() && file.extension().is_some_and(|ending| ending == "prom"))
        {
            return wrong(
                "pipeline.metrics_file",
                format!("is {file:?}, but must be an absolute path that ends in .prom"),
            );
        }
        match (self.gate.appear, self.gate.window) {
            (None, None) => {}
            (Some(appear), Some(window)) => {
                within("gate.window", window, 1..=64)?;
                within("gate.appear", appear, 1..=window)?;
            }
            (Some(_), None) => {
                return wrong("gate.appear", "is set without gate.window: set both or neither");
            }
            (None, Some(_)) => {
                return wrong("gate.window", "is set without gate.appear: set both or neither");
            }
        }
        within("gate.hold_frames", self.gate.hold_frames, 0..=10)?;
        within("gate.steady_percent", self.gate.steady_percent, 0.0..=80.0)?;
        Ok(())
    }

    fn check_heat(&self) -> Result<(), Wrong> {
        let heat = &self.heat;
        within("heat.fewer_at_c", heat.fewer_at_c, 40.0..=120.0)?;
        within("heat.lite_at_c", heat.lite_at_c, 40.0..=120.0)?;
        within("heat.off_at_c", heat.off_at_c, 40.0..=120.0)?;
        if heat.lite_at_c <= heat.fewer_at_c {
            let (this, other) = (heat.lite_at_c, heat.fewer_at_c);
            return wrong(
                "heat.lite_at_c",
                format!("is {this}, but must be above heat.fewer_at_c, which is {other}"),
            );
        }
        if heat.off_at_c <= heat.lite_at_c {
            let (this, other) = (heat.off_at_c, heat.lite_at_c);
            return wrong(
                "heat.off_at_c",
                format!("is {this}, but must be above heat.lite_at_c, which is {other}"),
            );
        }
        within("heat.hysteresis_c", heat.hysteresis_c, 1.0..=20.0)?;
        within("heat.back_after_s", heat.back_after_s, 1..=3600)?;
        let (fewest, hz) = (self.fewest_hz(), self.reduced_hz());
        if !(fewest..=240.0).contains(&hz) {
            let age = self.pipeline.max_age_ms;
            return wrong(
                "heat.inferences_hz",
                format!(
                    "is {hz}, but must be from {fewest:.1} to 240: with fewer, outlines would come and go, because none is \
                     shown for longer than pipeline.max_age_ms, which is {age}"
                ),
            );
        }
        Ok(())
    }

    /// The fewest inferences a second at which outlines stay.
    fn fewest_hz(&self) -> f64 {
        (1000.0 * RESULTS_IN_MAX_AGE / self.pipeline.max_age_ms.max(1) as f64).max(FEWEST_HZ)
    }

    /// Inferences a second while there are to be fewer because of heat.
    pub fn reduced_hz(&self) -> f64 {
        self.heat.inferences_hz.unwrap_or_else(|| self.fewest_hz())
    }

    /// How outlines look, as `overlay` says.
    pub fn style(&self) -> Style {
        Style {
            mark: self.overlay.mark,
            colour: self.overlay.colour,
            line_px_at_480: self.overlay.line_px_at_480,
            tint: self.overlay.tint_percent / 100.0,
        }
    }
}

impl Heat {
    /// At which temperatures which step begins and ends. `has_lite`: there is a lighter bundle, and it can be used.
    pub fn limits(&self, has_lite: bool) -> Limits {
        Limits {
            fewer_c: self.fewer_at_c,
            lite_c: has_lite.then_some(self.lite_at_c),
            off_c: self.off_at_c,
            hysteresis_c: self.hysteresis_c,
            back_after: Duration::from_secs(self.back_after_s),
        }
    }
}

impl Camera {
    /// Switches to the source of a name, or with `next` to the one after this, and after the last to the first. `Err` has the names that
    /// there are.
    pub fn switch(&mut self, to: &str) -> Result<(), Vec<&str>> {
        let place = self.others.iter().position(|other| to == NEXT || other.name == to);
        let Some(place) = place else {
            if to == self.name {
                return Ok(());
            }
            return Err([self.name.as_str()]
                .into_iter()
                .chain(self.others.iter().map(|other| &*other.name))
                .collect());
        };
        for _ in 0..=place {
            let next = self.others.remove(0);
            let (name, source) = (
                std::mem::replace(&mut self.name, next.name),
                std::mem::replace(&mut self.source, next.source),
            );
            let input = std::mem::replace(&mut self.input, next.input);
            self.others.push(OtherSource { name, source, input });
        }
        Ok(())
    }

    /// Of a live camera: its device, or `Some(None)` for the first there is.
    pub fn device(&self) -> Option<Option<&str>> {
        device(&self.source)
    }

    /// The sizes as numbers, else the first that is none.
    pub fn sizes(&self) -> Result<Vec<(u32, u32)>, &str> {
        self.sizes.iter().map(|text| size(text).ok_or(text.as_str())).collect()
    }
}

/// Of a live camera: its device, or `Some(None)` for the first there is.
pub fn device(source: &str) -> Option<Option<&str>> {
    match source.strip_prefix("v4l2") {
        Some("") => Some(None),
        Some(rest) => rest.strip_prefix(':').filter(|device| !device.is_empty()).map(Some),
        None => None,
    }
}
