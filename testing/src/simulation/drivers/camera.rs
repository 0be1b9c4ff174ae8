//! The cart's V4L2 camera in the simulation.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use polyp_edge::capture::live::{Camera, Counts, Event};
use polyp_edge::capture::v4l2::V4l2;
use polyp_edge::frame::Frame;

use crate::simulation::world::{EXCHANGED_WITHIN, World};
use crate::v4l2::Machine;

/// The driver, and who is told of its end.
pub(super) struct DriversCamera {
    camera: V4l2<Machine>,
    world: World,
}

impl DriversCamera {
    pub(super) fn new(camera: V4l2<Machine>, world: &World) -> DriversCamera {
        DriversCamera { camera, world: world.clone() }
    }
}

impl Drop for DriversCamera {
    fn drop(&mut self) {
        // Another one may be taking its place.
        self.world.lock().picture_ill(EXCHANGED_WITHIN);
    }
}

impl Camera for DriversCamera {
    fn next(&mut self, patience: Duration, frame: &mut Frame) -> Event {
        match catch_unwind(AssertUnwindSafe(|| self.camera.next(patience, frame))) {
            Ok(event) => event,
            Err(panic) => {
                self.world.capture_panicked();
                resume_unwind(panic)
            }
        }
    }

    fn granted(&self) -> String {
        self.camera.granted()
    }

    fn counts(&self) -> Counts {
        self.camera.counts()
    }
}
