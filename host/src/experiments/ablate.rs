//! The paper's claims as an experiment: each of its parts taken away, several seeds each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use burn::tensor::Device;
use polyp_edge::fault::Fault;
use serde::{Deserialize, Serialize};

use crate::experiments::part::{Part, missing, same_experiment};
use crate::files;
use crate::measures::Measures;
use crate::net::decoder::{Attention, Skips};
use crate::net::prompts::{Form, Prompts};
use crate::run::config::TrainConfig;
use crate::train::trainer::{Run, train};

/// Which of the parts a network has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Parts {
    /// Prompt layers before the encoder's blocks.
    pub prompts: bool,
    /// Full-scale skips; without them the decoder has those of U-Net.
    pub full_scale: bool,
    /// Channel attention in the decoder.
    pub attention: bool,
}

impl Parts {
    /// Everything, then everything but one; or every combination.
    pub fn of(base: &TrainConfig, factorial: bool) -> Vec<Parts> {
        let all = [false, true];
        let mut variants: Vec<Parts> = all
            .iter()
            .flat_map(|&prompts| all.iter().map(move |&full_scale| (prompts, full_scale)))
            .flat_map(|(prompts, full_scale)| {
                all.iter().map(move |&attention| Parts { prompts, full_scale, attention })
            })
            .filter(|parts| factorial || parts.missing() <= 1)
            .filter(|parts| parts.prompts || !base.network.prompts.is_none())
            .collect();
        if base.network.prompts.is_none() {
            // An encoder without blocks has no prompts to take away.
            variants.iter_mut().for_each(|parts| parts.prompts = false);
        }
        variants.sort_by_key(|parts| (parts.missing(), !parts.prompts, !parts.full_scale, !parts.attention));
        variants.dedup();
        variants
    }

    fn missing(self) -> usize {
        [self.prompts, self.full_scale, self.attention].iter().filter(|has| !**has).count()
    }

    /// The configuration without what is missing.
    pub fn apply(self, base: &TrainConfig) -> TrainConfig {
        let mut config = base.clone();
        if !self.prompts {
            config.network.prompts = Prompts { form: Form::None, ..config.network.prompts };
        }
        if !self.full_scale {
            config.network.decoder.skips = Skips::Neighbours;
        }
        if !self.attention {
            config.network.decoder.attention = Attention::None;
        }
        config
    }

    /// The variant's folder.
    pub fn word(self, base: &TrainConfig) -> String {
        let mut words = Vec::new();
        if !base.network.prompts.is_none() {
            words.push(if self.prompts { "prompts" } else { "no-prompts" });
        }
        words.push(if self.full_scale { "full-scale" } else { "neighbours" });
        words.push(if self.attention { "attention" } else { "no-attention" });
        words.join("+")
    }
}

/// What to run, and where.
pub struct Plan {
    /// The experiment's folder: one for each variant, and in it a run for each seed.
    pub folder: PathBuf,
    /// The data folder.
    pub data: PathBuf,
    /// The configuration with all parts; its seed is the first one.
    pub base: TrainConfig,
    /// Where the runs are computed.
    pub device: Device,
    /// How many seeds each variant is trained with; at least 1.
    pub seeds: u64,
    /// Every combination of parts, instead of all of them and all but one.
    pub factorial: bool,
    /// Steps between checkpoints within an epoch.
    pub checkpoint_every: u64,
    /// Which of the runs are trained here.
    pub part: Part,
}

/// `result.json` of one variant and seed.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Outcome {
    schema: u32,
    held_back_dice: f64,
    epochs: u64,
    /// Mean Dice by the field's protocol on each list.
    mean_dice: BTreeMap<String, f64>,
    /// Dice at 0.5.
    dice_at_half: BTreeMap<String, f64>,
}

/// Mean and deviation of one figure over seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The mean; 0 without values.
    pub mean: f64,
    /// Of the sample, n − 1; 0 with one seed.
    pub deviation: f64,
    /// How many values there are.
    pub seeds: usize,
}

