use proptest::prelude::*;

use super::*;

const WHOLE: Mapping = Mapping { crop: Rect { x: 30, y: 20, width: 320, height: 256 }, model_side: 128 };
const SIZE: (usize, usize) = (400, 300);
const SHAPE: [usize; 3] = [32, 32, 1];

fn decision(min_region_share: f32, min_peak: f32) -> Decision {
    Decision { threshold: 0.5, min_region_share, min_peak }
}

fn detector(min_region_share: f32, min_peak: f32) -> Detector {
    Detector::new(&decision(min_region_share, min_peak), 0.1, 128).unwrap()
}

/// Logits of round hills: (x, y, radius) in cells.
fn hills(hills: &[(f32, f32, f32)]) -> Vec<u8> {
    (0..32 * 32)
        .map(|index| {
            let (x, y) = ((index % 32) as f32 + 0.5, (index / 32) as f32 + 0.5);
            let height = hills.iter().map(|(cx, cy, r)| r - (x - cx).hypot(y - cy)).fold(-100.0, f32::max);
            (128.0 + 20.0 * height).clamp(0.0, 255.0) as u8
        })
        .collect()
}

fn mask(detector: &mut Detector, logits: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    detector.mask(logits, SHAPE, &WHOLE, SIZE, &mut out).unwrap();
    out
}

/// Even-odd fill at pixel centres.
fn fill(outline: &[Point]) -> Vec<u8> {
    let (width, height) = SIZE;
    let mut out = vec![0; width * height];
    for y in 0..height {
        for x in 0..width {
            let (px, py) = (x as f32 + 0.5, y as f32 + 0.5);
            let mut inside = false;
            for index in 0..outline.len() {
                let (a, b) = (outline[index], outline[(index + 1) % outline.len()]);
                if (a.y > py) != (b.y > py) && px < a.x + (py - a.y) / (b.y - a.y) * (b.x - a.x) {
                    inside = !inside;
                }
            }
            out[y * width + x] = if inside { 255 } else { 0 };
        }
    }
    out
}

fn overlap(a: &[u8], b: &[u8]) -> f32 {
    let both = a.iter().zip(b).filter(|(a, b)| **a != 0 && **b != 0).count();
    let either = a.iter().zip(b).filter(|(a, b)| **a != 0 || **b != 0).count();
    both as f32 / either.max(1) as f32
}

#[test]
fn a_hill_becomes_an_ellipse_where_it_stands() {
    let logits = hills(&[(16.0, 12.0, 6.0)]);
    let mut detector = detector(0.0, 0.5);
    let regions = detector.detect(&logits, SHAPE, &WHOLE).unwrap();
    assert_eq!(regions.list.len(), 1);
    let region = &regions.list[0];
    // A circle of radius 6 cells at (16, 12); a cell is 10 × 8 px.
    for point in &region.outline {
        let radius = ((point.x - 30.0) / 10.0 - 16.0).hypot((point.y - 20.0) / 8.0 - 12.0);
        assert!((radius - 6.0).abs() < 0.12, "radius {radius} at {point:?}");
    }
    let ellipse = std::f32::consts::PI * 60.0 * 48.0;
    assert!((region.area_px / ellipse - 1.0).abs() < 0.05, "area {} against {ellipse}", region.area_px);
    assert!((region.bounds.left - 130.0).abs() <= 2.0 && (region.bounds.bottom - 164.0).abs() <= 2.0);
    assert!(region.peak > 0.99);
    let mask = mask(&mut detector, &logits);
    let area = mask.iter().filter(|&&value| value == 255).count() as f32;
    assert!((area / ellipse - 1.0).abs() < 0.03, "the mask has {area} px, the ellipse {ellipse}");
    assert!(overlap(&mask, &fill(&region.outline)) > 0.96);
}

#[test]
fn outlines_are_smooth_even_where_logits_saturate() {
    let logits: Vec<u8> =
        hills(&[(15.0, 17.0, 9.0)]).into_iter().map(|value| if value >= 128 { 255 } else { 0 }).collect();
    let regions = detector(0.0, 0.5).detect(&logits, SHAPE, &WHOLE).unwrap();
    let outline = &regions.list[0].outline;
    let count = outline.len();
    for index in 0..count {
        let (a, b, c) = (outline[index], outline[(index + 1) % count], outline[(index + 2) % count]);
        let (u, v) = ((b.x - a.x, b.y - a.y), (c.x - b.x, c.y - b.y));
        let turn = (u.0 * v.1 - u.1 * v.0).atan2(u.0 * v.0 + u.1 * v.1);
        assert!(turn.abs() < 0.7, "a corner of {turn} rad at {b:?}");
    }
}

#[test]
fn decision_rules_drop_regions_from_mask_and_list_alike() {
    let mut logits = hills(&[(8.0, 8.0, 5.0), (25.0, 25.0, 1.5)]);
    let both = detector(0.0, 0.5).detect(&logits, SHAPE, &WHOLE).unwrap();
    assert_eq!(both.list.len(), 2);
    assert!(both.list[0].area_px > both.list[1].area_px, "the largest comes first");
    let mut strict = detector(0.02, 0.5);
    assert_eq!(strict.detect(&logits, SHAPE, &WHOLE).unwrap().list, both.list[..1]);
    let only = mask(&mut strict, &logits);
    assert!(
        only[20 * 400 * 11..].iter().all(|&value| value == 0),
        "the small region must be gone from the mask"
    );
    assert!(only.contains(&255));
    // The large hill cut at a probability of 0.88.
    logits.iter_mut().for_each(|value| *value = (*value).min(148));
    let mut picky = detector(0.0, 0.9);
    assert!(picky.detect(&logits, SHAPE, &WHOLE).unwrap().list.is_empty());
    assert!(mask(&mut picky, &logits).iter().all(|&value| value == 0));
}

