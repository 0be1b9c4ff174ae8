//! Keys, foot pedals, remote controls: whatever the kernel gives as an input device.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use evdev::{Device, EventSummary, KeyCode};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::button::{Bound, Buttons, Press};
use super::order::Action;
use crate::fault::Fault;

/// A device and what its keys do.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// By a name that stays: `/dev/input/by-id/…` or `/dev/input/by-path/…`.
    pub device: PathBuf,
    /// Nobody else gets its keys.
    #[serde(default)]
    pub exclusive: bool,
    /// By the kernel's names: `KEY_F13`, `BTN_0`.
    pub keys: BTreeMap<String, Action>,
}

/// A key by the kernel's name.
pub fn key(name: &str) -> Option<KeyCode> {
    name.parse().ok()
}

impl Input {
    /// What its keys do, in their order.
    pub fn bound(&self) -> Vec<Bound> {
        let device = self.device.display();
        let bound = |(name, action): (&String, &Action)| Bound {
            name: format!("{name} of {device}"),
            action: *action,
        };
        self.keys.iter().map(bound).collect()
    }

    /// Opens the device.
    ///
    /// # Errors
    /// 69 with its path: it is not there, is no input device, has none of the keys, or belongs to somebody else.
    pub fn open(&self) -> Result<Keys> {
        let path = &self.device;
        let failed = |what: &str, error: std::io::Error| {
            Fault::device(format!("{} (control.inputs): cannot {what}: {error}", path.display()))
        };
        let mut device = Device::open(path).map_err(|error| failed("open it", error))?;
        device.set_nonblocking(true).map_err(|error| failed("use it", error))?;
        let keys: Vec<KeyCode> = self.keys.keys().filter_map(|name| key(name)).collect();
        let has_any =
            device.supported_keys().is_some_and(|there| keys.iter().any(|key| there.contains(*key)));
        if !has_any {
            return Err(Fault::device(format!(
                "{} (control.inputs): the device {} has none of the keys {}",
                path.display(),
                device.name().unwrap_or("without a name"),
                self.keys.keys().cloned().collect::<Vec<_>>().join(", ")
            )));
        }
        if self.exclusive {
            device.grab().map_err(|error| failed("have it alone", error))?;
        }
        Ok(Keys { path: path.clone(), device, keys })
    }
}

/// An input device that is open.
pub struct Keys {
    path: PathBuf,
    device: Device,
    keys: Vec<KeyCode>,
}

impl Keys {
    fn gone(path: &Path, error: &dyn std::fmt::Display) -> anyhow::Error {
        Fault::device(format!("{} (control.inputs): it is gone: {error}", path.display()))
    }
}

impl Buttons for Keys {
    fn presses(&mut self, patience: Duration, presses: &mut Vec<Press>) -> Result<()> {
        let Keys { path, device, keys } = self;
        let patience = Timespec { tv_sec: 0, tv_nsec: patience.subsec_nanos().into() };
        match poll(&mut [PollFd::new(device, PollFlags::IN)], Some(&patience)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(Keys::gone(path, &error)),
        }
        let events = match device.fetch_events() {
            Ok(events) => events,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(Keys::gone(path, &error)),
        };
        for event in events {
            // 2: it is still held down, and repeated.
            if let EventSummary::Key(_, code, value @ (0 | 1)) = event.destructure()
                && let Some(button) = keys.iter().position(|key| *key == code)
            {
                presses.push(Press { button, is_pressed: value == 1 });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_kernels_names() {
        for name in ["KEY_F13", "KEY_B", "BTN_0", "KEY_PLAYPAUSE"] {
            assert!(key(name).is_some(), "{name}");
        }
        assert!(key("F13").is_none() && key("").is_none());
    }

    #[test]
    fn what_is_no_input_device_is_said() {
        let input = |device: &str| Input {
            device: device.into(),
            exclusive: false,
            keys: BTreeMap::from([("KEY_A".to_owned(), Action::Mark)]),
        };
        for device in ["/dev/input/by-id/nothing", "/dev/null", "/tmp"] {
            let error = input(device).open().err().unwrap().to_string();
            assert!(error.starts_with(device) && !error.contains('\n'), "{error}");
        }
        assert_eq!(input("/dev/null").bound()[0].name, "KEY_A of /dev/null");
    }
}
