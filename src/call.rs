//! Calls of the kernel that failed.

use std::fmt;
use std::io;

use rustix::io::Errno;

/// A call that the kernel refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallError {
    /// The call's name: `poll`, `VIDIOC_QBUF`, `DRM_IOCTL_MODE_ATOMIC`.
    pub call: &'static str,
    /// Why, as the kernel says it.
    pub errno: Errno,
}

/// What a call gave.
pub type CallResult<T> = Result<T, CallError>;

impl CallError {
    /// Of an error of the standard library; `EIO` where that has no number.
    pub fn of(call: &'static str, error: &io::Error) -> CallError {
        CallError { call, errno: Errno::from_io_error(error).unwrap_or(Errno::IO) }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, io::Error::from(self.errno))
    }
}

impl std::error::Error for CallError {}

/// How often a call is made again that a signal interrupted.
pub const MAX_INTERRUPTIONS: usize = 16;

/// Makes a call, again while signals interrupt it.
///
/// # Errors
/// What the call said last.
pub fn ask<T>(call: &'static str, mut make: impl FnMut() -> Result<T, Errno>) -> CallResult<T> {
    let mut errno = Errno::INTR;
    for _ in 0..=MAX_INTERRUPTIONS {
        match make() {
            Ok(answer) => return Ok(answer),
            Err(Errno::INTR) => {}
            Err(other) => {
                errno = other;
                break;
            }
        }
    }
    Err(CallError { call, errno })
}
