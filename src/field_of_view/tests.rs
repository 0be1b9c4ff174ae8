use std::path::{Path, PathBuf};

use super::*;
use crate::capture::synthetic::Colon;

fn paint(frame: &mut Frame, rect: Rect, colour: [u8; 3]) {
    for y in rect.y..rect.y + rect.height {
        for pixel in frame.row_mut(y)[3 * rect.x..3 * (rect.x + rect.width)].chunks_exact_mut(3) {
            pixel.copy_from_slice(&colour);
        }
    }
}

fn rect(x: usize, y: usize, width: usize, height: usize) -> Rect {
    Rect { x, y, width, height }
}

fn octagon(width: usize, height: usize, at: Rect, black: u8) -> Frame {
    let mut frame = Frame::black(width, height);
    frame.pixels_mut().fill(black);
    let corner = at.width.min(at.height) / 6;
    for y in 0..at.height {
        let cut = corner.saturating_sub(y).max((corner + y + 1).saturating_sub(at.height));
        paint(&mut frame, rect(at.x + cut, at.y + y, at.width - 2 * cut, 1), [150, 80, 60]);
    }
    frame
}

#[test]
fn an_octagon_is_found_to_the_pixel() {
    for (at, black) in
        [(rect(300, 40, 900, 640), 0), (rect(301, 0, 717, 719), 16), (rect(11, 13, 1200, 690), 22)]
    {
        let found = find(&octagon(1280, 720, at, black));
        assert_eq!(found, at);
    }
}

#[test]
fn text_lines_and_insets_do_not_fool_it() {
    let at = rect(500, 30, 760, 660);
    let mut frame = octagon(1280, 720, at, 3);
    for line in 0..12 {
        for letter in 0..18 {
            // Letters of two strokes, 14 px high, beside the picture.
            let (x, y) = (20 + 22 * letter, 40 + 30 * line);
            paint(&mut frame, rect(x, y, 3, 14), [230, 230, 230]);
            paint(&mut frame, rect(x, y, 10, 3), [230, 230, 230]);
        }
    }
    paint(&mut frame, rect(0, 420, 499, 2), [255, 255, 255]);
    paint(&mut frame, rect(40, 480, 200, 200), [20, 160, 60]);
    assert_eq!(find(&frame), at);
}

#[test]
fn frames_without_a_border_or_without_light_are_taken_whole() {
    let whole = rect(0, 0, 320, 240);
    let mut frame = Frame::black(320, 240);
    assert_eq!(find(&frame), whole);
    paint(&mut frame, whole, [9, 5, 5]);
    assert_eq!(find(&frame), whole);
    paint(&mut frame, whole, [180, 90, 70]);
    assert_eq!(find(&frame), whole);
    for size in [(1, 1), (2, 3), (7, 1)] {
        let frame = Frame::black(size.0, size.1);
        assert_eq!(find(&frame), rect(0, 0, size.0, size.1));
    }
}

#[test]
fn any_pixels_give_a_box_inside_the_frame() {
    let mut state = 7u32;
    for size in [(64, 48), (129, 3), (3, 300), (257, 131)] {
        for floor in [0u32, 200, 250] {
            let mut frame = Frame::black(size.0, size.1);
            for byte in frame.pixels_mut() {
                state = state.wrapping_mul(1664525).wrapping_add(1013904223);
                *byte = if state >> 24 < floor { 0 } else { (state >> 16) as u8 };
            }
            let found = find(&frame);
            assert!(found.width > 0 && found.height > 0);
            assert!(found.x + found.width <= size.0 && found.y + found.height <= size.1);
        }
    }
}

/// The rendered endoscope's picture, cut out of its border, of about this height.
fn endoscope(height: usize, number: u64) -> Frame {
    let (rendered, _) = Colon::new(height * 4 / 3, height, 7).render(number);
    let at = find(&rendered);
    let mut picture = Frame::black(at.width, at.height);
    paste(&mut picture, &rendered, at, 0, 0);
    picture
}

/// Copies a part of a picture to a place.
fn paste(onto: &mut Frame, from: &Frame, part: Rect, x: usize, y: usize) {
    for row in 0..part.height {
        let pixels = from.row(part.y + row)[3 * part.x..3 * (part.x + part.width)].to_vec();
        onto.row_mut(y + row)[3 * x..3 * (x + part.width)].copy_from_slice(&pixels);
    }
}

/// Pastes all of a picture; where it lies then.
fn put(onto: &mut Frame, picture: &Frame, x: usize, y: usize) -> Rect {
    let whole = rect(0, 0, picture.width_px(), picture.height_px());
    paste(onto, picture, whole, x, y);
    rect(x, y, whole.width, whole.height)
}

