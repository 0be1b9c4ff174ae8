//! A camera that mends itself: closed → open → streaming → trouble → back.
//!
//! | trouble | what is done |
//! |---|---|
//! | the device is not there, taken, refused, unsuitable | it is looked for again by its name, every [`RETRY_EVERY`] |
//! | it goes: `ENODEV`, `POLLHUP` | closed, and looked for again |
//! | no signal, no lock | stays open, without a stream; asked again every [`RETRY_EVERY`] and at each event |
//! | another source | its size and rate are negotiated anew, at once |
//! | no picture, or damaged ones alone, for [`STALLED_AFTER`] | the stream is started anew |
//! | a call fails, a buffer comes that was not queued | the stream is started anew |
//! | the stream was started anew, and still no picture | closed, and opened again |

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::jpeg::Pictures;
use super::kernel::{Kernel, System};
use super::negotiate::Wanted;
use super::order::Order;
use super::queue::{Picture, Queue};
use super::session::{self, Granted, Remedy, Session, Trouble};
use crate::call::CallError;
use crate::capture::live::{Absence, Camera, Counts, Event, Stamp, Why};
use crate::frame::{Frame, FrameNumber, PixelFormat};

/// How long a stream may give no picture.
pub const STALLED_AFTER: Duration = Duration::from_secs(1);
/// Time between two attempts to get pictures again.
pub const RETRY_EVERY: Duration = Duration::from_millis(500);
/// Time between two looks at an input that may lose its signal.
pub const SIGNAL_EVERY: Duration = Duration::from_millis(250);
/// From a camera's last picture until its absence is reported, the kernel's own delays apart.
pub const REPORTS_WITHIN: Duration = Duration::from_secs(2);
/// From the end of a trouble until pictures come again, the camera's and the kernel's own delays apart.
pub const RECOVERS_WITHIN: Duration = Duration::from_secs(2);

/// Longest wait when a buffer may be returned meanwhile: with few queued, and with more.
const SLICES: [Duration; 2] = [Duration::from_millis(4), Duration::from_millis(20)];
/// Fewer queued than this are few.
const FEW: usize = 3;
/// Between two looks at a device that says it is ready and gives nothing, or at events while it does not stream.
const PAUSE: Duration = Duration::from_millis(1);
const EVENTS_EVERY: Duration = Duration::from_millis(50);

/// A V4L2 camera. Made by [`super::open`] and [`V4l2::with`].
pub struct V4l2<S: System> {
    system: S,
    wanted: Wanted,
    state: CameraState<S::Kernel>,
    /// The last stream, if it is still to be stopped.
    lingering: Option<Stream<S::Kernel>>,
    /// Why there are no pictures, as it was last reported.
    absence: Option<Absence>,
    /// Since the last picture.
    attempts: u64,
    /// The stream was started anew since the last picture.
    restarted: bool,
    retry_at: Instant,
    /// When the source was last taken for another one.
    changed_at: Option<Instant>,
    started: bool,
    /// The device's name that stays when it comes back.
    known: Option<PathBuf>,
    granted: Option<Granted>,
    order: Order,
    counts: Counts,
    jpeg: Pictures,
}

enum CameraState<K: Kernel> {
    Closed,
    /// Open, without a stream.
    Idle(Session<K>),
    Streaming(Stream<K>),
}

struct Stream<K: Kernel> {
    session: Session<K>,
    queue: Queue<K::Memory>,
    /// When it counts as stalled if no picture comes.
    stalls_at: Instant,
    /// Damaged pictures came since the last good one.
    damaged: bool,
    look_at: Instant,
    /// When pictures were waited for last, and no longer.
    waited_until: Instant,
}

impl<S: System> V4l2<S> {
    /// A camera on a kernel, or on what stands in for one. Opens nothing yet.
    pub fn with(system: S, wanted: Wanted) -> V4l2<S> {
        let retry_at = system.now();
        V4l2 {
            system,
            wanted,
            state: CameraState::Closed,
            lingering: None,
            absence: None,
            attempts: 0,
            restarted: false,
            retry_at,
            changed_at: None,
            started: false,
            known: None,
            granted: None,
            order: Order::default(),
            counts: Counts::default(),
            jpeg: Pictures::default(),
        }
    }

