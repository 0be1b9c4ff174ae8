//! A small pool whose threads share the rows of an op: awake while a frame is computed, parked between frames.

use std::any::Any;
use std::cell::UnsafeCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, Thread};

use crate::engine::kernels::Scratch;
use crate::fault::{Exit, Fault};

/// Rounds of waiting before a thread parks or gives its core away: some tens of microseconds, longer than an op that one
/// thread does alone.
const SPINS: u32 = 1200;
/// Looks in a round. Hypervisors take the core from a guest that pauses again and again within a hundred cycles.
const LOOKS: u32 = 64;

/// What all threads do: called with the number of the thread, 0 for the caller's.
type Job<'a> = &'a (dyn Fn(usize) + Sync);

/// Threads beside the caller's, and each thread's working memory.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<(JoinHandle<()>, Thread)>,
    scratches: Vec<Mutex<Scratch>>,
}

struct Shared {
    /// What the workers may do now; only written while no worker is inside.
    job: UnsafeCell<Option<Job<'static>>>,
    /// The number of the job, whether it is [`OPEN`], and how many workers are inside.
    state: AtomicU64,
    /// Workers, by number, that may be parked.
    parked: Vec<AtomicBool>,
    /// What a worker panicked with.
    failed: Mutex<Option<Box<dyn Any + Send>>>,
    stop: AtomicBool,
}

/// Workers may still begin the job. The bits below count those inside, the bits above jobs.
const OPEN: u64 = 1 << 16;
const NEXT_JOB: u64 = 1 << 17;

// SAFETY: `job` is written by the pool's owner alone while the job is closed and no worker is inside; workers read it after
// they went inside an open one (acquire), and the owner closes it and waits until all are outside before it goes on. What it
// points to is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

impl Pool {
    /// `threads` in all; 1 starts none. Thread `n` from 1 on keeps to core `cores[n]`; the caller's, 0, is kept to its own by
    /// [`pin`], for it need not be the one that calls this. A core that cannot be had is told in the log, and costs only the
    /// pin.
    ///
    /// # Errors
    /// 69 if a thread cannot be started.
    pub fn new(threads: usize, cores: &[usize]) -> anyhow::Result<Pool> {
        let threads = threads.max(1);
        let shared = Arc::new(Shared {
            job: UnsafeCell::new(None),
            state: AtomicU64::new(0),
            parked: (0..threads).map(|_| AtomicBool::new(false)).collect(),
            failed: Mutex::new(None),
            stop: AtomicBool::new(false),
        });
        let mut pool = Pool { shared, workers: vec![], scratches: vec![] };
        for number in 1..threads {
            let (shared, core) = (pool.shared.clone(), cores.get(number).copied());
            let work = move || {
                core.into_iter().for_each(pin);
                shared.work(number);
            };
            let worker = std::thread::Builder::new().name(format!("engine-{number}")).spawn(work);
            let worker = worker
                .map_err(|error| Fault::new(Exit::Device, format!("cannot start a thread: {error}")))?;
            let thread = worker.thread().clone();
            pool.workers.push((worker, thread));
        }
        pool.scratches = (0..threads).map(|_| Mutex::default()).collect();
        Ok(pool)
    }

