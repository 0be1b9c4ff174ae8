//! What happens in a run, recorded in the audit trail by a thread of its own, which may hang: whoever tells never waits.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::prepare::{Known, Made};
use super::surroundings::Surroundings;
use crate::audit::{Entry, Event};
use crate::board::Board;
use crate::capture::live::Why;
use crate::fault::{Fault, one_line};
use crate::identity::Program;
use crate::runtime;
use crate::runtime::sync::{Condvar, Mutex};
use crate::state::State;

/// Events that wait, at most: more are counted.
const MOST_WAITING: usize = 64;
/// Changes of state: so many at once, and one more each time that so long has passed. What is beyond that is counted.
const MOST_AT_ONCE: u32 = 30;
const ANOTHER_AFTER: Duration = Duration::from_secs(20);

/// Takes events in. Clones tell the same trail.
#[derive(Clone)]
pub(super) struct Recorder(Arc<Queue>);

struct Queue {
    inner: Mutex<Inner>,
    changed: Condvar,
}

struct Inner {
    folder: Option<PathBuf>,
    waiting: VecDeque<Entry>,
    lost: u64,
    /// Changes of state that may still be recorded, and since when.
    allowed: u32,
    since: Instant,
    omitted: u64,
    /// What it is, what the monitor says, why there are no pictures.
    state: Option<(&'static str, &'static str, Option<Why>)>,
    model: Option<Arc<Known>>,
    is_over: bool,
    has_ended: bool,
}

impl Recorder {
    /// Nothing is recorded without a folder.
    fn of(folder: Option<PathBuf>) -> Recorder {
        let inner = Inner {
            folder,
            waiting: VecDeque::with_capacity(MOST_WAITING),
            lost: 0,
            allowed: MOST_AT_ONCE,
            since: runtime::now(),
            omitted: 0,
            state: None,
            model: None,
            is_over: false,
            has_ended: false,
        };
        Recorder(Arc::new(Queue { inner: Mutex::new(inner), changed: Condvar::new() }))
    }

    /// # Errors
    /// 74 if there can be no more threads.
    pub(super) fn start(surroundings: &impl Surroundings, board: &Board) -> Result<Recorder> {
        let recorder = Recorder::of(board.profile.pipeline.audit_folder.clone());
        let (theirs, surroundings) = (recorder.clone(), surroundings.clone());
        runtime::thread::spawn("audit trail", move || theirs.work(&surroundings))
            .map_err(|error| Fault::io(format!("cannot start a thread: {error}")))?;
        recorder.tell(Event::Started {
            program: Program::this(),
            board: board.profile.name.clone(),
            profile_digest: board.digest.clone(),
        });
        Ok(recorder)
    }

    /// Records an event, unless too many wait already.
    pub(super) fn tell(&self, event: Event) {
        let entry = Entry::now(event);
        let mut inner = self.0.inner.lock();
        inner.put(entry);
        drop(inner);
        self.0.changed.notify_all();
    }

    /// Another profile is in force.
    pub(super) fn reloaded(&self, board: &Board) {
        self.0.inner.lock().folder.clone_from(&board.profile.pipeline.audit_folder);
        self.tell(Event::Reloaded { profile_digest: board.digest.clone() });
    }

    /// Records the state if it has changed. In the thread that shows, which waits for nobody: while another thread has the lock, the
    /// state is left for the next time, which is a second later at most.
    pub(super) fn state(&self, state: &State) {
        let Some(mut inner) = self.0.inner.try_lock() else { return };
        let why = match state {
            State::NoSignal(why) => Some(*why),
            _ => None,
        };
        // Figures in a reason change with every frame.
        let now = (state.word(), state.code(), why);
        if inner.state == Some(now) {
            return;
        }
        inner.state = Some(now);
        if !inner.may_record() {
            inner.omitted += 1;
            return;
        }
        let omitted = std::mem::take(&mut inner.omitted);
        inner.put(Entry::now(Event::State { state: state.word(), reason: state.reason(), omitted }));
        drop(inner);
        self.0.changed.notify_all();
    }

    /// Records the model if it is another one. To be called often.
    pub(super) fn model(&self, made: &Made) {
        let Some(known) = made.get() else { return };
        let mut inner = self.0.inner.lock();
        if inner.model.as_ref().is_some_and(|model| Arc::ptr_eq(model, &known)) {
            return;
        }
        let event =
            Event::Model { model: known.ingredients.identity.clone(), on_trial: known.trial.is_some() };
        inner.model = Some(known);
        inner.put(Entry::now(event));
        drop(inner);
        self.0.changed.notify_all();
    }

