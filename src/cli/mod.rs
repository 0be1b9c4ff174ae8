//! The command line: one file a verb.

/// `println!` for verbs that give a `Result`: see [`print`].
macro_rules! say {
    ($($part:tt)*) => {
        $crate::output::print(format_args!("{}\n", format_args!($($part)*)))?
    };
}

mod audit;
mod bench;
mod bundle;
mod check;
mod cross_check;
mod ctl;
mod doctor;
mod heat;
mod inputs;
mod model;
mod probe;
mod replay;
mod report;
mod run;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};

use crate::fault::{self, Exit};
use crate::identity::Program;
use crate::logging;

/// How long the program waits at its end for whoever reads its log.
const LAST_LINES_WITHIN: Duration = Duration::from_millis(100);

/// Outlines polyps in the picture of an endoscope. Not a medical device.
#[derive(Parser)]
#[command(name = "polyp-edge", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Run(run::Arguments),
    Ctl(ctl::Arguments),
    Replay(replay::Arguments),
    Model(model::Arguments),
    Bench(bench::Arguments),
    CrossCheck(cross_check::Arguments),
    Check(check::Arguments),
    Probe(probe::Arguments),
    Doctor(doctor::Arguments),
    Bundle(bundle::Arguments),
    Audit(audit::Arguments),
    Report(report::Arguments),
}

/// The command line with all verbs, for what describes it: manual pages, completions.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Parses the process's command line, runs the verb, and says how it ended.
pub fn main() -> ExitCode {
    logging::start();
    let code = run_from(std::env::args_os());
    logging::flush(LAST_LINES_WITHIN);
    code
}

/// As [`main`] with other arguments, the program's name first: for programs that embed this one. Log lines go to whatever
/// logger there is.
pub fn run_from(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if is_version_as_json(&arguments) {
        return match version_as_json() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fault::report("polyp-edge", &error),
        };
    }
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return not_understood("polyp-edge", &error),
    };
    let outcome = match arguments.verb {
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Ctl(arguments) => ctl::run(&arguments),
        Verb::Replay(arguments) => replay::run(&arguments),
        Verb::Model(arguments) => model::run(&arguments),
        Verb::Bench(arguments) => bench::run(&arguments),
        Verb::CrossCheck(arguments) => cross_check::run(&arguments),
        Verb::Check(arguments) => check::run(&arguments),
        Verb::Probe(arguments) => probe::run(&arguments),
        Verb::Doctor(arguments) => doctor::run(&arguments),
        Verb::Bundle(arguments) => bundle::run(&arguments),
        Verb::Audit(arguments) => audit::run(&arguments),
        Verb::Report(arguments) => report::run(&arguments),
    };
    match &outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fault::report("polyp-edge", error),
    }
}

/// `--version --json`, in either order.
fn is_version_as_json(arguments: &[OsString]) -> bool {
    let is = |argument: &OsString, names: &[&str]| names.iter().any(|name| argument == name);
    let version = |argument| is(argument, &["--version", "-V"]);
    let json = |argument| is(argument, &["--json"]);
    matches!(arguments, [_, one, other] if version(one) && json(other) || json(one) && version(other))
}

fn version_as_json() -> anyhow::Result<()> {
    say!("{}", serde_json::to_string_pretty(&Program::this())?);
    Ok(())
}

/// What a program says of arguments that it did not take: help and version as they are; an error as one line, exit 2.
pub fn not_understood(program: &str, error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if asked || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // What cannot be printed is read by nobody.
        let _ = error.print();
        return ExitCode::from(if asked { 0 } else { Exit::Usage as u8 });
    }
    let text = error.to_string();
    let (what, rest) = text.split_once("\n\n").unwrap_or((&text, ""));
    let what = what.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let what = what.strip_prefix("error: ").unwrap_or(&what);
    let tips = rest.lines().filter_map(|line| line.trim().strip_prefix("tip: "));
    let tips: String = tips.map(|tip| format!("; {tip}")).collect();
    eprintln!("{program}: {what}{tips}; see `{} --help`", helper(program, error, rest));
    ExitCode::from(Exit::Usage as u8)
}

/// Whose help an error is about: `polyp-edge replay` where a verb was given.
fn helper(program: &str, error: &clap::Error, usage: &str) -> String {
    use clap::error::ErrorKind;
    let is_verb = |word: &&str| word.starts_with(|letter: char| letter.is_ascii_lowercase());
    if let Some(usage) = usage.lines().find_map(|line| line.strip_prefix("Usage: ")) {
        let words = usage.split_whitespace().skip(1).take_while(is_verb);
        return words.fold(program.to_owned(), |all, word| all + " " + word);
    }
    if matches!(error.kind(), ErrorKind::InvalidSubcommand | ErrorKind::MissingSubcommand) {
        return program.to_owned();
    }
    // Errors about values come without a usage; the verb was understood by then.
    let verb = std::env::args_os().nth(1).and_then(|verb| verb.into_string().ok());
    verb.filter(|verb| is_verb(&verb.as_str())).map_or(program.to_owned(), |verb| format!("{program} {verb}"))
}
