//! The cart's log in the simulation: its queue and its writer, and a reader that may not read.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::Once;

use log::{LevelFilter, Log, Metadata, Record};
use polyp_edge::logging::{self, Recorder};
use polyp_edge::runtime;

use super::world::World;

thread_local! {
    /// Of the simulation that runs on this thread.
    static RECORDER: RefCell<Option<Rc<Recorder>>> = const { RefCell::new(None) };
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// While this lives, what is logged on this thread goes to the simulation.
pub(super) struct Listening(());

impl Listening {
    /// Starts the thread that writes, inside a simulation.
    pub(super) fn begin(world: &World) -> Listening {
        static LOGGER: Once = Once::new();
        LOGGER.call_once(|| {
            // A test that brings a logger of its own sees the lines instead.
            let _ = log::set_boxed_logger(Box::new(ToSimulation));
            log::set_max_level(LevelFilter::Info);
            logging::limit();
        });
        let (recorder, writer) = logging::recorder(None, false);
        RECORDER.set(Some(Rc::new(recorder)));
        WORLD.set(Some(world.clone()));
        let mut reader = Reader(world.clone());
        let started = runtime::thread::spawn("log", move || {
            writer.write_to(&mut reader);
        });
        started.unwrap_or_else(|error| panic!("{error}"));
        Listening(())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        RECORDER.set(None);
        WORLD.set(None);
    }
}

struct ToSimulation;

impl Log for ToSimulation {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= LevelFilter::Info && RECORDER.with_borrow(Option::is_some)
    }

    fn log(&self, record: &Record<'_>) {
        let (Some(recorder), Some(world)) =
            (RECORDER.with_borrow(Option::clone), WORLD.with_borrow(Option::clone))
        else {
            return;
        };
        if record.level() <= LevelFilter::Info {
            world.tell(&format!("log: {} {}", record.level(), record.args()));
            recorder.log(record);
        }
    }

    fn flush(&self) {}
}

/// Reads the log, unless the world says otherwise.
struct Reader(World);

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.0.log_is_blocked_for();
        if !left.is_zero() {
            runtime::thread::sleep(left);
        }
        self.0.read_log(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
