//! Where training computes: the CPU, or a GPU that this program was built for and the machine can serve.
//!
//! burn and what it stands on panic where a driver, a compiler or a device is missing. So the machine is looked at
//! first, and each thing that is missing has its line.

#[expect(unsafe_code, reason = "calls of the driver's library")]
mod cuda;
pub(crate) mod guard;
mod trial;
#[expect(unsafe_code, reason = "loading of the Vulkan library")]
mod vulkan;

use std::fmt;

use anyhow::Result;
use burn::tensor::Device;
use polyp_edge::fault::{Exit, Fault};

/// A device by the name that a person gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// This machine's processor.
    #[default]
    Cpu,
    /// The driver's number of the GPU.
    Cuda(usize),
    /// The place among Vulkan's adapters: discrete ones first, software last.
    Vulkan(usize),
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Cpu => f.write_str("cpu"),
            Choice::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
            Choice::Vulkan(ordinal) => write!(f, "vulkan:{ordinal}"),
        }
    }
}

/// Reads `cpu`, `cuda[:N]` or `vulkan[:N]`; N is 0 if not given. Anything else is exit code 2.
pub fn parse(text: &str) -> Result<Choice> {
    let wrong =
        || Fault::usage(format!("unknown device \"{text}\"; use cpu, cuda, cuda:N, vulkan or vulkan:N"));
    let (kind, ordinal) = match text.split_once(':') {
        Some((kind, ordinal)) => (kind, Some(ordinal.parse::<u16>().map_err(|_| wrong())?)),
        None => (text, None),
    };
    let number = usize::from(ordinal.unwrap_or(0));
    match kind {
        "cpu" if ordinal.is_none() => Ok(Choice::Cpu),
        "cuda" => Ok(Choice::Cuda(number)),
        "vulkan" => Ok(Choice::Vulkan(number)),
        _ => Err(wrong()),
    }
}

/// The device, after a trial sum on it. What is missing is one line with exit code 69.
pub fn open(choice: Choice) -> Result<Device> {
    let device = match choice {
        Choice::Cpu => trial::trial(Device::flex()),
        Choice::Cuda(ordinal) => cuda::open(ordinal),
        Choice::Vulkan(ordinal) => vulkan::open(ordinal),
    };
    device.map_err(|why| Fault::new(Exit::Device, format!("{choice}: {why}")))
}

/// One kind of device: whether this program was built for it, and what is there.
#[derive(Debug)]
pub struct Backend {
    /// `cpu`, `cuda` or `vulkan`.
    pub name: &'static str,
    /// Whether this program was built with it.
    pub built: bool,
    /// The devices with their own names, or what is missing.
    pub found: Result<Vec<(Choice, String)>, String>,
}

/// Every kind of device, looked at.
pub fn kinds() -> [Backend; 3] {
    let number = |make: fn(usize) -> Choice, names: Vec<String>| {
        names.into_iter().enumerate().map(|(ordinal, name)| (make(ordinal), name)).collect()
    };
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    [
        Backend { name: "cpu", built: true, found: Ok(vec![(Choice::Cpu, format!("{threads} threads"))]) },
        Backend {
            name: "cuda",
            built: cuda::BUILT,
            found: cuda::names().map(|names| number(Choice::Cuda, names)),
        },
        Backend {
            name: "vulkan",
            built: vulkan::BUILT,
            found: vulkan::names().map(|names| number(Choice::Vulkan, names)),
        },
    ]
}

#[cfg(test)]
mod tests {
    use polyp_edge::fault::exit_of;

    use super::*;

    #[test]
    fn devices_are_named_and_numbered() {
        for (text, choice) in [
            ("cpu", Choice::Cpu),
            ("cuda", Choice::Cuda(0)),
            ("cuda:3", Choice::Cuda(3)),
            ("vulkan", Choice::Vulkan(0)),
            ("vulkan:1", Choice::Vulkan(1)),
        ] {
            assert_eq!(parse(text).unwrap(), choice);
            assert_eq!(parse(&choice.to_string()).unwrap(), choice);
        }
        for text in ["", "gpu", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "cuda:0:1", "vulkan:99999", "CUDA"] {
            let error = parse(text).unwrap_err();
            assert_eq!(exit_of(&error), Exit::Usage);
            assert!(error.to_string().contains("cuda:N"), "{error}");
        }
    }

    #[test]
    fn the_cpu_opens() {
        assert_eq!(open(Choice::Cpu).unwrap(), Device::flex());
    }

    #[test]
    fn a_device_that_does_not_open_is_one_line_with_its_exit_code() {
        for choice in [Choice::Cuda(999), Choice::Vulkan(999)] {
            let error = open(choice).unwrap_err();
            assert_eq!(exit_of(&error), Exit::Device);
            let line = error.to_string();
            assert!(line.starts_with(&choice.to_string()) && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn a_wrong_number_lists_the_right_ones() {
        let names = ["A".to_string(), "B".to_string()];
        assert_eq!(trial::out_of_range(2, &names), "there is no device 2; there are 0 A, 1 B");
    }
}
