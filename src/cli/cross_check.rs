//! `cross-check`: the int8 engine against tract's own float ops, on the same file.

use std::path::PathBuf;

use crate::bundle::Bundle;
use crate::engine::float::FloatTwin;
use crate::engine::{Engine, Options};
use crate::fault::{Exit, Fault};

/// Compares the int8 engine with tract's own float ops on a bundle's model.
#[derive(clap::Args)]
pub struct Arguments {
    /// The bundle's folder.
    #[arg(long, value_name = "BUNDLE")]
    model: Option<PathBuf>,
    /// Source of frames, as for `replay` [default: synthetic:seed=7,size=640x480]. The bundle's folder may be given before
    /// it instead of --model BUNDLE.
    #[arg(value_name = "SOURCE", num_args = 0..=2, required_unless_present = "model")]
    words: Vec<String>,
    /// The largest number of frames to compare.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    frames: u16,
    /// Limit for the mean difference of logits, in quantisation steps of the output. The exit code is 1 unless the
    /// difference is below it.
    #[arg(long, default_value_t = 2.0, value_name = "STEPS")]
    limit: f64,
    /// Kernel set; the best that this machine supports if not given.
    #[arg(long, value_name = "NAME")]
    kernels: Option<String>,
    /// Print JSON on standard output.
    #[arg(long)]
    json: bool,
}

/// Without another source.
const SOURCE: &str = "synthetic:seed=7,size=640x480";

#[derive(serde::Serialize)]
struct CrossCheckReport<'a> {
    schema: u32,
    name: &'a str,
    model_version: &'a str,
    kernels: &'a str,
    frames: u32,
    /// Logits that are the same, of 1.
    same: f64,
    /// |difference| in the output's steps.
    mean_steps: f64,
    most_steps: u8,
    /// Pixels on the same side of the bundle's threshold, of 1.
    same_side: f64,
}

impl Arguments {
    /// The bundle's folder and the source.
    fn bundle_and_source(&self) -> anyhow::Result<(PathBuf, &str)> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        match (&self.model, words.as_slice()) {
            (Some(bundle), []) => Ok((bundle.clone(), SOURCE)),
            (Some(bundle), [source]) => Ok((bundle.clone(), source)),
            (None, [bundle]) => Ok((bundle.into(), SOURCE)),
            (None, [bundle, source]) => Ok((bundle.into(), source)),
            (None, _) => Err(Fault::usage("no bundle given; use --model BUNDLE")),
            (Some(_), [_, other, ..]) => Err(Fault::usage(format!(
                "unexpected argument {other}: with --model BUNDLE, give at most a source"
            ))),
        }
    }
}

#[expect(clippy::too_many_lines, reason = "a verb from its arguments to its report")]
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (bundle, source) = arguments.bundle_and_source()?;
    let bundle = Bundle::open(&bundle)?;
    let options = Options { kernels: arguments.kernels.clone(), ..Options::default() };
    let mut engine = Engine::load(&bundle, &options)?;
    let path = bundle.path(&bundle.manifest.model);
    let mut twin = FloatTwin::from_onnx(bundle.model())
        .map_err(|error| Fault::data(format!("{}: {error:#}", path.display())))?;

    let (scale, zero_point) = engine.output_quantisation();
    let threshold = bundle.manifest.decision.threshold;
    let threshold = (threshold / (1.0 - threshold)).ln();
    let above = |stored: u8| scale * (f32::from(stored) - f32::from(zero_point)) > threshold;
    let mut logits = [(); 2].map(|()| vec![0u8; engine.output_shape().iter().product()]);
    let (mut frames, mut same, mut same_side, mut total, mut most) = (0u32, 0u64, 0u64, 0u64, 0u8);
    let shape = engine.input_shape();
    super::inputs::for_inputs(&bundle.manifest, shape, source, usize::from(arguments.frames), |input| {
        let [ours, float] = &mut logits;
        engine.run(input, ours)?;
        twin.run(shape, input, float)?;
        for (&ours, &float) in ours.iter().zip(float.iter()) {
            let difference = ours.abs_diff(float);
            same += u64::from(difference == 0);
            same_side += u64::from(above(ours) == above(float));
            total += u64::from(difference);
            most = most.max(difference);
        }
        frames += 1;
        Ok(())
    })?;
    if frames == 0 {
        return Err(Fault::data(format!("{source} contains no frames")));
    }
    let count = (u64::from(frames) * logits[0].len() as u64) as f64;
    let report = CrossCheckReport {
        schema: 1,
        name: &bundle.manifest.name,
        model_version: &bundle.manifest.model_version,
        kernels: engine.kernels(),
        frames,
        same: same as f64 / count,
        mean_steps: total as f64 / count,
        most_steps: most,
        same_side: same_side as f64 / count,
    };
    if arguments.json {
        say!("{}", serde_json::to_string_pretty(&report)?)
    } else {
        say!(
            "{} {}, kernels {}, {} frames: {:.2} % of logits equal those of tract's float ops; the mean difference is {:.3} \
         steps, the greatest {}; {:.3} % lie on the same side of the threshold",
            report.name,
            report.model_version,
            report.kernels,
            report.frames,
            100.0 * report.same,
            report.mean_steps,
            report.most_steps,
            100.0 * report.same_side
        )
    }
    // Not "greater than": a limit that is not a number allows nothing.
    if report.mean_steps < arguments.limit {
        Ok(())
    } else {
        Err(Fault::new(
            Exit::Assertion,
            format!("the mean difference of {:.3} steps is not below {}", report.mean_steps, arguments.limit),
        ))
    }
}
