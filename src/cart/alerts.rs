//! Lamps and buzzers that tell of new regions, as the profile in force has them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::surroundings::Surroundings;
use crate::alert::News;
use crate::board::{Alert, Profile};

/// What is switched now, and how that is told to end.
pub(super) struct Alerts {
    news: News,
    switched: Option<(Alert, Arc<AtomicBool>)>,
}

impl Alerts {
    pub(super) fn start(surroundings: &impl Surroundings, profile: &Profile, news: &News) -> Alerts {
        let mut alerts = Alerts { news: news.clone(), switched: None };
        alerts.follow(surroundings, profile);
        alerts
    }

    /// Another profile is in force.
    pub(super) fn follow(&mut self, surroundings: &impl Surroundings, profile: &Profile) {
        if self.switched.as_ref().is_some_and(|(alert, _)| *alert == profile.alert) {
            return;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let before = self.switched.replace((profile.alert.clone(), stop.clone()));
        if let Some((_, stop)) = before {
            stop.store(true, Ordering::Relaxed);
        }
        surroundings.alert(profile, &self.news, &stop);
    }
}

impl Drop for Alerts {
    fn drop(&mut self) {
        if let Some((_, stop)) = &self.switched {
            stop.store(true, Ordering::Relaxed);
        }
    }
}
