use std::collections::BTreeMap;

use polyp_edge::fault::{Exit, exit_of};
use proptest::prelude::*;

use super::*;
use crate::measures::distance::Nearest;
use crate::measures::map::MapFile;

fn measure(map: &[u8], truth: &[u8], width_px: usize) -> FrameMeasures {
    FrameMeasures::of(Map::Grey(map), truth, width_px, map.len() / width_px).unwrap()
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
}

#[derive(serde::Deserialize)]
struct Fixture {
    width: usize,
    height: usize,
    list: BTreeMap<String, f64>,
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    map: Vec<u8>,
    /// A digit a pixel.
    mask: String,
    measures: BTreeMap<String, f64>,
}

fn assert_as_reference(name: &str, ours: Measures, theirs: &BTreeMap<String, f64>) {
    let ours = serde_json::to_value(ours).unwrap();
    assert_eq!(theirs.len(), 8);
    for (measure, expected) in theirs {
        let found = ours[measure].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-9, "{name}: {measure} {found}, reference {expected}");
    }
}

/// Values of the reference implementation, written by `scripts/measures/compare.py --fixture`.
#[test]
fn small_maps_measure_as_the_reference_says() {
    let fixture: Fixture = serde_json::from_str(include_str!("../../tests/fixtures/measures.json")).unwrap();
    let mut all = Accumulator::default();
    for case in &fixture.cases {
        let truth: Vec<u8> = case.mask.bytes().map(|digit| digit - b'0').collect();
        let frame = FrameMeasures::of(Map::Grey(&case.map), &truth, fixture.width, fixture.height).unwrap();
        assert_as_reference(&case.name, Accumulator::from_iter([&frame]).finish(), &case.measures);
        all.add_frame(&frame);
    }
    assert!(fixture.cases.len() > 20);
    assert_as_reference("list", all.finish(), &fixture.list);
}

#[test]
fn curves_by_hand() {
    let frame = measure(&[0, 255, 51, 204], &[0, 255, 255, 0], 2);
    // Level 255 shows one pixel, right; level 204 one more, wrong; level 51 one more, right; level 0 all.
    let expected = [
        (255, 2.0 / 3.0, 1.0 / 2.0),
        (204, 2.0 / 4.0, 1.0 / 3.0),
        (51, 4.0 / 5.0, 2.0 / 3.0),
        (0, 4.0 / 6.0, 0.5),
    ];
    for (level, dice, iou) in expected {
        close(frame.dice[255 - level], dice);
        close(frame.iou[255 - level], iou);
    }
    close(frame.mae, (0.0 + 0.0 + 0.8 + 0.8) / 4.0);
    assert_eq!(frame.at_half, Overlap { truth_px: 2, predicted_px: 2, both_px: 1 });
}

#[test]
fn a_map_is_stretched_for_all_but_the_half() {
    let (faint, truth) = ([10, 10, 60, 60], [0, 0, 1, 1]);
    let strong = measure(&[0, 0, 255, 255], &truth, 2);
    let frame = measure(&faint, &truth, 2);
    assert_eq!(FrameMeasures { at_half: frame.at_half, ..strong }, frame);
    for (found, expected) in [(frame.weighted_f, 1.0), (frame.s, 1.0), (frame.mae, 0.0)] {
        close(found, expected);
    }
    assert_eq!((frame.at_half.predicted_px, frame.at_half.dice()), (0, 0.0));
    let shares: Vec<f32> = faint.iter().map(|&value| f32::from(value) / 255.0).collect();
    assert_eq!(FrameMeasures::of(Map::Probability(&shares), &truth, 2, 2).unwrap(), frame);
}