/// A processor's screen: black with a little noise, and two lines of text.
fn screen() -> Frame {
    let mut frame = Frame::black(1280, 720);
    let mut state = 1u32;
    for byte in frame.pixels_mut() {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        *byte = (state >> 30) as u8;
    }
    for letter in 0..12 {
        paint(&mut frame, rect(20 + 14 * letter, 20, 3, 12), [220, 220, 220]);
        paint(&mut frame, rect(20 + 14 * letter, 690, 9, 3), [220, 220, 220]);
    }
    frame
}

fn shared(a: Rect, b: Rect) -> f32 {
    let across = (a.x + a.width).min(b.x + b.width).saturating_sub(a.x.max(b.x));
    let down = (a.y + a.height).min(b.y + b.height).saturating_sub(a.y.max(b.y));
    let both = across * down;
    both as f32 / (a.width * a.height + b.width * b.height - both) as f32
}

#[test]
fn a_picture_is_found_however_little_of_the_frame_it_covers() {
    for height in [160, 190, 230, 280, 290, 300, 310, 400, 500, 640] {
        for number in [0, 40, 160] {
            let (mut frame, picture) = (screen(), endoscope(height, number));
            let at = put(&mut frame, &picture, 310, 40);
            let share = (at.width * at.height) as f32 / (1280.0 * 720.0);
            let found = find(&frame);
            assert!(
                shared(found, at) > 0.85,
                "{share:.3} of the frame, frame {number}: {found:?} instead of {at:?}"
            );
        }
    }
}

#[test]
fn of_two_pictures_or_a_picture_and_a_panel_the_endoscopes_larger_one_is_taken() {
    let (large, small) = (endoscope(480, 0), endoscope(220, 40));
    let beside = |frame: &mut Frame| {
        put(frame, &small, 800, 400);
    };
    let over = |frame: &mut Frame| {
        put(frame, &small, 800, 60);
    };
    let panel = |frame: &mut Frame| {
        paint(frame, rect(820, 60, 420, 560), [90, 92, 95]);
        for line in 0..20 {
            paint(frame, rect(840, 80 + 26 * line, 300, 4), [230, 230, 230]);
        }
    };
    type Draw<'a> = &'a dyn Fn(&mut Frame);
    for (name, other) in [("below", &beside as Draw), ("above", &over), ("panel", &panel)] {
        let mut frame = screen();
        let at = put(&mut frame, &large, 60, 120);
        other(&mut frame);
        let found = find(&frame);
        assert!(shared(found, at) > 0.9, "{name}: {found:?} instead of {at:?}");
    }
}

#[test]
fn an_inset_that_overlaps_the_picture_does_not_widen_it() {
    let large = endoscope(480, 0);
    let (right, bottom) = (300 + large.width_px(), 60 + large.height_px());
    for number in [0, 40, 160] {
        let small = endoscope(220, number);
        let (width, height) = (small.width_px(), small.height_px());
        let half = (width / 2, height / 2);
        let places = [
            ("lower right corner", right - half.0, bottom - half.1),
            ("lower left corner", 300 - half.0, bottom - half.1),
            ("upper right corner", right - half.0, 60usize.saturating_sub(half.1)),
            ("right edge", right - half.0, 200),
            ("left edge", 300 - half.0, 200),
        ];
        for (name, x, y) in places {
            for gutter in [0, 4, 24] {
                let mut frame = screen();
                let at = put(&mut frame, &large, 300, 60);
                let inner = rect(
                    x.saturating_sub(gutter),
                    y.saturating_sub(gutter),
                    width + 2 * gutter,
                    height + 2 * gutter,
                );
                paint(&mut frame, inner, [0, 0, 0]);
                put(&mut frame, &small, x, y);
                let found = find(&frame);
                assert!(
                    shared(found, at) > 0.9,
                    "{name}, {gutter} px of black around frame {number}: {found:?} instead of {at:?}"
                );
            }
        }
    }
}

#[test]
fn a_small_picture_in_narrow_band_light_is_found() {
    for height in [160, 230, 290] {
        let (mut frame, mut picture) = (screen(), endoscope(height, 40));
        // What Olympus' narrow-band imaging shows: 415 nm in green and blue, 540 nm in red.
        for pixel in picture.pixels_mut().chunks_exact_mut(3) {
            let &mut [_, green, blue] = pixel else { continue };
            pixel.copy_from_slice(&[green, blue.saturating_add(blue / 2), blue.saturating_add(blue / 2)]);
        }
        let at = put(&mut frame, &picture, 310, 40);
        let found = find(&frame);
        assert!(shared(found, at) > 0.85, "{height} px: {found:?} instead of {at:?}");
    }
}

