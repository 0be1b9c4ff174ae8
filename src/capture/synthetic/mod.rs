//! A rendered endoscope: a procedural colon with polyps that come and go, and their exact masks.
//!
//! Everything is a pure function of the seed and the frame's number: one program gives the same picture for the
//! same numbers, in whatever order frames are asked for. Different seeds are different patients: another anatomy,
//! complexion, set of polyps, way of steering, shape of picture and border.
//!
//! | module | job |
//! |---|---|
//! | `anatomy` | the wall's shape |
//! | `camera` | the endoscope's path |
//! | `tube`, `polyp` | meshes in camera space |
//! | `raster` | what is seen in each pixel |
//! | `texture`, `shade` | surface detail, light, colour, noise |
//! | `border` | the picture's shape and the text beside it |

mod anatomy;
mod border;
mod camera;
mod dice;
mod mask;
mod polyp;
mod raster;
mod shade;
mod source;
#[cfg(test)]
mod tests;
mod texture;
mod tube;
mod variety;

use std::time::Duration;

pub use mask::Mask;
pub use source::Synthetic;
use variety::{POLYPS_AHEAD, POLYPS_BEHIND, Variety};

use crate::frame::{Frame, FrameNumber, Timestamp};

/// Largest side of a rendered picture, pixels.
pub const MAX_SIDE_PX: usize = 4096;
/// Frames a second at which the camera's path looks natural.
pub const FPS: f64 = 25.0;
/// A patient whose first 300 frames show polyps of several kinds, near and far, and stretches without any.
pub const DEMO_SEED: u64 = 18;
/// Half the angle of view at the picture's farthest corner, radians.
const HALF_VIEW: f32 = 1.22;
/// A patient's colon and the endoscope in it.
pub struct Colon {
    width: usize,
    height: usize,
    anatomy: anatomy::Anatomy,
    polyps: polyp::Polyps,
    path: camera::Path,
    border: border::Border,
    lens: raster::Lens,
    shader: shade::Shader,
}

/// Memory that rendering reuses from frame to frame.
pub struct Canvas {
    target: raster::Target,
    tube: tube::Tube,
    mesh: polyp::Mesh,
    found: Vec<polyp::Polyp>,
    drawn: Vec<(polyp::Polyp, dice::Vec3)>,
    axes: Vec<dice::Vec3>,
    blur: Vec<u8>,
}

impl Default for Canvas {
    fn default() -> Self {
        Canvas {
            target: raster::Target::new(),
            tube: tube::Tube::default(),
            mesh: polyp::Mesh::default(),
            found: Vec::new(),
            drawn: Vec::new(),
            axes: Vec::new(),
            blur: Vec::new(),
        }
    }
}

impl Colon {
    /// A patient by number. Sides are kept within 16..=[`MAX_SIDE_PX`].
    pub fn new(width_px: usize, height_px: usize, seed: u64) -> Self {
        Self::with_variety(width_px, height_px, seed, Variety::default())
    }

    fn with_variety(width_px: usize, height_px: usize, seed: u64, variety: Variety) -> Self {
        let (width, height) = (width_px.clamp(16, MAX_SIDE_PX), height_px.clamp(16, MAX_SIDE_PX));
        let border = border::Border::new(width, height, seed);
        let focal_px = border.reach_px / (2.0 * (0.5 * HALF_VIEW).tan());
        Colon {
            width,
            height,
            anatomy: anatomy::Anatomy::new(seed),
            polyps: polyp::Polyps::new(seed, variety),
            path: camera::Path::new(seed),
            lens: raster::Lens { centre: border.centre, focal_px },
            border,
            shader: shade::Shader::new(seed),
        }
    }

    /// Of each picture; limited as in [`Colon::new`].
    pub fn width_px(&self) -> usize {
        self.width
    }
    /// Of each picture; limited as in [`Colon::new`].
    pub fn height_px(&self) -> usize {
        self.height
    }

    /// The picture with this number, and its polyps. The frame's timestamp is its number at [`FPS`].
    pub fn render(&self, number: u64) -> (Frame, Mask) {
        let (mut frame, mut mask) = (Frame::black(self.width, self.height), Mask::default());
        self.render_into(number, &mut Canvas::default(), &mut frame, &mut mask);
        (frame, mask)
    }

    /// [`Colon::render`] into memory that is kept; after the first frame nothing is allocated.
    pub fn render_into(&self, number: u64, canvas: &mut Canvas, frame: &mut Frame, mask: &mut Mask) {
        if (frame.width_px(), frame.height_px()) != (self.width, self.height) {
            *frame = Frame::black(self.width, self.height);
        }
        frame.number = FrameNumber(number);
        frame.timestamp = Timestamp(Duration::from_secs_f64(number.min(1 << 40) as f64 / FPS));
        (mask.width, mask.height) = (self.width, self.height);
        mask.pixels.clear();
        mask.pixels.resize(self.width * self.height, 0);

        // Rings and textures stay put on the wall: the origin moves in whole steps of the coarsest grid.
        let step = 4.0 * tube::GRID as f64;
        let cruise = self.path.cruise(number);
        self.polyps.between(cruise - camera::LINGER, cruise + camera::LINGER, &mut canvas.found);
        let s = self.path.linger(cruise, &canvas.found);
        let origin = (s / step).floor() * step;
        let stretch = self.anatomy.stretch(origin);
        self.polyps.between(s - POLYPS_BEHIND, s + POLYPS_AHEAD, &mut canvas.found);
        let pose = self.path.pose(number, s, origin, &stretch, &canvas.found);

        canvas.target.clear(self.width, self.height);
        canvas.tube.build(&stretch, &pose, &self.lens, |turn, z| self.shader.tone(turn, z, origin));
        canvas.target.grid(&canvas.tube.corners, tube::COLUMNS, 0);
        canvas.drawn.clear();
        for polyp in &canvas.found {
            if polyp.mesh(origin, pose.z, &stretch, &canvas.tube, &self.lens, &mut canvas.mesh) {
                canvas.drawn.push((*polyp, canvas.mesh.axis));
                canvas.target.grid(&canvas.mesh.corners, polyp::COLUMNS, canvas.drawn.len() as u32);
            }
        }
        let axes_start = canvas.tube.start();
        canvas.tube.axes(axes_start, &mut canvas.axes);

        let scene =
            shade::Scene { origin, lens: self.lens, axes: &canvas.axes, axes_start, polyps: &canvas.drawn };
        self.border.fill(frame);
        self.shader.paint(&scene, &canvas.target, &self.border, frame, mask);
        self.shader.finish(number, &self.border, frame, &mut canvas.blur);
        self.border.write((number as f64 / FPS) as u32, frame);
    }
}
