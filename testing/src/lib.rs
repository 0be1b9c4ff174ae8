//! What the tests, benchmarks and fuzz targets of polyp-edge share: stand-ins for the kernel's devices, small inputs, and
//! the program watched from outside. None of it is part of a program.
//!
//! Unit tests in `src/` cannot use what takes or gives types of the library: there it is another instance of the library.

#[expect(unsafe_code, reason = "an allocator that counts")]
pub mod allocations;
pub mod bundle;
pub mod cart;
pub mod cases;
pub mod folder;
pub mod gpu;
pub mod jpeg;
#[expect(unsafe_code, reason = "a mapping of memory that this process alone changes")]
pub mod lent;
pub mod live;
pub mod onnx;
pub mod oracle;
pub mod picture;
pub mod program;
pub mod simulation;
pub mod v4l2;
pub mod viewer;

use std::path::Path;

/// The repository's folder: `boards/`, `models/` and the fixtures lie in it.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the repository")
}
