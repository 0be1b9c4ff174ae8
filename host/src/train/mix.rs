//! Which pictures an epoch meets where every data set has its share of each batch.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::data::cache::Cached;
use crate::run::config::Mix;

/// The pictures of one data set.
struct Group {
    /// Numbers of its samples.
    numbers: Vec<usize>,
    /// How many of them an epoch meets; some several times if there are fewer.
    count: usize,
    /// Whether all are free of polyps: then the harder ones come more often.
    is_free: bool,
}

/// Data sets with their shares.
pub struct Groups {
    groups: Vec<Group>,
    seed: u64,
}

impl Groups {
    /// `None` where no shares are asked for: then every picture comes once an epoch.
    ///
    /// # Errors
    /// In words of the configuration, if a share names a data set of which there is no picture, or a data set has no share.
    pub fn of(samples: &[Cached], mix: &Mix, seed: u64) -> Result<Option<Self>, String> {
        if mix.shares.is_empty() {
            return Ok(None);
        }
        let sets: Vec<&str> = samples.iter().map(Cached::set).collect();
        if let Some(other) = sets.iter().find(|set| !mix.shares.contains_key(**set)) {
            return Err(format!(
                "mix.shares has no share for {other}; set it to 0 to leave that data set out"
            ));
        }
        let total: f32 = mix.shares.values().sum();
        let mut groups = Vec::new();
        for (set, share) in &mix.shares {
            let numbers: Vec<usize> = (0..samples.len()).filter(|i| sets[*i] == set).collect();
            if numbers.is_empty() {
                return Err(format!("mix.shares names {set}, but no training image is from that data set"));
            }
            let count = (share / total * mix.pictures_per_epoch as f32).round() as usize;
            let free = |i: &usize| samples[*i].labelled && samples[*i].mask.iter().all(|share| *share == 0);
            groups.push(Group { is_free: numbers.iter().all(free), numbers, count });
        }
        Ok(Some(Groups { groups, seed }))
    }

    /// How many pictures an epoch meets.
    pub fn pictures(&self) -> usize {
        self.groups.iter().map(|group| group.count).sum()
    }

    /// An epoch's pictures, so that any stretch of them holds about every group's share. `weights`: how often each sample is
    /// drawn from a polyp-free group, from 1 up.
    pub fn order(&self, epoch: u64, weights: &[f32]) -> Vec<usize> {
        let mut placed: Vec<(f32, usize)> = Vec::new();
        for (index, group) in self.groups.iter().enumerate() {
            let mut rng = self.random(index as u64, epoch);
            let drawn = if group.is_free {
                weighted(group, weights, &mut rng)
            } else {
                self.in_turn(group, index as u64, epoch)
            };
            let place = drawn.iter().enumerate();
            placed.extend(
                place.map(|(k, number)| ((k as f32 + rng.random::<f32>()) / group.count as f32, *number)),
            );
        }
        placed.sort_by(|a, b| a.0.total_cmp(&b.0));
        placed.into_iter().map(|(_, number)| number).collect()
    }

    fn random(&self, group: u64, epoch: u64) -> ChaCha8Rng {
        let stream = group.wrapping_mul(0xd134_2543_de82_ef95) ^ epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ChaCha8Rng::seed_from_u64(self.seed ^ stream)
    }

    /// Every picture once before any comes again, whatever the epochs' ends.
    fn in_turn(&self, group: &Group, index: u64, epoch: u64) -> Vec<usize> {
        let (length, first) = (group.numbers.len() as u64, epoch * group.count as u64);
        let mut round = None;
        let mut shuffled = group.numbers.clone();
        (first..first + group.count as u64)
            .map(|at| {
                if round != Some(at / length) {
                    round = Some(at / length);
                    shuffled.clone_from(&group.numbers);
                    // Apart from what `order` draws from.
                    shuffled.shuffle(&mut self.random(index, !(at / length)));
                }
                shuffled[(at % length) as usize]
            })
            .collect()
    }
}

