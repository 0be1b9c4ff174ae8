//! A picture as it was shown: what was drawn on it, in figures.

use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use serde::Serialize;

use crate::detect::Region;
use crate::frame::FrameNumber;
use crate::geometry::Rect;
use crate::latency::interval::SlowFrame;
use crate::overlay::{CornerWish, Glyph, Style};
use crate::runtime;
use crate::track::{Shown, TrackNumber};

/// What was drawn on a frame, and what the corner said. Its memory is used again.
pub struct Shot {
    /// Of the frame.
    pub number: FrameNumber,
    /// When the frame was captured.
    pub at: Instant,
    /// When it was shown.
    pub clock: SystemTime,
    /// Another one for each source, and each time that a camera comes back.
    pub epoch: u64,
    /// What the program was doing, as the state file has it.
    pub state: &'static str,
    /// Outlines were drawn where there were any.
    pub outlines: bool,
    /// How they looked.
    pub style: Style,
    /// What was drawn.
    pub shown: Shown,
    /// How opaque, 0..=1; where there is none, 1.
    pub opacities: Vec<f32>,
    /// The endoscope's picture in the frame.
    pub field: Rect,
    /// What the corner said, if anything.
    pub glyph: Option<Glyph>,
    /// In these words.
    pub words: String,
    /// Where.
    pub corner: CornerWish,
    /// How long it took.
    pub times: Option<SlowFrame>,
    /// The frame in which the regions were found, and how much older that is.
    pub result: Option<(FrameNumber, Duration)>,
}

impl Default for Shot {
    fn default() -> Self {
        Shot {
            number: FrameNumber::default(),
            at: runtime::now(),
            clock: SystemTime::UNIX_EPOCH,
            epoch: 0,
            state: "",
            outlines: true,
            style: Style::default(),
            shown: Shown::default(),
            opacities: Vec::new(),
            field: Rect::whole(1, 1),
            glyph: None,
            words: String::new(),
            times: None,
            corner: CornerWish::default(),
            result: None,
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    frame: u64,
    unix_s: f64,
    state: &'a str,
    outlines: bool,
    /// `null` where no picture is recorded.
    outside_is_black: Option<bool>,
    #[serde(flatten)]
    times: Times,
    result_frame: Option<u64>,
    result_age_ms: Option<f64>,
    /// Regions of that result that were not drawn, for they had not lasted long enough.
    held_back: usize,
    regions: Regions<'a>,
}

/// In µs; together the frame's video delay.
#[derive(Default, Serialize)]
struct Times {
    /// Before that: from the driver's own timestamp to the program's first sight of it.
    driver_us: Option<u32>,
    /// Until it could be shown: decoding.
    ready_us: Option<u32>,
    /// In the mailbox.
    waited_us: Option<u32>,
    draw_us: Option<u32>,
    /// Until the display had it.
    display_us: Option<u32>,
}

struct Regions<'a>(&'a Shown);

#[derive(Serialize)]
struct Drawn<'a> {
    track: TrackNumber,
    #[serde(flatten)]
    region: &'a Region,
}

impl Serialize for Regions<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let drawn = self.0.list().iter().zip(self.0.tracks());
        serializer.collect_seq(drawn.map(|(region, track)| Drawn { track, region }))
    }
}

impl Shot {
    /// The shot as a line of JSON.
    ///
    /// # Errors
    /// If it cannot be put into words.
    pub fn line(&self, outside_is_black: Option<bool>, out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        let since_1970 = self.clock.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let rounded = |value: f64| (value * 1e3).round() / 1e3;
        let line = Line {
            frame: self.number.0,
            unix_s: rounded(since_1970.as_secs_f64()),
            state: self.state,
            outlines: self.outlines,
            outside_is_black,
            times: self.times.as_ref().map_or_else(Times::default, |times| Times {
                driver_us: times.driver_us,
                ready_us: Some(times.ready_us),
                waited_us: Some(times.waited_us),
                draw_us: Some(times.draw_us),
                display_us: Some(times.display_us),
            }),
            result_frame: self.result.map(|(frame, _)| frame.0),
            result_age_ms: self.result.map(|(_, age)| rounded(1e3 * age.as_secs_f64())),
            held_back: self.shown.followed().iter().filter(|followed| !followed.is_shown).count(),
            regions: Regions(&self.shown),
        };
        serde_json::to_writer(&mut *out, &line)?;
        Ok(out.write_all(b"\n")?)
    }
}
