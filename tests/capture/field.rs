//! Pictures and streams like those of public bug reports, where they are at hand: `field` beside the folder that POLYP_DATA
//! names.

use std::path::PathBuf;

use polyp_edge::capture::{self, DamagedFrame};
use polyp_edge::frame::Frame;

fn field() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("POLYP_DATA")?).parent()?.join("field");
    folder.is_dir().then_some(folder)
}

#[test]
fn field_cases_are_read_or_refused_as_they_should_be() {
    let Some(folder) = field() else {
        println!("skipped: there is no folder `field` beside POLYP_DATA");
        return;
    };
    for (name, good, bad) in [
        ("01_noninterleaved_420.jpg", 1, 0),
        ("01_ok_control_422.jpg", 1, 0),
        ("02_luma_narrower_1x1_2x1.jpg", 1, 0),
        ("03_progressive_overwritten.jpg", 0, 1),
        ("04_nodht_no_avi1.mjpg", 8, 0),
        ("05_one_extra_byte.jpg", 1, 0),
        ("06_no_eoi.mjpg", 4, 0),
        ("06_power_cut.mjpg", 5, 1),
        ("07_http_header.mjpg", 8, 0),
        ("12_capture_720.mjpg", 1, 0),
        ("14_palette_shorter_than_said.png", 1, 0),
    ] {
        let mut source = capture::open(&folder.join(name).to_string_lossy()).unwrap();
        let (mut counts, mut frame) = ((0, 0), Frame::black(1, 1));
        loop {
            match source.read(&mut frame) {
                Ok(true) => counts.0 += 1,
                Ok(false) => break,
                Err(error) => {
                    assert!(error.is::<DamagedFrame>(), "{name}: {error:#}");
                    counts.1 += 1;
                }
            }
        }
        assert_eq!(counts, (good, bad), "{name}");
    }
    let refused = capture::open(&folder.join("12_capture_720.avi").to_string_lossy());
    let message = format!("{:#}", refused.err().unwrap());
    assert!(message.contains("an AVI file, which is not supported: pipe it through ffmpeg"), "{message}");
}
