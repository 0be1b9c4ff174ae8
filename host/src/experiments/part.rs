//! The part of an experiment's runs that one process does: all, those of a shard, or none.

use std::path::Path;
use std::str::FromStr;

use anyhow::Result;
use polyp_edge::fault::Fault;

use crate::files;

/// Which of an experiment's runs a process trains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// All that are not done; then it writes the results.
    #[default]
    Whole,
    /// Those of one shard; another process writes the results.
    Of(Shard),
    /// None; it writes the results, for which all must be done.
    Merge,
}

impl Part {
    /// What a command line asks for.
    pub fn of(shard: Option<Shard>, merge: bool) -> Part {
        match shard {
            Some(shard) => Part::Of(shard),
            None if merge => Part::Merge,
            None => Part::Whole,
        }
    }

    /// Whether run number `number`, from 0, is trained or measured here if it is not done.
    pub fn does(self, number: usize) -> bool {
        match self {
            Part::Whole => true,
            Part::Of(Shard { index, count }) => number % count == index - 1,
            Part::Merge => false,
        }
    }

    /// Whether results are written at the end.
    pub fn writes_results(self) -> bool {
        !matches!(self, Part::Of(_))
    }
}

/// Shard I of N, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    count: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let number = |text: &str| text.parse::<usize>().ok();
        let both = text.split_once('/').and_then(|(index, count)| Some((number(index)?, number(count)?)));
        match both {
            Some((index, count)) if (1..=count).contains(&index) => Ok(Shard { index, count }),
            _ => Err("a shard is I/N, with I from 1 to N, such as 2/8".to_owned()),
        }
    }
}

/// Keeps in `path` what an experiment is made of, or refuses a folder that holds another one. Several processes may do so at
/// the same time.
///
/// # Errors
/// Exit 2 if it is another experiment's; exit 74 if it can be neither written nor read.
pub fn same_experiment(path: &Path, description: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    if !path.exists() {
        polyp_edge::files::make_folder(folder)?;
        let written = polyp_edge::files::write_new(path, 0o600, description.as_bytes());
        // Another process may have been faster.
        if written.is_ok() || !path.exists() {
            return written;
        }
    }
    if files::read_text(path)? == description {
        return Ok(());
    }
    Err(Fault::usage(format!(
        "{} holds another experiment; name another folder, or give the configuration that {} shows",
        folder.display(),
        path.display()
    )))
}

/// What to say where results of runs are missing.
pub fn missing(names: &[String], of: usize) -> anyhow::Error {
    let few = names.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if names.len() > 5 { ", …" } else { "" };
    Fault::io(format!(
        "{} of {of} runs are not done: {few}{more}; run their shards to the end, or start without --merge to train them here",
        names.len()
    ))
}

#[cfg(test)]
mod tests {
    use polyp_edge::fault::{Exit, exit_of};

    use super::*;

    #[test]
    fn shards_share_the_runs() {
        let shards: Vec<Part> =
            (1..=3).map(|index| Part::of(Some(format!("{index}/3").parse().unwrap()), false)).collect();
        for number in 0..10 {
            assert_eq!(shards.iter().filter(|shard| shard.does(number)).count(), 1, "{number}");
        }
        assert!((0..10).all(|number| Part::Whole.does(number) && !Part::Merge.does(number)));
        for wrong in ["0/3", "4/3", "1", "1/0", "a/3", "1/2/3", "-1/2", ""] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_folder_holds_one_experiment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/base.toml");
        let all = |text: &'static str| {
            let writers: Vec<_> = (0..8)
                .map(|_| {
                    let path = path.clone();
                    std::thread::spawn(move || same_experiment(&path, text))
                })
                .collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
        };
        assert!(all("seed = 1\n").iter().all(Result::is_ok));
        assert!(
            all("seed = 2\n").iter().all(|outcome| exit_of(outcome.as_ref().unwrap_err()) == Exit::Usage)
        );
    }
}
