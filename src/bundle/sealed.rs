//! Bytes that nobody can change any more: copied once into a memory file that is sealed, and mapped from it.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Deref;

use anyhow::Result;
use memmap2::{Mmap, MmapOptions};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::folder::OpenFile;

/// A copy of a file's bytes. They stay the same for as long as it is held, whatever becomes of the file.
#[derive(Debug)]
pub struct Sealed(Pages);

#[derive(Debug)]
enum Pages {
    Memory(Mmap),
    /// Where the system has no memory files, or gives none.
    Heap(Vec<u8>),
}

impl Sealed {
    /// # Errors
    /// 65 if the file is longer than `largest`, 74 if it cannot be read.
    pub fn copy(file: &OpenFile, largest: u64) -> Result<Sealed> {
        // A second reading of a file that changes meanwhile does no harm: what is kept is what will be checked.
        match in_memory_file(file, largest) {
            Ok(Some(pages)) => Ok(Sealed(Pages::Memory(pages))),
            _ => Ok(Sealed(Pages::Heap(file.read(largest)?))),
        }
    }
}

/// `None` if the system cannot make it.
fn in_memory_file(file: &OpenFile, largest: u64) -> Result<Option<Mmap>> {
    // A write beyond the limit on files' sizes would end the program by a signal, in a memory file too.
    let Some(mut memory) = create().filter(|_| getrlimit(Resource::Fsize).current.is_none()) else {
        return Ok(None);
    };
    file.pieces(largest, |piece| memory.write_all(piece))?;
    Ok(seal_and_map(&memory).ok())
}

fn create() -> Option<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let named = |flags| rustix::fs::memfd_create("polyp-edge-model", flags);
    let made = match named(flags | MemfdFlags::NOEXEC_SEAL) {
        // Before Linux 6.3.
        Err(Errno::INVAL) => named(flags),
        made => made,
    };
    made.ok().map(File::from)
}

fn seal_and_map(memory: &File) -> io::Result<Mmap> {
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(memory, seals)?;
    // Private, since Linux before 6.7 maps no sealed file otherwise. Nothing is copied as long as nothing is written.
    // SAFETY: the seals forbid everybody, this program too, to write to the memory file, to shrink or to grow it, and
    // cannot be taken off: the bytes stay the same and stay there for as long as they are mapped.
    unsafe { MmapOptions::new().map_copy_read_only(memory) }
}

impl Deref for Sealed {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Pages::Memory(pages) => pages,
            Pages::Heap(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::folder::Folder;
    use super::*;

    #[test]
    fn what_is_copied_cannot_be_written_shrunk_or_grown() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..200_000).map(|index| (index * 7 % 251) as u8).collect();
        std::fs::write(folder.path().join("file"), &bytes).unwrap();
        let file = Folder::open(folder.path()).unwrap().file("file").unwrap().unwrap();
        let sealed = Sealed::copy(&file, 1 << 20).unwrap();
        assert!(matches!(sealed.0, Pages::Memory(_)), "this system has memory files");
        std::fs::write(folder.path().join("file"), b"").unwrap();
        assert_eq!(&*sealed, &bytes);

        let mut memory = create().unwrap();
        memory.write_all(b"bytes").unwrap();
        let mapped = seal_and_map(&memory).unwrap();
        assert!(memory.write_all(b"more").is_err());
        assert!(memory.set_len(0).is_err());
        assert!(memory.set_len(1 << 20).is_err());
        assert!(rustix::fs::fcntl_add_seals(&memory, SealFlags::FUTURE_WRITE).is_err());
        assert_eq!(&*mapped, b"bytes");
    }

    #[test]
    fn an_empty_file_and_one_that_is_too_large() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("empty"), b"").unwrap();
        std::fs::write(folder.path().join("large"), vec![1; 1025]).unwrap();
        let folder = Folder::open(folder.path()).unwrap();
        let copy = |name| Sealed::copy(&folder.file(name).unwrap().unwrap(), 1024);
        assert!(copy("empty").unwrap().is_empty());
        let message = format!("{:#}", copy("large").unwrap_err());
        assert!(message.contains("larger than 1 KiB"), "{message}");
    }
}
