//! Samples that cannot be used: all of them are found, and one line says how many there are and names the first few.

use anyhow::Error;
use polyp_edge::fault::{Exit, Fault, exit_of};

const NAMED: usize = 5;

/// All results, or one error for all that failed: `3 of 100 samples cannot be used: …; …; …`. Its exit code is that of
/// the first error which is more than a missing file, else 74.
pub fn all<T>(results: Vec<anyhow::Result<T>>) -> anyhow::Result<Vec<T>> {
    let count = results.len();
    let (mut good, mut bad) = (Vec::with_capacity(count), Vec::new());
    for result in results {
        match result {
            Ok(value) => good.push(value),
            Err(error) => bad.push(error),
        }
    }
    if bad.is_empty() { Ok(good) } else { Err(one_line(&bad, count)) }
}

fn one_line(bad: &[Error], all: usize) -> Error {
    let exit = bad.iter().map(exit_of).find(|exit| *exit != Exit::Io).unwrap_or(Exit::Io);
    let named: Vec<String> = bad.iter().map(|error| format!("{error:#}")).collect();
    Fault::new(exit, format!("{} of {all} samples cannot be used: {}", bad.len(), first_few(&named)))
}

/// The first five, and how many more there are.
pub fn first_few(names: &[String]) -> String {
    let mut text = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join("; ");
    if let Some(more) = names.len().checked_sub(NAMED).filter(|more| *more > 0) {
        text.push_str(&format!("; and {more} more"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_five_are_named() {
        assert_eq!(all(vec![Ok(1), Ok(2)]).unwrap(), [1, 2]);
        let lost = |n: usize| Err::<usize, _>(Fault::io(format!("no {n}")));
        let error = all(vec![Ok(0), lost(1), Ok(2), lost(3)]).unwrap_err();
        assert_eq!(error.to_string(), "2 of 4 samples cannot be used: no 1; no 3");
        assert_eq!(exit_of(&error), Exit::Io);
        let mut many: Vec<anyhow::Result<usize>> = (1..=7).map(lost).collect();
        many.push(Err(Fault::data("soft").context("eighth")));
        let error = all(many).unwrap_err();
        assert_eq!(
            error.to_string(),
            "8 of 8 samples cannot be used: no 1; no 2; no 3; no 4; no 5; and 3 more"
        );
        assert_eq!(exit_of(&error), Exit::Data);
    }
}
