//! Runs a bundle over video as a cart does, without its threads: each frame through the network, then the temporal gate that
//! decides which regions have lasted long enough to be shown.
//!
//! ```sh
//! cargo run --release --example run_bundle -- models/first-light synthetic:seed=7,frames=300
//! cargo run --release --example run_bundle -- models/full VIDEO.y4m
//! ```

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use polyp_edge::bundle::Bundle;
use polyp_edge::capture;
use polyp_edge::detect::Regions;
use polyp_edge::engine::{Engine, Options};
use polyp_edge::field_of_view::Sequence;
use polyp_edge::frame::Frame;
use polyp_edge::latency::{self, Latencies};
use polyp_edge::segment::Segmenter;
use polyp_edge::track::{Gate, Rule, Shown};

/// The recording's frame rate, which tells the gate how old a region is.
const FRAME_INTERVAL: Duration = Duration::from_millis(40);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bundle, video] = arguments.as_slice() else { bail!("usage: run_bundle BUNDLE VIDEO") };
    let bundle = Bundle::open(Path::new(bundle))?;
    let engine = Engine::load(&bundle, &Options::default())?;
    println!(
        "{} {}: {:.1} M multiply-adds a frame, kernel set {}",
        bundle.manifest.name,
        bundle.manifest.model_version,
        engine.multiply_adds() as f64 / 1e6,
        engine.kernels()
    );
    // `Video`: the field of view is held steady over the frames.
    let mut segmenter = Segmenter::new(engine, &bundle.manifest, Sequence::Video)?;
    // With the golden frames of the bundle, `check` says whether this machine computes what the bundle expects.
    segmenter = segmenter.with_golden(bundle.golden().clone());
    (0..segmenter.golden_frames()).try_for_each(|index| segmenter.check(index))?;

    let mut gate = Gate::new(&Rule::of(bundle.manifest.gate));
    let (mut frame, mut regions, mut shown) = (Frame::black(1, 1), Regions::default(), Shown::default());
    let latencies = Latencies::default();
    let mut source = capture::open(video)?;
    let mut captured = Instant::now();
    while source.read(&mut frame)? {
        segmenter.regions(&frame, &latencies, &mut regions)?;
        gate.update(&regions.list, captured, &mut shown);
        println!("{}: {} found, {} shown", source.name().display(), regions.list.len(), shown.list().len());
        captured += FRAME_INTERVAL;
    }
    print!("{}", latency::table(&latencies.report()));
    Ok(())
}
