//! The page on board profiles: their keys with documentation and type from the code, their values from `boards/base.toml`.

use anyhow::{Context, Result};
use clap_mangen::roff::{Roff, bold, italic, roman};
use syn::{GenericArgument, PathArguments, Type};
use toml::{Table, Value};

use crate::pages::{list, see};
use crate::source::{Field, Source};

/// Where a profile and the types of its keys are defined.
const SOURCES: [&str; 10] = [
    include_str!("../../src/board/profile.rs"),
    include_str!("../../src/board/display.rs"),
    include_str!("../../src/board/room.rs"),
    include_str!("../../src/alert/pin.rs"),
    include_str!("../../src/alert/tone.rs"),
    include_str!("../../src/recording/mod.rs"),
    include_str!("../../src/recording/segment.rs"),
    include_str!("../../src/bundle/manifest.rs"),
    include_str!("../../src/display/kms/composition.rs"),
    include_str!("../../src/display/mod.rs"),
];
const BASE: &str = include_str!("../../boards/base.toml");

const DESCRIPTION: &str = "A profile tells polyp-edge what differs from cart to cart: camera, monitor, model, trusted keys. It is \
    strict TOML: unknown keys and values out of range are refused with file and line, exit status 78. Its name must be that of \
    its file. With inherits = \"NAME\" it takes every value that it does not set from NAME.toml beside it; up to 16 profiles may \
    inherit from one another.";
const CHECKING: &str = "polyp-edge check --board FILE checks a profile and its bundle without any hardware. polyp-edge doctor --board \
    FILE checks camera and monitor, too. A running polyp-edge takes a changed profile over on SIGHUP (systemctl reload \
    polyp-edge): whole, or not at all.";

/// The page, in roff.
pub fn page() -> Result<String> {
    let source = Source::read(&SOURCES)?;
    let base: Table = toml::from_str(BASE).context("boards/base.toml")?;
    let mut page = Roff::new();
    let version = format!("polyp-edge {}", env!("CARGO_PKG_VERSION"));
    page.control("TH", ["polyp-edge.toml", "5", "", &version, "polyp-edge"]);
    page.control("SH", ["NAME"]).text([roman("polyp-edge.toml - board profiles of polyp-edge")]);
    page.control("SH", ["SYNOPSIS"]).text([roman("/etc/polyp-edge/cart.toml")]);
    page.control("SH", ["DESCRIPTION"]).text([roman(DESCRIPTION)]);
    page.control("PP", []).text([roman(CHECKING)]);
    let fields = source.fields("Profile").context("there is no struct Profile")?;
    let is_table = |field: &Field| named(&field.kind).is_some_and(|name| source.fields(&name).is_some());
    let (tables, keys): (Vec<_>, Vec<_>) = fields.iter().partition(|field| is_table(field));
    page.control("SH", ["KEYS"]);
    for field in keys {
        key(&mut page, &source, field, None);
    }
    let inherits = "The profile beside this one whose values hold where this one has none. May be left out.";
    page.control("TP", []).text([bold("inherits"), roman(" (text)")]).text([roman(inherits)]);
    for table in tables {
        page.control("SH", [format!("[{}]", table.name).as_str()]).text([roman(table.what.clone())]);
        let values = base.get(&table.name).and_then(Value::as_table);
        let inner = named(&table.kind).and_then(|name| source.fields(&name)).unwrap_or_default();
        for field in &inner {
            key(&mut page, &source, field, values.and_then(|values| values.get(&field.name)));
        }
    }
    let files = [(
        "/etc/polyp-edge/*.toml".to_owned(),
        "The shipped profiles. cart.toml is the cart's own; the others are replaced by an upgrade, if they were not changed.".to_owned(),
    )];
    list(&mut page, "FILES", &files);
    page.control("SH", ["SEE ALSO"]);
    page.text(see([
        ("polyp-edge", "1"),
        ("polyp-edge-run", "1"),
        ("polyp-edge-check", "1"),
        ("polyp-edge-probe", "1"),
    ]
    .into_iter()));
    Ok(page.to_roff())
}