impl Spread {
    /// The spread of one value a seed.
    pub fn of(values: &[f64]) -> Self {
        let count = values.len();
        let mean = values.iter().sum::<f64>() / count.max(1) as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = if count > 1 { (squares / (count - 1) as f64).sqrt() } else { 0.0 };
        Spread { mean, deviation, seeds: count }
    }
}

/// A row of the table: a variant, a figure's name, its spread.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The variant's name, see [`Parts::word`].
    pub variant: String,
    /// What was measured, such as `test-kvasir mDice`.
    pub figure: String,
    /// Mean and deviation over the seeds that are done.
    #[serde(flatten)]
    pub spread: Spread,
}

/// Trains whatever of its part is not done yet, and writes `ablation.csv` and `ablation.md` after each round of seeds, unless it
/// is a shard's part. `score` measures a run's folder on the configuration's lists.
pub fn ablate(
    plan: &Plan,
    score: impl Fn(&Path, &TrainConfig) -> Result<BTreeMap<String, Measures>>,
) -> Result<Vec<Row>> {
    if plan.seeds == 0 {
        return Err(Fault::usage("--seeds must be at least 1"));
    }
    same_experiment(&plan.folder.join("base.toml"), &toml::to_string(&plan.base)?)?;
    let variants = Parts::of(&plan.base, plan.factorial);
    let mut outcomes: Vec<(String, Vec<Outcome>)> =
        variants.iter().map(|parts| (parts.word(&plan.base), Vec::new())).collect();
    let (mut rows, mut not_done, mut number) = (Vec::new(), Vec::new(), 0);
    // Seed by seed: a table with every variant is there after the first round.
    for seed in 0..plan.seeds {
        for (parts, (word, found)) in variants.iter().zip(&mut outcomes) {
            let seed = plan.base.seed + seed;
            let run = format!("{word}/seed-{seed}");
            let folder = plan.folder.join(&run);
            if plan.part.does(number) {
                log::info!("{word}, seed {seed}");
                let config = TrainConfig { seed, ..parts.apply(&plan.base) };
                found.push(one(plan, &folder, config, &score)?);
            } else {
                match known(&folder)? {
                    Some(outcome) => found.push(outcome),
                    None => not_done.push(run),
                }
            }
            number += 1;
        }
        if plan.part == Part::Whole {
            rows = table(&outcomes);
            write(&plan.folder, &rows)?;
        }
    }
    if plan.part == Part::Merge {
        if !not_done.is_empty() {
            return Err(missing(&not_done, number));
        }
        rows = table(&outcomes);
        write(&plan.folder, &rows)?;
    }
    Ok(rows)
}

/// What an earlier process found.
fn known(folder: &Path) -> Result<Option<Outcome>> {
    let result = folder.join("result.json");
    if !result.exists() {
        return Ok(None);
    }
    let outcome = serde_json::from_str(&files::read_text(&result)?);
    outcome
        .map(Some)
        .map_err(|e| Fault::data(format!("{}: {e}; delete it to measure again", result.display())))
}

fn one(
    plan: &Plan,
    folder: &Path,
    config: TrainConfig,
    score: &impl Fn(&Path, &TrainConfig) -> Result<BTreeMap<String, Measures>>,
) -> Result<Outcome> {
    if let Some(known) = known(folder)? {
        return Ok(known);
    }
    let points = train(&Run {
        folder: folder.to_path_buf(),
        data: plan.data.clone(),
        config: config.clone(),
        device: plan.device.clone(),
        resume: true,
        stop_after: None,
        checkpoint_every: plan.checkpoint_every,
    })?;
    let measures = score(folder, &config)?;
    let figures =
        |value: fn(&Measures) -> f64| measures.iter().map(|(name, m)| (name.clone(), value(m))).collect();
    let outcome = Outcome {
        schema: 1,
        held_back_dice: points.iter().map(|point| point.held_back_dice).fold(0.0, f64::max),
        epochs: points.len() as u64,
        mean_dice: figures(|m| m.mean_dice),
        dice_at_half: figures(|m| m.dice_at_half),
    };
    files::write_whole(&folder.join("result.json"), &serde_json::to_vec_pretty(&outcome)?)?;
    Ok(outcome)
}

