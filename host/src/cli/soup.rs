//! `polyp-host soup --graph FILE … --out FOLDER`: the mean of fine-tuned networks.

use std::path::PathBuf;

use anyhow::Result;
use polyp_edge::fault::Fault;

use crate::data::lists::data_folder;
use crate::data::split::held_back;
use crate::experiments::average::{Member, Tried, choose, judge};
use crate::files;
use crate::parallel::default_threads;
use crate::run::GRAPH;

/// Averages networks that were trained further from the same weights ("model soup"). Networks are added greedily by Dice
/// on held-back frames, undisturbed and disturbed in eight ways.
///
/// Writes graph.safetensors, which can be calibrated, trained for int8 or used as a teacher, and soup.csv, with the scores
/// of each network alone and of the mean with it.
#[derive(clap::Args)]
pub struct Arguments {
    /// A network's graph.safetensors, or the folder of its run. Repeat for more.
    #[arg(long = "graph", required = true)]
    graphs: Vec<PathBuf>,
    /// The folder to write to.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Height and width in pixels of the mean's input; the first network's if not given.
    #[arg(long, value_name = "PX")]
    input_side: Option<usize>,
    /// Lists of frames with polyps that networks are chosen by.
    #[arg(long = "list", default_value = "train")]
    lists: Vec<PathBuf>,
    /// Use all frames of the lists instead of the part that training holds back: the lists contain held-back frames only.
    #[arg(long)]
    whole_lists: bool,
    #[arg(long)]
    threads: Option<usize>,
}

pub fn run(arguments: Arguments) -> Result<()> {
    let path = |graph: &PathBuf| if graph.is_dir() { graph.join(GRAPH) } else { graph.clone() };
    let members =
        arguments.graphs.iter().map(|graph| Member::open(&path(graph))).collect::<Result<Vec<_>>>()?;
    let side = arguments.input_side.or(members.first().map(|member| member.graph.input_side)).unwrap_or(0);
    if side == 0 || !side.is_multiple_of(32) || side > 1024 {
        return Err(Fault::usage(format!("--input-side {side}: a multiple of 32 up to 1024 is needed")));
    }
    // Before minutes of looking at pictures: networks of other shapes have no mean.
    crate::experiments::average::mean(&members.iter().collect::<Vec<_>>(), side)?;
    let samples = held_back(&arguments.lists, &data_folder()?, arguments.whole_lists)?;
    if samples.is_empty() {
        return Err(Fault::data(
            "no frame of the lists is held back; name longer lists or use --whole-lists",
        ));
    }
    let threads = arguments.threads.unwrap_or_else(default_threads).max(1);
    let (graph, rows) = choose(&members, side, |graph, label| judge(graph, label, &samples, threads))?;
    let mut csv = csv::Writer::from_writer(Vec::new());
    rows.iter().try_for_each(|row| csv.serialize(row))?;
    files::write_whole(&arguments.out.join("soup.csv"), &csv.into_inner()?)?;
    graph.save(&arguments.out.join(GRAPH))?;
    print!("{}", text(&rows));
    Ok(())
}

fn text(rows: &[Tried]) -> String {
    let mut text =
        format!("{:<40} {:>6} {:>9}   {:>6} {:>9}\n", "", "alone", "disturbed", "mixed", "disturbed");
    for row in rows {
        let name: String = row.graph.chars().rev().take(40).collect::<Vec<_>>().into_iter().rev().collect();
        let verdict = if row.is_in { "in" } else { "out" };
        text += &format!(
            "{name:<40} {:>6.4} {:>9.4}   {:>6.4} {:>9.4}  {verdict}\n",
            row.plain, row.disturbed, row.mixed_plain, row.mixed_disturbed
        );
    }
    text
}
