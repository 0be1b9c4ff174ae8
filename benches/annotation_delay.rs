//! From a frame's dequeue to the commit of the first picture with what was found in it, at 1920×1080, 60 a second, with
//! the shipped model: conversion to RGB, field of view, resize, inference, regions, drawing, the next picture's turn.
//! The temporal gate holds a region's first outline back on top of it (`polyp-edge check` says by how much); here it
//! shows at once.
//!
//! `cargo bench --bench annotation_delay`; BENCH_SECONDS and BENCH_THREADS as wanted.

use anyhow::Result;
use polyp_edge::bundle::Bundle;
use polyp_edge::display::kms::Composition;
use polyp_edge::engine::{Engine, Options};
use polyp_edge::field_of_view::Sequence;
use polyp_edge::frame::PixelFormat;
use polyp_edge::latency::{self, Stage};
use polyp_edge::pipeline::Settings;
use polyp_edge::segment::Segmenter;
use testing::live;

fn main() -> Result<()> {
    let frames = live::rendered();
    let threads = std::env::var("BENCH_THREADS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    println!(
        "annotation delay, dequeue → outlined, {}×{} at {}, {threads} thread(s) of inference",
        live::WIDTH,
        live::HEIGHT,
        live::RATE_HZ
    );
    live::header();
    let mut last = None;
    for (composition, name) in
        [(Composition::Blend, "blended"), (Composition::Planes, "overlay on its plane")]
    {
        let buffers = live::buffers(&frames, PixelFormat::Yuyv);
        let load = move || {
            let bundle = Bundle::open(&testing::root().join("models/first-light"))?;
            let engine = Engine::load(&bundle, &Options { threads, ..Options::default() })?;
            Segmenter::new(engine, &bundle.manifest, Sequence::Video)
        };
        let run = live::run(buffers, composition, Settings::default(), load)?;
        live::line(&format!("Yuyv, {name}: annotation"), &run, Stage::Total);
        live::line(&format!("Yuyv, {name}: video"), &run, Stage::VideoDelay);
        println!("{:38} {} with regions, {}", "", run.outcome.frames.outlined, run.outcome.state);
        last = Some(run.outcome);
    }
    if let Some(outcome) = last {
        println!("{}", latency::table(&outcome.latencies.report()));
    }
    Ok(())
}
