//! Films of what is shown: asked for by people in the room or by the profile, written by a thread that may hang without anybody noticing
//! but those who read the corner of the monitor. What it reads is held in memory by the pipeline's ring.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use super::prepare::Made;
use super::recorder::Recorder;
use super::surroundings::Surroundings;
use crate::audit::Event;
use crate::board::Board;
use crate::control::order::Record;
use crate::control::{Answer, Way};
use crate::fault::{Fault, one_line};
use crate::recording::ring::{About, Taken};
use crate::recording::{self, Begun, Recording, Ring, Sign, Wish};
use crate::runtime;
use crate::runtime::sync::{Condvar, Mutex};
use crate::study;

/// How long the thread waits for a picture before it looks for orders.
const PATIENCE: Duration = Duration::from_millis(200);
/// After an error, it is tried again that much later.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// A disk that takes longer does not answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// While frames are shown, a picture comes in this time.
const PICTURE_WITHIN: Duration = Duration::from_secs(3);

/// How a recording goes, as the state file has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Told {
    /// `none` if the profile has none, `off`, `recording` or `failed`.
    pub state: &'static str,
    /// The name of the folder that is being written, or was last.
    pub folder: Option<String>,
    /// Pictures written since the order.
    pub pictures: u64,
    /// Pictures that could not be written in time.
    pub missing: u64,
    /// Why it does not succeed.
    pub why: Option<String>,
    /// Pictures are recorded, and not their figures alone.
    #[serde(skip)]
    pub has_films: bool,
}

impl Told {
    /// What the monitor says.
    pub(super) fn sign(&self) -> Sign {
        match self.state {
            // Whoever is in the room need not know of figures.
            "recording" if self.has_films => Sign::On,
            "failed" => Sign::Failed,
            _ => Sign::Off,
        }
    }

    /// Whether there is something to tell at once.
    pub(super) fn is_news(&self, before: &Told) -> bool {
        (self.state, &self.folder, &self.why) != (before.state, &before.folder, &before.why)
    }
}

/// Takes orders. Clones are of the same recordings.
#[derive(Clone)]
pub(super) struct Recordings {
    shared: Arc<Shared>,
    has_thread: bool,
}

struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
    ring: Arc<Ring>,
    recorder: Recorder,
}

#[derive(Clone, Default)]
struct Inner {
    /// What a recording would be like; `None` if there can be none.
    target: Option<Target>,
    wanted: Option<Wanted>,
    /// Orders to begin so far.
    orders: u64,
    folder: Option<String>,
    pictures: u64,
    missing: u64,
    why: Option<String>,
    /// Since when the disk has been at something.
    busy_since: Option<Instant>,
    /// When the last picture came, or the order.
    heard: Option<Instant>,
    is_over: bool,
    has_ended: bool,
}

#[derive(Clone)]
struct Target {
    board: Board,
    made: Made,
    wish: Wish,
}

impl Target {
    fn of(board: &Board, made: &Made) -> Option<Target> {
        let wish = board.profile.recording.wish(&board.profile.study, board.profile.field_of_view.fixed())?;
        Some(Target { board: board.clone(), made: made.clone(), wish })
    }

    fn is_continuous(&self) -> bool {
        self.board.profile.recording.continuous
    }

    fn made(&self) -> study::Made {
        study::Made {
            board: self.board.profile.name.clone(),
            profile_digest: self.board.digest.clone(),
            model: self.made.identity(),
        }
    }
}

/// A recording that was asked for.
#[derive(Clone)]
struct Wanted {
    /// Another one for each order.
    number: u64,
    /// The pictures after this one, up to that one.
    from: u64,
    until: Option<u64>,
    /// Nobody, where the profile asks for it.
    by: Option<Way>,
}

impl Recordings {
    /// As the profile says.
    ///
    /// # Errors
    /// 74 if there can be no more threads.
    pub(super) fn start(
        surroundings: &impl Surroundings,
        board: &Board,
        made: &Made,
        ring: Arc<Ring>,
        recorder: &Recorder,
    ) -> Result<Recordings> {
        let recorder = recorder.clone();
        let shared = Shared { inner: Mutex::default(), changed: Condvar::new(), ring, recorder };
        let mut recordings = Recordings { shared: Arc::new(shared), has_thread: false };
        recordings.follow(surroundings, board, made)?;
        Ok(recordings)
    }

