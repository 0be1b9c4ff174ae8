//! Finds polyps in one image and writes the mask beside the numbers: the shortest way to embed the library.
//!
//! ```sh
//! cargo run --release --example segment_image -- models/full IMAGE MASK.png
//! cargo run --release --example segment_image -- models/first-light synthetic:seed=7,frames=1 mask.png
//! ```

use std::path::Path;

use anyhow::{Context, Result, bail};
use image::ExtendedColorType;
use polyp_edge::bundle::Bundle;
use polyp_edge::capture;
use polyp_edge::detect::Regions;
use polyp_edge::engine::{Engine, Options};
use polyp_edge::field_of_view::Sequence;
use polyp_edge::latency::Latencies;
use polyp_edge::segment::Segmenter;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bundle, image, mask_file] = arguments.as_slice() else {
        bail!("usage: segment_image BUNDLE IMAGE MASK.png")
    };
    // Opening a bundle checks the digest of every file in it.
    let bundle = Bundle::open(Path::new(bundle))?;
    let engine = Engine::load(&bundle, &Options::default())?;
    // `Stills`: the field of view is looked for in every frame anew, as it must be for still images.
    let mut segmenter = Segmenter::new(engine, &bundle.manifest, Sequence::Stills)?;

    let frame = capture::open(image)?.next()?.context("the source contains no image")?;
    let (mut regions, mut mask) = (Regions::default(), Vec::new());
    segmenter.regions(&frame, &Latencies::default(), &mut regions)?;
    segmenter.mask_into(&mut mask)?;

    for region in &regions.list {
        let bounds = region.bounds;
        println!(
            "x {:.0}..{:.0}, y {:.0}..{:.0}: {:.1} % of the field of view, probability up to {:.3}",
            bounds.left,
            bounds.right,
            bounds.top,
            bounds.bottom,
            100.0 * region.share,
            region.peak
        );
    }
    println!("{} regions; mask in {mask_file}", regions.list.len());
    let (width, height) = (frame.width_px() as u32, frame.height_px() as u32);
    image::save_buffer(mask_file, &mask, width, height, ExtendedColorType::L8)?;
    Ok(())
}
