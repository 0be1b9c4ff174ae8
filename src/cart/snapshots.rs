//! Pictures that somebody in the room wants to keep: handed over by the thread that shows, written by threads that may hang.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::prepare::Opening;
use super::recorder::Recorder;
use super::surroundings::Surroundings;
use crate::audit::Event;
use crate::board::Board;
use crate::control::{Answer, Way};
use crate::fault::one_line;
use crate::pipeline::Pipeline;
use crate::runtime;
use crate::runtime::channel::Sender;
use crate::study::Made;

/// A frame that has not come by then does not come soon.
const FRAME_WITHIN: Duration = Duration::from_secs(1);
/// A picture that is not written by then is given up: the disk does not answer.
const WRITTEN_WITHIN: Duration = Duration::from_secs(15);
/// So many threads may hang on a disk.
const MOST_HANGING: u32 = 2;

/// Who wants a picture kept.
struct Asking {
    way: Way,
    answer: Option<Sender<Answer>>,
}

impl Asking {
    fn answer(self, answer: Answer) {
        // Who has asked may be gone.
        let _ = self.answer.map(|sender| sender.send(answer));
    }
}

/// One at a time.
enum Under {
    /// Its frame has not been shown yet.
    Waiting(Asking, Instant),
    Written(Asking, Opening<PathBuf>),
}

#[derive(Default)]
pub(super) struct Snapshots {
    under: Option<Under>,
    hanging: u32,
}

impl Snapshots {
    /// Wants the next frame kept, unless that cannot be.
    pub(super) fn want<N: crate::segment::Network + Send + 'static>(
        &mut self,
        pipeline: &Pipeline<N>,
        board: &Board,
        way: Way,
        answer: Option<Sender<Answer>>,
    ) {
        let asking = Asking { way, answer };
        let why = if board.profile.study.folder.is_none() {
            "there is no place to keep pictures in; name one by study.folder in the profile"
        } else if self.under.is_some() {
            "the picture before is still being written"
        } else if self.hanging >= MOST_HANGING {
            "the disk of study.folder does not answer; restart the program once it does"
        } else {
            // One that came after it was given up is of another moment.
            drop(pipeline.still());
            pipeline.want_still();
            self.under = Some(Under::Waiting(asking, runtime::now()));
            return;
        };
        log::warn!("no picture is kept: {why}");
        asking.answer(Answer::refused(why));
    }

    /// Goes on with what is under way.
    pub(super) fn attend<W: Surroundings>(
        &mut self,
        surroundings: &W,
        pipeline: &Pipeline<W::Network>,
        board: &Board,
        made: impl FnOnce() -> Made,
        recorder: &Recorder,
    ) {
        let Some(under) = self.under.take() else { return };
        self.under = match under {
            Under::Waiting(asking, since) => match pipeline.still() {
                Some(mut still) => {
                    let (theirs, board, made) = (surroundings.clone(), board.clone(), made());
                    let keep = move || {
                        still.take_over()?;
                        theirs.keep(&board, still, &made)
                    };
                    match Opening::start("snapshot", keep) {
                        Ok(opening) => Some(Under::Written(asking, opening)),
                        Err(error) => refused(asking, one_line(&error)),
                    }
                }
                None if runtime::since(since) > FRAME_WITHIN => {
                    pipeline.want_no_still();
                    refused(asking, "there is no picture at the moment".into())
                }
                None => Some(Under::Waiting(asking, since)),
            },
            Under::Written(asking, mut opening) => match opening.poll() {
                Some(Ok(kept)) => {
                    log::info!("a picture is kept in {}", kept.display());
                    let name = kept.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    recorder.tell(Event::Snapshot { name, by: asking.way.clone() });
                    asking.answer(Answer { kept: Some(kept), ..Answer::done() });
                    None
                }
                Some(Err(error)) => refused(asking, one_line(&error)),
                None if opening.takes() > WRITTEN_WITHIN => {
                    self.hanging += 1;
                    refused(asking, "the disk of study.folder does not answer".into())
                }
                None => Some(Under::Written(asking, opening)),
            },
        };
    }
}

fn refused(asking: Asking, why: String) -> Option<Under> {
    log::warn!("no picture is kept: {why}");
    asking.answer(Answer::refused(why));
    None
}
