//! Writes a bundle of two convolutions, which takes a thousandth of a network's time: for checks on emulated boards.
//!
//! ```text
//! cargo run --example tiny_bundle -- FOLDER
//! ```
//!
//! It finds what is bright; with `model.sensitivity = "quiet"` it finds nothing. Its signature is of a key that nobody has.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(folder), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: tiny_bundle FOLDER");
        return ExitCode::from(2);
    };
    if Path::new(&folder).exists() {
        eprintln!("tiny_bundle: {}: it is there already", Path::new(&folder).display());
        return ExitCode::from(2);
    }
    testing::bundle::write(Path::new(&folder));
    ExitCode::SUCCESS
}
