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
    String::from_utf8(text).context("completions that are not UTF-8")
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
}
