//! The simulated monitor.

use std::time::Duration;

use anyhow::{Result, bail};
use polyp_edge::display::{Flipped, Scene, Shown, Sink};
use polyp_edge::runtime;

use super::picture::picture_of;
use super::world::{RATE_HZ, World};

/// The monitor.
pub struct WorldMonitor {
    world: World,
    /// A picture that waits for its refresh.
    waiting: Option<Flipped>,
}

impl WorldMonitor {
    /// A monitor that shows nothing yet.
    pub fn new(world: &World) -> WorldMonitor {
        world.tell("a display is open");
        world.lock().picture_ill(Duration::from_millis(150));
        WorldMonitor { world: world.clone(), waiting: None }
    }

    fn flip(&mut self, flipped: &mut dyn FnMut(Flipped)) {
        let now = runtime::now();
        if let Some(flip) = self.waiting.take_if(|flip| flip.at <= now) {
            flipped(flip);
        }
    }
}

impl Drop for WorldMonitor {
    fn drop(&mut self) {
        // Another one may be about to be opened.
        self.world.lock().picture_ill(Duration::from_millis(150));
    }
}

impl Sink for WorldMonitor {
    fn show(&mut self, scene: &Scene<'_>) -> Result<Shown> {
        let slow = {
            let mut world = self.world.lock();
            // From here on the picture is in the display's hands: it is not drawn anew.
            world.handed_over = runtime::now();
            world.show_takes.take()
        };
        if let Some(time) = slow {
            runtime::thread::sleep(time);
        }
        self.flip(&mut |_| ());
        let now = runtime::now();
        let mut world = self.world.lock();
        if std::mem::take(&mut world.fails) {
            world.picture_ill(Duration::from_millis(1200));
            bail!("the simulated display failed");
        }
        if now < world.busy_until || self.waiting.is_some() {
            return Ok(Shown::Skipped);
        }
        // The next refresh.
        let interval = Duration::from_secs_f64(1.0 / RATE_HZ);
        let into =
            Duration::from_nanos((now.duration_since(world.begin).as_nanos() % interval.as_nanos()) as u64);
        let at = now + (interval - into);
        self.waiting = Some(Flipped { captured: scene.captured, committed: now, at });
        if let Some(picture) = scene.picture {
            world.takes_in(picture_of(&picture), scene.captured);
            world.flipped(at);
        }
        Ok(Shown::Yes)
    }

    fn tend(&mut self, flipped: &mut dyn FnMut(Flipped)) -> Result<()> {
        self.flip(flipped);
        Ok(())
    }

    fn tells_flips(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        "a simulated monitor".into()
    }
}
