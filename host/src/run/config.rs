//! What a training run is made of: `config.toml` in its folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use polyp_edge::fault::Fault;
use serde::{Deserialize, Serialize};

use crate::data::augment::Augmentation;
use crate::files;
use crate::net::decoder::{self, Attention, DecoderConfig};
use crate::net::encoder::{Encoder, EncoderKind};
use crate::net::prompts::Prompts;
use crate::net::segmenter::{EncoderConfig, Segmenter, SegmenterConfig};

/// A training run. What a file leaves out keeps its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Seed of everything that is drawn at random: fresh weights, the order of samples, augmentation, rendered frames.
    pub seed: u64,
    /// How many epochs are trained.
    pub epochs: u64,
    /// Pictures that go through the network at once.
    pub batch: usize,
    /// Batches whose gradients make one step.
    pub accumulate: usize,
    /// Input sizes, as shares of `input_side`, that batches are drawn from at random; rounded to multiples of 32.
    pub scales: Vec<f32>,
    /// What the sizes are multiplied by in the first epoch; it grows evenly to 1 over `grow_until` of the epochs
    /// (progressive resizing, as in EfficientNetV2, Tan and Le 2021).
    pub grow_from: f32,
    /// Share of the epochs, over 0 and at most 1; see `grow_from`.
    pub grow_until: f32,
    /// Lists of frames with polyps; about a tenth of the frames is held back.
    pub lists: Vec<PathBuf>,
    /// Lists of frames without polyps; about a tenth of the frames is held back.
    pub negative_lists: Vec<PathBuf>,
    /// How many frames without polyps an epoch meets, drawn anew for each; all of them unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negatives_per_epoch: Option<usize>,
    /// Lists of frames with a polyp whose outline only teachers say; with `cached`, each counts as far as these agree and find
    /// something.
    /// None is held back; those that other lists name, too, or that show nearly the same as one that is held back, are left
    /// out.
    pub unlabelled_lists: Vec<PathBuf>,
    /// Lists of frames that are for choosing alone, with polyps and without: all of them are held back.
    pub choosing_lists: Vec<PathBuf>,
    /// Frames of the rendered endoscope in the mix.
    pub rendered: usize,
    /// How much of each data set training meets.
    pub mix: Mix,
    /// Whether pictures are cut to the endoscope's field of view first, as the cart does.
    pub crop: bool,
    /// How pixels weigh in the loss.
    pub bce: BceWeighting,
    /// Weights of the loss at each depth, finest first.
    pub depth_weights: Vec<f32>,
    /// Epochs without a better held-back Dice after which training ends; 0 for never.
    pub patience: u64,
    /// Links of the encoder between two values that are kept for the backward pass; what lies between is computed
    /// again. 0 keeps everything.
    pub checkpoint_links: usize,
    /// Lists that `finetune` scores when it is done.
    pub evaluate: Vec<PathBuf>,
    /// The network that is trained.
    pub network: SegmenterConfig,
    /// How gradients move it.
    pub optimizer: OptimizerConfig,
    /// How pictures are changed at random.
    pub augmentation: Augmentation,
    /// A run whose weights this one starts from, wherever name and shape are the same: another input size, another decoder
    /// on the same encoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_from: Option<PathBuf>,
    /// Of that run only the encoder's: decoders of any shape begin alike.
    pub start_from_encoder: bool,
    /// What is learned from teachers; nothing if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distillation: Option<Distillation>,
    /// Training for int8; training in float if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantised: Option<Quantised>,
}

/// How much of what training meets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mix {
    /// Of each data set (the first part of its samples' names; `rendered`) how much every batch has, in any unit. Without
    /// any, an epoch meets every picture once.
    pub shares: BTreeMap<String, f32>,
    /// How many pictures an epoch meets, where shares are given.
    pub pictures_per_epoch: usize,
    /// How many times as often the hardest polyp-free picture is drawn as the easiest, where shares are given.
    pub hard_negatives: f32,
    /// Data sets whose masks machines made: nothing is chosen by them but whether anything is found at all.
    pub machine_masks: Vec<String>,
    /// What such a mask counts beside a true one.
    pub machine_mask_weight: f32,
}

