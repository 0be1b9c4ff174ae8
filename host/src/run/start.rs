//! The values that training starts from.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use burn::tensor::Device;
use polyp_edge::fault::Fault;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::BEST;
use super::config::TrainConfig;
use crate::data::weights;
use crate::files;
use crate::net::encoder::{self, is_encoders};
use crate::net::forward::Resident;
use crate::net::segmenter::Segmenter;
use crate::net::{Parameters, parameters};

/// Where training begins.
pub struct Start {
    /// The frozen encoder's values, on the device; nothing if the encoder is trained.
    pub resident: Resident,
    /// Everything else.
    pub parameters: Parameters,
    /// `sha256:…` of the encoder's file, or `random:SEED`.
    pub encoder: String,
}

impl Start {
    /// Fresh values, the encoder's from its published file where the configuration names one.
    pub fn new(config: &TrainConfig, segmenter: &Segmenter, data: &Path, device: &Device) -> Result<Self> {
        let shapes = segmenter.shapes(config.network.input_side);
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let own = &config.network.encoder;
        let published = !own.weights.as_os_str().is_empty();
        let (pretrained, encoder) = if published {
            let path = weights::find(&own.weights, data);
            if !path.is_file() {
                return Err(Fault::io(format!(
                    "no weights for {} at {}; fetch it with scripts/weights, or put the published file there",
                    own.kind.word(),
                    path.display()
                )));
            }
            let values = match segmenter.published() {
                Some(whole) => {
                    let shapes = whole.shapes(config.network.input_side);
                    segmenter.encoder.narrowed(encoder::load(&whole.encoder, &shapes, &path)?)
                }
                None => encoder::load(&segmenter.encoder, &shapes, &path)?,
            };
            (values, digest(&path)?)
        } else {
            (Parameters::default(), format!("random:{}", config.seed))
        };
        let mut all = shapes.fresh(&mut rng, |name| !(published && own.frozen && is_encoders(name)));
        all.0.extend(pretrained.0);
        if let Some(run) = &config.start_from {
            take_over(&mut all, segmenter, config, run)?;
        }
        let (frozen, parameters) = all.0.into_iter().partition(|(name, _)| own.frozen && is_encoders(name));
        let resident = Resident::upload(&Parameters(frozen), device);
        Ok(Start { resident, parameters: Parameters(parameters), encoder })
    }
}

/// Takes a run's averaged weights for every value of the same name and shape; an encoder in its published width is
/// narrowed first.
fn take_over(
    parameters: &mut Parameters,
    segmenter: &Segmenter,
    config: &TrainConfig,
    run: &Path,
) -> Result<()> {
    let path = if run.is_dir() { run.join(BEST) } else { run.to_path_buf() };
    let (mut sets, _) = parameters::load(&path)?;
    let unusable = |why: &str| Fault::data(format!("{}: {why}; start_from names a run", path.display()));
    let mut theirs = sets.remove("averaged").ok_or_else(|| unusable("no averaged weights"))?;
    if let Some(whole) = segmenter.published() {
        let shapes = whole.shapes(config.network.input_side);
        let mut of_encoder = shapes.shapes().filter(|(name, _)| is_encoders(name));
        if of_encoder.all(|(name, shape)| theirs.0.get(name).is_some_and(|array| array.shape == shape)) {
            let narrowed = segmenter.encoder.narrowed(theirs.clone());
            theirs.0.extend(narrowed.0);
        }
    }
    let mut taken = 0;
    for (name, array) in theirs.0 {
        if config.start_from_encoder && !is_encoders(&name) {
            continue;
        }
        if let Some(own) = parameters.0.get_mut(&name).filter(|own| own.shape == array.shape) {
            *own = array;
            taken += 1;
        }
    }
    match taken {
        0 => Err(unusable("none of its values fits this network")),
        _ => {
            log::info!("{taken} of {} values start from {}", parameters.0.len(), path.display());
            Ok(())
        }
    }
}

/// `sha256:…` of a file.
fn digest(path: &Path) -> Result<String> {
    Ok(format!("sha256:{}", polyp_edge::bundle::digest(&files::read(path)?)))
}

/// Refuses a file of ours whose values were trained with another encoder.
pub fn must_be_of(path: &Path, notes: &BTreeMap<String, String>, encoder: &str) -> Result<()> {
    match notes.get("encoder") {
        Some(theirs) if theirs == encoder => Ok(()),
        theirs => Err(Fault::data(format!(
            "{} belongs to the encoder {}, not {encoder}; name the file that it was trained with in \
             network.encoder.weights",
            path.display(),
            theirs.map_or("of an older version", String::as_str)
        ))),
    }
}
