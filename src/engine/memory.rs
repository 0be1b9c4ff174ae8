//! Whether there is memory enough to load a model. A small allocation that fails ends the program, so what all of them take
//! is asked for at once, before the first.

use std::collections::TryReserveError;
use std::io;

use crate::fault::{Exit, Fault};

/// What loading takes with room to spare: so many times the file, and so much beside it. A shipped model of 3.2 MiB takes
/// less than 13 MiB. Tensors much larger than the weights may still ask for more than there is.
const TIMES_FILE: usize = 4;
const BESIDE: usize = 4 << 20;

/// # Errors
/// Exit 74 if the system does not give the memory that loading a file of so many bytes takes.
pub fn check(file_bytes: usize) -> anyhow::Result<()> {
    let needed = file_bytes.saturating_mul(TIMES_FILE).saturating_add(BESIDE);
    // Nothing is written to it: it costs no memory, and no time.
    Vec::<u8>::new().try_reserve_exact(needed).map_err(|_| short())
}

/// Whether an error says that memory was refused.
pub fn is_short(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<TryReserveError>()
            || cause
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::OutOfMemory)
    })
}

pub fn short() -> anyhow::Error {
    Fault::new(
        Exit::Io,
        "there is not enough memory to load it; free some, or raise the limit that this process runs under",
    )
}
