//! Log lines on standard error, written by a thread of their own: whoever logs never waits for whoever reads.
//!
//! Guaranteed: a log call takes a lock only for the time of a copy in memory; at most [`MOST_LINES`] lines wait, and those
//! that find no room are counted and told later. After [`limit`], a place in the code that logs more than [`BURST`] lines in
//! [`WINDOW`] is told how many more there were instead of each. `RUST_LOG` is read for this project's crates alone: others say warnings
//! and errors.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use log::{LevelFilter, Log, Metadata, Record};

use crate::panics;
use crate::runtime;
use crate::runtime::sync::{Condvar, Mutex, MutexGuard};

/// Lines that may wait to be written.
pub const MOST_LINES: usize = 512;
/// The longest line in bytes; what is longer is cut.
const LONGEST_LINE: usize = 4096;
/// Lines from one place in the code, in a [`WINDOW`], that are written one by one.
pub const BURST: u32 = 20;
/// See [`BURST`].
pub const WINDOW: Duration = Duration::from_secs(10);
/// Places in the code whose lines are counted at once.
const MOST_PLACES: usize = 128;
/// How often the writing thread looks for lines that were held back.
const TICK: Duration = Duration::from_secs(1);

/// The crates that `RUST_LOG` speaks of.
const OURS: [&str; 2] = ["polyp_edge", "polyp_host"];

static QUEUE: OnceLock<Arc<Queue>> = OnceLock::new();
/// See [`limit`].
static IS_LIMITED: AtomicBool = AtomicBool::new(false);

/// Starts logging to standard error, at the level that `RUST_LOG` names, else `info`. A second call does nothing.
pub fn start() {
    let (recorder, writer) = recorder(std::env::var("RUST_LOG").ok().as_deref(), has_colours());
    if QUEUE.set(recorder.queue.clone()).is_err() {
        return;
    }
    // Without the thread, lines are counted and lost: logging is never worth ending for.
    let _ = runtime::thread::spawn("log", move || {
        writer.write_to(&mut io::stderr());
    });
    log::set_max_level(recorder.logger.filter());
    // Another logger of this process came first: it stays.
    let _ = log::set_boxed_logger(Box::new(recorder));
    // The standard library's own hook writes to standard error in the thread that panics.
    std::panic::set_hook(Box::new(|panic| {
        let name = runtime::thread::name();
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = panics::panic_text(panic.payload());
        log::error!("the thread \"{name}\" panicked at {place}: {text}");
    }));
}

/// From now on, a place in the code that repeats itself is told as a count: for programs that run for days.
pub fn limit() {
    IS_LIMITED.store(true, Ordering::Relaxed);
}

/// Puts a line of its own, without time and level, among the log's lines.
pub fn line(text: &str) {
    match QUEUE.get() {
        Some(queue) => queue.push(format!("{text}\n").as_bytes()),
        None => eprintln!("{text}"),
    }
}

/// Waits until all lines are written, at most for `patience`; whether they are.
pub fn flush(patience: Duration) -> bool {
    QUEUE.get().is_none_or(|queue| queue.flush(patience))
}

/// What takes records, and what writes them as lines, at the levels that a value of `RUST_LOG` names.
pub fn recorder(rust_log: Option<&str>, has_colours: bool) -> (Recorder, Writer) {
    let queue = Arc::new(Queue::default());
    let style = if has_colours { env_logger::WriteStyle::Always } else { env_logger::WriteStyle::Never };
    let logger = env_logger::Builder::new()
        .parse_filters(&filters(rust_log))
        .write_style(style)
        .target(env_logger::Target::Pipe(Box::new(Formatted)))
        .build();
    (Recorder { logger, queue: queue.clone() }, Writer(queue))
}

