//! Where a replay's masks, pictures and results go.

use std::ffi::OsStr;
use std::path::PathBuf;

use anyhow::Result;
use image::ExtendedColorType;

use super::arguments::Arguments;
use super::coco::Coco;
use super::lines::{Found, Head, Lines};
use crate::display::{Images, PICTURES, write_png};
use crate::files::{Claim, Input, OutputFolder, check_own};

/// The file of results in the output folder.
const RESULTS: &str = "results.jsonl";

/// What was asked for; the folders are claimed.
pub(super) struct Outputs {
    pub masks: Option<OutputFolder>,
    pub overlay: Option<Images>,
    pub results: Results,
}

/// What was found, in files.
pub(super) struct Results {
    lines: Option<Lines>,
    coco: Option<Coco>,
}

impl Outputs {
    /// # Errors
    /// As [`OutputFolder::claim`], before anything is written.
    pub(super) fn claim(arguments: &Arguments, head: &Head) -> Result<Outputs> {
        let models = [arguments.model.as_deref(), arguments.board.as_deref()];
        let inputs: Vec<_> = Input::of_source(&arguments.source)
            .into_iter()
            .chain(
                models
                    .into_iter()
                    .flatten()
                    .map(|path| if path.is_dir() { Input::Tree(path) } else { Input::File(path) }),
            )
            .collect();
        let claim =
            |folder, names| Claim { folder, names, what: "replay", inputs: &inputs, force: arguments.force };
        if let Some(path) = &arguments.coco {
            check_own(path, arguments.force)?;
        }
        let is_asked_for =
            |flag: bool| flag || !(arguments.masks || arguments.results || arguments.coco.is_some());
        let (masks, overlay) = (arguments.masks, is_asked_for(arguments.overlay));
        let out = &arguments.out;
        let own: &[&str] = match (masks && overlay, masks || overlay, arguments.results) {
            (false, true, true) => &[PICTURES, RESULTS],
            (false, true, false) => &[PICTURES],
            (_, _, true) => &[RESULTS],
            (_, _, false) => &[],
        };
        let (mut folders, nested): (_, [PathBuf; 2]) =
            (vec![claim(out, own)], [out.join("masks"), out.join("overlay")]);
        if masks && overlay {
            folders.extend(nested.iter().map(|folder| claim(folder, &[PICTURES])));
        }
        let mut folders = OutputFolder::claim_all(&folders)?.into_iter();
        let own = folders.next();
        let lines = match own.as_ref().filter(|_| arguments.results) {
            Some(folder) => Some(Lines::begin(folder, RESULTS, head)?),
            None => None,
        };
        let (masks, overlay) = match (masks, overlay) {
            (true, true) => (folders.next(), folders.next()),
            (true, false) => (own, None),
            (false, true) => (None, own),
            (false, false) => (None, None),
        };
        Ok(Outputs {
            masks,
            overlay: overlay.map(|folder| Images::new(folder, 1)),
            results: Results {
                lines,
                coco: arguments.coco.as_ref().map(|path| Coco::begin(path.clone(), arguments.force)),
            },
        })
    }

    /// Writes a frame's mask, if masks are asked for.
    pub(super) fn mask(&self, name: &OsStr, size_px: (usize, usize), mask: &[u8]) -> Result<()> {
        match &self.masks {
            Some(folder) => write_png(folder, name, mask, size_px.0, size_px.1, ExtendedColorType::L8),
            None => Ok(()),
        }
    }
}

impl Results {
    /// Nowhere.
    pub(super) fn none() -> Results {
        Results { lines: None, coco: None }
    }

    /// Takes in what was found in a frame.
    pub(super) fn add(&mut self, found: &Found<'_>) -> Result<()> {
        if let Some(lines) = &mut self.lines {
            lines.add(found)?;
        }
        if let Some(coco) = &mut self.coco {
            coco.add(found);
        }
        Ok(())
    }

    /// All frames have been seen.
    pub(super) fn finish(self) -> Result<()> {
        if let Some(lines) = self.lines {
            lines.finish()?;
        }
        self.coco.map_or(Ok(()), Coco::finish)
    }
}
