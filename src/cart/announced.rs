//! What the service manager was told of the run's progress.

use super::manager::Notice;
use super::surroundings::Surroundings;

/// Remembers what the manager was told of the run's progress.
#[derive(Debug, Default)]
pub(super) struct Announced(Option<Doing>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Ready,
    Reloading,
}

impl Announced {
    /// Tells what has changed; to be called often, and never waits. A cart is ready once its display is open, whether or not a
    /// monitor or a camera is plugged in.
    pub(super) fn tell(&mut self, surroundings: &impl Surroundings, is_open: bool, is_reloading: bool) {
        let (doing, notice) = match (is_open, is_reloading) {
            (false, _) => return,
            (true, true) => (Doing::Reloading, Notice::Reloading),
            (true, false) => (Doing::Ready, Notice::Ready),
        };
        if self.0 != Some(doing) && surroundings.notify(&notice) {
            self.0 = Some(doing);
        }
    }
}