    /// Another profile or model is in force.
    ///
    /// # Errors
    /// 74 if there can be no more threads.
    pub(super) fn follow(
        &mut self,
        surroundings: &impl Surroundings,
        board: &Board,
        made: &Made,
    ) -> Result<()> {
        let target = Target::of(board, made);
        if target.is_some() && !self.has_thread {
            let (theirs, surroundings) = (self.shared.clone(), surroundings.clone());
            runtime::thread::spawn("recording writer", move || Writer::new(&theirs).work(&surroundings))
                .map_err(|error| Fault::io(format!("cannot start a thread: {error}")))?;
            self.has_thread = true;
        }
        let newest = self.shared.ring.newest();
        let mut inner = self.shared.inner.lock();
        let was_continuous = inner.target.as_ref().is_some_and(Target::is_continuous);
        let is_continuous = target.as_ref().is_some_and(Target::is_continuous);
        inner.target = target;
        if is_continuous && inner.wanted.is_none() {
            inner.want(newest, None, None);
        }
        let is_the_profiles = inner.wanted.as_ref().is_some_and(|wanted| wanted.by.is_none());
        if was_continuous && !is_continuous && is_the_profiles {
            inner.stop(newest);
        }
        if inner.target.is_none() {
            inner.wanted = None;
        }
        drop(inner);
        self.shared.call();
        Ok(())
    }

    /// Another model is in charge.
    pub(super) fn set_made(&self, made: &Made) {
        if let Some(target) = &mut self.shared.inner.lock().target {
            target.made = made.clone();
        }
    }

    /// Does what somebody in the room asks for.
    pub(super) fn order(&self, to: Record, way: Way) -> Answer {
        let (newest, ring) = (self.shared.ring.newest(), &self.shared.ring);
        let mut inner = self.shared.inner.lock();
        let Some(wish) = inner.target.as_ref().map(|target| target.wish) else {
            return Answer::refused("nothing can be recorded: recording.pictures in the profile is off");
        };
        let is_on = inner.wanted.as_ref().is_some_and(|wanted| wanted.until.is_none());
        let answer = match (to, is_on) {
            (Record::Start, true) | (Record::Stop, false) => Answer::recording(is_on),
            (Record::Start | Record::Toggle, false) => {
                inner.want(ring.before(wish.before), None, Some(way));
                Answer::recording(true)
            }
            (Record::Stop | Record::Toggle, true) => {
                inner.stop(newest);
                Answer::recording(false)
            }
            (Record::Last, true) => Answer::refused("the last seconds are recorded already"),
            (Record::Last, false) if wish.before.is_zero() => {
                Answer::refused("no seconds are held: recording.before_s in the profile is 0")
            }
            (Record::Last, false) => {
                inner.want(ring.before(wish.before), Some(newest), Some(way));
                Answer::recording(false)
            }
        };
        drop(inner);
        self.shared.call();
        answer
    }

    /// How it goes. `cannot`: pictures cannot be coded; `has_frames`: frames are shown.
    pub(super) fn told(&self, cannot: bool, has_frames: bool) -> Told {
        let mut inner = self.shared.inner.lock();
        let now = runtime::now();
        let is_longer = |since: Option<Instant>, limit: Duration| {
            since.is_some_and(|since| now.saturating_duration_since(since) > limit)
        };
        if !has_frames {
            inner.heard = Some(now);
        }
        let why = if cannot {
            Some("the thread that codes pictures is lost; the log says where")
        } else if is_longer(inner.busy_since, ANSWERS_WITHIN) {
            Some("the disk of study.folder does not answer")
        } else if inner.busy_since.is_none() && is_longer(inner.heard, PICTURE_WITHIN) {
            Some("no picture has been coded for some seconds")
        } else {
            None
        };
        let why = why.map(str::to_owned).or_else(|| inner.why.clone());
        let state = match (&inner.target, &inner.wanted) {
            (None, _) => "none",
            (Some(_), None) => "off",
            (Some(_), Some(_)) if why.is_some() => "failed",
            (Some(_), Some(_)) => "recording",
        };
        Told {
            state,
            folder: inner.folder.clone(),
            pictures: inner.pictures,
            missing: inner.missing,
            why: why.filter(|_| state == "failed"),
            has_films: inner.target.as_ref().is_some_and(|target| target.wish.pictures.has_films()),
        }
    }

