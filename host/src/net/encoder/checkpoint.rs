//! Published weights: PyTorch's `.pt` and safetensors, looked through as a whole before anything is computed.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use half::{bf16, f16};
use polyp_edge::fault::Fault;
use pytorch_reader::PytorchReader;
use safetensors::{Dtype, SafeTensors};

use crate::files;
use crate::net::parameters::{Array, Parameters};

/// A file's tensors by name, not yet read.
pub struct Checkpoint {
    entries: BTreeMap<String, Entry>,
    source: Source,
}

struct Entry {
    /// As the file has it.
    key: String,
    shape: Vec<usize>,
    /// `None`: no floating-point type.
    kind: Option<FloatWidth>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FloatWidth {
    F16,
    Bf16,
    F32,
    F64,
}

enum Source {
    Pytorch(PytorchReader),
    Safetensors(Vec<u8>),
}

/// What is asked of a file: our name, the file's key, the shape.
pub type Wanted = (String, String, Vec<usize>);

/// How many keys of a kind a message names.
const NAMED: usize = 12;

impl Checkpoint {
    /// Reads what a file holds. Keys lose a leading `model.`, under which SAM 2's files keep everything.
    pub fn open(path: &Path) -> Result<Self> {
        let damaged = |why: String| {
            Fault::data(format!("{} is not a complete checkpoint: {why}; download it again", path.display()))
        };
        let (found, source) = if path.extension().is_some_and(|extension| extension == "safetensors") {
            let bytes = files::read(path)?;
            let file = SafeTensors::deserialize(&bytes).map_err(|e| damaged(e.to_string()))?;
            let found: Vec<_> = file
                .tensors()
                .into_iter()
                .map(|(key, view)| (key, view.shape().to_vec(), FloatWidth::of_safetensors(view.dtype())))
                .collect();
            (found, Source::Safetensors(bytes))
        } else {
            std::fs::File::open(path)
                .map_err(|error| Fault::io(format!("cannot read {}: {error}", path.display())))?;
            let reader = PytorchReader::new(path).map_err(|e| damaged(e.to_string()))?;
            let found = reader
                .tensors()
                .iter()
                .map(|(key, tensor)| {
                    (key.clone(), tensor.shape().to_vec(), FloatWidth::of_pytorch(tensor.dtype()))
                })
                .collect();
            (found, Source::Pytorch(reader))
        };
        let entries = found.into_iter().map(|(key, shape, kind)| {
            let name = key.strip_prefix("model.").unwrap_or(&key).to_owned();
            (name, Entry { key, shape, kind })
        });
        Ok(Checkpoint { entries: entries.collect(), source })
    }

    /// The values of `wanted`, whose keys may stand behind `prefix`. Every key that is missing or of another shape or
    /// type is named, and every other key of the file that is not `ignored`.
    pub fn take(
        &self,
        wanted: &[Wanted],
        prefix: &str,
        ignored: impl Fn(&str) -> bool,
    ) -> Result<Parameters, String> {
        let prefix = if self.entries.keys().any(|name| !prefix.is_empty() && name.starts_with(prefix)) {
            prefix
        } else {
            ""
        };
        let (mut missing, mut misshapen) = (Vec::new(), Vec::new());
        let mut extra: BTreeMap<&str, ()> =
            self.entries.keys().filter(|name| !ignored(name)).map(|name| (name.as_str(), ())).collect();
        let mut found = Vec::new();
        for (name, key, shape) in wanted {
            let key = format!("{prefix}{key}");
            extra.remove(key.as_str());
            match self.entries.get(&key) {
                None => missing.push(key),
                Some(entry) if entry.shape != *shape => {
                    misshapen.push(format!("{key} is {:?}, not {shape:?}", entry.shape));
                }
                Some(Entry { kind: None, .. }) => {
                    misshapen.push(format!("{key} has no floating-point values"))
                }
                Some(entry) => found.push((name, entry)),
            }
        }
        let extra: Vec<String> = extra.into_keys().map(str::to_owned).collect();
        let complaints: Vec<String> =
            [("missing", missing), ("of another shape or type", misshapen), ("unknown", extra)]
                .into_iter()
                .filter(|(_, keys)| !keys.is_empty())
                .map(|(what, keys)| complain(what, &keys))
                .collect();
        if !complaints.is_empty() {
            return Err(complaints.join("; "));
        }
        let values = found.into_iter().map(|(name, entry)| {
            let values = self.read(entry)?;
            if values.iter().all(|value| value.is_finite()) {
                Ok((name.clone(), Array { shape: entry.shape.clone(), values }))
            } else {
                Err(format!("{} has values that are not finite", entry.key))
            }
        });
        Ok(Parameters(values.collect::<Result<_, String>>()?))
    }

    fn read(&self, entry: &Entry) -> Result<Vec<f32>, String> {
        let Some(kind) = entry.kind else { return Err(format!("{} is not float", entry.key)) };
        let unreadable = |why: String| format!("{} cannot be read: {why}", entry.key);
        match &self.source {
            Source::Pytorch(reader) => {
                let tensor = reader.get(&entry.key).ok_or_else(|| unreadable("no such tensor".to_owned()))?;
                Ok(kind.values(&tensor.read().map_err(|e| unreadable(e.to_string()))?))
            }
            Source::Safetensors(bytes) => {
                let file = SafeTensors::deserialize(bytes).map_err(|e| unreadable(e.to_string()))?;
                let view = file.tensor(&entry.key).map_err(|e| unreadable(e.to_string()))?;
                Ok(kind.values(view.data()))
            }
        }
    }
}

/// The first keys in a line; all of them in the log if there are more.
fn complain(what: &str, keys: &[String]) -> String {
    let named = keys[..keys.len().min(NAMED)].join(", ");
    match keys.len().saturating_sub(NAMED) {
        0 => format!("{} {what}: {named}", keys.len()),
        more => {
            keys.iter().for_each(|key| log::error!("{what}: {key}"));
            format!("{} {what}: {named}, and {more} more in the log", keys.len())
        }
    }
}

impl FloatWidth {
    fn of_safetensors(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F16 => Some(FloatWidth::F16),
            Dtype::BF16 => Some(FloatWidth::Bf16),
            Dtype::F32 => Some(FloatWidth::F32),
            Dtype::F64 => Some(FloatWidth::F64),
            _ => None,
        }
    }

    fn of_pytorch(dtype: pytorch_reader::DType) -> Option<Self> {
        use pytorch_reader::DType;
        match dtype {
            DType::F16 => Some(FloatWidth::F16),
            DType::BF16 => Some(FloatWidth::Bf16),
            DType::F32 => Some(FloatWidth::F32),
            DType::F64 => Some(FloatWidth::F64),
            _ => None,
        }
    }

    fn values(self, bytes: &[u8]) -> Vec<f32> {
        fn each<const N: usize>(bytes: &[u8], f: impl Fn([u8; N]) -> f32) -> Vec<f32> {
            bytes.as_chunks::<N>().0.iter().map(|bytes| f(*bytes)).collect()
        }
        match self {
            FloatWidth::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f32()),
            FloatWidth::Bf16 => each(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            FloatWidth::F32 => each(bytes, f32::from_le_bytes),
            FloatWidth::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
        }
    }
}
