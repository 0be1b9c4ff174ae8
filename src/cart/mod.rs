//! A whole cart: camera → model → display, as a board profile says, from its start to its end.
//!
//! | module | job |
//! |---|---|
//! | [`Surroundings`] | what is opened, read and written |
//! | [`Machine`] | the machine's own of that |
//! | [`Signals`] | what the system asks of the program |
//! | [`Manager`] | what the service manager is told |
//! | `watchdog` | signs of life, as long as the display goes on in time |
//! | [`sandbox`] | what the program denies itself |
//! | `prepare` | from a profile to what the pipeline works with |
//! | `trial` | whether a newly installed bundle proves itself |
//! | `reload` | a new profile beside the running one, taken over whole or refused |
//! | `room` | what the people in the room can do: the next four |
//! | `controls` | what they ask for |
//! | `alerts` | lamps and buzzers |
//! | `snapshots` | pictures that they want to keep |
//! | `recordings` | films of what is shown |
//! | `heat` | what is done when the machine gets hot |
//! | `status` | the device's state in a file |
//! | `latencies` | how long everything took, minute by minute, on the disk |
//! | `metrics` | how the run goes, for whoever watches over many carts |
//! | `recorder` | what happens, in the audit trail |
//! | `report` | how the run went, at its end |
//!
//! The thread that is here supervises: it opens, reads and writes nothing itself. What may hang is opened in threads of its own.

mod alerts;
mod announced;
mod controls;
mod heat;
mod latencies;
mod machine;
mod manager;
mod metrics;
mod prepare;
mod recorder;
mod recordings;
mod reload;
mod report;
mod room;
pub mod sandbox;
mod signals;
mod snapshots;
mod status;
mod surroundings;
mod trial;
mod watchdog;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

pub use machine::{Machine, segmenter};
pub use manager::{Manager, Notice};
pub use prepare::{Limits, settings};
pub use signals::Signals;
pub use surroundings::{Asked, Surroundings};
pub use watchdog::STANDS_STILL_AFTER;

use crate::alert::News;
use crate::alert::news::Novelty;
use crate::audit::Event;
use crate::board::{Board, DisplayKind};
use crate::control::{Answer, Order, Request};
use crate::display::Sink;
use crate::fault::{Exit, Fault, one_line};
use crate::pipeline::{self, Feed, Observer, Picture, Pipeline, Status};
use crate::runtime;
use crate::runtime::sync::Mutex;
use crate::score::Scorer;

use announced::Announced;
use controls::MOST_AT_ONCE;
use heat::Heat;
use latencies::LatencyLog;
use metrics::Metrics;
use prepare::{Made, Opening, Outputs};
use recorder::Recorder;
use reload::{Change, Reload, What, Wish};
use report::Ending;
use room::Room;
use status::StatusFile;
use trial::Watched;
use watchdog::{Turns, Watchdog};

/// Between two looks at the threads.
const TICK: Duration = Duration::from_millis(4);
/// Between two tries to open a display that has gone.
const REOPEN_EVERY: Duration = Duration::from_secs(1);
/// A camera's thread that panics is started anew, unless it has so often within [`CALM`].
const MOST_RESTARTS: u32 = 3;
const CALM: Duration = Duration::from_secs(60);

/// Runs a cart as its profile says, until its source or a limit ends it or it is asked to end.
///
/// # Errors
/// What ended the run, that assistance was lost in it, that threads were, that frames could not be read, or that the reports
/// could not be written.
pub fn run<W: Surroundings>(
    surroundings: &W,
    asked: &impl Asked,
    path: &Path,
    force: bool,
    limits: Limits,
    board: Board,
) -> Result<()> {
    Run::start(surroundings.clone(), path.to_owned(), force, limits, board)?.go(asked)
}

/// A run under way.
struct Run<W: Surroundings> {
    surroundings: W,
    path: PathBuf,
    force: bool,
    limits: Limits,
    /// What is in force.
    board: Board,
    pipeline: Pipeline<W::Network>,
    status: StatusFile,
    recorder: Recorder,
    metrics: Metrics,
    latencies: LatencyLog,
    scorer: Arc<Mutex<Option<Scorer>>>,
    /// What the model in charge was made of.
    made: Made,
    outputs: Outputs<W::Output>,
    /// The display that is being opened, and when to try again.
    opening: Option<Opening<Box<dyn Sink>>>,
    reopen_at: Option<Instant>,
    has_feed: bool,
    reload: Reload<W>,
    trial: trial::Watch,
    heat: Heat<W>,
    room: Room,
    restarts: (u32, Instant),
    announced: Announced,
    /// Gives signs of life until the run is over.
    watchdog: Option<Watchdog>,
}