/// Colours go to terminals alone; what is written to the queue cannot tell by itself.
fn has_colours() -> bool {
    use std::io::IsTerminal;
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// `RUST_LOG`'s directives as far as they concern this project's crates.
fn filters(wanted: Option<&str>) -> String {
    let mut filters = String::from("warn");
    let mut add = |module: &str, level: LevelFilter| {
        filters += &format!(",{module}={level}");
    };
    OURS.iter().for_each(|module| add(module, LevelFilter::Info));
    for directive in wanted.unwrap_or("").split('/').next().unwrap_or("").split(',').map(str::trim) {
        let (module, level) = match directive.split_once('=') {
            Some((module, level)) => (module.trim(), level.trim().parse()),
            None => match directive.parse() {
                Ok(level) => ("", Ok(level)),
                Err(_) => (directive, Ok(LevelFilter::Trace)),
            },
        };
        let Ok(level) = level else { continue };
        if module.is_empty() && !directive.is_empty() {
            OURS.iter().for_each(|module| add(module, level));
        } else if OURS.iter().any(|ours| module.strip_prefix(ours).is_some_and(is_end_of_name)) {
            add(module, level);
        }
    }
    filters
}

fn is_end_of_name(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with("::")
}

/// Lines on their way.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    /// One line is being written.
    is_writing: bool,
    /// Lines that found no room since this was last told.
    lost: u64,
    places: Places,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock()
    }

    fn push(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.lines.len() >= MOST_LINES {
            waiting.lost += 1;
            return;
        }
        let kept = line.len().min(LONGEST_LINE);
        let mut line = line.get(..kept).unwrap_or(line).to_vec();
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        waiting.lines.push_back(line);
        drop(waiting);
        self.changed.notify_all();
    }

    fn flush(&self, patience: Duration) -> bool {
        let end = runtime::now() + patience;
        let mut waiting = self.lock();
        loop {
            if waiting.lines.is_empty() && !waiting.is_writing {
                return true;
            }
            let left = end.saturating_duration_since(runtime::now());
            if left.is_zero() {
                return false;
            }
            waiting = self.changed.wait_timeout(waiting, left);
        }
    }

    /// The next line to write, after a wait of at most [`TICK`].
    fn next(&self) -> Option<Vec<u8>> {
        let mut waiting = self.lock();
        if waiting.lines.is_empty() && waiting.lost == 0 {
            waiting = self.changed.wait_timeout(waiting, TICK);
        }
        let line = match waiting.lines.pop_front() {
            Some(line) => line,
            None if waiting.lost > 0 => {
                let lost = std::mem::take(&mut waiting.lost);
                format!(
                    "polyp-edge: {lost} log lines are missing here: standard error was not read in time\n"
                )
                .into_bytes()
            }
            None => waiting.places.held_back(runtime::now())?.into_bytes(),
        };
        waiting.is_writing = true;
        Some(line)
    }

    fn written(&self) {
        self.lock().is_writing = false;
        self.changed.notify_all();
    }
}

/// Writes the lines of a [`Recorder`], for as long as the program lives.
pub struct Writer(Arc<Queue>);

impl Writer {
    /// Writes lines as they come. Only the thread that calls this waits for `out`.
    pub fn write_to(&self, out: &mut dyn Write) -> ! {
        loop {
            let Some(line) = self.0.next() else { continue };
            // A reader that is gone misses nothing that it wants.
            let _ = out.write_all(&line).and_then(|()| out.flush());
            self.0.written();
        }
    }
}

thread_local! {
    /// The line that env_logger has just formatted for this thread.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What env_logger writes formatted lines to. It holds a lock of its own meanwhile, so nothing here may wait: a thread that
/// stands still with that lock would hold up every other one that logs.
struct Formatted;

impl Write for Formatted {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // A thread that ends logs no more.
        let _ = LINE.try_with(|formatted| formatted.borrow_mut().extend_from_slice(line));
        Ok(line.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Turns records into lines that wait to be written.
pub struct Recorder {
    logger: env_logger::Logger,
    queue: Arc<Queue>,
}

impl Log for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.logger.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.logger.matches(record) {
            return;
        }
        let place =
            Place { file: record.module_path_static().unwrap_or(""), line: record.line().unwrap_or(0) };
        // Whoever asks for more than the usual wants to see all of it.
        let is_limited = IS_LIMITED.load(Ordering::Relaxed) && record.level() <= log::Level::Info;
        if is_limited && !self.queue.lock().places.may(place, runtime::now()) {
            return;
        }
        self.logger.log(record);
        let line = LINE.try_with(RefCell::take).unwrap_or_default();
        if !line.is_empty() {
            self.queue.push(&line);
        }
    }

    fn flush(&self) {
        self.queue.flush(TICK);
    }
}

/// Where in the code a line comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    file: &'static str,
    line: u32,
}

/// How many lines came from each place lately.
#[derive(Default)]
struct Places {
    list: Vec<Counted>,
}

struct Counted {
    place: Place,
    since: Instant,
    written: u32,
    held_back: u64,
}

impl Places {
    /// Whether a line from there may be written now.
    fn may(&mut self, place: Place, now: Instant) -> bool {
        if let Some(counted) = self.list.iter_mut().find(|counted| counted.place == place) {
            if counted.written < BURST {
                counted.written += 1;
                return true;
            }
            if now.saturating_duration_since(counted.since) < WINDOW || counted.held_back > 0 {
                counted.held_back += 1;
                return false;
            }
            (counted.since, counted.written) = (now, 1);
            return true;
        }
        let is_over = |counted: &Counted| {
            counted.held_back == 0 && now.saturating_duration_since(counted.since) >= WINDOW
        };
        if self.list.len() >= MOST_PLACES {
            self.list.retain(|counted| !is_over(counted));
        }
        if self.list.len() < MOST_PLACES {
            self.list.push(Counted { place, since: now, written: 1, held_back: 0 });
        }
        true
    }