    /// The run has ended: what is being recorded is ended, too.
    pub(super) fn stopped(&self) {
        self.shared.inner.lock().is_over = true;
        self.shared.call();
    }

    /// Waits until that is done, as long as it may.
    pub(super) fn wait(&self, may_wait: impl Fn() -> bool) {
        while self.has_thread && !self.shared.inner.lock().has_ended && may_wait() {
            runtime::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Inner {
    fn want(&mut self, from: u64, until: Option<u64>, by: Option<Way>) {
        self.orders += 1;
        self.wanted = Some(Wanted { number: self.orders, from, until, by });
        (self.pictures, self.missing, self.why) = (0, 0, None);
        self.heard = Some(runtime::now());
    }

    /// What was shown up to now is still written.
    fn stop(&mut self, newest: u64) {
        if let Some(wanted) = &mut self.wanted {
            wanted.until = Some(newest);
        }
    }
}

impl Shared {
    /// Wakes the thread that writes.
    fn call(&self) {
        let is_wanted = self.inner.lock().wanted.as_ref().is_some_and(|wanted| wanted.until.is_none());
        self.ring.set_wanted(is_wanted);
        self.changed.notify_all();
        self.ring.call();
    }

    /// Does something on the disk, which may hang.
    fn on_disk<T>(&self, work: impl FnOnce() -> T) -> T {
        self.inner.lock().busy_since = Some(runtime::now());
        let done = work();
        self.inner.lock().busy_since = None;
        done
    }
}

/// A recording under way.
struct UnderWay {
    film: Box<dyn Recording>,
    first: About,
    made: study::Made,
    missing: u64,
}

/// The thread that writes.
struct Writer<'a> {
    shared: &'a Shared,
    taken: Taken,
    /// The last picture that was read.
    cursor: u64,
    /// Of the order that is carried out.
    order: Option<Wanted>,
    under_way: Option<UnderWay>,
    /// The folder before, and whether the beginning was recorded.
    last: Option<String>,
    has_failed: bool,
    again_at: Option<Instant>,
}

impl Writer<'_> {
    fn new(shared: &Shared) -> Writer<'_> {
        Writer {
            shared,
            taken: Taken::default(),
            cursor: 0,
            order: None,
            under_way: None,
            last: None,
            has_failed: false,
            again_at: None,
        }
    }

    fn work(mut self, surroundings: &impl Surroundings) {
        loop {
            let now = self.next();
            if now.is_over {
                self.end("the program has ended");
                break;
            }
            let (Some(wanted), Some(target)) = (now.wanted, now.target) else {
                self.end("the profile has no recordings any more");
                continue;
            };
            if self.order.as_ref().is_none_or(|order| order.number != wanted.number) {
                self.end("another one was asked for");
                self.cursor = wanted.from;
                self.order = Some(wanted.clone());
            }
            if wanted.until.is_some_and(|until| self.cursor >= until) {
                self.end("it was told to end");
                self.done(&wanted);
                continue;
            }
            if let Some(again_at) = self.again_at {
                let left = again_at.saturating_duration_since(runtime::now());
                if !left.is_zero() {
                    runtime::thread::sleep(left.min(PATIENCE));
                    continue;
                }
                // What was shown meanwhile is not in the film.
                self.again_at = None;
                let newest = self.shared.ring.newest().min(wanted.until.unwrap_or(u64::MAX));
                self.missed(newest.saturating_sub(self.cursor));
                self.cursor = self.cursor.max(newest);
                continue;
            }
            let mut taken = std::mem::take(&mut self.taken);
            if self.shared.ring.take(self.cursor, PATIENCE, &mut taken) {
                let is_later = wanted.until.is_some_and(|until| taken.number > until);
                let reached = if is_later { wanted.until.unwrap_or(self.cursor) } else { taken.number };
                self.missed(reached.saturating_sub(self.cursor + u64::from(!is_later)));
                self.cursor = reached;
                if !is_later {
                    self.picture(surroundings, &target, &taken);
                }
            } else if let Some(until) = wanted.until.filter(|_| self.shared.ring.newest() > self.cursor) {
                // What was to be written is in memory no longer.
                self.missed(until.saturating_sub(self.cursor));
                self.cursor = until;
            }
            self.taken = taken;
        }
        self.shared.inner.lock().has_ended = true;
    }

