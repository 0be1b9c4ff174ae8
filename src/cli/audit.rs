//! `audit`: what happened on a cart, and whether the record of it is whole.

use std::path::PathBuf;

use anyhow::Result;
use jiff::Timestamp;
use serde_json::Value;

use crate::audit::check;
use crate::board::{Board, CART_PROFILE};
use crate::fault::{Exit, Fault};
use crate::files::signals;

/// Shows a cart's audit trail, and checks that no line of it was changed, added or taken out. The exit code is 1 if one was.
#[derive(clap::Args)]
pub struct Arguments {
    /// The cart's profile, whose pipeline.audit_folder has the trail.
    #[arg(long, value_name = "FILE", default_value = CART_PROFILE, conflicts_with = "folder")]
    board: PathBuf,
    /// The trail's folder itself: a copy.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Only check it.
    #[arg(long)]
    check: bool,
    /// Print each line as it was written, in JSON, on standard output, and what was found at the end.
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    signals::end_cleanly()?;
    let folder = match &arguments.folder {
        Some(folder) => folder.clone(),
        None => Board::load(&arguments.board)?.profile.pipeline.audit_folder.ok_or_else(|| {
            Fault::configuration(format!(
                "{}: the profile records nothing: pipeline.audit_folder is not set",
                arguments.board.display()
            ))
        })?,
    };
    let found = check::check(&folder, |line| {
        match (arguments.check, arguments.json) {
            (true, _) => {}
            (false, true) => say!("{line}"),
            (false, false) => say!("{}", text(line)),
        }
        Ok(())
    })?;
    if arguments.json {
        say!("{}", serde_json::to_string(&found)?);
    } else {
        for what in &found.broken {
            say!("BROKEN {what}");
        }
        if found.broken.is_empty() {
            say!("{} lines, all as they were written", found.lines);
        }
    }
    match found.broken.len() {
        0 => Ok(()),
        _ => Err(Fault::new(
            Exit::Assertion,
            format!("{}: the audit trail is not as it was written", folder.display()),
        )),
    }
}

/// A line for people: when, what, and its details.
fn text(line: &Value) -> String {
    let time =
        line["unix_s"].as_f64().and_then(|seconds| Timestamp::from_millisecond((1e3 * seconds) as i64).ok());
    let time = time.map_or_else(|| "unknown time".into(), |time| time.to_string());
    let event = line["event"].as_str().unwrap_or("unknown");
    let known = ["schema", "number", "unix_s", "uptime_s", "boot_id", "event", "before"];
    let details = line.as_object().into_iter().flatten();
    let details = details.filter(|(name, value)| !known.contains(&name.as_str()) && !value.is_null());
    let details = details.map(|(name, value)| match value {
        Value::String(text) => format!("{name} {text}"),
        _ => format!("{name} {value}"),
    });
    format!("{time} {event:<14} {}", details.collect::<Vec<_>>().join(", ")).trim_end().to_owned()
}
