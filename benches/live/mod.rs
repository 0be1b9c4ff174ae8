//! Live video without hardware: a camera that lends rendered frames at a steady rate, and a monitor in memory. The way
//! between them, pipeline, colour, blending and commits, is the cart's.

#![allow(dead_code)]

#[path = "../../tests/fake/gpu.rs"]
pub mod gpu;
#[path = "../../tests/fake/lent.rs"]
pub mod lent;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use polyp_edge::capture::live::{BufferId, Camera, Counts, Event, Stamp};
use polyp_edge::capture::synthetic::{Canvas, Colon, DEMO_SEED, Mask};
use polyp_edge::display::kms::{Kms, ModeWish, Road, Wanted};
use polyp_edge::display::{Scene, Shown, Sink};
use polyp_edge::frame::{Colour, Frame, Matrix, PixelFormat, Range, Timestamp};
use polyp_edge::geometry::Placement;
use polyp_edge::latency::{Histogram, Stage};
use polyp_edge::pipeline::{self, Feed, Outcome, Settings};
use polyp_edge::segment::{Network, Segmenter};

use gpu::{Abilities, FakeGpu, mode};
use lent::{Lent, Shape};

pub const WIDTH: usize = 1920;
pub const HEIGHT: usize = 1080;
pub const RATE_HZ: f64 = 60.0;
/// Frames that the camera goes round in: more than caches hold.
const LOOP: usize = 12;

/// After this all memory should be there.
const WARM_UP: Duration = Duration::from_secs(3);

/// Seconds that each case runs: `BENCH_SECONDS`, else ten.
pub fn seconds() -> f64 {
    std::env::var("BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10.0)
}

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
        Event::Lent(buffer.lease(), Stamp { sequence: self.next, timestamp, dequeued: Instant::now() })
    }
    fn granted(&self) -> String {
        "rendered frames".into()
    }
    fn counts(&self) -> Counts {
        Counts { pictures: self.next - self.missed, missed: self.missed, ..Counts::default() }
    }
}

/// The monitor in memory, its clock kept with the real one; measures the CPU time of the thread that shows.
pub struct Monitor {
    kms: Kms<FakeGpu>,
    gpu: FakeGpu,
    start: Instant,
    moved: Duration,
    cpu_at_start: Option<Duration>,
    cpu: Duration,
    held_at_first: Option<(i64, i64)>,
    held_at_last: Option<(i64, i64)>,
    next_look: Duration,
}

impl Monitor {
    pub fn new(road: Road) -> Result<Monitor> {
        let modes = [mode(WIDTH as u16, HEIGHT as u16, RATE_HZ as u32, true)];
        // Without import: the case in which the CPU has all the work.
        let gpu = FakeGpu::new(Abilities { imports: false, ..Abilities::all() }, &modes);
        let wanted = Wanted { modes: vec![ModeWish::Camera], road, ..Wanted::default() };
        let kms = Kms::with(gpu.clone(), &wanted)?;
        let start = Instant::now();
        Ok(Monitor {
            kms,
            gpu,
            start,
            moved: Duration::ZERO,
            cpu_at_start: None,
            cpu: Duration::ZERO,
            held_at_first: None,
            held_at_last: None,
            next_look: WARM_UP,
        })
    }

    fn keep_time(&mut self) {
        let now = self.start.elapsed();
        self.gpu.advance(now.saturating_sub(self.moved));
        self.moved = now;
        if now >= self.next_look {
            self.next_look += Duration::from_secs(1);
            self.held_at_last = Some(held());
            self.held_at_first = self.held_at_first.or(self.held_at_last);
        }
    }
}

/// The monitor, in the pipeline's hands and in ours.
#[derive(Clone)]
struct Shared(Arc<Mutex<Monitor>>);

impl Sink for Shared {
    fn place(&mut self, width_px: usize, height_px: usize) -> Placement {
        self.lock().place(width_px, height_px)
    }
    fn show(&mut self, scene: &Scene<'_>) -> Result<Shown> {
        self.lock().show(scene)
    }
    fn tend(&mut self, flipped: &mut dyn FnMut(Instant, Instant)) -> Result<()> {
        self.lock().tend(flipped)
    }
    fn describe(&self) -> String {
        self.lock().describe()
    }
}

impl Shared {
    /// Nobody else holds it while the pipeline runs.
    fn lock(&self) -> MutexGuard<'_, Monitor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Monitor {
    fn place(&mut self, width_px: usize, height_px: usize) -> Placement {
        self.keep_time();
        self.kms.place(width_px, height_px)
    }
    fn show(&mut self, scene: &Scene<'_>) -> Result<Shown> {
        let start = *self.cpu_at_start.get_or_insert_with(cpu_time);
        let shown = self.kms.show(scene);
        self.cpu = cpu_time().saturating_sub(start);
        shown
    }
    fn tend(&mut self, _: &mut dyn FnMut(Instant, Instant)) -> Result<()> {
        self.keep_time();
        self.kms.tend(&mut |_, _| {})
    }
    fn describe(&self) -> String {
        self.kms.describe()
    }
}

/// Of this thread.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// Memory in KiB and open files of this process.
fn held() -> (i64, i64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.and_then(|text| text.trim().split(' ').next()?.parse().ok()).unwrap_or(0);
    (kib, std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as i64))
}

/// How a case went.
pub struct Run {
    pub outcome: Outcome,
    /// The displaying thread's share of a core.
    pub share: f64,
    /// Memory in KiB and files that are held more at the end than after the first seconds.
    pub grown: (i64, i64),
}

/// Runs the pipeline for a while.
pub fn run<S: Network + Send + 'static>(
    buffers: Vec<Arc<Lent>>,
    road: Road,
    settings: Settings,
    load: impl Fn() -> Result<Segmenter<S>> + Send + Sync + 'static,
) -> Result<Run> {
    let monitor = Shared(Arc::new(Mutex::new(Monitor::new(road)?)));
    let settings = Settings { most_time: Some(Duration::from_secs_f64(seconds())), ..settings };
    let feed = Feed::Live(Box::new(Looped::new(buffers)));
    let begun = Instant::now();
    let stop = AtomicBool::new(false);
    let outcome =
        pipeline::run(feed, Arc::new(load), Box::new(monitor.clone()), &settings, &stop, Box::new(()))?;
    let monitor = monitor.lock();
    let share = monitor.cpu.as_secs_f64() / begun.elapsed().as_secs_f64();
    let grown = match monitor.held_at_first.zip(monitor.held_at_last) {
        Some((first, last)) => (last.0 - first.0, last.1 - first.1),
        None => (0, 0),
    };
    Ok(Run { outcome, share, grown })
}

pub fn header() {
    println!(
        "{:38} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7} {:>12}",
        "", "shown", "p50 ms", "p95", "p99", "p99.9", "max", "core", "grown"
    );
}

pub fn line(name: &str, run: &Run, stage: Stage) {
    let histogram: &Histogram = run.outcome.latencies.stage(stage);
    let ms = |quantile: f64| histogram.quantile_us(quantile) as f64 / 1e3;
    println!(
        "{name:38} {:>6} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>6.1}% {:>5} KiB, {}",
        run.outcome.shown,
        ms(0.5),
        ms(0.95),
        ms(0.99),
        ms(0.999),
        ms(1.0),
        100.0 * run.share,
        run.grown.0,
        run.grown.1
    );
}
