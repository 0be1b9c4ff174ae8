//! `bench model`: how long a bundle's model takes here.

use std::path::PathBuf;
use std::time::Duration;

use super::require::{Measured, Requirement, assert_none, missed};
use crate::bundle::Bundle;
use crate::engine::{Engine, MemoryUse, Options, StepInfo};
use crate::fault::Fault;
use crate::field_of_view::{Locator, Sequence};
use crate::latency::interval::Frames;
use crate::latency::{Durations, Histogram, Stage};
use crate::runtime;
use crate::segment::Input;

/// Times a bundle's model on this machine: the network alone, on noise and on the bundle's first golden frame.
#[derive(clap::Args)]
pub struct Arguments {
    /// The bundle: a folder or a packed file.
    #[arg(value_name = "BUNDLE")]
    model: PathBuf,
    /// Number of threads.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    /// Cores to run on, one for each thread, as in `1,2`; the system chooses if not given.
    #[arg(long, value_delimiter = ',', value_name = "CORES")]
    cores: Vec<usize>,
    /// Kernel set; the best that this machine supports if not given.
    #[arg(long, value_name = "NAME")]
    kernels: Option<String>,
    /// Number of timed runs.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// What must hold, or the exit code is 1: `inference.p99<=12ms`; mean, max or a percentile of the runs on the golden frame. May be given
    /// several times.
    #[arg(long, value_name = "LIMIT")]
    require: Vec<Requirement>,
    /// Print JSON on standard output, with the time of each run.
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct BenchReport {
    schema: u32,
    name: String,
    model_version: String,
    kernels: &'static str,
    threads: u16,
    runs: u32,
    multiply_adds: u64,
    load_ms: f64,
    first_ms: f64,
    /// On noise.
    #[serde(flatten)]
    noise: Times,
    /// On the bundle's first golden frame.
    golden: Times,
    missed: Vec<String>,
    memory: Option<MemoryUse>,
    steps: Vec<StepTime>,
}

/// Runs on one input.
#[derive(serde::Serialize)]
struct Times {
    min_ms: f64,
    median_ms: f64,
    p95_ms: f64,
    max_ms: f64,
    /// Each of them, in their order.
    samples_ms: Vec<f64>,
}

impl Times {
    fn of(samples_ms: Vec<f64>) -> Times {
        let mut sorted = samples_ms.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |share| quantile(&sorted, share);
        Times { min_ms: at(0.0), median_ms: at(0.5), p95_ms: at(0.95), max_ms: at(1.0), samples_ms }
    }
}

/// A step's median time.
#[derive(Clone, serde::Serialize)]
struct StepTime {
    #[serde(flatten)]
    step: StepInfo,
    median_us: f64,
}

/// Runs that only tell the steps' times, so that taking them does not weigh on the totals.
const STEP_RUNS: usize = 15;

#[expect(clippy::too_many_lines, reason = "one measurement, from its start to its report")]
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let start = runtime::now();
    let bundle = Bundle::open(&arguments.model)?;
    let threads = usize::from(arguments.threads);
    let cores = arguments.cores.clone();
    if !cores.is_empty() && cores.len() != threads {
        return Err(Fault::usage(format!(
            "--cores names {} cores for {threads} threads; name one core for each thread",
            cores.len()
        )));
    }
    let options = Options { threads, cores, kernels: arguments.kernels.clone(), ..Options::default() };
    let mut engine = Engine::load(&bundle, &options)?;
    let load_ms = milliseconds(runtime::since(start));
    let frames = bundle.golden_frames()?;
    let golden = frames.first().ok_or_else(|| Fault::data("the bundle has no golden frame"))?;
    let manifest = bundle.into_manifest();
    let side = manifest.input.shape.last().copied().unwrap_or(0);
    let mut picture = Input::new(side, Locator::new(manifest.field_of_view, Sequence::Stills));
    picture.prepare(&golden.frame)?;

