//! From a board profile to the devices that it names.

use anyhow::Result;

use crate::board::{DisplayKind, Profile};
use crate::capture;
use crate::display::{Images, Null, Sink, Y4m};
use crate::pipeline::Feed;

/// Where pictures come from. A live camera that is not there is no error: it may come.
pub(super) fn feed(profile: &Profile) -> Result<Feed> {
    Ok(Feed::Recorded(capture::open(&profile.camera.source)?))
}

/// Where pictures go.
pub(super) fn sink(profile: &Profile) -> Result<Box<dyn Sink>> {
    let display = &profile.display;
    Ok(match display.kind {
        DisplayKind::Kms => anyhow::bail!("not yet"),
        DisplayKind::Images => Box::new(Images::new(&display.folder, display.every_frames)?),
        DisplayKind::Y4m => {
            let rate = profile.camera.rate_hz;
            let rate = if rate > 0.0 { rate } else { capture::synthetic::FPS };
            Box::new(Y4m::new(std::io::stdout(), rate.round() as usize))
        }
        DisplayKind::Null => Box::new(Null),
    })
}
