use std::collections::BTreeMap;

use super::evidence::FrameRecord;
use super::*;
use crate::graph::tests::{every_op, random_pixels};
use crate::quantise::range::Observer;
use crate::quantise::refine::refine;

fn frames(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|seed| random_pixels(32, seed)).collect()
}

#[test]
fn a_calibration_comes_back_from_its_folder() {
    let graph = every_op(7);
    let frames = frames(2);
    let statistics = Statistics::gather(&graph, &frames).unwrap();
    let tensors = statistics.quantisations(&graph, Observer::SquaredError);
    let refined = refine(&graph, &tensors, &frames, true).unwrap();
    let decision =
        polyp_edge::bundle::manifest::Decision { threshold: 0.55, min_region_share: 0.004, min_peak: 0.7 };
    let recipe = Recipe {
        format: FORMAT,
        graph_sha256: "0".repeat(64),
        observer: "squared-error".into(),
        bias_correction: true,
        equalised: true,
        seed: 3,
        calibration_frames: 2,
        held_back_polyp_frames: 1,
        held_back_negative_frames: 1,
        decision,
        held_back_dice: 0.8,
        held_back_missed_share: 0.0,
        held_back_negative_share: 0.1,
        held_back_cut_outs: 1,
        gate: None,
        held_back_cut_out_share: 0.4,
        points: BTreeMap::new(),
        curve: Vec::new(),
        tried: BTreeMap::from([("squared-error corrected".into(), refined.probability_error)]),
        calibration_dice: BTreeMap::from([("float".into(), 0.9)]),
    };
    let equalisation = BTreeMap::from([("depthwise".to_owned(), vec![1.5, 2.0])]);
    let calibration = Calibration { recipe, tensors, corrections: refined.corrections, equalisation };
    let record = FrameRecord { name: "a/b".into(), sha256: "1".repeat(64), role: "both".into() };
    let evidence = Evidence {
        frames: &[record],
        extremes: &statistics.extremes,
        noise: &refined.noise,
        sensitivity: &[],
        trials: &[],
        gates: &[],
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calibration");
    evidence::save(&calibration, &path, &evidence).unwrap();
    let back = Calibration::load(&path).unwrap();
    assert_eq!(back.tensors, calibration.tensors);
    assert_eq!(back.corrections, calibration.corrections);
    assert_eq!(back.equalisation, calibration.equalisation);
    assert_eq!(back.recipe.decision, decision);

    std::fs::write(path.join("ranges.csv"), "tensor,seen_low,seen_high,scale,zero_point\na,0,1,nan,0\n")
        .unwrap();
    let error = Calibration::load(&path).unwrap_err();
    assert_eq!(polyp_edge::fault::exit_of(&error), polyp_edge::fault::Exit::Data);
    assert!(error.to_string().contains("ranges.csv"), "{error}");
}

#[test]
fn sensitivity_names_the_layer_that_suffers() {
    let graph = every_op(9);
    let frames = frames(3);
    let mut tensors = Statistics::gather(&graph, &frames).unwrap().quantisations(&graph, Observer::MinMax);
    // A layer with far too coarse a step.
    tensors.get_mut("mixed").unwrap().scale *= 40.0;
    let quantised = QuantisedGraph::new(&graph, tensors, &BTreeMap::new()).unwrap();
    let truth = decision::Truth::Polyp(vec![255; decision::TRUTH_SIDE_PX * decision::TRUTH_SIDE_PX]);
    let rows = sensitivity::sensitivity(&quantised, &frames, &[&truth, &truth, &truth]).unwrap();
    assert_eq!(rows.len(), graph.nodes.len());
    let worst = rows.iter().min_by(|a, b| a.logits_db.total_cmp(&b.logits_db)).unwrap();
    assert_eq!(worst.node, "mixed");
    assert!(rows.iter().all(|row| row.node == "mixed" || row.logits_db > worst.logits_db + 6.0), "{rows:?}");
    let png = sensitivity::draw(&rows).unwrap();
    assert!(
        image::load_from_memory(&png).unwrap().to_rgb8().pixels().filter(|p| p.0 == [0, 110, 120]).count()
            > 100
    );
}