    /// Opens the device, or asks its input again, when it is time to; else waits for that, at most until `deadline`.
    fn bring_up(&mut self, deadline: Instant) -> Result<(), Trouble> {
        let now = self.system.now();
        let mut due = now >= self.retry_at;
        if let CameraState::Idle(session) = &self.state {
            due |= session.source_changed()?;
        }
        if !due {
            let mut until = self.retry_at.min(deadline);
            if matches!(self.state, CameraState::Idle(_)) {
                until = until.min(now + EVENTS_EVERY);
            }
            self.system.sleep(until.saturating_duration_since(now).max(PAUSE));
            return Ok(());
        }
        self.attempts += 1;
        self.retry_at = now + RETRY_EVERY;
        self.lingering = self.lingering.take().and_then(|stream| stream.stop().err());
        if matches!(self.state, CameraState::Closed) {
            let session = session::open(&mut self.system, &self.wanted, self.known.as_deref())?;
            let stable = self.system.stable_names(&session.name).into_iter().next();
            self.known = Some(stable.unwrap_or_else(|| session.name.clone()));
            self.state = CameraState::Idle(session);
        }
        let CameraState::Idle(session) = &self.state else { return Ok(()) };
        let (queue, granted) = session.start(&self.wanted)?;
        if self.granted.as_ref() != Some(&granted) {
            log::info!("{}, {} buffers", granted.words, queue.len());
        }
        self.granted = Some(granted);
        self.begin(queue);
        Ok(())
    }

    /// From open to streaming.
    fn begin(&mut self, queue: Queue<<S::Kernel as Kernel>::Memory>) {
        let now = self.system.now();
        self.order.restart(queue.len());
        self.counts.restarts += u64::from(self.started);
        self.started = true;
        self.state = match std::mem::replace(&mut self.state, CameraState::Closed) {
            CameraState::Idle(session) => CameraState::Streaming(Stream {
                session,
                queue,
                stalls_at: now + STALLED_AFTER,
                damaged: false,
                look_at: now + SIGNAL_EVERY,
                waited_until: now,
            }),
            other => other,
        };
    }

    /// Waits for a picture until `deadline` or a little less.
    #[expect(clippy::too_many_lines, reason = "the states of a camera, one after another")]
    fn receive(&mut self, deadline: Instant, frame: &mut Frame) -> Result<Option<Event>, Trouble> {
        let CameraState::Streaming(stream) = &mut self.state else { return Ok(None) };
        let now = self.system.now();
        let name = &stream.session.name;
        stream
            .queue
            .reclaim(&stream.session.kernel)
            .map_err(|refused| Trouble::broken(name, refused.into()))?;
        if stream.session.is_watched() && now >= stream.look_at {
            stream.look_at = now + SIGNAL_EVERY;
            let signal = stream.session.signal()?;
            let granted = self.granted.as_ref().and_then(|granted| granted.timings.as_ref());
            if let (Some(signal), Some(granted)) = (signal, granted)
                && !signal.same(granted)
            {
                let detail = format!("{}: the signal changed to {signal} from {granted}", name.display());
                return Err(Trouble::new(Why::NoSync, Remedy::Renegotiate, detail));
            }
        }
        let queued = stream.queue.queued();
        if queued == 0 {
            // Whoever has them all keeps the camera from going on: it is not the camera that stalls.
            stream.stalls_at = now + STALLED_AFTER;
            // Nor is there a picture that could wait.
            stream.waited_until = now;
            self.system.sleep(SLICES[0].min(deadline.saturating_duration_since(now)).max(PAUSE));
            return Ok(None);
        }
        if now >= stream.stalls_at {
            return Err(stream.stalled());
        }
        let patience = stream.time_to_wait(now, deadline);
        // Since the last time, and beyond what is waited now.
        let before = now.saturating_duration_since(stream.waited_until);
        let waited = stream.session.kernel.wait(patience);
        stream.waited_until = self.system.now();
        let beyond = stream.waited_until.saturating_duration_since(now).saturating_sub(patience);
        let ready = match waited {
            Ok(ready) => ready,
            Err(rustix::io::Errno::INTR) => return Ok(None),
            Err(errno) => {
                let refused = CallError { call: "poll", errno };
                return Err(Trouble::broken(name, refused.into()));
            }
        };
        if ready.gone {
            let detail = format!("{}: poll: the device hung up", name.display());
            return Err(Trouble::new(Why::Unplugged, Remedy::Reopen, detail));
        }
        if ready.event && stream.session.source_changed()? {
            let detail = format!("{}: the source changed", name.display());
            return Err(Trouble::new(Why::NoSync, Remedy::Renegotiate, detail));
        }
        if !ready.picture && !ready.error {
            if ready.event {
                self.system.sleep(PAUSE);
            }
            return Ok(None);
        }
        let now = self.system.now();
        self.order.now_is(self.system.monotonic(), before + beyond);
        let drained = stream
            .queue
            .drain(&stream.session.kernel, &mut self.order, &mut self.counts, now)
            .map_err(|broken| Trouble::broken(name, broken))?;
        stream.damaged |= drained.picture.is_none() && drained.passed > drained.late;
        match drained.picture {
            Some(picture) => Ok(self.deliver(picture, now, frame)),
            None if drained.passed == 0 && ready.error => {
                let detail = format!("{}: poll: the driver reports an error of the stream", name.display());
                Err(Trouble::new(Why::Failing, Remedy::Restart, detail))
            }
            None => {
                self.system.sleep(PAUSE);
                Ok(None)
            }
        }
    }

