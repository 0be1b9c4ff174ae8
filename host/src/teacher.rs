//! A network that `finetune` made, looking at pictures: probabilities at their own size.

use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::{Device, Tensor};
use indicatif::{ProgressBar, ProgressStyle};
use polyp_edge::fault::Fault;
use polyp_edge::field_of_view;
use polyp_edge::frame::{Frame, Rect};
use polyp_edge::preprocess::Preprocessor;
use rayon::prelude::*;

use crate::data::lists::Sample;
use crate::files;
use crate::measures::{Accumulator, FrameMeasures, Map, Measures};
use crate::net::decoder;
use crate::net::encoder::{self, Encoder};
use crate::net::forward::{Forward, Pass, Resident};
use crate::net::parameters::{self, Parameters};
use crate::net::resize::{Resize, resize};
use crate::net::segmenter::{self, Segmenter};
use crate::train::config::TrainConfig;
use crate::train::state::{Start, must_be_of};
use crate::train::trainer::BEST;

pub struct Teacher {
    config: TrainConfig,
    segmenter: Segmenter,
    /// Everything, on the device.
    resident: Resident,
    device: Device,
}

impl Teacher {
    /// From a run's folder or its `best.safetensors`; the encoder's file, where it stayed frozen, from the data folder.
    pub fn open(run: &Path, data: &Path, device: &Device) -> Result<Self> {
        let path = if run.is_dir() { run.join(BEST) } else { run.to_path_buf() };
        let (mut sets, notes) = parameters::load(&path)?;
        let damaged =
            |what: &str| Fault::data(format!("{} has no {what}; was it made by finetune?", path.display()));
        let text = notes.get("config").ok_or_else(|| damaged("configuration"))?;
        let config: TrainConfig = toml::from_str(text)
            .map_err(|e| Fault::data(format!("{}: its configuration: {}", path.display(), e.message())))?;
        let segmenter = config.segmenter().map_err(Fault::data)?;
        let values = sets.remove("averaged").ok_or_else(|| damaged("averaged weights"))?;
        let mut all = Parameters::default();
        if config.network.encoder.frozen {
            let start = Start::new(&config, &segmenter, data, device)?;
            must_be_of(&path, &notes, &start.encoder)?;
            all = start.resident.download();
        }
        all.0.extend(values.0);
        let shapes = segmenter.shapes(config.network.input_side);
        for (name, shape) in shapes.shapes() {
            if all.0.get(name).is_none_or(|array| array.shape != shape) {
                return Err(damaged(&format!("{name} of shape {shape:?}")));
            }
        }
        let resident = Resident::upload(&all, device);
        Ok(Teacher { config, segmenter, resident, device: device.clone() })
    }

    /// Pixels along each side of what the network sees.
    pub fn side(&self) -> usize {
        self.config.network.input_side
    }

    /// Logits along each side of what it gives.
    pub fn low(&self) -> usize {
        self.side() / (self.segmenter.encoder.finest_stride() << self.segmenter.decoder.finest)
    }

    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// Of each frame, the probability of polyp at every pixel, `[height_px, width_px]`; 0 outside what was cut out.
    pub fn maps(&self, frames: &[&Frame]) -> Result<Vec<Vec<f32>>> {
        let side = self.side();
        let plane = side * side;
        let mut preprocessor = Preprocessor::new(side);
        let (mut pixels, mut crops) = (Vec::with_capacity(3 * plane * frames.len()), Vec::new());
        let mut interleaved = vec![0; 3 * plane];
        for frame in frames {
            let crop = match self.config.crop {
                true => field_of_view::find(frame),
                false => Rect { x: 0, y: 0, width: frame.width_px(), height: frame.height_px() },
            };
            preprocessor.prepare(frame, crop, &mut interleaved)?;
            pixels.extend((0..3).flat_map(|c| interleaved.iter().skip(c).step_by(3).map(|v| f32::from(*v))));
            crops.push(crop);
        }
        let Seen { logits, low, .. } = self.see(&pixels, frames.len(), side)?;
        let probabilities: Vec<f32> = logits.iter().map(|z| 1.0 / (1.0 + (-z).exp())).collect();
        let maps = probabilities.chunks_exact(low * low).zip(frames.iter().zip(crops));
        Ok(maps.map(|(map, (frame, crop))| place(map, low, frame, crop)).collect())
    }
}

/// What a teacher makes of a batch.
pub struct Seen {
    /// `[N, low, low]`
    pub logits: Vec<f32>,
    pub low: usize,
    /// What [`decoder::decode`] gives.
    pub levels: Vec<Tensor<4>>,
}

