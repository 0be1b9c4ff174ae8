//! What training does to a picture: turned, scaled, shifted, mirrored; given another picture's polyp or colours; disturbed
//! as endoscopes, recorders and cameras do; light and colour.

mod amounts;
mod artefacts;
mod example;
mod exchange;
mod light;
mod paste;
mod warp;

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

pub use self::amounts::Augmentation;
use self::artefacts::{compress, corner, dark_edges, glare, motion};
pub(crate) use self::example::Example;
use self::exchange::{Look, exchange};
use self::light::light;
use self::paste::paste;
use self::warp::{Affine, warp};
use crate::data::blur;
use crate::data::cache::Cached;

/// The picture as it is, resized; for validation.
pub(crate) fn plain(sample: &Cached, side: usize) -> Example {
    warp(sample, side, Affine::identity())
}

/// What other pictures can bring into one.
pub(crate) struct Others {
    /// Numbers of the samples whose polyps may be pasted: truth alone.
    donors: Vec<usize>,
    /// Of each data set the colours of its pictures.
    looks: Vec<(String, Vec<Look>)>,
}

impl Others {
    /// Gathers what `augmentation` needs of samples; `truth` says whose masks are true.
    pub fn gather(samples: &[Cached], augmentation: &Augmentation, truth: impl Fn(&Cached) -> bool) -> Self {
        let shows_polyp = |sample: &Cached| truth(sample) && sample.mask.iter().any(|share| *share > 127);
        let donors = if augmentation.paste > 0.0 {
            (0..samples.len()).filter(|i| shows_polyp(&samples[*i])).collect()
        } else {
            Vec::new()
        };
        let mut looks: Vec<(String, Vec<Look>)> = Vec::new();
        for sample in samples.iter().filter(|_| augmentation.exchange > 0.0) {
            let Some(look) = Look::of(sample) else { continue };
            match looks.iter_mut().find(|(set, _)| *set == sample.set()) {
                Some((_, looks)) => looks.push(look),
                None => looks.push((sample.set().to_owned(), vec![look])),
            }
        }
        Others { donors, looks }
    }

    /// The colours of a picture of another data set than `set`.
    fn look(&self, set: &str, rng: &mut ChaCha8Rng) -> Option<Look> {
        let others: Vec<&Vec<Look>> =
            self.looks.iter().filter(|(other, _)| other != set).map(|(_, looks)| looks).collect();
        others.choose(rng).and_then(|looks| looks.choose(rng)).copied()
    }
}

