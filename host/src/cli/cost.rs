//! `polyp-host cost`: what training a configured network takes, before anything is trained.

use std::path::PathBuf;

use anyhow::Result;
use polyp_edge::fault::Fault;
use serde::Serialize;

use crate::net::cost::Cost;
use crate::net::decoder::decode;
use crate::net::encoder::{Encoder, is_encoders};
use crate::net::segmenter::{self, Segmenter};
use crate::run::config::TrainConfig;

/// Counts parameters, multiply-adds and memory of a training step, with all activations kept for the backward pass and
/// with checkpoints at every few links of the encoder.
///
/// Memory is an estimate: the values that automatic differentiation keeps, four bytes each, for the batch; memory pools of
/// backends come in addition. Multiply-adds of a step are those of the forward pass, twice those of the layers through
/// which gradients pass, and those of what is computed again (weights of a frozen encoder get no gradient).
#[derive(clap::Args)]
pub struct Arguments {
    /// Training configuration (TOML); keys that it leaves out have finetune's defaults.
    #[arg(long)]
    config: Option<PathBuf>,
    #[arg(long)]
    batch: Option<usize>,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct CostReport {
    schema: u32,
    encoder: String,
    input_side: usize,
    batch: usize,
    frozen_parameters: usize,
    learned_parameters: usize,
    forward_multiply_adds_per_picture: u64,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    /// 0: everything is kept.
    checkpoint_links: usize,
    step_multiply_adds: u64,
    /// Values kept by the whole batch, and the widest operation's.
    activation_bytes: u64,
    /// With parameters on the device.
    device_bytes: u64,
}

pub fn run(arguments: Arguments) -> Result<()> {
    let teacher = TrainConfig::teacher();
    let mut config = match &arguments.config {
        Some(path) => TrainConfig::load(path, &teacher)?,
        None => teacher,
    };
    config.batch = arguments.batch.unwrap_or(config.batch);
    config.check().map_err(Fault::configuration)?;
    let report = estimate(&config).map_err(Fault::configuration)?;
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
        return Ok(());
    }
    println!(
        "{} at {} px, batch {}: {:.1} M parameters frozen, {:.2} M learned, {:.1} G multiply-adds for an image forward",
        report.encoder,
        report.input_side,
        report.batch,
        report.frozen_parameters as f64 / 1e6,
        report.learned_parameters as f64 / 1e6,
        report.forward_multiply_adds_per_picture as f64 / 1e9,
    );
    println!(
        "{:<18} {:>22} {:>16} {:>14}",
        "checkpoint_links", "multiply-adds a step", "activations", "on the device"
    );
    for row in &report.rows {
        let gib = |bytes: u64| format!("{:.2} GiB", bytes as f64 / (1u64 << 30) as f64);
        println!(
            "{:<18} {:>20.0} G {:>16} {:>14}",
            row.checkpoint_links,
            row.step_multiply_adds as f64 / 1e9,
            gib(row.activation_bytes),
            gib(row.device_bytes)
        );
    }
    Ok(())
}

fn estimate(config: &TrainConfig) -> Result<CostReport, String> {
    let segmenter = config.segmenter()?;
    let side = config.largest_side();
    let shapes = segmenter.shapes(side);
    let count = |encoders: bool| {
        let of = shapes.shapes().filter(|(name, _)| is_encoders(name) == encoders);
        of.map(|(_, shape)| shape.iter().product::<usize>()).sum::<usize>()
    };
    let frozen = config.network.encoder.frozen;
    let (encoders, others) = (count(true), count(false));
    let links = Links::of(&segmenter, side, config);
    let batch = config.batch as u64;
    let parameters = 4 * (encoders + others) as u64;
    let rows = [0, 1, 2, 4, 8, 16].into_iter().map(|every| {
        let (kept, again) = links.kept(every);
        let activation_bytes = 4 * batch * (kept + links.widest);
        // A frozen encoder's weights need no gradient of their own: one product back instead of two.
        let back = if frozen { 1 } else { 2 };
        let forward = links.encoder_multiply_adds();
        let encoder = forward + back * links.learning_multiply_adds() + again;
        Row {
            checkpoint_links: every,
            step_multiply_adds: batch
                * config.accumulate as u64
                * (encoder + 3 * links.decoder.multiply_adds),
            activation_bytes,
            // Learned values and their gradients.
            device_bytes: activation_bytes
                + parameters
                + 4 * if frozen { others } else { encoders + others } as u64,
        }
    });
    Ok(CostReport {
        schema: 1,
        encoder: config.network.encoder.kind.word(),
        input_side: side,
        batch: config.batch,
        frozen_parameters: if frozen { encoders } else { 0 },
        learned_parameters: if frozen { others } else { encoders + others },
        forward_multiply_adds_per_picture: links.encoder_multiply_adds() + links.decoder.multiply_adds,
        rows: rows.collect(),
    })
}

