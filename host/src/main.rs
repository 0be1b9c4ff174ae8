//! The program of a workstation: see the library of the same name.

use std::process::ExitCode;

fn main() -> ExitCode {
    polyp_host::cli::main()
}
