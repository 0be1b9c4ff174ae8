//! How polyps differ, and how far away they are drawn.

/// How polyps differ from the mucosa around them and from one another.
#[derive(Clone, Copy, Debug)]
pub struct Variety {
    /// Smallest and largest radius, in colon radii (about 25 mm).
    pub radius: [f32; 2],
    /// 0: the colour of the mucosa; 1: as in atlases; more: garish.
    pub contrast: f32,
    /// Visibility of surface pits, 0..1.
    pub texture: f32,
    /// Irregularity of the outline, 0..2.
    pub lumpiness: f32,
    /// Share of flat and of pedunculated ones; the others are sessile.
    pub flat: f32,
    pub pedunculated: f32,
    /// Chance that a length of 5.5 radii holds any.
    pub density: f32,
}

impl Default for Variety {
    fn default() -> Self {
        Variety {
            radius: [0.15, 0.50],
            contrast: 1.0,
            texture: 1.0,
            lumpiness: 1.0,
            flat: 0.22,
            pedunculated: 0.28,
            density: 0.72,
        }
    }
}

/// Polyps farther behind or ahead than this are not drawn, in colon radii.
pub const POLYPS_BEHIND: f64 = 1.1;

pub const POLYPS_AHEAD: f64 = 5.5;