impl Default for Mix {
    fn default() -> Self {
        Mix {
            shares: BTreeMap::new(),
            pictures_per_epoch: 2000,
            hard_negatives: 1.0,
            machine_masks: Vec::new(),
            machine_mask_weight: 0.5,
        }
    }
}

impl Mix {
    /// What must hold, and what to say where it does not.
    fn rules(&self, batch: usize) -> [(bool, &'static str); 5] {
        let sum: f32 = self.shares.values().sum();
        [
            (self.shares.is_empty() || sum > 0.0, "mix.shares must add up to more than 0"),
            (self.shares.values().all(|share| *share >= 0.0), "mix.shares must not be below 0"),
            (self.pictures_per_epoch >= batch, "mix.pictures_per_epoch must be at least the batch size"),
            (self.hard_negatives >= 1.0, "mix.hard_negatives must be at least 1"),
            (self.machine_mask_weight >= 0.0, "mix.machine_mask_weight must not be below 0"),
        ]
    }

    /// Whether the masks of a data set are true.
    pub fn is_truth(&self, set: &str) -> bool {
        !self.machine_masks.iter().any(|machine| machine == set)
    }
}

/// How pixels weigh in binary cross-entropy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BceWeighting {
    /// Boundary weights, as the papers say.
    Boundary,
    /// A plain mean, as their code does.
    Plain,
}

/// AdamW, the schedule of its rate, and the moving average of weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// Highest rate of pre-trained values (names that start with `encoder.`).
    pub encoder_rate: f32,
    /// Highest rate of all others.
    pub rate: f32,
    /// Not applied to biases and norms.
    pub weight_decay: f32,
    /// Share of the steps in which the rate climbs.
    pub warm_up: f32,
    /// What is left of the highest rate at the end.
    pub least_rate: f32,
    /// Largest norm of the whole gradient.
    pub clip_norm: f32,
    /// Decay of the moving average of weights a step.
    pub average_decay: f32,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        OptimizerConfig {
            encoder_rate: 5e-4,
            rate: 2e-3,
            weight_decay: 1e-2,
            warm_up: 0.1,
            least_rate: 0.0,
            clip_norm: 5.0,
            average_decay: 0.998,
        }
    }
}

impl OptimizerConfig {
    /// Climbs linearly, then falls along a cosine. `progress` in 0..1.
    pub fn schedule(&self, progress: f32) -> f32 {
        if progress < self.warm_up {
            (progress / self.warm_up).max(0.02)
        } else {
            let fall = (progress - self.warm_up) / (1.0 - self.warm_up);
            let share = 0.5 * (1.0 + (std::f32::consts::PI * fall).cos());
            self.least_rate + (1.0 - self.least_rate) * share
        }
    }
}

/// What teachers add to the loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Distillation {
    /// Runs of `finetune` or `distill`; of several the mean is taken. A network's own run makes it its own teacher.
    pub teachers: Vec<PathBuf>,
    /// Weight of the truth, where there is one.
    pub truth: f32,
    /// Weight of teachers' masks, as probabilities, in the truth's loss.
    pub soft: f32,
    /// Weight of likeness to teachers' logits at `temperature`.
    pub logits: f32,
    /// What logits of teachers and student are divided by before they are compared; over 0.
    pub temperature: f32,
    /// Weight of likeness to the first teacher's decoder levels: where they are strong.
    pub features: f32,
    /// Whether teachers look at each picture once, whole and mirrored, and what they say is kept in the run's folder;
    /// else they look at each batch as the student does.
    pub cached: bool,
}

impl Default for Distillation {
    fn default() -> Self {
        Distillation {
            teachers: Vec::new(),
            truth: 1.0,
            soft: 0.5,
            logits: 0.5,
            temperature: 2.0,
            features: 0.0,
            cached: true,
        }
    }
}

/// Quantisation-aware training of a folded graph, which then takes the place of `network`: of a run's graph with its
/// calibration, or of a bundle's network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantised {
    /// A run's `graph.safetensors`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graph: Option<PathBuf>,
    /// What `calibrate` made of it: where ranges start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<PathBuf>,
    /// A bundle's folder, instead of both: training goes on from the network that carts run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<PathBuf>,
    /// Whether ranges are learned, or stay as they were observed.
    #[serde(default = "yes")]
    pub learn_ranges: bool,
}

fn yes() -> bool {
    true
}

