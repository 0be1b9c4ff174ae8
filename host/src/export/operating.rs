//! What a calibration chose beside the standard rules, for manifest and card.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use polyp_edge::bundle::manifest::{Decision, OperatingPoint, Sensitivity};

use crate::quantise::recipe::{PointTrial, Recipe};

/// For the card: a paragraph with a table each.
pub(super) fn tables(recipe: &Recipe) -> impl Iterator<Item = String> {
    sensitivities(recipe).into_iter().chain(curve(recipe))
}

/// The points beside the standard one that differ from it and have a gate.
pub(super) fn points(recipe: &Recipe) -> BTreeMap<Sensitivity, OperatingPoint> {
    let standard = recipe.standard();
    let differing = recipe.points.iter().filter(|(_, point)| point.decision != standard.decision);
    let usable = differing.filter_map(|(sensitivity, point)| {
        Some((*sensitivity, OperatingPoint { decision: point.decision, gate: point.gate?.gate() }))
    });
    usable.collect()
}

/// For the card: what each sensitivity came to; nothing if there is only one.
fn sensitivities(recipe: &Recipe) -> Option<String> {
    let others = points(recipe);
    if others.is_empty() {
        return None;
    }
    let mut table = "Sensitivities, by held-back frames; alarms are regions that were newly shown in polyp-free video made of stills:\n\n\
                     | sensitivity | lowest peak | smallest region | gate | polyps missed | polyp-free frames marked | alarms a minute | Dice |\n\
                     |---|---|---|---|---|---|---|---|\n"
        .to_owned();
    let standard = recipe.standard();
    let mut all: BTreeMap<Sensitivity, &PointTrial> = recipe
        .points
        .iter()
        .filter(|(name, _)| others.contains_key(name))
        .map(|(name, point)| (*name, point))
        .collect();
    all.insert(Sensitivity::Standard, &standard);
    for (sensitivity, point) in all {
        let Decision { min_peak, min_region_share, .. } = point.decision;
        let (gate, alarms) = point.gate.map_or(("–".to_owned(), "–".to_owned()), |trial| {
            (format!("{} of {}", trial.appear, trial.window), format!("{:.1}", trial.alarms_a_minute))
        });
        let _ = writeln!(
            table,
            "| {sensitivity} | {min_peak} | {min_region_share} | {gate} | {:.1} % | {:.1} % | {alarms} | {:.3} |",
            100.0 * point.missed_share,
            100.0 * point.negative_share,
            point.dice
        );
    }
    Some(table.trim_end().to_owned())
}

/// For the card: what other lowest peaks would come to; nothing of an older calibration.
fn curve(recipe: &Recipe) -> Option<String> {
    if recipe.curve.is_empty() {
        return None;
    }
    let mut table = "Operating curve: what other lowest peaks come to on the same frames, before the gate:\n\n\
                     | lowest peak | polyps missed | polyp-free frames marked | polyp-free parts marked | Dice |\n\
                     |---|---|---|---|---|\n"
        .to_owned();
    for point in &recipe.curve {
        let _ = writeln!(
            table,
            "| {} | {:.1} % | {:.1} % | {:.1} % | {:.3} |",
            point.decision.min_peak,
            100.0 * point.missed_share,
            100.0 * point.negative_share,
            100.0 * point.cut_out_share,
            point.dice
        );
    }
    Some(table.trim_end().to_owned())
}
