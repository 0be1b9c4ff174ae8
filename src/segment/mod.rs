//! One frame's way from pixels to polyps: crop → input → network → regions and mask.
//!
//! Whoever needs any part of it uses this one: the pipeline, `replay`, `model`, `cross-check`, `check`, the golden
//! self-test, and `polyp-host` when it calibrates and evaluates. So what is scored is what the cart shows. (`bench` times
//! the engine alone, on pixels that are no picture.)
//!
//! | module | job |
//! |---|---|
//! | [`Input`] | frame → crop → the network's pixels |
//! | [`Network`] | what is run on them: the engine, or what stands in for it |
//! | [`Segmenter`] | all of it, with the decision rules |
//! | [`Golden`] | frames whose masks are known: that the network computes what it should |

mod golden;
mod input;
mod segmenter;

pub use golden::Golden;
pub use input::Input;
pub use segmenter::Segmenter;

use anyhow::Result;

use crate::engine::Engine;

/// A network: `[S, S, 3] u8` RGB in, quantised logits out.
pub trait Network {
    /// Height, width, channels.
    fn input_shape(&self) -> [usize; 3];
    /// Height, width, 1.
    fn output_shape(&self) -> [usize; 3];
    /// Scale and zero point: real logit = scale × (stored − zero point).
    fn output_quantisation(&self) -> (f32, u8);
    /// `input` and `logits` are as long as their shapes say.
    fn run(&mut self, input: &[u8], logits: &mut [u8]) -> Result<()>;
    /// Called in the thread that is going to run it, before it does.
    fn enter_thread(&mut self) {}
}

impl Network for Engine {
    fn input_shape(&self) -> [usize; 3] {
        Engine::input_shape(self)
    }
    fn output_shape(&self) -> [usize; 3] {
        Engine::output_shape(self)
    }
    fn output_quantisation(&self) -> (f32, u8) {
        Engine::output_quantisation(self)
    }
    fn run(&mut self, input: &[u8], logits: &mut [u8]) -> Result<()> {
        Engine::run(self, input, logits)
    }
    fn enter_thread(&mut self) {
        Engine::enter_thread(self);
    }
}
