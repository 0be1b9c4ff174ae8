//! Whether an audit trail is whole.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use super::trail::{LONGEST_LINE, Trail};
use crate::bundle::digest;
use crate::fault::Fault;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Whole lines.
    pub lines: u64,
    /// The number of the first one: higher than 1 once the oldest were removed.
    pub first: Option<u64>,
    /// The number of the last one.
    pub last: Option<u64>,
    /// What is not as it was written: where, and what.
    pub broken: Vec<String>,
}

/// So much that is broken is told; then it is enough.
const MOST_BROKEN: usize = 100;

/// Reads all lines of the trail in a folder, the oldest first, and hands each to `visit`.
///
/// # Errors
/// 74 if there is none or it cannot be read; and whatever `visit` says.
pub fn check(folder: &Path, mut visit: impl FnMut(&Value) -> Result<()>) -> Result<Found> {
    let trail = Trail::at(folder);
    let mut found = Found::default();
    // Of the line before.
    let mut before: Option<(u64, String)> = None;
    let mut files = 0;
    for path in trail.files() {
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            file => file.map_err(|error| unreadable(&path, &error))?,
        };
        files += 1;
        let mut reader = BufReader::new(file);
        for row in 1.. {
            let mut line = Vec::new();
            let mut part = reader.by_ref().take(LONGEST_LINE as u64 + 1);
            if part.read_until(b'\n', &mut line).map_err(|error| unreadable(&path, &error))? == 0 {
                break;
            }
            let mut breaks = |what: &str| {
                if found.broken.len() < MOST_BROKEN {
                    found.broken.push(format!("{}:{row}: {what}", path.display()));
                }
            };
            if line.last() != Some(&b'\n') {
                breaks("the line is cut");
                continue;
            }
            let Some((number, chained, value)) = parse(&line) else {
                breaks("it is no line of an audit trail");
                before = None;
                continue;
            };
            match &before {
                Some((last, _)) if last.checked_add(1) != Some(number) => {
                    breaks(&format!(
                        "its number is {number}, and the one before is {last}: lines are missing or were added"
                    ));
                }
                Some((_, digest)) if *digest != chained => {
                    breaks("the line before it is not the one after which it was written");
                }
                _ => {}
            }
            found.lines += 1;
            found.first = found.first.or(Some(number));
            found.last = Some(number);
            before = Some((number, digest(&line)));
            visit(&value)?;
        }
    }
    if files == 0 {
        return Err(Fault::io(format!("{}: there is no audit trail in it", folder.display())));
    }
    at_its_end(&trail, before.as_ref(), &mut found);
    Ok(found)
}

fn at_its_end(trail: &Trail, last: Option<&(u64, String)>, found: &mut Found) {
    let Some(head) = trail.head() else {
        found.broken.push(
            "the file that names the last line, audit.head, is missing: a cut at the end would not show"
                .into(),
        );
        return;
    };
    match last {
        Some((number, _)) if *number < head.number => found.broken.push(format!(
            "the last line's number is {number}, and line {} was written: the end was cut off",
            head.number
        )),
        Some((number, digest)) if *number == head.number && *digest != head.digest => {
            found.broken.push(format!("line {number}, the last, is not as it was written"));
        }
        Some(_) => {}
        None => found.broken.push(format!("there is no line, and line {} was written", head.number)),
    }
}

/// A line's number, the digest that it says of the line before, and all of it.
fn parse(line: &[u8]) -> Option<(u64, String, Value)> {
    let value: Value = serde_json::from_slice(line).ok()?;
    Some((value.get("number")?.as_u64()?, value.get("before")?.as_str()?.to_owned(), value))
}

fn unreadable(path: &Path, error: &std::io::Error) -> anyhow::Error {
    Fault::io(format!("cannot read {}: {error}", path.display()))
}
