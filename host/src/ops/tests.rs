//! The extensions against burn's own operations, forward and backward.

use burn::tensor::module::conv2d as burn_conv2d;
use burn::tensor::ops::{ConvOptions, PadMode};
use burn::tensor::{Device, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::numeric::FLOOR_MARGIN;

fn device() -> Device {
    Device::flex().autodiff()
}

/// Values in -1..1, the same in every run: those beside a tie or a sum near zero fail one run in a hundred.
struct Values(ChaCha8Rng);

impl Values {
    fn new() -> Self {
        Values(ChaCha8Rng::seed_from_u64(1))
    }

    fn next<const D: usize>(&mut self, shape: [usize; D]) -> Tensor<D> {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| self.0.random_range(-1.0..1.0)).collect();
        Tensor::from_data(TensorData::new(values, shape), &device())
    }

    fn learnable<const D: usize>(&mut self, shape: [usize; D]) -> Tensor<D> {
        self.next(shape).require_grad()
    }
}

/// Largest difference as a share of the largest value.
fn difference<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> f32 {
    let (a, b) = (a.to_data().try_to_vec::<f32>().unwrap(), b.to_data().try_to_vec::<f32>().unwrap());
    assert_eq!(a.len(), b.len());
    let scale = b.iter().fold(1e-6f32, |m, v| m.max(v.abs()));
    a.iter().zip(&b).fold(0.0f32, |m, (a, b)| m.max((a - b).abs())) / scale
}

fn check_conv(values: &mut Values, x: [usize; 4], filters: usize, kernel: usize, attributes: ConvAttributes) {
    let weight = values.learnable([filters, x[1] / attributes.groups, kernel, kernel]);
    let x = values.learnable(x);
    let [top, left, bottom, right] = attributes.pads;
    let ours = conv2d(x.clone(), weight.clone(), attributes);
    let padded = x.clone().pad((left, right, top, bottom), PadMode::Constant(0.0));
    let stride = [attributes.stride; 2];
    let options = ConvOptions::new(stride, [0, 0], [1, 1], attributes.groups);
    let theirs = burn_conv2d(padded, weight.clone(), None, options);
    let probe = values.next(ours.dims());
    assert!(difference(&ours, &theirs) < 1e-5, "forward of {attributes:?}");

    let ours = (ours * probe.clone()).sum().backward();
    let theirs = (theirs * probe).sum().backward();
    let dx = difference(&x.grad(&ours).unwrap(), &x.grad(&theirs).unwrap());
    let dw = difference(&weight.grad(&ours).unwrap(), &weight.grad(&theirs).unwrap());
    assert!(dx < 1e-5 && dw < 1e-5, "gradients of {attributes:?}: {dx} {dw}");
}

#[test]
fn convolutions_agree_with_burn() {
    let values = &mut Values::new();
    let a = |stride, pads, groups| ConvAttributes { stride, pads, groups };
    check_conv(values, [3, 20, 7, 9], 13, 1, a(1, [0; 4], 1));
    for pads in [[0, 0, 1, 1], [1, 1, 1, 1], [1, 0, 1, 2]] {
        check_conv(values, [2, 3, 14, 17], 5, 3, a(2, pads, 1));
        check_conv(values, [2, 6, 12, 37], 6, 3, a(2, pads, 6));
        check_conv(values, [2, 6, 12, 37], 6, 3, a(1, pads, 6));
    }
    for stride in [1, 2] {
        check_conv(values, [3, 5, 15, 8], 5, 5, a(stride, [2, 2, 2, 2], 5));
        check_conv(values, [1, 5, 16, 40], 5, 5, a(stride, [1, 1, 2, 2], 5));
    }
    check_conv(values, [2, 7, 9, 11], 4, 3, a(1, [1, 1, 1, 1], 1));
}

