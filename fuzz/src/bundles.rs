//! Bundle folders out of bytes: flags, the manifest's length (u16), its text, the model.
//!
//! In the text, `@model`, `@card` and `@golden` stand for the right digests: a model that was changed is still the
//! manifest's.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use polyp_edge::bundle::{MANIFEST, SIGNATURE, digest};

use crate::dice::Dice;
use crate::{LONGEST, models, pictures};

const CARD: &[u8] = b"# Card";

/// A golden frame, and its own mask.
fn golden() -> &'static [u8] {
    static PNG: OnceLock<Vec<u8>> = OnceLock::new();
    PNG.get_or_init(|| pictures::png(&image::GrayImage::new(8, 8).into()))
}

/// An empty folder that goes when it is dropped; in memory, where the machine has such a file system.
pub fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("polyp-fuzz-").tempdir_in(parent).expect("a folder can be made")
}

/// What a folder holds beside or instead of manifest and model.
const NO_MANIFEST: u8 = 1;
const NO_MODEL: u8 = 2;
const UNLISTED: u8 = 4;
const LINK: u8 = 8;
const DEEP: u8 = 16;
const SIGNED: u8 = 32;

struct Parts<'a> {
    flags: u8,
    manifest: &'a [u8],
    model: &'a [u8],
}

fn split(bytes: &[u8]) -> Option<Parts<'_>> {
    let (&[flags, low, high], rest) = bytes.split_first_chunk::<3>()?;
    let length = usize::from(u16::from_le_bytes([low, high]));
    let (manifest, model) = rest.split_at_checked(length)?;
    Some(Parts { flags, manifest, model })
}

/// The bytes of a bundle.
pub fn join(flags: u8, manifest: &[u8], model: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(manifest.len()).ok()?.to_le_bytes();
    Some([&[flags], &length[..], manifest, model].concat())
}

/// Writes the bundle into an empty folder; `false` if the bytes hold none.
///
/// # Errors
/// If a file cannot be written.
pub fn write(bytes: &[u8], folder: &Path) -> io::Result<bool> {
    let Some(Parts { flags, manifest, model }) = split(bytes) else { return Ok(false) };
    let has = |flag: u8| flags & flag != 0;
    if !has(NO_MANIFEST) {
        let written = match std::str::from_utf8(manifest) {
            Ok(text) => {
                let text = text.replace("@model", &digest(model)).replace("@card", &digest(CARD));
                text.replace("@golden", &digest(golden())).into_bytes()
            }
            Err(_) => manifest.to_vec(),
        };
        fs::write(folder.join(MANIFEST), written)?;
    }
    if !has(NO_MODEL) {
        fs::write(folder.join("model.onnx"), model)?;
    }
    fs::write(folder.join("golden.png"), golden())?;
    fs::create_dir(folder.join("cards"))?;
    fs::write(folder.join("cards/card.md"), CARD)?;
    if has(UNLISTED) {
        fs::write(folder.join("more"), b"")?;
    }
    if has(LINK) {
        std::os::unix::fs::symlink("..", folder.join("link"))?;
    }
    if has(DEEP) {
        fs::create_dir_all(folder.join("d/".repeat(60)))?;
    }
    if has(SIGNED) {
        fs::write(folder.join(SIGNATURE), manifest)?;
    }
    Ok(true)
}

/// Edits the folder, the manifest's lines or the model; `None` if the result is too long or there is nothing to edit.
pub fn mutate(bytes: &[u8], longest: usize, dice: &mut Dice) -> Option<Vec<u8>> {
    let Parts { flags, manifest, model } = split(bytes)?;
    let room = longest.min(LONGEST).checked_sub(3 + manifest.len())?;
    let edited = match dice.below(8) {
        0 => join(flags ^ 1 << dice.below(6), manifest, model),
        1..=4 => join(flags, edit(std::str::from_utf8(manifest).ok()?, dice).as_bytes(), model),
        _ => join(flags, manifest, &models::mutate(model, room, dice)?),
    };
    edited.filter(|edited| edited.len() <= longest.min(LONGEST))
}

const VALUES: [&str; 22] = [
    "0",
    "-1",
    "1e400",
    "nan",
    "-inf",
    "0.5",
    "1",
    "18446744073709551615",
    "99999999999999999999",
    "\"\"",
    "\"../model.onnx\"",
    "\"model.onnx\"",
    "\"cards/card.md\"",
    "\"/\"",
    "\"@model\"",
    "[]",
    "[1, 3, 6, 5]",
    "{}",
    "true",
    "1979-05-27",
    "\"\\u0000\"",
    "[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]",
];

fn edit(manifest: &str, dice: &mut Dice) -> String {
    let mut lines: Vec<String> = manifest.lines().map(str::to_owned).collect();
    for _ in 0..=dice.below(3) {
        let (place, other) = (dice.below(lines.len()), dice.below(lines.len()));
        let Some(line) = lines.get_mut(place) else { break };
        match dice.below(9) {
            0 => drop(lines.remove(place)),
            1 => lines.swap(place, other),
            2 => {
                let line = line.clone();
                lines.insert(other, line);
            }
            3 => line.truncate(
                (0..=dice.below(line.len() + 1)).rev().find(|&end| line.is_char_boundary(end)).unwrap_or(0),
            ),
            4 => line.push_str(
                &["[", "]", "\"", "'''", "#", ".a", "{", ","][dice.below(8)].repeat(1 + dice.below(300)),
            ),
            5 => {
                // A number within the line.
                let digits: Vec<(usize, char)> =
                    line.char_indices().filter(|(_, c)| c.is_ascii_digit()).collect();
                if let Some(&(at, _)) = dice.pick(&digits) {
                    line.replace_range(at..=at, &dice.number(1).to_string());
                }
            }
            _ => {
                if let Some((key, _)) = line.split_once(" = ") {
                    *line = format!("{key} = {}", VALUES[dice.below(VALUES.len())]);
                }
            }
        }
    }
    lines.join("\n")
}
