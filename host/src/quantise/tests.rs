use std::collections::BTreeMap;

use proptest::prelude::*;

use super::groups::Groups;
use super::range::{Extremes, Histogram, Observer};
use super::refine::{Refined, refine};
use super::statistics::Statistics;
use super::*;
use crate::graph::Tensor4;
use crate::graph::tests::{every_op, random_pixels};

fn frames(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|seed| random_pixels(32, seed)).collect()
}

proptest! {
    #[test]
    fn zero_is_exact_and_the_range_is_covered(low in -50f32..0.0, high in 0f32..50.0, value in -1f32..1.0) {
        prop_assume!(high - low > 1e-3);
        let quantisation = Quantisation::covering(low, high);
        prop_assert_eq!(quantisation.rounded(0.0), 0.0);
        let value = if value < 0.0 { -value * low } else { value * high };
        // Half a step, and up to half a step more at the ends, where the zero point was rounded.
        prop_assert!((quantisation.rounded(value) - value).abs() <= quantisation.scale * 1.001, "{:?}", quantisation);
        prop_assert!(quantisation.floored(value) <= value + quantisation.scale * 0.51);
    }

    #[test]
    fn weights_come_back_within_their_clipping(weights in proptest::collection::vec(-3f32..3.0, 18), bias in -4f32..4.0) {
        let weight = Tensor4 { shape: [2, 1, 3, 3], data: weights };
        let conv = weights::quantise(&weight, &[bias, -bias], 0.02);
        let real = conv.real_weight(weight.shape);
        for (channel, scale) in conv.weight_scales.iter().enumerate() {
            let row = channel * 9..channel * 9 + 9;
            let error: f32 = weight.data[row.clone()].iter().zip(&real.data[row.clone()]).map(|(a, b)| (a - b).powi(2)).sum();
            let largest = weight.data[row].iter().fold(0f32, |m, v| m.max(v.abs()));
            // No worse than plain rounding with the largest weight at 127.
            prop_assert!(error <= 9.0 * (largest / 127.0 / 2.0).powi(2) * 1.001);
            prop_assert!(*scale > 0.0);
        }
        prop_assert!(conv.weight.iter().all(|&w| w >= -127));
        let unit = 0.02 * conv.weight_scales[0];
        prop_assert!((conv.real_bias(0.02)[0] - bias).abs() <= unit * 0.51);
    }
}

#[test]
fn tiny_weights_do_not_overflow_the_bias() {
    let weight = Tensor4 { shape: [2, 1, 1, 1], data: vec![1e-12, 0.0] };
    let conv = weights::quantise(&weight, &[3.0, -2.0], 0.01);
    let bias = conv.real_bias(0.01);
    assert!((bias[0] - 3.0).abs() < 1e-3 && (bias[1] + 2.0).abs() < 1e-3, "{bias:?}");
}

#[test]
fn observers_treat_an_outlier_each_in_its_way() {
    let mut values: Vec<f32> = (0..100_000).map(|i| (i % 1000) as f32 / 1000.0).collect();
    values.push(50.0);
    let mut extremes = Extremes::default();
    extremes.observe(&values);
    let mut histogram = Histogram::new(extremes);
    histogram.observe(&values);
    assert_eq!(histogram.range(Observer::MinMax), (0.0, 50.0));
    let (low, high) = histogram.range(Observer::Percentile(0.001));
    assert!(low == 0.0 && (0.95..1.1).contains(&high), "{high}");
    let (low, high) = histogram.range(Observer::SquaredError);
    // One outlier is worth less than finer steps for all the others, but not nothing.
    assert!(low == 0.0 && (10.0..49.0).contains(&high), "{high}");
    let (low, high) = histogram.range(Observer::Entropy);
    assert!(low == 0.0 && (0.9..49.0).contains(&high), "{high}");
    for name in ["min-max", "squared-error", "percentile-0.001", "entropy"] {
        assert_eq!(name.parse::<Observer>().unwrap().to_string(), name);
    }
    assert!("percentile-0.7".parse::<Observer>().is_err());
}

