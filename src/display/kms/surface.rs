//! A mode with its buffers: scenes drawn, committed, flipped.

use std::time::{Duration, Instant};

use super::buffers::{Buffers, Imports, Pool, recipe};
use super::composition::Composition;
use super::content::{Content, Primary};
use super::draw::Brush;
use super::gpu::{Commit, Failure, Flip, FourCc, Framebuffer, Gpu, Mode};
use super::outlet::Outlet;
use super::request::Request;
use crate::call::CallResult;
use crate::display::{Flipped, Scene, Shown};
use crate::frame::{Colour, PixelFormat, Range};
use crate::geometry::Placement;

/// No flip takes longer, at 24 pictures a second.
pub const FLIP_PATIENCE: Duration = Duration::from_millis(50);
/// Flips whose time has not been asked for yet; older ones are forgotten.
const MOST_FLIPS: usize = 16;

/// A commit whose flip is not done yet.
struct Flight {
    serial: u64,
    content: Content,
    /// When its picture was captured and handed over; none for a screen without one.
    handed: Option<(Instant, Instant)>,
    /// It has been waited for long enough.
    overdue: bool,
}

/// How the camera's memory was to be shown.
#[derive(Clone, Copy, PartialEq)]
struct Way {
    queue: u64,
    recipe: Framebuffer,
    placement: Placement,
    colour: Colour,
}

pub struct Surface<M> {
    pub mode: Mode,
    blob: u32,
    buffers: Buffers<M>,
    /// Layers are on their plane; else they are blended.
    has_planes: bool,
    /// The way that works, and the one that does not.
    direct: Option<Way>,
    refused: Option<Way>,
    shown: Content,
    pending: Option<Flight>,
    serial: u64,
    request: Request,
    /// The mode is set.
    is_lit: bool,
    /// The other composition has been tried already.
    has_fallen: bool,
    has_flipped: bool,
    /// Capture time and flip time.
    done: Vec<Flipped>,
    /// Flips that were late.
    late: u64,
}

impl<M> Surface<M> {
    /// Makes buffers and asks the driver whether the mode and the composition are possible. An error leaves nothing behind.
    pub fn new<G: Gpu<Memory = M>>(
        gpu: &mut G,
        outlet: &Outlet,
        mode: Mode,
        composition: Composition,
    ) -> CallResult<Surface<M>>
    where
        M: super::gpu::BufferMemory,
    {
        let pictures = Pool::new(gpu, mode.size(), FourCc::XRGB8888)?;
        let blob = match gpu.create_mode_blob(&mode) {
            Ok(blob) => blob,
            Err(error) => {
                pictures.destroy(gpu);
                return Err(error);
            }
        };
        let mut surface = Surface {
            mode,
            blob,
            buffers: Buffers { pictures, layers: None, imports: Imports::default() },
            has_planes: false,
            direct: None,
            refused: None,
            shown: Content::default(),
            pending: None,
            serial: 0,
            request: Request::default(),
            is_lit: false,
            has_fallen: false,
            has_flipped: false,
            done: Vec::with_capacity(MOST_FLIPS),
            late: 0,
        };
        if composition != Composition::Blend && outlet.overlay.is_some() {
            match surface.open_planes(gpu, outlet) {
                Ok(()) => return Ok(surface),
                Err(error) => log::info!("the driver refuses a plane for the overlay: {error}"),
            }
        }
        if composition == Composition::Planes {
            log::warn!("no plane for the overlay can be used: it is blended into the picture");
        }
        match surface.test(gpu, outlet, &Content { primary: Primary::Drawn(0), layer: None }, true) {
            Ok(()) => Ok(surface),
            Err(error) => {
                surface.destroy(gpu);
                Err(error)
            }
        }
    }

