//! Which cards there are and what they can, and who holds one.

use std::fs;
use std::path::{Path, PathBuf};

use super::card::{Card, paths};
use super::gpu::{FourCc, Gpu, Mode, PlaneKind, Status};

/// What a card is and what it has.
#[derive(Clone, Debug, serde::Serialize)]
pub struct CardFacts {
    /// The card's node, such as `/dev/dri/card0`.
    pub path: PathBuf,
    /// The kernel driver's name, such as `vc4`; empty if the card could not be opened.
    pub driver: String,
    /// Without it the card cannot be used here.
    pub is_atomic: bool,
    /// Its connectors, with a monitor or without.
    pub connectors: Vec<ConnectorFacts>,
    /// The hardware planes that it can lay over one another.
    pub planes: Vec<PlaneFacts>,
    /// Why it could not be asked, or not all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// A connector of a card.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ConnectorFacts {
    /// As the kernel names it: `HDMI-A-1`.
    pub name: String,
    /// Whether a monitor is there, as far as the kernel knows.
    pub status: Status,
    /// What the monitor offers.
    pub modes: Vec<ModeFacts>,
}

/// A mode that a monitor offers.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ModeFacts {
    /// `1920x1080@60.00`, as a profile may ask for it; `i` follows if it is interlaced.
    pub name: String,
    /// The monitor prefers it to its other modes.
    pub preferred: bool,
}

/// A hardware plane of a card.
#[derive(Clone, Debug, serde::Serialize)]
pub struct PlaneFacts {
    /// The kernel's object id.
    pub id: u32,
    /// What it is meant for.
    pub kind: PlaneKind,
    /// Four-letter codes.
    pub formats: Vec<String>,
    /// On which it can lie, counted from 0.
    pub crtcs: Vec<u32>,
}

impl ModeFacts {
    fn of(mode: &Mode) -> ModeFacts {
        let interlaced = if mode.is_interlaced() { "i" } else { "" };
        let (width, height) = mode.size();
        ModeFacts {
            name: format!("{width}x{height}@{:.2}{interlaced}", mode.refresh_hz()),
            preferred: mode.is_preferred(),
        }
    }
}

/// All cards. None of them is changed; monitors are not asked anew.
pub fn cards() -> Vec<CardFacts> {
    paths()
        .into_iter()
        .map(|path| match Card::open(&path) {
            Ok(mut card) => facts(&mut card),
            Err(error) => CardFacts {
                path,
                driver: String::new(),
                is_atomic: false,
                connectors: Vec::new(),
                planes: Vec::new(),
                trouble: Some(error.to_string()),
            },
        })
        .collect()
}

/// A card's facts.
pub fn facts(gpu: &mut impl Gpu) -> CardFacts {
    let mut trouble = None;
    let is_atomic = gpu.enable_atomic().is_ok();
    let ids = gpu.connectors().unwrap_or_else(|error| {
        trouble = Some(error.to_string());
        Vec::new()
    });
    let mut connectors = Vec::new();
    for id in ids {
        match gpu.connector(id, false) {
            Ok(connector) => connectors.push(ConnectorFacts {
                name: connector.name,
                status: connector.status,
                modes: connector.modes.iter().map(ModeFacts::of).collect(),
            }),
            Err(error) => trouble = Some(error.to_string()),
        }
    }
    let planes = match gpu.planes() {
        Ok(planes) => planes,
        Err(error) => {
            trouble.get_or_insert(error.to_string());
            Vec::new()
        }
    };
    let planes = planes.into_iter().map(|plane| PlaneFacts {
        id: plane.id,
        kind: plane.kind,
        formats: plane.formats.iter().map(FourCc::to_string).collect(),
        crtcs: (0..32).filter(|crtc| plane.possible_crtcs >> crtc & 1 == 1).collect(),
    });
    CardFacts {
        path: gpu.path().to_owned(),
        driver: gpu.driver().to_owned(),
        is_atomic,
        connectors,
        planes: planes.collect(),
        trouble,
    }
}

/// A program that has a card open.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Holder {
    pub pid: u32,
    /// As the kernel has it, at most 15 letters.
    pub name: String,
}

/// The other programs that have a card open, one of which rules it; those of other users only if run as root.
pub(crate) fn holders(card: &Path) -> Vec<Holder> {
    let Ok(card) = card.canonicalize() else { return Vec::new() };
    let mut holders = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if pid == std::process::id() {
            continue;
        }
        let process = process.path();
        let mut files = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        if files.any(|file| fs::read_link(file.path()).is_ok_and(|target| target == card)) {
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            holders.push(Holder { pid, name: name.trim().to_owned() });
        }
    }
    holders.sort_by_key(|holder| holder.pid);
    holders
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn who_holds_a_file_is_found_by_way_of_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (card, link) = (folder.path().join("card7"), folder.path().join("by-path"));
        fs::write(&card, "").unwrap();
        std::os::unix::fs::symlink(&card, &link).unwrap();
        assert_eq!(holders(&link), []);
        let file = fs::File::open(&card).unwrap();
        assert_eq!(holders(&link), [], "this program does not count");
        let mut child = Command::new("sleep").arg("60").stdin(file).spawn().unwrap();
        // Until it has become what it is, it bears this program's name.
        let mut found = Vec::new();
        for _ in 0..200 {
            found = holders(&link);
            if found.iter().any(|holder| holder.name == "sleep") {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, [Holder { pid: child.id(), name: "sleep".into() }]);
        assert_eq!(holders(Path::new("/no/such/card")), []);
    }
}
