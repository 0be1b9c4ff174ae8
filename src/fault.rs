//! Errors that a person meets, and the exit code that each ends the program with.

use std::process::ExitCode;

pub use crate::panics::panic_text;

/// Why the program stopped; the number is the process's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// An assertion or a budget failed.
    Assertion = 1,
    /// The command line is wrong: an unknown verb, option or value.
    Usage = 2,
    /// A bundle, a model or an input file is damaged or of the wrong kind.
    Data = 65,
    /// A camera, a display or another program is not there or does not answer.
    Device = 69,
    /// Reading or writing failed.
    Io = 74,
    /// A bundle is not signed by somebody who is trusted, was made for another cart, or is older than it may be.
    Signature = 76,
    /// A board profile is wrong.
    Configuration = 78,
}

/// An error with its exit code. The message is one line: what, where, what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// The process's exit code.
    pub exit: Exit,
    /// One line.
    pub message: String,
}

impl Fault {
    /// Already wrapped: a fault is only ever returned as an error.
    #[allow(clippy::new_ret_no_self)]
    pub fn new(exit: Exit, message: impl Into<String>) -> anyhow::Error {
        let message = message.into();
        anyhow::Error::new(Fault { exit, message })
    }
    /// Exit code 65: a bundle, a model or an input file is damaged or of the wrong kind.
    pub fn data(message: impl Into<String>) -> anyhow::Error {
        Self::new(Exit::Data, message)
    }
    /// Exit code 69: a camera, a display or another program is not there or does not answer.
    pub fn device(message: impl Into<String>) -> anyhow::Error {
        Self::new(Exit::Device, message)
    }
    /// Exit code 74: reading or writing failed.
    pub fn io(message: impl Into<String>) -> anyhow::Error {
        Self::new(Exit::Io, message)
    }
    /// Exit code 2: the command line is wrong.
    pub fn usage(message: impl Into<String>) -> anyhow::Error {
        Self::new(Exit::Usage, message)
    }
    /// Exit code 78: a board profile is wrong.
    pub fn configuration(message: impl Into<String>) -> anyhow::Error {
        Self::new(Exit::Configuration, message)
    }
}

/// One frame of a source is damaged; the frames after it can still be read.
///
/// The message is one line: which frame of which stream or file, and what is wrong with it. Its exit code is 65.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DamagedFrame {
    /// One line: which frame it is, and what is wrong with it.
    pub message: String,
}

impl DamagedFrame {
    /// Already wrapped: it is only ever returned as an error.
    #[allow(clippy::new_ret_no_self)]
    pub fn new(message: impl Into<String>) -> anyhow::Error {
        let message = message.into();
        anyhow::Error::new(DamagedFrame { message })
    }
}

/// The exit code of an error: its [`Fault`]'s if it has one, 65 for a [`DamagedFrame`], 74 for a bare I/O error, else 1.
pub fn exit_of(error: &anyhow::Error) -> Exit {
    if let Some(fault) = error.chain().find_map(|cause| cause.downcast_ref::<Fault>()) {
        return fault.exit;
    }
    if error.chain().any(|cause| cause.is::<DamagedFrame>()) {
        return Exit::Data;
    }
    if error.chain().any(|cause| cause.is::<std::io::Error>()) { Exit::Io } else { Exit::Assertion }
}

/// An error as one line.
pub fn one_line(error: &anyhow::Error) -> String {
    format!("{error:#}").replace('\n', " ")
}

/// Puts one line on standard error, by way of the log, and gives the exit code.
pub fn report(program: &str, error: &anyhow::Error) -> ExitCode {
    crate::logging::line(&format!("{program}: {}", one_line(error)));
    ExitCode::from(exit_of(error) as u8)
}