    /// Layers get a plane of their own, if the driver says that it can.
    fn open_planes<G: Gpu<Memory = M>>(&mut self, gpu: &mut G, outlet: &Outlet) -> CallResult<()>
    where
        M: super::gpu::BufferMemory,
    {
        self.buffers.layers = Some(Pool::new(gpu, self.mode.size(), FourCc::ARGB8888)?);
        let content = Content { primary: Primary::Drawn(0), layer: Some(0) };
        let tested = self.test(gpu, outlet, &content, !self.is_lit);
        self.has_planes = tested.is_ok();
        if tested.is_err()
            && let Some(layers) = self.buffers.layers.take()
        {
            layers.destroy(gpu);
        }
        tested
    }

    /// Words for the log.
    pub fn composed(&self) -> &'static str {
        match (self.has_planes, self.direct) {
            (true, Some(_)) => "video directly from the camera's memory, overlay on a plane of its own",
            (true, None) => "overlay on a plane of its own",
            (false, _) => "overlay blended",
        }
    }

    /// A picture has reached the monitor.
    pub fn has_flipped(&self) -> bool {
        self.has_flipped
    }

    /// The mode is to be set again with the next picture.
    pub fn unlight(&mut self) {
        self.is_lit = false;
        self.refused = None;
    }

    /// Flips that were done since the last call.
    pub fn take_done(&mut self, flipped: &mut dyn FnMut(Flipped)) {
        self.done.drain(..).for_each(flipped);
    }

    /// Reads the flips that are done; waits for the pending one no longer than `patience`.
    pub fn collect<G: Gpu<Memory = M>>(&mut self, gpu: &mut G, patience: Duration) -> CallResult<()> {
        let until = gpu.now() + patience;
        // Bounded also if the clock stands still or events come that nobody asked for.
        for _ in 0..64 {
            let left = match self.pending {
                Some(_) => until.saturating_duration_since(gpu.now()),
                None => Duration::ZERO,
            };
            let Surface { pending, shown, done, has_flipped, .. } = self;
            let result = gpu.flips(left, &mut |Flip { serial, at }| {
                if let Some(flight) = pending.take_if(|flight| flight.serial == serial) {
                    *shown = flight.content;
                    *has_flipped = true;
                    remember(done, flight.handed, at);
                }
            });
            match result {
                Err(error) if Failure::of(&error) != Failure::Busy => return Err(error),
                _ if left.is_zero() || self.pending.is_none() => break,
                _ => {}
            }
        }
        Ok(())
    }

    /// Draws a scene and has it shown with the next refresh.
    pub fn show<G: Gpu<Memory = M>>(
        &mut self,
        gpu: &mut G,
        outlet: &Outlet,
        brush: &mut Brush,
        scene: &Scene<'_>,
    ) -> CallResult<Shown>
    where
        M: super::gpu::BufferMemory,
    {
        let Some(content) = self.draw(gpu, outlet, brush, scene)? else { return Ok(Shown::Skipped) };
        if let Some(flight) = &self.pending {
            let patience = if flight.overdue { Duration::ZERO } else { FLIP_PATIENCE };
            self.collect(gpu, patience)?;
        }
        // One that is overdue may have been lost: the driver knows, and answers EBUSY if it was not.
        if let Some(flight) = self.pending.as_mut().filter(|flight| !flight.overdue) {
            flight.overdue = true;
            self.late += 1;
            if self.late.is_power_of_two() {
                log::warn!("a flip took longer than {FLIP_PATIENCE:?} ({} so far)", self.late);
            }
            return Ok(Shown::Skipped);
        }
        let how = if self.is_lit { Commit::Flip } else { Commit::Modeset };
        let blob = (!self.is_lit).then_some(self.blob);
        content.compose(&mut self.request, outlet, &self.buffers, self.mode.size(), blob);
        self.serial += 1;
        let handed = scene.picture.map(|_| (scene.captured, gpu.now()));
        match gpu.commit(&mut self.request, how, self.serial) {
            Ok(()) => {
                if let Some(lost) = self.pending.take() {
                    self.shown = lost.content;
                }
                if how == Commit::Flip {
                    self.pending = Some(Flight { serial: self.serial, content, handed, overdue: false });
                } else {
                    self.is_lit = true;
                    self.shown = content;
                    remember(&mut self.done, handed, gpu.now());
                }
                Ok(Shown::Yes)
            }
            Err(error) if Failure::of(&error) == Failure::Busy => Ok(Shown::Skipped),
            Err(error) if matches!(Failure::of(&error), Failure::Denied | Failure::Gone) => Err(error),
            Err(error) if content.lent().is_some() => {
                log::warn!(
                    "the camera's memory cannot be scanned out: {error}; frames are converted instead"
                );
                self.refused = self.direct.take();
                Ok(Shown::Skipped)
            }
            Err(error) if !self.has_fallen && self.fall(gpu, outlet) => {
                log::warn!("the display refuses a frame: {error}; from now on: {}", self.composed());
                Ok(Shown::Skipped)
            }
            Err(error) => Err(error),
        }
    }

    /// Changes to the other composition, if there is one.
    fn fall<G: Gpu<Memory = M>>(&mut self, gpu: &mut G, outlet: &Outlet) -> bool
    where
        M: super::gpu::BufferMemory,
    {
        self.has_fallen = true;
        self.direct = None;
        if self.has_planes {
            // The canvases may still be shown: they stay until the surface goes.
            self.has_planes = false;
            return true;
        }
        self.buffers.layers.is_none() && outlet.overlay.is_some() && self.open_planes(gpu, outlet).is_ok()
    }

    /// Everything for a scene but the commit; `None` if it cannot be drawn.
    fn draw<G: Gpu<Memory = M>>(
        &mut self,
        gpu: &mut G,
        outlet: &Outlet,
        brush: &mut Brush,
        scene: &Scene<'_>,
    ) -> CallResult<Option<Content>>
    where
        M: super::gpu::BufferMemory,
    {
        let pending = self.pending.as_ref().map(|flight| &flight.content);
        let used_layers = [self.shown.layer, pending.and_then(|content| content.layer)];
        let used_pictures = [self.shown.drawn(), pending.and_then(Content::drawn)];
        let size = self.mode.size();
        let mut layer = None;
        if let Some(layers) = self.buffers.layers.as_mut().filter(|_| self.has_planes) {
            layer = layers.free(used_layers);
            if let Some(canvas) = layer.and_then(|index| layers.get_mut(index)) {
                canvas.traces.layer(scene.layer, &mut canvas.memory, canvas.stride, size);
            }
            if self.is_lit
                && let Some(primary) = self.lend(gpu, outlet, scene, layer)?
            {
                return Ok(Some(Content { primary, layer }));
            }
        }
        let Some(index) = self.buffers.pictures.free(used_pictures) else { return Ok(None) };
        let Some(canvas) = self.buffers.pictures.get_mut(index) else { return Ok(None) };
        let blended = layer.is_none().then_some(scene.layer);
        let (memory, stride) = (&mut canvas.memory, canvas.stride);
        match brush.picture(scene.picture.as_ref(), &scene.placement, blended, memory, stride) {
            Ok(()) => Ok(Some(Content { primary: Primary::Drawn(index), layer })),
            Err(error) => {
                log::debug!("cannot draw a frame: {error:#}");
                Ok(None)
            }
        }
    }

    /// The camera's own memory, if it can be shown as it is.
    fn lend<G: Gpu<Memory = M>>(
        &mut self,
        gpu: &mut G,
        outlet: &Outlet,
        scene: &Scene<'_>,
        layer: Option<usize>,
    ) -> CallResult<Option<Primary>>
    where
        M: super::gpu::BufferMemory,
    {
        let (Some(lease), Some(picture)) = (scene.lease, &scene.picture) else { return Ok(None) };
        let Some(recipe) = recipe(lease, picture) else { return Ok(None) };
        let (placement, colour) = (scene.placement, picture.colour());
        let way = Way { queue: lease.id().queue, recipe, placement, colour };
        let fits = (picture.width_px(), picture.height_px()) == placement.frame;
        if !fits || self.refused == Some(way) {
            return Ok(None);
        }
        let can = match picture.format() {
            PixelFormat::Rgb24 | PixelFormat::Bgr24 => colour.range == Range::Full,
            _ => outlet.primary.reads(colour),
        };
        let pending = self.pending.as_ref().and_then(|flight| flight.content.lent());
        let used = [self.shown.lent(), pending];
        let tested = if !(can && outlet.primary.formats.contains(&recipe.format)) {
            Err(None)
        } else {
            match self.buffers.imports.framebuffer(gpu, lease, &recipe, used) {
                Ok(Some(_)) if self.direct == Some(way) => Ok(()),
                Ok(Some(_)) => {
                    let primary = Primary::Lent(lease.clone(), placement, colour);
                    self.test(gpu, outlet, &Content { primary, layer }, false).map_err(Some)
                }
                Ok(None) => Err(None),
                Err(error) => Err(Some(error)),
            }
        };
        match tested {
            Ok(()) => {
                if self.direct.replace(way).is_none() {
                    log::info!("the camera's memory is scanned out directly, as {}", recipe.format);
                }
                Ok(Some(Primary::Lent(lease.clone(), placement, colour)))
            }
            Err(Some(error)) if Failure::of(&error) == Failure::Gone => Err(error),
            Err(Some(error)) if Failure::of(&error) == Failure::Busy => Ok(None),
            // What is denied here may be the import alone: whether this program is still master, the commit will tell.
            Err(error) => {
                if let Some(error) = error {
                    log::info!("the camera's memory cannot be scanned out directly: {error}");
                }
                self.direct = None;
                self.refused = Some(way);
                Ok(None)
            }
        }
    }

    fn test<G: Gpu<Memory = M>>(
        &mut self,
        gpu: &mut G,
        outlet: &Outlet,
        content: &Content,
        modeset: bool,
    ) -> CallResult<()> {
        let blob = modeset.then_some(self.blob);
        content.compose(&mut self.request, outlet, &self.buffers, self.mode.size(), blob);
        gpu.commit(&mut self.request, Commit::Test { modeset }, 0)
    }
}

