use std::process::ExitCode;

fn main() -> ExitCode {
    polyp_edge::cli::main()
}
