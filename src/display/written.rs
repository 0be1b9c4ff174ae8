//! Pictures on their way to a file or a pipe: written by a thread of their own, so that the thread that shows waits for neither.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::images::compose;
use super::{Flipped, Scene, Shown, Sink};
use crate::fault::Fault;
use crate::frame::Frame;
use crate::geometry::Placement;
use crate::overlay::Layer;
use crate::runtime;
use crate::runtime::channel::{Nothing, Receiver, Sender, channel};
use crate::runtime::sync::Mutex;

/// Pictures at once: one that is written, and the next.
const PICTURES: usize = 2;
/// A sink that takes nothing for so long is told of: nobody sees the picture.
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// Hands pictures to a sink in a thread of its own. A picture that comes while the sink still has two is skipped.
pub struct Written {
    pictures: Sender<Picture>,
    /// Pictures that were written, to be used again.
    returned: Receiver<Picture>,
    blanks: Vec<Picture>,
    told: Arc<Mutex<WriterStatus>>,
    dark: Option<String>,
    line: String,
    keeps_first_size: bool,
    /// When the sink last gave a picture back.
    moved: Instant,
}

struct Picture {
    frame: Frame,
    name: OsString,
    captured: Instant,
}

/// What the sink said last.
#[derive(Default)]
struct WriterStatus {
    dark: Option<String>,
    error: Option<anyhow::Error>,
}

impl Written {
    /// # Errors
    /// 74 if there can be no more threads.
    pub fn new(sink: impl Sink + 'static) -> Result<Written> {
        let (pictures, to_write) = channel();
        let (written, returned) = channel();
        let told = Arc::new(Mutex::new(WriterStatus::default()));
        let (line, keeps_first_size, theirs) = (sink.describe(), sink.keeps_first_size(), told.clone());
        runtime::thread::spawn("pictures", move || write(sink, &to_write, &written, &theirs))
            .map_err(|error| Fault::io(format!("cannot start a thread: {error}")))?;
        let blank = || Picture { frame: Frame::black(1, 1), name: OsString::new(), captured: runtime::now() };
        let blanks = (0..PICTURES).map(|_| blank()).collect();
        Ok(Written {
            pictures,
            returned,
            blanks,
            told,
            dark: None,
            line,
            keeps_first_size,
            moved: runtime::now(),
        })
    }

    /// Takes back what was written; an error if the sink had one.
    fn collect(&mut self) -> Result<()> {
        loop {
            match self.returned.try_recv() {
                Ok(picture) => {
                    self.moved = runtime::now();
                    self.blanks.push(picture);
                }
                Err(Nothing::Yet) => break,
                Err(Nothing::Ever) => return Err(self.broken()),
            }
        }
        match self.blanks.is_empty() && runtime::since(self.moved) > STUCK_AFTER {
            true if self.dark.is_some() => {}
            true => self.dark = Some(format!("{}: nothing could be written for a second", self.line)),
            false => self.dark.clone_from(&self.told.lock().dark),
        }
        Ok(())
    }

    fn broken(&self) -> anyhow::Error {
        let error = self.told.lock().error.take();
        error.unwrap_or_else(|| Fault::io(format!("{}: the writing thread has ended", self.line)))
    }
}

fn write(
    mut sink: impl Sink,
    pictures: &Receiver<Picture>,
    written: &Sender<Picture>,
    told: &Mutex<WriterStatus>,
) {
    let layer = Layer::default();
    while let Some(picture) = pictures.recv() {
        let outcome = sink.show(&Scene {
            picture: Some(picture.frame.view()),
            lease: None,
            layer: &layer,
            placement: Placement::identity(picture.frame.width_px(), picture.frame.height_px()),
            name: &picture.name,
            captured: picture.captured,
        });
        let mut told = told.lock();
        told.dark = sink.dark().map(str::to_owned);
        if let Err(error) = outcome {
            told.error = Some(error);
            return;
        }
        drop(told);
        if written.send(picture).is_err() {
            return;
        }
    }
}

impl Sink for Written {
    fn show(&mut self, scene: &Scene<'_>) -> Result<Shown> {
        self.collect()?;
        let Some(mut picture) = self.blanks.pop() else { return Ok(Shown::Skipped) };
        if self.blanks.len() + 1 == PICTURES {
            // It had nothing to do until now.
            self.moved = runtime::now();
        }
        compose(scene, &mut picture.frame)?;
        picture.name.clear();
        picture.name.push(scene.name);
        picture.captured = scene.captured;
        match self.pictures.send(picture) {
            Ok(()) => Ok(Shown::Yes),
            Err(_) => Err(self.broken()),
        }
    }

