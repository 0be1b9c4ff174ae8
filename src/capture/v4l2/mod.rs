//! Cameras and grabbers of the kernel's (V4L2): [`open`] gives a [`Camera`](super::live::Camera).
//!
//! | module | job |
//! |---|---|
//! | [`kernel`] | the system calls that are used, as traits |
//! | [`device`] | the real ones |
//! | `negotiate` | which format, size and rate to take |
//! | `layout`, `colour` | what was granted, as planes and colours |
//! | `order` | which picture is newer |
//! | `slot`, `queue` | buffers, and who has them |
//! | `jpeg` | compressed pictures |
//! | [`session`] | an open device: input, signal, start of a stream |
//! | [`camera`] | what is done when things go wrong |
//! | [`facts`] | what there is, for a person to read |

pub mod camera;
mod colour;
#[expect(unsafe_code, reason = "buffers mapped from the kernel, and its calls")]
pub mod device;
pub mod facts;
pub mod jpeg;
pub mod kernel;
mod layout;
mod negotiate;
mod order;
mod queue;
pub mod session;
mod slot;

use super::live::Why;
use crate::fault::{Exit, Fault};
pub use camera::V4l2;
pub use device::Linux;
pub use facts::{CameraFacts, bridges, probe};
pub use negotiate::{Wanted, pixel_format};

/// The camera that a profile wants. Never fails: one that is not there is looked for until it is.
pub fn open(wanted: Wanted) -> V4l2<Linux> {
    V4l2::with(Linux, wanted)
}

/// Whether a camera could be had as it is wanted, found out without changing anything: another stream of it goes on. With
/// `is_ours`, that it is taken is no error: it is this program that has it.
///
/// # Errors
/// Exit 69: it is not there, it cannot be opened, or it gives nothing that is wanted. That it has no signal is none.
pub fn examine(wanted: &Wanted, is_ours: bool) -> anyhow::Result<()> {
    match session::examine(&mut Linux, wanted) {
        Err(trouble) if is_ours && trouble.why == Why::Busy => Ok(()),
        Err(trouble) => Err(Fault::new(Exit::Device, format!("{}: {}", trouble.why, trouble.detail))),
        Ok(()) => Ok(()),
    }
}