/// Why a run ends.
enum End {
    /// Its source, or a limit.
    Itself,
    /// It was told to, then.
    Asked(Instant),
    Error(anyhow::Error),
}

impl<W: Surroundings> Run<W> {
    fn start(surroundings: W, path: PathBuf, force: bool, limits: Limits, board: Board) -> Result<Run<W>> {
        let made = Made::default();
        let status = StatusFile::start(&surroundings, &board, &made)?;
        let recorder = Recorder::start(&surroundings, &board)?;
        let metrics = Metrics::default();
        let scorer = Arc::new(Mutex::new(None));
        let trial = trial::Watch::default();
        let turns = Arc::new(Turns::default());
        let watchdog = Watchdog::start(&surroundings, &turns)?;
        let news = News::default();
        let watch = Watch {
            scorer: scorer.clone(),
            status: status.teller(),
            trial: trial.states(),
            recorder: recorder.clone(),
            turns,
            novelty: Novelty::new(&news),
            other: surroundings.observer(),
        };
        let mut pipeline = Pipeline::start(prepare::settings(&limits, &board)?, Box::new(watch))?;
        metrics.start(&surroundings, &board, &made, pipeline.gauges())?;
        let latencies = LatencyLog::default();
        latencies.start(&surroundings, &board, &made, pipeline.gauges())?;
        // The display first: its picture needs no model.
        let outputs = Outputs::default();
        let (theirs, its_path, its_board, its_outputs) =
            (surroundings.clone(), path.clone(), board.clone(), outputs.clone());
        let opening = Opening::start("display opener", move || {
            its_outputs.set(theirs.claim(&its_path, &its_board, force, None)?);
            theirs.sink(&its_board.profile, its_outputs.get())
        })?;
        let load = prepare::loader(&surroundings, &board, &made, None);
        pipeline.load(load.clone())?;
        let heat = Heat::start(&surroundings, load, &made)?;
        let room = Room::start(&surroundings, &board, &made, (&news, pipeline.ring()), &recorder)?;
        Ok(Run {
            surroundings,
            path,
            force,
            limits,
            board,
            outputs,
            pipeline,
            status,
            recorder,
            metrics,
            latencies,
            scorer,
            made,
            opening: Some(opening),
            reopen_at: None,
            has_feed: false,
            reload: Reload::default(),
            trial,
            heat,
            room,
            restarts: (0, runtime::now()),
            announced: Announced::default(),
            watchdog,
        })
    }

    /// Supervises until the end, and reports.
    fn go(mut self, signals: &impl Asked) -> Result<()> {
        let end = loop {
            if let Some(at) = signals.to_end() {
                break End::Asked(at);
            }
            match self.step(signals) {
                Ok(None) => runtime::thread::sleep(TICK),
                Ok(Some(end)) => break end,
                Err(error) => break End::Error(error),
            }
        };
        self.status.stopping();
        self.surroundings.notify(&Notice::Stopping);
        let outcome = self.pipeline.end(&|| signals.twice());
        let score = self.scorer.lock().take();
        let asked = match &end {
            End::Asked(at) => Some(*at),
            _ => None,
        };
        let error = match end {
            End::Error(error) => Some(error),
            _ => None,
        };
        let output = self.outputs.destination();
        // Nothing is shown any more: what is left to do is bounded by the manager.
        drop(self.watchdog);
        let (surroundings, board, status) = (self.surroundings, self.board, self.status);
        let (recorder, metrics, latencies) = (self.recorder, self.metrics, self.latencies);
        let recordings = self.room.recordings;
        let model = self.heat.made().identity();
        Ending {
            surroundings,
            board,
            model,
            outcome,
            score,
            error,
            status,
            recorder,
            metrics,
            latencies,
            recordings,
            output,
            asked,
        }
        .tell(signals)
    }

    /// Looks once after everything.
    fn step(&mut self, signals: &impl Asked) -> Result<Option<End>> {
        match self.pipeline.attend() {
            pipeline::Event::Going => {}
            pipeline::Event::Over => return Ok(Some(End::Itself)),
            pipeline::Event::SourceFailed(error) => return Err(error),
            pipeline::Event::DisplayLost => {
                return Err(Fault::new(
                    Exit::Assertion,
                    "the display thread panicked, so nothing more can be shown; the log says where",
                ));
            }
            pipeline::Event::CaptureLost => self.restart_feed()?,
            pipeline::Event::SinkReleased(old) => {
                self.reopen_at = None;
                self.opening = Some(self.reload.exchange_sink(&self.surroundings, old, &self.board)?);
            }
            pipeline::Event::SinkFailed(error) => self.sink_failed(error)?,
        }
        self.open_display()?;
        self.recorder.model(self.heat.made());
        let has_failed = self.trial.attend(&self.surroundings, &self.board, self.heat.made())?;
        if signals.to_reload() || has_failed {
            self.reload.ask();
        }
        self.attend_reload()?;
        self.attend_heat();
        for _ in 0..MOST_AT_ONCE {
            let Some(request) = self.room.controls.next() else { break };
            self.carry_out(request);
        }
        self.room.attend(
            &self.surroundings,
            &mut self.pipeline,
            (&self.board, self.heat.made()),
            &self.recorder,
            (&self.status, &self.metrics),
        );
        Ok(None)
    }

