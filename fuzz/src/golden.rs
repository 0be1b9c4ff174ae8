//! Bundles whose golden frame is made of bytes: the frame's length (u16), the frame's file, the mask's file.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use polyp_edge::bundle::manifest::{Golden, TensorContract};
use polyp_edge::bundle::{Bundle, MANIFEST, digest};
use polyp_edge::fault::Exit;
use testing::bundle::manifest;

use crate::oracle::refusal;
use crate::pictures;
use crate::seeds::Seeds;

/// A bundle is refused, or its golden frame is; or the frame and its mask are of one size.
pub fn open(bytes: &[u8]) {
    let Some((&[low, high], rest)) = bytes.split_first_chunk::<2>() else { return };
    let Some((frame, mask)) = rest.split_at_checked(usize::from(u16::from_le_bytes([low, high]))) else {
        return;
    };
    // One folder for the whole process: its files are written anew.
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| crate::bundles::folder().keep());
    write(folder, frame, mask).expect("files can be written");
    let bundle = match Bundle::open(folder) {
        Ok(bundle) => bundle,
        Err(error) => return refusal(&error, &[Exit::Data]),
    };
    for index in 0..bundle.golden().len() {
        match bundle.golden().get(index).expect("there are so many") {
            Ok(golden) => {
                let (width, height) = (golden.frame.width_px(), golden.frame.height_px());
                assert_eq!(golden.mask.len(), width * height);
                assert!(width > 0 && height > 0 && width * height <= 4 << 20, "{width} × {height} pixels");
            }
            Err(error) => refusal(&error, &[Exit::Data]),
        }
    }
}

fn write(folder: &Path, frame: &[u8], mask: &[u8]) -> anyhow::Result<()> {
    let tensor =
        |side| TensorContract { name: "t".into(), shape: [1, 1, side, side], scale: 0.1, zero_point: 0 };
    let input = TensorContract { shape: [1, 3, 32, 32], ..tensor(32) };
    let digests = [&b"model"[..], frame, mask].map(digest);
    let files = [("model.onnx", &*digests[0]), ("frame.png", &*digests[1]), ("mask.png", &*digests[2])];
    let mut manifest = manifest(input, tensor(8), &files);
    let golden = |frame: &str, mask: &str| Golden { frame: frame.into(), mask: mask.into() };
    manifest.golden = vec![golden("frame.png", "mask.png"), golden("mask.png", "mask.png")];
    fs::write(folder.join("model.onnx"), b"model")?;
    fs::write(folder.join("frame.png"), frame)?;
    fs::write(folder.join("mask.png"), mask)?;
    fs::write(folder.join(MANIFEST), toml::to_string(&manifest)?)?;
    Ok(())
}

/// # Errors
/// None.
pub fn seeds() -> anyhow::Result<Seeds> {
    let mask = pictures::png(&image::GrayImage::new(24, 16).into());
    let with_mask = |(name, frame): (String, Vec<u8>)| {
        let length = u16::try_from(frame.len()).unwrap_or(0).to_le_bytes();
        (name, [&length[..], &frame, &mask].concat())
    };
    Ok(pictures::png_seeds().into_iter().map(with_mask).collect())
}
