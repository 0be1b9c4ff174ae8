//! Networks in the form that the cart's [`Segmenter`](polyp_edge::segment::Segmenter) takes: the cart's own engine, and a
//! float network in its place.

use std::sync::Arc;

use anyhow::Context;
use polyp_edge::engine::{self, Engine};
use polyp_edge::fault::Fault;
use polyp_edge::segment::Network;
use tract_onnx::prelude::*;

use crate::numeric::planar;

/// The cart's engine with the bytes of an int8 ONNX file.
pub fn cart_engine(onnx: &[u8]) -> anyhow::Result<Engine> {
    Engine::from_onnx(onnx, &engine::Options::default())
}

/// What a network makes of pixels `[S, S, 3] u8`: its quantised logits.
pub fn logits(network: &mut impl Network, pixels: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut logits = vec![0; network.output_shape().iter().product()];
    network.run(pixels, &mut logits)?;
    Ok(logits)
}

/// A float ONNX file through tract. Its logits are rounded to 255 steps within ±8, so that the same detector reads them.
pub struct Float {
    plan: Arc<TypedRunnableModel>,
    side: usize,
    output: [usize; 3],
}

impl Float {
    const LARGEST_LOGIT: f32 = 8.0;
    const ZERO_POINT: u8 = 127;
    const SCALE: f32 = Self::LARGEST_LOGIT / 127.0;

    /// Loads a float ONNX file, pixels `[1, 3, S, S] u8` → logits `[1, 1, H, W] f32`; any other is exit code 65.
    pub fn new(onnx: &[u8]) -> anyhow::Result<Self> {
        let wrong = |error: TractError| Fault::data(format!("float ONNX: {error:#}"));
        let model = tract_onnx::onnx().model_for_read(&mut &*onnx).map_err(wrong)?;
        let model = model.into_optimized().map_err(wrong)?;
        let (input, output) = (model.input_fact(0).map_err(wrong)?, model.output_fact(0).map_err(wrong)?);
        let types = (input.datum_type, output.datum_type) == (u8::datum_type(), f32::datum_type());
        let (side, output) = match (input.shape.as_concrete(), output.shape.as_concrete()) {
            (Some(&[1, 3, side, width]), Some(&[1, 1, rows, columns])) if side == width && types => {
                (side, [rows, columns, 1])
            }
            _ => {
                return Err(Fault::data(format!(
                    "float ONNX: {input:?} → {output:?} is not pixels [1, 3, S, S] u8 → logits [1, 1, H, W] f32"
                )));
            }
        };
        Ok(Float { plan: model.into_runnable().map_err(wrong)?, side, output })
    }

    /// The logits as the file gives them.
    pub fn logits(&self, pixels: &[u8]) -> anyhow::Result<Vec<f32>> {
        let planes: Vec<u8> = planar(pixels).collect();
        let input = Tensor::from_shape(&[1, 3, self.side, self.side], &planes)?;
        let outputs = self.plan.run(tvec!(input.into()))?;
        let logits = outputs.first().context("the float network gave no output")?;
        Ok(logits.to_plain_array_view::<f32>()?.iter().copied().collect())
    }
}

impl Network for Float {
    fn input_shape(&self) -> [usize; 3] {
        [self.side, self.side, 3]
    }
    fn output_shape(&self) -> [usize; 3] {
        self.output
    }
    fn output_quantisation(&self) -> (f32, u8) {
        (Self::SCALE, Self::ZERO_POINT)
    }
    fn run(&mut self, pixels: &[u8], logits: &mut [u8]) -> anyhow::Result<()> {
        let steps = |logit: f32| (logit / Self::SCALE).round_ties_even() + f32::from(Self::ZERO_POINT);
        for (stored, logit) in logits.iter_mut().zip(self.logits(pixels)?) {
            *stored = steps(logit).clamp(0.0, 255.0) as u8;
        }
        Ok(())
    }
}
