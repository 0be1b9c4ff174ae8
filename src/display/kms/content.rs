//! What lies on the planes at once, and the request for it.

use super::buffers::Buffers;
use super::outlet::Outlet;
use super::request::Request;
use crate::capture::live::{BufferId, Lease};
use crate::frame::{Colour, PixelFormat};
use crate::geometry::Placement;
use crate::geometry::Rect;

/// What lies on the planes.
#[derive(Default)]
pub struct Content {
    pub primary: Primary,
    /// A canvas for layers.
    pub layer: Option<usize>,
}

#[derive(Default)]
pub enum Primary {
    #[default]
    Nothing,
    /// A canvas for pictures.
    Drawn(usize),
    /// The camera's memory, kept until another picture has replaced it.
    Lent(Lease, Placement, Colour),
}

impl Content {
    pub fn drawn(&self) -> Option<usize> {
        match self.primary {
            Primary::Drawn(index) => Some(index),
            _ => None,
        }
    }
    pub fn lent(&self) -> Option<BufferId> {
        match &self.primary {
            Primary::Lent(lease, ..) => Some(lease.id()),
            _ => None,
        }
    }

    /// Makes the request that shows it, on planes of `size`; with the blob of a mode that is to be set, if one is.
    pub fn compose<M>(
        &self,
        request: &mut Request,
        outlet: &Outlet,
        buffers: &Buffers<M>,
        size: (usize, usize),
        mode_blob: Option<u32>,
    ) {
        let whole = Rect { x: 0, y: 0, width: size.0, height: size.1 };
        let crtc = outlet.crtc.id;
        request.clear();
        if let Some(blob) = mode_blob {
            outlet.light(request, blob);
        }
        match &self.primary {
            Primary::Drawn(index) => {
                let framebuffer = buffers.pictures.get(*index).map_or(0, |canvas| canvas.framebuffer);
                outlet.primary.show(request, crtc, framebuffer, size, whole, None);
            }
            Primary::Lent(lease, placement, colour) => {
                let framebuffer = buffers.imports.get(lease.id()).unwrap_or(0);
                let is_rgb = matches!(lease.view().format(), PixelFormat::Rgb24 | PixelFormat::Bgr24);
                let colour = (!is_rgb).then_some(*colour);
                outlet.primary.show(request, crtc, framebuffer, placement.frame, placement.target, colour);
            }
            Primary::Nothing => outlet.primary.hide(request),
        }
        outlet.primary.settle(request, false);
        let Some(overlay) = &outlet.overlay else { return };
        match self.layer.and_then(|index| buffers.layers.as_ref()?.get(index)) {
            Some(canvas) => {
                overlay.show(request, crtc, canvas.framebuffer, size, whole, None);
                overlay.settle(request, true);
            }
            None => overlay.hide(request),
        }
    }
}
