//! `polyp-host measure MAPS --list LIST`: the field's six measures of predicted maps, whoever predicted them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use anyhow::Context;
use polyp_edge::fault::Fault;

use crate::data::lists::{Sample, data_folder, list_name, read_list};
use crate::data::mask::Mask;
use crate::data::usable;
use crate::files;
use crate::measures::map::MapFile;
use crate::measures::{Accumulator, FrameMeasures, Measures};
use crate::parallel::{default_threads, in_parallel, progress_bar};
use crate::score::maps::MapReport;

/// Scores a folder of predicted maps by the field's six measures.
///
/// A map is a grey PNG of 8 or 16 bits, brighter where a polyp is more likely, named like its sample: dataset/stem.png or
/// stem.png. A map that differs in size from its mask is resized bilinearly. Mean Dice and IoU, weighted F, S, E and MAE
/// are those of pysodmetrics, computed on the map stretched to 0…1; there, Dice and IoU are 0 where the mask is empty. Dice
/// and IoU at 0.5 are computed on the map as it is, and are 1 where mask and map are both empty.
#[derive(clap::Args)]
pub struct Arguments {
    /// The folder of maps.
    maps: PathBuf,
    /// A list file, or the name of one in splits/ of the data folder. Repeat for more.
    #[arg(long = "list", required_unless_present = "masks", conflicts_with = "masks")]
    lists: Vec<PathBuf>,
    /// A folder of masks (PNG or JPEG), named like the maps, instead of lists.
    #[arg(long, value_name = "FOLDER")]
    masks: Option<PathBuf>,
    #[arg(long)]
    threads: Option<usize>,
    /// Also write the table as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Maps that are scored together.
struct Group {
    name: String,
    pairs: Vec<Pair>,
}

struct Pair {
    /// dataset/stem, or stem.
    name: String,
    map: PathBuf,
    truth: Truth,
}

enum Truth {
    Sample(Sample),
    File(PathBuf),
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    arguments.json.iter().try_for_each(|path| files::check_writable(path))?;
    let groups = match &arguments.masks {
        Some(masks) => vec![group_of_folder(masks, &arguments.maps)?],
        None => groups_of_lists(&arguments.lists, &arguments.maps)?,
    };
    no_map_is_missing(&groups, &arguments.maps)?;
    no_map_is_of_two_samples(&groups)?;
    let threads = arguments.threads.unwrap_or_else(default_threads).max(1);
    let mut report = MapReport { schema: 1, lists: BTreeMap::new() };
    let mut resized = 0;
    for group in groups {
        let (measures, resized_here) = measure(&group, threads)?;
        resized += resized_here;
        if report.lists.insert(group.name.clone(), measures).is_some() {
            return Err(Fault::usage(format!("two lists are named {}; rename one", group.name)));
        }
    }
    if resized > 0 {
        log::warn!("{resized} maps differ in size from their masks and were resized bilinearly");
    }
    if let Some(path) = &arguments.json {
        files::write_whole(path, &serde_json::to_vec(&report)?)?;
    }
    print_table(&report);
    Ok(())
}

fn groups_of_lists(lists: &[PathBuf], maps: &Path) -> anyhow::Result<Vec<Group>> {
    let data = data_folder()?;
    let pair = |sample: Sample| {
        let named = maps.join(format!("{}.png", sample.name));
        let stem = sample.name.rsplit('/').next().unwrap_or_default();
        let map = if named.is_file() { named } else { maps.join(format!("{stem}.png")) };
        Pair { name: sample.name.clone(), map, truth: Truth::Sample(sample) }
    };
    let group = |list: &PathBuf| {
        let pairs = read_list(list, &data)?.into_iter().map(pair).collect();
        Ok(Group { name: list_name(list), pairs })
    };
    lists.iter().map(group).collect()
}

fn group_of_folder(masks: &Path, maps: &Path) -> anyhow::Result<Group> {
    let mut by_stem = BTreeMap::new();
    for mask in files_in(masks)? {
        let stem = stem_of(&mask);
        if let Some(other) = by_stem.insert(stem, mask.clone()) {
            return Err(Fault::data(format!(
                "{} and {} are masks of the same map; keep one of them",
                other.display(),
                mask.display()
            )));
        }
    }
    if by_stem.is_empty() {
        return Err(Fault::data(format!("{} contains no mask", masks.display())));
    }
    let without: Vec<String> =
        files_in(maps)?.iter().map(|map| stem_of(map)).filter(|stem| !by_stem.contains_key(stem)).collect();
    if !without.is_empty() {
        log::warn!(
            "{} maps have no mask in {}: {}",
            without.len(),
            masks.display(),
            usable::first_few(&without)
        );
    }
    let pair = |(name, mask): (String, PathBuf)| {
        let map = maps.join(format!("{name}.png"));
        Pair { name, map, truth: Truth::File(mask) }
    };
    Ok(Group { name: list_name(masks), pairs: by_stem.into_iter().map(pair).collect() })
}

/// A folder's files but hidden ones, in order of their names.
fn files_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let unreadable = |error| Fault::io(format!("cannot read {}: {error}", folder.display()));
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if entry.path().is_file() && !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn stem_of(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn no_map_is_missing(groups: &[Group], maps: &Path) -> anyhow::Result<()> {
    let pairs = || groups.iter().flat_map(|group| &group.pairs);
    let missing: Vec<String> =
        pairs().filter(|pair| !pair.map.is_file()).map(|pair| pair.name.clone()).collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Fault::io(format!(
            "{} of {} maps are not in {}: {}",
            missing.len(),
            pairs().count(),
            maps.display(),
            usable::first_few(&missing)
        )))
    }
}