    /// Does what somebody in the room asks for.
    fn carry_out(&mut self, request: Request) {
        let Request { order, way, answer } = request;
        let done = match order {
            Order::Outlines { to } => {
                let are_on = to.of(self.pipeline.outlines());
                if are_on != self.pipeline.outlines() {
                    self.pipeline.set_outlines(are_on);
                    self.status.set_outlines(are_on);
                    self.metrics.set_outlines(are_on);
                    log::info!("outlines are {} now", if are_on { "on" } else { "off" });
                    self.recorder.tell(Event::Outlines { on: are_on, by: way });
                }
                Answer::outlines(are_on)
            }
            Order::Sensitivity { to } => {
                self.reload.wish(Wish { to: Change::Sensitivity(to), by: way, answer });
                return;
            }
            Order::Input { to } => {
                self.reload.wish(Wish { to: Change::Input(to), by: way, answer });
                return;
            }
            Order::Mark { text } => {
                log::info!("mark: {text}");
                self.recorder.tell(Event::Mark { text, by: way });
                Answer::done()
            }
            Order::Snapshot => {
                self.room.snapshots.want(&self.pipeline, &self.board, way, answer);
                return;
            }
            Order::Record { to } => {
                let answer = self.room.recordings.order(to, way);
                if let Some(why) = &answer.error {
                    log::warn!("nothing is recorded: {why}");
                }
                answer
            }
            Order::Status => match self.status.now() {
                Ok(state) => Answer {
                    state: Some(state),
                    sensitivity: Some(self.board.profile.model.sensitivity),
                    input: Some(self.board.profile.camera.name.clone()),
                    ..Answer::outlines(self.pipeline.outlines())
                },
                Err(error) => Answer::refused(one_line(&error)),
            },
        };
        // Who has asked may be gone.
        let _ = answer.map(|answer| answer.send(done));
    }

    /// Tells that what somebody in the room wanted is so now.
    fn fulfilled(&self, wish: Wish, board: &Board) {
        let by = wish.by.clone();
        match wish.to {
            Change::Sensitivity(to) => {
                log::info!("the sensitivity is {to} now, until the profile is reloaded");
                self.recorder.tell(Event::Sensitivity { to, by });
                wish.answer(Answer { sensitivity: Some(to), ..Answer::done() });
            }
            Change::Input(_) => {
                let to = board.profile.camera.name.clone();
                log::info!("pictures come from the source {to} now, until the profile is reloaded");
                self.recorder.tell(Event::Input { to: to.clone(), by });
                wish.answer(Answer { input: Some(to), ..Answer::done() });
            }
        }
    }

    /// Does what the machine's heat asks for.
    fn attend_heat(&mut self) {
        let orders = self.heat.attend(&self.board);
        if let Some(step) = orders.step {
            self.pipeline.set_heat(step);
            let told = self.heat.told();
            self.recorder.tell(Event::Heat { step: told.step, celsius: told.celsius });
        }
        if let Some((segmenter, load, made)) = orders.model {
            self.pipeline.adopt(segmenter, load);
            self.status.set_target(&self.board, &made);
            self.metrics.set_target(&self.board, &made);
            self.latencies.set_target(&self.board, &made);
            self.room.recordings.set_made(&made);
        }
        if orders.is_news {
            let told = self.heat.told();
            self.metrics.set_heat(told.step);
            self.latencies.set_heat(&told);
            self.status.set_heat(told);
        }
    }

    /// Takes over a display that was opened; the first feed follows it.
    fn open_display(&mut self) -> Result<()> {
        if self.reopen_at.is_some_and(|at| runtime::now() >= at) {
            self.reopen_at = None;
            let (theirs, profile, outputs) =
                (self.surroundings.clone(), self.board.profile.clone(), self.outputs.clone());
            let open = move || theirs.sink(&profile, outputs.get());
            self.opening = Some(Opening::start("display opener", open)?);
        }
        let Some(opened) = self.opening.as_mut().and_then(Opening::poll) else { return Ok(()) };
        self.opening = None;
        match opened {
            Ok(sink) => self.pipeline.set_sink(sink),
            // A display that was there comes back.
            Err(error) if self.has_feed => {
                log::warn!("{}: the display will be opened again", one_line(&error));
                self.reopen_at = Some(runtime::now() + REOPEN_EVERY);
            }
            Err(error) => return Err(error),
        }
        if !self.has_feed {
            self.has_feed = true;
            self.pipeline.set_feed(self.surroundings.feed(&self.board.profile)?)?;
        }
        Ok(())
    }

