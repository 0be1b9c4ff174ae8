//! The documentation of types, read from the code that defines them.

use anyhow::{Context, Result};
use syn::{Attribute, Expr, Fields, Item, Lit, Meta, Type};

/// Some files of code.
pub struct Source {
    items: Vec<Item>,
}

/// A field of a struct.
pub struct Field {
    pub name: String,
    pub what: String,
    pub kind: Type,
}

impl Source {
    pub fn read(texts: &[&str]) -> Result<Source> {
        let mut items = Vec::new();
        for text in texts {
            items.extend(syn::parse_file(text).context("code that cannot be read")?.items);
        }
        Ok(Source { items })
    }

    /// The public fields of a struct; `None` if there is no such struct.
    pub fn fields(&self, name: &str) -> Option<Vec<Field>> {
        self.items.iter().find_map(|item| match item {
            Item::Struct(one) if one.ident == name => match &one.fields {
                Fields::Named(fields) => Some(
                    fields
                        .named
                        .iter()
                        .filter_map(|field| {
                            let name = field.ident.as_ref()?.to_string();
                            Some(Field { name, what: documentation(&field.attrs), kind: field.ty.clone() })
                        })
                        .collect(),
                ),
                _ => None,
            },
            _ => None,
        })
    }

    /// The variants of an enum as text files name them, in kebab case; `None` if there is no such enum.
    pub fn words(&self, name: &str) -> Option<Vec<(String, String)>> {
        let variants = self.variants(name)?;
        Some(variants.map(|one| (kebab(&one.ident.to_string()), documentation(&one.attrs))).collect())
    }

    /// The variants of an enum with their numbers.
    pub fn numbered(&self, name: &str) -> Result<Vec<(String, String)>> {
        let variants = self.variants(name).with_context(|| format!("there is no enum {name}"))?;
        variants
            .map(|one| match &one.discriminant {
                Some((_, Expr::Lit(literal))) => match &literal.lit {
                    Lit::Int(number) => Ok((number.to_string(), documentation(&one.attrs))),
                    _ => anyhow::bail!("{name}::{} has no number", one.ident),
                },
                _ => anyhow::bail!("{name}::{} has no number", one.ident),
            })
            .collect()
    }

    fn variants(&self, name: &str) -> Option<impl Iterator<Item = &syn::Variant>> {
        self.items.iter().find_map(|item| match item {
            Item::Enum(one) if one.ident == name => Some(one.variants.iter()),
            _ => None,
        })
    }
}

/// A doc comment as text: without its marks.
fn documentation(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    let text = lines.collect::<Vec<_>>().join(" ");
    text.replace("[`", "").replace("`]", "").replace('`', "").replace("..=", " to ")
}

fn kebab(name: &str) -> String {
    let mut word = String::new();
    for (index, letter) in name.chars().enumerate() {
        if letter.is_ascii_uppercase() && index > 0 {
            word.push('-');
        }
        word.push(letter.to_ascii_lowercase());
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_is_read_from_code() {
        let code = "/// A.\nstruct A {\n/// From `b`, 1..=3,\n/// as [`C`].\npub b: u8 }\nenum C {\n/// One.\nOneTwo = 7 }";
        let source = Source::read(&[code]).unwrap();
        let fields = source.fields("A").unwrap();
        assert_eq!((fields[0].name.as_str(), fields[0].what.as_str()), ("b", "From b, 1 to 3, as C."));
        assert_eq!(source.words("C").unwrap(), [("one-two".to_owned(), "One.".to_owned())]);
        assert_eq!(source.numbered("C").unwrap(), [("7".to_owned(), "One.".to_owned())]);
        assert!(source.fields("C").is_none() && source.words("A").is_none());
    }
}
