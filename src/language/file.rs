//! A language's file, line by line.

use serde::Deserialize;

/// All of them must be there, and no others.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub language: String,
    pub self_test: String,
    pub passthrough: String,
    pub assist: String,
    pub outlines_off: String,
    pub assist_off: String,
    pub assist_reduced: String,
    pub recording: String,
    pub not_recording: String,
    pub why_off: WhyOff,
    pub why_reduced: WhyReduced,
    pub no_picture: NoPicture,
    pub below: Below,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhyOff {
    pub model: String,
    pub inference: String,
    pub loading: String,
    pub silent: String,
    pub late: String,
    pub slow: String,
    pub unmatched: String,
    pub implausible: String,
    pub hot: String,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhyReduced {
    pub hot: String,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoPicture {
    pub no_device: String,
    pub unplugged: String,
    pub denied: String,
    pub busy: String,
    pub unsuitable: String,
    pub no_cable: String,
    pub no_signal: String,
    pub no_sync: String,
    pub stalled: String,
    pub failing: String,
}

impl NoPicture {
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        let NoPicture {
            no_device,
            unplugged,
            denied,
            busy,
            unsuitable,
            no_cable,
            no_signal,
            no_sync,
            stalled,
            failing,
        } = self;
        let all =
            [no_device, unplugged, denied, busy, unsuitable, no_cable, no_signal, no_sync, stalled, failing];
        all.into_iter().map(String::as_str)
    }
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Below {
    pub since: String,
    pub tried_once: String,
    pub tried: String,
}
