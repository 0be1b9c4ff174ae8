use std::time::Instant;

use super::dice::{Vec3, scale, sin_turns};
use super::raster::{Corner, Lens, Target};
use super::*;
use crate::capture::Source;

#[test]
fn pictures_depend_on_seed_and_number_alone() {
    let colon = Colon::new(160, 120, 3);
    let (frame, mask) = colon.render(40);
    let mut canvas = Canvas::default();
    let (mut other_frame, mut other_mask) = (Frame::black(1, 1), Mask::default());
    for number in [7, 90_000, 40] {
        colon.render_into(number, &mut canvas, &mut other_frame, &mut other_mask);
    }
    assert_eq!(frame, other_frame);
    assert_eq!(mask, other_mask);
    assert_eq!(Colon::new(160, 120, 3).render(40).0, frame);
    assert_ne!(Colon::new(160, 120, 4).render(40).0, frame);
    assert_ne!(colon.render(41).0, frame);
}

#[test]
fn memory_is_kept_from_frame_to_frame() {
    let colon = Colon::new(160, 120, 5);
    let (mut canvas, mut frame, mut mask) = (Canvas::default(), Frame::black(1, 1), Mask::default());
    colon.render_into(0, &mut canvas, &mut frame, &mut mask);
    let place = (frame.pixels().as_ptr(), mask.pixels.as_ptr(), canvas.target.seen.as_ptr());
    for number in 1..40 {
        colon.render_into(number * 17, &mut canvas, &mut frame, &mut mask);
    }
    assert_eq!(place, (frame.pixels().as_ptr(), mask.pixels.as_ptr(), canvas.target.seen.as_ptr()));
}

/// Mean brightness of the pixels that `choose` takes.
fn brightness(frame: &Frame, choose: impl Fn(usize, usize) -> bool) -> Option<f64> {
    let (mut sum, mut count) = (0u64, 0u64);
    for y in 0..frame.height_px() {
        for (x, pixel) in frame.row(y).chunks_exact(3).enumerate().filter(|(x, _)| choose(*x, y)) {
            assert!(x < frame.width_px());
            sum += pixel.iter().map(|&channel| channel as u64).sum::<u64>();
            count += 3;
        }
    }
    (count > 0).then(|| sum as f64 / count as f64)
}

#[test]
fn polyps_come_and_go() {
    let (mut with, mut without, mut large) = (0, 0, 0);
    for seed in 0..10 {
        let colon = Colon::new(128, 96, seed);
        for step in 0..16 {
            let (frame, mask) = colon.render(step * 60);
            let share = mask.area_px() as f64 / (128.0 * 96.0);
            assert!(share < 0.8, "seed {seed}");
            match mask.area_px() {
                0 => without += 1,
                _ => with += 1,
            }
            large += usize::from(share > 0.03);
            assert!(mask.pixels.iter().all(|&pixel| pixel == 0 || pixel == 255));
            // Whatever the mask covers lies inside the picture's opening and can be seen.
            for (y, row) in mask.pixels.chunks_exact(128).enumerate() {
                let (x0, x1) = colon.border.span(y);
                assert!(row.iter().enumerate().all(|(x, &pixel)| pixel == 0 || (x0..x1).contains(&x)));
            }
            if let Some(polyp) = brightness(&frame, |x, y| mask.pixels[y * 128 + x] != 0) {
                assert!(polyp > 20.0, "seed {seed}: polyps of brightness {polyp}");
            }
        }
    }
    assert!(with >= 64 && without >= 40 && large >= 16, "{with} with, {without} without, {large} large");
}

#[test]
fn a_colon_without_polyps_has_empty_masks() {
    let healthy = Variety { density: 0.0, ..Variety::default() };
    for seed in 0..2 {
        let colon = Colon::with_variety(64, 48, seed, healthy);
        assert!((0..20).all(|step| colon.render(step * 31).1.area_px() == 0));
    }
}

#[test]
fn the_border_is_dark_and_the_scene_is_not() {
    for seed in 0..6 {
        let colon = Colon::new(160, 120, seed);
        let (frame, _) = colon.render(100);
        let inside = |x: usize, y: usize| {
            let (x0, x1) = colon.border.span(y);
            (x0..x1).contains(&x)
        };
        let scene = brightness(&frame, inside).unwrap();
        assert!((45.0..210.0).contains(&scene), "seed {seed}: {scene}");
        // The text beside the scene is bright, but small.
        if let Some(border) = brightness(&frame, |x, y| !inside(x, y)) {
            assert!(border < 60.0, "seed {seed}: {border}");
        }
    }
}

