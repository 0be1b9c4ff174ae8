//! Runs tasks one at a time, in an order and at times that a seed decides.
//!
//! A task is a stack of its own on the calling thread. It runs until it waits, rests or takes a lock; then the one that is
//! due first goes on. Time stands still while a task runs and moves to the next one's time between them, so that a
//! simulated hour takes as long as what happens in it.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant, SystemTime};

use corosensei::{Coroutine, CoroutineResult, Yielder};
use polyp_edge::runtime::{self, Key};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The wall clock when a simulation begins: 1 January 2026.
const BEGIN_UNIX_S: u64 = 1_767_225_600;

/// Waits of one lock or condition that came to nothing are forgotten when there are so many.
const MOST_STALE: usize = 16;

/// How unlike each other runs of different seeds are.
#[derive(Clone, Copy, Debug)]
pub struct Chaos {
    /// How often another task may go on before a lock is taken.
    pub switch_share: f64,
    /// A task that may go on does so after up to so long.
    pub delay: Duration,
    /// How often the delay is a hundred times as long.
    pub late_share: f64,
}

impl Default for Chaos {
    fn default() -> Chaos {
        Chaos { switch_share: 0.05, delay: Duration::from_micros(40), late_share: 0.002 }
    }
}

/// Why a simulation came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The first task ended.
    Done,
    /// The time is over.
    TimeIsOver,
    /// All tasks wait for one another.
    Deadlock,
}

/// See the module.
pub struct Scheduler {
    me: Weak<Scheduler>,
    state: RefCell<State>,
    /// Where the running task gives way.
    yielder: Cell<Option<*const Yielder<(), ()>>>,
}

struct State {
    rng: ChaCha8Rng,
    chaos: Chaos,
    begin: Instant,
    time: Duration,
    /// What the wall clock is off.
    wall_forward: Duration,
    wall_back: Duration,
    tasks: Vec<Task>,
    running: usize,
    /// Due time, then a random order, then the task and its turn.
    due: BinaryHeap<Reverse<(Duration, u32, usize, u64)>>,
    waiting: HashMap<Key, VecDeque<(usize, u64)>>,
    starving: Vec<(String, Duration)>,
    steps: u64,
    digest: u64,
}

struct Task {
    name: String,
    priority: u8,
    /// `None` while it runs and after its end.
    body: Option<Coroutine<(), (), ()>>,
    yielder: Option<*const Yielder<(), ()>>,
    /// Counts its rests: what was arranged for an earlier one no longer holds.
    turn: u64,
    was_woken: bool,
    is_over: bool,
}

/// A task that was started and has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Living {
    /// As it was started.
    pub name: String,
    /// The real-time priority that it asked for, 0 for none.
    pub priority: u8,
}

impl Scheduler {
    /// A scheduler without tasks.
    pub fn new(seed: u64, chaos: Chaos) -> Rc<Scheduler> {
        Rc::new_cyclic(|me| Scheduler {
            me: me.clone(),
            state: RefCell::new(State {
                rng: ChaCha8Rng::seed_from_u64(seed),
                chaos,
                begin: runtime::now(),
                time: Duration::ZERO,
                wall_forward: Duration::ZERO,
                wall_back: Duration::ZERO,
                tasks: Vec::new(),
                running: 0,
                due: BinaryHeap::new(),
                waiting: HashMap::new(),
                starving: Vec::new(),
                steps: 0,
                digest: 0xcbf2_9ce4_8422_2325,
            }),
            yielder: Cell::new(None),
        })
    }

    /// Runs `first` and all that it starts, until it ends or the simulated time is over.
    pub fn run(self: &Rc<Self>, length: Duration, first: impl FnOnce() + 'static) -> End {
        runtime::simulated(self.clone(), || {
            self.add("main", Box::new(first));
            loop {
                match self.step(length) {
                    Ok(0) => return End::Done,
                    Ok(_) => {}
                    Err(end) => return end,
                }
            }
        })
    }

