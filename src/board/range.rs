//! Values that a profile may not have.

use std::ops::RangeInclusive;

/// A value that a profile may not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// As in `camera.rate_hz`.
    pub key: &'static str,
    /// One line that begins with the key.
    pub what: String,
}

pub(super) fn within<T: PartialOrd + std::fmt::Display>(
    key: &'static str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), Wrong> {
    if range.contains(&value) {
        Ok(())
    } else {
        wrong(key, format!("is {value}, but must be from {} to {}", range.start(), range.end()))
    }
}

pub(super) fn wrong<T>(key: &'static str, what: impl std::fmt::Display) -> Result<T, Wrong> {
    Err(Wrong { key, what: format!("{key} {what}") })
}
