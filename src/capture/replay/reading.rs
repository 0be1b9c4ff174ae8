//! Errors of streams.

use crate::fault::{Exit, Fault};

/// An error from reading `name`: data if it ended too soon, else I/O.
pub(super) fn read_fault(name: &str, error: &std::io::Error) -> anyhow::Error {
    let exit = match error.kind() {
        std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData => Exit::Data,
        _ => Exit::Io,
    };
    Fault::new(exit, format!("cannot read {name}: {error}"))
}
