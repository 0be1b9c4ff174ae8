//! Bundle, profile and recording, open.

use std::ffi::OsStr;

use anyhow::Result;

use super::arguments::Arguments;
use crate::board::Board;
use crate::bundle::Bundle;
use crate::bundle::manifest::Sensitivity;
use crate::capture::{self, Source};
use crate::engine::{Engine, Options};
use crate::fault::Fault;
use crate::field_of_view::Sequence;
use crate::overlay::Style;
use crate::segment::Segmenter;
use crate::store;

/// What all ways of replaying begin with.
pub(super) struct Opened {
    pub board: Option<Board>,
    pub bundle: Bundle,
    pub sensitivity: Sensitivity,
    pub segmenter: Segmenter<Engine>,
    pub style: Style,
    pub source: Box<dyn Source>,
}

impl Opened {
    pub(super) fn by(arguments: &Arguments) -> Result<Opened> {
        let board = arguments.board.as_deref().map(Board::load).transpose()?;
        let profile = board.as_ref().map(|board| &board.profile);
        let bundle = match (&arguments.model, &board) {
            (Some(model), _) => Bundle::open(model)?,
            (None, Some(board)) => store::bundle(board)?,
            (None, None) => {
                return Err(Fault::usage("name a bundle with --model, or a profile with --board"));
            }
        };
        let sensitivity = arguments.sensitivity.or(profile.map(|profile| profile.model.sensitivity));
        let sensitivity = sensitivity.unwrap_or_default();
        let threads = arguments.threads.map(usize::from).or(profile.map(|profile| profile.model.threads));
        let options = Options { threads: threads.unwrap_or(1), ..Options::default() };
        let engine = Engine::load(&bundle, &options)?;
        let point = bundle.manifest.operating_point(sensitivity)?;
        let sequence = if arguments.as_cart { Sequence::Video } else { Sequence::Stills };
        let segmenter = Segmenter::new(engine, &bundle.manifest, sequence)
            .and_then(|segmenter| segmenter.at(&point))
            .map_err(|error| Fault::data(format!("the bundle {}: {error:#}", bundle.identity())))?;
        let segmenter = match profile.and_then(|profile| profile.field_of_view.rule()) {
            Some(rule) => segmenter.with_field_of_view(rule, sequence),
            None => segmenter,
        };
        let style = profile.map_or_else(Style::default, |profile| profile.style());
        let source = open(&arguments.source)?;
        Ok(Opened { style, sensitivity, segmenter, source, bundle, board })
    }
}

/// As [`capture::open`], for paths that are not UTF-8 and for video in containers too.
fn open(source: &OsStr) -> Result<Box<dyn Source>> {
    if let Some(video) = capture::replay::video::open(source.as_ref())? {
        return Ok(Box::new(video));
    }
    match source.to_str() {
        Some(source) => capture::open(source),
        None => capture::replay::open(source.as_ref()),
    }
}
