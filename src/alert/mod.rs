//! What tells the room of a new region without the monitor: lamps and buzzers on a board's pins.
//!
//! | module | job |
//! |---|---|
//! | [`news`] | which regions are new, told by the thread that shows, which waits for nothing |
//! | [`pin`] | a line that is switched on for a moment |
//! | [`mod@watch`] | the thread that switches one, now and then at most |

pub mod news;
pub mod pin;
pub mod watch;

pub use news::News;
pub use pin::Pin;
pub use watch::{Lamp, Times, watch};