    fn tend(&mut self, _: &mut dyn FnMut(Flipped)) -> Result<()> {
        self.collect()
    }

    fn keeps_first_size(&self) -> bool {
        self.keeps_first_size
    }

    fn is_busy(&self) -> bool {
        self.blanks.is_empty()
    }

    fn finish(&mut self, patience: Duration) -> Result<bool> {
        let end = runtime::now() + patience;
        self.collect()?;
        while self.blanks.len() < PICTURES {
            match self.returned.recv_timeout(end.saturating_duration_since(runtime::now())) {
                Ok(picture) => self.blanks.push(picture),
                Err(Nothing::Yet) => return Ok(false),
                Err(Nothing::Ever) => return Err(self.broken()),
            }
        }
        Ok(true)
    }

    fn dark(&self) -> Option<&str> {
        self.dark.as_deref()
    }

    fn describe(&self) -> String {
        self.line.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::display::tests::scene;
    use crate::fault::{Exit, exit_of};
    use crate::runtime::sync::Condvar;

    type Gate = Arc<(Mutex<bool>, Condvar)>;
    /// Names and first bytes of the pictures that came.
    type Names = Arc<Mutex<Vec<(String, u8)>>>;

    /// Takes a picture only when the gate is open; fails with the one called "bad".
    struct Slow {
        gate: Gate,
        names: Names,
    }

    impl Sink for Slow {
        fn show(&mut self, scene: &Scene<'_>) -> Result<Shown> {
            let mut is_open = self.gate.0.lock();
            while !*is_open {
                is_open = self.gate.1.wait(is_open);
            }
            if scene.name == "bad" {
                return Err(Fault::io("the disk is full"));
            }
            let pixel = scene.picture.unwrap().planes()[0].bytes[0];
            self.names.lock().push((scene.name.to_str().unwrap().into(), pixel));
            Ok(Shown::Yes)
        }
        fn describe(&self) -> String {
            "slow".into()
        }
    }

    fn slow() -> (Written, Gate, Names) {
        let (gate, names) = (Gate::default(), Arc::new(Mutex::new(Vec::new())));
        (Written::new(Slow { gate: gate.clone(), names: names.clone() }).unwrap(), gate, names)
    }

    fn open(gate: &Gate) {
        *gate.0.lock() = true;
        gate.1.notify_all();
    }

    #[test]
    fn a_sink_that_blocks_costs_pictures_but_no_time() {
        let (mut sink, gate, names) = slow();
        let (mut frame, layer) = (Frame::black(4, 2), Layer::default());
        let begun = Instant::now();
        let mut show = |sink: &mut Written, number: u8| {
            frame.pixels_mut().fill(number);
            let name = format!("frame-{number}");
            sink.show(&Scene { name: OsStr::new(&name), ..scene(&frame, &layer) }).unwrap()
        };
        let shown: Vec<_> = (1..6).map(|number| show(&mut sink, number)).collect();
        assert_eq!(shown, [Shown::Yes, Shown::Yes, Shown::Skipped, Shown::Skipped, Shown::Skipped]);
        assert!(sink.is_busy() && !sink.finish(Duration::from_millis(5)).unwrap());
        assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
        while sink.dark().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(20), "nobody is told");
            sink.tend(&mut |_| ()).unwrap();
        }
        assert_eq!(sink.dark(), Some("slow: nothing could be written for a second"));
        open(&gate);
        assert!(sink.finish(Duration::from_secs(20)).unwrap());
        assert_eq!(show(&mut sink, 9), Shown::Yes);
        assert!(sink.finish(Duration::from_secs(20)).unwrap() && sink.dark().is_none());
        let names = names.lock();
        let expected =
            [("frame-1", 1), ("frame-2", 2), ("frame-9", 9)].map(|(name, value)| (name.into(), value));
        assert_eq!(*names, expected);
    }

    #[test]
    fn an_error_of_the_sink_is_told_with_the_next_call() {
        let (mut sink, gate, _) = slow();
        open(&gate);
        let (frame, layer) = (Frame::black(4, 2), Layer::default());
        assert_eq!(
            sink.show(&Scene { name: OsStr::new("bad"), ..scene(&frame, &layer) }).unwrap(),
            Shown::Yes
        );
        let error = sink.finish(Duration::from_secs(20)).unwrap_err();
        assert_eq!((error.to_string().as_str(), exit_of(&error)), ("the disk is full", Exit::Io));
        assert!(sink.show(&scene(&frame, &layer)).is_err(), "it stays an error");
    }
}
