//! The picture goes through as it is: outside what was drawn not one byte differs, whatever the camera's format, on
//! both compositions on the monitor.

use std::time::{Duration, Instant};

use polyp_edge::capture::live::{BufferId, Lease};
use polyp_edge::convert;
use polyp_edge::display::kms::{Composition, Kms, ModeWish, Wanted};
use polyp_edge::display::{Images, PICTURES, Scene, Shown, Sink};
use polyp_edge::files::{Claim, OutputFolder};
use polyp_edge::frame::{Colour, Matrix, PixelFormat, Range, View};
use polyp_edge::geometry::Placement;
use polyp_edge::language::{BUILT_IN, Language, Words};
use polyp_edge::overlay::{Corner, Glyph, Layer, Painter, composed};
use polyp_edge::state::{Reason, State};
use proptest::prelude::*;
use testing::gpu::{Abilities, FakeGpu, mode};
use testing::lent::{Lent, Shape};

const FORMATS: [PixelFormat; 5] =
    [PixelFormat::Yuyv, PixelFormat::Uyvy, PixelFormat::Nv12, PixelFormat::Rgb24, PixelFormat::Bgr24];
const MATRICES: [Matrix; 3] = [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020];
const RANGES: [Range; 2] = [Range::Full, Range::Limited];

/// How the picture gets to the monitor.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Blended,
    /// Converted, the layer on a plane.
    Planes,
    /// The camera's memory itself, the layer on a plane.
    Lent,
}

const WAYS: [Way; 3] = [Way::Blended, Way::Planes, Way::Lent];

struct Rng(u32);

impl Rng {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1664525).wrapping_add(1013904223);
        self.0 >> 8
    }
    fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end.max(1)
    }
}

fn noise(count: usize, seed: u32) -> Vec<u8> {
    let mut rng = Rng(seed.wrapping_mul(2654435761).wrapping_add(1));
    (0..count).map(|_| rng.next() as u8).collect()
}

/// Marks here and there, more and less opaque, some of which cover a whole row.
fn scribble(layer: &mut Layer, seed: u32) {
    let mut rng = Rng(seed);
    let (width, height) = (layer.width_px(), layer.height_px());
    layer.clear();
    for _ in 0..rng.below(12) {
        let (x0, y) = (rng.below(width), rng.below(height));
        let share = rng.below(5) as f32 / 4.0;
        let colour = [rng.next() as u8, rng.next() as u8, rng.next() as u8];
        for x in x0..x0 + rng.below(width) {
            layer.blend(x, y, colour, share);
        }
    }
}

fn bgr(view: &View<'_>) -> Vec<[u8; 3]> {
    let (width, height) = (view.width_px(), view.height_px());
    let mut out = vec![0; 4 * width * height];
    convert::to_bgrx(view, 0..height, &mut out, 4 * width).unwrap();
    out.chunks_exact(4).map(|pixel| pixel[..3].try_into().unwrap()).collect()
}

/// What the monitor must show: the picture in its place, black around it.
fn plain(view: &View<'_>, placement: &Placement) -> Vec<[u8; 3]> {
    let mut surface = vec![[0; 3]; placement.surface.0 * placement.surface.1];
    let target = placement.target;
    for (y, row) in bgr(view).chunks_exact(target.width).enumerate() {
        let at = (target.y + y) * placement.surface.0 + target.x;
        surface[at..at + target.width].copy_from_slice(row);
    }
    surface
}

/// Compares, pixel by pixel; how many pixels lie under the layer.
fn check(shown: &[[u8; 3]], plain: &[[u8; 3]], layer: &Layer) -> usize {
    assert_eq!(shown.len(), plain.len());
    let width = layer.width_px();
    let mut over = vec![[0; 4]; plain.len()];
    for y in 0..layer.height_px() {
        for (start, run) in layer.runs(y) {
            for (pixel, bytes) in over[y * width + start..].iter_mut().zip(run.chunks_exact(4)) {
                *pixel = bytes.try_into().unwrap();
            }
        }
    }
    let mut covered = 0;
    for (index, (shown, plain)) in shown.iter().zip(plain).enumerate() {
        let [blue, green, red, alpha] = over[index];
        let at = (index % width, index / width);
        if alpha == 0 {
            assert_eq!(shown, plain, "untouched pixel {at:?}");
        } else {
            covered += 1;
            let expected = [(0, blue), (1, green), (2, red)].map(|(n, over)| composed(plain[n], over, alpha));
            assert_eq!(*shown, expected, "pixel {at:?} under {:?}", over[index]);
        }
    }
    covered
}

