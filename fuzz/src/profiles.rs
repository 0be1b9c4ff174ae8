//! Board profiles out of bytes, beside the shipped ones.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use polyp_edge::board::Board;
use polyp_edge::fault::Exit;

use crate::oracle::refusal;
use crate::seeds::Seeds;

const SHIPPED: [(&str, &str); 6] = [
    ("base", include_str!("../../boards/base.toml")),
    ("sim", include_str!("../../boards/sim.toml")),
    ("bench", include_str!("../../boards/bench.toml")),
    ("board-vm", include_str!("../../boards/board-vm.toml")),
    ("raspberry-pi-5", include_str!("../../boards/raspberry-pi-5.toml")),
    ("jetson-orin-nano", include_str!("../../boards/jetson-orin-nano.toml")),
];

/// A profile is complete and within its ranges, or refused with file and key. It may inherit from the shipped ones.
pub fn load(bytes: &[u8]) {
    // One folder for the whole process: what is written anew is one file.
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = crate::bundles::folder().keep();
        for (name, text) in SHIPPED {
            fs::write(folder.join(name).with_extension("toml"), text).expect("files can be written");
        }
        folder
    });
    let path = folder.join("seed.toml");
    fs::write(&path, bytes).expect("files can be written");
    match Board::load(&path) {
        Ok(board) => assert_eq!(board.profile.name, "seed"),
        // A name that nothing lies under; text that is no UTF-8.
        Err(error) => refusal(&error, &[Exit::Configuration, Exit::Io]),
    }
}

/// # Errors
/// None.
pub fn seeds() -> anyhow::Result<Seeds> {
    let named = |(name, text): (&str, &str)| {
        (name.to_owned(), text.replacen(&format!("name = \"{name}\""), "name = \"seed\"", 1).into_bytes())
    };
    let mut seeds: Seeds = SHIPPED.map(named).into();
    let short = "name = \"seed\"\ninherits = \"base\"\n";
    for (name, text) in [
        ("minimal", ""),
        ("fixed", "[field_of_view]\nrule = \"fixed\"\nrect_px = [10, 20, 300, 200]\n"),
        (
            "camera",
            "[camera]\nsource = \"v4l2:/dev/video0\"\nrate_hz = 60\nformats = [\"MJPEG\"]\nsizes = [\"1280x720\"]\n",
        ),
        (
            "monitor",
            "[display]\nkind = \"kms\"\ncard = \"/dev/dri/card1\"\nconnector = \"HDMI-A-1\"\nmodes = [\"1920x1080@60\"]\n",
        ),
        (
            "gate",
            "[gate]\nappear = 2\nwindow = 3\nhold_frames = 0\nsteady_percent = 100.0\n[stop]\nafter_s = 1.5\n",
        ),
    ] {
        seeds.push((name.into(), format!("{short}{text}").into_bytes()));
    }
    Ok(seeds)
}
