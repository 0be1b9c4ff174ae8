//! Teachers beside the student: what they say of whole pictures, once and for all, or of each batch; and what their
//! decoders look at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use burn::tensor::{Device, Tensor};
use indicatif::{ProgressBar, ProgressStyle};
use polyp_edge::bundle::hex;
use polyp_edge::fault::Fault;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use crate::data::augment::plain;
use crate::data::cache::{Cached, LARGEST_TEACHER_LOGIT, TeacherView};
use crate::files;
use crate::model::teacher::{self, Seen, Teacher};
use crate::net::resize::{constant, resize};
use crate::numeric::{Resize, enlarged, sigmoid};
use crate::run::config::Distillation;
use crate::train::batches::Batch;

/// What teachers said of the training pictures, in the run's folder.
pub const VIEWS: &str = "teachers.safetensors";
/// Pictures that a teacher looks at at once.
const AT_ONCE: usize = 8;

/// All teachers of a run.
pub struct Teachers {
    all: Vec<Teacher>,
    /// Of their files.
    digest: String,
}

impl Teachers {
    /// Opens the runs that the configuration names.
    pub fn open(config: &Distillation, data: &Path, device: &Device) -> Result<Self> {
        let mut digest = Sha256::new();
        let open = |run: &PathBuf| {
            let path = teacher::file_of(run);
            digest.update(Sha256::digest(files::read(&path)?));
            Teacher::open(&path, data, device)
        };
        let all = config.teachers.iter().map(open).collect::<Result<Vec<_>>>()?;
        Ok(Teachers { all, digest: hex(&digest.finalize()) })
    }

    /// Logits of a batch as it is, `[N, S, S]`.
    pub fn look(&self, batch: &Batch) -> Result<Vec<f32>> {
        let plane = batch.side * batch.side;
        let mut sums = vec![0.0; batch.size * plane];
        for teacher in &self.all {
            let seen = teacher.see(&batch.pixels, batch.size, batch.side)?;
            let maps = seen.logits.chunks_exact(seen.low * seen.low).zip(sums.chunks_exact_mut(plane));
            maps.for_each(|(logits, sum)| add(sum, &enlarged(logits, seen.low, batch.side)));
        }
        Ok(sums.iter().map(|sum| logit(sum / self.all.len() as f32)).collect())
    }

    /// Lets every teacher look at each whole picture and at its mirror image, and keeps the mean; or takes it from the
    /// run's folder if it is there.
    pub fn look_at_all(&self, samples: &mut [Cached], folder: &Path) -> Result<()> {
        let path = folder.join(VIEWS);
        let key = self.key(samples);
        let views = match path.exists().then(|| read(&path, &key)).transpose()?.flatten() {
            Some(views) if views.len() == samples.len() => views,
            _ => {
                let views = self.views(samples)?;
                write(&path, &key, &views)?;
                views
            }
        };
        samples.iter_mut().zip(views).for_each(|(sample, view)| sample.teacher = Some(view));
        Ok(())
    }

    /// Changes with the teachers, the pictures and their order.
    fn key(&self, samples: &[Cached]) -> String {
        let mut key = Sha256::new();
        key.update(&self.digest);
        // Changes when the file holds something else.
        key.update("views, confidence");
        for sample in samples {
            key.update(&sample.name);
            key.update(Sha256::digest(&sample.pixels));
        }
        hex(&key.finalize())
    }

