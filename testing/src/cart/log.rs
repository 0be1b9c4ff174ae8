//! What a program says on its standard error, line by line, with when it said it.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

#[derive(Default)]
struct Heard {
    lines: Vec<String>,
    over: bool,
}

/// What was said so far. A clone hears the same program.
#[derive(Clone, Default)]
pub struct Log(Arc<(Mutex<Heard>, Condvar)>);

impl Log {
    /// Reads until there is no more.
    pub fn listen(stderr: impl Read + Send + 'static) -> Log {
        let log = Log::default();
        let heard = log.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(stderr);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                // Empty ones filled the pipe before the program wrote to it.
                if !text.is_empty() {
                    heard.change(|heard| heard.lines.push(text));
                }
                line.clear();
            }
            heard.change(|heard| heard.over = true);
        });
        log
    }

    fn change(&self, change: impl FnOnce(&mut Heard)) {
        change(&mut self.0.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.1.notify_all();
    }

    /// All lines so far but empty ones.
    pub fn lines(&self) -> Vec<String> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).lines.clone()
    }

    /// All lines so far but empty ones, as one text.
    pub fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// How many lines so far are meant.
    pub fn count(&self, is_meant: impl Fn(&str) -> bool) -> usize {
        self.lines().iter().filter(|line| is_meant(line)).count()
    }

    /// Waits for a line after the first `known`; `None` if none comes in time.
    pub fn wait_after(
        &self,
        known: usize,
        patience: Duration,
        is_meant: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let end = Instant::now() + patience;
        let mut heard = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(line) = heard.lines.iter().skip(known).find(|line| is_meant(line)) {
                return Some(line.clone());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || heard.over {
                return None;
            }
            heard = self.0.1.wait_timeout(heard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the program has closed its standard error.
    pub fn wait_for_end(&self, patience: Duration) {
        let end = Instant::now() + patience;
        let mut heard = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !heard.over && Instant::now() < end {
            heard = self
                .0
                .1
                .wait_timeout(heard, Duration::from_millis(50))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}
