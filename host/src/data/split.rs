//! Which samples training holds back.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::data::lists::{Sample, read_list};

/// Of lists' samples what training holds back; all of them if the lists hold nothing else.
pub fn held_back(lists: &[PathBuf], data: &Path, whole: bool) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for list in lists {
        let of_list = read_list(list, data)?;
        samples.extend(if whole { of_list } else { hold_back(of_list).1 });
    }
    Ok(samples)
}

/// Splits off about a tenth. Single pictures are drawn by a hash of their name; pictures with numbered names
/// (`cvc-clinicdb/17`) are frames of videos in order, so there the last tenth of the numbers is taken, or a held-back
/// frame would have its neighbour in training.
pub fn hold_back(samples: Vec<Sample>) -> (Vec<Sample>, Vec<Sample>) {
    let number = |sample: &Sample| {
        let (set, stem) = sample.name.split_once('/')?;
        Some((set.to_owned(), stem.parse::<u64>().ok()?))
    };
    let mut numbers: Vec<(String, u64)> = samples.iter().filter_map(number).collect();
    numbers.sort();
    let late = |set: &str, n: u64| {
        let of_set: Vec<u64> = numbers.iter().filter(|(s, _)| s == set).map(|(_, n)| *n).collect();
        of_set.get(of_set.len() * 9 / 10).is_some_and(|first| n >= *first)
    };
    samples.into_iter().partition(|sample| match number(sample) {
        Some((set, n)) => !late(&set, n),
        None => !hash(&sample.name).is_multiple_of(10),
    })
}

/// FNV-1a, so that the split never changes between versions of anything, its high bits folded in.
fn hash(name: &str) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ byte as u64).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: String) -> Sample {
        Sample { name, image: Default::default(), mask: None }
    }

    #[test]
    fn videos_are_cut_once_and_pictures_drawn() {
        let mut samples: Vec<Sample> = (1..=100).map(|n| sample(format!("video/{n}"))).collect();
        samples.extend((0..500).map(|n| sample(format!("still/cju{n}"))));
        let (kept, held) = hold_back(samples);
        let videos: Vec<&str> = held.iter().filter_map(|s| s.name.strip_prefix("video/")).collect();
        assert_eq!(videos, ["91", "92", "93", "94", "95", "96", "97", "98", "99", "100"]);
        let stills = held.len() - videos.len();
        assert!((25..=75).contains(&stills), "{stills}");
        assert_eq!(kept.len() + held.len(), 600);
    }
}