struct Rig {
    gpu: FakeGpu,
    kms: Kms<FakeGpu>,
    layer: Layer,
}

impl Rig {
    fn new(way: Way, surface: (usize, usize), enlarge: bool) -> Rig {
        let can = match way {
            Way::Lent => Abilities::all(),
            _ => Abilities { imports: false, ..Abilities::all() },
        };
        let gpu = FakeGpu::new(can, &[mode(surface.0 as u16, surface.1 as u16, 60, true)]);
        let composition = if way == Way::Blended { Composition::Blend } else { Composition::Auto };
        let wanted = Wanted { composition, enlarge, modes: vec![ModeWish::Preferred], ..Wanted::default() };
        let kms = Kms::with(gpu.clone(), &wanted).unwrap();
        Rig { gpu, kms, layer: Layer::new(surface.0, surface.1) }
    }

    /// Shows a picture under a layer of this seed (0: an empty one), and gives what the monitor then has.
    fn show(&mut self, lease: &Lease, seed: u32) -> (Vec<[u8; 3]>, Placement) {
        let view = lease.view();
        let placement = self.kms.place(view.width_px(), view.height_px());
        match seed {
            0 => self.layer.clear(),
            _ => scribble(&mut self.layer, seed),
        }
        let scene = Scene {
            picture: Some(view),
            lease: Some(lease),
            layer: &self.layer,
            placement,
            name: std::ffi::OsStr::new(""),
            captured: Instant::now(),
        };
        assert_eq!(self.kms.show(&scene).unwrap(), Shown::Yes);
        self.gpu.advance(Duration::from_millis(17));
        self.kms.tend(&mut |_| {}).unwrap();
        let (width, height, pixels) = self.gpu.monitor().unwrap();
        assert_eq!((width, height), placement.surface);
        (pixels, placement)
    }
}

fn lent(shape: Shape, index: u32, seed: u32) -> Lease {
    Lent::new(shape, BufferId { queue: 1, index }, &noise(shape.stride * shape.rows(), seed), true).lease()
}

/// Shows pictures of a shape, unscaled, with layers that come and go, and compares each.
fn goes_through(way: Way, shape: Shape, surface: (usize, usize), seeds: &[u32]) -> usize {
    let mut rig = Rig::new(way, surface, false);
    let mut covered = 0;
    for (index, &seed) in seeds.iter().enumerate() {
        let lease = lent(shape, index as u32 % 4, seed);
        // Buffers keep their bytes here, for the card has imported them.
        let lease = if index < 4 { lease } else { lent(shape, index as u32 + 4, seed) };
        let (shown, placement) = rig.show(&lease, seed);
        assert!(placement.is_unscaled());
        covered += check(&shown, &plain(&lease.view(), &placement), &rig.layer);
    }
    // That each way was taken: the first picture is always converted, with the mode.
    let is_direct = rig.gpu.plane_format(false).unwrap() != polyp_edge::display::kms::gpu::FourCc::XRGB8888;
    let rgb_limited = matches!(shape.format, PixelFormat::Rgb24 | PixelFormat::Bgr24)
        && shape.colour.range == Range::Limited;
    assert_eq!(is_direct, way == Way::Lent && seeds.len() > 1 && !rgb_limited, "{}", rig.kms.describe());
    assert_eq!(rig.gpu.plane_format(true).is_some(), way != Way::Blended);
    covered
}

fn shape(format: PixelFormat, colour: Colour, size: (usize, usize), more: usize) -> Shape {
    let size = match format {
        PixelFormat::Nv12 => (size.0.next_multiple_of(2), size.1.next_multiple_of(2)),
        PixelFormat::Yuyv | PixelFormat::Uyvy => (size.0.next_multiple_of(2), size.1),
        _ => size,
    };
    Shape { format, colour, size, stride: format.row_bytes(size.0).unwrap() + more }
}

