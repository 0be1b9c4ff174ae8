//! Gradients against finite differences, for what a transformer brings.

use burn::tensor::{Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::net::encoder::hiera::{Hiera, MINI};
use crate::net::encoder::{self, AnyEncoder, Encoder, EncoderKind};
use crate::net::forward::{Forward, Pass, Resident};
use crate::net::parameters::Array;
use crate::net::prompts::{Form, Prompts};
use crate::net::resize::resize;
use crate::net::shapes::Shapes;
use crate::numeric::Resize;

/// Walks a network and checks `Σ output · probe` differentiated towards its parameters and its input, each along random
/// directions: `(f(x + εd) − f(x − εd)) / 2ε` in f64 against `⟨gradient, d⟩`.
fn check(
    name: &str,
    input: [usize; 4],
    network: impl Fn(&mut Forward, &Tensor<4>) -> Tensor<4>,
    shapes: &Shapes,
) {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let parameters = shapes.fresh(&mut rng, |_| true);
    // Not what layers begin with: zeros would hide what lies behind them.
    let mut draw = |array: &Array| {
        let values = array.values.iter().map(|v| v + rng.random_range(-0.3..0.3)).collect();
        Array { shape: array.shape.clone(), values }
    };
    let mut parameters =
        Parameters(parameters.0.iter().map(|(name, array)| (name.clone(), draw(array))).collect());
    parameters.0.insert("x".to_owned(), draw(&Array::zeros(&input)));
    fn run<'a>(parameters: &'a Parameters, input: [usize; 4], pass: Pass) -> (Forward<'a>, Tensor<4>) {
        let net = Forward::new(parameters, None, &Device::flex(), pass);
        let x = net.tensor(parameters.get("x").values.clone(), input);
        let x = if pass == Pass::Training { net.leaf(x) } else { x };
        (net, x)
    }
    let (mut net, x) = run(&parameters, input, Pass::Training);
    let out = network(&mut net, &x);
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let count: usize = out.dims().iter().product();
    let probe: Vec<f32> = (0..count).map(|_| rng.random_range(-1.0..1.0)).collect();
    let dims = out.dims();
    let found = (out * net.tensor(probe.clone(), dims)).sum().backward();
    let mut gradients = net.gradients(&found);
    let towards_x = x.grad(&found).unwrap().into_data().try_to_vec::<f32>().unwrap();
    gradients.0.insert("x".to_owned(), Array { shape: input.to_vec(), values: towards_x });
    let value = |parameters: &Parameters| -> f64 {
        let (mut net, x) = run(parameters, input, Pass::Batch);
        let out = network(&mut net, &x).into_data().try_to_vec::<f32>().unwrap();
        out.iter().zip(&probe).map(|(a, b)| *a as f64 * *b as f64).sum()
    };
    for (layer, gradient) in &gradients.0 {
        let norm = gradient.values.iter().map(|g| (*g as f64).powi(2)).sum::<f64>().sqrt();
        // Along the gradient itself the difference is largest, and rounding least.
        let direction: Vec<f32> = if norm > 0.0 {
            gradient.values.iter().map(|g| *g / norm as f32).collect()
        } else {
            panic!("{name}: {layer} gets no gradient")
        };
        let moved = |by: f32| {
            let mut moved = parameters.clone();
            let values = &mut moved.0.get_mut(layer).unwrap().values;
            values.iter_mut().zip(&direction).for_each(|(v, d)| *v += by * d);
            value(&moved)
        };
        let difference = |by: f32| (moved(by) - moved(-by)) / (2.0 * by as f64);
        // Kinks of a maximum and rounding spoil one step width or the other.
        let off = [0.03, 0.01, 0.003].map(|by| (difference(by) - norm).abs() / norm);
        let least = off.into_iter().fold(f64::MAX, f64::min);
        assert!(least < 0.01, "{name}: {layer}: off by {off:?} of {norm}");
    }
    assert!(gradients.0.len() > shapes.shapes().count(), "{name}: not every parameter has a gradient");
}

fn walked(input: [usize; 3], network: impl Fn(&mut Shapes, &[usize; 3])) -> Shapes {
    let mut shapes = Shapes::default();
    network(&mut shapes, &input);
    shapes
}

#[test]
fn prompts() {
    for form in [Form::Adapter, Form::HighFrequency] {
        let prompts = Prompts { form, width: 5, ..Prompts::default() };
        // Two blocks of a stage, which share what high-frequency prompts share.
        fn both<N: TokenNet>(prompts: &Prompts, net: &mut N, picture: &N::Value) -> N::Value {
            let spec = PatchSpec { filters: 6, kernel: 7, stride: 4, pad: 3 };
            let tokens = net.patches("embed", picture, spec);
            let tokens = prompts.apply(net, 0, 0, picture, &tokens);
            prompts.apply(net, 1, 0, picture, &tokens)
        }
        let shapes = walked([3, 16, 16], |net, x| {
            both(&prompts, net, x);
        });
        check(&format!("{form:?}"), [1, 3, 16, 16], |net, x| both(&prompts, net, x), &shapes);
    }
}

