//! One page for the program, one for each verb and its own verbs, one for profiles.

use anyhow::{Context, Result};
use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};
use polyp_edge::cli;

use crate::source::Source;
use crate::{Written, profiles};

const PROGRAM: &str = "polyp-edge";
/// Who reads the profile, and so has the files and signals of a cart.
const ON_A_CART: [&str; 2] = [PROGRAM, "polyp-edge-run"];
/// Of a cart that the package was installed on.
const FILES: [(&str, &str); 7] = [
    (
        "/etc/polyp-edge/cart.toml",
        "The profile that polyp-edge.service runs: what differs from the board's. See polyp-edge.toml(5).",
    ),
    (
        "/etc/polyp-edge/board.toml",
        "A link to the profile of the board that was found when the package was installed.",
    ),
    (
        "/etc/polyp-edge/keys/*.pub",
        "Public keys. A bundle runs only if one of them has signed it. See polyp-edge-bundle-keygen(1).",
    ),
    ("/usr/share/polyp-edge/bundles", "The shipped bundles, signed with the development key."),
    ("/var/lib/polyp-edge/bundles", "Installed bundles. See polyp-edge-bundle-install(1)."),
    ("/var/lib/polyp-edge/audit", "What happened on this cart. See polyp-edge-audit(1)."),
    ("/run/polyp-edge/state.json", "The state, written anew about once a second."),
];

/// All pages.
pub fn all() -> Result<Vec<Written>> {
    // `polyp-edge help VERB` says what `--help` says: no pages of its own.
    let mut command = cli::command().disable_help_subcommand(true);
    command.build();
    let mut names = Vec::new();
    collect(&command, &mut names);
    let mut pages = Vec::new();
    for (name, command) in &names {
        let others = related(name, &names);
        pages.push(Written { name: format!("{name}.1"), text: page(name, command, &others)? });
    }
    pages.push(Written { name: "polyp-edge.toml.5".into(), text: profiles::page()? });
    Ok(pages)
}

/// A command and those below it, each with the name of its page.
fn collect<'a>(command: &'a Command, names: &mut Vec<(String, &'a Command)>) {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    names.push((name.to_owned(), command));
    command.get_subcommands().filter(|verb| !verb.is_hide_set()).for_each(|verb| collect(verb, names));
}

/// The pages above and below one.
fn related(name: &str, names: &[(String, &Command)]) -> Vec<String> {
    let is_below = |one: &str, other: &str| {
        one.strip_prefix(other).is_some_and(|rest| rest.starts_with('-'))
            // Its own verbs, not theirs: cross-check is no verb of a verb `cross`.
            && names.iter().filter(|(name, _)| name != one && name != other).all(|(name, _)| {
                !(one.starts_with(&format!("{name}-")) && name.starts_with(&format!("{other}-")))
            })
    };
    names
        .iter()
        .map(|(other, _)| other.clone())
        .filter(|other| is_below(other, name) || is_below(name, other))
        .collect()
}

fn page(name: &str, command: &Command, others: &[String]) -> Result<String> {
    let man = Man::new(command.clone())
        .source(format!("{PROGRAM} {}", env!("CARGO_PKG_VERSION")))
        .manual("polyp-edge");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(&mut text)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    let mut more = Roff::new();
    if ON_A_CART.contains(&name) {
        let files: Vec<_> =
            FILES.iter().map(|(file, what)| ((*file).to_owned(), (*what).to_owned())).collect();
        list(&mut more, "FILES", &files);
    }
    list(&mut more, "EXIT STATUS", &exit_codes()?);
    more.control("SH", ["SEE ALSO"]);
    let others = others.iter().map(|other| (other.as_str(), "1")).chain([("polyp-edge.toml", "5")]);
    more.text(see(others));
    more.to_writer(&mut text)?;
    String::from_utf8(text).context("a page that is not UTF-8")
}

/// What the process ends with, as `src/fault.rs` has it.
fn exit_codes() -> Result<Vec<(String, String)>> {
    let source = Source::read(&[include_str!("../../src/fault.rs")])?;
    let mut codes = vec![("0".to_owned(), "Done.".to_owned())];
    codes.extend(source.numbered("Exit")?);
    Ok(codes)
}

/// A section of terms, each with what it means.
pub fn list(page: &mut Roff, title: &str, terms: &[(String, String)]) {
    page.control("SH", [title]);
    for (term, what) in terms {
        page.control("TP", []).text([bold(term.clone())]).text([roman(what.clone())]);
    }
}

/// Names of other pages in one line.
pub fn see<'a>(pages: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<Inline> {
    let mut line = Vec::new();
    for (index, (page, section)) in pages.enumerate() {
        if index > 0 {
            line.push(roman(", "));
        }
        line.push(bold(page.to_owned()));
        line.push(roman(format!("({section})")));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of a page as it is read: without the backslashes of roff.
    fn read(page: &Written) -> String {
        page.text.replace('\\', "")
    }

    #[test]
    fn every_verb_has_a_page_with_every_option() {
        let mut command = cli::command();
        command.build();
        let mut verbs = Vec::new();
        collect(&command, &mut verbs);
        let pages = all().unwrap();
        let mut options = 0;
        for (name, verb) in verbs.iter().filter(|(name, _)| !name.contains("-help")) {
            let page = pages.iter().find(|page| page.name == format!("{name}.1"));
            let page = read(page.unwrap_or_else(|| panic!("no page for {name}")));
            let shown = verb.get_arguments().filter(|argument| !argument.is_hide_set());
            for option in shown.filter_map(|argument| argument.get_long()) {
                assert!(page.contains(&format!("--{option}")), "{name}: no --{option}");
                options += 1;
            }
        }
        assert!(options > 40 && pages.len() > 14, "{options} options, {} pages", pages.len());
    }

    #[test]
    fn exit_codes_are_those_of_the_program() {
        let codes = exit_codes().unwrap();
        let numbers: Vec<&str> = codes.iter().map(|(code, _)| code.as_str()).collect();
        assert_eq!(numbers, ["0", "1", "2", "65", "69", "74", "76", "78"]);
        assert!(codes.iter().all(|(_, what)| what.ends_with('.')), "{codes:?}");
    }

    #[test]
    fn a_page_names_those_above_and_below_it() {
        let pages = all().unwrap();
        let see = |name: &str| {
            let text = read(pages.iter().find(|page| page.name == name).unwrap());
            text.rsplit_once("SEE ALSO").unwrap().1.replace("fB", "").replace("fR", "")
        };
        assert!(see("polyp-edge-bundle-sign.1").contains("polyp-edge-bundle(1), polyp-edge.toml(5)"));
        let top = see("polyp-edge.1");
        assert!(
            top.contains("polyp-edge-cross-check(1)") && !top.contains("polyp-edge-bundle-sign(1)"),
            "{top}"
        );
    }
}
