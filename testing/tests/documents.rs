//! What the guides name is there: each file that they name by its path, and each document that they link to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The repository's own Markdown files.
fn documents() -> Vec<PathBuf> {
    let mut documents = Vec::new();
    for folder in ["", "docs", "docs/results", "host", "calib", "testing"] {
        let Ok(entries) = std::fs::read_dir(root().join(folder)) else { continue };
        let paths = entries.map(|entry| entry.unwrap().path());
        documents.extend(paths.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    }
    assert!(documents.len() > 10, "{documents:?}");
    documents.sort();
    documents
}

/// Text between single backticks.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    let outside_of_blocks = text.split("```").step_by(2);
    outside_of_blocks.flat_map(|part| part.split('`').skip(1).step_by(2))
}

/// The targets of links, `[text](target)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

/// Whether a span is the path of a file of the repository, and not a pattern or a command.
fn is_path(span: &str) -> bool {
    const FOLDERS: [&str; 9] =
        ["src/", "host/", "tests/", "testing/", "scripts/", "benches/", "examples/", "docs/", "boards/"];
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    FOLDERS.iter().any(|folder| span.starts_with(folder)) && span.chars().all(plain)
}

#[test]
fn every_file_that_a_guide_names_is_there() {
    let mut missing = BTreeSet::new();
    let mut named = 0;
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        // The changelog tells of files as they were.
        if document.ends_with("CHANGELOG.md") {
            continue;
        }
        let shown = document.strip_prefix(root()).unwrap().display().to_string();
        for span in spans(&text).filter(|span| is_path(span)) {
            named += 1;
            if !root().join(span).exists() {
                missing.insert(format!("{shown} names {span}"));
            }
        }
        for target in links(&text) {
            let file = target.split('#').next().unwrap_or_default();
            let is_elsewhere = file.is_empty() || file.contains("://") || file.starts_with("mailto:");
            if !is_elsewhere && !document.parent().unwrap().join(file).exists() {
                missing.insert(format!("{shown} links to {target}"));
            }
        }
    }
    assert!(named > 50, "hardly a path was found: {named}");
    assert!(missing.is_empty(), "{}", missing.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn paths_are_told_from_patterns() {
    assert!(is_path("src/lib.rs") && is_path("host/configs"));
    assert!(!is_path("src/*.rs") && !is_path("scripts/test --help") && !is_path("POLYP_DATA"));
    let text = "`src/a.rs` and [b](docs/b.md#part)\n```sh\n`src/c.rs`\n```\n`d`";
    assert_eq!(spans(text).collect::<Vec<_>>(), ["src/a.rs", "d"]);
    assert_eq!(links(text).collect::<Vec<_>>(), ["docs/b.md#part"]);
}

/// The test programs of the workspace's root, which hazards name by `program::module::test`.
const PROGRAMS: [&str; 5] = ["cart", "capture", "display", "engine", "simulation"];

#[test]
fn every_test_that_a_hazard_names_is_there() {
    let text = std::fs::read_to_string(root().join("docs/hazards.md")).unwrap();
    let (mut file, mut named, mut missing) = (PathBuf::new(), 0, Vec::new());
    for span in spans(&text).filter(|span| span.contains("::") && *span != "program::module::test") {
        let (place, test) = span.rsplit_once("::").unwrap();
        // `program::module` alone stands for all tests of a module.
        let (place, test) = if PROGRAMS.contains(&place) { (span, "*") } else { (place, test) };
        if let Some((program, module)) = place.split_once("::") {
            file = root().join("tests").join(program).join(format!("{module}.rs"));
        } else if place != "…" {
            file = root().join(place);
        }
        let code = std::fs::read_to_string(&file).unwrap_or_default();
        let is_there =
            if test == "*" { code.contains("#[test]") } else { code.contains(&format!("fn {test}(")) };
        named += 1;
        if !is_there {
            missing.push(format!("{span}, looked for in {}", file.display()));
        }
    }
    assert!(named > 20, "hardly a test was found: {named}");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
