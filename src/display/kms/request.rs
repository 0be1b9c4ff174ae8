//! Requests for atomic commits, in memory that is kept.

use super::gpu::{Failure, FourCc, Gpu};
pub use super::objects::Request;
use super::objects::{Object, Property};
use crate::call::CallError;
use crate::frame::{Colour, Matrix, Range};
use crate::geometry::Rect;

/// Why a connector cannot be fed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OutletError {
    /// A call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The hardware or its driver has not what it takes: this.
    #[error("{0}")]
    Missing(String),
}

impl OutletError {
    /// Whether the card is gone.
    pub fn is_gone(&self) -> bool {
        matches!(self, OutletError::Call(error) if Failure::of(error) == Failure::Gone)
    }
}

/// What is found out about an outlet.
pub type Result<T> = std::result::Result<T, OutletError>;

fn find<'a>(all: &'a [Property], name: &str) -> Option<&'a Property> {
    all.iter().find(|property| property.name == name)
}

/// The id of a property that every atomic driver has.
fn need(all: &[Property], name: &str) -> Result<u32> {
    let found = find(all, name).map(|property| property.id);
    found.ok_or_else(|| OutletError::Missing(format!("the driver has no property {name}")))
}

/// A value of an enumeration that can be set.
fn choice(all: &[Property], property: &str, value: &str) -> Option<(u32, u64)> {
    let property = find(all, property).filter(|property| !property.immutable)?;
    property.choices.iter().find(|(_, name)| name == value).map(|&(value, _)| (property.id, value))
}

/// A plane's properties.
#[derive(Clone, Debug)]
pub struct PlaneControls {
    pub id: u32,
    framebuffer: u32,
    crtc: u32,
    source: [u32; 4],
    target: [u32; 4],
    /// What a client before may have left otherwise.
    constant: Vec<(u32, u64)>,
    encodings: [Option<(u32, u64)>; 3],
    ranges: [Option<(u32, u64)>; 2],
    /// Its place among the planes, if it says.
    pub depth: Option<u64>,
    /// To move it there: property, topmost place.
    pub movable: Option<(u32, u64)>,
    pub formats: Vec<FourCc>,
}

impl PlaneControls {
    pub fn new(gpu: &mut impl Gpu, id: u32, formats: &[FourCc]) -> Result<PlaneControls> {
        let all = gpu.properties(Object::Plane(id))?;
        let mut constant = Vec::new();
        constant.extend(choice(&all, "pixel blend mode", "Pre-multiplied"));
        constant
            .extend(choice(&all, "rotation", "rotate-0").map(|(property, bit)| (property, 1 << bit.min(63))));
        constant
            .extend(find(&all, "alpha").filter(|alpha| !alpha.immutable).map(|alpha| (alpha.id, alpha.most)));
        let depth = find(&all, "zpos");
        Ok(PlaneControls {
            id,
            framebuffer: need(&all, "FB_ID")?,
            crtc: need(&all, "CRTC_ID")?,
            source: [need(&all, "SRC_X")?, need(&all, "SRC_Y")?, need(&all, "SRC_W")?, need(&all, "SRC_H")?],
            target: [
                need(&all, "CRTC_X")?,
                need(&all, "CRTC_Y")?,
                need(&all, "CRTC_W")?,
                need(&all, "CRTC_H")?,
            ],
            constant,
            encodings: ["ITU-R BT.601 YCbCr", "ITU-R BT.709 YCbCr", "ITU-R BT.2020 YCbCr"]
                .map(|name| choice(&all, "COLOR_ENCODING", name)),
            ranges: ["YCbCr full range", "YCbCr limited range"].map(|name| choice(&all, "COLOR_RANGE", name)),
            depth: depth.map(|depth| depth.value),
            movable: depth.filter(|depth| !depth.immutable).map(|depth| (depth.id, depth.most)),
            formats: formats.to_vec(),
        })
    }

