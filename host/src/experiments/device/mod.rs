//! Layer by layer, forward and backward: does a device compute what the CPU computes? A whole network's gradients are
//! too ill-conditioned to tell.

pub(crate) mod layers;

use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::device::guard::quietly;
use crate::experiments::device::layers::{Input, Inputs, Layer, LayerKind};

/// Largest differences that pass, as shares of the largest value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bounds {
    /// Largest difference of the outputs.
    pub forward: f32,
    /// Largest difference of the gradients.
    pub backward: f32,
}

impl Bounds {
    const F32: Bounds = Bounds { forward: 1e-4, backward: 1e-3 };
    /// burn's CUDA backend rounds the factors of f32 products to TF32, eleven significant bits, where the GPU has it.
    const TF32: Bounds = Bounds { forward: 2e-3, backward: 4e-3 };

    /// `tf32` says whether the device may round the factors of products.
    fn of(kind: LayerKind, tf32: bool) -> Self {
        match (kind, tf32) {
            (LayerKind::Products, true) => Bounds::TF32,
            _ => Bounds::F32,
        }
    }
}

/// What a comparison found for one layer.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The layer's name.
    pub layer: &'static str,
    /// Largest difference as a share of the largest value; none if the layer failed.
    pub forward: Option<f32>,
    /// The same of the gradients, the worst input's; none for a layer without.
    pub backward: Option<f32>,
    /// The largest differences that pass.
    pub bounds: Bounds,
    /// Seconds on the device, kernels being compiled and chosen.
    pub first_s: f64,
    /// Seconds the second time.
    pub again_s: f64,
    /// Why the layer failed.
    pub fault: Option<String>,
    /// Whether the layer ran and its differences lie within the bounds.
    pub passed: bool,
}

/// Values on the way and gradients of one pass.
struct Pass {
    forward: Vec<f32>,
    gradients: Vec<Vec<f32>>,
}

/// Runs the layer on both devices with the same random values. `tf32` says whether `device` may round factors.
pub(crate) fn compare(layer: &Layer, device: &Device, reference: &Device, tf32: bool) -> Row {
    let bounds = Bounds::of(layer.kind, tf32);
    let mut times = [0.0; 2];
    let outcome = quietly(|| {
        let expected = pass(layer, reference);
        let found = times.each_mut().map(|time| {
            let started = Instant::now();
            let found = pass(layer, device);
            *time = started.elapsed().as_secs_f64();
            found
        });
        let worst = |of: &dyn Fn(&Pass) -> f32| found.iter().map(of).fold(0.0, f32::max);
        let forward = worst(&|found| difference(&found.forward, &expected.forward));
        let gradients = |found: &Pass| {
            let pairs = found.gradients.iter().zip(&expected.gradients);
            pairs.map(|(found, expected)| difference(found, expected)).fold(0.0, f32::max)
        };
        (forward, (layer.kind != LayerKind::Inference).then(|| worst(&gradients)))
    });
    let (forward, backward, fault) = match outcome {
        Ok((forward, backward)) => (Some(forward), backward, None),
        Err(why) => (None, None, Some(why)),
    };
    let within = |found: Option<f32>, bound| found.is_none_or(|found| found <= bound);
    let passed = fault.is_none() && within(forward, bounds.forward) && within(backward, bounds.backward);
    let [first_s, again_s] = times;
    Row { layer: layer.name, forward, backward, bounds, first_s, again_s, fault, passed }
}

fn pass(layer: &Layer, device: &Device) -> Pass {
    let differentiated = layer.kind != LayerKind::Inference;
    let device = if differentiated { device.clone().autodiff() } else { device.clone() };
    let mut rng = ChaCha8Rng::seed_from_u64(layer.name.bytes().map(u64::from).sum());
    let mut draw = |input: &Input| -> Vec<f32> {
        (0..input.shape.iter().product()).map(|_| rng.random_range(input.range.0..input.range.1)).collect()
    };
    let flat = layer.inputs.iter().map(|input| {
        let tensor = tensor(draw(input), &device);
        if differentiated { tensor.require_grad() } else { tensor }
    });
    let inputs = Inputs { flat: flat.collect(), shapes: layer.inputs };
    let out = (layer.compute)(&inputs);
    let forward = values(out.clone());
    if !differentiated {
        return Pass { forward, gradients: Vec::new() };
    }
    // Weights of the outputs in a sum whose gradient is taken: each output's own.
    let weights = (0..forward.len()).map(|_| rng.random_range(-1.0..1.0)).collect();
    let gradients = (out * tensor(weights, &device)).sum().backward();
    let gradients = inputs.flat.iter().map(|input| input.grad(&gradients).map(values).unwrap_or_default());
    Pass { forward, gradients: gradients.collect() }
}

fn tensor(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}

/// Empty where the tensor is not f32, which then differs from everything.
fn values(tensor: Tensor<1>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap_or_default()
}

/// Infinite for other lengths, for nothing at all, and where one is no number.
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    if found.len() != expected.len() || found.is_empty() || found.iter().any(|value| !value.is_finite()) {
        return f32::INFINITY;
    }
    let largest = expected.iter().fold(f32::MIN_POSITIVE, |most, value| most.max(value.abs()));
    found.iter().zip(expected).fold(0.0f32, |most, (a, b)| most.max((a - b).abs())) / largest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments::device::layers::LAYERS;

    #[test]
    fn the_cpu_agrees_with_itself_on_every_layer() {
        let cpu = Device::flex();
        for layer in LAYERS {
            let row = compare(layer, &cpu, &cpu, false);
            assert!(row.passed, "{row:?}");
            let backward = row.backward.unwrap_or(0.0);
            assert!(row.forward.unwrap() < 1e-6 && backward < 1e-6, "{row:?}");
            assert_eq!(row.backward.is_none(), layer.kind == LayerKind::Inference);
        }
    }

    #[test]
    fn layers_have_names_of_their_own() {
        let mut names: Vec<_> = LAYERS.iter().map(|layer| layer.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), LAYERS.len());
    }

    #[test]
    fn a_wrong_layer_is_found_out() {
        use std::sync::atomic::{AtomicU32, Ordering};
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let cpu = Device::flex();
        let mut layer = Layer {
            name: "grows",
            kind: LayerKind::Elementwise,
            inputs: &[Input { shape: &[8], range: (1.0, 2.0) }],
            compute: |inputs| inputs.tensor::<1>(0) * (1 + CALLS.fetch_add(1, Ordering::Relaxed)),
        };
        let row = compare(&layer, &cpu, &cpu, false);
        assert!(!row.passed && row.forward > Some(0.5) && row.backward > Some(0.5), "{row:?}");

        layer.compute = |_| panic!("no such\nkernel");
        let row = compare(&layer, &cpu, &cpu, false);
        assert!(!row.passed && row.fault.as_deref() == Some("no such kernel"), "{row:?}");
    }

    #[test]
    fn what_is_no_number_differs() {
        assert_eq!(difference(&[1.0, 2.5], &[1.0, 2.0]), 0.25);
        assert_eq!(difference(&[f32::NAN], &[1.0]), f32::INFINITY);
        assert_eq!(difference(&[1.0], &[1.0, 1.0]), f32::INFINITY);
        assert_eq!(difference(&[], &[]), f32::INFINITY);
    }
}
