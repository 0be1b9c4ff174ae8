//! The program of a cart: see the library of the same name.

use std::process::ExitCode;

fn main() -> ExitCode {
    polyp_edge::cli::main()
}
