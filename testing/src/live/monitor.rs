//! A monitor in memory, and what displaying costs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use polyp_edge::display::kms::{Composition, Kms, ModeWish, Wanted};
use polyp_edge::display::{Flipped, Scene, Shown, Sink};
use polyp_edge::geometry::Placement;

use super::{HEIGHT, RATE_HZ, WIDTH};
use crate::gpu::{Abilities, FakeGpu, mode};

/// After this all memory should be there.
const WARM_UP: Duration = Duration::from_secs(3);

/// The monitor in memory, its clock kept with the real one; measures the CPU time of the thread that shows.
struct State {
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

    /// Memory in KiB and open files of this process that are held more now than after the first seconds.
    pub fn grown(&self) -> (i64, i64) {
        let state = self.lock();
        match state.held_at_first.zip(state.held_at_last) {
            Some((first, last)) => (last.0 - first.0, last.1 - first.1),
            None => (0, 0),
        }
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
