//! Framebuffers: drawn into, or a camera's memory.

use super::draw::Traces;
use super::gpu::{FourCc, Framebuffer, Gpu};
use crate::call::CallResult;
use crate::capture::live::{BufferId, Lease};
use crate::frame::{PixelFormat, View};

/// One is shown, one is on its way there, one is drawn into.
const POOL: usize = 3;
/// No camera's queue has more buffers.
const MOST_IMPORTS: usize = 32;

/// All framebuffers of a mode.
pub struct Buffers<M> {
    /// Of the mode's size, without transparency.
    pub pictures: Pool<M>,
    /// Of the mode's size, for a plane of their own.
    pub layers: Option<Pool<M>>,
    pub imports: Imports,
}

impl<M> Buffers<M> {
    pub fn destroy<G: Gpu<Memory = M>>(mut self, gpu: &mut G) {
        self.imports.forget(gpu, |_| true);
        self.pictures.destroy(gpu);
        if let Some(layers) = self.layers {
            layers.destroy(gpu);
        }
    }
}

/// A dumb buffer with its framebuffer.
pub struct Canvas<M> {
    pub framebuffer: u32,
    pub stride: usize,
    pub memory: M,
    pub traces: Traces,
}

/// Canvases of one size and format.
pub struct Pool<M>(Vec<Canvas<M>>);

impl<M> Pool<M> {
    /// All of them, or none and an error.
    pub fn new<G: Gpu<Memory = M>>(gpu: &mut G, size: (usize, usize), format: FourCc) -> CallResult<Pool<M>> {
        let mut pool = Pool(Vec::with_capacity(POOL));
        for _ in 0..POOL {
            match canvas(gpu, size, format) {
                Ok(canvas) => pool.0.push(canvas),
                Err(error) => {
                    pool.destroy(gpu);
                    return Err(error);
                }
            }
        }
        Ok(pool)
    }

    pub fn get(&self, index: usize) -> Option<&Canvas<M>> {
        self.0.get(index)
    }
    pub fn get_mut(&mut self, index: usize) -> Option<&mut Canvas<M>> {
        self.0.get_mut(index)
    }

    /// One that is in neither use.
    pub fn free(&self, used: [Option<usize>; 2]) -> Option<usize> {
        (0..self.0.len()).find(|&index| !used.contains(&Some(index)))
    }

    pub fn destroy<G: Gpu<Memory = M>>(self, gpu: &mut G) {
        for canvas in self.0 {
            remove(gpu, canvas.framebuffer);
        }
    }
}

fn canvas<G: Gpu>(
    gpu: &mut G,
    (width, height): (usize, usize),
    format: FourCc,
) -> CallResult<Canvas<G::Memory>> {
    let (width, height) = (width as u32, height as u32);
    let dumb = gpu.create_dumb(width, height)?;
    let made = gpu.add_framebuffer(&Framebuffer {
        width,
        height,
        format,
        handles: [dumb.handle, 0, 0, 0],
        strides: [dumb.stride, 0, 0, 0],
        offsets: [0; 4],
    });
    close(gpu, dumb.handle);
    Ok(Canvas {
        framebuffer: made?,
        stride: dumb.stride as usize,
        memory: dumb.memory,
        traces: Traces::default(),
    })
}

/// Handles are closed as soon as there is a framebuffer: those left open hold memory after the mode has changed.
fn close(gpu: &mut impl Gpu, handle: u32) {
    if let Err(error) = gpu.close_handle(handle) {
        log::debug!("cannot close buffer handle {handle}: {error}");
    }
}

fn remove(gpu: &mut impl Gpu, framebuffer: u32) {
    if let Err(error) = gpu.remove_framebuffer(framebuffer) {
        log::debug!("cannot remove framebuffer {framebuffer}: {error}");
    }
}

/// Framebuffers on a camera's buffers, each made once.
#[derive(Default)]
pub struct Imports(Vec<(BufferId, u32)>);

impl Imports {
    /// The buffer's framebuffer, `None` if the memory cannot be lent. `used`: buffers that must stay.
    pub fn framebuffer(
        &mut self,
        gpu: &mut impl Gpu,
        lease: &Lease,
        recipe: &Framebuffer,
        used: [Option<BufferId>; 2],
    ) -> CallResult<Option<u32>> {
        let id = lease.id();
        if let Some(&(_, framebuffer)) = self.0.iter().find(|(known, _)| *known == id) {
            return Ok(Some(framebuffer));
        }
        let Some(memory) = lease.dma_buf() else { return Ok(None) };
        let full = self.0.len() >= MOST_IMPORTS;
        self.forget(gpu, |known| !used.contains(&Some(known)) && (full || known.queue != id.queue));
        let handle = gpu.import(memory)?;
        let handles = recipe.strides.map(|stride| if stride == 0 { 0 } else { handle });
        let made = gpu.add_framebuffer(&Framebuffer { handles, ..*recipe });
        close(gpu, handle);
        let framebuffer = made?;
        self.0.push((id, framebuffer));
        Ok(Some(framebuffer))
    }

    pub fn get(&self, id: BufferId) -> Option<u32> {
        self.0.iter().find(|(known, _)| *known == id).map(|&(_, framebuffer)| framebuffer)
    }

    pub fn forget(&mut self, gpu: &mut impl Gpu, which: impl Fn(BufferId) -> bool) {
        self.0.retain(|&(id, framebuffer)| {
            let goes = which(id);
            if goes {
                remove(gpu, framebuffer);
            }
            !goes
        });
    }
}

/// What a framebuffer on a lent picture is, without its handles; `None` if the picture is not the lent one, or does not
/// lie as displays take it.
pub fn recipe(lease: &Lease, picture: &View<'_>) -> Option<Framebuffer> {
    let lent = lease.view();
    let [first, second] = *picture.planes();
    let same = |plane: usize| {
        let bytes =
            |view: &View<'_>| view.planes().get(plane).map(|plane| (plane.bytes.as_ptr(), plane.stride));
        bytes(&lent) == bytes(picture)
    };
    let format = match picture.format() {
        PixelFormat::Yuyv => FourCc::YUYV,
        PixelFormat::Uyvy => FourCc::UYVY,
        PixelFormat::Nv12 => FourCc::NV12,
        PixelFormat::Rgb24 => FourCc::BGR888,
        PixelFormat::Bgr24 => FourCc::RGB888,
        PixelFormat::Mjpeg => return None,
    };
    let whole = (lent.width_px(), lent.height_px(), lent.format())
        == (picture.width_px(), picture.height_px(), picture.format());
    if !(whole && same(0)) {
        return None;
    }
    let (mut strides, mut offsets) = ([u32::try_from(first.stride.0).ok()?, 0, 0, 0], [0; 4]);
    if format == FourCc::NV12 {
        // The chroma of V4L2's NV12 follows the luma in the same memory.
        let apart = (second.bytes.as_ptr() as usize).checked_sub(first.bytes.as_ptr() as usize)?;
        if !same(1) || apart != first.stride.0 * picture.height_px() {
            return None;
        }
        strides[1] = u32::try_from(second.stride.0).ok()?;
        offsets[1] = u32::try_from(apart).ok()?;
    }
    Some(Framebuffer {
        width: u32::try_from(picture.width_px()).ok()?,
        height: u32::try_from(picture.height_px()).ok()?,
        format,
        handles: [0; 4],
        strides,
        offsets,
    })
}
