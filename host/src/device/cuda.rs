//! What CUDA needs of a machine: NVIDIA's driver, NVRTC to compile kernels while running, and the headers that those
//! kernels include.

use std::ffi::{CStr, c_char, c_int};
use std::fmt;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use libloading::Library;

use crate::device::trial::out_of_range;

/// Whether this program was built for CUDA.
pub const BUILT: bool = cfg!(feature = "cuda");

/// NVRTC's names in the order in which burn's CUDA backend tries them.
const NVRTC: [&str; 4] = ["libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11"];

/// Headers that kernels include, and the PyPI package that each is in.
const HEADERS: [(&str, &str); 4] = [
    ("cuda_runtime.h", "nvidia-cuda-runtime"),
    ("cuda_fp16.h", "nvidia-cuda-runtime"),
    ("mma.h", "nvidia-cuda-runtime"),
    ("crt/mma.h", "nvidia-cuda-crt"),
];

const PIP: &str = "pip install nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cuda-crt nvidia-cuda-cccl";

/// A CUDA version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    major: i32,
    minor: i32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[derive(Debug)]
struct Driver {
    /// The newest CUDA that it serves.
    version: Version,
    devices: Vec<String>,
}

/// Why there is no driver to speak of.
#[derive(Debug)]
enum NoDriver {
    NotLoadable,
    /// A call that answered with an error, and which.
    Refuses(&'static str, c_int),
}

/// Where the headers should be.
#[derive(Debug)]
struct Toolkit {
    folder: PathBuf,
    missing: Vec<(&'static str, &'static str)>,
}

/// What a look at the machine found.
#[derive(Debug)]
struct Machine {
    driver: Result<Driver, NoDriver>,
    nvrtc: Option<Version>,
    toolkit: Option<Toolkit>,
}

impl Machine {
    fn look() -> Self {
        Machine { driver: driver(), nvrtc: nvrtc(), toolkit: toolkit() }
    }

    /// The GPUs' names if kernels can be compiled and run here, else what is missing and how to get it.
    fn devices(self) -> Result<Vec<String>, String> {
        let driver = self.driver.map_err(|why| match why {
            NoDriver::NotLoadable => "libcuda.so.1 cannot be loaded: this machine has no NVIDIA driver, or this container does not see \
                                      it; install the driver until nvidia-smi lists the GPU"
                .to_owned(),
            NoDriver::Refuses(call, 100) => {
                format!("NVIDIA's driver is installed but finds no GPU ({call}: error 100); see what nvidia-smi says")
            }
            NoDriver::Refuses(call, code) => {
                format!("NVIDIA's driver does not start ({call}: error {code}); see what nvidia-smi says")
            }
        })?;
        let nvrtc = self.nvrtc.ok_or_else(|| {
            format!("libnvrtc, which compiles kernels, cannot be loaded; {PIP}, and put its nvidia/cu13/lib into LD_LIBRARY_PATH")
        })?;
        if nvrtc > driver.version {
            return Err(format!(
                "NVRTC {nvrtc} needs a newer driver than this one, which supports CUDA {0}; install CUDA {0}'s NVRTC and headers, \
                 or a newer driver",
                driver.version
            ));
        }
        let toolkit = self.toolkit.ok_or_else(|| {
            format!(
                "there are no CUDA headers; {PIP}, and set CUDA_PATH to its nvidia/cu13, which contains include"
            )
        })?;
        if let Some((header, package)) = toolkit.missing.first() {
            return Err(format!(
                "{} contains no include/{header}; pip install {package}, or set CUDA_PATH to a folder that contains it",
                toolkit.folder.display()
            ));
        }
        if driver.devices.is_empty() {
            Err("NVIDIA's driver lists no GPU; see what nvidia-smi says".into())
        } else {
            Ok(driver.devices)
        }
    }
}

/// The GPUs' names, or what is missing.
pub fn names() -> Result<Vec<String>, String> {
    if BUILT { Machine::look().devices() } else { Err(super::trial::not_built("cuda")) }
}

/// The GPU with this number, after a trial sum on it; else what is missing.
pub fn open(ordinal: usize) -> Result<Device, String> {
    let names = names()?;
    match names.get(ordinal) {
        Some(_) => start(ordinal),
        None => Err(out_of_range(ordinal, &names)),
    }
}

#[cfg(feature = "cuda")]
fn start(ordinal: usize) -> Result<Device, String> {
    super::trial::trial(Device::cuda(ordinal))
}

#[cfg(not(feature = "cuda"))]
fn start(_: usize) -> Result<Device, String> {
    Err(super::trial::not_built("cuda"))
}

fn driver() -> Result<Driver, NoDriver> {
    // SAFETY: NVIDIA's library has no precondition for being loaded; nothing of it outlives `library`.
    let library = unsafe { Library::new("libcuda.so.1") }.map_err(|_| NoDriver::NotLoadable)?;
    let call = |name: &'static str, code: c_int| match code {
        0 => Ok(()),
        code => Err(NoDriver::Refuses(name, code)),
    };
    let missing = |name| move |_| NoDriver::Refuses(name, -1);
    // SAFETY: the signatures are those of cuda.h; every pointer is to a live value of the type that the call fills,
    // and the name's length is its buffer's.
    unsafe {
        let init =
            library.get::<unsafe extern "C" fn(u32) -> c_int>(b"cuInit\0").map_err(missing("cuInit"))?;
        let version = library
            .get::<unsafe extern "C" fn(*mut c_int) -> c_int>(b"cuDriverGetVersion\0")
            .map_err(missing("cuDriverGetVersion"))?;
        let count = library
            .get::<unsafe extern "C" fn(*mut c_int) -> c_int>(b"cuDeviceGetCount\0")
            .map_err(missing("cuDeviceGetCount"))?;
        let name = library
            .get::<unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int>(b"cuDeviceGetName\0")
            .map_err(missing("cuDeviceGetName"))?;
        call("cuInit", init(0))?;
        let (mut of_driver, mut devices) = (0, 0);
        call("cuDriverGetVersion", version(&mut of_driver))?;
        call("cuDeviceGetCount", count(&mut devices))?;
        let one = |device| {
            let mut text = [0 as c_char; 128];
            // CUdevice is the ordinal itself.
            call("cuDeviceGetName", name(text.as_mut_ptr(), 127, device))?;
            Ok(CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned())
        };
        let devices = (0..devices).map(one).collect::<Result<_, _>>()?;
        Ok(Driver { version: Version { major: of_driver / 1000, minor: of_driver % 1000 / 10 }, devices })
    }
}

