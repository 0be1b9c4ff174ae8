//! What recording costs the picture: 1920×1080, 60 a second, with a model at work, recorded and not recorded taking turns; and how many
//! pictures a second a recording gets.
//!
//! `cargo bench --bench recording`; BENCH_SECONDS for each run, ten if not set; BENCH_ROUNDS, five if not set. Both films are coded and held
//! in memory; writing them is another thread's. A machine with four cores has room for capture and display, inference and coding at once: on
//! one with fewer, pictures are missing in the film.

use std::time::Duration;

use anyhow::Result;
use polyp_edge::bundle::Bundle;
use polyp_edge::display::kms::Composition;
use polyp_edge::engine::{Engine, Options};
use polyp_edge::field_of_view::Sequence;
use polyp_edge::frame::PixelFormat;
use polyp_edge::latency::Stage;
use polyp_edge::pipeline::Settings;
use polyp_edge::recording::{Pictures, Wish};
use polyp_edge::segment::Segmenter;
use polyp_edge::study::Outside;
use testing::live;

/// Of the video delay.
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

fn wish(rate_hz: f64) -> Wish {
    Wish {
        pictures: Pictures::Both,
        rate_hz,
        quality: 80,
        before: Duration::from_secs(10),
        memory_bytes: 200_000_000,
        outside: Outside::Black,
        fixed: None,
    }
}

fn main() -> Result<()> {
    let rounds = std::env::var("BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let frames = live::rendered();
    let cases =
        [("not recorded", None), ("30 a second", Some(wish(30.0))), ("60 a second", Some(wish(60.0)))];
    let mut delays = vec![[const { Vec::new() }; QUANTILES.len()]; cases.len()];
    let mut coded = vec![Vec::new(); cases.len()];
    for round in 0..rounds {
        // Who begins changes each time.
        for place in (0..cases.len()).map(|place| (place + round) % cases.len()) {
            let load = || -> Result<Segmenter<Engine>> {
                let bundle = Bundle::open(&testing::root().join("models/first-light"))?;
                let engine = Engine::load(&bundle, &Options::default())?;
                Segmenter::new(engine, &bundle.manifest, Sequence::Video)
            };
            // As on a cart, where the system lets it.
            let settings =
                Settings { recording: cases[place].1, realtime_priority: 40, ..Settings::default() };
            let buffers = live::buffers(&frames, PixelFormat::Yuyv);
            let run = live::run(buffers, Composition::Blend, settings, load)?;
            let durations = run.outcome.latencies.stage(Stage::VideoDelay);
            for (delays, (_, quantile)) in delays[place].iter_mut().zip(QUANTILES) {
                delays.push(durations.quantile_us(quantile) as f64 / 1e3);
            }
            coded[place].push(run.outcome.coded as f64 / live::seconds());
        }
    }
    println!("video delay, {}×{} at {}, {rounds} rounds", live::WIDTH, live::HEIGHT, live::RATE_HZ);
    for (place, (name, _)) in cases.iter().enumerate() {
        print!("{name:14} {:5.1} pictures a second;", middle(&coded[place]).1);
        for (index, (quantile, _)) in QUANTILES.iter().enumerate() {
            let ratios: Vec<f64> = delays[place][index]
                .iter()
                .zip(&delays[0][index])
                .map(|(with, without)| with / without)
                .collect();
            let (low, median, high) = middle(&ratios);
            let delay = middle(&delays[place][index]).1;
            print!("  {quantile} {delay:.2} ms, ratio {median:.3} ({low:.3} to {high:.3})");
        }
        println!();
    }
    Ok(())
}

/// The lower quartile, the median and the upper quartile.
fn middle(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted[(share * (sorted.len() - 1) as f64).round() as usize];
    (at(0.25), at(0.5), at(0.75))
}
