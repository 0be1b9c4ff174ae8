//! Work on many items at once, with a bar that shows how far it is.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar with a count, the time taken and the time left; hidden where stderr is no terminal.
pub fn progress_bar(label: &str, length: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:<24} {bar:30} {pos}/{len} {elapsed} < {eta}");
    let bar = ProgressBar::new(length as u64).with_prefix(label.to_string());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Calls `work` for every item, on `threads` threads, each with a state of its own made by `make`. Results are in the
/// items' order; the first error, in that order, is given.
pub fn in_parallel<T: Sync, S, R: Send>(
    items: &[T],
    threads: usize,
    make: impl Fn() -> anyhow::Result<S> + Sync,
    work: impl Fn(&mut S, &T) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                let mut state = make();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    let result = match &mut state {
                        Ok(state) => work(state, item),
                        Err(error) => Err(anyhow::anyhow!("{error:#}")),
                    };
                    let failed = result.is_err();
                    results.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((index, result));
                    if failed {
                        next.store(items.len(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// As many threads as the machine runs at once.
pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

#[cfg(test)]
mod tests {
    use polyp_edge::fault::Fault;

    use super::*;

    #[test]
    fn results_keep_their_order_and_the_first_error_wins() {
        let items: Vec<usize> = (0..100).collect();
        let doubled = in_parallel(&items, 3, || Ok(2), |factor, item| Ok(*factor * item)).unwrap();
        assert_eq!(doubled, (0..100).map(|item| 2 * item).collect::<Vec<_>>());
        let work = |_: &mut (), item: &usize| match item {
            7 => Err(Fault::data("seven")),
            item => Ok(*item),
        };
        let error = in_parallel(&items, 1, || Ok(()), work).unwrap_err();
        assert_eq!(error.to_string(), "seven");
        let error = in_parallel(&items, 2, || Err::<(), _>(Fault::data("no state")), |_, item| Ok(*item));
        assert_eq!(error.unwrap_err().to_string(), "no state");
    }
}
