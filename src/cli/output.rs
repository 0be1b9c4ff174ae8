//! What verbs print and write.

use std::io::Write;
use std::path::Path;

use crate::fault::Fault;
use crate::files;

/// Writes a file that holds no patient's data whole or not at all; the umask says who may read it.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    files::write_readable(path, |file| Ok(file.write_all(bytes)?))
}

/// Writes to standard output. That nobody reads any more (`… | head`) is no error.
pub(crate) fn print(text: std::fmt::Arguments<'_>) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_fmt(text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Fault::io(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
