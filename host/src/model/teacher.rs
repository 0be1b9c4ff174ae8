//! A network that looks at pictures, with probabilities at their own size: one that `finetune` made, or a float graph.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use burn::tensor::{Device, Tensor};
use polyp_edge::fault::Fault;
use polyp_edge::field_of_view::{Locator, Rule, Sequence};
use polyp_edge::frame::Frame;
use polyp_edge::segment::Input;
use rayon::prelude::*;

use crate::graph::execute::{self, Activation};
use crate::graph::{Graph, INPUT_SCALE, INPUT_ZERO_POINT, Shape, shapes};
use crate::net::decoder;
use crate::net::encoder::{self, Encoder};
use crate::net::forward::{Forward, Pass, Resident};
use crate::net::parameters::{self, Parameters};
use crate::net::resize::{constant, resize};
use crate::net::segmenter::{self, Segmenter};
use crate::numeric::{Resize, place, planar, sigmoid};
use crate::run::config::TrainConfig;
use crate::run::start::{Start, must_be_of};
use crate::run::{BEST, GRAPH};

/// A trained network, to learn from or to be scored.
pub struct Teacher {
    network: Network,
    device: Device,
}

enum Network {
    Run(Box<Run>),
    /// What `soup` made, or a student: batch norm is folded, and there are no levels to look into. Computed on the CPU.
    Graph(Graph),
}

struct Run {
    config: TrainConfig,
    segmenter: Segmenter,
    /// Everything, on the device.
    resident: Resident,
}

/// The file of a run's folder that a teacher is read from: its best epoch, or the graph where there is nothing else.
pub fn file_of(run: &Path) -> PathBuf {
    let best = run.join(BEST);
    match run.is_dir() {
        true if !best.exists() && run.join(GRAPH).exists() => run.join(GRAPH),
        true => best,
        false => run.to_path_buf(),
    }
}

impl Teacher {
    /// From a run's folder, its `best.safetensors` or a `graph.safetensors`; the encoder's file, where it stayed frozen,
    /// from the data folder.
    pub fn open(run: &Path, data: &Path, device: &Device) -> Result<Self> {
        let path = file_of(run);
        if path.file_name().is_some_and(|name| name == GRAPH) {
            return Ok(Teacher { network: Network::Graph(Graph::load(&path)?), device: device.clone() });
        }
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
        let run = Run { config, segmenter, resident };
        Ok(Teacher { network: Network::Run(Box::new(run)), device: device.clone() })
    }

    /// Pixels along each side of what the network sees.
    pub fn side(&self) -> usize {
        match &self.network {
            Network::Run(run) => run.config.network.input_side,
            Network::Graph(graph) => graph.input_side,
        }
    }

    /// Logits along each side of what it gives.
    pub fn low(&self) -> usize {
        match &self.network {
            Network::Run(run) => {
                self.side() / (run.segmenter.encoder.finest_stride() << run.segmenter.decoder.finest)
            }
            Network::Graph(graph) => {
                let shapes = shapes(graph).unwrap_or_default();
                shapes.get(graph.output.as_str()).map_or(1, |shape| shape.width)
            }
        }
    }

    /// Whether it was trained on the field of view alone, as a cart's student always is.
    fn crops(&self) -> bool {
        match &self.network {
            Network::Run(run) => run.config.crop,
            Network::Graph(_) => true,
        }
    }

    /// Of each frame, the probability of polyp at every pixel, `[height_px, width_px]`; 0 outside what was cut out.
    pub fn maps(&self, frames: &[&Frame]) -> Result<Vec<Vec<f32>>> {
        let side = self.side();
        let plane = side * side;
        let rule = if self.crops() { Rule::Find } else { Rule::WholeFrame };
        let mut input = Input::new(side, Locator::new(rule, Sequence::Stills));
        let (mut pixels, mut crops) = (Vec::with_capacity(3 * plane * frames.len()), Vec::new());
        for frame in frames {
            let crop = input.prepare(frame)?.crop;
            pixels.extend(planar(input.pixels()).map(f32::from));
            crops.push(crop);
        }
        let Seen { logits, low, .. } = self.see(&pixels, frames.len(), side)?;
        let probabilities: Vec<f32> = logits.iter().map(|logit| sigmoid(*logit)).collect();
        let maps = probabilities.chunks_exact(low * low).zip(frames.iter().zip(crops));
        Ok(maps.map(|(map, (frame, crop))| place(map, low, frame, crop)).collect())
    }
}

/// What a teacher makes of a batch.
pub struct Seen {
    /// `[N, low, low]`
    pub logits: Vec<f32>,
    /// Logits along each side.
    pub low: usize,
    /// What [`decoder::decode`] gives; none of a float graph.
    pub levels: Vec<Tensor<4>>,
}