    fn views(&self, samples: &[Cached]) -> Result<Vec<TeacherView>> {
        let bar = ProgressBar::new(samples.len() as u64);
        bar.set_style(ProgressStyle::with_template("teachers predict {bar:30} {pos}/{len}, {eta} left")?);
        let low = self.all.iter().map(Teacher::low).max().unwrap_or(1);
        let mut views = Vec::with_capacity(samples.len());
        for samples in samples.chunks(AT_ONCE) {
            let mut looks: Vec<Vec<Vec<f32>>> = vec![Vec::new(); samples.len()];
            for teacher in &self.all {
                let side = teacher.side();
                let pixels: Vec<f32> = samples.iter().flat_map(|sample| plain(sample, side).pixels).collect();
                for mirrored in [false, true] {
                    let turn = |values: &[f32], side: usize| {
                        if mirrored { mirror(values, side) } else { values.to_vec() }
                    };
                    let seen = teacher.see(&turn(&pixels, side), samples.len(), side)?;
                    let maps = seen.logits.chunks_exact(seen.low * seen.low);
                    for (logits, looks) in maps.zip(&mut looks) {
                        let mut logits = turn(logits, seen.low);
                        if seen.low != low {
                            logits = enlarged(&logits, seen.low, low);
                        }
                        looks.push(logits.into_iter().map(sigmoid).collect());
                    }
                }
            }
            views.extend(looks.iter().map(|looks| {
                let mean = mean(looks);
                let logits: Vec<f32> = mean.iter().map(|share| logit(*share)).collect();
                TeacherView::of(&logits, low, confidence(looks, &mean))
            }));
            bar.inc(samples.len() as u64);
        }
        bar.finish_and_clear();
        Ok(views)
    }

    /// How far a student's decoder levels are from the first teacher's, level by level: attention transfer (Zagoruyko and
    /// Komodakis, ICLR 2017), which compares where levels are strong and so needs no layers between other widths.
    pub fn features(&self, levels: &[Tensor<4>], batch: &Batch) -> Result<Tensor<1>> {
        let first = self.all.first().context("no teacher")?;
        let Seen { levels: theirs, .. } = first.see(&batch.pixels, batch.size, batch.side)?;
        if levels.len() != theirs.len() {
            let why = match theirs.len() {
                0 => "the teacher is a float graph, which gives no decoder levels".to_owned(),
                count => format!("the teacher's decoder has {count} levels, not {}", levels.len()),
            };
            return Err(Fault::configuration(format!("distillation.features: {why}")));
        }
        let apart = levels.iter().zip(theirs).map(|(own, theirs)| {
            let [_, _, height, width] = own.dims();
            let theirs = resize(theirs.square().mean_dim(1), [height, width], Resize::Bilinear);
            let shape = theirs.dims();
            let values = theirs.into_data().try_to_vec::<f32>().context("features are f32")?;
            let theirs = strength(constant(values, shape, &own.device()));
            let own = strength(own.clone().square().mean_dim(1));
            Ok((own - theirs).square().sum() / batch.size as f32)
        });
        let apart = apart.collect::<Result<Vec<Tensor<1>>>>()?;
        apart.into_iter().reduce(|a, b| a + b).context("the decoder has no levels")
    }
}

/// `[N, 1, H, W]` → `[N, H · W]`, each row of length 1.
fn strength(energy: Tensor<4>) -> Tensor<2> {
    let [batch, _, height, width] = energy.dims();
    let flat = energy.reshape([batch, height * width]);
    let length = flat.clone().square().sum_dim(1).sqrt() + 1e-6;
    flat / length
}

/// Adds the probabilities of logits.
fn add(sum: &mut [f32], logits: &[f32]) {
    sum.iter_mut().zip(logits).for_each(|(sum, z)| *sum += sigmoid(*z));
}

/// What all looks at a picture come to, probability by probability.
fn mean(looks: &[Vec<f32>]) -> Vec<f32> {
    let mut sum = vec![0.0; looks.first().map_or(0, Vec::len)];
    looks.iter().for_each(|look| sum.iter_mut().zip(look).for_each(|(sum, p)| *sum += p));
    sum.iter_mut().for_each(|sum| *sum /= looks.len() as f32);
    sum
}

/// How far a picture of which only teachers say anything is to be trusted, 0 to 1: how well the looks at it agree with their
/// mean, by Dice of probabilities, times how far that finds anything, 0 for a peak of one half or less.
fn confidence(looks: &[Vec<f32>], mean: &[f32]) -> f32 {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let dice = |look: &Vec<f32>| {
        2.0 * product(look, mean) / (product(look, look) + product(mean, mean)).max(f32::MIN_POSITIVE)
    };
    let agreement = looks.iter().map(dice).sum::<f32>() / looks.len().max(1) as f32;
    let peak = mean.iter().copied().fold(0.0, f32::max);
    agreement.clamp(0.0, 1.0) * (2.0 * peak - 1.0).clamp(0.0, 1.0)
}