/// Data sets number their pictures alike: in one folder without subfolders, a map may be another picture's.
fn no_map_is_of_two_samples(groups: &[Group]) -> anyhow::Result<()> {
    let mut owners = HashMap::new();
    for pair in groups.iter().flat_map(|group| &group.pairs) {
        match owners.insert(&pair.map, &pair.name) {
            Some(other) if *other != pair.name => {
                return Err(Fault::data(format!(
                    "{} would be the map of {other} and of {}; put maps into folders named like their data sets",
                    pair.map.display(),
                    pair.name
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The measures, and how many maps were resized.
fn measure(group: &Group, threads: usize) -> anyhow::Result<(Measures, usize)> {
    let bar = progress_bar(&group.name, group.pairs.len());
    let frames = in_parallel(
        &group.pairs,
        threads,
        || Ok(()),
        |_, pair| {
            let frame = pair.measure().with_context(|| pair.name.clone());
            bar.inc(1);
            Ok(frame)
        },
    );
    bar.finish_and_clear();
    let frames = usable::all(frames?)?;
    let resized = frames.iter().filter(|(_, resized)| *resized).count();
    Ok((frames.iter().map(|(frame, _)| frame).collect::<Accumulator>().finish(), resized))
}

impl Pair {
    /// Its measures, and whether its map was resized.
    fn measure(&self) -> anyhow::Result<(FrameMeasures, bool)> {
        let truth = match &self.truth {
            Truth::File(path) => Mask::read(path)?,
            Truth::Sample(sample) => {
                let (width_px, height_px) = sample.read_size()?;
                Mask { width_px, height_px, pixels: sample.read_mask(width_px, height_px)? }
            }
        };
        let (width_px, height_px) = (truth.width_px, truth.height_px);
        let map = MapFile::read(&self.map)?;
        let fits = (map.width_px, map.height_px) == (width_px, height_px);
        let map = if fits { map } else { map.resized(width_px, height_px) };
        Ok((FrameMeasures::of(map.map(), &truth.pixels, width_px, height_px)?, !fits))
    }
}

/// A line a list: the field's measures, and Dice and IoU at 0.5.
pub(super) fn print_table(report: &MapReport) {
    println!(
        "{:<26} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>8} {:>7}",
        "list", "frames", "mDice", "mIoU", "wF", "S", "mE", "maxE", "MAE", "Dice@0.5", "IoU@0.5"
    );
    for (name, of) in &report.lists {
        println!(
            "{name:<26} {:>6} {:>6.3} {:>6.3} {:>6.3} {:>6.3} {:>6.3} {:>6.3} {:>6.3} {:>8.3} {:>7.3}",
            of.frames,
            of.mean_dice,
            of.mean_iou,
            of.weighted_f,
            of.s_measure,
            of.mean_e,
            of.max_e,
            of.mae,
            of.dice_at_half,
            of.iou_at_half
        );
    }
}