/// The cost of each link for one picture, and of what comes after them.
struct Links {
    links: Vec<Link>,
    decoder: Cost,
    /// Values of the features, which the decoder's pass starts from.
    features: u64,
    widest: u64,
    /// The first link with anything to learn.
    first_learning: usize,
}

struct Link {
    cost: Cost,
    /// Values that enter it.
    enters: u64,
}

impl Links {
    fn of(segmenter: &Segmenter, side: usize, config: &TrainConfig) -> Links {
        let encoder = &segmenter.encoder;
        let input = [3, side, side];
        let (mut x, mut links, mut features) = (input, Vec::new(), Vec::new());
        let prompts = &config.network.prompts;
        let first_block = if prompts.is_none() {
            encoder.links()
        } else {
            prompts.blocks.iter().min().map_or(1, |block| block + 1)
        };
        let own = &config.network.encoder;
        let first_learning = if own.frozen { first_block } else { own.frozen_links };
        for k in 0..encoder.links() {
            let mut cost = Cost::default();
            let enters = x.iter().product::<usize>() as u64;
            x = encoder.link(&mut cost, k, &input, &x);
            if encoder.taps().contains(&k) {
                features.push(encoder.feature(&mut cost, &x));
            }
            links.push(Link { cost, enters });
        }
        let mut decoder = Cost::default();
        let levels = decode(&mut decoder, &features, &segmenter.decoder);
        segmenter::heads(&mut decoder, &levels);
        let widest = links.iter().map(|link| link.cost.widest).chain([decoder.widest]).max().unwrap_or(0);
        let features = features.iter().map(|f| f.iter().product::<usize>() as u64).sum();
        Links { links, decoder, features, widest, first_learning }
    }

    fn encoder_multiply_adds(&self) -> u64 {
        self.links.iter().map(|link| link.cost.multiply_adds).sum()
    }

    /// Of the links that gradients pass through.
    fn learning_multiply_adds(&self) -> u64 {
        self.links.iter().skip(self.first_learning).map(|link| link.cost.multiply_adds).sum()
    }

    /// Values kept at the worst moment, and multiply-adds that are done again, with every `every`th link kept.
    fn kept(&self, every: usize) -> (u64, u64) {
        let learning = |from: usize, to: usize| {
            self.links[from.max(self.first_learning).min(to)..to]
                .iter()
                .map(|link| link.cost.kept)
                .sum::<u64>()
        };
        let count = self.links.len();
        if every == 0 {
            return (learning(0, count) + self.decoder.kept, 0);
        }
        let starts: u64 = self.links.iter().step_by(every).map(|link| link.enters).sum();
        let pieces = (0..count).step_by(every).map(|from| (from, (from + every).min(count)));
        let (mut worst, mut again) = (self.decoder.kept, 0);
        for (from, to) in pieces.filter(|(_, to)| *to > self.first_learning) {
            worst = worst.max(learning(from, to));
            again += self.links[from..to].iter().map(|link| link.cost.multiply_adds).sum::<u64>();
        }
        (starts + 2 * self.features + worst, again)
    }
}
