//! What a cart is surrounded by, as far as a run opens, reads and writes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::manager::Notice;
use crate::alert::News;
use crate::audit::Entry;
use crate::board::{Board, Profile};
use crate::bundle::Identity;
use crate::control::Request;
use crate::display::Sink;
use crate::latency::interval::Load;
use crate::latency::log::{Bounds, Minutes, Setup};
use crate::pipeline::{Feed, Observer};
use crate::recording::ring::About;
use crate::recording::{Begun, Recording};
use crate::runtime::channel::Sender;
use crate::segment::{Network, Segmenter};
use crate::store::{OnTrial, Verdict};
use crate::study::{Made, Still};
use crate::thermal::Thermometer;

/// Devices, files and bundles: the machine's, or a simulation's.
///
/// [`feed`](Surroundings::feed), [`observer`](Surroundings::observer), [`clean_up`](Surroundings::clean_up) and
/// [`notify`](Surroundings::notify) are called by the thread that supervises, and must not wait. All others are called by threads that
/// may hang.
pub trait Surroundings: Clone + Send + Sync + 'static {
    /// What is run on a frame.
    type Network: Network + Send + 'static;
    /// A bundle whose files have been read.
    type Bundle: Send + Sync + 'static;
    /// A place that pictures and reports go to, claimed for this run.
    type Output: Clone + Send + 'static;

    /// Reads a profile.
    fn board(&self, path: &Path) -> Result<Board>;

    /// Starts to take orders in by all ways that the profile names, in threads of their own, until `stop` is set. What cannot be had is
    /// told in the log and tried again.
    fn listen(&self, profile: &Profile, orders: &Sender<Request>, stop: &Arc<AtomicBool>);

    /// Starts to tell of new regions by all that the profile names, in threads of their own, until `stop` is set. What cannot be had is told
    /// in the log and tried again.
    fn alert(&self, profile: &Profile, news: &News, stop: &Arc<AtomicBool>);

    /// Where pictures come from: opened by the thread that captures. A live camera that is not there is no error: it may come.
    fn feed(&self, profile: &Profile) -> Result<Feed>;

    /// As [`Surroundings::feed`] for a reload: a camera that is there and gives what is wanted, or a source that is open.
    fn another_feed(&self, old: &Profile, new: &Profile) -> Result<Feed>;

    /// Claims the profile's folder for what the run writes, or goes on with the claim that there is.
    fn claim(
        &self,
        path: &Path,
        board: &Board,
        force: bool,
        held: Option<Self::Output>,
    ) -> Result<Option<Self::Output>>;

    /// Where pictures go.
    fn sink(&self, profile: &Profile, output: Option<Self::Output>) -> Result<Box<dyn Sink>>;

    /// That the profile's monitor can be shown on, as far as that can be told while the profile in force still shows.
    fn examine_monitor(&self, profile: &Profile) -> Result<()>;

    /// Reads the bundle that a board is to run.
    fn bundle(&self, board: &Board) -> Result<Self::Bundle>;

    /// Its trial, if it has yet to prove itself.
    fn trial(&self, bundle: &Self::Bundle) -> Option<OnTrial>;

    /// Takes in what was found out about a bundle on trial, by its digest. One that failed is not given again by
    /// [`bundle`](Surroundings::bundle), also where this cannot be kept on the disk.
    fn judge(&self, board: &Board, digest: &str, verdict: &Verdict) -> Result<()>;

    /// Which bundle it is.
    fn identity(&self, bundle: &Self::Bundle) -> Identity;

    /// The model of an open bundle, as the profile runs it.
    fn segmenter(&self, profile: &Profile, bundle: &Self::Bundle) -> Result<Segmenter<Self::Network>>;

    /// That a profile's state file can be written where it is to be.
    ///
    /// # Errors
    /// 74, with the path.
    fn check_state_file(&self, profile: &Profile) -> Result<()>;

    /// Writes the state file whole or not at all.
    fn write_state(&self, path: &Path, text: &str) -> Result<()>;

    /// Writes over the state file where it is, for there is no room for a new one: what it said is no longer so.
    fn state_is_stale(&self, path: &Path, text: &str);

    /// Writes the metrics whole or not at all.
    fn write_metrics(&self, path: &Path, text: &str) -> Result<()>;

    /// Begins a log of latencies in a folder.
    fn latency_log(
        &self,
        folder: &Path,
        bounds: Bounds,
        setup: &Setup,
        unix_s: f64,
    ) -> Result<Box<dyn Minutes>>;

    /// What tells how busy the machine was since it was last asked.
    fn load(&self) -> Box<dyn FnMut() -> Load>;

    /// Appends to the audit trail in a folder.
    fn audit(&self, folder: &Path, entry: &Entry) -> Result<()>;

    /// Keeps a picture where the profile says, with what was drawn on it and what made that; gives its folder.
    fn keep(&self, board: &Board, still: Still, made: &Made) -> Result<PathBuf>;

    /// Begins a recording where the profile says, with its first picture, which is yet to be added.
    fn record(&self, board: &Board, first: &About, begun: Begun) -> Result<Box<dyn Recording>>;

    /// Writes a report into a claimed place.
    fn write_report(&self, output: &Self::Output, name: &str, bytes: &[u8]) -> Result<()>;

    /// The folder of a claimed place.
    fn folder<'a>(&self, output: &'a Self::Output) -> &'a Path;

    /// Prints what people read at the end of a run: among the log's lines if the pictures go to standard output.
    fn print(&self, profile: &Profile, text: &str) -> Result<()>;

    /// What reads the machine's temperatures and throttle flags: called by a thread of its own, which also reads.
    fn thermometer(&self) -> Box<dyn Thermometer>;

    /// Is told of what is shown and of the state, in the thread that shows: must not wait.
    fn observer(&self) -> Box<dyn Observer> {
        Box::new(())
    }

    /// Whether a profile that is reloaded needs nothing that the program has denied itself when it started.
    ///
    /// # Errors
    /// 78, with the key and the path.
    fn admits(&self, board: &Board) -> Result<()> {
        let _ = board;
        Ok(())
    }

    /// Tells whoever manages the program as a service; whether that took it, or nobody does. Must not wait.
    fn notify(&self, notice: &Notice<'_>) -> bool {
        let _ = notice;
        true
    }

    /// How long whoever manages the program waits for a sign of life before ending it; `None` if nobody does.
    fn watchdog(&self) -> Option<Duration> {
        None
    }

    /// Removes what threads that were left behind have begun to write.
    fn clean_up(&self);
}

/// What people and the system ask of a run.
pub trait Asked {
    /// When the run was asked to end, if it was.
    fn to_end(&self) -> Option<Instant>;

    /// Whether it was asked once more: what is left undone stays so.
    fn twice(&self) -> bool;

    /// From here on, being asked to end ends the process at once: the console is back.
    fn nothing_to_restore(&self);

    /// Whether the profile is to be read again; any number of times asked is once.
    fn to_reload(&self) -> bool;
}
