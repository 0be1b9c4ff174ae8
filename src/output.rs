//! What is printed.

use std::io::Write;

use crate::fault::Fault;

/// Writes to standard output. That nobody reads any more (`… | head`) is no error.
pub(crate) fn print(text: std::fmt::Arguments<'_>) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_fmt(text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Fault::io(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