#[test]
fn empty_masks_and_full_masks() {
    let pixels = 12.0;
    let silent = measure(&[0; 12], &[0; 12], 4);
    assert_eq!(
        (silent.dice[255], silent.iou[0], silent.weighted_f, silent.s, silent.mae),
        (0.0, 0.0, 0.0, 1.0, 0.0)
    );
    close(silent.e[0], pixels / (pixels - 1.0));
    close(silent.e[255], 0.0);
    assert_eq!((silent.at_half.dice(), silent.at_half.iou()), (1.0, 1.0));
    let loud = measure(&[255; 12], &[0; 12], 4);
    assert_eq!((loud.dice[0], loud.weighted_f, loud.s, loud.mae), (0.0, 0.0, 0.0, 1.0));
    let full = measure(&[255; 12], &[9; 12], 4);
    assert_eq!((full.dice, full.iou, full.s, full.mae), ([1.0; LEVELS], [1.0; LEVELS], 1.0, 0.0));
    close(full.weighted_f, 1.0);
    let missed = measure(&[0; 12], &[9; 12], 4);
    assert_eq!((missed.dice[0], missed.dice[255], missed.s), (0.0, 1.0, 0.0));
}

/// The reference divides 0 by 0 where nothing lies below or right of the mask's centre.
#[test]
fn a_mask_at_the_very_edge_has_an_s_measure() {
    for truth in [[0, 0, 0, 0, 0, 0, 1, 1, 1], [0, 0, 1, 0, 0, 1, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0, 0, 1]] {
        let map = truth.map(|value| 255 * value);
        close(measure(&map, &truth, 3).s, 1.0);
    }
    assert!(measure(&[7], &[1], 1).s.is_finite() && measure(&[7], &[0], 1).s.is_finite());
}

#[test]
fn what_is_no_map_is_refused() {
    let refused = |map: Map| exit_of(&FrameMeasures::of(map, &[0; 4], 2, 2).unwrap_err());
    assert_eq!(refused(Map::Grey(&[0; 3])), Exit::Data);
    for wrong in [f32::NAN, -0.1, 1.5, f32::INFINITY] {
        assert_eq!(refused(Map::Probability(&[0.0, 0.5, wrong, 1.0])), Exit::Data);
    }
    assert_eq!(exit_of(&FrameMeasures::of(Map::Grey(&[]), &[], 0, 0).unwrap_err()), Exit::Data);
    assert_eq!(Accumulator::default().finish().frames, 0);
    assert_eq!(Accumulator::default().finish().mean_dice, 0.0);
}

#[test]
fn maps_are_read_and_resized() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map.png");
    image::GrayImage::from_raw(2, 1, vec![0, 255]).unwrap().save(&path).unwrap();
    let map = MapFile::read(&path).unwrap();
    assert!(matches!(map.map(), Map::Grey([0, 255])));
    let wide = map.resized(4, 2);
    assert_eq!((wide.width_px, wide.height_px), (4, 2));
    let Map::Probability(values) = wide.map() else { panic!("{wide:?}") };
    assert_eq!(values, [0.0, 0.25, 0.75, 1.0].repeat(2));
    type Deep = image::ImageBuffer<image::Luma<u16>, Vec<u16>>;
    Deep::from_raw(2, 1, vec![0, 65535]).unwrap().save(&path).unwrap();
    assert!(matches!(MapFile::read(&path).unwrap().map(), Map::Probability([0.0, 1.0])));
    image::RgbImage::new(2, 1).save(&path).unwrap();
    assert_eq!(exit_of(&MapFile::read(&path).unwrap_err()), Exit::Data);
    assert_eq!(exit_of(&MapFile::read(&folder.path().join("none.png")).unwrap_err()), Exit::Io);
}

/// E-measure as its paper states it: the alignment matrix of one thresholded map, pixel by pixel.
fn plain_e_measure(shown: &[bool], truth: &[bool]) -> f64 {
    let number = |value: &bool| f64::from(u8::from(*value));
    let mean = |values: &[bool]| values.iter().map(number).sum::<f64>() / values.len() as f64;
    let (shown_mean, truth_mean) = (mean(shown), mean(truth));
    let enhanced = shown.iter().zip(truth).map(|(shown, truth)| match truth_mean {
        0.0 => 1.0 - number(shown),
        1.0 => number(shown),
        _ => {
            let (a, b) = (number(shown) - shown_mean, number(truth) - truth_mean);
            (2.0 * a * b / (a * a + b * b + f64::EPSILON) + 1.0).powi(2) / 4.0
        }
    });
    enhanced.sum::<f64>() / (truth.len() as f64 - 1.0 + f64::EPSILON)
}

