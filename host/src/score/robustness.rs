//! Frames as they are and as carts see them, scored.

use anyhow::{Context, Result};
use polyp_edge::bundle::digest;
use polyp_edge::bundle::manifest::Decision;
use polyp_edge::field_of_view::Rule;

use crate::data::disturb::{Disturbance, SEVERITIES};
use crate::data::lists::Sample;
use crate::data::usable;
use polyp_edge::segment::Network;

use crate::measures::overlap::FrameScore;
use crate::parallel::{in_parallel, progress_bar};
use crate::score::lists::Scorer;

/// A frame as it is, or disturbed in a severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disturbed(pub Option<(Disturbance, usize)>);

impl Disturbed {
    /// As it is, then every disturbance in every severity.
    pub fn all() -> Vec<Disturbed> {
        let severities = |kind| (1..=SEVERITIES).map(move |severity| Disturbed(Some((kind, severity))));
        std::iter::once(Disturbed(None)).chain(Disturbance::ALL.into_iter().flat_map(severities)).collect()
    }

    /// As it is, then every disturbance in one severity.
    pub fn at(severity: usize) -> Vec<Disturbed> {
        let kinds = Disturbance::ALL.into_iter().map(|kind| Disturbed(Some((kind, severity))));
        std::iter::once(Disturbed(None)).chain(kinds).collect()
    }
}

/// For each job, each sample's score. A frame is disturbed alike whenever and by whomever it is asked for with one `seed`.
#[expect(clippy::too_many_arguments)]
pub fn disturbed_scores<N: Network>(
    label: &str,
    samples: &[Sample],
    jobs: &[Disturbed],
    seed: u64,
    threads: usize,
    make: impl Fn() -> Result<N> + Sync,
    decision: &Decision,
    rule: Rule,
) -> Result<Vec<Vec<FrameScore>>> {
    let bar = progress_bar(label, samples.len());
    let seed_of = |sample: &Sample| {
        let digits = digest(sample.name.as_bytes());
        seed ^ u64::from_str_radix(&digits[..16], 16).unwrap_or(0)
    };
    let scores: Vec<Result<Vec<FrameScore>>> = in_parallel(
        samples,
        threads,
        || Scorer::new(make()?, decision, rule),
        |scorer, sample| {
            bar.inc(1);
            let mut all = || -> Result<Vec<FrameScore>> {
                let frame = sample.read_image()?;
                let truth = sample.read_mask(frame.width_px(), frame.height_px())?;
                let each = jobs.iter().map(|job| match job.0 {
                    None => scorer.score_frame(&frame, &truth),
                    Some((kind, severity)) => {
                        let disturbed = kind.apply(&frame, severity, seed_of(sample))?;
                        scorer.score_frame(&disturbed, &truth)
                    }
                });
                each.collect()
            };
            Ok(all().with_context(|| sample.name.clone()))
        },
    )?;
    bar.finish_and_clear();
    let scores = usable::all(scores)?;
    Ok((0..jobs.len()).map(|job| scores.iter().map(|of_sample| of_sample[job]).collect()).collect())
}