    /// Hands a picture over; `None` if it cannot be decoded.
    fn deliver(&mut self, picture: Picture, now: Instant, frame: &mut Frame) -> Option<Event> {
        let CameraState::Streaming(stream) = &mut self.state else { return None };
        let Stream { session, queue, stalls_at, damaged, .. } = stream;
        let layout = &self.granted.as_ref()?.layout;
        // A picture that waited for somebody to fetch it is as old as that.
        let dequeued = now.checked_sub(picture.waited).unwrap_or(now);
        let since_taken = picture.taken.and_then(|taken| self.system.monotonic().checked_sub(taken));
        let (sequence, timestamp, clock) = (picture.number, picture.timestamp, picture.clock);
        let stamp = Stamp { sequence, timestamp, since_taken, clock, dequeued };
        let event = if layout.format == PixelFormat::Mjpeg {
            let size = (layout.width, layout.height);
            let decoded = self.jpeg.decode(queue.bytes(&picture), size, frame);
            // What fails here fails again when buffers are next reclaimed.
            let _ = queue.release(&session.kernel, Some(picture));
            if let Err(words) = decoded {
                log::debug!("{}: frame {}: {words}", session.name.display(), picture.number);
                self.counts.damaged += 1;
                *damaged = true;
                return None;
            }
            frame.number = FrameNumber(picture.number);
            frame.timestamp = picture.timestamp;
            Event::Decoded(stamp)
        } else {
            Event::Lent(queue.lend(&picture)?, stamp)
        };
        (*stalls_at, *damaged) = (now + STALLED_AFTER, false);
        (self.attempts, self.restarted) = (0, false);
        self.counts.pictures += 1;
        if let Some(absence) = self.absence.take() {
            log::info!("{}: frames arrive again after: {}", session.name.display(), absence.why);
        }
        Some(event)
    }

    /// Does about trouble what can be done at once, and settles what comes next.
    fn mend(&mut self, mut trouble: Trouble) {
        let now = self.system.now();
        self.retry_at = now + RETRY_EVERY;
        let mut silent = false;
        self.state = match (std::mem::replace(&mut self.state, CameraState::Closed), trouble.remedy) {
            (CameraState::Streaming(mut stream), Remedy::Restart) if !self.restarted => {
                self.restarted = true;
                match stream.queue.restart(&stream.session.kernel) {
                    Ok(()) => {
                        log::warn!("{}: the stream was restarted", trouble.detail);
                        self.order.restart(stream.queue.len());
                        self.counts.restarts += 1;
                        // A stream that goes on at once was not away.
                        silent = trouble.why != Why::Stalled && now < stream.stalls_at;
                        stream.stalls_at = if silent { stream.stalls_at } else { now }.max(now + RETRY_EVERY);
                        stream.damaged = false;
                        CameraState::Streaming(stream)
                    }
                    Err(_) => {
                        self.close(stream);
                        CameraState::Closed
                    }
                }
            }
            (CameraState::Streaming(stream), remedy) => match self.close(stream) {
                Some(session) if remedy == Remedy::Renegotiate => {
                    // Whether anything is lost shows when it is asked for again: at once, unless the input changes its
                    // mind all the time.
                    silent = self.changed_at.is_none_or(|last| now >= last + RETRY_EVERY);
                    if silent {
                        (self.retry_at, self.changed_at) = (now, Some(now));
                    }
                    CameraState::Idle(session)
                }
                _ => CameraState::Closed,
            },
            (CameraState::Idle(session), Remedy::Renegotiate) => CameraState::Idle(session),
            _ => CameraState::Closed,
        };
        if self.known.is_some() && trouble.why == Why::NoDevice {
            trouble.why = Why::Unplugged;
        }
        if !silent {
            self.report(trouble);
        }
    }

