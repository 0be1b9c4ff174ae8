//! A monitor in memory, and what displaying costs.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use polyp_edge::display::kms::{Composition, Kms, ModeWish, Wanted};
use polyp_edge::display::{Flipped, Scene, Shown, Sink};
use polyp_edge::geometry::Placement;

use super::{HEIGHT, RATE_HZ, WIDTH};
use crate::gpu::{Abilities, FakeGpu, mode};

/// The monitor in memory, its clock kept with the real one; measures the CPU time of the thread that shows, and tells others which
/// thread that is.
struct State {
    kms: Kms<FakeGpu>,
    gpu: FakeGpu,
    start: Instant,
    moved: Duration,
    thread: Arc<AtomicI32>,
    cpu_at_start: Option<Duration>,
    cpu: Duration,
}

impl State {
    fn new(composition: Composition) -> Result<State> {
        let modes = [mode(WIDTH as u16, HEIGHT as u16, RATE_HZ as u32, true)];
        // Without import: the case in which the CPU has all the work.
        let gpu = FakeGpu::new(Abilities { imports: false, ..Abilities::all() }, &modes);
        let wanted = Wanted { modes: vec![ModeWish::Camera], composition, ..Wanted::default() };
        let kms = Kms::with(gpu.clone(), &wanted)?;
        let start = Instant::now();
        Ok(State {
            kms,
            gpu,
            start,
            moved: Duration::ZERO,
            thread: Arc::default(),
            cpu_at_start: None,
            cpu: Duration::ZERO,
        })
    }

    fn keep_time(&mut self) {
        let now = self.start.elapsed();
        self.gpu.advance(now.saturating_sub(self.moved));
        self.moved = now;
    }
}

/// The monitor, in the pipeline's hands and in ours.
#[derive(Clone)]
pub struct Monitor(Arc<Mutex<State>>);

impl Sink for Monitor {
    fn place(&mut self, width_px: usize, height_px: usize) -> Placement {
        self.lock().place(width_px, height_px)
    }
    fn show(&mut self, scene: &Scene<'_>) -> Result<Shown> {
        self.lock().show(scene)
    }
    fn tend(&mut self, flipped: &mut dyn FnMut(Flipped)) -> Result<()> {
        self.lock().tend(flipped)
    }
    fn tells_flips(&self) -> bool {
        true
    }
    fn describe(&self) -> String {
        self.lock().describe()
    }
}

impl Monitor {
    pub fn new(composition: Composition) -> Result<Monitor> {
        Ok(Monitor(Arc::new(Mutex::new(State::new(composition)?))))
    }

    /// What the thread that shows has taken.
    pub fn cpu(&self) -> Duration {
        self.lock().cpu
    }

    /// The thread that shows; 0 before it has.
    pub fn thread(&self) -> Arc<AtomicI32> {
        self.lock().thread.clone()
    }

    /// Nobody else holds it while the pipeline runs.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for State {
    fn place(&mut self, width_px: usize, height_px: usize) -> Placement {
        self.keep_time();
        self.kms.place(width_px, height_px)
    }
    fn show(&mut self, scene: &Scene<'_>) -> Result<Shown> {
        if self.cpu_at_start.is_none() {
            self.thread.store(rustix::thread::gettid().as_raw_nonzero().get(), Ordering::Relaxed);
        }
        let start = *self.cpu_at_start.get_or_insert_with(cpu_time);
        let shown = self.kms.show(scene);
        self.cpu = cpu_time().saturating_sub(start);
        shown
    }
    fn tend(&mut self, _: &mut dyn FnMut(Flipped)) -> Result<()> {
        self.keep_time();
        self.kms.tend(&mut |_| {})
    }
    fn describe(&self) -> String {
        self.kms.describe()
    }
}

/// Of this thread.
pub fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
