//! The picture as a viewer gets it: uncompressed video, each frame with when it was there.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::noise::{Noise, hurry};
use super::running::PATIENCE;

/// What the corner of a picture says, by its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corner {
    /// Outlines are drawn where something is found.
    Assist,
    /// The same, and that there would be more if nothing hindered.
    Reduced,
    /// Assistance is off.
    Off,
    /// Neither: passing through, starting, or no word at all.
    Other,
}

/// A picture that came.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// When all of it was there.
    pub at: Instant,
    /// Width and height in pixels.
    pub size: (usize, usize),
    /// What its corner says.
    pub corner: Corner,
    /// Dots in the outlines' colour.
    pub outlined: usize,
}

#[derive(Default)]
struct Taken {
    frames: Vec<Seen>,
    over: bool,
}

/// The pictures so far. A clone sees the same program.
#[derive(Clone, Default)]
pub struct Video(Arc<(Mutex<Taken>, Condvar)>);

impl Video {
    /// Reads until there is no more.
    pub fn watch(stdout: impl Read + Send + 'static) -> Video {
        let video = Video::default();
        let taken = video.clone();
        thread::spawn(move || {
            hurry();
            // Video that breaks off is seen in the number of frames.
            let _ = taken.take(BufReader::with_capacity(1 << 20, stdout));
            taken.change(|taken| taken.over = true);
        });
        video
    }

    fn take(&self, mut stdout: impl BufRead) -> std::io::Result<()> {
        let mut header = String::new();
        if stdout.read_line(&mut header)? == 0 {
            return Ok(());
        }
        let side = |letter: char| {
            let word = header.split_whitespace().find_map(|word| word.strip_prefix(letter));
            word.and_then(|side| side.parse::<usize>().ok())
                .unwrap_or_else(|| panic!("no size in {header:?}"))
        };
        let (width, height) = (side('W'), side('H'));
        assert!(header.contains(" C444"), "{header:?}");
        let mut planes = vec![0; 3 * width * height];
        let mut mark = Vec::new();
        loop {
            mark.clear();
            if stdout.read_until(b'\n', &mut mark)? == 0 {
                return Ok(());
            }
            assert!(mark.starts_with(b"FRAME"), "{:?}", String::from_utf8_lossy(&mark));
            stdout.read_exact(&mut planes)?;
            let at = Instant::now();
            let (corner, outlined) = look(&planes, width, height);
            self.change(|taken| taken.frames.push(Seen { at, size: (width, height), corner, outlined }));
        }
    }

    fn change(&self, change: impl FnOnce(&mut Taken)) {
        change(&mut self.0.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.1.notify_all();
    }

    /// All pictures so far.
    pub fn frames(&self) -> Vec<Seen> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).frames.clone()
    }

    /// The pictures so far that came at an instant or later.
    pub fn since(&self, from: Instant) -> Vec<Seen> {
        self.frames().into_iter().filter(|frame| frame.at >= from).collect()
    }

    /// Waits for a frame after an instant; `None` if none comes in time.
    pub fn wait_since(
        &self,
        from: Instant,
        patience: Duration,
        is_meant: impl Fn(&Seen) -> bool,
    ) -> Option<Seen> {
        let end = Instant::now() + patience;
        let mut taken = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let late = taken.frames.iter().rev().take_while(|frame| frame.at >= from);
            if let Some(&frame) = late.filter(|frame| is_meant(frame)).last() {
                return Some(frame);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || taken.over {
                return None;
            }
            taken = self.0.1.wait_timeout(taken, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// That between two instants no two pictures were further apart than two frame times and 20 ms, beyond the
    /// machine's own delays. Gives the longest time between two.
    #[track_caller]
    pub fn assert_unbroken(&self, from: Instant, to: Instant, rate_hz: f64, noise: &Noise) -> Duration {
        let bound = Duration::from_secs_f64(2.0 / rate_hz) + Duration::from_millis(20);
        // The last gap ends with the next picture: only then has the kernel counted how long its threads waited.
        self.wait_since(to, PATIENCE, |_| true);
        let inside: Vec<Instant> = self.since(from).into_iter().map(|frame| frame.at).collect();
        let next = inside.iter().copied().find(|&at| at >= to).unwrap_or_else(Instant::now);
        noise.catch_up();
        let inside = inside.into_iter().filter(|&at| at < to);
        let instants: Vec<Instant> = [from].into_iter().chain(inside).chain([next]).collect();
        let mut longest = Duration::ZERO;
        for (&before, &after) in instants.iter().zip(&instants[1..]) {
            let gap = after - before;
            longest = longest.max(gap);
            let noise = noise.of_picture(before, after);
            assert!(
                gap <= bound + noise,
                "no picture for {gap:.1?}, {:.1?} after the watch began; allowed are {bound:.1?} and {noise:.1?} by which \
                 the machine itself delayed; {} pictures in {:.1?}",
                before - from,
                instants.len() - 2,
                to - from
            );
        }
        longest
    }
}

/// The corner's word and the number of dots in the outlines' colour, of a 4:4:4 picture.
fn look(planes: &[u8], width: usize, height: usize) -> (Corner, usize) {
    let (luma, chroma) = planes.split_at(width * height);
    let (blue, red) = chroma.split_at(width * height);
    let near = |index: usize, colour: [f32; 3]| {
        let [y, u, v] = [luma[index], blue[index], red[index]].map(f32::from);
        // BT.601 or BT.709, studio range: the colours looked for are far enough apart for either.
        let [y, u, v] = [(y - 16.0) / 219.0, (u - 128.0) / 224.0, (v - 128.0) / 224.0];
        let rgb = [y + 1.402 * v, y - 0.344 * u - 0.714 * v, y + 1.772 * u];
        rgb.iter().zip(colour).all(|(have, want)| (have * 255.0 - want).abs() < 45.0)
    };
    let count = |rows: std::ops::Range<usize>, colour| {
        (rows.start * width..rows.end * width).filter(|&index| near(index, colour)).count()
    };
    let words = height - 12..height;
    let colours = [
        (Corner::Assist, [60.0, 230.0, 90.0]),
        (Corner::Reduced, [235.0, 235.0, 60.0]),
        (Corner::Off, [255.0, 170.0, 0.0]),
    ];
    let counts = colours.map(|(corner, colour)| (count(words.clone(), colour), corner));
    let most = counts.into_iter().max_by_key(|(count, _)| *count);
    let corner = most.filter(|(count, _)| *count > 40).map_or(Corner::Other, |(_, corner)| corner);
    (corner, count(0..height - 14, [0.0, 255.0, 230.0]))
}
