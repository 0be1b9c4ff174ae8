use std::process::ExitCode;

fn main() -> ExitCode {
    polyp_host::cli::main()
}
