//! What the display path adds to the picture: from a frame's dequeue to the commit of its flip, at 1920×1080, 60 a
//! second; colour conversion, blending and the write into the monitor's buffer included. What comes on top is the
//! monitor's own: the wait for its next vertical blank.
//!
//! `cargo bench --bench video_delay`; BENCH_SECONDS=600 for ten minutes a case. `core`: the share of one core that the
//! displaying thread takes.

mod live;

use anyhow::{Result, bail};
use polyp_edge::display::kms::Road;
use polyp_edge::engine::Engine;
use polyp_edge::frame::PixelFormat;
use polyp_edge::latency::Stage;
use polyp_edge::pipeline::{Settings, Walk};

fn main() -> Result<()> {
    let frames = live::rendered();
    println!("video delay, dequeue → commit, {}×{} at {}", live::WIDTH, live::HEIGHT, live::RATE_HZ);
    live::header();
    for format in [PixelFormat::Yuyv, PixelFormat::Nv12, PixelFormat::Rgb24] {
        for (road, name) in [(Road::Blend, "blended"), (Road::Planes, "overlay on its plane")] {
            let buffers = live::buffers(&frames, format);
            let load = || -> Result<Walk<Engine>> { bail!("none: the display alone is measured") };
            let (outcome, share) = live::run(buffers, road, Settings::default(), load)?;
            live::line(&format!("{format:?}, {name}"), &outcome, Stage::VideoDelay, share);
        }
    }
    Ok(())
}
