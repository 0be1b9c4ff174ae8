//! What tells the room of a new region without the monitor: lamps and buzzers on a board's pins, a tone.
//!
//! | module | job |
//! |---|---|
//! | [`news`] | which regions are new, told by the thread that shows, which waits for nothing |
//! | [`pin`] | a line that is switched on for a moment |
//! | [`tone`] | a soft tone by a sound card; `alsa` plays it |
//! | [`mod@watch`] | the thread that switches one, now and then at most |

#[expect(unsafe_code, reason = "calls of the machine's ALSA library")]
mod alsa;
pub mod news;
pub mod pin;
pub mod tone;
pub mod watch;

pub use news::News;
pub use pin::Pin;
pub use tone::Tone;
pub use watch::{Lamp, Times, watch};
