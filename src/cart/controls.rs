//! What the people in the room ask for, carried out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::surroundings::Surroundings;
use crate::board::{Control, Profile};
use crate::control::Request;
use crate::runtime::channel::{Receiver, Sender, channel};

/// Orders that are carried out at once: more wait for the next look.
pub(super) const MOST_AT_ONCE: usize = 16;

/// Takes orders in by all ways that the profile names.
pub(super) struct Controls {
    orders: (Sender<Request>, Receiver<Request>),
    /// What is watched now, and how it is told to end.
    watched: Option<(Control, Arc<AtomicBool>)>,
}

impl Controls {
    pub(super) fn start(surroundings: &impl Surroundings, profile: &Profile) -> Controls {
        let mut controls = Controls { orders: channel(), watched: None };
        controls.follow(surroundings, profile);
        controls
    }

    /// Another profile is in force: what it says of orders is watched from now on, if that is something else.
    pub(super) fn follow(&mut self, surroundings: &impl Surroundings, profile: &Profile) {
        if self.watched.as_ref().is_some_and(|(control, _)| *control == profile.control) {
            return;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let before = self.watched.replace((profile.control.clone(), stop.clone()));
        if let Some((_, stop)) = before {
            stop.store(true, Ordering::Relaxed);
        }
        surroundings.listen(profile, &self.orders.0, &stop);
    }

    /// The next order.
    pub(super) fn next(&self) -> Option<Request> {
        self.orders.1.try_recv().ok()
    }
}

impl Drop for Controls {
    fn drop(&mut self) {
        if let Some((_, stop)) = &self.watched {
            stop.store(true, Ordering::Relaxed);
        }
    }
}
