//! Panics of libraries, made into words.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};

/// Only one at a time may stand in for the process's panic hook.
static HOOK: Mutex<()> = Mutex::new(());

/// Runs `work`. A panic in it, also in a thread that it waits for, becomes its first message, one line; nothing is
/// printed meanwhile.
pub fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let _alone = HOOK.lock().unwrap_or_else(PoisonError::into_inner);
    let first = Arc::new(Mutex::new(None));
    let seen = first.clone();
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get_or_insert_with(|| one_line(info.payload_as_str().unwrap_or("no reason given")));
    }));
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    panic::set_hook(before);
    outcome.map_err(|_| {
        let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
        first.take().unwrap_or_else(|| "no reason given".into())
    })
}

/// The words of several lines on one, none longer than a terminal can show.
fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(400) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_first_words() {
        assert_eq!(quietly(|| 3), Ok(3));
        assert_eq!(quietly(|| -> u8 { panic!("no\n   device {}", 7) }), Err("no device 7".into()));
        let nested = quietly(|| {
            let inner = std::thread::spawn(|| panic!("the cause")).join();
            assert!(inner.is_ok(), "the consequence");
        });
        assert_eq!(nested, Err("the cause".into()));
    }

    #[test]
    fn long_words_end() {
        assert_eq!(one_line(&"é".repeat(1000)).chars().count(), 402);
    }
}
