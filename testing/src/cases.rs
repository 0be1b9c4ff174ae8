//! The files of cases that `scripts/oracle/nets.py` writes: u64 length, JSON, bytes.

use std::path::Path;

#[derive(serde::Deserialize)]
struct Header {
    cases: Vec<Entry>,
}

/// Name, and start and length of each part.
#[derive(serde::Deserialize)]
struct Entry {
    name: String,
    model: [usize; 2],
    input: [usize; 2],
    output: [usize; 2],
    #[serde(default)]
    message: String,
}

/// A file of cases.
pub struct Cases {
    header: Header,
    data: Vec<u8>,
}

/// A network, an input and onnxruntime's output, both NHWC.
pub struct Case<'a> {
    /// What it is about, for messages.
    pub name: &'a str,
    /// The network as an ONNX file.
    pub model: &'a [u8],
    /// Stored values, `[H, W, C] u8`; empty for a network that must be refused.
    pub input: &'a [u8],
    /// As `input`.
    pub output: &'a [u8],
    /// For networks that must be refused: part of the reason.
    pub message: &'a str,
}

impl Cases {
    /// Small networks of every op, each with an input and onnxruntime's output.
    pub fn ops() -> Cases {
        Cases::read(&crate::root().join("tests/fixtures/engine/ops.cases"))
    }

    /// Networks that must be refused.
    pub fn hostile() -> Cases {
        Cases::read(&crate::root().join("tests/fixtures/engine/hostile.cases"))
    }

    /// Reads a file of cases, which must be whole.
    pub fn read(path: &Path) -> Cases {
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (length, rest) = bytes.split_at(8);
        let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
        let header = serde_json::from_slice(&rest[..length]).unwrap();
        Cases { header, data: rest[length..].to_vec() }
    }

    /// The cases in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = Case<'_>> {
        let part = |[start, length]: [usize; 2]| &self.data[start..start + length];
        self.header.cases.iter().map(move |entry| Case {
            name: &entry.name,
            model: part(entry.model),
            input: part(entry.input),
            output: part(entry.output),
            message: &entry.message,
        })
    }
}