    fn sink_failed(&mut self, error: anyhow::Error) -> Result<()> {
        if self.board.profile.display.kind != DisplayKind::Kms {
            return Err(error);
        }
        log::error!("{}: the display will be opened again", one_line(&error));
        self.reopen_at = Some(runtime::now() + REOPEN_EVERY);
        Ok(())
    }

    /// A camera's thread that panicked is started anew; a recording cannot go on.
    fn restart_feed(&mut self) -> Result<()> {
        let lost = || Fault::new(Exit::Assertion, "the capture thread panicked; the log says where");
        let (count, since) = &mut self.restarts;
        if runtime::since(*since) > CALM {
            (*count, *since) = (0, runtime::now());
        }
        *count += 1;
        match self.surroundings.feed(&self.board.profile)? {
            Feed::Live(camera) if *count <= MOST_RESTARTS => {
                log::error!("the capture thread panicked: it is replaced");
                self.pipeline.set_feed(Feed::Live(camera))
            }
            _ => Err(lost()),
        }
    }

    /// Prepares a reload that was asked for, and takes over what is ready.
    fn attend_reload(&mut self) -> Result<()> {
        self.announced.tell(&self.surroundings, self.has_feed, self.reload.is_under_way());
        // One after another: what is opened now belongs to the profile in force.
        if self.opening.is_some() || !self.has_feed {
            return Ok(());
        }
        if self.reload.is_due() {
            let has_model = self.pipeline.has_model();
            self.reload.begin(reload::Running {
                surroundings: self.surroundings.clone(),
                path: self.path.clone(),
                force: self.force,
                limits: self.limits.clone(),
                board: self.board.clone(),
                made: self.made.get().filter(|_| has_model),
                output: self.outputs.get(),
            })?;
        }
        let Some((what, ready)) = self.reload.poll(&self.recorder) else { return Ok(()) };
        if ready.is_changed {
            self.pipeline.set_settings(ready.settings);
            self.outputs.set(ready.output);
        }
        let has_model = ready.model.is_some();
        if let Some((segmenter, load, made)) = ready.model {
            self.heat.own_is(load.clone(), &made);
            self.pipeline.adopt(segmenter, load);
            self.made = made;
        }
        if ready.is_changed {
            self.heat.profile_changed();
        }
        if ready.is_changed || has_model {
            self.status.set_target(&ready.board, self.heat.made());
            self.metrics.set_target(&ready.board, self.heat.made());
            self.latencies.set_target(&ready.board, self.heat.made());
            self.room.follow(&self.surroundings, &ready.board, self.heat.made())?;
        }
        if let Some(feed) = ready.feed {
            self.pipeline.set_feed(feed)?;
        }
        if let Some(sink) = ready.sink {
            self.pipeline.set_sink(sink);
        }
        if ready.exchanges_sink {
            self.pipeline.release_sink();
        }
        match what {
            What::Profile => {
                log::info!("{}: the profile was reloaded and is in use", self.path.display());
                self.recorder.reloaded(&ready.board);
            }
            What::Wish(wish) => self.fulfilled(wish, &ready.board),
        }
        self.board = ready.board;
        Ok(())
    }
}

/// Scores what the source knows, tells the state. In the thread that shows.
struct Watch {
    scorer: Arc<Mutex<Option<Scorer>>>,
    status: status::Teller,
    trial: Arc<Watched>,
    recorder: Recorder,
    turns: Arc<Turns>,
    novelty: Novelty,
    other: Box<dyn Observer>,
}

impl Observer for Watch {
    fn shown(&mut self, picture: &Picture<'_>) {
        if let Some(truth) = picture.truth {
            let mut scorer = self.scorer.lock();
            scorer.get_or_insert_default().add(truth, picture.regions());
        }
        if let Some(result) = &picture.result {
            self.novelty.drawn(result.shown.tracks());
        }
        self.other.shown(picture);
    }

    fn status(&mut self, status: &Status<'_>) {
        // First: who watches a simulation knows of the state before others act on it.
        self.other.status(status);
        self.status.tell(status);
        self.trial.tell(status.state);
        self.recorder.state(status.state);
    }

    fn turned(&mut self) {
        self.turns.turned();
        self.other.turned();
    }
}