impl Teacher {
    /// Looks at `pixels [size, 3, side, side]`, 0 to 255, brought to the size that the network knows.
    pub fn see(&self, pixels: &[f32], size: usize, side: usize) -> Result<Seen> {
        match &self.network {
            Network::Run(run) => self.see_with(run, pixels, size, side),
            Network::Graph(graph) => self.see_through(graph, pixels, size, side),
        }
    }

    fn see_with(&self, run: &Run, pixels: &[f32], size: usize, side: usize) -> Result<Seen> {
        let mut pixels = pixels.to_vec();
        run.segmenter.normalisation().apply(&mut pixels, side * side);
        let nothing = Parameters::default();
        let mut net = Forward::new(&nothing, Some(&run.resident), &self.device, Pass::Inference);
        let mut input = net.tensor(pixels, [size, 3, side, side]);
        if side != self.side() {
            input = resize(input, [self.side(); 2], Resize::Bilinear);
        }
        let features = encoder::encode(&run.segmenter.encoder, &mut net, &input);
        let levels = decoder::decode(&mut net, &features, &run.segmenter.decoder);
        let logits = segmenter::heads(&mut net, &levels).into_iter().next().context("no level has a head")?;
        let low = logits.dims()[2];
        Ok(Seen { logits: logits.into_data().try_to_vec::<f32>().context("logits are f32")?, low, levels })
    }

    fn see_through(&self, graph: &Graph, pixels: &[f32], size: usize, side: usize) -> Result<Seen> {
        let own = self.side();
        let mut real: Vec<f32> =
            pixels.iter().map(|pixel| (pixel - f32::from(INPUT_ZERO_POINT)) * INPUT_SCALE).collect();
        if side != own {
            let input = constant(real, [size, 3, side, side], &self.device);
            let resized = resize(input, [own; 2], Resize::Bilinear).into_data();
            real = resized.try_to_vec::<f32>().context("pixels are f32")?;
        }
        let shape = Shape { channels: 3, height: own, width: own };
        let pictures = real.par_chunks_exact(shape.len()).map(|data| {
            let input = Activation { shape, data: data.to_vec() };
            execute::run(graph, input, |_, _| {}).map(|logits| logits.data)
        });
        let logits = pictures.collect::<Result<Vec<_>>>()?.concat();
        Ok(Seen { logits, low: self.low(), levels: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::execute::input_from_pixels;
    use crate::graph::tests::every_op;

    #[test]
    fn a_float_graph_teaches_what_it_computes() {
        let folder = tempfile::tempdir().unwrap();
        let graph = every_op(4);
        graph.save(&folder.path().join(GRAPH)).unwrap();
        let device = crate::device::open(crate::device::parse("cpu").unwrap()).unwrap();
        let teacher = Teacher::open(folder.path(), folder.path(), &device).unwrap();
        let side = graph.input_side;
        assert_eq!(teacher.side(), side);
        let picture = |shift: usize| -> Vec<u8> {
            (0..3 * side * side).map(|i| ((i * 37 + shift) % 251) as u8).collect()
        };
        let pictures = [picture(0), picture(90)];
        let planar = |picture: &Vec<u8>| -> Vec<f32> {
            (0..3)
                .flat_map(|c| {
                    picture.iter().skip(c).step_by(3).map(|value| f32::from(*value)).collect::<Vec<_>>()
                })
                .collect()
        };
        let seen = teacher.see(&pictures.iter().flat_map(planar).collect::<Vec<_>>(), 2, side).unwrap();
        let expected = pictures.iter().flat_map(|picture| {
            execute::run(&graph, input_from_pixels(side, picture).unwrap(), |_, _| {}).unwrap().data
        });
        assert_eq!(seen.logits, expected.collect::<Vec<_>>());
        assert_eq!((seen.low, seen.logits.len()), (teacher.low(), 2 * teacher.low() * teacher.low()));
        // A picture of one colour is the same at any size.
        let grey = |side: usize| vec![100.0; 3 * side * side];
        let (own, other) =
            (teacher.see(&grey(side), 1, side).unwrap(), teacher.see(&grey(2 * side), 1, 2 * side).unwrap());
        assert_eq!(own.logits.len(), other.logits.len());
        for (own, other) in own.logits.iter().zip(&other.logits) {
            assert!((own - other).abs() < 1e-3, "{own}, {other}");
        }
    }

    #[test]
    fn a_run_is_read_from_its_best_epoch_first() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        assert_eq!(file_of(run), run.join(BEST), "what is missing is named");
        std::fs::write(run.join(GRAPH), "").unwrap();
        assert_eq!(file_of(run), run.join(GRAPH));
        std::fs::write(run.join(BEST), "").unwrap();
        assert_eq!(file_of(run), run.join(BEST));
        assert_eq!(file_of(&run.join("any.safetensors")), run.join("any.safetensors"));
    }
}
