//! The camera's pictures: dark, with one bright cell that tells which frame it is.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use polyp_edge::capture::live::{Buffer, BufferId};
use polyp_edge::frame::{Colour, PixelFormat, Plane, Stride, View};

/// Pixels along each side of its output.
pub(super) const CELLS: usize = 8;
/// Width and height of the camera's frames in pixels.
pub(super) const SIZES: [(usize, usize); 2] = [(32, 32), (64, 64)];
/// Each frame has its polyp in another cell than so many before it, so that an outline tells which frame it is of.
const DIFFERENT: u64 = 24;

pub(super) fn pictures() -> Vec<Arc<Picture>> {
    let all = (0..SIZES.len() * CELLS * CELLS).map(|index| {
        let (size, cell) = (SIZES[index / (CELLS * CELLS)], index % (CELLS * CELLS));
        Arc::new(Picture::new(index as u32, size, cell))
    });
    all.collect()
}

/// The cell of a frame's polyp, `[0, CELLS × CELLS)`: every second row and column, others for each epoch.
pub(super) fn cell_of(frame: u64, epoch: u64) -> usize {
    let place = (frame % DIFFERENT) as usize;
    let (row, column) = (place / CELLS, place % CELLS);
    // Rows 1..4 or 4..7: the corner with the glyph stays free.
    (1 + row + 3 * (epoch % 2) as usize) * CELLS + column
}

/// A buffer of the camera: a dark picture with one bright cell.
pub(super) struct Picture {
    number: u32,
    size: (usize, usize),
    /// `[height, width, 3]`
    pixels: Vec<u8>,
    pub(super) leases: AtomicU32,
}

impl Picture {
    fn new(number: u32, size: (usize, usize), cell: usize) -> Picture {
        let (width, height) = (size.0 / CELLS, size.1 / CELLS);
        let (left, top) = (cell % CELLS * width, cell / CELLS * height);
        let mut pixels = vec![20; 3 * size.0 * size.1];
        for row in pixels.chunks_exact_mut(3 * size.0).skip(top).take(height) {
            row[3 * left..3 * (left + width)].fill(230);
        }
        Picture { number, size, pixels, leases: AtomicU32::new(0) }
    }
}

/// The cell of a picture that is bright.
pub(super) fn bright_cell(picture: &View<'_>) -> Option<usize> {
    let (width, height) = (picture.width_px() / CELLS, picture.height_px() / CELLS);
    let pixels = picture.planes().first()?.bytes;
    (0..CELLS * CELLS).find(|cell| {
        let (x, y) = (cell % CELLS * width + width / 2, cell / CELLS * height + height / 2);
        pixels.get(3 * (y * picture.width_px() + x)).is_some_and(|&value| value > 100)
    })
}

impl Buffer for Picture {
    fn view(&self) -> View<'_> {
        let planes = [
            Plane { bytes: &self.pixels, stride: Stride(3 * self.size.0) },
            Plane { bytes: &[], stride: Stride(0) },
        ];
        View::new(PixelFormat::Rgb24, Colour::RGB, self.size, planes).expect("its size fits its pixels")
    }
    fn id(&self) -> BufferId {
        BufferId { queue: 1, index: self.number }
    }
    fn dma_buf(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    fn retain(&self) {
        self.leases.fetch_add(1, Ordering::Relaxed);
    }
    fn release(&self) {
        self.leases.fetch_sub(1, Ordering::Relaxed);
    }
}