impl Default for TrainConfig {
    /// The student's.
    fn default() -> Self {
        TrainConfig {
            seed: 1,
            epochs: 12,
            batch: 16,
            accumulate: 1,
            scales: vec![1.0],
            grow_from: 1.0,
            grow_until: 0.7,
            lists: vec!["train".into()],
            negative_lists: vec!["negative-train".into()],
            negatives_per_epoch: None,
            unlabelled_lists: Vec::new(),
            choosing_lists: Vec::new(),
            rendered: 200,
            mix: Mix::default(),
            crop: true,
            bce: BceWeighting::Boundary,
            depth_weights: vec![1.0, 0.5, 0.25],
            patience: 0,
            checkpoint_links: 0,
            evaluate: Vec::new(),
            network: SegmenterConfig::default(),
            optimizer: OptimizerConfig::default(),
            augmentation: Augmentation::default(),
            start_from: None,
            start_from_encoder: false,
            distillation: None,
            quantised: None,
        }
    }
}

impl TrainConfig {
    /// What `finetune` does unless told otherwise: the field's recipe (SAM2-UNet, Xiong et al. 2024) on SAM 2.1's
    /// largest trunk, with the decoder of this project.
    pub fn teacher() -> Self {
        TrainConfig {
            epochs: 20,
            batch: 12,
            scales: vec![1.0, 1.25],
            negative_lists: Vec::new(),
            rendered: 0,
            crop: false,
            depth_weights: vec![1.0, 1.0, 1.0],
            checkpoint_links: 4,
            evaluate: ["test-kvasir", "test-clinicdb", "unseen-colondb"].map(PathBuf::from).to_vec(),
            network: SegmenterConfig {
                input_side: 352,
                encoder: EncoderConfig {
                    kind: EncoderKind::HieraLarge,
                    weights: "weights/sam2.1_hiera_large.pt".into(),
                    frozen: true,
                    ..EncoderConfig::default()
                },
                prompts: Prompts::default(),
                decoder: DecoderConfig {
                    branch_channels: 64,
                    level_channels: 128,
                    mix: decoder::Mix::Dense,
                    attention: Attention::SqueezeExcite,
                    finest: 0,
                    ..DecoderConfig::default()
                },
            },
            optimizer: OptimizerConfig {
                encoder_rate: 1e-5,
                rate: 1e-3,
                weight_decay: 5e-4,
                warm_up: 0.0,
                least_rate: 1e-4,
                clip_norm: 5.0,
                average_decay: 0.99,
            },
            augmentation: Augmentation { mirror: 0.5, flip: 0.5, ..Augmentation::none() },
            ..TrainConfig::default()
        }
    }

    /// Reads and checks a configuration over `base`; unknown keys and values out of range are exit code 78.
    pub fn load(path: &Path, base: &TrainConfig) -> Result<Self> {
        let text = files::read_text(path)?;
        let wrong = |why: String| Fault::configuration(format!("{}: {}", path.display(), why.trim()));
        let own: toml::Table = toml::from_str(&text).map_err(|e| wrong(e.message().to_owned()))?;
        base.with(own)?.map_err(wrong)
    }

    /// With values that a command line gives, each `KEY=VALUE`: the key as in `network.encoder.kind`, the value as in a
    /// TOML file, or a string without quotes. What is not understood is exit code 2.
    pub fn set(&self, settings: &[String]) -> Result<Self> {
        let mut own = toml::Table::new();
        for setting in settings {
            let wrong = |why: &str| Fault::usage(format!("--set {setting}: {why}"));
            let (key, value) = setting.split_once('=').ok_or_else(|| wrong("it must be KEY=VALUE"))?;
            let quoted = toml::Value::String(value.to_owned()).to_string();
            let table = [value, quoted.as_str()]
                .iter()
                .find_map(|value| toml::from_str(&format!("{key} = {value}")).ok())
                .ok_or_else(|| wrong("that is no key of a configuration"))?;
            merge(&mut own, table);
        }
        self.with(own)?.map_err(|why| Fault::usage(format!("--set {}: {}", settings.join(" "), why.trim())))
    }

    /// With these values; the rule that they break, in words, if they break one.
    fn with(&self, own: toml::Table) -> Result<Result<Self, String>> {
        let mut merged = toml::Table::try_from(self)?;
        merge(&mut merged, own);
        let config: TrainConfig = match merged.try_into() {
            Ok(config) => config,
            Err(error) => return Ok(Err(error.message().to_owned())),
        };
        Ok(config.check().map(|()| config))
    }