fn key(page: &mut Roff, source: &Source, field: &Field, value: Option<&Value>) {
    let words = inner(&field.kind).and_then(|kind| source.words(&kind));
    let kind = match &words {
        Some(words) => words.iter().map(|(word, _)| word.as_str()).collect::<Vec<_>>().join(", "),
        None => kind(&field.kind),
    };
    page.control("TP", []).text([bold(field.name.clone()), roman(format!(" ({kind})"))]);
    let mut line = vec![roman(field.what.clone())];
    // A path of the repository is none on a cart.
    if let Some(value) = value.filter(|value| !value.as_str().is_some_and(|text| text.starts_with("../"))) {
        line.extend([roman(" base.toml has "), italic(value.to_string()), roman(".")]);
    }
    page.text(line);
    let Some(words) = words else { return };
    page.control("RS", []);
    for (word, what) in words {
        page.control("TP", []).text([bold(word)]).text([roman(what)]);
    }
    page.control("RE", []);
}

/// A type's own name.
fn named(kind: &Type) -> Option<String> {
    match kind {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        _ => None,
    }
}

/// What lies in an `Option` or a `Vec`, else the type itself.
fn inner(kind: &Type) -> Option<String> {
    argument(kind).map_or_else(|| named(kind), named)
}

fn argument(kind: &Type) -> Option<&Type> {
    let Type::Path(path) = kind else { return None };
    let PathArguments::AngleBracketed(arguments) = &path.path.segments.last()?.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(kind) => Some(kind),
        _ => None,
    })
}

/// A type as somebody who writes TOML knows it.
fn kind(of: &Type) -> String {
    if let Type::Array(array) = of {
        return list_of(&array.elem);
    }
    let (name, inner) = (named(of).unwrap_or_default(), argument(of));
    match (name.as_str(), inner) {
        ("Option", Some(inner)) => format!("{}; may be left out", kind(inner)),
        ("Vec", Some(inner)) => list_of(inner),
        ("bool", _) => "true or false".into(),
        ("f32" | "f64", _) => "number".into(),
        ("u8" | "u32" | "u64" | "usize", _) => "whole number".into(),
        ("PathBuf", _) => "path".into(),
        _ => "text".into(),
    }
}

fn list_of(inner: &Type) -> String {
    let one = kind(inner);
    let plural = if one == "text" { "" } else { "s" };
    format!("list of {one}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a page says under a heading.
    fn section<'a>(page: &'a str, title: &str) -> &'a str {
        let from =
            page.split_once(&format!(".SH {title}\n")).unwrap_or_else(|| panic!("no section {title}")).1;
        from.split_once("\n.SH").map_or(from, |(section, _)| section)
    }

    #[test]
    fn every_key_of_the_shipped_profiles_is_on_the_page() {
        let page = page().unwrap().replace('\\', "");
        let mut keys = 0;
        for file in testing::folder::files(&testing::root().join("boards")) {
            let text = std::fs::read_to_string(testing::root().join("boards").join(&file)).unwrap();
            for (name, value) in toml::from_str::<Table>(&text).unwrap() {
                match value {
                    Value::Table(table) => {
                        let section = section(&page, &format!("[{name}]"));
                        for key in table.keys() {
                            assert!(
                                section.contains(&format!("fB{key}fR (")),
                                "{}: {name}.{key}",
                                file.display()
                            );
                            keys += 1;
                        }
                    }
                    _ => assert!(section(&page, "KEYS").contains(&format!("fB{name}fR (")), "{name}"),
                }
            }
        }
        assert!(keys > 50, "{keys}");
    }

    #[test]
    fn types_are_told_as_toml_has_them() {
        let told = |text: &str| kind(&syn::parse_str(text).unwrap());
        assert_eq!(told("Option<[usize; 4]>"), "list of whole numbers; may be left out");
        assert_eq!(told("Vec<String>"), "list of text");
        assert_eq!(told("Option<PathBuf>"), "path; may be left out");
    }
}
