//! The cart's KMS display in the simulation: what its monitor shows is looked at, too.

use std::time::Duration;

use anyhow::Result;
use polyp_edge::convert;
use polyp_edge::display::kms::{Kms, Wanted};
use polyp_edge::display::{Flipped, Scene, Shown, Sink};
use polyp_edge::geometry::{Placement, Rect};
use polyp_edge::runtime;

use super::{MONITOR, SECOND};
use crate::gpu::FakeGpu;
use crate::simulation::picture::picture_of;
use crate::simulation::world::World;

/// Of so many pictures, one is compared with what the monitor shows.
const COMPARED: u64 = 16;
/// How old a picture may be that a second monitor is given: it is looked at a moment before.
const OLDEST: Duration = Duration::from_millis(510);
/// What conversion to the monitor's format may change in a byte.
const CONVERTED: u8 = 3;

/// A picture that is on its way to the monitor.
struct Expected {
    size: (usize, usize),
    target: Rect,
    /// `B G R X` of the picture.
    pixels: Vec<u8>,
    /// `[y × width + x]` of the surface: something is drawn there.
    covered: Vec<bool>,
}

/// The driver, and who looks at what it shows.
pub(super) struct DriversMonitor {
    kms: Kms<FakeGpu>,
    card: FakeGpu,
    world: World,
    expected: Option<Expected>,
    shown: u64,
}

impl DriversMonitor {
    pub(super) fn open(card: FakeGpu, world: &World) -> Result<DriversMonitor> {
        world.tell("a display is being opened");
        world.lock().picture_ill(Duration::from_millis(150));
        // What fails is tried again a second later, as a display that fails later is.
        let wanted =
            Wanted { connector: Some(MONITOR.into()), second: Some(SECOND.into()), ..Wanted::default() };
        let kms = Kms::with(card.clone(), &wanted).inspect_err(|_| world.display_failed())?;
        Ok(DriversMonitor { kms, card, world: world.clone(), expected: None, shown: 0 })
    }

    /// Compares what is shown now with what was to be, once it has reached the monitor.
    fn compare(&mut self) {
        if self.card.is_flipping() {
            return;
        }
        let Some(expected) = self.expected.take() else { return };
        let Some((width, height, shown)) = self.card.monitor() else { return };
        if (width, height) != expected.size {
            return;
        }
        self.world.lock().compared += 1;
        let target = expected.target;
        for y in 0..target.height {
            for x in 0..target.width {
                let at = (target.y + y) * width + target.x + x;
                if expected.covered[at] {
                    continue;
                }
                let (found, from) = (shown[at], 4 * (y * target.width + x));
                let wanted = &expected.pixels[from..from + 3];
                if found.iter().zip(wanted).any(|(found, wanted)| found.abs_diff(*wanted) > CONVERTED) {
                    let (x, y) = (target.x + x, target.y + y);
                    return self.world.breaks(&format!(
                        "the monitor shows {found:?} at {x}, {y}, where nothing is drawn and the picture is {wanted:?}"
                    ));
                }
            }
        }
    }

    fn expect(&mut self, scene: &Scene<'_>) {
        let Placement { frame, surface, target } = scene.placement;
        let Some(picture) = scene.picture.filter(|_| frame == (target.width, target.height)) else { return };
        let mut pixels = vec![0; 4 * frame.0 * frame.1];
        if convert::to_bgrx(&picture, 0..frame.1, &mut pixels, 4 * frame.0).is_err() {
            return;
        }
        let mut covered = vec![false; surface.0 * surface.1];
        for y in 0..surface.1 {
            for (start, run) in scene.layer.runs(y) {
                for (x, pixel) in run.chunks_exact(4).enumerate() {
                    covered[y * surface.0 + start + x] |= pixel[3] != 0;
                }
            }
        }
        self.expected = Some(Expected { size: surface, target, pixels, covered });
    }
}

impl Drop for DriversMonitor {
    fn drop(&mut self) {
        // Another one may be about to be opened.
        self.world.lock().picture_ill(Duration::from_millis(150));
    }
}

impl Sink for DriversMonitor {
    fn place(&mut self, width_px: usize, height_px: usize) -> Placement {
        self.kms.place(width_px, height_px)
    }

    fn show(&mut self, scene: &Scene<'_>) -> Result<Shown> {
        self.compare();
        // Else it was overtaken.
        self.expected = None;
        // From here on the picture is in the display's hands: it is not drawn anew.
        self.world.lock().handed_over = runtime::now();
        let seen = scene.picture.as_ref().map(picture_of);
        let shown = self.kms.show(scene).inspect_err(|_| self.world.display_failed())?;
        if shown == Shown::Yes
            && let Some(seen) = seen
        {
            self.shown += 1;
            self.world.lock().takes_in(seen, scene.captured);
            if self.shown.is_multiple_of(COMPARED) {
                self.expect(scene);
            }
        }
        Ok(shown)
    }

    fn tend(&mut self, flipped: &mut dyn FnMut(Flipped)) -> Result<()> {
        self.compare();
        let world = self.world.clone();
        let outcome = self.kms.tend(&mut |flip| {
            world.lock().flipped(flip.at);
            flipped(flip);
        });
        outcome.inspect_err(|_| self.world.display_failed())
    }

    fn dark(&self) -> Option<&str> {
        self.kms.dark()
    }

    fn take_second(&mut self) -> Option<Box<dyn Sink>> {
        let second = self.kms.take_second()?;
        Some(Box::new(Second { sink: second, world: self.world.clone() }))
    }

    fn tells_flips(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        self.kms.describe()
    }
}

/// The driver of a second monitor, and who looks at what it is given.
struct Second {
    sink: Box<dyn Sink>,
    world: World,
}

impl Sink for Second {
    fn place(&mut self, width_px: usize, height_px: usize) -> Placement {
        self.sink.place(width_px, height_px)
    }

    fn show(&mut self, scene: &Scene<'_>) -> Result<Shown> {
        if scene.lease.is_some() {
            self.world.breaks("a second monitor keeps one of the camera's buffers");
        }
        let age = runtime::since(scene.captured);
        if scene.picture.is_some() && age > OLDEST {
            self.world.breaks(&format!("a second monitor is given a picture that is {age:?} old"));
        }
        let shown = self.sink.show(scene)?;
        if shown == Shown::Yes && scene.picture.is_some() {
            self.world.lock().second += 1;
        }
        Ok(shown)
    }

    fn tend(&mut self, flipped: &mut dyn FnMut(Flipped)) -> Result<()> {
        self.sink.tend(flipped)
    }

    fn dark(&self) -> Option<&str> {
        self.sink.dark()
    }

    fn describe(&self) -> String {
        self.sink.describe()
    }
}
