//! Completions, as the shells expect their files to be called.

use anyhow::{Context, Result};
use clap_complete::{Shell, generate};
use polyp_edge::cli;

use crate::Written;

/// With the name of the file in the shell's folder of completions.
const SHELLS: [(Shell, &str); 3] =
    [(Shell::Bash, "polyp-edge"), (Shell::Zsh, "_polyp-edge"), (Shell::Fish, "polyp-edge.fish")];

/// One file a shell.
pub fn all() -> Result<Vec<Written>> {
    SHELLS.iter().map(|&(shell, name)| Ok(Written { name: name.into(), text: text(shell)? })).collect()
}

fn text(shell: Shell) -> Result<String> {
    let mut text = Vec::new();
    generate(shell, &mut cli::command(), "polyp-edge", &mut text);
    let text = String::from_utf8(text).context("completions that are not UTF-8")?;
    // clap_complete 4.6 writes the verbs of a program with a hyphen in its name under another name than it looks for.
    Ok(text.replace("polyp__subcmd__edge", "polyp__edge"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_completes_each_verb() {
        let verbs: Vec<String> =
            cli::command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
        assert!(verbs.len() >= 9, "{verbs:?}");
        for file in all().unwrap() {
            let missing: Vec<_> = verbs.iter().filter(|verb| !file.text.contains(verb.as_str())).collect();
            assert!(missing.is_empty(), "{}: {missing:?}", file.name);
        }
    }

    #[test]
    fn bash_looks_for_what_it_is_given() {
        let text = text(Shell::Bash).unwrap();
        let places: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("cmd=\"")).collect();
        let missing: Vec<_> = places
            .iter()
            .map(|place| place.trim_end_matches('"'))
            .filter(|place| !place.is_empty() && !text.contains(&format!(" {place})\n")))
            .collect();
        assert!(places.len() > 15 && missing.is_empty(), "{missing:?}");
    }
}