    /// Lets what is due first go on; the number of the task if it came to its end, else `usize::MAX`.
    fn step(&self, length: Duration) -> Result<usize, End> {
        let (number, mut body) = {
            let mut state = self.state.borrow_mut();
            loop {
                let Some(Reverse((time, order, number, turn))) = state.due.pop() else {
                    return Err(End::Deadlock);
                };
                let Some(task) = state.tasks.get(number) else { continue };
                if task.turn != turn || task.is_over {
                    continue;
                }
                let starved =
                    if state.starving.is_empty() { None } else { state.starved_until(number, time) };
                if let Some(until) = starved {
                    state.due.push(Reverse((until, order, number, turn)));
                    continue;
                }
                if time > length {
                    return Err(End::TimeIsOver);
                }
                state.time = state.time.max(time);
                state.running = number;
                state.note(number as u64);
                let Some(task) = state.tasks.get_mut(number) else { continue };
                task.turn += 1;
                let Some(body) = task.body.take() else { continue };
                self.yielder.set(task.yielder);
                break (number, body);
            }
        };
        let outcome = body.resume(());
        let mut state = self.state.borrow_mut();
        let Some(task) = state.tasks.get_mut(number) else { return Ok(usize::MAX) };
        match outcome {
            CoroutineResult::Yield(()) => {
                task.body = Some(body);
                Ok(usize::MAX)
            }
            CoroutineResult::Return(()) => {
                (task.is_over, task.yielder) = (true, None);
                Ok(number)
            }
        }
    }

    /// Starts a task of the simulation itself.
    pub fn start(self: &Rc<Self>, name: &str, work: impl FnOnce() + 'static) {
        self.add(name, Box::new(work));
    }

    fn add(self: &Rc<Self>, name: &str, work: Box<dyn FnOnce()>) {
        let number = self.state.borrow().tasks.len();
        let scheduler = Rc::downgrade(self);
        let body = Coroutine::new(move |yielder: &Yielder<(), ()>, ()| {
            if let Some(scheduler) = scheduler.upgrade() {
                let yielder = std::ptr::from_ref(yielder);
                scheduler.yielder.set(Some(yielder));
                if let Some(task) = scheduler.state.borrow_mut().tasks.get_mut(number) {
                    task.yielder = Some(yielder);
                }
            }
            work();
        });
        let mut state = self.state.borrow_mut();
        state.tasks.push(Task {
            name: name.to_owned(),
            priority: 0,
            body: Some(body),
            yielder: None,
            turn: 0,
            was_woken: false,
            is_over: false,
        });
        state.ready(number);
    }

    /// The running task gives way to others.
    fn give_way(&self) {
        let Some(yielder) = self.yielder.get() else { return };
        // SAFETY: it is the running task's, and lives on its stack as long as the task does not end.
        unsafe { (*yielder).suspend(()) };
    }

    /// Tasks of this name do not run until the simulated time is this much after the beginning.
    pub fn starve(&self, name: &str, until: Duration) {
        self.state.borrow_mut().starving.push((name.to_owned(), until));
    }

    /// Sets the wall clock forward or back.
    pub fn set_wall_clock(&self, forward: Duration, back: Duration) {
        let mut state = self.state.borrow_mut();
        state.wall_forward += forward;
        state.wall_back += back;
    }

    /// The simulated time since the beginning.
    pub fn time(&self) -> Duration {
        self.state.borrow().time
    }

    /// How often a task went on, and a number that stands for all that happened: the same for the same seed.
    pub fn trace(&self) -> (u64, u64) {
        let state = self.state.borrow();
        (state.steps, state.digest)
    }

    /// Takes something in that happened, for [`Scheduler::trace`].
    pub fn note(&self, what: u64) {
        self.state.borrow_mut().note(what);
    }

    /// Tasks that have not ended.
    pub fn living(&self) -> Vec<Living> {
        let state = self.state.borrow();
        let living = state.tasks.iter().filter(|task| !task.is_over);
        living.map(|task| Living { name: task.name.clone(), priority: task.priority }).collect()
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        for task in &mut self.state.get_mut().tasks {
            if let Some(body) = task.body.as_mut().filter(|body| body.started() && !body.done()) {
                // SAFETY: nothing on its stack is borrowed by others: tasks share what they own by counted references. What it
                // owns is leaked; unwinding it could wait for locks that other such tasks hold.
                unsafe { body.force_reset() };
            }
        }
    }
}

