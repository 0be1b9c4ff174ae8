//! A display on a card in memory, with a camera of four buffers.

use std::sync::Arc;
use std::time::Duration;

use polyp_edge::capture::live::BufferId;
use polyp_edge::display::kms::gpu::{Gpu, Mode};
use polyp_edge::display::kms::{Kms, ModeWish, Wanted};
use polyp_edge::display::{Scene, Shown, Sink};
use polyp_edge::fault::{Exit, exit_of};
use polyp_edge::frame::{Colour, Matrix, PixelFormat, Range};
use polyp_edge::overlay::Layer;
use testing::gpu::{Abilities, CONSOLE, FakeGpu, mode};
use testing::lent::{Lent, Shape};

pub const SIZE: (usize, usize) = (64, 48);
pub const FRAME: Duration = Duration::from_millis(17);
pub const LOOK: Duration = Duration::from_millis(500);

pub fn modes() -> Vec<Mode> {
    vec![mode(64, 48, 60, true), mode(96, 64, 60, false), mode(96, 64, 50, false), mode(32, 32, 60, false)]
}

pub fn exact(width: u32, height: u32, refresh_hz: Option<f64>) -> ModeWish {
    ModeWish::Exact { width, height, refresh_hz }
}

pub fn shape(size: (usize, usize)) -> Shape {
    let colour = Colour { matrix: Matrix::Bt709, range: Range::Limited };
    Shape { format: PixelFormat::Yuyv, colour, size, stride: 2 * size.0 }
}

/// A camera of four buffers.
pub fn camera(queue: u64, size: (usize, usize)) -> Vec<Arc<Lent>> {
    let bytes = vec![99; 2 * size.0 * size.1];
    (0..4).map(|index| Lent::new(shape(size), BufferId { queue, index }, &bytes, true)).collect()
}

pub struct Rig {
    pub gpu: FakeGpu,
    pub kms: Kms<FakeGpu>,
    pub layer: Layer,
    pub camera: Vec<Arc<Lent>>,
    pub next: usize,
}

impl Rig {
    pub fn try_new(gpu: &FakeGpu, wanted: &Wanted) -> anyhow::Result<Rig> {
        let kms = Kms::with(gpu.clone(), wanted)?;
        Ok(Rig { gpu: gpu.clone(), kms, layer: Layer::default(), camera: camera(1, SIZE), next: 0 })
    }
    pub fn with(can: Abilities, wanted: &Wanted) -> Rig {
        Rig::try_new(&FakeGpu::new(can, &modes()), wanted).unwrap()
    }
    pub fn new() -> Rig {
        Rig::with(Abilities::all(), &Wanted::default())
    }

    /// Shows the next picture, if the camera has a buffer left.
    pub fn show(&mut self) -> anyhow::Result<Shown> {
        let buffer = &self.camera[self.next % self.camera.len()];
        self.next += 1;
        let lease = buffer.lease();
        let view = lease.view();
        let placement = self.kms.place(view.width_px(), view.height_px());
        self.layer.reset(placement.surface.0, placement.surface.1);
        self.layer.blend(self.next % 60, 3, [255, 0, 0], 1.0);
        let captured = self.gpu.now();
        let (layer, lease) = (&self.layer, Some(&lease));
        self.kms.show(&Scene {
            picture: Some(view),
            lease,
            layer,
            placement,
            name: std::ffi::OsStr::new(""),
            captured,
        })
    }

    /// A picture, and the time that it takes; the flips that were told of.
    pub fn frame(&mut self) -> anyhow::Result<(Shown, Vec<Duration>)> {
        let shown = self.show()?;
        self.gpu.advance(FRAME);
        let mut flips = Vec::new();
        self.kms.tend(&mut |flip| flips.push(flip.at - flip.captured))?;
        Ok((shown, flips))
    }
    pub fn frames(&mut self, count: usize) {
        for _ in 0..count {
            assert_eq!(self.frame().unwrap().0, Shown::Yes);
        }
    }
    pub fn leases(&self) -> Vec<i64> {
        self.camera.iter().map(|buffer| buffer.leases()).collect()
    }
    pub fn tend(&mut self) -> anyhow::Result<()> {
        self.kms.tend(&mut |_| {})
    }
    pub fn is_console(&self) -> bool {
        self.gpu.monitor().is_some_and(|(_, _, pixels)| pixels.iter().all(|pixel| *pixel == [CONSOLE; 3]))
    }
}

pub fn line(error: &anyhow::Error) -> String {
    assert_eq!(exit_of(error), Exit::Device, "{error:#}");
    let line = format!("{error:#}");
    assert!(!line.contains('\n'));
    line
}