#[test]
fn a_lit_fold_in_a_dark_frame_is_no_picture_of_its_own() {
    let mut frame = Frame::black(1280, 720);
    for y in 0..720 {
        for (x, pixel) in frame.row_mut(y).chunks_exact_mut(3).enumerate() {
            // Light that falls with the square of the distance.
            let far = (x as f32 - 700.0).hypot(y as f32 - 300.0);
            let light = 1.0 / (1.0 + (far / 35.0).powi(2));
            pixel.copy_from_slice(&[
                2 + (150.0 * light) as u8,
                2 + (70.0 * light) as u8,
                2 + (50.0 * light) as u8,
            ]);
        }
    }
    assert_eq!(find(&frame), rect(0, 0, 1280, 720));
}

#[test]
fn a_switch_to_a_small_picture_and_back_is_followed() {
    let (mut large, mut small) = (screen(), screen());
    let at_large = put(&mut large, &endoscope(600, 0), 300, 60);
    let at_small = put(&mut small, &endoscope(230, 0), 900, 300);
    let mut locator = Locator::new(Rule::Find, Sequence::Video);
    assert!(shared(locator.locate(&large), at_large) > 0.9);
    for (frame, at, before) in [(&small, at_small, at_large), (&large, at_large, at_small)] {
        for _ in 0..9 {
            assert!(shared(locator.locate(frame), before) > 0.85, "ten frames must agree");
        }
        let found = locator.locate(frame);
        assert!(shared(found, at) > 0.85, "{found:?} instead of {at:?}");
    }
}

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("POLYP_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let found = folder.join("splits/train.txt").exists();
    if !found {
        println!("skipped: no data at {} (set POLYP_DATA)", folder.display());
    }
    found.then_some(folder)
}

fn load(path: &Path) -> Frame {
    let picture = image::open(path).unwrap().into_rgb8();
    let (width, height) = picture.dimensions();
    Frame::from_rgb(width as usize, height as usize, picture.into_raw()).unwrap()
}

/// Real pictures: masks lie inside the box, black borders outside it. `POLYP_FOV_LIST=FILE` writes every box found.
#[test]
#[expect(clippy::too_many_lines, reason = "one case after another")]
fn real_pictures_keep_their_polyps_and_lose_their_borders() {
    let Some(folder) = data() else { return };
    let (mut labelled, mut kept, mut bordered, mut freed) = (0, 0, 0, 0);
    let mut list = String::new();
    let everything = std::env::var_os("POLYP_FOV_LIST");
    for name in ["kvasir-seg", "cvc-clinicdb", "cvc-colondb", "polypgen", "cp-child-negative", "video/clip-a"]
    {
        let images =
            if name.starts_with("video") { folder.join(name) } else { folder.join(name).join("images") };
        let mut paths: Vec<_> =
            std::fs::read_dir(&images).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let stride = if everything.is_some() { 1 } else { 2 };
        for path in paths.iter().step_by(stride) {
            let frame = load(path);
            let found = find(&frame);
            if everything.is_some() {
                list +=
                    &format!("{} {} {} {} {}\n", path.display(), found.x, found.y, found.width, found.height);
            }
            let mask = folder.join(name).join("masks").join(path.with_extension("png").file_name().unwrap());
            if mask.exists() {
                let mask = image::open(&mask).unwrap().into_luma8();
                let (mut all, mut inside) = (0u32, 0u32);
                for (x, y, value) in mask.enumerate_pixels() {
                    if value.0[0] > 127 {
                        let (x, y) = (x as usize, y as usize);
                        all += 1;
                        inside += u32::from(
                            (found.x..found.x + found.width).contains(&x)
                                && (found.y..found.y + found.height).contains(&y),
                        );
                    }
                }
                if all > 0 {
                    labelled += 1;
                    let holds = f64::from(inside) >= 0.97 * f64::from(all);
                    kept += usize::from(holds);
                    if !holds {
                        println!(
                            "{}: {:.3} of the mask in {found:?}",
                            path.display(),
                            inside as f64 / all as f64
                        );
                    }
                }
            }
            // A border column on the left, dark over its whole height, must be gone.
            let dark = |x: usize| {
                (0..frame.height_px()).all(|y| frame.row(y)[3 * x..3 * x + 3].iter().all(|&v| v < 26))
            };
            let border = (0..frame.width_px() / 3).take_while(|&x| dark(x)).count();
            if border >= 4 {
                bordered += 1;
                freed += usize::from(found.x + 2 >= border);
            }
        }
    }
    if let Some(path) = everything {
        std::fs::write(path, list).unwrap();
    }
    println!("{kept} of {labelled} masks kept, {freed} of {bordered} borders removed");
    assert!(labelled >= 1000 && kept * 1000 >= labelled * 995, "{kept} of {labelled} masks kept");
    assert!(bordered > 100 && freed * 100 >= bordered * 99, "{freed} of {bordered} borders removed");
}
