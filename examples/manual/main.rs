//! Writes the manual pages and the shells' completions of `polyp-edge`:
//!
//! ```sh
//! cargo run --example manual -- FOLDER     # FOLDER/man/*.1, *.5; FOLDER/completions/*
//! ```
//!
//! They are made from what the program itself is made from: its command line, and the documentation of the profiles' keys
//! and of the exit codes in `src/`. `scripts/package` puts them into the packages.

mod completions;
mod pages;
mod profiles;
mod source;

use std::path::Path;

use anyhow::{Context, Result, bail};

/// A file with its text.
struct Written {
    name: String,
    text: String,
}

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [folder] = arguments.as_slice() else { bail!("usage: manual FOLDER") };
    let folder = Path::new(folder);
    write(&folder.join("man"), pages::all()?)?;
    write(&folder.join("completions"), completions::all()?)
}

fn write(folder: &Path, files: Vec<Written>) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for file in files {
        let path = folder.join(&file.name);
        std::fs::write(&path, file.text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}
