//! What a run holds, and how often the system takes the core away from the thread that shows: looked at by a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// After this all memory should be there.
const WARM_UP: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What was seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Memory in KiB and open files that were held more at the end than after the first seconds.
    pub grown: (i64, i64),
    /// How often another thread was given the core of the one that shows, from the first seconds on.
    pub preempted: u64,
}

/// A thread that looks.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl Watch {
    /// Looks from now on. `shows`: the thread that shows, 0 before there is one.
    pub fn begin(shows: Arc<AtomicI32>) -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        Watch { stop, thread: std::thread::spawn(move || look(&told, &shows)) }
    }

    /// What was seen until now.
    pub fn end(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

fn look(stop: &AtomicBool, shows: &AtomicI32) -> Seen {
    let (begun, mut first, mut seen) = (Instant::now(), None, Seen::default());
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK_EVERY);
        if begun.elapsed() < WARM_UP {
            continue;
        }
        let held = held();
        // Nothing counts once the thread has ended.
        let Some(preempted) = preempted(shows.load(Ordering::Relaxed)) else { continue };
        let (held_first, preempted_first) = *first.get_or_insert((held, preempted));
        seen.grown = (held.0 - held_first.0, held.1 - held_first.1);
        seen.preempted = preempted.saturating_sub(preempted_first);
    }
    seen
}

/// Memory in KiB and open files of this process.
fn held() -> (i64, i64) {
    let kib = field("/proc/self/status", "VmRSS:").unwrap_or(0) as i64;
    (kib, std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as i64))
}

fn preempted(thread: i32) -> Option<u64> {
    field(&format!("/proc/self/task/{thread}/status"), "nonvoluntary_ctxt_switches:")
}

fn field(path: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}