fn table(outcomes: &[(String, Vec<Outcome>)]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (variant, outcomes) in outcomes {
        let mut row = |figure: String, values: Vec<f64>| {
            rows.push(Row { variant: variant.clone(), figure, spread: Spread::of(&values) });
        };
        row("held-back Dice at 0.5".to_owned(), outcomes.iter().map(|o| o.held_back_dice).collect());
        let lists: Vec<&String> = outcomes.first().map_or(Vec::new(), |o| o.mean_dice.keys().collect());
        for list in lists {
            let of = |map: fn(&Outcome) -> &BTreeMap<String, f64>| {
                outcomes.iter().filter_map(|o| map(o).get(list).copied()).collect()
            };
            row(format!("{list} mDice"), of(|o| &o.mean_dice));
            row(format!("{list} Dice at 0.5"), of(|o| &o.dice_at_half));
        }
    }
    rows
}

/// A line a variant, a column a figure, as Markdown.
pub fn markdown(rows: &[Row]) -> String {
    let unique = |key: fn(&Row) -> &String| {
        let mut seen: Vec<&String> = Vec::new();
        rows.iter().map(key).for_each(|value| {
            if !seen.contains(&value) {
                seen.push(value);
            }
        });
        seen
    };
    let (variants, figures) = (unique(|row| &row.variant), unique(|row| &row.figure));
    let join = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text =
        join([vec!["variant".to_owned()], figures.iter().map(|f| f.to_string()).collect()].concat());
    text += &format!("|{}\n", "---|".repeat(figures.len() + 1));
    for variant in variants {
        let cell = |figure: &&String| {
            let row = rows.iter().find(|row| row.variant == *variant && row.figure == **figure);
            row.map_or("–".to_owned(), |Row { spread: s, .. }| match s.seeds {
                1 => format!("{:.3}", s.mean),
                _ => format!("{:.3} ± {:.3}", s.mean, s.deviation),
            })
        };
        text += &join([vec![variant.clone()], figures.iter().map(cell).collect()].concat());
    }
    text
}

fn write(folder: &Path, rows: &[Row]) -> Result<()> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(["variant", "figure", "mean", "deviation", "seeds"])?;
    for Row { variant, figure, spread: Spread { mean, deviation, seeds } } in rows {
        csv.write_record([variant, figure, &mean.to_string(), &deviation.to_string(), &seeds.to_string()])?;
    }
    files::write_whole(&folder.join("ablation.csv"), &csv.into_inner()?)?;
    files::write_whole(&folder.join("ablation.md"), markdown(rows).as_bytes())
}

#[cfg(test)]
mod tests {
    use polyp_edge::fault::{Exit, exit_of};

    use super::*;
    use crate::train::trainer;

    #[test]
    fn variants_are_all_but_one_or_all_combinations() {
        let teacher = TrainConfig::teacher();
        let words = |base: &TrainConfig, factorial| -> Vec<String> {
            Parts::of(base, factorial).into_iter().map(|parts| parts.word(base)).collect()
        };
        assert_eq!(
            words(&teacher, false),
            [
                "prompts+full-scale+attention",
                "prompts+full-scale+no-attention",
                "prompts+neighbours+attention",
                "no-prompts+full-scale+attention",
            ]
        );
        assert_eq!(words(&teacher, true).len(), 8);
        let plain = TrainConfig::default();
        assert_eq!(
            words(&plain, false),
            ["full-scale+attention", "full-scale+no-attention", "neighbours+attention"]
        );
        for base in [&teacher, &plain] {
            for parts in Parts::of(base, true) {
                parts.apply(base).check().unwrap();
            }
        }
    }