#[test]
fn prompts_change_nothing_at_first_unless_asked_to() {
    let device = Device::flex();
    for form in [Form::Adapter, Form::HighFrequency] {
        for identity_start in [true, false] {
            let prompts = Prompts { form, identity_start, blocks: vec![1, 3], ..Prompts::default() };
            let plain = Hiera::new(MINI, Prompts::none()).unwrap();
            let prompted = Hiera::new(MINI, prompts).unwrap();
            let shapes = walked([3, 64, 64], |net, x| {
                encoder::encode(&prompted, net, x);
            });
            let parameters = shapes.fresh(&mut ChaCha8Rng::seed_from_u64(1), |_| true);
            let placed = |block: usize| {
                parameters.0.keys().any(|name| name.starts_with(&format!("prompt.blocks.{block}.")))
            };
            assert_eq!([0, 1, 2, 3, 4].map(placed), [false, true, false, true, false]);
            let pixels: Vec<f32> = (0..3 * 64 * 64).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
            let run = |encoder: &Hiera| {
                let mut net = Forward::inference(&parameters, &device);
                let input = net.tensor(pixels.clone(), [1, 3, 64, 64]);
                encoder::encode(encoder, &mut net, &input).pop().unwrap().into_data()
            };
            let same =
                run(&plain).try_to_vec::<f32>().unwrap() == run(&prompted).try_to_vec::<f32>().unwrap();
            assert_eq!(same, identity_start, "{form:?}");
        }
    }
}

#[test]
fn attention_in_padded_windows() {
    for (pool, window) in [(false, Some(4)), (true, Some(4)), (false, None), (true, None)] {
        fn block<N: TokenNet>(net: &mut N, x: &N::Value, spec: AttentionSpec) -> N::Value {
            // 6 × 6 tokens: windows of 4 need padding.
            let tokens = net.patches("embed", x, PatchSpec { filters: 8, kernel: 3, stride: 1, pad: 1 });
            let normed = net.layer_norm("norm", &tokens, 1e-6);
            let side = if spec.window.is_some() { 8 } else { 6 };
            let padded = net.pad(&normed, side, side);
            let qkv = net.linear("qkv", &padded, 24, true);
            let out = net.attention(&qkv, spec);
            let kept = if spec.pool { 3 } else { 6 };
            let out = net.crop(&out, kept, kept);
            net.gelu(&out)
        }
        let spec = AttentionSpec { heads: 2, window, pool };
        let shapes = walked([3, 6, 6], |net, x| {
            block(net, x, spec);
        });
        check(&format!("{spec:?}"), [2, 3, 6, 6], |net, x| block(net, x, spec), &shapes);
    }
}

#[test]
fn attention_with_a_bias_for_each_offset() {
    fn block<N: TokenNet>(net: &mut N, x: &N::Value) -> N::Value {
        let tokens = net.tokens(x);
        let padded = net.pad(&tokens, 6, 6);
        let normed = net.layer_norm("norm", &padded, 1e-5);
        let qkv = net.linear("qkv", &normed, 18, true);
        let out = net.offset_attention("attn", &qkv, 2, 3);
        let out = net.crop(&out, 4, 5);
        net.gelu(&out)
    }
    let shapes = walked([6, 4, 5], |net, x| {
        block(net, x);
    });
    assert!(shapes.shapes().any(|(name, shape)| name == "attn.attention_biases" && shape == [2, 9]));
    check("offset attention", [2, 6, 4, 5], |net, x| block(net, x), &shapes);
}

#[test]
fn resizing_and_the_position_embedding() {
    for (method, size) in [(Resize::Bilinear, [9, 10]), (Resize::Bicubic, [9, 10]), (Resize::Bicubic, [3, 2])]
    {
        check(
            &format!("{method:?}"),
            [1, 2, 5, 4],
            |_, x| resize(x.clone(), size, method),
            &Shapes::default(),
        );
    }
    fn embedded<N: TokenNet>(net: &mut N, x: &N::Value) -> N::Value {
        let tokens = net.patches("embed", x, PatchSpec { filters: 4, kernel: 3, stride: 1, pad: 1 });
        net.position("", &tokens, PositionSpec { background: [3, 3], window: 4 })
    }
    let shapes = walked([3, 8, 8], |net, x| {
        embedded(net, x);
    });
    check("position", [1, 3, 8, 8], |net, x| embedded(net, x), &shapes);
}

#[test]
fn whole_encoders_with_prompts_where_the_encoder_is_frozen() {
    for kind in [EncoderKind::HieraMini, EncoderKind::TinyVitMini] {
        let prompts = Prompts { width: 4, identity_start: false, ..Prompts::default() };
        only_prompts_learn(&kind.build(1.0, &prompts).unwrap());
    }
}

fn only_prompts_learn(encoder: &AnyEncoder) {
    let shapes = walked([3, 64, 64], |net, x| {
        encoder::encode(encoder, net, x);
    });
    let device = Device::flex();
    let all = shapes.fresh(&mut ChaCha8Rng::seed_from_u64(2), |_| true);
    let (frozen, learned): (Vec<_>, Vec<_>) =
        all.0.into_iter().partition(|(name, _)| encoder::is_encoders(name));
    let resident = Resident::upload(&Parameters(frozen.into_iter().collect()), &device);
    let learned = Parameters(learned.into_iter().collect());
    let mut net = Forward::new(&learned, Some(&resident), &device, Pass::Training);
    let input =
        net.tensor((0..3 * 64 * 64).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect(), [1, 3, 64, 64]);
    let features = encoder::encode(encoder, &mut net, &input);
    assert_eq!(encoder.taps().len(), features.len());
    let sum = features.into_iter().map(|f| f.square().mean()).reduce(|a, b| a + b).unwrap();
    let gradients = net.gradients(&sum.backward());
    let names: Vec<&String> = gradients.0.keys().collect();
    assert_eq!(names, learned.0.keys().collect::<Vec<_>>());
    assert!(gradients.0.values().all(|g| g.values.iter().any(|v| *v != 0.0)));
}