fn nvrtc() -> Option<Version> {
    // SAFETY: as above; the signature is that of nvrtc.h.
    unsafe {
        let library = NVRTC.iter().find_map(|name| Library::new(*name).ok())?;
        let version =
            library.get::<unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int>(b"nvrtcVersion\0").ok()?;
        let (mut major, mut minor) = (0, 0);
        (version(&mut major, &mut minor) == 0).then_some(Version { major, minor })
    }
}

/// The toolkit where burn's CUDA backend looks for it.
fn toolkit() -> Option<Toolkit> {
    let set = std::env::var_os("CUDA_PATH").map(PathBuf::from);
    let usual = || ["/usr/local/cuda", "/opt/cuda"].map(PathBuf::from).into_iter().find(|path| path.exists());
    let packaged = || Path::new("/usr/bin/nvcc").exists().then(|| PathBuf::from("/usr"));
    set.or_else(usual).or_else(packaged).map(toolkit_at)
}

fn toolkit_at(folder: PathBuf) -> Toolkit {
    let include = folder.join("include");
    let missing = HEADERS.into_iter().filter(|(header, _)| !include.join(header).is_file()).collect();
    Toolkit { folder, missing }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V13: Version = Version { major: 13, minor: 1 };

    fn whole() -> Machine {
        Machine {
            driver: Ok(Driver { version: V13, devices: vec!["GPU".into()] }),
            nvrtc: Some(Version { major: 12, minor: 9 }),
            toolkit: Some(Toolkit { folder: "cuda".into(), missing: vec![] }),
        }
    }

    fn words(machine: Machine) -> String {
        let line = machine.devices().unwrap_err();
        assert!(!line.contains('\n') && !line.contains("  "), "{line}");
        line
    }

    #[test]
    fn each_missing_thing_has_its_words() {
        assert_eq!(whole().devices().unwrap(), ["GPU"]);
        let line = words(Machine { driver: Err(NoDriver::NotLoadable), ..whole() });
        assert!(line.contains("libcuda.so.1") && line.contains("nvidia-smi"), "{line}");
        let line = words(Machine { driver: Err(NoDriver::Refuses("cuInit", 100)), ..whole() });
        assert!(line.contains("finds no GPU"), "{line}");
        let line = words(Machine { driver: Err(NoDriver::Refuses("cuInit", 803)), ..whole() });
        assert!(line.contains("cuInit") && line.contains("803"), "{line}");
        let line = words(Machine { driver: Ok(Driver { version: V13, devices: vec![] }), ..whole() });
        assert!(line.contains("lists no GPU"), "{line}");
        let line = words(Machine { nvrtc: None, ..whole() });
        assert!(line.contains("libnvrtc") && line.contains("LD_LIBRARY_PATH"), "{line}");
        let line = words(Machine { nvrtc: Some(Version { major: 13, minor: 2 }), ..whole() });
        assert!(line.contains("NVRTC 13.2") && line.contains("CUDA 13.1"), "{line}");
        let line = words(Machine { toolkit: None, ..whole() });
        assert!(line.contains("CUDA_PATH"), "{line}");
    }

    #[test]
    fn headers_are_looked_for_under_include() {
        let folder = tempfile::tempdir().unwrap();
        let include = folder.path().join("include");
        std::fs::create_dir_all(include.join("crt")).unwrap();
        for (header, _) in &HEADERS[..3] {
            std::fs::write(include.join(header), "").unwrap();
        }
        let toolkit = toolkit_at(folder.path().to_path_buf());
        assert_eq!(toolkit.missing, [HEADERS[3]]);
        let line = words(Machine { toolkit: Some(toolkit), ..whole() });
        assert!(line.contains("include/crt/mma.h") && line.contains("nvidia-cuda-crt"), "{line}");
        std::fs::write(include.join("crt/mma.h"), "").unwrap();
        assert_eq!(toolkit_at(folder.path().to_path_buf()).missing, []);
    }
}
