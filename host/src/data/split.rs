//! Which samples training holds back.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::data::lists::{Sample, read_list};
use crate::data::similar::{clusters, representatives};

/// Of lists' samples what training holds back; all of them if the lists hold nothing else.
pub fn held_back(lists: &[PathBuf], data: &Path, whole: bool) -> Result<Vec<Sample>> {
    let lists = lists.iter().map(|list| read_list(list, data)).collect::<Result<Vec<_>>>()?;
    let samples: Vec<Sample> = lists.into_iter().flatten().collect();
    if whole { Ok(samples) } else { Ok(hold_back(samples)?.1) }
}

/// Splits off about a tenth. Single pictures are drawn by a hash of their name, or of the first name among those that show
/// nearly the same; pictures with numbered names (`cvc-clinicdb/17`) are frames of videos in order, so there the last tenth
/// of the numbers is taken, or a held-back frame would have its neighbour in training.
///
/// # Errors
/// Exit 65 or 74 if a picture cannot be read.
pub fn hold_back(samples: Vec<Sample>) -> Result<(Vec<Sample>, Vec<Sample>)> {
    let single: Vec<Sample> = samples.iter().filter(|sample| number(sample).is_none()).cloned().collect();
    let names = representatives(&single, &clusters(&single)?);
    Ok(divide(samples, names))
}

/// Those of `samples` that are not in `labelled` and do not show nearly the same as one that is held back.
///
/// # Errors
/// Exit 65 or 74 if a picture cannot be read.
pub fn apart(samples: Vec<Sample>, labelled: &[Sample], held: &[Sample]) -> Result<Vec<Sample>> {
    let names: BTreeSet<&str> = labelled.iter().chain(held).map(|sample| sample.name.as_str()).collect();
    let others = samples.into_iter().filter(|sample| !names.contains(sample.name.as_str()));
    let all: Vec<Sample> = held.iter().cloned().chain(others).collect();
    let clusters = clusters(&all)?;
    let of_held: BTreeSet<usize> = clusters.iter().take(held.len()).copied().collect();
    let apart = all.into_iter().zip(clusters).skip(held.len());
    Ok(apart.filter(|(_, cluster)| !of_held.contains(cluster)).map(|(sample, _)| sample).collect())
}

/// `names`: what each sample without a number is drawn by, in order.
fn divide(samples: Vec<Sample>, names: Vec<String>) -> (Vec<Sample>, Vec<Sample>) {
    let mut numbers: Vec<(String, u64)> = samples.iter().filter_map(number).collect();
    numbers.sort();
    let late = |set: &str, n: u64| {
        let of_set: Vec<u64> = numbers.iter().filter(|(s, _)| s == set).map(|(_, n)| *n).collect();
        of_set.get(of_set.len() * 9 / 10).is_some_and(|first| n >= *first)
    };
    let mut names = names.into_iter();
    samples.into_iter().partition(|sample| match number(sample) {
        Some((set, n)) => !late(&set, n),
        None => names.next().is_none_or(|name| !hash(&name).is_multiple_of(10)),
    })
}

/// The data set and number of a video's frame.
fn number(sample: &Sample) -> Option<(String, u64)> {
    let (set, stem) = sample.name.split_once('/')?;
    Some((set.to_owned(), stem.parse::<u64>().ok()?))
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
    use polyp_edge::capture::synthetic::Colon;

    use super::*;

    fn sample(name: String) -> Sample {
        Sample { name, image: Default::default(), mask: None }
    }

    #[test]
    fn videos_are_cut_once_and_pictures_drawn() {
        let mut samples: Vec<Sample> = (1..=100).map(|n| sample(format!("video/{n}"))).collect();
        samples.extend((0..500).map(|n| sample(format!("still/cju{n}"))));
        let names = samples[100..].iter().map(|sample| sample.name.clone()).collect();
        let (kept, held) = divide(samples, names);
        let videos: Vec<&str> = held.iter().filter_map(|s| s.name.strip_prefix("video/")).collect();
        assert_eq!(videos, ["91", "92", "93", "94", "95", "96", "97", "98", "99", "100"]);
        let stills = held.len() - videos.len();
        assert!((25..=75).contains(&stills), "{stills}");
        assert_eq!(kept.len() + held.len(), 600);
    }

    #[test]
    fn what_is_held_back_stays_so_among_other_frames() {
        let folder = tempfile::tempdir().unwrap();
        let picture = |name: &str, seed: u64, light: u8| {
            let (frame, _) = Colon::new(160, 128, seed).render(40);
            let pixels = frame.pixels().iter().map(|value| value.saturating_add(light)).collect();
            let path = folder.path().join(format!("{name}.png"));
            image::RgbImage::from_raw(160, 128, pixels).unwrap().save(&path).unwrap();
            Sample { name: format!("set/{name}"), image: path, mask: None }
        };
        let (held, labelled) = (picture("held", 5, 0), picture("labelled", 6, 0));
        let (copy, other) = (picture("copy", 5, 9), picture("other", 8, 0));
        let all = vec![held.clone(), copy, other.clone(), labelled.clone()];
        assert_eq!(apart(all, &[labelled], &[held]).unwrap(), [other]);
    }

    #[test]
    fn pictures_that_show_the_same_stay_together() {
        let samples: Vec<Sample> = (0..400).map(|n| sample(format!("still/cju{n}"))).collect();
        let names: Vec<String> = (0..400).map(|n| format!("still/cju{}", n / 4)).collect();
        let (_, held) = divide(samples, names);
        let of = |held: &Sample| held.name["still/cju".len()..].parse::<usize>().unwrap() / 4;
        for cluster in 0..100 {
            let count = held.iter().filter(|held| of(held) == cluster).count();
            assert!(count == 0 || count == 4, "{cluster}: {count}");
        }
        assert!(held.len() > 10);
    }
}