    /// The network, or why there is none.
    pub fn segmenter(&self) -> Result<Segmenter, String> {
        Segmenter::new(&self.network)
    }

    /// The first rule that the configuration breaks, in words.
    pub fn check(&self) -> Result<(), String> {
        let o = &self.optimizer;
        let segmenter = self.segmenter()?;
        let depths = segmenter.depths();
        let (e, links) = (&self.network.encoder, segmenter.encoder.links());
        let rules = [
            (self.epochs > 0, "epochs must be at least 1"),
            (self.batch > 1, "batch must be at least 2: batch norm needs several pictures"),
            (self.accumulate > 0, "accumulate must be at least 1"),
            (!self.scales.is_empty(), "scales must contain at least one value"),
            (self.scales.iter().all(|s| (0.25..=4.0).contains(s)), "scales must lie in [0.25, 4]"),
            ((0.25..=1.0).contains(&self.grow_from), "grow_from must lie in [0.25, 1]"),
            (self.grow_until > 0.0 && self.grow_until <= 1.0, "grow_until must lie in (0, 1]"),
            (!self.lists.is_empty(), "lists must name at least one list"),
            (self.depth_weights.iter().all(|w| *w >= 0.0), "depth_weights must not be below 0"),
            (o.rate > 0.0 && o.encoder_rate > 0.0, "rates must be above 0"),
            ((0.0..1.0).contains(&o.warm_up), "warm_up must lie in [0, 1)"),
            ((0.0..=1.0).contains(&o.least_rate), "least_rate must lie in [0, 1]"),
            ((0.0..1.0).contains(&o.average_decay), "average_decay must lie in [0, 1)"),
            (
                e.frozen_links == 0 || !e.frozen && self.checkpoint_links == 0,
                "network.encoder.frozen_links needs an encoder that is not frozen, and checkpoint_links = 0",
            ),
            (e.frozen_links < links, "network.encoder.frozen_links must leave one link to train"),
            (o.clip_norm > 0.0, "clip_norm must be above 0"),
        ];
        let distillation = self.distillation.clone().unwrap_or_default();
        let d = &distillation;
        let taught = self.distillation.is_some();
        let weights = [d.truth, d.soft, d.logits, d.features];
        let of_distillation = [
            (!taught || !d.teachers.is_empty(), "distillation.teachers must name at least one run"),
            (weights.iter().all(|w| *w >= 0.0), "distillation's weights must not be below 0"),
            (
                d.truth + d.soft + d.logits > 0.0,
                "one of distillation's truth, soft and logits must be above 0",
            ),
            (d.temperature > 0.0, "distillation.temperature must be above 0"),
            (
                self.unlabelled_lists.is_empty() || taught && d.soft + d.logits > 0.0,
                "unlabelled_lists need distillation with soft or logits above 0",
            ),
            (
                d.features == 0.0 || self.quantised.is_none(),
                "distillation.features must be 0 in quantisation-aware training: a folded graph has no levels",
            ),
        ];
        let of_mix = self.mix.rules(self.batch);
        if let Some((_, why)) = rules.iter().chain(&of_distillation).chain(&of_mix).find(|(holds, _)| !holds)
        {
            return Err((*why).to_owned());
        }
        if self.depth_weights.len() == depths {
            Ok(())
        } else {
            Err(format!("depth_weights needs {depths} weights, one for each decoder level"))
        }
    }

    /// The sides that an epoch's batches are drawn from.
    pub fn sides(&self, epoch: u64) -> Vec<usize> {
        let grown = (epoch as f32 / (self.grow_until * self.epochs as f32)).min(1.0);
        let side = self.network.input_side as f32 * (self.grow_from + (1.0 - self.grow_from) * grown);
        self.scales.iter().map(|scale| ((scale * side / 32.0).round() as usize).max(1) * 32).collect()
    }

    /// The largest side of any batch.
    pub fn largest_side(&self) -> usize {
        self.sides(self.epochs).into_iter().max().unwrap_or(self.network.input_side)
    }
}

/// Values of `over` replace those of `base`; tables are merged.
fn merge(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}
