//! The monitor as a sink: scenes in, flips out, and at the end what was there before.

use std::time::Duration;

use anyhow::Result;

use super::gpu::{Gpu, Mode};
use super::surface::{FLIP_PATIENCE, Surface};
use super::{Kms, name};
use crate::display::{Flipped, Scene, Shown, Sink};
use crate::geometry::Placement;

impl<G: Gpu + 'static> Sink for Kms<G> {
    fn place(&mut self, width_px: usize, height_px: usize) -> Placement {
        let size = (width_px, height_px);
        if width_px > 0 && height_px > 0 && self.picture != Some(size) {
            self.picture = Some(size);
            self.choose_mode();
        }
        let surface = self.mode.as_ref().map_or(size, Mode::size);
        Placement::fit(size, surface, self.wanted.enlarge)
    }

    fn show(&mut self, scene: &Scene<'_>) -> Result<Shown> {
        self.look()?;
        let (None, Some(mode)) = (&self.dark, self.mode) else { return Ok(Shown::Skipped) };
        let Placement { surface, target, .. } = scene.placement;
        let lies = |at: usize, side: usize, whole: usize| {
            side > 0 && at.checked_add(side).is_some_and(|end| end <= whole)
        };
        let lies_within = lies(target.x, target.width, surface.0) && lies(target.y, target.height, surface.1);
        if surface != mode.size() || !lies_within {
            return Ok(Shown::Skipped);
        }
        if let Some(retired) = &mut self.retired
            && let Err(error) = retired.collect(&mut self.gpu, FLIP_PATIENCE)
        {
            return self.failed(&error);
        }
        if !self.surface_for(mode)? {
            return Ok(Shown::Skipped);
        }
        let (Some(surface), Some(monitor)) = (&mut self.surface, &self.monitor) else {
            return Ok(Shown::Skipped);
        };
        match surface.show(&mut self.gpu, &monitor.outlet, &mut self.brush, scene) {
            Ok(shown) => {
                if shown == Shown::Yes && !self.is_announced {
                    self.is_announced = true;
                    self.said.clear();
                    if let Some(retired) = self.retired.take() {
                        retired.destroy(&mut self.gpu);
                    }
                    log::info!("{}", self.describe());
                }
                Ok(shown)
            }
            Err(error) => self.failed(&error),
        }
    }

    fn take_second(&mut self) -> Option<Box<dyn Sink>> {
        self.second.take().map(|second| second as Box<dyn Sink>)
    }

    fn tells_flips(&self) -> bool {
        true
    }

    fn tend(&mut self, flipped: &mut dyn FnMut(Flipped)) -> Result<()> {
        self.look()?;
        let Some(surface) = &mut self.surface else { return Ok(()) };
        let collected = surface.collect(&mut self.gpu, Duration::ZERO);
        surface.take_done(flipped);
        match collected {
            Ok(()) => Ok(()),
            Err(error) => self.failed(&error).map(|_| ()),
        }
    }

    fn dark(&self) -> Option<&str> {
        self.dark.as_deref()
    }

    fn describe(&self) -> String {
        let card = format!("{} ({})", name(self.gpu.path()), self.gpu.driver());
        let (Some(monitor), Some(mode)) = (&self.monitor, &self.mode) else {
            let socket = self.wanted.connector.as_deref().unwrap_or("any connector");
            return format!("{socket} on {card}: no monitor");
        };
        let composed = self.surface.as_ref().map_or("not switched on yet", Surface::composed);
        format!("{} on {card}: {mode}, {composed}", monitor.connector.name)
    }
}

impl<G: Gpu> Drop for Kms<G> {
    fn drop(&mut self) {
        if self.try_to_be_master() {
            if let (Some(surface), Some(monitor)) = (&mut self.surface, &self.monitor)
                && let Err(error) = surface.clear(&mut self.gpu, &monitor.outlet)
            {
                log::debug!("cannot remove the overlay: {error}");
            }
            let mut restored = Vec::new();
            for saved in &self.saved {
                match self.gpu.restore(saved) {
                    Ok(()) => restored.push(saved.crtc),
                    Err(error) => log::info!("cannot restore what the monitor showed before: {error}"),
                }
            }
            // Nothing is shown rather than what is about to be removed.
            if let (Some(surface), Some(monitor)) = (&mut self.surface, &self.monitor)
                && !restored.contains(&monitor.outlet.crtc.id)
                && let Err(error) = surface.darken(&mut self.gpu, &monitor.outlet)
            {
                log::debug!("cannot switch off {}: {error}", monitor.connector.name);
            }
        }
        for surface in [self.retired.take(), self.surface.take()].into_iter().flatten() {
            surface.destroy(&mut self.gpu);
        }
    }
}