    /// Records the end; nothing comes after it.
    pub(super) fn stopped(&self, exit_code: u8) {
        self.tell(Event::Stopped { exit_code });
        self.0.inner.lock().is_over = true;
        self.0.changed.notify_all();
    }

    /// Waits until all is written, as long as it may.
    pub(super) fn wait(&self, may_wait: impl Fn() -> bool) {
        while !self.0.inner.lock().has_ended && may_wait() {
            runtime::thread::sleep(Duration::from_millis(1));
        }
    }

    fn work(&self, surroundings: &impl Surroundings) {
        let mut has_failed = false;
        while let Some((folder, entry)) = self.next() {
            let Some(folder) = folder else { continue };
            let written = surroundings.audit(&folder, &entry);
            match &written {
                Err(error) if !has_failed => log::warn!("{}", one_line(error)),
                Ok(()) if has_failed => log::info!("the audit trail is written again"),
                _ => {}
            }
            has_failed = written.is_err();
            if has_failed {
                self.0.inner.lock().lost += 1;
            }
        }
        self.0.inner.lock().has_ended = true;
    }

    /// The next event, waited for; `None` at the end.
    fn next(&self) -> Option<(Option<PathBuf>, Entry)> {
        let mut inner = self.0.inner.lock();
        loop {
            if let Some(entry) = inner.waiting.pop_front() {
                return Some((inner.folder.clone(), entry));
            }
            if inner.is_over {
                return None;
            }
            inner = self.0.changed.wait(inner);
        }
    }
}

impl Inner {
    fn put(&mut self, entry: Entry) {
        if self.folder.is_none() {
            return;
        }
        if self.waiting.len() + 1 >= MOST_WAITING {
            self.lost += 1;
            return;
        }
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 {
            self.waiting.push_back(Entry { event: Event::Lost { events: lost }, ..entry.clone() });
        }
        self.waiting.push_back(entry);
    }

    fn may_record(&mut self) -> bool {
        let passed = runtime::since(self.since);
        let more = u32::try_from(passed.as_secs() / ANOTHER_AFTER.as_secs()).unwrap_or(u32::MAX);
        if more > 0 {
            self.since += more * ANOTHER_AFTER;
            self.allowed = self.allowed.saturating_add(more).min(MOST_AT_ONCE);
        }
        let may = self.allowed > 0;
        self.allowed = self.allowed.saturating_sub(1);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Reason;

    fn recorder() -> Recorder {
        Recorder::of(Some("/audit".into()))
    }

    fn waiting(recorder: &Recorder) -> Vec<Event> {
        recorder.0.inner.lock().waiting.drain(..).map(|entry| entry.event).collect()
    }

    #[test]
    fn a_state_is_recorded_when_it_changes_and_not_with_its_figures() {
        let recorder = recorder();
        for age_ms in [140, 141, 142] {
            recorder.state(&State::Degraded(Reason::Late { age_ms, limit_ms: 120 }));
        }
        recorder.state(&State::Assist);
        recorder.state(&State::Assist);
        recorder.state(&State::NoSignal(Why::NoCable));
        recorder.state(&State::NoSignal(Why::Unplugged));
        let states: Vec<_> = waiting(&recorder)
            .into_iter()
            .map(|event| match event {
                Event::State { state, omitted: 0, .. } => state,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(states, ["degraded", "assist", "no-signal", "no-signal"]);
    }

    #[test]
    fn a_state_that_flickers_fills_no_disk_and_what_is_left_out_is_counted() {
        let recorder = recorder();
        for number in 0..1000 {
            recorder.state(if number % 2 == 0 { &State::Assist } else { &State::Passthrough });
        }
        assert_eq!(waiting(&recorder).len(), MOST_AT_ONCE as usize);
        recorder.0.inner.lock().allowed = 1;
        recorder.state(&State::SelfTest);
        let [Event::State { state: "self-test", omitted: 970, .. }] = &waiting(&recorder)[..] else {
            panic!()
        };
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let recorder = recorder();
        (0..100).for_each(|exit_code| recorder.tell(Event::Stopped { exit_code }));
        assert_eq!(waiting(&recorder).len(), MOST_WAITING - 1);
        recorder.tell(Event::Stopped { exit_code: 0 });
        assert_eq!(waiting(&recorder), [Event::Lost { events: 37 }, Event::Stopped { exit_code: 0 }]);
    }

    #[test]
    fn a_state_is_told_again_where_another_thread_had_the_lock() {
        let recorder = recorder();
        let held = recorder.0.inner.lock();
        recorder.state(&State::Assist);
        drop(held);
        assert_eq!(waiting(&recorder), []);
        recorder.state(&State::Assist);
        assert!(matches!(&waiting(&recorder)[..], [Event::State { state: "assist", .. }]));
    }
}