    let mut input = vec![0u8; engine.input_shape().iter().product()];
    fill_with_noise(&mut input);
    let mut logits = vec![0u8; engine.output_shape().iter().product()];
    let mut time = |engine: &mut Engine, input: &[u8]| -> anyhow::Result<f64> {
        let start = runtime::now();
        engine.run(input, &mut logits)?;
        Ok(milliseconds(runtime::since(start)))
    };
    let first_ms = time(&mut engine, &input)?;
    for _ in 0..3 {
        time(&mut engine, &input)?;
    }
    // In turns, so that both meet the same machine.
    let (mut noise, mut golden, inference) = (Vec::new(), Vec::new(), Histogram::default());
    for _ in 0..arguments.runs {
        noise.push(time(&mut engine, &input)?);
        let ms = time(&mut engine, picture.pixels())?;
        inference.record(Duration::from_secs_f64(ms / 1e3));
        golden.push(ms);
    }
    let inference = inference.read();
    let stage = |stage| if stage == Stage::Inference { inference.clone() } else { Durations::default() };
    let measured = Measured { stage: &stage, frames: Frames::default() };
    let report = BenchReport {
        schema: 1,
        name: manifest.name,
        model_version: manifest.model_version,
        kernels: engine.kernels(),
        threads: arguments.threads,
        runs: arguments.runs,
        multiply_adds: engine.multiply_adds(),
        load_ms,
        first_ms,
        noise: Times::of(noise),
        golden: Times::of(golden),
        missed: missed(&arguments.require, &measured),
        steps: step_times(&mut engine, &input)?,
        memory: engine.memory(),
    };
    if arguments.json {
        say!("{}", serde_json::to_string_pretty(&report)?)
    } else {
        print_report(&report)?
    }
    assert_none(&report.missed)
}

fn step_times(engine: &mut Engine, input: &[u8]) -> anyhow::Result<Vec<StepTime>> {
    let mut logits = vec![0u8; engine.output_shape().iter().product()];
    let runs = (0..STEP_RUNS).map(|_| engine.run_timed(input, &mut logits));
    let runs: Vec<Vec<Duration>> = runs.collect::<anyhow::Result<_>>()?;
    let median = |step: usize| {
        let mut times: Vec<f64> =
            runs.iter().filter_map(|times| times.get(step)).map(|time| time.as_secs_f64() * 1e6).collect();
        times.sort_by(f64::total_cmp);
        quantile(&times, 0.5)
    };
    let steps = engine.steps().iter().enumerate();
    Ok(steps.map(|(index, step)| StepTime { step: step.clone(), median_us: median(index) }).collect())
}

fn print_report(report: &BenchReport) -> anyhow::Result<()> {
    say!(
        "{} {}, kernels: {}, threads: {}",
        report.name,
        report.model_version,
        report.kernels,
        report.threads
    );
    say!("load      {:9.2} ms", report.load_ms);
    say!("first run {:9.2} ms", report.first_ms);
    for (input, times) in [("noise", &report.noise), ("a golden frame", &report.golden)] {
        say!(
            "run       {:9.2} ms   (median of {} on {input}; minimum {:.2}, 95th percentile {:.2}, maximum {:.2})",
            times.median_ms,
            report.runs,
            times.min_ms,
            times.p95_ms,
            times.max_ms
        );
    }
    let rate = report.multiply_adds as f64 / report.noise.median_ms / 1e6;
    say!("          {rate:9.2} GMAC/s");
    let mut slowest: Vec<&StepTime> = report.steps.iter().collect();
    slowest.sort_by(|a, b| b.median_us.total_cmp(&a.median_us));
    say!("slowest steps:");
    for StepTime { step, median_us } in slowest.into_iter().take(10) {
        say!("  {median_us:9.1} µs  {}  {}", step.op, step.nodes.join(" → "));
    }
    Ok(())
}

/// The same bytes each time, without a pattern that a kernel could profit from (xorshift64, Marsaglia 2003).
fn fill_with_noise(bytes: &mut [u8]) {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for byte in bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = (state >> 32) as u8;
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Of sorted values; 0 if there are none.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1) as f64;
    sorted.get((last * share).round() as usize).copied().unwrap_or(0.0)
}