#[test]
fn batch_norm_agrees_with_its_composition() {
    let values = &mut Values::new();
    for relu6 in [false, true] {
        let attributes = NormAttributes { eps: 1e-3, relu6 };
        let x = values.learnable([4, 5, 6, 7]);
        let gamma = (values.next([5]) * 4.0 + 5.0).require_grad();
        let beta = (values.next([5]) + 2.0).require_grad();
        let statistics = batch_statistics(x.clone());
        let ours = batch_norm(x.clone(), statistics, gamma.clone(), beta.clone(), attributes);

        let mean = x.clone().mean_dims(&[0, 2, 3]);
        let centred = x.clone() - mean;
        let variance = centred.clone().square().mean_dims(&[0, 2, 3]);
        let normalised = centred / (variance + 1e-3).sqrt();
        let mut theirs =
            normalised * gamma.clone().reshape([1, 5, 1, 1]) + beta.clone().reshape([1, 5, 1, 1]);
        if relu6 {
            theirs = theirs.clamp(0.0, 6.0);
        }
        assert!(difference(&ours, &theirs) < 1e-5);

        let probe = values.next(ours.dims());
        let ours = (ours * probe.clone()).sum().backward();
        let theirs = (theirs * probe).sum().backward();
        assert!(difference(&x.grad(&ours).unwrap(), &x.grad(&theirs).unwrap()) < 1e-4);
        assert!(difference(&gamma.grad(&ours).unwrap(), &gamma.grad(&theirs).unwrap()) < 1e-4);
        assert!(difference(&beta.grad(&ours).unwrap(), &beta.grad(&theirs).unwrap()) < 1e-4);
    }
}

/// [`store`] from burn's own operations.
fn composition(x: Tensor<4>, bias: Tensor<1>, step: Tensor<1>, storing: Storing) -> Tensor<4> {
    let (channels, zero_point) = (x.dims()[1], f32::from(storing.zero_point));
    let step = step.reshape([1, 1, 1, 1]);
    let inside =
        ((x + bias.reshape([1, channels, 1, 1])) / step.clone()).clamp(-zero_point, 255.0 - zero_point);
    let exact = inside.clone().detach();
    let stored = if storing.floors { (exact.clone() + FLOOR_MARGIN).floor() } else { exact.clone().round() };
    (inside + (stored - exact)) * step
}

/// Rounding as [`crate::quantise::Quantisation`] does it; gradients as the composition of burn's own operations.
#[test]
fn storing_is_quantising_and_its_gradients_are_those_of_its_composition() {
    let values = &mut Values::new();
    for (zero_point, floors) in [(0, false), (131, false), (90, true), (255, false)] {
        let storing = Storing { zero_point, floors };
        let (x, bias) = (values.learnable([3, 5, 6, 7]), values.learnable([5]));
        let step = Tensor::<1>::from_data([0.0061f32], &device()).require_grad();
        let ours = store(x.clone(), bias.clone(), step.clone(), storing);
        let quantisation = crate::quantise::Quantisation { scale: 0.0061, zero_point };
        let sum = (x.clone() + bias.clone().reshape([1, 5, 1, 1])).into_data().try_to_vec::<f32>().unwrap();
        let stored = ours.to_data().try_to_vec::<f32>().unwrap();
        for (value, stored) in sum.iter().zip(&stored) {
            let expected = if floors { quantisation.floored(*value) } else { quantisation.rounded(*value) };
            assert!((stored - expected).abs() < 1e-6, "{storing:?}: {value} {stored} {expected}");
        }
        let theirs = composition(x.clone(), bias.clone(), step.clone(), storing);
        assert!(difference(&ours, &theirs) < 1e-5);
        let probe = values.next(ours.dims());
        // The sum towards the step may come out near zero; its rounding errors are shares of the terms' sizes.
        let sizes: f32 = (ours.clone() * probe.clone()).abs().sum().into_scalar();
        let ours = (ours * probe.clone()).sum().backward();
        let theirs = (theirs * probe).sum().backward();
        assert!(difference(&x.grad(&ours).unwrap(), &x.grad(&theirs).unwrap()) < 1e-5);
        assert!(difference(&bias.grad(&ours).unwrap(), &bias.grad(&theirs).unwrap()) < 1e-4);
        let apart: f32 = (step.grad(&ours).unwrap() - step.grad(&theirs).unwrap()).into_scalar();
        assert!(apart.abs() < 1e-6 * sizes / 0.0061, "{storing:?}: {apart} of {sizes}");
    }
}
