//! What the people in the room can do, and what is done for them: orders, lamps, kept pictures, films.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::alerts::Alerts;
use super::controls::Controls;
use super::metrics::Metrics;
use super::prepare::Made;
use super::recorder::Recorder;
use super::recordings::{Recordings, Told};
use super::snapshots::Snapshots;
use super::status::StatusFile;
use super::surroundings::Surroundings;
use crate::alert::News;
use crate::board::Board;
use crate::pipeline::Pipeline;
use crate::recording::Ring;
use crate::runtime;
use crate::segment::Network;
use crate::state::State;
use crate::study;

/// Between two times that a recording's counts are told.
const COUNTS_EVERY: Duration = Duration::from_secs(1);

/// All of it.
pub(super) struct Room {
    pub controls: Controls,
    alerts: Alerts,
    pub snapshots: Snapshots,
    pub recordings: Recordings,
    /// What was told of recordings last, and when.
    told: (Told, Option<Instant>),
}

impl Room {
    /// # Errors
    /// 74 if there can be no more threads.
    pub(super) fn start(
        surroundings: &impl Surroundings,
        board: &Board,
        made: &Made,
        (news, ring): (&News, Arc<Ring>),
        recorder: &Recorder,
    ) -> Result<Room> {
        Ok(Room {
            controls: Controls::start(surroundings, &board.profile),
            alerts: Alerts::start(surroundings, &board.profile, news),
            snapshots: Snapshots::default(),
            recordings: Recordings::start(surroundings, board, made, ring, recorder)?,
            told: (Told::default(), None),
        })
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
        self.controls.follow(surroundings, &board.profile);
        self.alerts.follow(surroundings, &board.profile);
        self.recordings.follow(surroundings, board, made)
    }

    /// Goes on with what is under way.
    pub(super) fn attend<W: Surroundings>(
        &mut self,
        surroundings: &W,
        pipeline: &mut Pipeline<W::Network>,
        (board, made): (&Board, &Made),
        recorder: &Recorder,
        (status, metrics): (&StatusFile, &Metrics),
    ) {
        let made = || study::Made {
            board: board.profile.name.clone(),
            profile_digest: board.digest.clone(),
            model: made.identity(),
        };
        self.snapshots.attend(surroundings, pipeline, board, made, recorder);
        self.tell_of_recordings(pipeline, status, metrics);
    }

    /// What is news at once, counts every second.
    fn tell_of_recordings<N: Network + Send + 'static>(
        &mut self,
        pipeline: &mut Pipeline<N>,
        status: &StatusFile,
        metrics: &Metrics,
    ) {
        let has_frames = pipeline.gauges().state() != Some(State::NO_SIGNAL);
        let told = self.recordings.told(pipeline.cannot_record(), has_frames);
        let (before, at) = &self.told;
        let is_news = told.is_news(before);
        if !is_news && (told == *before || at.is_some_and(|at| runtime::since(at) < COUNTS_EVERY)) {
            return;
        }
        if told.sign() != before.sign() {
            pipeline.set_sign(told.sign());
        }
        metrics.set_recording(&told);
        status.set_recording(told.clone(), is_news);
        self.told = (told, Some(runtime::now()));
    }
}