    /// The caller's and the workers.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Lets `grow` enlarge each thread's working memory.
    pub fn reserve(&mut self, grow: impl Fn(&mut Scratch)) {
        for scratch in &mut self.scratches {
            grow(scratch.get_mut().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Bytes of all threads' working memory.
    pub fn scratch_bytes(&mut self) -> usize {
        let scratches = self.scratches.iter_mut();
        scratches.map(|scratch| scratch.get_mut().unwrap_or_else(PoisonError::into_inner).bytes()).sum()
    }

    /// Calls `work` with ranges of rows that together are `0..rows`, on up to `threads` threads, each with its range's part
    /// of `output`, in which rows begin `row` bytes apart, and with its thread's working memory. Ranges are `each` rows
    /// long, but for the last.
    ///
    /// # Panics
    /// If `work` does, after all threads have ended it.
    pub fn split_rows(
        &self,
        threads: usize,
        rows: usize,
        each: usize,
        row: usize,
        output: &mut [u8],
        work: impl Fn(Range<usize>, &mut [u8], &mut Scratch) + Sync,
    ) {
        let locked = |thread: usize| self.scratches[thread].lock().unwrap_or_else(PoisonError::into_inner);
        if threads <= 1 || self.workers.is_empty() || each >= rows {
            return work(0..rows, output, &mut locked(0));
        }
        let parts = Mutex::new(output.chunks_mut((each * row).max(1)).enumerate());
        self.run(&|thread| {
            if thread >= threads {
                return;
            }
            let scratch = &mut *locked(thread);
            loop {
                let next = parts.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((index, part)) = next else { break };
                if index * each >= rows {
                    break;
                }
                work(index * each..rows.min((index + 1) * each), part, scratch);
            }
        });
    }

    /// The caller does `job`, and so does every worker that is there before the caller is done: one that the system gives no
    /// core delays nobody.
    fn run(&self, job: Job<'_>) {
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes. `Close` waits until no worker uses the job any more, even if `job` panics here.
        let job_forever = unsafe { std::mem::transmute::<Job<'_>, Job<'static>>(job) };
        // SAFETY: no worker reads it now: the last job is closed, and nobody is inside.
        unsafe { *shared.job.get() = Some(job_forever) };
        // A panic of the caller's own part has left the workers' where it was.
        *shared.failed() = None;
        let number = shared.state.load(Ordering::Relaxed) / NEXT_JOB + 1;
        shared.state.store(number * NEXT_JOB + OPEN, Ordering::SeqCst);
        for (number, (_, thread)) in self.workers.iter().enumerate() {
            if shared.parked[number + 1].swap(false, Ordering::SeqCst) {
                thread.unpark();
            }
        }
        let close = Close(shared);
        job(0);
        drop(close);
        if let Some(panic) = shared.failed().take() {
            resume_unwind(panic);
        }
    }
}

/// Looks whether something has happened, some times, and pauses once if it has not.
fn look(mut happened: impl FnMut() -> bool) -> bool {
    for _ in 0..LOOKS {
        if happened() {
            return true;
        }
    }
    std::hint::spin_loop();
    false
}

/// Closes the job when dropped, and waits for the workers inside.
struct Close<'a>(&'a Shared);

impl Drop for Close<'_> {
    fn drop(&mut self) {
        self.0.state.fetch_and(!OPEN, Ordering::SeqCst);
        let mut rounds = 0;
        while !look(|| self.0.state.load(Ordering::Acquire).is_multiple_of(OPEN)) {
            rounds += 1;
            if rounds > SPINS {
                std::thread::yield_now();
            }
        }
    }
}

impl Shared {
    fn failed(&self) -> MutexGuard<'_, Option<Box<dyn Any + Send>>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, number: usize) {
        let mut done = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let state = self.wait(number, done);
            if state & OPEN == 0 {
                done = state / NEXT_JOB;
                continue;
            }
            let inside = self.state.compare_exchange(state, state + 1, Ordering::SeqCst, Ordering::Relaxed);
            if inside.is_err() {
                continue;
            }
            done = state / NEXT_JOB;
            // SAFETY: the job was open when this worker went inside, and its owner waits until it is outside.
            let job = unsafe { *self.job.get() };
            if let Some(job) = job
                && let Err(panic) = catch_unwind(AssertUnwindSafe(|| job(number)))
            {
                *self.failed() = Some(panic);
            }
            self.state.fetch_sub(1, Ordering::Release);
        }
    }

    /// Until there is a job that is not `done`, or the pool stops.
    fn wait(&self, number: usize, done: u64) -> u64 {
        for _ in 0..SPINS {
            let mut state = 0;
            let new = || {
                state = self.state.load(Ordering::Acquire);
                state / NEXT_JOB != done
            };
            if look(new) {
                return state;
            }
        }
        loop {
            self.parked[number].store(true, Ordering::SeqCst);
            let state = self.state.load(Ordering::SeqCst);
            if state / NEXT_JOB != done {
                self.parked[number].store(false, Ordering::SeqCst);
                return state;
            }
            std::thread::park();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // A job that is not open: whoever waits sees it.
        self.shared.state.fetch_add(NEXT_JOB, Ordering::SeqCst);
        for (worker, thread) in self.workers.drain(..) {
            thread.unpark();
            let _ = worker.join();
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} threads", self.threads())
    }
}

/// Keeps the calling thread to a core; if that cannot be, says so and leaves it as it is.
pub(super) fn pin(core: usize) {
    if let Err(why) = try_pin(core) {
        log::warn!("inference cannot be bound to core {core}: {why}; it runs on any free core");
    }
}

fn try_pin(core: usize) -> Result<(), String> {
    if core >= rustix::thread::CpuSet::MAX_CPU {
        return Err("there is no such core".into());
    }
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core);
    rustix::thread::sched_setaffinity(None, &cores).map_err(|error| match error {
        rustix::io::Errno::INVAL => "there is no such core, or it is offline".into(),
        error => error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_written_once_by_any_number_of_threads() {
        for threads in 1..6 {
            let pool = Pool::new(threads, &[]).unwrap();
            for round in 0..200 {
                let mut output = vec![0u8; 7 * 3];
                pool.split_rows(threads, 7, 1 + round % 4, 3, &mut output, |rows, part, _| {
                    assert_eq!(part.len(), 3 * rows.len());
                    for (row, bytes) in rows.zip(part.chunks_mut(3)) {
                        bytes.iter_mut().for_each(|byte| *byte += row as u8 + 1);
                    }
                });
                let expected: Vec<u8> = (1..=7).flat_map(|row| [row; 3]).collect();
                assert_eq!(output, expected, "{threads} threads");
                if round % 50 == 0 {
                    // Long enough that the threads park.
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
            }
        }
    }

    #[test]
    fn a_panic_in_any_thread_reaches_the_caller_and_leaves_the_pool_usable() {
        let pool = Pool::new(3, &[]).unwrap();
        let mut output = vec![0u8; 30];
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            pool.split_rows(3, 30, 1, 1, &mut output, |rows, _, _| assert!(rows.start != 29, "row 29"));
        }));
        assert!(outcome.is_err());
        pool.split_rows(3, 30, 1, 1, &mut output, |_, part, _| part.fill(1));
        assert_eq!(output, [1; 30]);
    }

    #[test]
    fn a_core_that_is_not_there_costs_the_pin_alone() {
        let pool = Pool::new(3, &[0, 1_000_000, 1000]).unwrap();
        let mut output = vec![0u8; 30];
        pool.split_rows(3, 30, 1, 1, &mut output, |_, part, _| part.fill(1));
        assert_eq!(output, [1; 30]);
        let work = || {
            let everywhere = rustix::thread::sched_getaffinity(None).unwrap();
            pin(1_000_000);
            pin(1000);
            let after = rustix::thread::sched_getaffinity(None).unwrap();
            assert!((0..64).all(|core| everywhere.is_set(core) == after.is_set(core)));
            let first = (0..64).find(|&core| everywhere.is_set(core)).unwrap();
            pin(first);
            let pinned = rustix::thread::sched_getaffinity(None).unwrap();
            assert!(pinned.is_set(first) && pinned.count() == 1);
        };
        std::thread::spawn(work).join().unwrap();
    }
}
