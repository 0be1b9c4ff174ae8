use std::path::{Path, PathBuf};

use super::*;

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