impl<M> Surface<M> {
    /// The planes off, the mode kept: for whoever comes next.
    pub fn clear<G: Gpu<Memory = M>>(&mut self, gpu: &mut G, outlet: &Outlet) -> CallResult<()> {
        self.last_flip(gpu);
        let Some(overlay) = outlet.overlay.as_ref().filter(|_| self.buffers.layers.is_some()) else {
            return Ok(());
        };
        self.request.clear();
        overlay.hide(&mut self.request);
        gpu.commit(&mut self.request, Commit::Modeset, 0)
    }

    /// Waits for a flip that is under way. A modeset waits for it too, so that nothing depends on being told of it.
    fn last_flip<G: Gpu<Memory = M>>(&mut self, gpu: &mut G) {
        if let Err(error) = self.collect(gpu, FLIP_PATIENCE) {
            log::debug!("cannot wait for the last flip: {error}");
        }
    }

    /// Everything off.
    pub fn darken<G: Gpu<Memory = M>>(&mut self, gpu: &mut G, outlet: &Outlet) -> CallResult<()> {
        self.last_flip(gpu);
        self.request.clear();
        outlet.darken(&mut self.request);
        self.is_lit = false;
        gpu.commit(&mut self.request, Commit::Modeset, 0)
    }

    /// Gives back all that it holds. What is still shown goes dark.
    pub fn destroy<G: Gpu<Memory = M>>(self, gpu: &mut G) {
        self.buffers.destroy(gpu);
        if let Err(error) = gpu.destroy_blob(self.blob) {
            log::debug!("cannot destroy blob {}: {error}", self.blob);
        }
    }
}

fn remember(done: &mut Vec<Flipped>, handed: Option<(Instant, Instant)>, at: Instant) {
    let Some((captured, committed)) = handed else { return };
    if done.len() >= MOST_FLIPS {
        done.remove(0);
    }
    done.push(Flipped { captured, committed, at });
}
