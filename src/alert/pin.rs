//! A pin with a lamp or a buzzer, by the kernel's GPIO character device.

use std::path::PathBuf;

use anyhow::Result;
use gpiocdev::line::Value;

use super::watch::Lamp;
use crate::fault::Fault;

/// A pin, and for how long it is switched on.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// `/dev/gpiochip0`.
    pub chip: PathBuf,
    /// As the kernel counts the chip's lines: `gpioinfo` lists them.
    pub line: u32,
    /// On is low.
    #[serde(default)]
    pub active_low: bool,
    /// In ms, 20..=10000.
    #[serde(default = "usual_ms")]
    pub lasts_ms: u64,
}

fn usual_ms() -> u64 {
    500
}

impl Pin {
    /// For the log.
    pub fn name(&self) -> String {
        format!("line {} of {}", self.line, self.chip.display())
    }

    /// Takes the line, and switches it off.
    ///
    /// # Errors
    /// 69 with the line: there is none, or somebody else has it.
    pub fn open(&self) -> Result<Line> {
        let mut request = gpiocdev::Request::builder();
        request.on_chip(&self.chip).with_consumer("polyp-edge").with_line(self.line);
        if self.active_low {
            request.as_active_low();
        }
        request.as_output(Value::Inactive);
        let name = self.name();
        match request.request() {
            Ok(request) => Ok(Line { name, line: self.line, request }),
            Err(error) => Err(Fault::device(format!("{name} (alert.pins): cannot use it: {error}"))),
        }
    }
}

/// A line that is taken.
pub struct Line {
    name: String,
    line: u32,
    request: gpiocdev::Request,
}

impl Lamp for Line {
    fn switch(&mut self, is_on: bool) -> Result<()> {
        let value = if is_on { Value::Active } else { Value::Inactive };
        self.request
            .set_value(self.line, value)
            .map(|_| ())
            .map_err(|error| Fault::device(format!("{} (alert.pins): it is gone: {error}", self.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_chip_is_said() {
        let pin: Pin = toml::from_str("chip = \"/dev/null\"\nline = 27").unwrap();
        assert_eq!((pin.active_low, pin.lasts_ms), (false, 500));
        let error = pin.open().err().unwrap().to_string();
        assert!(error.starts_with("line 27 of /dev/null (alert.pins)") && !error.contains('\n'), "{error}");
    }
}