fn logit(probability: f32) -> f32 {
    (probability / (1.0 - probability)).ln().clamp(-LARGEST_TEACHER_LOGIT, LARGEST_TEACHER_LOGIT)
}

/// Rows of `side` values, each turned around.
fn mirror(values: &[f32], side: usize) -> Vec<f32> {
    values.chunks_exact(side).flat_map(|row| row.iter().rev().copied()).collect()
}

fn write(path: &Path, key: &str, views: &[TeacherView]) -> Result<()> {
    let side = views.first().map_or(0, |view| view.side);
    let stored: Vec<u8> = views.iter().flat_map(|view| view.stored.iter().copied()).collect();
    let view = TensorView::new(Dtype::U8, vec![views.len(), side, side], &stored)?;
    let notes = BTreeMap::from([("key".to_owned(), key.to_owned())]);
    let confidence: Vec<u8> = views.iter().flat_map(|view| view.confidence.to_le_bytes()).collect();
    let confidence = TensorView::new(Dtype::F32, vec![views.len()], &confidence)?;
    let tensors = [("views", view), ("confidence", confidence)];
    let bytes = safetensors::serialize(tensors, Some(notes.into_iter().collect()))?;
    files::write_whole(path, &bytes)
}

/// `None` if the file is of other teachers or pictures.
fn read(path: &Path, key: &str) -> Result<Option<Vec<TeacherView>>> {
    let bytes = files::read(path)?;
    let damaged = || Fault::data(format!("{} is incomplete; delete it", path.display()));
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|_| damaged())?;
    if header.metadata().as_ref().and_then(|notes| notes.get("key")).is_none_or(|of_file| of_file != key) {
        return Ok(None);
    }
    let tensors = SafeTensors::deserialize(&bytes).map_err(|_| damaged())?;
    let views = tensors.tensor("views").map_err(|_| damaged())?;
    let [_, side, _] = views.shape()[..] else { return Err(damaged()) };
    let confidence = tensors.tensor("confidence").map_err(|_| damaged())?;
    let confidence = confidence.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    let view = |(stored, confidence): (&[u8], f32)| TeacherView { side, stored: stored.to_vec(), confidence };
    Ok(Some(views.data().chunks_exact((side * side).max(1)).zip(confidence).map(view).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_on_something_is_trusted() {
        let square = |from: usize, to: usize, inside: f32| -> Vec<f32> {
            (0..256).map(|i| if (from..to).contains(&(i % 16)) { inside } else { 0.01 }).collect()
        };
        let of = |looks: &[Vec<f32>]| confidence(looks, &mean(looks));
        let alike = of(&[square(3, 9, 0.99), square(3, 9, 0.98)]);
        let moved = of(&[square(3, 9, 0.99), square(6, 12, 0.98)]);
        let apart = of(&[square(0, 6, 0.99), square(8, 14, 0.98)]);
        let unsure = of(&[square(3, 9, 0.7), square(3, 9, 0.7)]);
        assert!(alike > 0.95 && alike > moved && moved > apart, "{alike} {moved} {apart}");
        assert!((unsure - 0.4).abs() < 0.01, "{unsure}");
        assert_eq!(of(&[square(0, 0, 1.0), square(0, 0, 1.0)]), 0.0, "nothing found");
        assert!(of(&[square(3, 9, 0.99), square(0, 0, 1.0)]) < 1e-3, "found by one of two");
    }

    #[test]
    fn views_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(VIEWS);
        let view = |value: f32| TeacherView::of(&[value; 4], 2, 0.1 * value);
        let views = vec![view(1.0), view(-3.0), view(7.0)];
        write(&path, "key", &views).unwrap();
        assert_eq!(read(&path, "key").unwrap(), Some(views));
        assert_eq!(read(&path, "another").unwrap(), None);
    }
}