/// Without repetition as long as there are enough, the heavier the more often (Efraimidis and Spirakis, 2006).
fn weighted(group: &Group, weights: &[f32], rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut drawn = Vec::with_capacity(group.count);
    while drawn.len() < group.count {
        let weight = |number: usize| weights.get(number).copied().unwrap_or(1.0).max(1e-3);
        let mut keyed: Vec<(f32, usize)> = group
            .numbers
            .iter()
            .map(|&number| (rng.random::<f32>().powf(1.0 / weight(number)), number))
            .collect();
        keyed.sort_by(|a, b| b.0.total_cmp(&a.0));
        drawn.extend(keyed.into_iter().map(|(_, number)| number).take(group.count - drawn.len()));
    }
    drawn.shuffle(rng);
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(counts: &[(&str, usize, u8)]) -> Vec<Cached> {
        let of = |(set, count, share): &(&str, usize, u8)| {
            let (set, share) = (set.to_string(), *share);
            (0..*count).map(move |i| Cached {
                name: format!("{set}/{i}"),
                pixels: vec![0; 3],
                mask: vec![share; 1],
                labelled: true,
                teacher: None,
            })
        };
        counts.iter().flat_map(of).collect()
    }

    fn mix(shares: &[(&str, f32)], pictures_per_epoch: usize) -> Mix {
        let shares = shares.iter().map(|(set, share)| (set.to_string(), *share)).collect();
        Mix { shares, pictures_per_epoch, ..Mix::default() }
    }

    #[test]
    fn every_batch_has_every_data_sets_share() {
        let samples = samples(&[("a", 90, 255), ("b", 10, 255), ("free", 50, 0)]);
        let mix = mix(&[("a", 2.0), ("b", 1.0), ("free", 1.0)], 80);
        let groups = Groups::of(&samples, &mix, 7).unwrap().unwrap();
        assert_eq!(groups.pictures(), 80);
        let mut met = vec![0; samples.len()];
        for epoch in 0..9 {
            let order = groups.order(epoch, &[]);
            assert_eq!(order, groups.order(epoch, &[]));
            for batch in order.chunks(8) {
                let of = |set: &str| batch.iter().filter(|i| samples[**i].set() == set).count();
                assert!((3..=5).contains(&of("a")) && (1..=3).contains(&of("b")), "{batch:?}");
            }
            order.iter().for_each(|i| met[*i] += 1);
        }
        // 9 epochs of 40 are four rounds of a's 90, and 9 of 20 are eighteen of b's 10.
        assert!(met[..90].iter().all(|count| *count == 4), "{met:?}");
        assert!(met[90..100].iter().all(|count| *count == 18), "{met:?}");
        assert!(groups.order(0, &[]) != groups.order(1, &[]));
    }

    #[test]
    fn hard_polyp_free_frames_come_more_often() {
        let samples = samples(&[("a", 4, 255), ("free", 100, 0)]);
        let groups = Groups::of(&samples, &mix(&[("a", 1.0), ("free", 5.0)], 24), 1).unwrap().unwrap();
        let mut weights = vec![1.0; samples.len()];
        weights[4..14].fill(5.0);
        let hard = |epoch: u64| groups.order(epoch, &weights).iter().filter(|i| (4..14).contains(*i)).count();
        let met: usize = (0..50).map(hard).sum();
        // Evenly drawn there would be 100.
        assert!((220..400).contains(&met), "{met}");
        // More than there are: all of them, and some again.
        let many = Groups::of(&samples, &mix(&[("a", 1.0), ("free", 5.0)], 360), 1).unwrap().unwrap();
        let mut order = many.order(0, &weights);
        assert_eq!(order.len(), 360);
        order.sort_unstable();
        order.dedup();
        assert_eq!(order.len(), 104);
    }

    #[test]
    fn shares_and_data_sets_must_fit() {
        let samples = samples(&[("a", 4, 255), ("b", 4, 255)]);
        let wrong = |shares: &[(&str, f32)]| Groups::of(&samples, &mix(shares, 8), 1).err().unwrap();
        assert!(wrong(&[("a", 1.0)]).contains("no share for b"));
        assert!(wrong(&[("a", 1.0), ("b", 1.0), ("c", 1.0)]).contains("names c"));
    }
}