impl Teacher {
    /// Looks at `pixels [size, 3, side, side]`, 0 to 255, brought to the size that the network knows.
    pub fn see(&self, pixels: &[f32], size: usize, side: usize) -> Result<Seen> {
        let mut pixels = pixels.to_vec();
        self.segmenter.normalisation().apply(&mut pixels, side * side);
        let nothing = Parameters::default();
        let mut net = Forward::new(&nothing, Some(&self.resident), &self.device, Pass::Inference);
        let mut input = net.tensor(pixels, [size, 3, side, side]);
        if side != self.side() {
            input = resize(input, [self.side(); 2], Resize::Bilinear);
        }
        let features = encoder::encode(&self.segmenter.encoder, &mut net, &input);
        let levels = decoder::decode(&mut net, &features, &self.segmenter.decoder);
        let logits = segmenter::heads(&mut net, &levels).into_iter().next().context("no level has a head")?;
        let low = logits.dims()[2];
        Ok(Seen { logits: logits.into_data().try_to_vec::<f32>().context("logits are f32")?, low, levels })
    }
}

/// `map [low, low]` enlarged to `crop` in a picture that is 0 elsewhere.
pub(crate) fn place(map: &[f32], low: usize, frame: &Frame, crop: Rect) -> Vec<f32> {
    let (across, down) = (taps(low, crop.width), taps(low, crop.height));
    let mut out = vec![0.0; frame.width_px() * frame.height_px()];
    let rows = out.chunks_exact_mut(frame.width_px().max(1)).skip(crop.y);
    for (row, (y, share_y)) in rows.zip(&down) {
        let next = (y + 1).min(low - 1);
        for (value, (x, share_x)) in row.iter_mut().skip(crop.x).zip(&across) {
            let right = (x + 1).min(low - 1);
            let along = |y: usize| map[y * low + x] * (1.0 - share_x) + map[y * low + right] * share_x;
            *value = along(*y) * (1.0 - share_y) + along(next) * share_y;
        }
    }
    out
}

/// Each output's first input and the share of the next one, as [`Resize::Bilinear`].
fn taps(from: usize, to: usize) -> Vec<(usize, f32)> {
    (0..to)
        .map(|o| {
            let at = Resize::position(o, from, to);
            (at as usize, at.fract() as f32)
        })
        .collect()
}

/// Frames that go through the network at once.
const AT_ONCE: usize = 8;

/// Measures a list of samples; writes each map as `maps/dataset/stem.png` if a folder is given.
pub fn measure(teacher: &Teacher, name: &str, samples: &[Sample], maps: Option<&Path>) -> Result<Measures> {
    let bar = ProgressBar::new(samples.len() as u64);
    bar.set_style(ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}, {eta} left")?);
    bar.set_message(name.to_owned());
    let mut sums = Accumulator::default();
    for samples in samples.chunks(AT_ONCE) {
        let pairs = samples.par_iter().map(|sample| {
            let frame = sample.read_image()?;
            let mask = sample.read_mask(frame.width_px(), frame.height_px())?;
            Ok((frame, mask))
        });
        let pairs: Vec<(Frame, Vec<u8>)> = pairs.collect::<Result<_>>()?;
        let frames: Vec<&Frame> = pairs.iter().map(|(frame, _)| frame).collect();
        let found = teacher.maps(&frames)?;
        let measured = samples.par_iter().zip(&pairs).zip(&found).map(|((sample, (frame, mask)), map)| {
            let (width, height) = (frame.width_px(), frame.height_px());
            if let Some(folder) = maps {
                write_map(&folder.join(format!("{}.png", sample.name)), map, width, height)?;
            }
            FrameMeasures::of(Map::Probability(map), mask, width, height)
        });
        for measured in measured.collect::<Result<Vec<_>>>()? {
            sums.add_frame(&measured);
        }
        bar.inc(samples.len() as u64);
    }
    bar.finish_and_clear();
    Ok(sums.finish())
}

/// A grey PNG, 255 for certain.
pub(crate) fn write_map(path: &Path, map: &[f32], width: usize, height: usize) -> Result<()> {
    let grey = map.iter().map(|p| (255.0 * p).round() as u8).collect();
    let picture =
        image::GrayImage::from_raw(width as u32, height as u32, grey).context("a map without pixels")?;
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png)?;
    files::write_whole(path, &png.into_inner())
}