#[test]
fn a_region_cut_off_by_the_edge_is_closed_along_it() {
    let regions = detector(0.0, 0.5).detect(&hills(&[(0.0, 0.0, 8.0)]), SHAPE, &WHOLE).unwrap();
    let bounds = regions.list[0].bounds;
    assert_eq!((bounds.left, bounds.top), (30.0, 20.0));
    let everything = vec![255; 1024];
    let mut detector = detector(0.0, 0.5);
    let regions = detector.detect(&everything, SHAPE, &WHOLE).unwrap();
    let bounds = regions.list[0].bounds;
    assert_eq!(bounds, Bounds { left: 30.0, top: 20.0, right: 350.0, bottom: 276.0 });
    let mask = mask(&mut detector, &everything);
    assert_eq!(mask.iter().filter(|&&value| value == 255).count(), 320 * 256);
}

#[test]
fn nonsense_is_an_error() {
    let mut good = detector(0.0, 0.5);
    assert!(good.detect(&[0; 10], SHAPE, &WHOLE).is_err());
    assert!(good.detect(&[], [0, 0, 1], &WHOLE).is_err());
    assert!(good.detect(&[], [usize::MAX, 2, 1], &WHOLE).is_err());
    assert!(Detector::new(&decision(0.0, 1.0), 0.1, 128).is_err());
    assert!(Detector::new(&decision(f32::NAN, 0.5), 0.1, 128).is_err());
    assert!(Detector::new(&decision(0.0, 0.5), 0.0, 128).is_err());
}

/// 58 / 11 × 11 is a little over 58.
#[test]
fn an_outline_ends_where_the_crop_ends() {
    let mapping = Mapping::new(Rect { x: 1, y: 2, width: 58, height: 32 }, 44);
    let mut detector = Detector::new(&decision(0.0, 0.5), 0.05, 128).unwrap();
    let regions = detector.detect(&[255; 33], [3, 11, 1], &mapping).unwrap();
    let furthest = regions.list[0].outline.iter().map(|point| point.x).fold(0.0, f32::max);
    assert_eq!(furthest, 59.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn any_logits_give_sound_regions(
        (width, height, logits) in (1usize..14, 1usize..14)
            .prop_flat_map(|(w, h)| (Just(w), Just(h), proptest::collection::vec(any::<u8>(), w * h))),
        threshold in 0.01f32..0.99, zero_point in any::<u8>(), share in 0f32..0.2,
        x in 0usize..40, y in 0usize..40, crop_width in 1usize..60, crop_height in 1usize..60,
    ) {
        let rules = Decision { threshold, min_region_share: share, min_peak: threshold };
        let mut detector = Detector::new(&rules, 0.05, zero_point).unwrap();
        let mapping = Mapping::new(Rect { x, y, width: crop_width, height: crop_height }, 4 * width);
        let shape = [height, width, 1];
        let regions = detector.detect(&logits, shape, &mapping).unwrap();
        prop_assert!(regions.list.len() <= MAX_REGIONS);
        let (right, bottom) = ((x + crop_width) as f32, (y + crop_height) as f32);
        for region in &regions.list {
            prop_assert!(region.outline.len() >= 4);
            prop_assert!(region.share >= share && region.peak >= threshold * 0.999);
            for point in &region.outline {
                prop_assert!(point.x >= x as f32 && point.x <= right && point.y >= y as f32 && point.y <= bottom);
            }
        }
        let mut mask = Vec::new();
        detector.mask(&logits, shape, &mapping, (100, 100), &mut mask).unwrap();
        for (index, &value) in mask.iter().enumerate() {
            let (px, py) = (index % 100, index / 100);
            let in_crop = (x..x + crop_width).contains(&px) && (y..y + crop_height).contains(&py);
            prop_assert!(value == 0 || (value == 255 && in_crop));
        }
        prop_assert!(!regions.list.is_empty() || mask.iter().all(|&value| value == 0));
        // Once more into the same memory: the same regions.
        let mut again = regions.clone();
        detector.detect_into(&logits, shape, &mapping, &mut again).unwrap();
        prop_assert_eq!(again, regions);
    }

    #[test]
    fn outline_and_mask_agree(cx in 8f32..24.0, cy in 8f32..24.0, a in 3f32..7.0, dx in -5f32..5.0, b in 3f32..6.0) {
        let logits = hills(&[(cx, cy, a), (cx + dx, cy, b)]);
        let mut detector = detector(0.0, 0.5);
        let regions = detector.detect(&logits, SHAPE, &WHOLE).unwrap();
        prop_assert_eq!(regions.list.len(), 1);
        prop_assert!(overlap(&mask(&mut detector, &logits), &fill(&regions.list[0].outline)) > 0.93);
    }
}
