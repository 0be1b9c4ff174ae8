//! How much the machine itself delayed: without this, a busy machine would pass for a slow program.
//!
//! Two things are measured while a test runs. One thread on each core sleeps for 5 ms again and again and notes by how
//! much it overslept: a core that the host of a virtual machine took away is seen here. And the kernel counts how long the
//! program's threads could have run but had no core: those that carry the picture for the time between pictures, all of
//! them for starts and ends, in which one waits for another. For those a third thing counts: for how long a thread was seen
//! waiting in the kernel, uninterruptibly, as for a disk: no signal can end a process then.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::process;

const NAP: Duration = Duration::from_millis(5);

/// The threads that carry the picture: from the camera, onto it, out to standard output.
const CARRIERS: [&str; 3] = ["capture", "display", "pictures"];

#[derive(Default)]
struct Measured {
    /// When a nap ended, and by how much it was too long.
    overslept: Vec<(Instant, Duration)>,
    /// When it was looked, and how long the program's threads had waited for a core until then, in total.
    waited: Vec<(Instant, Waited)>,
}

#[derive(Clone, Copy, Default)]
struct Waited {
    carriers: Duration,
    /// Of all threads, for a core or uninterruptibly in the kernel.
    all: Duration,
}

/// Measures until it is dropped.
pub struct Noise {
    measured: Arc<Mutex<Measured>>,
    over: Arc<AtomicBool>,
}

impl Noise {
    /// Begins to measure, for the process with this id.
    pub fn of(process: u32) -> Noise {
        let noise = Noise { measured: Arc::default(), over: Arc::default() };
        let cores = sched_getaffinity(None).unwrap();
        for core in (0..CpuSet::MAX_CPU).filter(|&core| cores.is_set(core)) {
            let (measured, over) = (noise.measured.clone(), noise.over.clone());
            thread::spawn(move || {
                let mut only = CpuSet::new();
                only.set(core);
                sched_setaffinity(None, &only).unwrap();
                hurry();
                while !over.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    thread::sleep(NAP);
                    let overslept = begun.elapsed().saturating_sub(NAP);
                    lock(&measured).overslept.push((Instant::now(), overslept));
                }
            });
        }
        let (measured, over) = (noise.measured.clone(), noise.over.clone());
        thread::spawn(move || {
            hurry();
            let (mut known, mut total) = (BTreeMap::new(), Waited::default());
            let mut looked = Instant::now();
            while !over.load(Ordering::Relaxed) {
                let mut uninterruptible = false;
                for thread in process::threads(process) {
                    uninterruptible |= process::is_uninterruptible(process, thread.id);
                    let Some(waited) = process::waited_for_core(process, thread.id) else { continue };
                    let before = known.insert(thread.id, waited).unwrap_or_default();
                    let more = waited.saturating_sub(before);
                    total.all += more;
                    if CARRIERS.contains(&&*thread.name) {
                        total.carriers += more;
                    }
                }
                let now = Instant::now();
                if uninterruptible {
                    total.all += now - looked;
                }
                looked = now;
                lock(&measured).waited.push((now, total));
                thread::sleep(NAP);
            }
        });
        noise
    }

    /// Waits until what has happened so far is measured.
    pub fn catch_up(&self) {
        thread::sleep(3 * NAP);
    }

    /// Of the picture: the longest oversleeping between two instants, and how long the threads that carry it waited.
    pub fn of_picture(&self, from: Instant, to: Instant) -> Duration {
        self.between(from, to, |waited| waited.carriers)
    }

    /// Of a start or an end, in which threads wait for each other: the same with all threads.
    pub fn of_program(&self, from: Instant, to: Instant) -> Duration {
        self.between(from, to, |waited| waited.all)
    }

    fn between(&self, from: Instant, to: Instant, of: impl Fn(Waited) -> Duration) -> Duration {
        let measured = lock(&self.measured);
        // A nap that began before the end still tells of it.
        let naps = measured.overslept.iter().filter(|(at, _)| (from..=to + 2 * NAP).contains(at));
        let overslept = naps.map(|&(_, overslept)| overslept).max().unwrap_or_default();
        let waited_at = |instant: Instant| {
            let before = measured.waited.partition_point(|&(at, _)| at <= instant);
            before.checked_sub(1).map_or(Duration::ZERO, |last| of(measured.waited[last].1))
        };
        overslept + waited_at(to + 2 * NAP).saturating_sub(waited_at(from))
    }
}

impl Drop for Noise {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn lock(measured: &Mutex<Measured>) -> std::sync::MutexGuard<'_, Measured> {
    measured.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Real-time priority for the calling thread, where that is permitted: what measures is not to wait for what it
/// measures.
pub fn hurry() {
    use thread_priority::unix::{
        RealtimeThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
    };
    let fifo = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let priority = thread_priority::ThreadPriorityValue::try_from(50).unwrap();
    let priority = thread_priority::ThreadPriority::Crossplatform(priority);
    let _ = set_thread_priority_and_policy(thread_native_id(), priority, fifo);
}