#[test]
fn motion_is_smooth() {
    for seed in 0..3 {
        let colon = Colon::new(128, 96, seed);
        let mut before = colon.render(500);
        for number in 501..520 {
            let after = colon.render(number);
            let difference: u64 =
                (before.0.pixels().iter().zip(after.0.pixels())).map(|(a, b)| a.abs_diff(*b) as u64).sum();
            let mean = difference as f64 / before.0.pixels().len() as f64;
            assert!(mean < 9.0, "seed {seed}, frame {number}: {mean}");
            let both =
                before.1.pixels.iter().zip(&after.1.pixels).filter(|(a, b)| **a != 0 && **b != 0).count();
            let larger = before.1.area_px().max(after.1.area_px());
            assert!(larger < 150 || 2 * both > larger, "seed {seed}, frame {number}: {both} of {larger}");
            before = after;
        }
    }
}

#[test]
fn any_size_seed_and_number_can_be_rendered() {
    for (index, (width, height)) in [(0, 0), (16, 16), (17, 251), (301, 19), (99, 97)].into_iter().enumerate()
    {
        let colon = Colon::new(width, height, u64::MAX - index as u64);
        for number in [0, 1, 123_456_789, u64::MAX] {
            let (frame, mask) = colon.render(number);
            assert_eq!((frame.width_px(), frame.height_px()), (width.max(16), height.max(16)));
            assert_eq!((mask.width, mask.height), (width.max(16), height.max(16)));
            assert_eq!(mask.pixels.len(), mask.width * mask.height);
        }
    }
}

#[test]
fn nearer_things_hide_farther_ones_in_any_order() {
    let corner = |x: f32, y: f32, near: f32| Corner { x, y, near, ..Corner::default() };
    let sheet = |near: f32| {
        [corner(1.5, 1.5, near), corner(20.5, 1.5, near), corner(1.5, 9.5, near), corner(20.5, 9.5, near)]
    };
    for order in [[1, 2], [2, 1]] {
        let mut target = Target::new();
        target.clear(24, 12);
        for thing in order {
            target.grid(&sheet(thing as f32), 2, thing);
        }
        for y in 0..12 {
            for x in 0..24 {
                let covered = (2..=20).contains(&x) && (2..=9).contains(&y);
                let near = target.near[y * 24 + x];
                assert_eq!(near > 0.0, covered, "{x} {y}");
                assert!(!covered || (target.seen[y * 24 + x].thing == 2 && (near - 2.0).abs() < 1e-5));
            }
        }
    }
}

#[test]
fn the_lens_maps_both_ways() {
    let lens = Lens { centre: [320.0, 240.0], focal_px: 230.0 };
    for place in [[0.0, 0.0, 1.0], [0.7, -0.4, 0.2], [-1.0, 1.0, 0.5], [0.9, 0.0, -0.1f32]] {
        let [x, y, near] = lens.project(place).unwrap();
        let back: Vec3 = scale(lens.ray(x, y), 1.0 / near);
        for (a, b) in place.iter().zip(back) {
            assert!((a - b).abs() < 1e-5, "{place:?} {back:?}");
        }
    }
    assert!(lens.project([0.0, 0.1, -1.0]).is_none());
}

#[test]
fn the_quick_sine_is_a_sine() {
    for step in -400..400 {
        let x = step as f32 * 0.013;
        let exact = (x as f64 * std::f64::consts::TAU).sin() as f32;
        assert!((sin_turns(x) - exact).abs() < 0.002, "{x}");
    }
}

#[test]
fn a_paced_camera_keeps_its_rate_and_leaves_out_what_it_missed() {
    let mut camera = Synthetic::new(Colon::new(32, 32, 1)).fps(50.0).paced(true).limit(40);
    let mut frame = Frame::black(1, 1);
    let start = Instant::now();
    assert!(camera.read(&mut frame).unwrap());
    std::thread::sleep(Duration::from_millis(300));
    assert!(camera.read(&mut frame).unwrap());
    assert!(frame.number.0 >= 14, "{:?}", frame.number);
    let late = frame.number.0;
    assert!(camera.read(&mut frame).unwrap());
    assert!(frame.number.0 > late);
    assert!(start.elapsed().as_secs_f64() >= frame.number.0 as f64 / 50.0);
    while camera.read(&mut frame).unwrap() {}
    assert!(frame.number.0 < 40);
    assert!(!camera.read(&mut frame).unwrap());
}
