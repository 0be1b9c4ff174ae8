//! Pictures that were shown → code: the bare picture, the outlined one, and a line that tells what was drawn.

use anyhow::Result;

use super::Wish;
use super::jpeg::{Coded, Jpeg, rows, strips};
use super::redraw::Redraw;
use super::ring::{About, PARTS};
use super::shot::Shot;
use crate::convert;
use crate::frame::{Frame, View};
use crate::geometry::Placement;
use crate::study::Outside;
use crate::study::privacy::Blackener;

/// Keeps its buffers from one picture to the next.
pub struct Encoder {
    /// Of the picture that was taken over.
    size: (usize, usize),
    picture: Frame,
    outlined: Frame,
    blackener: Blackener,
    epoch: Option<u64>,
    redraw: Redraw,
    jpeg: Jpeg,
    bare: Coded,
    drawn: Coded,
    line: Vec<u8>,
}

impl Default for Encoder {
    fn default() -> Self {
        Encoder {
            size: (1, 1),
            picture: Frame::black(1, 1),
            outlined: Frame::black(1, 1),
            blackener: Blackener::default(),
            epoch: None,
            redraw: Redraw::default(),
            jpeg: Jpeg::default(),
            bare: Coded::default(),
            drawn: Coded::default(),
            line: Vec::new(),
        }
    }
}

impl Encoder {
    /// Takes a picture over: its buffer is not needed any longer.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn take(&mut self, view: &View<'_>, wish: &Wish) -> Result<()> {
        self.size = (view.width_px(), view.height_px());
        if wish.pictures.has_films() { convert::to_rgb(view, &mut self.picture) } else { Ok(()) }
    }

    /// Encodes the picture that was taken over. Parts that are not wanted are empty.
    ///
    /// # Errors
    /// If it is too large.
    pub fn encode(&mut self, shot: &Shot, wish: &Wish) -> Result<(About, [&[u8]; PARTS])> {
        if self.epoch.replace(shot.epoch) != Some(shot.epoch) {
            self.blackener.forget();
        }
        if !wish.pictures.has_films() {
            shot.line(None, &mut self.line)?;
            let about = about(shot, self.size, false);
            return Ok((about, [&[], &[], &self.line]));
        }
        let is_black_outside =
            wish.outside == Outside::Black && self.blackener.next(&mut self.picture, wish.fixed);
        let size = (self.picture.width_px(), self.picture.height_px());
        shot.line(Some(is_black_outside), &mut self.line)?;
        self.jpeg.encode(&self.picture, wish.quality, &mut self.bare)?;
        if wish.pictures.has_outlined() {
            let placement = Placement::identity(size.0, size.1);
            let layer = self.redraw.shot(shot, true, &self.picture.view(), &placement);
            let differs = |strip: usize| rows(strip, size.1).any(|row| layer.is_touched(row));
            self.outlined.resize(size.0, size.1);
            for strip in (0..strips(size.1)).filter(|&strip| differs(strip)) {
                for row in rows(strip, size.1) {
                    self.outlined.row_mut(row).copy_from_slice(self.picture.row(row));
                    layer.over::<3, true>(row, self.outlined.row_mut(row));
                }
            }
            self.jpeg.encode_changed(&self.outlined, wish.quality, &self.bare, differs, &mut self.drawn)?;
        }
        let about = about(shot, size, is_black_outside);
        let bare = if wish.pictures.has_clean() { self.bare.bytes() } else { &[] };
        let drawn = if wish.pictures.has_outlined() { self.drawn.bytes() } else { &[] };
        Ok((about, [bare, drawn, &self.line]))
    }
}

fn about(shot: &Shot, size: (usize, usize), is_black_outside: bool) -> About {
    About { at: shot.at, clock: shot.clock, epoch: shot.epoch, frame: shot.number.0, size, is_black_outside }
}