#[test]
fn every_format_matrix_and_range_on_every_way() {
    let mut covered = 0;
    for way in WAYS {
        for format in FORMATS {
            for (matrix, range) in MATRICES.into_iter().flat_map(|matrix| RANGES.map(|range| (matrix, range)))
            {
                let shape = shape(format, Colour { matrix, range }, (70, 38), 3);
                covered += goes_through(way, shape, (70, 38), &[0, 11, 12, 0, 13, 14]);
                covered += goes_through(way, shape, (150, 61), &[21, 0, 22]);
            }
        }
    }
    assert!(covered > 10_000, "the layers must cover something: {covered}");
}

#[test]
fn sizes_that_are_no_multiple_of_anything() {
    for way in WAYS {
        for format in FORMATS {
            for size in [(1, 1), (2, 2), (17, 1), (1, 17), (65, 16), (64, 33), (131, 15), (320, 17)] {
                for more in [0, 1, 64] {
                    let shape =
                        shape(format, Colour { matrix: Matrix::Bt709, range: Range::Limited }, size, more);
                    goes_through(way, shape, shape.size, &[5, 0]);
                    goes_through(way, shape, (shape.size.0 + 7, shape.size.1 + 3), &[0, 6]);
                }
            }
        }
    }
}

#[test]
fn a_scaled_picture_is_the_same_with_and_without_a_layer_outside_it() {
    for (size, surface) in [((120, 90), (64, 48)), ((64, 48), (200, 100)), ((50, 40), (50, 90))] {
        for format in FORMATS {
            let shape = shape(format, Colour { matrix: Matrix::Bt601, range: Range::Limited }, size, 5);
            let lease = lent(shape, 0, 9);
            let mut pictures = Vec::new();
            for way in [Way::Blended, Way::Planes] {
                let mut rig = Rig::new(way, surface, true);
                let (bare, placement) = rig.show(&lease, 0);
                let target = placement.target;
                assert!(target.width == surface.0 || target.height == surface.1);
                for seed in 1..6 {
                    let (shown, _) = rig.show(&lease, seed);
                    check(&shown, &bare, &rig.layer);
                }
                for (index, pixel) in bare.iter().enumerate() {
                    let (x, y) = (index % surface.0, index / surface.0);
                    let inside = (target.x..target.x + target.width).contains(&x)
                        && (target.y..target.y + target.height).contains(&y);
                    assert!(inside || *pixel == [0; 3], "black around it at {x}, {y}");
                }
                pictures.push(bare);
            }
            assert_eq!(pictures[0], pictures[1], "both compositions show the same");
        }
    }
}

#[test]
fn the_camera_s_memory_is_scaled_by_the_hardware_where_it_can() {
    let shape =
        shape(PixelFormat::Nv12, Colour { matrix: Matrix::Bt709, range: Range::Limited }, (64, 48), 0);
    let mut rig = Rig::new(Way::Lent, (128, 96), true);
    let lease = lent(shape, 0, 3);
    rig.show(&lease, 0);
    let (shown, placement) = rig.show(&lease, 4);
    assert!(rig.kms.describe().contains("directly from the camera's memory"), "{}", rig.kms.describe());
    let small = bgr(&lease.view());
    let doubled: Vec<_> = (0..128 * 96).map(|index| small[index / 128 / 2 * 64 + index % 128 / 2]).collect();
    assert_eq!(placement.target.width, 128);
    check(&shown, &doubled, &rig.layer);
}

#[test]
fn without_a_picture_all_is_black_but_the_layer() {
    for way in WAYS {
        let mut rig = Rig::new(way, (100, 70), false);
        let lease = lent(shape(PixelFormat::Rgb24, Colour::RGB, (100, 70), 0), 0, 3);
        rig.show(&lease, 1);
        rig.show(&lease, 2);
        let placement = rig.kms.place(100, 70);
        scribble(&mut rig.layer, 3);
        let (layer, captured) = (&rig.layer, Instant::now());
        let scene =
            Scene { picture: None, lease: None, layer, placement, name: std::ffi::OsStr::new(""), captured };
        assert_eq!(rig.kms.show(&scene).unwrap(), Shown::Yes);
        rig.gpu.advance(Duration::from_millis(17));
        rig.kms.tend(&mut |_| {}).unwrap();
        check(&rig.gpu.monitor().unwrap().2, &vec![[0; 3]; 7000], &rig.layer);
    }
}

