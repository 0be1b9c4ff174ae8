//! Buffers as a camera lends them: memory behind a file, so that it can be imported.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use memmap2::Mmap;
use polyp_edge::capture::live::{Buffer, BufferId, Lease};
use polyp_edge::frame::{Colour, PixelFormat, Plane, Stride, View};

/// A picture's shape: NV12's chroma follows its luma with the same stride.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// How the pixels lie in memory.
    pub format: PixelFormat,
    /// How the values are to be read as colours.
    pub colour: Colour,
    /// Width and height in pixels.
    pub size: (usize, usize),
    /// Bytes from row to row.
    pub stride: usize,
}

impl Shape {
    /// Rows of memory: NV12 has half as many again as the picture.
    pub fn rows(&self) -> usize {
        if self.format == PixelFormat::Nv12 { self.size.1 * 3 / 2 } else { self.size.1 }
    }

    /// The picture in memory of [`Shape::rows`] rows; `None` if there cannot be one of this shape.
    pub fn view<'a>(&self, bytes: &'a [u8]) -> Option<View<'a>> {
        let stride = Stride(self.stride);
        let luma = (self.stride * self.size.1).min(bytes.len());
        let (first, second) = match self.format {
            PixelFormat::Nv12 => bytes.split_at(luma),
            _ => (bytes, &bytes[..0]),
        };
        let planes = [Plane { bytes: first, stride }, Plane { bytes: second, stride }];
        View::new(self.format, self.colour, self.size, planes)
    }
}

/// A camera's buffer.
pub struct Lent {
    shape: Shape,
    id: BufferId,
    file: File,
    memory: Mmap,
    /// Whether it says that it can be imported.
    exports: bool,
    leases: AtomicI64,
}

impl Lent {
    /// A buffer that holds these bytes; `exports`: it says that it can be imported.
    pub fn new(shape: Shape, id: BufferId, bytes: &[u8], exports: bool) -> Arc<Lent> {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, 0).unwrap();
        // SAFETY: the file has no name, and nobody makes it shorter.
        let memory = unsafe { Mmap::map(&file) }.unwrap();
        Arc::new(Lent { shape, id, file, memory, exports, leases: AtomicI64::new(0) })
    }

    /// Lends it once more.
    pub fn lease(self: &Arc<Lent>) -> Lease {
        Lease::new(self.clone())
    }

    /// How many leases there are.
    pub fn leases(&self) -> i64 {
        self.leases.load(Ordering::SeqCst)
    }
}

impl Buffer for Lent {
    fn view(&self) -> View<'_> {
        self.shape.view(&self.memory).unwrap()
    }
    fn id(&self) -> BufferId {
        self.id
    }
    fn dma_buf(&self) -> Option<BorrowedFd<'_>> {
        self.exports.then(|| self.file.as_fd())
    }
    fn retain(&self) {
        self.leases.fetch_add(1, Ordering::SeqCst);
    }
    fn release(&self) {
        assert!(self.leases.fetch_sub(1, Ordering::SeqCst) > 0, "a lease more was given back than taken");
    }
}