    /// Stops a stream, now or later; what is left of it if that is done.
    fn close(&mut self, stream: Stream<S::Kernel>) -> Option<Session<S::Kernel>> {
        stream.stop().unwrap_or_else(|stream| {
            self.lingering = Some(stream);
            None
        })
    }

    /// Logs an absence when it is another one.
    fn report(&mut self, trouble: Trouble) {
        let Trouble { why, detail, .. } = trouble;
        match &mut self.absence {
            Some(absence) if absence.why == why && *absence.detail == *detail => {
                absence.attempts = self.attempts
            }
            absence => {
                log::warn!("{why}: {detail}");
                *absence = Some(Absence { why, detail: Arc::from(detail), attempts: self.attempts });
            }
        }
    }
}

impl<K: Kernel> Stream<K> {
    /// Stops the stream. Gives the stream back if the kernel would not and pictures of it are lent: these keep the
    /// device taken even when it is closed.
    #[allow(clippy::result_large_err)]
    fn stop(mut self) -> Result<Option<Session<K>>, Stream<K>> {
        match self.queue.stop(&self.session.kernel) {
            Ok(()) => Ok(Some(self.session)),
            Err(_) if !self.session.is_mapped() => Ok(None),
            Err(_) => Err(self),
        }
    }

    fn stalled(&self) -> Trouble {
        let seconds = STALLED_AFTER.as_secs_f32();
        let (why, what) =
            if self.damaged { (Why::Failing, "only damaged frames") } else { (Why::Stalled, "no frame") };
        let detail = format!("{}: {what} for {seconds} s", self.session.name.display());
        Trouble::new(why, Remedy::Restart, detail)
    }

    fn time_to_wait(&self, now: Instant, deadline: Instant) -> Duration {
        let mut until = deadline.min(self.stalls_at);
        if self.session.is_watched() {
            until = until.min(self.look_at);
        }
        let time = until.saturating_duration_since(now);
        match self.queue.queued() {
            queued if queued == self.queue.len() => time,
            queued if queued < FEW => time.min(SLICES[0]),
            _ => time.min(SLICES[1]),
        }
    }
}

impl<S: System> Camera for V4l2<S> {
    fn next(&mut self, patience: Duration, frame: &mut Frame) -> Event {
        let start = self.system.now();
        let deadline = start.checked_add(patience).unwrap_or(start + STALLED_AFTER);
        let before = self.absence.as_ref().map(|absence| (absence.why, absence.detail.clone()));
        loop {
            let step = match self.state {
                CameraState::Streaming(_) => self.receive(deadline, frame),
                _ => self.bring_up(deadline).map(|()| None),
            };
            match step {
                Ok(Some(event)) => return event,
                Ok(None) => {}
                Err(trouble) => self.mend(trouble),
            }
            let over = self.system.now() >= deadline;
            match &self.absence {
                Some(absence) if over || before.as_ref() != Some(&(absence.why, absence.detail.clone())) => {
                    return Event::Absent(absence.clone());
                }
                None if over => return Event::Nothing,
                _ => {}
            }
        }
    }

    fn granted(&self) -> String {
        self.granted.as_ref().map_or_else(|| "no camera yet".into(), |granted| granted.words.clone())
    }

    fn counts(&self) -> Counts {
        self.counts
    }
}

impl<S: System> Drop for V4l2<S> {
    fn drop(&mut self) {
        let streaming = match &mut self.state {
            CameraState::Streaming(stream) => Some(stream),
            _ => None,
        };
        for stream in streaming.into_iter().chain(&mut self.lingering) {
            // Leases may outlive the camera; the device is free all the same.
            let _ = stream.queue.stop(&stream.session.kernel);
        }
    }
}