#[test]
fn scales_are_shared_where_values_pass_unchanged() {
    let graph = every_op(5);
    let statistics = Statistics::gather(&graph, &frames(3)).unwrap();
    let tensors = statistics.quantisations(&graph, Observer::MinMax);
    assert_eq!(tensors.len(), graph.nodes.len() + 1);
    assert_eq!(tensors["input"], Quantisation { scale: 1.0 / 128.0, zero_point: 127 });
    assert_eq!(tensors["pooled"], tensors["stem"]);
    assert_eq!(tensors["up"], tensors["deep"]);
    assert_eq!(tensors["up_more"], tensors["deeper"]);
    assert_eq!(tensors["gate"], Quantisation { scale: 1.0 / 256.0, zero_point: 0 });
    for name in ["stem", "depthwise", "deep", "branch", "mixed"] {
        assert_eq!(tensors[name].zero_point, 0, "{name}");
        assert!(tensors[name].bounds().1 <= 6.0 + 1e-4, "{name}");
    }
    let logits = tensors["logits"].bounds();
    assert!(logits.0 < 0.0 && logits.1 > 0.0);

    let alike = Groups::new(&graph, |_| (0.0, 5.0));
    for name in ["branch", "up", "up_more", "deep", "deeper"] {
        assert_eq!(alike.of(name), alike.of("fused"), "{name}");
    }
    let unlike = Groups::new(&graph, |name| if name == "branch" { (0.0, 0.5) } else { (0.0, 5.0) });
    assert_ne!(unlike.of("branch"), unlike.of("fused"));
    assert_eq!(unlike.of("up"), unlike.of("deep"));
}

#[test]
fn correction_takes_back_the_mean_error() {
    let graph = every_op(6);
    let frames = frames(6);
    let statistics = Statistics::gather(&graph, &frames).unwrap();
    let tensors = statistics.quantisations(&graph, Observer::MinMax);
    let plain = refine(&graph, &tensors, &frames, false).unwrap();
    let corrected = refine(&graph, &tensors, &frames, true).unwrap();
    assert!(plain.corrections.is_empty());
    assert_eq!(corrected.corrections.len(), plain.noise.iter().filter(|noise| noise.op == "Conv").count());
    assert!(plain.probability_error < 1e-3, "{}", plain.probability_error);
    assert!(corrected.probability_error < 1e-3, "{}", corrected.probability_error);
    assert!(corrected.noise.iter().all(|noise| noise.total_db > 10.0), "{:?}", corrected.noise);
    // Bilinear resizing rounds down by half a step; what consumes it gets that back.
    let step = tensors["up"].scale;
    let weight = match &graph.node("mixed").unwrap().op {
        Op::Conv { weight, .. } => weight.clone(),
        _ => unreachable!(),
    };
    let quantised = QuantisedGraph::new(&graph, tensors.clone(), &BTreeMap::new()).unwrap();
    assert_eq!(quantised.convs["mixed"].weight.len(), weight.data.len());
    assert!(corrected.corrections["mixed"].iter().any(|change| change.abs() > 0.01 * step));
}

/// Equalised, a network says the same, and quantised it says it more exactly if its channels lay apart.
#[test]
fn equalising_changes_nothing_but_the_rounding() {
    let mut graph = every_op(8);
    // One channel of "stem" is far lower than the others; "depthwise" makes up for it. Nothing else reads it.
    graph.nodes.retain(|node| node.name != "pooled" && node.name != "skip" && node.name != "sum");
    for node in &mut graph.nodes {
        node.inputs.iter_mut().filter(|input| *input == "sum").for_each(|input| *input = "project".into());
        let Op::Conv { weight, bias, .. } = &mut node.op else { continue };
        match node.name.as_str() {
            "stem" => {
                weight.data[..27].iter_mut().for_each(|w| *w *= 0.01);
                bias[0] = 0.02;
            }
            "depthwise" => weight.data[..25].iter_mut().for_each(|w| *w *= 100.0),
            _ => {}
        }
    }
    let frames = frames(4);
    let peaks = equalise::channel_peaks(&graph, &frames).unwrap();
    let equalisation = equalise::find(&graph, &peaks);
    assert!(equalisation["stem"][0] > 4.0 && !equalisation.contains_key("branch"), "{equalisation:?}");
    let equalised = equalise::apply(&graph, &equalisation);
    let error = |graph: &Graph| {
        let statistics = Statistics::gather(graph, &frames).unwrap();
        refine(graph, &statistics.quantisations(graph, Observer::MinMax), &frames, false).unwrap()
    };
    let (plain, even) = (error(&graph), error(&equalised));
    for (a, b) in plain.float_logits.iter().zip(&even.float_logits) {
        assert!(a.data.iter().zip(&b.data).all(|(a, b)| (a - b).abs() < 1e-3));
    }
    let of = |refined: &Refined, name: &str| {
        refined.noise.iter().find(|noise| noise.node == name).unwrap().total_db
    };
    assert!(of(&even, "depthwise") > of(&plain, "depthwise") + 3.0);
}