#[test]
fn pictures_in_files_too() {
    let folder = tempfile::tempdir().unwrap();
    let claim = Claim { folder: folder.path(), names: &[PICTURES], what: "test", inputs: &[], force: false };
    let mut images = Images::new(OutputFolder::claim(&claim).unwrap(), 1);
    for format in FORMATS {
        for range in RANGES {
            let shape = shape(format, Colour { matrix: Matrix::Bt709, range }, (66, 20), 1);
            let lease = lent(shape, 0, 7);
            let mut layer = Layer::new(66, 20);
            let mut read = |layer: &Layer| {
                let placement = Placement::identity(66, 20);
                let picture = Some(lease.view());
                let scene = Scene {
                    picture,
                    lease: None,
                    layer,
                    placement,
                    name: std::ffi::OsStr::new("x"),
                    captured: Instant::now(),
                };
                images.show(&scene).unwrap();
                let image = image::open(folder.path().join("x.png")).unwrap().into_rgb8();
                image.pixels().map(|pixel| [pixel.0[2], pixel.0[1], pixel.0[0]]).collect::<Vec<_>>()
            };
            let bare = read(&layer);
            assert_eq!(bare, bgr(&lease.view()), "{format:?} {range:?}");
            scribble(&mut layer, 5);
            check(&read(&layer), &bare, &layer);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn any_shape_goes_through(
        way in prop::sample::select(WAYS.to_vec()),
        format in prop::sample::select(FORMATS.to_vec()),
        matrix in prop::sample::select(MATRICES.to_vec()),
        range in prop::sample::select(RANGES.to_vec()),
        size in (1usize..150, 1usize..70),
        more in 0usize..70,
        around in (0usize..40, 0usize..40),
        seeds in prop::collection::vec(0u32..1000, 1..9),
    ) {
        let shape = shape(format, Colour { matrix, range }, size, more);
        goes_through(way, shape, (shape.size.0 + around.0, shape.size.1 + around.1), &seeds);
    }
}

/// In every language each message stays in its corner: what is beside it is nobody's.
#[test]
fn words_stay_in_their_corner_in_every_language() {
    for ((code, _), size) in
        BUILT_IN.iter().flat_map(|language| [(640, 480), (1920, 1080)].map(|size| (language, size)))
    {
        let words = Words::load(&Language::from((*code).to_owned()), std::path::Path::new("/")).unwrap();
        let reasons = [
            Reason::Model(String::new()),
            Reason::Inference(String::new()),
            Reason::Loading,
            Reason::Silent,
            Reason::Late { age_ms: 143, limit_ms: 120 },
            Reason::Slow { interval_ms: 143, limit_ms: 120 },
            Reason::Unmatched,
            Reason::Implausible,
            Reason::Hot,
        ];
        let states =
            [State::SelfTest, State::Passthrough, State::Assist].iter().map(|state| words.state(state));
        let messages = states
            .chain([words.outlines_off(), words.reduced()])
            .chain(reasons.iter().map(|why| words.off(why)));
        let (mut painter, mut layer) = (Painter::default(), Layer::new(size.0, size.1));
        for (message, corner) in messages.flat_map(|message| Corner::ALL.map(|corner| (message, corner))) {
            layer.clear();
            painter.glyph(&mut layer, corner, Glyph::Off, message);
            let mut covered = 0;
            for y in 0..size.1 {
                for (start, run) in layer.runs(y) {
                    for (x, pixel) in (start..).zip(run.chunks_exact(4)).filter(|(_, pixel)| pixel[3] > 0) {
                        covered += 1;
                        let (right, below) = (size.0 - 1 - x, size.1 - 1 - y);
                        let (aside, off) = match corner {
                            Corner::LowerRight => (right, below),
                            Corner::LowerLeft => (x, below),
                            Corner::UpperRight => (right, y),
                            Corner::UpperLeft => (x, y),
                        };
                        let at = format!("{code}, {message:?}, {corner:?}: {x}, {y}: {pixel:?}");
                        assert!(off < size.1 / 16 && aside < size.0 * 3 / 4, "{at}");
                    }
                }
            }
            assert!(covered > size.1, "{code}, {message:?}, {corner:?}: {covered} pixels");
        }
    }
}
