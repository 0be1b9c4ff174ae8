//! `bench`: how long a bundle's model takes here.

use std::path::PathBuf;
use std::time::Duration;

use crate::bundle::Bundle;
use crate::engine::{Engine, MemoryUse, Options, StepInfo};
use crate::fault::Fault;
use crate::runtime;

/// Times a bundle's model on this machine.
#[derive(clap::Args)]
pub struct Arguments {
    /// The bundle's folder.
    #[arg(long, value_name = "BUNDLE")]
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
    /// Print JSON on standard output.
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
    min_ms: f64,
    median_ms: f64,
    p95_ms: f64,
    max_ms: f64,
    memory: Option<MemoryUse>,
    steps: Vec<StepTime>,
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
    let manifest = bundle.into_manifest();

    let mut input = vec![0u8; engine.input_shape().iter().product()];
    fill_with_noise(&mut input);
    let mut logits = vec![0u8; engine.output_shape().iter().product()];
    let mut time = |engine: &mut Engine| -> anyhow::Result<f64> {
        let start = runtime::now();
        engine.run(&input, &mut logits)?;
        Ok(milliseconds(runtime::since(start)))
    };
    let first_ms = time(&mut engine)?;
    for _ in 0..3 {
        time(&mut engine)?;
    }
    let mut times = (0..arguments.runs).map(|_| time(&mut engine)).collect::<anyhow::Result<Vec<_>>>()?;
    times.sort_by(f64::total_cmp);
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
        min_ms: quantile(&times, 0.0),
        median_ms: quantile(&times, 0.5),
        p95_ms: quantile(&times, 0.95),
        max_ms: quantile(&times, 1.0),
        steps: step_times(&mut engine, &input)?,
        memory: engine.memory(),
    };
    if arguments.json {
        say!("{}", serde_json::to_string_pretty(&report)?)
    } else {
        print_report(&report)?
    }
    Ok(())
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
    say!(
        "run       {:9.2} ms   (median of {}; minimum {:.2}, 95th percentile {:.2}, maximum {:.2})",
        report.median_ms,
        report.runs,
        report.min_ms,
        report.p95_ms,
        report.max_ms
    );
    let rate = report.multiply_adds as f64 / report.median_ms / 1e6;
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
