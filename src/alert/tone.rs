//! A soft tone for a new region.

use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;

use super::alsa::{CHANNELS, Player, RATE_HZ};
use super::watch::Lamp;
use crate::fault::Fault;

/// How long it takes to swell and to fade, at most: what begins or ends at once clicks.
const EDGE: Duration = Duration::from_millis(30);

/// A tone, and where it is heard.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tone {
    /// A playback device by its name in ALSA: `aplay -L` lists them.
    pub device: String,
    /// In Hz, 100..=4000.
    #[serde(default = "usual_pitch_hz")]
    pub pitch_hz: f64,
    /// In ms, 50..=2000.
    #[serde(default = "usual_ms")]
    pub lasts_ms: u64,
    /// Of the loudest that there is, 0.01..=1.
    #[serde(default = "usual_loudness")]
    pub loudness: f64,
}

fn usual_pitch_hz() -> f64 {
    880.0
}

fn usual_ms() -> u64 {
    250
}

fn usual_loudness() -> f64 {
    0.2
}

impl Tone {
    /// For the log.
    pub fn name(&self) -> String {
        format!("the tone by {}", self.device)
    }

    /// Takes the device.
    ///
    /// # Errors
    /// 69 with the device: there is none, somebody else has it, or the machine has no ALSA library.
    pub fn open(&self) -> Result<Sound> {
        let player = Player::open(&self.device).map_err(|error| fault(&self.device, &error))?;
        Ok(Sound { device: self.device.clone(), player, samples: self.samples() })
    }

    /// Interleaved.
    fn samples(&self) -> Vec<i16> {
        let rate = f64::from(RATE_HZ);
        let length_s = self.lasts_ms as f64 / 1000.0;
        let edge_s = EDGE.as_secs_f64().min(length_s / 2.0);
        let count = (length_s * rate).round() as usize;
        let mut samples = Vec::with_capacity(CHANNELS * count);
        for number in 0..count {
            let at = number as f64 / rate;
            let to_edge = at.min(length_s - at).min(edge_s) / edge_s;
            let swell = (1.0 - (std::f64::consts::PI * to_edge).cos()) / 2.0;
            let wave = (std::f64::consts::TAU * self.pitch_hz * at).sin();
            let sample = (self.loudness * swell * wave * f64::from(i16::MAX)).round() as i16;
            for _ in 0..CHANNELS {
                samples.push(sample);
            }
        }
        samples
    }
}

fn fault(device: &str, error: &str) -> anyhow::Error {
    Fault::device(format!("{device} (alert.tone): {error}"))
}

/// A tone that can be heard.
pub struct Sound {
    device: String,
    player: Player,
    samples: Vec<i16>,
}

impl Lamp for Sound {
    /// It ends by itself.
    fn switch(&mut self, is_on: bool) -> Result<()> {
        if !is_on {
            return Ok(());
        }
        self.player.play(&self.samples).map_err(|error| fault(&self.device, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(device: &str) -> Tone {
        toml::from_str(&format!("device = {device:?}")).unwrap()
    }

    #[test]
    fn a_tone_swells_and_fades_and_has_its_pitch() {
        let tone = Tone { loudness: 0.5, lasts_ms: 400, ..tone("null") };
        let samples: Vec<i16> = tone.samples().chunks_exact(CHANNELS).map(|both| both[0]).collect();
        assert_eq!(samples.len(), 19_200, "0.4 s");
        assert!(samples[..20].iter().chain(&samples[19_180..]).all(|sample| sample.abs() < 50));
        let loudest = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
        assert!((16_300..=16_384).contains(&loudest), "{loudest}");
        let rises = samples.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
        assert!(rises.abs_diff(352) <= 2, "880 Hz for 0.4 s: {rises}");
    }

    #[test]
    fn what_cannot_be_heard_is_said() {
        let error = tone("no such device").open().err().unwrap().to_string();
        assert!(error.starts_with("no such device (alert.tone): ") && !error.contains('\n'), "{error}");
    }

    /// By the machine's own ALSA library, into its device `file`.
    #[test]
    fn what_is_played_is_the_tone_each_time() {
        if let Err(error) = Player::open("null") {
            eprintln!("no sound on this machine, nothing is tested: {error}");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heard.raw");
        let tone = tone(&format!("file:'{}',raw", path.display()));
        let mut sound = tone.open().unwrap();
        for _ in 0..3 {
            sound.switch(true).unwrap();
            sound.switch(false).unwrap();
        }
        drop(sound);
        let heard = std::fs::read(&path).unwrap();
        let heard: Vec<i16> =
            heard.chunks_exact(2).map(|bytes| i16::from_le_bytes([bytes[0], bytes[1]])).collect();
        assert_eq!(heard, tone.samples().repeat(3));
    }
}