    /// What to say of a place whose window is over.
    fn held_back(&mut self, now: Instant) -> Option<String> {
        let counted = self.list.iter_mut().find(|counted| {
            counted.held_back > 0 && now.saturating_duration_since(counted.since) >= WINDOW
        })?;
        let held_back = std::mem::take(&mut counted.held_back);
        (counted.since, counted.written) = (now, 0);
        let Place { file, line } = counted.place;
        Some(format!(
            "polyp-edge: {held_back} more log lines like the last one from {file}, line {line}, were left out\n"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes nothing until it is let go on.
    struct Blocked {
        gate: Arc<(Mutex<bool>, Condvar)>,
        text: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Blocked {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (open, changed) = &*self.gate;
            let mut is_open = open.lock();
            while !*is_open {
                is_open = changed.wait(is_open);
            }
            self.text.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_blocked_reader_delays_nobody_and_hears_how_much_it_missed() {
        let queue = Arc::new(Queue::default());
        let (gate, text) = (Arc::new((Mutex::new(false), Condvar::new())), Arc::new(Mutex::new(Vec::new())));
        let (writer, mut out) = (Writer(queue.clone()), Blocked { gate: gate.clone(), text: text.clone() });
        std::thread::spawn(move || {
            writer.write_to(&mut out);
        });
        let begun = Instant::now();
        for number in 0..2 * MOST_LINES {
            queue.push(format!("line {number}").as_bytes());
        }
        assert!(!queue.flush(Duration::from_millis(20)), "nothing is written yet");
        assert!(begun.elapsed() < Duration::from_secs(5), "logging waited {:?}", begun.elapsed());
        *gate.0.lock() = true;
        gate.1.notify_all();
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let text = String::from_utf8(text.lock().clone()).unwrap();
            if text.contains("are missing here") {
                // One line was taken from the queue before it filled up, or none was.
                let written = text.lines().filter(|line| line.starts_with("line ")).count();
                assert!((MOST_LINES..=MOST_LINES + 1).contains(&written), "{written}");
                let told = format!("polyp-edge: {} log lines are missing here", 2 * MOST_LINES - written);
                assert!(text.contains(&told), "{text}");
                break;
            }
            assert!(Instant::now() < end, "{text}");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(queue.flush(Duration::from_secs(20)));
    }

    #[test]
    fn a_place_that_repeats_itself_is_counted_instead() {
        let (mut places, start) = (Places::default(), Instant::now());
        let (here, there) = (Place { file: "here", line: 1 }, Place { file: "there", line: 1 });
        let written = (0..1000).filter(|_| places.may(here, start)).count();
        assert_eq!(written, BURST as usize);
        assert!(places.may(there, start), "others go on");
        assert_eq!(places.held_back(start), None, "the window is not over");
        let told = places.held_back(start + WINDOW).unwrap();
        assert!(told.contains("980 more log lines") && told.contains("here, line 1"), "{told}");
        assert_eq!(places.held_back(start + WINDOW), None);
        assert!(places.may(here, start + WINDOW));
    }

    #[test]
    fn memory_for_places_is_bounded() {
        let (mut places, start) = (Places::default(), Instant::now());
        for line in 0..10 * MOST_PLACES as u32 {
            assert!(places.may(Place { file: "here", line }, start));
        }
        assert!(places.list.len() <= MOST_PLACES);
        assert!(places.may(Place { file: "there", line: 1 }, start + WINDOW));
        assert_eq!(places.list.len(), 1, "old ones made room");
    }

    #[test]
    fn rust_log_speaks_of_this_projects_crates_alone() {
        let default = "warn,polyp_edge=INFO,polyp_host=INFO";
        assert_eq!(filters(None), default);
        assert_eq!(filters(Some("")), default);
        assert_eq!(filters(Some("tract=trace,hyper=debug")), default);
        assert_eq!(filters(Some("polyp_edgeless=debug")), default);
        assert_eq!(filters(Some("debug")), format!("{default},polyp_edge=DEBUG,polyp_host=DEBUG"));
        assert_eq!(filters(Some("off")), format!("{default},polyp_edge=OFF,polyp_host=OFF"));
        assert_eq!(
            filters(Some("polyp_edge::pipeline=trace, tract=debug")),
            format!("{default},polyp_edge::pipeline=TRACE")
        );
        assert_eq!(filters(Some("polyp_edge=louder")), default);
    }
}
