//! The files of cases that `scripts/oracle/nets.py` writes: u64 length, JSON, bytes. And the oracle itself.
#![allow(dead_code, reason = "no test uses all of it")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the oracle's scripts lie.
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/oracle")
}

/// A command of the Python that has onnxruntime: `POLYP_PYTHON`, else `python3`. `None`, with a line that says why, if there
/// is none or its results are not exact on this CPU; with `POLYP_ORACLE=required` that is a failure.
pub fn oracle() -> Option<Command> {
    let python = std::env::var_os("POLYP_PYTHON").unwrap_or_else(|| "python3".into());
    let probe = Command::new(&python)
        .args(["-c", "import nets, sys; sys.exit(0 if nets.exact_cpu() else 3)"])
        .current_dir(scripts())
        .output();
    let problem = match probe {
        Ok(probe) if probe.status.success() => {
            let mut command = Command::new(python);
            command.current_dir(scripts());
            return Some(command);
        }
        Ok(probe) if probe.status.code() == Some(3) => {
            "onnxruntime's int8 is not exact on a CPU without VNNI"
        }
        _ => "this Python finds no onnxruntime: pip install -r scripts/oracle/requirements.txt",
    };
    assert_ne!(std::env::var("POLYP_ORACLE").as_deref(), Ok("required"), "{problem}");
    println!("skipped: {problem}");
    None
}

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

pub struct Cases {
    header: Header,
    data: Vec<u8>,
}

/// A network, an input and onnxruntime's output, both NHWC.
pub struct Case<'a> {
    pub name: &'a str,
    pub model: &'a [u8],
    pub input: &'a [u8],
    pub output: &'a [u8],
    /// For networks that must be refused: part of the reason.
    pub message: &'a str,
}

impl Cases {
    pub fn read(path: &Path) -> Cases {
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (length, rest) = bytes.split_at(8);
        let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
        let header = serde_json::from_slice(&rest[..length]).unwrap();
        Cases { header, data: rest[length..].to_vec() }
    }

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
