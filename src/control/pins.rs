//! Buttons on a board's pins, by the kernel's GPIO character device.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use gpiocdev::line::{Bias, EdgeDetection, EdgeKind};

use super::button::{Bound, Buttons, Press};
use super::order::Action;
use crate::fault::Fault;

/// A button and what it does.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// `/dev/gpiochip0`.
    pub chip: PathBuf,
    /// As the kernel counts the chip's lines: `gpioinfo` lists them.
    pub line: u32,
    /// Pressed is low: the button is between the pin and ground.
    #[serde(default = "yes")]
    pub active_low: bool,
    /// The resistor that holds the pin while the button is open.
    #[serde(default)]
    pub pull: Pull,
    /// A button that bounces for so long counts once, 0..=1000.
    #[serde(default = "usual_debounce_ms")]
    pub debounce_ms: u64,
    /// What it does.
    pub action: Action,
}

fn yes() -> bool {
    true
}

fn usual_debounce_ms() -> u64 {
    20
}

/// The resistor at a pin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pull {
    /// The board's own, to its supply.
    #[default]
    Up,
    /// The board's own, to ground.
    Down,
    /// None, or one outside the board.
    None,
}

impl Pin {
    /// What it does.
    pub fn bound(&self) -> Bound {
        Bound { name: format!("line {} of {}", self.line, self.chip.display()), action: self.action }
    }

    /// Takes the line.
    ///
    /// # Errors
    /// 69 with the line: there is none, or somebody else has it.
    pub fn open(&self) -> Result<Line> {
        let mut request = gpiocdev::Request::builder();
        request.on_chip(&self.chip).with_consumer("polyp-edge").with_line(self.line).as_input();
        if self.active_low {
            request.as_active_low();
        }
        request.with_bias(match self.pull {
            Pull::Up => Bias::PullUp,
            Pull::Down => Bias::PullDown,
            Pull::None => Bias::Disabled,
        });
        request.with_edge_detection(EdgeDetection::BothEdges);
        if self.debounce_ms > 0 {
            request.with_debounce_period(Duration::from_millis(self.debounce_ms));
        }
        let name = self.bound().name;
        match request.request() {
            Ok(request) => Ok(Line { name, request }),
            Err(error) => Err(Fault::device(format!("{name} (control.pins): cannot use it: {error}"))),
        }
    }
}

/// A line that is taken.
pub struct Line {
    name: String,
    request: gpiocdev::Request,
}

impl Buttons for Line {
    fn presses(&mut self, patience: Duration, presses: &mut Vec<Press>) -> Result<()> {
        let gone = |error: gpiocdev::Error| {
            Fault::device(format!("{} (control.pins): it is gone: {error}", self.name))
        };
        if !self.request.wait_edge_event(patience).map_err(gone)? {
            return Ok(());
        }
        let event = self.request.read_edge_event().map_err(gone)?;
        presses.push(Press { button: 0, is_pressed: event.kind == EdgeKind::Rising });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_chip_is_said() {
        let pin: Pin = toml::from_str("chip = \"/dev/null\"\nline = 17\naction = \"mark\"").unwrap();
        assert_eq!((pin.active_low, pin.pull, pin.debounce_ms), (true, Pull::Up, 20));
        let error = pin.open().err().unwrap().to_string();
        assert!(error.starts_with("line 17 of /dev/null") && !error.contains('\n'), "{error}");
    }
}
