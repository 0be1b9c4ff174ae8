//! The camera's pictures: dark, with one bright cell that tells which frame it is.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use polyp_edge::capture::live::{Buffer, BufferId};
use polyp_edge::capture::v4l2::kernel::Format;
use polyp_edge::capture::v4l2::pixel_format;
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

/// What a picture shows: its bright cell, and its width and height in pixels. `None`: nothing that the camera gives.
pub(super) type Seen = Option<(usize, (usize, usize))>;

/// What a picture shows.
pub(super) fn picture_of(picture: &View<'_>) -> Seen {
    let (width, height) = (picture.width_px(), picture.height_px());
    let (cell_width, cell_height) = (width / CELLS, height / CELLS);
    let (step, bytes) = brightness(picture.format())?;
    let plane = picture.planes().first()?;
    let cell = (0..CELLS * CELLS).find(|cell| {
        let x = cell % CELLS * cell_width + cell_width / 2;
        let y = cell / CELLS * cell_height + cell_height / 2;
        plane.bytes.get(y * plane.stride.0 + step * x + bytes[0]).is_some_and(|&value| value > 100)
    })?;
    Some((cell, (width, height)))
}

/// The pictures that a camera gives in a raw format of V4L2, each drawn once.
#[derive(Default)]
pub(super) struct Drawn {
    format: Format,
    /// By cell.
    pictures: BTreeMap<usize, Vec<u8>>,
}

impl Drawn {
    /// The bytes of a picture with one bright cell.
    pub(super) fn picture(&mut self, format: &Format, cell: usize) -> Vec<u8> {
        if self.format != *format {
            (self.format, self.pictures) = (*format, BTreeMap::new());
        }
        self.pictures.entry(cell).or_insert_with(|| drawn(format, cell)).clone()
    }
}

fn drawn(format: &Format, cell: usize) -> Vec<u8> {
    let (width, height) = (format.width as usize, format.height as usize);
    let layout = format.plane[0];
    let mut picture = vec![128; layout.size as usize];
    let Some((step, bytes)) = pixel_format(format.fourcc).and_then(brightness) else { return picture };
    let rows = picture.chunks_exact_mut(layout.stride.max(1) as usize);
    for (y, row) in rows.take(height).enumerate() {
        for (x, pixel) in row.chunks_exact_mut(step).take(width).enumerate() {
            let is_bright = (y * CELLS / height) * CELLS + x * CELLS / width == cell;
            bytes.iter().for_each(|&byte| pixel[byte] = if is_bright { 230 } else { 20 });
        }
    }
    picture
}

/// Bytes from pixel to pixel in the first plane, and those of a pixel that say how bright it is.
fn brightness(format: PixelFormat) -> Option<(usize, &'static [usize])> {
    match format {
        PixelFormat::Yuyv => Some((2, &[0])),
        PixelFormat::Uyvy => Some((2, &[1])),
        PixelFormat::Nv12 => Some((1, &[0])),
        PixelFormat::Rgb24 | PixelFormat::Bgr24 => Some((3, &[0, 1, 2])),
        _ => None,
    }
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
