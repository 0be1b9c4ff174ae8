//! The held-back frames of a calibration, and what the network makes of them.

use std::borrow::Cow;

use polyp_edge::field_of_view::{Locator, Rule, Sequence};
use polyp_edge::segment::Input;
use rand::SeedableRng;
use rand::seq::SliceRandom;

use super::decision::{Output, Seen, Truth};
use super::evidence::FrameRecord;
use super::held_back::{self, HeldBack};
use crate::data::disturb::disguise;
use crate::data::lists::Sample;
use crate::data::usable;
use crate::model::cart::{cart_engine, logits};
use crate::parallel::{in_parallel, progress_bar};

/// Brings frames to the network's input as the cart does.
pub(super) fn prepare(
    label: &str,
    samples: &[Sample],
    side: usize,
    threads: usize,
    machine_masks: &[String],
) -> anyhow::Result<Vec<HeldBack>> {
    let bar = progress_bar(label, samples.len());
    let frames = in_parallel(
        samples,
        threads,
        || Ok(Input::new(side, Locator::new(Rule::Find, Sequence::Stills))),
        |input, sample| {
            bar.inc(1);
            let is_truth = !machine_masks.iter().any(|set| set == sample.set());
            Ok(held_back::prepare(sample, is_truth, input))
        },
    );
    bar.finish_and_clear();
    usable::all(frames?)
}

/// Frames for the ranges: a quarter without polyps, or as many as there are.
pub(super) fn draw<'a>(
    polyps: &'a [HeldBack],
    negatives: &'a [HeldBack],
    count: usize,
    seed: u64,
) -> Vec<&'a HeldBack> {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut take = |frames: &'a [HeldBack], count: usize| {
        let mut order: Vec<&HeldBack> = frames.iter().collect();
        order.shuffle(&mut random);
        order.truncate(count.max(1));
        order
    };
    let mut chosen = take(negatives, count / 4);
    chosen.extend(take(polyps, count.saturating_sub(chosen.len())));
    chosen
}

/// Runs the cart's engine on every frame, on a disturbed copy of each with a polyp, and on the cut-outs.
pub(super) fn look<'a>(
    model: &[u8],
    frames: impl Iterator<Item = &'a HeldBack>,
    seed: u64,
    threads: usize,
) -> anyhow::Result<(Vec<Seen>, Output)> {
    let cart = cart_engine(model)?;
    let (scale, zero_point) = cart.output_quantisation();
    let output = Output { shape: cart.output_shape(), scale, zero_point };
    let side = cart.input_shape()[0];
    drop(cart);
    let mut pictures = Vec::new();
    for (number, frame) in frames.enumerate() {
        pictures.push((frame.set(), Cow::Borrowed(&frame.pixels), frame.truth.clone()));
        if frame.polyp.is_some() {
            let disturbed = disguise(&frame.pixels, side, seed + number as u64);
            pictures.push((frame.set(), Cow::Owned(disturbed), frame.truth.clone()));
        }
        let cut_out = frame.cut_out.as_ref();
        pictures.extend(cut_out.map(|cut_out| (frame.set(), Cow::Borrowed(cut_out), Truth::CutOut)));
    }
    let bar = progress_bar("decision rules", pictures.len());
    let seen = in_parallel(
        &pictures,
        threads,
        || cart_engine(model),
        |cart, (set, pixels, truth)| {
            let logits = logits(cart, pixels)?;
            bar.inc(1);
            Ok(Seen { set: (*set).to_owned(), logits, truth: truth.clone() })
        },
    );
    bar.finish_and_clear();
    Ok((seen?, output))
}

/// One record a frame, by name.
pub(super) fn records<'a>(
    calibration: &[&HeldBack],
    all: impl Iterator<Item = &'a HeldBack>,
) -> Vec<FrameRecord> {
    let mut records: Vec<FrameRecord> = all
        .map(|frame| {
            let both = calibration.iter().any(|chosen| chosen.name == frame.name);
            let role = if both { "both" } else { "decision" };
            FrameRecord { name: frame.name.clone(), sha256: frame.sha256.clone(), role: role.into() }
        })
        .collect();
    records.sort_by(|a, b| a.name.cmp(&b.name));
    records
}
