//! Runs decoders of foreign bytes so that a panic in them is an error and not the end of a thread.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Does `work`; `None` if it panicked, of which nothing is printed. What `work` was changing then holds rubbish, but
/// must be sound to use.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                before(panic);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    outcome.ok()
}

#[cfg(test)]
mod tests {
    use super::guarded;

    #[test]
    fn a_panic_is_no_more_than_no_answer() {
        assert_eq!(guarded(|| 3), Some(3));
        let nothing: Vec<u8> = Vec::new();
        assert_eq!(guarded(|| nothing[nothing.len()]), None);
        assert_eq!(guarded(|| guarded(|| nothing[nothing.len()])), Some(None));
        assert_eq!(guarded(|| 4), Some(4));
    }
}