    /// Waits until there is something to do.
    fn next(&self) -> Inner {
        let mut inner = self.shared.inner.lock();
        while inner.wanted.is_none() && self.under_way.is_none() && !inner.is_over {
            inner = self.shared.changed.wait(inner);
        }
        inner.clone()
    }

    fn missed(&mut self, pictures: u64) {
        if pictures > 0 {
            self.shared.inner.lock().missing += pictures;
            if let Some(under_way) = &mut self.under_way {
                under_way.missing += pictures;
            }
        }
    }

    /// An order was carried out, unless another one has come.
    fn done(&mut self, wanted: &Wanted) {
        let mut inner = self.shared.inner.lock();
        if inner.wanted.as_ref().is_some_and(|newest| newest.number == wanted.number) {
            inner.wanted = None;
            inner.why = None;
            inner.heard = None;
        }
    }

    fn picture(&mut self, surroundings: &impl Surroundings, target: &Target, taken: &Taken) {
        self.shared.inner.lock().heard = Some(runtime::now());
        let written = self.try_picture(surroundings, target, taken);
        match written {
            Ok(()) => {
                let mut inner = self.shared.inner.lock();
                inner.pictures += 1;
                inner.why = None;
                drop(inner);
                if std::mem::take(&mut self.has_failed) {
                    log::info!("it is recorded again");
                }
            }
            Err(error) => {
                let why = one_line(&error);
                self.missed(1);
                if let Some(failed) = self.under_way.take() {
                    // What was written can be seen; the rest is tried.
                    let ended = self.shared.on_disk(|| failed.film.finish(&why, failed.missing));
                    if let Err(error) = ended {
                        log::debug!("{}", one_line(&error));
                    }
                }
                if !std::mem::replace(&mut self.has_failed, true) {
                    log::warn!("{why}; it is tried again every {} s", AGAIN_AFTER.as_secs());
                    self.shared.recorder.tell(Event::RecordingFailed { why: why.clone() });
                }
                self.shared.inner.lock().why = Some(why);
                self.again_at = Some(runtime::now() + AGAIN_AFTER);
            }
        }
    }

    fn try_picture(
        &mut self,
        surroundings: &impl Surroundings,
        target: &Target,
        taken: &Taken,
    ) -> Result<()> {
        let Some(about) = taken.about else { return Ok(()) };
        let made = target.made();
        let longest = target.board.profile.recording.segment();
        let another = self.under_way.as_ref().and_then(|under_way| {
            let by_picture = recording::another(&under_way.first, &about, longest);
            by_picture.or_else(|| (under_way.made != made).then_some("another profile or model"))
        });
        if let Some(why) = another {
            self.finish(why)?;
        }
        if self.under_way.is_none() {
            let by = self.order.as_ref().and_then(|order| order.by.clone());
            let begun =
                Begun { made: made.clone(), wish: target.wish, by: by.clone(), continues: self.last.clone() };
            let film = self.shared.on_disk(|| surroundings.record(&target.board, &about, begun))?;
            let name = film.name().to_owned();
            if self.last.is_none() {
                log::info!("recording to {name} in study.folder");
                self.shared.recorder.tell(Event::RecordingBegun { name: name.clone(), by });
            }
            self.shared.inner.lock().folder = Some(name.clone());
            self.last = Some(name);
            self.under_way = Some(UnderWay { film, first: about, made, missing: 0 });
        }
        let Some(under_way) = &mut self.under_way else { return Ok(()) };
        self.shared.on_disk(|| under_way.film.add(taken))
    }

    /// Ends the folder that is being written.
    fn finish(&mut self, why: &str) -> Result<()> {
        let Some(under_way) = self.under_way.take() else { return Ok(()) };
        self.shared.on_disk(|| under_way.film.finish(why, under_way.missing))
    }

    /// Ends the order that is being carried out.
    fn end(&mut self, why: &str) {
        if let Err(error) = self.finish(why) {
            log::warn!("{}", one_line(&error));
        }
        if let Some(name) = self.last.take() {
            let inner = self.shared.inner.lock();
            let (pictures, missing) = (inner.pictures, inner.missing);
            drop(inner);
            log::info!("recorded: {name}, {pictures} pictures, {missing} missing; {why}");
            let why = why.to_owned();
            self.shared.recorder.tell(Event::RecordingEnded { name, why, pictures, missing });
        }
        (self.order, self.again_at, self.has_failed) = (None, None, false);
    }
}
