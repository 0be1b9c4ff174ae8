//! From a board profile to the devices that it names.

use anyhow::Result;

use crate::board::{DisplayKind, ModeWish, Profile, Road};
use crate::capture::{self, v4l2};
use crate::display::{Images, Null, Sink, Y4m, kms};
use crate::fault::Fault;
use crate::pipeline::Feed;

/// Where pictures come from. A live camera that is not there is no error: it may come.
pub(super) fn feed(profile: &Profile) -> Result<Feed> {
    let camera = &profile.camera;
    let Some(device) = camera.device() else {
        return Ok(Feed::Recorded(capture::open(&camera.source)?));
    };
    let wanted = v4l2::Wanted {
        device: device.map(str::to_owned),
        formats: camera.formats.clone(),
        sizes: camera.sizes().map_err(Fault::configuration)?,
        rate_hz: camera.rate_hz,
        buffers: camera.buffers,
        input: camera.input,
    };
    Ok(Feed::Live(Box::new(v4l2::open(wanted))))
}

/// Where pictures go.
pub(super) fn sink(profile: &Profile) -> Result<Box<dyn Sink>> {
    let display = &profile.display;
    Ok(match display.kind {
        DisplayKind::Kms => {
            let wishes = display.modes().map_err(Fault::configuration)?;
            Box::new(kms::open(&kms::Wanted {
                card: display.card.clone(),
                connector: display.connector.clone(),
                modes: wishes.into_iter().map(mode).collect(),
                road: match display.road {
                    Road::Auto => kms::Road::Auto,
                    Road::Planes => kms::Road::Planes,
                    Road::Blend => kms::Road::Blend,
                },
                enlarge: display.enlarge,
            })?)
        }
        DisplayKind::Images => Box::new(Images::new(&display.folder, display.every_frames)?),
        DisplayKind::Y4m => {
            let rate = profile.camera.rate_hz;
            let rate = if rate > 0.0 { rate } else { capture::synthetic::FPS };
            Box::new(Y4m::new(std::io::stdout(), rate.round() as usize))
        }
        DisplayKind::Null => Box::new(Null),
    })
}

fn mode(wish: ModeWish) -> kms::ModeWish {
    match wish {
        ModeWish::Camera => kms::ModeWish::Camera,
        ModeWish::Preferred => kms::ModeWish::Preferred,
        ModeWish::Size { width, height, refresh_hz } => kms::ModeWish::Exact { width, height, refresh_hz },
    }
}
