//! Files read through the memory that the system keeps them in.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

use super::LARGEST_FILE;
use crate::fault::Fault;

/// A file's bytes. Nothing is copied, and the memory is the system's to take back.
#[derive(Debug)]
pub struct Mapped(Mmap);

impl Mapped {
    /// # Errors
    /// 74 if the file cannot be read, 65 if it is larger than any bundle's file.
    pub fn new(path: &Path) -> anyhow::Result<Mapped> {
        let io = |error: io::Error| Fault::io(format!("{}: {error}", path.display()));
        let file = File::open(path).map_err(io)?;
        if file.metadata().map_err(io)?.len() > LARGEST_FILE {
            return Err(Fault::data(format!("{}: larger than any bundle's file", path.display())));
        }
        // SAFETY: what is mapped is only read, as bytes, of which any are valid. A bundle's files are replaced, never
        // written to, while a program may have them open (a truncated file would end the program with a signal): so does
        // everything here that writes them.
        unsafe { Mmap::map(&file) }.map(Mapped).map_err(io)
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