    fn encoding(&self, colour: Colour) -> Option<[(u32, u64); 2]> {
        let [bt601, bt709, bt2020] = self.encodings;
        let [full, limited] = self.ranges;
        let matrix = match colour.matrix {
            Matrix::Bt601 => bt601,
            Matrix::Bt709 => bt709,
            Matrix::Bt2020 => bt2020,
        };
        let range = match colour.range {
            Range::Full => full,
            Range::Limited => limited,
        };
        Some([matrix?, range?])
    }

    /// Whether Y′CbCr can be shown as it is meant.
    pub fn reads(&self, colour: Colour) -> bool {
        self.encoding(colour).is_some()
    }

    /// Shows `size` pixels of a framebuffer in `target`; `colour` if it is Y′CbCr.
    pub fn show(
        &self,
        request: &mut Request,
        crtc: u32,
        framebuffer: u32,
        size: (usize, usize),
        target: Rect,
        colour: Option<Colour>,
    ) {
        request.object(self.id);
        request.set(self.framebuffer, u64::from(framebuffer));
        request.set(self.crtc, u64::from(crtc));
        // The source is in 16.16 fixed point.
        let source = [0, 0, size.0 << 16, size.1 << 16];
        let target = [target.x, target.y, target.width, target.height];
        for (properties, values) in [(self.source, source), (self.target, target)] {
            for (property, value) in properties.into_iter().zip(values) {
                request.set(property, value as u64);
            }
        }
        for (property, value) in colour.and_then(|colour| self.encoding(colour)).into_iter().flatten() {
            request.set(property, value);
        }
    }

    /// What holds for as long as the mode does; after [`PlaneControls::show`].
    pub fn settle(&self, request: &mut Request, on_top: bool) {
        for &(property, value) in &self.constant {
            request.set(property, value);
        }
        if let Some((property, most)) = self.movable.filter(|_| on_top) {
            request.set(property, most);
        }
    }

    pub fn hide(&self, request: &mut Request) {
        request.object(self.id);
        request.set(self.framebuffer, 0);
        request.set(self.crtc, 0);
    }
}

/// A CRTC's properties.
#[derive(Clone, Debug)]
pub struct CrtcControls {
    pub id: u32,
    active: u32,
    mode: u32,
    /// Colour corrections that a client before may have left.
    corrections: Vec<u32>,
}

impl CrtcControls {
    pub fn new(gpu: &mut impl Gpu, id: u32) -> Result<CrtcControls> {
        let all = gpu.properties(Object::Crtc(id))?;
        let corrections = ["DEGAMMA_LUT", "CTM", "GAMMA_LUT"];
        Ok(CrtcControls {
            id,
            active: need(&all, "ACTIVE")?,
            mode: need(&all, "MODE_ID")?,
            corrections: corrections.iter().filter_map(|name| Some(find(&all, name)?.id)).collect(),
        })
    }

    pub fn light(&self, request: &mut Request, mode_blob: u32) {
        request.object(self.id);
        request.set(self.active, 1);
        request.set(self.mode, u64::from(mode_blob));
        for &property in &self.corrections {
            request.set(property, 0);
        }
    }

    pub fn darken(&self, request: &mut Request) {
        request.object(self.id);
        request.set(self.active, 0);
        request.set(self.mode, 0);
    }
}

/// Which CRTC an object is on, and the property that says so.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    pub object: u32,
    property: u32,
    pub crtc: u32,
}

impl Link {
    pub fn new(gpu: &mut impl Gpu, connector: u32) -> Result<Link> {
        let all = gpu.properties(Object::Connector(connector))?;
        let crtc = find(&all, "CRTC_ID").map_or(0, |property| property.value as u32);
        Ok(Link { object: connector, property: need(&all, "CRTC_ID")?, crtc })
    }

    pub fn set(&self, request: &mut Request, crtc: u32) {
        request.object(self.object);
        request.set(self.property, u64::from(crtc));
    }
}

/// The CRTC that a plane is on; 0: none.
pub fn crtc_of_plane(gpu: &mut impl Gpu, plane: u32) -> Result<u32> {
    Ok(find(&gpu.properties(Object::Plane(plane))?, "CRTC_ID").map_or(0, |property| property.value as u32))
}