    /// Three shards in any order, the last one twice; then what one process would have written.
    #[test]
    fn shards_and_a_merge_do_what_one_process_does() {
        let (data, folder, whole) =
            (trainer::tests::data(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let base = trainer::tests::config(1);
        let run = |folder: &Path, part: Part| {
            let plan = Plan {
                folder: folder.to_path_buf(),
                data: data.path().to_path_buf(),
                base: base.clone(),
                device: Device::flex(),
                seeds: 2,
                factorial: false,
                checkpoint_every: 50,
                part,
            };
            let scored = std::cell::Cell::new(0);
            let score = |_: &Path, config: &TrainConfig| {
                scored.set(scored.get() + 1);
                let measures = Measures { mean_dice: config.seed as f64 / 8.0, ..Measures::default() };
                Ok(BTreeMap::from([("list".to_owned(), measures)]))
            };
            (ablate(&plan, score), scored.get())
        };
        let shard = |index: usize| Part::of(Some(format!("{index}/3").parse().unwrap()), false);
        // What is left for the second shard is of the first and of the second seed.
        for (index, runs) in [(3, 2), (1, 2)] {
            let (outcome, scored) = run(folder.path(), shard(index));
            assert_eq!((outcome.unwrap().len(), scored), (0, runs));
        }
        let (early, _) = run(folder.path(), Part::Merge);
        let early = early.unwrap_err();
        assert_eq!(exit_of(&early), Exit::Io);
        assert!(
            early.to_string().starts_with("2 of 6 runs are not done: full-scale+no-attention/seed-1,"),
            "{early}"
        );
        assert!(!folder.path().join("ablation.md").exists());
        assert_eq!(run(folder.path(), shard(2)).1, 2);
        assert_eq!(run(folder.path(), shard(2)).1, 0, "nothing is done twice");
        let (merged, scored) = run(folder.path(), Part::Merge);
        assert_eq!(scored, 0);
        assert_eq!(merged.unwrap().len(), 9);
        assert_eq!(run(whole.path(), Part::Whole).1, 6);
        // A table is replaced by a whole one alone.
        let late = folder.path().join("neighbours+attention/seed-2/result.json");
        std::fs::rename(&late, folder.path().join("aside")).unwrap();
        std::fs::write(folder.path().join("ablation.md"), "kept").unwrap();
        assert!(run(folder.path(), Part::Merge).0.is_err());
        assert_eq!(std::fs::read_to_string(folder.path().join("ablation.md")).unwrap(), "kept");
        std::fs::remove_file(folder.path().join("ablation.md")).unwrap();
        std::fs::rename(folder.path().join("aside"), &late).unwrap();
        assert!(run(folder.path(), Part::Merge).0.is_ok());
        for file in ["ablation.md", "ablation.csv"] {
            let text = |folder: &Path| std::fs::read_to_string(folder.join(file)).unwrap();
            assert_eq!(text(folder.path()), text(whole.path()), "{file}");
        }
    }

    #[test]
    fn a_spread_by_hand() {
        let spread = Spread::of(&[0.8, 0.9, 1.0]);
        assert!((spread.mean - 0.9).abs() < 1e-12 && (spread.deviation - 0.1).abs() < 1e-12);
        assert_eq!(Spread::of(&[0.5]), Spread { mean: 0.5, deviation: 0.0, seeds: 1 });
        let row = |variant: &str, values: &[f64]| Row {
            variant: variant.to_owned(),
            figure: "mDice".to_owned(),
            spread: Spread::of(values),
        };
        let text = markdown(&[row("a", &[0.8, 0.9, 1.0]), row("b", &[0.5])]);
        assert_eq!(text, "| variant | mDice |\n|---|---|\n| a | 0.900 ± 0.100 |\n| b | 0.500 |\n");
    }
}