/// Sample `number` changed at random.
pub(crate) fn augment(
    samples: &[Cached],
    number: usize,
    side: usize,
    a: &Augmentation,
    others: &Others,
    rng: &mut ChaCha8Rng,
) -> Example {
    let sample = &samples[number];
    let mut example = warp(sample, side, Affine::random(a, rng));
    let happens = |rng: &mut ChaCha8Rng, share: f32| share > 0.0 && rng.random::<f32>() < share;
    let is_free = sample.labelled && sample.mask.iter().all(|share| *share == 0);
    if is_free
        && happens(rng, a.paste)
        && let Some(donor) = others.donors.choose(rng)
    {
        paste(&mut example, side, &samples[*donor], rng);
    }
    if happens(rng, a.exchange)
        && let Some(look) = others.look(sample.set(), rng)
    {
        exchange(&mut example.pixels, side, look, rng);
    }
    if happens(rng, a.dark_edges) {
        dark_edges(&mut example.pixels, side, rng);
    }
    if happens(rng, a.glare) {
        glare(&mut example.pixels, side, rng);
    }
    if happens(rng, a.corner) {
        corner(&mut example, side, rng);
    }
    if happens(rng, a.blur) {
        let radius = rng.random_range(1..=2);
        example.pixels.chunks_exact_mut(side * side).for_each(|plane| blur::boxed(plane, side, radius));
    }
    if happens(rng, a.motion) {
        motion(&mut example.pixels, side, rng);
    }
    light(&mut example.pixels, side, a, rng);
    if happens(rng, a.compression) {
        compress(&mut example.pixels, side, rng);
    }
    example
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::data::cache::TeacherView;

    /// Sample 0 changed, with the others' polyps and colours.
    fn changed(samples: &[Cached], side: usize, a: &Augmentation, rng: &mut ChaCha8Rng) -> Example {
        augment(samples, 0, side, a, &Others::gather(samples, a, |_| true), rng)
    }

    fn sample(side: usize) -> Cached {
        let inside = |i: usize| {
            let (x, y) = (i % side, i / side);
            (x as f32 - side as f32 * 0.5).hypot(y as f32 - side as f32 * 0.4) < side as f32 * 0.2
        };
        let mask: Vec<u8> = (0..side * side).map(|i| if inside(i) { 255 } else { 0 }).collect();
        let pixels = mask.iter().flat_map(|m| [*m / 2 + 60, 40, 30]).collect();
        Cached { name: String::new(), pixels, mask, labelled: true, teacher: None }
    }

    #[test]
    fn plain_keeps_the_picture() {
        let sample = sample(64);
        let example = plain(&sample, 64);
        for (i, target) in example.target.iter().enumerate() {
            assert_eq!(*target, if sample.mask[i] > 127 { 1.0 } else { 0.0 });
            assert!((example.pixels[i] - sample.pixels[3 * i] as f32).abs() < 1e-3);
        }
    }

    #[test]
    fn picture_and_mask_move_together() {
        let Augmentation { rotation, log_scale, shift, .. } = Augmentation::default();
        let geometry = Augmentation { rotation, log_scale, shift, zoom: 0.5, ..Augmentation::none() };
        let mut sample = sample(64);
        // A teacher that is right, and sees a quarter as many cells along each side.
        let cell = |i: usize| (i % 16 * 4 + 2) + (i / 16 * 4 + 2) * 64;
        let logits: Vec<f32> = (0..256).map(|i| if sample.mask[cell(i)] > 0 { 6.0 } else { -6.0 }).collect();
        sample.teacher = Some(TeacherView::of(&logits, 16, 1.0));
        for seed in 0..40 {
            let example =
                changed(std::slice::from_ref(&sample), 56, &geometry, &mut ChaCha8Rng::seed_from_u64(seed));
            let agree =
                example.target.iter().zip(&example.pixels).filter(|(t, p)| (**t > 0.5) == (**p > 123.0));
            assert!(agree.count() * 100 > 97 * 56 * 56, "seed {seed}");
            let agree =
                example.target.iter().zip(&example.teacher).filter(|(t, z)| (**t > 0.5) == (**z > 0.0));
            assert!(agree.count() * 100 > 92 * 56 * 56, "seed {seed}: teacher");
        }
    }

    #[test]
    fn some_parts_show_no_polyp_and_some_do() {
        let (mut sample, zoom) = (sample(64), Augmentation { zoom: 1.0, ..Augmentation::none() });
        let corner = |i: usize| i % 64 < 16 && i / 64 < 16;
        sample.mask.iter_mut().enumerate().for_each(|(i, mask)| *mask = if corner(i) { 255 } else { 0 });
        let shows = |seed| {
            let example =
                changed(std::slice::from_ref(&sample), 32, &zoom, &mut ChaCha8Rng::seed_from_u64(seed));
            // Wherever the part lies, it is picture to its edges, where half a pixel may be missing.
            assert!(example.pixels.iter().all(|value| *value >= 7.0));
            example.target.contains(&1.0)
        };
        let with = (0..60).filter(|seed| shows(*seed)).count();
        assert!((10..50).contains(&with), "{with}");
    }

    #[test]
    fn pixels_stay_what_a_camera_gives() {
        let sample = sample(48);
        for seed in 0..20 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let all = Augmentation {
                dark_edges: 0.5,
                corner: 0.5,
                motion: 0.5,
                compression: 0.5,
                exchange: 0.5,
                ..Augmentation::default()
            };
            let other = Cached { name: "other/0".to_owned(), ..self::sample(48) };
            let example = changed(&[sample.clone(), other], 64, &all, &mut rng);
            assert!(example.pixels.iter().all(|v| (0.0..=255.0).contains(v) && v.fract() == 0.0));
        }
    }

    /// A frame without a polyp gets one of .2 to 3 % of it, in the frame's light, and what it does not cover stays.
    #[test]
    fn a_pasted_polyp_is_small_and_lies_where_the_target_says() {
        let donor = sample(96);
        let free = Cached { mask: vec![0; 96 * 96], pixels: [150, 90, 70].repeat(96 * 96), ..sample(96) };
        let only = Augmentation { paste: 1.0, ..Augmentation::none() };
        let (mut pasted, plane) = (0, 96 * 96);
        for seed in 0..40 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let example = changed(&[free.clone(), donor.clone()], 96, &only, &mut rng);
            let polyp = example.target.iter().filter(|t| **t > 0.5).count();
            if polyp == 0 {
                continue;
            }
            pasted += 1;
            assert!((0.001..0.04).contains(&(polyp as f32 / plane as f32)), "seed {seed}: {polyp}");
            let red = |at: usize| example.pixels[at];
            let mean = |inside: bool| {
                let of = (0..plane).filter(|at| (example.target[*at] > 0.5) == inside).map(red);
                of.clone().sum::<f32>() / of.count() as f32
            };
            // The donor's polyp is brighter than what lies around it, there and here.
            assert!(mean(true) > 1.5 * mean(false), "seed {seed}: {} {}", mean(true), mean(false));
            let changed = (0..plane).filter(|at| (red(*at) - 150.0).abs() > 1.0).count();
            assert!(changed < 6 * polyp + 60, "seed {seed}: {changed} of {polyp}");
        }
        assert!(pasted > 25, "{pasted}");
        // A frame with a polyp gets no second one.
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let example = changed(&[donor.clone(), donor.clone()], 96, &only, &mut rng);
        assert_eq!(example.target, plain(&donor, 96).target);
    }

    #[test]
    fn nothing_is_pasted_over_a_border_and_no_shreds_are() {
        let donor = sample(96);
        let lit = |at: usize| at % 96 >= 40;
        let half = (0..96 * 96).flat_map(|at| if lit(at) { [150, 90, 70] } else { [0, 0, 0] }).collect();
        let free = Cached { mask: vec![0; 96 * 96], pixels: half, ..sample(96) };
        let only = Augmentation { paste: 1.0, ..Augmentation::none() };
        let polyp_of = |samples: &[Cached], seed| {
            let example = changed(samples, 96, &only, &mut ChaCha8Rng::seed_from_u64(seed));
            (0..96 * 96).filter(|at| example.target[*at] > 0.5).collect::<Vec<_>>()
        };
        let samples = [free.clone(), donor.clone()];
        let pasted: Vec<Vec<usize>> =
            (0..60).map(|seed| polyp_of(&samples, seed)).filter(|p| !p.is_empty()).collect();
        assert!(pasted.len() > 20, "{}", pasted.len());
        let over = pasted
            .iter()
            .map(|polyp| polyp.iter().filter(|at| !lit(**at)).count() as f32 / polyp.len() as f32);
        assert!(over.clone().all(|share| share < 0.1), "{:?}", over.collect::<Vec<_>>());
        // Two specks far apart.
        let specks = (0..96 * 96).map(|at| {
            u8::from(
                [(20, 20), (70, 75)]
                    .iter()
                    .any(|(x, y)| (at % 96usize).abs_diff(*x) < 4 && (at / 96usize).abs_diff(*y) < 4),
            ) * 255
        });
        let shreds = Cached { mask: specks.collect(), ..donor };
        assert!((0..20).all(|seed| polyp_of(&[free.clone(), shreds.clone()], seed).is_empty()));
    }

    #[test]
    fn colours_come_from_another_data_set() {
        let named = |name: &str, colour: [u8; 3]| {
            // A spread of ten levels about the colour.
            let pixels = (0..64 * 64).flat_map(|i| colour.map(|value| value + (i % 21) as u8)).collect();
            Cached { name: name.to_owned(), pixels, mask: vec![0; 64 * 64], ..sample(64) }
        };
        let samples =
            [named("red/0", [150, 40, 40]), named("red/1", [90, 90, 90]), named("blue/0", [60, 60, 200])];
        let only = Augmentation { exchange: 1.0, ..Augmentation::none() };
        for seed in 0..20 {
            let example = changed(&samples, 64, &only, &mut ChaCha8Rng::seed_from_u64(seed));
            let mean = |c: usize| example.pixels[c * 4096..][..4096].iter().sum::<f32>() / 4096.0;
            // Three tenths of the way at least, and never beyond.
            assert!((60.0..=133.5).contains(&(mean(0) - 10.0)), "seed {seed}: {}", mean(0));
            assert!((87.5..=200.5).contains(&(mean(2) - 10.0)), "seed {seed}: {}", mean(2));
        }
    }

    #[test]
    fn a_box_hides_what_it_covers() {
        let mut sample = sample(96);
        sample.mask.fill(255);
        let only = Augmentation { corner: 1.0, ..Augmentation::none() };
        let hidden = (0..40).filter(|seed| {
            let example =
                changed(std::slice::from_ref(&sample), 96, &only, &mut ChaCha8Rng::seed_from_u64(*seed));
            let hidden = example.target.iter().filter(|t| **t < 0.5).count();
            assert!(hidden < 96 * 96 / 8, "seed {seed}: {hidden}");
            hidden > 0
        });
        assert!((10..35).contains(&hidden.count()));
    }
}
