use super::*;
use crate::display::lay_over;
use crate::frame::Frame;
use crate::geometry::Point;

/// Of all pictures here.
const FIELD: Rect = Rect { x: 40, y: 20, width: 400, height: 440 };

/// What drawing makes of a frame.
fn drawn(frame: &Frame, draw: impl FnOnce(&mut Layer, &Placement)) -> Frame {
    let placement = Placement::identity(frame.width_px(), frame.height_px());
    let mut layer = Layer::new(frame.width_px(), frame.height_px());
    draw(&mut layer, &placement);
    let mut after = frame.clone();
    lay_over(&layer, &mut after);
    after
}

fn noise(width: usize, height: usize) -> Frame {
    let mut state = 5u32;
    let pixels = (0..3 * width * height)
        .map(|_| {
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            (state >> 24) as u8
        })
        .collect();
    Frame::from_rgb(width, height, pixels).unwrap()
}

fn circle(x: f32, y: f32, radius: f32) -> Region {
    let outline = (0..200)
        .map(|index| {
            let angle = index as f32 * std::f32::consts::TAU / 200.0;
            Point { x: x + radius * angle.cos(), y: y + radius * angle.sin() }
        })
        .collect();
    Region { outline, ..Region::default() }
}

fn changed(before: &Frame, after: &Frame) -> Vec<(usize, usize)> {
    let pixels = before.pixels().chunks_exact(3).zip(after.pixels().chunks_exact(3)).enumerate();
    let width = before.width_px();
    pixels.filter(|(_, (a, b))| a != b).map(|(index, _)| (index % width, index / width)).collect()
}

#[test]
fn outside_the_outline_not_a_byte_changes() {
    let before = noise(640, 480);
    let mut painter = Painter::default();
    let region = [circle(300.0, 200.0, 90.0)];
    let after = drawn(&before, |layer, placement| painter.marks(layer, &region, &[], &FIELD, placement));
    let places = changed(&before, &after);
    for &(x, y) in &places {
        let off = (x as f32 + 0.5 - 300.0).hypot(y as f32 + 0.5 - 200.0) - 90.0;
        assert!(off.abs() < 2.6, "pixel {x}, {y} lies {off} px off the line");
    }
    // Two pixels of line and one of casing on each side, over the circumference.
    assert!((1500..3000).contains(&places.len()), "{} pixels", places.len());
    let on_line = &after.row(200)[3 * 389..3 * 389 + 3];
    assert!(
        on_line[0] < 60 && on_line[1] > 200 && on_line[2] > 190,
        "the line itself has its colour: {on_line:?}"
    );
    // The same picture once more: the painter keeps nothing of the last one.
    let again = drawn(&before, |layer, placement| painter.marks(layer, &region, &[], &FIELD, placement));
    assert_eq!(again, after);
}

