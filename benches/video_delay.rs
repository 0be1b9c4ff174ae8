//! What the display path adds to the picture: from a frame's dequeue to the commit of its flip, at 1920×1080, 60 a
//! second; colour conversion, blending and the write into the monitor's buffer included. What comes on top is the
//! monitor's own: the wait for its next vertical blank.
//!
//! The first second is told by itself: in it a run gets its memory and sets the mode. The slowest frames are told by their numbers.
//!
//! The last cases are the same with inference asleep, panicking and talking rubbish: no frame is to be later for it.
//!
//! `cargo bench --bench video_delay`; BENCH_SECONDS=600 for ten minutes a case. `core`: the share of one core that the
//! displaying thread takes; `preempted`: how often the system gave its core to another thread; `grown`: memory and open files of the
//! process; both from the third second to the end. Capture and display have the shipped profiles' real-time priority, where the system
//! grants it.

use std::time::Duration;

use anyhow::{Result, bail};
use polyp_edge::bundle::Bundle;
use polyp_edge::display::kms::Composition;
use polyp_edge::engine::Engine;
use polyp_edge::field_of_view::Sequence;
use polyp_edge::frame::PixelFormat;
use polyp_edge::latency::Stage;
use polyp_edge::pipeline::Settings;
use polyp_edge::segment::{Network, Segmenter};
use testing::live;

/// As boards/raspberry-pi-5.toml has it.
const REALTIME_PRIORITY: u8 = 40;

/// Inference that goes wrong from its hundredth frame on.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    SleepsTenSeconds,
    Panics,
    Rubbish,
}

struct Troubled {
    trouble: Trouble,
    runs: u32,
    shapes: [[usize; 4]; 2],
}

impl Network for Troubled {
    fn input_shape(&self) -> [usize; 3] {
        let [_, channels, height, width] = self.shapes[0];
        [height, width, channels]
    }
    fn output_shape(&self) -> [usize; 3] {
        let [_, channels, height, width] = self.shapes[1];
        [height, width, channels]
    }
    fn output_quantisation(&self) -> (f32, u8) {
        (0.1, 128)
    }
    fn run(&mut self, _: &[u8], logits: &mut [u8]) -> Result<()> {
        self.runs += 1;
        logits.fill(0);
        match self.trouble {
            _ if self.runs < 100 => {}
            Trouble::SleepsTenSeconds => std::thread::sleep(Duration::from_secs(10)),
            Trouble::Panics => panic!("inference panics, as it should"),
            Trouble::Rubbish => {
                let noise = logits.iter_mut().zip(1u32..);
                noise.for_each(|(logit, index)| *logit = (index.wrapping_mul(2654435761) >> 20) as u8);
            }
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let frames = live::rendered();
    let settings = Settings { realtime_priority: REALTIME_PRIORITY, ..Settings::default() };
    println!("video delay, dequeue → commit, {}×{} at {}", live::WIDTH, live::HEIGHT, live::RATE_HZ);
    live::header();
    for format in [PixelFormat::Yuyv, PixelFormat::Nv12, PixelFormat::Rgb24] {
        for (composition, name) in
            [(Composition::Blend, "blended"), (Composition::Planes, "overlay on its plane")]
        {
            let buffers = live::buffers(&frames, format);
            let load = || -> Result<Segmenter<Engine>> { bail!("none: the display alone is measured") };
            let run = live::run(buffers, composition, settings.clone(), load)?;
            live::line(&format!("{format:?}, {name}"), &run, Stage::VideoDelay);
            live::slowest(&run);
        }
    }
    for trouble in [Trouble::SleepsTenSeconds, Trouble::Panics, Trouble::Rubbish] {
        let buffers = live::buffers(&frames, PixelFormat::Yuyv);
        let load = move || {
            let bundle = Bundle::open(&testing::root().join("models/first-light"))?;
            let shapes = [bundle.manifest.input.shape, bundle.manifest.output.shape];
            Segmenter::new(Troubled { trouble, runs: 0, shapes }, &bundle.manifest, Sequence::Video)
        };
        let run = live::run(buffers, Composition::Blend, settings.clone(), load)?;
        live::line(&format!("Yuyv, blended; inference {trouble:?}"), &run, Stage::VideoDelay);
        live::slowest(&run);
        println!("{:38} {}", "", run.outcome.state);
    }
    Ok(())
}