/// A map and a mask of one size.
fn scenes() -> impl Strategy<Value = (usize, Vec<u8>, Vec<u8>)> {
    (1usize..9, 1usize..9).prop_flat_map(|(width, height)| {
        let pixels = width * height;
        let map = prop_oneof![
            proptest::collection::vec(any::<u8>(), pixels),
            proptest::collection::vec(prop_oneof![Just(3u8), Just(77), Just(255)], pixels),
        ];
        let truth = (0.0..1.0).prop_flat_map(move |share| {
            proptest::collection::vec(proptest::bool::weighted(share).prop_map(u8::from), pixels)
        });
        (Just(width), map, truth)
    })
}

proptest! {
    #[test]
    fn curves_are_what_each_threshold_gives((width, map, truth) in scenes()) {
        let frame = measure(&map, &truth, width);
        let values = Map::Grey(&map).stretched().unwrap();
        let is: Vec<bool> = truth.iter().map(|value| *value != 0).collect();
        for level in 0..LEVELS {
            let shown: Vec<bool> = values.iter().map(|value| (value * 255.0).floor() >= level as f64).collect();
            let overlap = Overlap::of(&truth, &shown.iter().map(|shown| u8::from(*shown)).collect::<Vec<_>>());
            let at = LEVELS - 1 - level;
            if overlap.truth_px + overlap.predicted_px > 0 {
                prop_assert!((frame.dice[at] - overlap.dice()).abs() < 1e-12);
                prop_assert!((frame.iou[at] - overlap.iou()).abs() < 1e-12);
            }
            let e = plain_e_measure(&shown, &is);
            prop_assert!((frame.e[at] - e).abs() <= 1e-9 * e.max(1.0), "{} {e}", frame.e[at]);
        }
        for value in [frame.weighted_f, frame.s, frame.mae] {
            prop_assert!((-1e-9..=1.0 + 1e-9).contains(&value), "{value}");
        }
    }

    #[test]
    fn the_nearest_pixel_is_the_leftmost_then_upper((width, _, truth) in scenes()) {
        let mask: Vec<bool> = truth.iter().map(|value| *value != 0).collect();
        let pixels: Vec<usize> = (0..mask.len()).filter(|index| mask[*index]).collect();
        let Some(nearest) = Nearest::of(&mask, width) else {
            prop_assert!(pixels.is_empty());
            return Ok(());
        };
        for index in 0..mask.len() {
            let far = |other: usize| {
                let (dx, dy) = ((index % width).abs_diff(other % width), (index / width).abs_diff(other / width));
                (dx * dx + dy * dy) as i64
            };
            let best = pixels.iter().min_by_key(|other| (far(**other), **other % width, **other / width)).unwrap();
            prop_assert_eq!((nearest.index[index], nearest.squared_px[index]), (*best, far(*best)));
        }
    }

    #[test]
    fn sums_do_not_depend_on_how_images_are_shared_out((width, map, truth) in scenes()) {
        let frames: Vec<FrameMeasures> = (0..3u8)
            .map(|turn| measure(&map.iter().map(|value| value.wrapping_mul(turn)).collect::<Vec<_>>(), &truth, width))
            .collect();
        let mut one_by_one = Accumulator::default();
        for turn in 0..3u8 {
            let map: Vec<u8> = map.iter().map(|value| value.wrapping_mul(turn)).collect();
            one_by_one.add(Map::Grey(&map), &truth, width, map.len() / width).unwrap();
        }
        prop_assert_eq!(one_by_one.finish(), frames.iter().collect::<Accumulator>().finish());
    }
}