#[test]
fn a_mark_that_fades_in_is_paler_and_covers_the_same() {
    let before = noise(640, 480);
    let region = [circle(300.0, 200.0, 90.0)];
    let at = |opacity: f32| {
        drawn(&before, |layer, placement| {
            Painter::default().marks(layer, &region, &[opacity], &FIELD, placement);
        })
    };
    let difference = |after: &Frame| -> u64 {
        before.pixels().iter().zip(after.pixels()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum()
    };
    let (pale, whole) = (at(0.4), at(1.0));
    let share = difference(&pale) as f64 / difference(&whole) as f64;
    assert!((0.35..0.45).contains(&share), "{share}");
    let places = changed(&before, &whole);
    assert!(changed(&before, &pale).iter().all(|place| places.contains(place)));
    assert_eq!(at(0.0), before);
}

#[test]
fn lines_grow_with_the_picture() {
    let thickness = |width: usize, height: usize| {
        let before = noise(width, height);
        let radius = height as f32 / 4.0;
        let region = [circle(width as f32 / 2.0, height as f32 / 2.0, radius)];
        let after = drawn(&before, |layer, placement| {
            Painter::default().marks(layer, &region, &[], &FIELD, placement)
        });
        changed(&before, &after).len() as f32 / (std::f32::consts::TAU * radius)
    };
    assert!((3.0..5.5).contains(&thickness(640, 480)));
    assert!((7.5..11.0).contains(&thickness(1920, 1080)));
}

#[test]
fn a_tint_covers_the_inside_alone() {
    let before = noise(200, 150);
    let style = Style { tint: 0.2, ..Style::default() };
    let region = [circle(100.0, 75.0, 40.0)];
    let after =
        drawn(&before, |layer, placement| Painter::new(style).marks(layer, &region, &[], &FIELD, placement));
    let inside = changed(&before, &after);
    assert!(inside.iter().all(|&(x, y)| (x as f32 - 99.5).hypot(y as f32 - 74.5) < 43.0));
    assert!(inside.len() > 4800, "{} of 5026 pixels", inside.len());
}

/// Pixels that a mark changes in a picture of 640×480 with one round region, and the picture.
fn marked(mark: Mark) -> (Vec<(usize, usize)>, Frame) {
    let before = noise(640, 480);
    let style = Style { mark, ..Style::default() };
    let region = [circle(150.0, 200.0, 50.0)];
    let draw = |layer: &mut Layer, placement: &Placement| {
        Painter::new(style).marks(layer, &region, &[], &FIELD, placement)
    };
    let after = drawn(&before, draw);
    (changed(&before, &after), after)
}

#[test]
fn a_box_and_its_corners_go_around_the_region() {
    // The box is 6 pixels off the region on each side.
    let off = |x: usize, y: usize| {
        let (x, y) = (x as f32 + 0.5 - 150.0, y as f32 + 0.5 - 200.0);
        (x.abs().max(y.abs()) - 56.0, x.abs().min(y.abs()))
    };
    let (around, _) = marked(Mark::Box);
    assert!(around.iter().all(|&(x, y)| off(x, y).0.abs() < 2.6));
    assert!((1600..2400).contains(&around.len()), "{} pixels", around.len());
    let (corners, _) = marked(Mark::Brackets);
    assert!(corners.iter().all(|place| around.contains(place)));
    // Each leg is a quarter of a side: the middle half of each side is free.
    assert!(corners.iter().all(|&(x, y)| off(x, y).1 > 25.0));
    assert!((800..1300).contains(&corners.len()), "{} pixels", corners.len());
}

#[test]
fn a_dot_in_the_margin_leaves_the_mucosa_alone() {
    let (dot, after) = marked(Mark::Margin);
    // The region is left of the middle of the field, which begins at column 40.
    assert!(dot.iter().all(|&(x, y)| x < 40 && (190..210).contains(&y)), "{dot:?}");
    assert!((60..200).contains(&dot.len()), "{} pixels", dot.len());
    let inside = &after.row(200)[3 * 33..3 * 33 + 3];
    assert_eq!(inside, [0, 255, 230]);
    // Where the endoscope's picture fills the frame, the dot is on its edge.
    let before = noise(200, 150);
    let style = Style { mark: Mark::Margin, ..Style::default() };
    let whole = Rect::whole(200, 150);
    let right = [circle(150.0, 75.0, 20.0)];
    let after =
        drawn(&before, |layer, placement| Painter::new(style).marks(layer, &right, &[], &whole, placement));
    let dot = changed(&before, &after);
    assert!(!dot.is_empty() && dot.iter().all(|&(x, _)| x > 190), "{dot:?}");
}

#[test]
fn the_glyph_stays_in_its_corner_and_says_what_it_should() {
    let before = noise(640, 480);
    let draw = |glyph, words| {
        drawn(&before, |layer, _| Painter::default().glyph(layer, Corner::LowerRight, glyph, words))
    };
    let assist = draw(Glyph::Assist, "ASSIST");
    assert!(changed(&before, &assist).iter().all(|&(x, y)| x > 460 && y > 450));
    assert!(changed(&before, &assist).len() > 200);
    assert_ne!(assist, draw(Glyph::Passthrough, "ASSIST"));
    assert_ne!(assist, draw(Glyph::Reduced, "ASSIST"));
    assert_ne!(assist, draw(Glyph::Assist, "ASSIST OFF"));
}

#[test]
fn odd_outlines_and_tiny_frames_do_no_harm() {
    let nan = Point { x: f32::NAN, y: 4.0 };
    let far = Point { x: -5000.0, y: 90000.0 };
    let marks = [Mark::Outline, Mark::Brackets, Mark::Box, Mark::Margin];
    let sizes = [(1, 1), (3, 9), (40, 20)];
    for ((width, height), mark) in sizes.into_iter().flat_map(|size| marks.map(|mark| (size, mark))) {
        let (mut layer, placement) = (Layer::new(width, height), Placement::identity(width, height));
        let style = Style { tint: 0.5, mark, ..Style::default() };
        let mut painter = Painter::new(style);
        for outline in [vec![], vec![nan], vec![far], vec![far, nan, Point { x: 2.0, y: 2.0 }]] {
            painter.marks(&mut layer, &[Region { outline, ..Region::default() }], &[], &FIELD, &placement);
        }
        painter.glyph(
            &mut layer,
            Corner::UpperLeft,
            Glyph::Off,
            "a reason that is far too long for a small picture",
        );
        painter.glyph(&mut layer, Corner::LowerLeft, Glyph::Off, "");
        painter.screen(&mut layer, &["NO SIGNAL", "", "a reason that is far too long for a small picture"]);
    }
}
