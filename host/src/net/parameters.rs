//! A network's values by name, in host memory: what is trained, averaged, saved and exported.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use polyp_edge::fault::Fault;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::files;

/// The values of one parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Extents, the outermost axis first.
    pub shape: Vec<usize>,
    /// The last axis varies fastest.
    pub values: Vec<f32>,
}

impl Array {
    /// An array of this shape, all zero.
    pub fn zeros(shape: &[usize]) -> Self {
        Array { shape: shape.to_vec(), values: vec![0.0; shape.iter().product()] }
    }
}

/// Names are `part.layer.weight`, `….bias`, `….gamma`, `….beta`, and the running `….mean` and `….variance`, which
/// are not trained.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters(pub BTreeMap<String, Array>);

impl Parameters {
    /// Whether gradient descent moves the value, as against a running statistic.
    pub fn is_trained(name: &str) -> bool {
        !name.ends_with(".mean") && !name.ends_with(".variance")
    }

    /// # Panics
    /// If there is no such value: the network was walked with parameters that are not its own.
    pub fn get(&self, name: &str) -> &Array {
        self.0.get(name).unwrap_or_else(|| panic!("no parameter {name}"))
    }

    /// The same names and shapes, all zero.
    pub fn zeros_like(&self) -> Self {
        Parameters(self.0.iter().map(|(name, array)| (name.clone(), Array::zeros(&array.shape))).collect())
    }

    /// How many numbers all parameters have together.
    pub fn count(&self) -> usize {
        self.0.values().map(|array| array.values.len()).sum()
    }

    /// Takes `other`'s values; every name and shape must be the same.
    pub fn replace_with(&mut self, other: Parameters) -> Result<()> {
        for (name, array) in &self.0 {
            match other.0.get(name) {
                Some(found) if found.shape == array.shape => {}
                Some(found) => {
                    return Err(Fault::data(format!("{name} is {:?}, not {:?}", found.shape, array.shape)));
                }
                None => return Err(Fault::data(format!("{name} is missing"))),
            }
        }
        match other.0.keys().find(|name| !self.0.contains_key(*name)) {
            Some(name) => Err(Fault::data(format!("{name} belongs to another network"))),
            None => {
                *self = other;
                Ok(())
            }
        }
    }
}

/// Writes named sets of parameters with their notes as one safetensors file, whole or not at all.
pub fn save(path: &Path, sets: &[(&str, &Parameters)], notes: BTreeMap<String, String>) -> Result<()> {
    let mut bytes = Vec::new();
    for (set, parameters) in sets {
        for (name, array) in &parameters.0 {
            let raw: Vec<u8> = array.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            bytes.push((format!("{set}/{name}"), array.shape.clone(), raw));
        }
    }
    let views: Vec<_> = bytes
        .iter()
        .map(|(name, shape, raw)| Ok((name.clone(), TensorView::new(Dtype::F32, shape.clone(), raw)?)))
        .collect::<Result<_>>()?;
    files::write_whole(path, &safetensors::serialize(views, Some(notes.into_iter().collect()))?)
}

/// What [`save`] wrote: sets by name, and the notes.
pub fn load(path: &Path) -> Result<(BTreeMap<String, Parameters>, BTreeMap<String, String>)> {
    let bytes = files::read(path)?;
    let damaged =
        |why: String| Fault::data(format!("{} is not a complete checkpoint: {why}", path.display()));
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(e.to_string()))?;
    let notes = header.metadata().clone().unwrap_or_default().into_iter().collect();
    let mut sets: BTreeMap<String, Parameters> = BTreeMap::new();
    for (name, view) in SafeTensors::deserialize(&bytes).map_err(|e| damaged(e.to_string()))?.tensors() {
        let (set, name) = name.split_once('/').unwrap_or(("", &name));
        let array = array_of(&view).ok_or_else(|| damaged(format!("{name} is not f32")))?;
        sets.entry(set.to_owned()).or_default().0.insert(name.to_owned(), array);
    }
    Ok((sets, notes))
}

/// The values of an `f32` tensor; `None` for any other type.
pub fn array_of(view: &TensorView) -> Option<Array> {
    let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    (view.dtype() == Dtype::F32).then(|| Array { shape: view.shape().to_vec(), values })
}
