//! A source's frames as the model sees them.

use crate::bundle::manifest::Manifest;
use crate::capture;
use crate::field_of_view::{Locator, Sequence};
use crate::segment::Input;

/// Calls `work` with what the cart would feed the model for each of a source's first `most` frames, `[H, W, 3] u8`.
pub(crate) fn for_inputs(
    manifest: &Manifest,
    shape: [usize; 3],
    source: &str,
    most: usize,
    mut work: impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut frames = capture::open(source)?;
    let mut input = Input::new(shape[0], Locator::new(manifest.field_of_view, Sequence::Stills));
    let mut count = 0;
    while count < most
        && let Some(frame) = frames.next()?
    {
        input.prepare(&frame)?;
        work(input.pixels())?;
        count += 1;
    }
    Ok(())
}
