//! A camera that lends rendered frames at a steady rate.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use polyp_edge::capture::live::{BufferId, Camera, Counts, DriverClock, Event, Stamp};
use polyp_edge::capture::synthetic::{Canvas, Colon, DEMO_SEED, Mask};
use polyp_edge::frame::{Colour, Frame, Matrix, PixelFormat, Range, Timestamp};

use super::{HEIGHT, RATE_HZ, WIDTH};
use crate::lent::{Lent, Shape};

/// Frames that the camera goes round in: more than caches hold.
const LOOP: usize = 12;

/// Frames of the rendered endoscope, `LOOP` of them, from the first polyp on.
pub fn rendered() -> Vec<Frame> {
    let (mut canvas, mut mask, mut frame) = (Canvas::default(), Mask::default(), Frame::black(1, 1));
    // Looked for in a small picture: it is the same colon.
    let small = Colon::new(WIDTH / 8, HEIGHT / 8, DEMO_SEED);
    let first = (0..600).find(|&number| {
        small.render_into(number, &mut canvas, &mut frame, &mut mask);
        mask.pixels.iter().filter(|&&value| value > 0).count() > mask.pixels.len() / 50
    });
    let colon = Colon::new(WIDTH, HEIGHT, DEMO_SEED);
    let render = |number| {
        let mut frame = Frame::black(WIDTH, HEIGHT);
        colon.render_into(first.unwrap_or(0) + number, &mut canvas, &mut frame, &mut mask);
        frame
    };
    (0..LOOP as u64).map(render).collect()
}

/// Buffers of a format, made from frames.
pub fn buffers(frames: &[Frame], format: PixelFormat) -> Vec<Arc<Lent>> {
    let colour = match format {
        PixelFormat::Rgb24 => Colour::RGB,
        _ => Colour { matrix: Matrix::Bt709, range: Range::Limited },
    };
    let stride = format.row_bytes(WIDTH).unwrap_or(0);
    let shape = Shape { format, colour, size: (WIDTH, HEIGHT), stride };
    let make = |(index, frame)| {
        let id = BufferId { queue: 1, index: index as u32 };
        Lent::new(shape, id, &packed(frame, format), true)
    };
    frames.iter().enumerate().map(make).collect()
}

/// BT.709, studio range, chroma of the left or upper left pixel.
fn packed(frame: &Frame, format: PixelFormat) -> Vec<u8> {
    let yuv = |pixel: &[u8]| {
        let [r, g, b] = [0, 1, 2].map(|index| f32::from(pixel[index]));
        let y = 16.0 + 0.1826 * r + 0.6142 * g + 0.0620 * b;
        let cb = 128.0 - 0.1006 * r - 0.3386 * g + 0.4392 * b;
        let cr = 128.0 + 0.4392 * r - 0.3989 * g - 0.0403 * b;
        [y, cb, cr].map(|value| value.round().clamp(0.0, 255.0) as u8)
    };
    let mut bytes = Vec::new();
    match format {
        PixelFormat::Yuyv => {
            for pair in frame.pixels().chunks_exact(6) {
                let ([y, cb, cr], [next, ..]) = (yuv(&pair[..3]), yuv(&pair[3..]));
                bytes.extend([y, cb, next, cr]);
            }
        }
        PixelFormat::Nv12 => {
            bytes.extend(frame.pixels().chunks_exact(3).map(|pixel| yuv(pixel)[0]));
            for y in (0..HEIGHT).step_by(2) {
                for pair in frame.row(y).chunks_exact(6) {
                    let [_, cb, cr] = yuv(pair);
                    bytes.extend([cb, cr]);
                }
            }
        }
        _ => bytes.extend_from_slice(frame.pixels()),
    }
    bytes
}

/// Lends its buffers one after another, at a steady rate.
pub struct Looped {
    buffers: Vec<Arc<Lent>>,
    start: Instant,
    next: u64,
    missed: u64,
}

impl Looped {
    /// Time counts from the first picture that is asked for.
    pub fn new(buffers: Vec<Arc<Lent>>) -> Looped {
        Looped { buffers, start: Instant::now(), next: 0, missed: 0 }
    }
}

impl Camera for Looped {
    fn next(&mut self, _: Duration, _: &mut Frame) -> Event {
        if self.next == 0 {
            self.start = Instant::now();
        }
        let due = self.start + Duration::from_secs_f64(self.next as f64 / RATE_HZ);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let buffer = &self.buffers[self.next as usize % self.buffers.len()];
        self.next += 1;
        if buffer.leases() > 0 {
            self.missed += 1;
            return Event::Nothing;
        }
        let timestamp = Timestamp(due - self.start);
        Event::Lent(
            buffer.lease(),
            Stamp {
                sequence: self.next,
                timestamp,
                since_taken: None,
                clock: DriverClock::Unknown,
                dequeued: Instant::now(),
            },
        )
    }
    fn granted(&self) -> String {
        "rendered frames".into()
    }
    fn counts(&self) -> Counts {
        Counts { pictures: self.next - self.missed, missed: self.missed, ..Counts::default() }
    }
}
