//! Who looks at a camera's pictures: every byte of them, and what is said while there are none.

use std::collections::VecDeque;
use std::time::Duration;

use polyp_edge::capture::live::{Camera, Event, Lease, Why};
use polyp_edge::capture::v4l2::camera::REPORTS_WITHIN;
use polyp_edge::capture::v4l2::{V4l2, Wanted};
use polyp_edge::frame::{Frame, PixelFormat};

use crate::v4l2::{Machine, STABLE, picture};

/// How long each call may wait for a picture.
pub const PATIENCE: Duration = Duration::from_millis(100);
/// What calls that answer late add: the fake's clock runs on in each.
const LATE: Duration = Duration::from_millis(25);

/// So many milliseconds.
pub fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// The fake device by its stable name, 16×8 at 50 pictures a second, in one of these formats.
pub fn wanted(formats: &[PixelFormat]) -> Wanted {
    Wanted {
        device: Some(STABLE.into()),
        formats: formats.to_vec(),
        sizes: vec![(16, 8)],
        rate_hz: 50.0,
        buffers: 5,
        input: None,
    }
}

/// A camera on the fake device that takes YUYV and NV12.
pub fn camera(machine: &Machine) -> V4l2<Machine> {
    V4l2::with(machine.clone(), wanted(&[PixelFormat::Yuyv, PixelFormat::Nv12]))
}

/// An absence that was reported: when, why, in which words.
#[derive(Clone, Debug, PartialEq)]
pub struct Told(pub Duration, pub Why, pub String);

/// Takes a camera's pictures, keeps some for a while, and checks each.
pub struct Viewer {
    machine: Machine,
    frame: Frame,
    /// How many pictures are kept while others come.
    pub hold: usize,
    /// Whether they are let go when no more come.
    pub lets_go: bool,
    held: VecDeque<(Lease, u64)>,
    /// When each picture came, and which it was.
    pub pictures: Vec<(Duration, u64)>,
    last_sequence: Option<u64>,
    /// What was reported; the same again counts once.
    pub absences: Vec<Told>,
    last_word: Duration,
    /// The longest time with neither a picture nor a report.
    pub longest_silence: Duration,
}

impl Viewer {
    /// Keeps two pictures, and lets go of none while no more come.
    pub fn new(machine: &Machine) -> Viewer {
        Viewer {
            machine: machine.clone(),
            frame: Frame::black(1, 1),
            hold: 2,
            lets_go: false,
            held: VecDeque::new(),
            pictures: Vec::new(),
            last_sequence: None,
            absences: Vec::new(),
            last_word: Duration::ZERO,
            longest_silence: Duration::ZERO,
        }
    }

    /// Looks until a time since the test began.
    pub fn watch(&mut self, camera: &mut V4l2<Machine>, until: Duration) {
        while self.machine.elapsed() < until {
            let before = self.machine.elapsed();
            let event = camera.next(PATIENCE, &mut self.frame);
            let now = self.machine.elapsed();
            assert!(now - before <= PATIENCE + LATE, "a call took {:?}", now - before);
            match event {
                Event::Lent(lease, stamp) => {
                    let tick = picture(&lease.view()).unwrap_or_else(|words| panic!("at {now:?}: {words}"));
                    self.seen(now, tick, stamp.sequence);
                    self.held.push_back((lease, tick));
                    self.drop_down_to(self.hold);
                }
                Event::Decoded(stamp) => {
                    assert_eq!(self.frame.number.0, stamp.sequence);
                    let tick = u64::from(self.frame.pixels()[0] / 8);
                    self.seen_decoded(now, tick, stamp.sequence);
                }
                Event::Nothing => {}
                Event::Absent(absence) => {
                    self.word(now);
                    if self.lets_go {
                        self.drop_down_to(0);
                    }
                    let told = Told(now, absence.why, absence.detail.to_string());
                    if self.absences.last().is_none_or(|last| (last.1, &last.2) != (told.1, &told.2)) {
                        self.absences.push(told);
                    }
                }
            }
            self.word_due(now);
        }
    }

    fn word(&mut self, now: Duration) {
        self.word_due(now);
        self.last_word = now;
    }

    fn word_due(&mut self, now: Duration) {
        self.longest_silence = self.longest_silence.max(now - self.last_word);
    }

    fn seen(&mut self, now: Duration, tick: u64, sequence: u64) {
        assert!(self.pictures.last().is_none_or(|&(_, last)| tick > last), "picture {tick} came late");
        self.seen_decoded(now, tick, sequence);
    }

    fn seen_decoded(&mut self, now: Duration, tick: u64, sequence: u64) {
        assert!(self.last_sequence.is_none_or(|last| sequence > last), "number {sequence} came late");
        self.last_sequence = Some(sequence);
        self.pictures.push((now, tick));
        self.word(now);
    }

    /// Gives pictures back, which must be as they were.
    pub fn drop_down_to(&mut self, count: usize) {
        while self.held.len() > count {
            if let Some((lease, tick)) = self.held.pop_front() {
                assert_eq!(picture(&lease.view()), Ok(tick), "a lent picture changed");
            }
        }
    }

    /// The last picture that is still held.
    pub fn lease(&self) -> Option<&Lease> {
        self.held.back().map(|(lease, _)| lease)
    }

    /// The first picture after a time.
    pub fn picture_after(&self, time: Duration) -> Option<Duration> {
        self.pictures.iter().map(|&(when, _)| when).find(|&when| when >= time)
    }

    /// Whether an absence for this reason was reported.
    pub fn told(&self, why: Why) -> bool {
        self.absences.iter().any(|told| told.1 == why)
    }

    /// That nothing went wrong which nobody was told of, and nothing is left behind.
    pub fn finish(mut self, mut camera: V4l2<Machine>) {
        assert!(self.longest_silence <= REPORTS_WITHIN + PATIENCE, "{:?} of silence", self.longest_silence);
        // Before the next look all that was returned is queued.
        let _ = camera.next(Duration::ZERO, &mut self.frame);
        if self.machine.left().2 > 0 {
            let (out, held) = (self.machine.taken_out(), self.held.len());
            assert!(out <= held + 1, "{out} buffers are out, {held} are held");
        }
        drop(camera);
        assert_eq!(self.machine.left().0, 0, "a file is open");
        self.drop_down_to(0);
        assert_eq!(self.machine.left(), (0, 0, 0), "files, mappings, buffers");
        assert_eq!(self.machine.violations(), Vec::<String>::new());
    }
}