impl State {
    /// FNV-1a over time and what happened.
    fn note(&mut self, what: u64) {
        self.steps += 1;
        for word in [self.time.as_nanos() as u64, what] {
            for byte in word.to_le_bytes() {
                self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }

    fn starved_until(&mut self, number: usize, time: Duration) -> Option<Duration> {
        self.starving.retain(|(_, until)| *until > time);
        let name = &self.tasks.get(number)?.name;
        self.starving.iter().filter(|(starved, _)| starved == name).map(|(_, until)| *until).max()
    }

    /// How long a task that may go on waits for its core.
    fn delay(&mut self) -> Duration {
        let longest = self.chaos.delay.as_nanos() as u64;
        let delay = self.rng.random_range(0..=longest);
        let is_late = self.rng.random_bool(self.chaos.late_share);
        Duration::from_nanos(if is_late { 100 * delay } else { delay })
    }

    fn ready(&mut self, number: usize) {
        let time = self.time + self.delay();
        self.arrange(number, time);
    }

    fn arrange(&mut self, number: usize, time: Duration) {
        let order = self.rng.random();
        let Some(task) = self.tasks.get(number) else { return };
        self.due.push(Reverse((time, order, number, task.turn)));
    }

    fn since_begin(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.begin)
    }
}

impl runtime::Scheduler for Scheduler {
    fn now(&self) -> Instant {
        let state = self.state.borrow();
        state.begin + state.time
    }

    fn wall_clock(&self) -> SystemTime {
        let state = self.state.borrow();
        SystemTime::UNIX_EPOCH + Duration::from_secs(BEGIN_UNIX_S) + state.time + state.wall_forward
            - state.wall_back
    }

    fn spawn(&self, name: &str, task: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        let me = self.me.upgrade().ok_or(io::ErrorKind::Other)?;
        me.add(name, task);
        Ok(())
    }

    fn name(&self) -> String {
        let state = self.state.borrow();
        state.tasks.get(state.running).map_or(String::new(), |task| task.name.clone())
    }

    fn rest(&self, until: Option<Instant>) {
        // Whether a thread panics is known of the whole of it: nobody else may run meanwhile.
        if until.is_none() && std::thread::panicking() {
            return;
        }
        {
            let mut state = self.state.borrow_mut();
            let number = state.running;
            match until {
                Some(until) => {
                    let time = state.since_begin(until).max(state.time) + state.delay();
                    state.arrange(number, time);
                }
                None => {
                    let share = state.chaos.switch_share;
                    if !state.rng.random_bool(share) {
                        return;
                    }
                    state.ready(number);
                }
            }
        }
        self.give_way();
    }

    fn wait(&self, key: Key, until: Option<Instant>) -> bool {
        let number = {
            let mut state = self.state.borrow_mut();
            let number = state.running;
            let turn = state.tasks.get(number).map_or(0, |task| task.turn);
            let State { waiting, tasks, .. } = &mut *state;
            let queue = waiting.entry(key).or_default();
            if queue.len() >= MOST_STALE {
                queue.retain(|&(number, turn)| tasks.get(number).is_some_and(|task| task.turn == turn));
            }
            queue.push_back((number, turn));
            if let Some(until) = until {
                let time = state.since_begin(until).max(state.time) + state.delay();
                state.arrange(number, time);
            }
            number
        };
        self.give_way();
        let mut state = self.state.borrow_mut();
        state.tasks.get_mut(number).is_some_and(|task| std::mem::take(&mut task.was_woken))
    }

    fn wake(&self, key: Key, all: bool) {
        let mut state = self.state.borrow_mut();
        let Some(mut waiting) = state.waiting.remove(&key) else { return };
        while let Some((number, turn)) = waiting.pop_front() {
            let Some(task) = state.tasks.get_mut(number) else { continue };
            // It no longer waits, or somebody was faster.
            if task.turn != turn || task.was_woken || task.is_over {
                continue;
            }
            task.was_woken = true;
            state.ready(number);
            if !all {
                break;
            }
        }
        if !waiting.is_empty() {
            state.waiting.insert(key, waiting);
        }
    }

    fn set_priority(&self, priority: u8) {
        let mut state = self.state.borrow_mut();
        let running = state.running;
        if let Some(task) = state.tasks.get_mut(running) {
            task.priority = priority;
        }
    }
}
