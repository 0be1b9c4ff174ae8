//! Seconds of video made of held-back frames, as the network sees them.

use polyp_edge::bundle::manifest::Decision;
use polyp_edge::detect::Regions;
use polyp_edge::field_of_view::{Rule, Sequence};
use polyp_edge::segment::Segmenter;
use rand::SeedableRng;
use rand::seq::SliceRandom;

use super::drift::{self, Drift};
use super::gate::{Clip, ClipKind};
use super::held_back::HeldBack;
use crate::model::cart::cart_engine;
use crate::parallel::{in_parallel, progress_bar};

/// Runs the cart's engine on what a drifting camera sees of frames, as many of each kind.
pub(super) fn clips<'a>(
    model: &[u8],
    frames: impl Iterator<Item = &'a HeldBack>,
    decision: &Decision,
    count: usize,
    seed: u64,
    threads: usize,
) -> anyhow::Result<Vec<Clip>> {
    let mut stills = Vec::new();
    for frame in frames {
        let kind = if frame.polyp.is_some() { ClipKind::Polyp } else { ClipKind::Negative };
        stills.push((kind, frame.set(), &frame.pixels, frame.polyp));
        stills.extend(frame.cut_out.as_ref().map(|cut_out| (ClipKind::CutOut, frame.set(), cut_out, None)));
    }
    stills.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(seed));
    let mut chosen = Vec::new();
    for kind in [ClipKind::Polyp, ClipKind::Negative, ClipKind::CutOut] {
        chosen.extend(stills.iter().filter(|(of, ..)| *of == kind).take(count).copied().zip(seed..));
    }
    let bar = progress_bar("temporal gate", chosen.len());
    let clips = in_parallel(
        &chosen,
        threads,
        || Segmenter::with(cart_engine(model)?, decision, Rule::WholeFrame, Sequence::Stills),
        |segmenter, ((kind, set, still, polyp), seed)| {
            let side = segmenter.side();
            let drift = Drift::new(*seed);
            let mut frames = Vec::with_capacity(drift::FRAMES);
            for number in 0..drift::FRAMES {
                let view = drift.view(number);
                segmenter.look_at(&view.pixels(still, side))?;
                let mut regions = Regions::default();
                segmenter.regions_into(&mut regions)?;
                frames.push((regions.list, polyp.and_then(|polyp| view.bounds(&polyp, side))));
            }
            bar.inc(1);
            Ok(Clip { set: (*set).to_owned(), kind: *kind, frames })
        },
    );
    bar.finish_and_clear();
    clips
}
