//! Heat: what the machine tells of it, and what is done about it.
//!
//! | module | job |
//! |---|---|
//! | [`sensors`] | temperatures and throttle flags, as Linux tells of them in sysfs |
//! | [`ladder`] | from temperatures to a step: fewer inferences, a lighter model, no assistance; and back |

pub mod ladder;
pub mod sensors;

pub use ladder::{Change, Ladder, Limits, Sample, Step};
pub use sensors::{Cause, Reading, Sysfs, Temperature, Thermometer, Throttle};
