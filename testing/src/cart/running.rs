//! A program that was started, until it has ended.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::FRAMES_PER_SECOND;
use super::log::Log;
use super::noise::Noise;
use super::video::{Corner, Video};

/// No test waits longer for something that should come.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The longest that a start may take until the first picture, and an end after SIGTERM.
pub const ONE_SECOND: Duration = Duration::from_secs(1);

/// How a program ended, how long after it was told to, and what the machine delayed meanwhile.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, or the signal that ended it.
    pub status: ExitStatus,
    /// Counts from when its end was waited for.
    pub took: Duration,
    /// By how much the machine itself may have delayed the end.
    pub noise: Duration,
}

/// A program that runs. It is killed when this is dropped.
pub struct Running {
    child: Child,
    /// When it was started.
    pub begun: Instant,
    /// What it says on its standard error; empty unless that is piped.
    pub log: Log,
    /// What it shows on its standard output; empty unless that is piped.
    pub video: Video,
    /// By how much the machine itself delays it.
    pub noise: Noise,
}

impl Running {
    /// With its log and its pictures read.
    pub fn start(mut command: Command) -> Running {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running::spawn(command)
    }

    /// With standard input, output and error as the command has them; what is piped and kept is read.
    pub fn spawn(mut command: Command) -> Running {
        let begun = Instant::now();
        let mut child = command.spawn().unwrap();
        let log = child.stderr.take().map(Log::listen).unwrap_or_default();
        let video = child.stdout.take().map(Video::watch).unwrap_or_default();
        let noise = Noise::of(child.id());
        Running { child, begun, log, video, noise }
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal; one that has ended gets none.
    pub fn send(&self, signal: Signal) {
        // One that has ended is met where its end is waited for.
        let _ = kill_process(Pid::from_raw(self.child.id() as i32).unwrap(), signal);
    }

    /// The status if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// That it has not ended.
    #[track_caller]
    pub fn assert_runs(&mut self) {
        let ended = self.ended();
        assert!(ended.is_none(), "it ended with {}: {}", ended.unwrap(), self.log.text());
    }

    /// That the first picture came within a second of the start; gives when.
    #[track_caller]
    pub fn first_picture(&self) -> Instant {
        let first = self.video.wait_since(self.begun, PATIENCE, |_| true);
        let noise = self.noise.of_program(self.begun, Instant::now());
        let Some(first) = first else { panic!("no picture in {PATIENCE:?}; log: {}", self.log.text()) };
        let took = first.at - self.begun;
        assert!(took < ONE_SECOND + noise, "the first picture came after {took:.1?}; noise {noise:.1?}");
        first.at
    }

    /// Waits for the first picture with assistance.
    #[track_caller]
    pub fn assisted(&self) -> Instant {
        let assisted = self.video.wait_since(self.begun, PATIENCE, |frame| frame.corner == Corner::Assist);
        let Some(assisted) = assisted else {
            panic!("no assistance in {} frames; log: {}", self.video.frames().len(), self.log.text());
        };
        assisted.at
    }

    /// That the picture went on without a gap since an instant.
    #[track_caller]
    pub fn assert_unbroken_since(&self, from: Instant) -> Duration {
        self.video.assert_unbroken(from, Instant::now(), FRAMES_PER_SECOND, &self.noise)
    }

    /// That the picture goes on without a gap for a while from now.
    #[track_caller]
    pub fn assert_unbroken_for(&self, time: Duration) -> Duration {
        let from = Instant::now();
        thread::sleep(time);
        self.assert_unbroken_since(from)
    }

    /// That SIGTERM ends it within a second, with exit code 0.
    #[track_caller]
    pub fn assert_ends_well(&mut self) {
        self.assert_ends_with(Signal::TERM, 0);
    }

    /// That a signal ends it within a second, with an exit code.
    #[track_caller]
    pub fn assert_ends_with(&mut self, signal: Signal, code: i32) {
        self.send(signal);
        let ended = self.wait(PATIENCE);
        self.log.wait_for_end(ONE_SECOND);
        let Some(ended) = ended else {
            panic!("it does not end in {PATIENCE:?} after {signal:?}; log: {}", self.log.text());
        };
        let Ended { status, took, noise } = ended;
        assert!(took < ONE_SECOND + noise, "it ended {took:.1?} after {signal:?}; noise {noise:.1?}");
        assert_eq!(status.code(), Some(code), "{status}; log: {}", self.log.text());
    }

    /// Waits for its end, from now.
    pub fn wait(&mut self, patience: Duration) -> Option<Ended> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                let noise = self.noise.of_program(begun, Instant::now());
                return Some(Ended { status, took: begun.elapsed(), noise });
            }
            if begun.elapsed() > patience {
                return None;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Nothing outlives its test.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is so; whether it came to be.
pub fn comes_true(patience: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
}
