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
            let mut sums = vec![0.0; samples.len() * low * low];
            for teacher in &self.all {
                let side = teacher.side();
                let pixels: Vec<f32> = samples.iter().flat_map(|sample| plain(sample, side).pixels).collect();
                for mirrored in [false, true] {
                    let turn = |values: &[f32], side: usize| {
                        if mirrored { mirror(values, side) } else { values.to_vec() }
                    };
                    let seen = teacher.see(&turn(&pixels, side), samples.len(), side)?;
                    let maps = seen.logits.chunks_exact(seen.low * seen.low);
                    for (logits, sum) in maps.zip(sums.chunks_exact_mut(low * low)) {
                        let logits = turn(logits, seen.low);
                        if seen.low == low {
                            add(sum, &logits)
                        } else {
                            add(sum, &enlarged(&logits, seen.low, low))
                        }
                    }
                }
            }
            let looks = 2.0 * self.all.len() as f32;
            views.extend(sums.chunks_exact(low * low).map(|sum| {
                let logits: Vec<f32> = sum.iter().map(|sum| logit(sum / looks)).collect();
                TeacherView::of(&logits, low)
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
    let bytes = safetensors::serialize([("views", view)], Some(notes.into_iter().collect()))?;
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
    let view = |stored: &[u8]| TeacherView { side, stored: stored.to_vec() };
    Ok(Some(views.data().chunks_exact((side * side).max(1)).map(view).collect()))
}
