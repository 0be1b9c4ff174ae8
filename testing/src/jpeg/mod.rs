//! A small JPEG encoder that writes what cameras and programs write and ordinary encoders do not: any sampling,
//! one scan for each component, restart markers with bytes before them, no Huffman tables, progressive scans.
//!
//! It keeps the coefficients that it writes, and [`Encoded::reference`] makes a picture of them in floating point: an
//! answer that shares no code with any decoder.

mod bits;
mod reference;
mod scan;
mod tables;
mod transform;
mod write;

use tables::ZIGZAG;
use transform::forward;

/// How a picture is to be encoded.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// Horizontal and vertical sampling factors of each component.
    pub sampling: Vec<(usize, usize)>,
    /// All components in one scan, else one scan for each.
    pub interleaved: bool,
    /// Units between restart markers; 0 for none.
    pub restart: usize,
    /// Bytes put before each restart marker.
    pub padding: Vec<u8>,
    /// Without, the standard's tables are used and not written.
    pub tables: bool,
    /// Several scans that refine each other; else one pass, baseline.
    pub progressive: bool,
    /// An `AVI1` segment, as cameras that leave out the tables should write.
    pub avi1: bool,
}

impl Plan {
    /// Baseline, all components in one scan, with tables, without restart markers.
    pub fn new(width: usize, height: usize, sampling: &[(usize, usize)]) -> Plan {
        Plan {
            width,
            height,
            sampling: sampling.to_vec(),
            interleaved: true,
            restart: 0,
            padding: Vec::new(),
            tables: true,
            progressive: false,
            avi1: false,
        }
    }
}

/// An encoded picture.
pub struct Encoded {
    /// The whole file.
    pub bytes: Vec<u8>,
    plan: Plan,
    components: Vec<Component>,
}

struct Component {
    across: usize,
    down: usize,
    /// Samples that belong to the picture.
    width: usize,
    height: usize,
    /// Blocks in a row, padded to whole units.
    blocks_wide: usize,
    blocks: Vec<[i32; 64]>,
}

const QUANTISER: i32 = 3;

/// Encodes a picture of interleaved samples in 0..=255, RGB, or grey where there is but one component.
pub fn encode(plan: &Plan, rgb: &[u8]) -> Encoded {
    let widest = plan.sampling.iter().map(|s| s.0).max().unwrap();
    let tallest = plan.sampling.iter().map(|s| s.1).max().unwrap();
    let units = (plan.width.div_ceil(8 * widest), plan.height.div_ceil(8 * tallest));
    let components: Vec<Component> = (plan.sampling.iter().enumerate())
        .map(|(index, &(across, down))| {
            let (width, height) =
                ((plan.width * across).div_ceil(widest), (plan.height * down).div_ceil(tallest));
            let (wide, high) = (units.0 * across, units.1 * down);
            let sample = |x: usize, y: usize| {
                let (left, right) = (x * widest / across, ((x + 1) * widest).div_ceil(across));
                let (top, bottom) = (y * tallest / down, ((y + 1) * tallest).div_ceil(down));
                let (mut sum, mut count) = (0.0, 0.0);
                for (y, x) in (top..bottom).flat_map(|y| (left..right).map(move |x| (y, x))) {
                    let at = 3 * (y.min(plan.height - 1) * plan.width + x.min(plan.width - 1));
                    let [r, g, b] = [0, 1, 2].map(|channel| rgb[at + channel] as f64);
                    sum += match index {
                        0 => 0.299 * r + 0.587 * g + 0.114 * b,
                        1 => 128.0 - 0.168_736 * r - 0.331_264 * g + 0.5 * b,
                        _ => 128.0 + 0.5 * r - 0.418_688 * g - 0.081_312 * b,
                    };
                    count += 1.0;
                }
                sum / count - 128.0
            };
            let blocks = (0..wide * high)
                .map(|block| {
                    let (left, top) = (8 * (block % wide), 8 * (block / wide));
                    let samples: Vec<f64> = (0..64)
                        .map(|at| sample((left + at % 8).min(width - 1), (top + at / 8).min(height - 1)))
                        .collect();
                    ZIGZAG.map(|at| (forward(&samples, at % 8, at / 8) / QUANTISER as f64).round() as i32)
                })
                .collect();
            Component { across, down, width, height, blocks_wide: wide, blocks }
        })
        .collect();
    let mut encoded = Encoded { bytes: Vec::new(), plan: plan.clone(), components };
    encoded.write(units);
    encoded
}

/// A smooth scene with light and colour that change over the whole picture.
pub fn scene(width: usize, height: usize) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(3 * width * height);
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        let (u, v) = (x as f64 / 96.0, y as f64 / 96.0);
        rgb.extend([(u, v, 0.0), (v, u, 1.3), (u + v, u - v, 2.1)].map(|(a, b, phase)| {
            (128.0 + 90.0 * (2.1 * a + phase).sin() * (1.7 * b + phase).cos()).round() as u8
        }));
    }
    rgb
}

/// The largest difference of two pictures, and the mean one.
pub fn difference(a: &[u8], b: &[u8]) -> (u8, f64) {
    assert_eq!(a.len(), b.len());
    let largest = a.iter().zip(b).map(|(x, y)| x.abs_diff(*y)).max().unwrap_or(0);
    let sum: u64 = a.iter().zip(b).map(|(x, y)| u64::from(x.abs_diff(*y))).sum();
    (largest, sum as f64 / a.len().max(1) as f64)
}
