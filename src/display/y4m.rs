//! Pictures as uncompressed video: `polyp-edge run … | ffplay -`.

use std::io::Write;

use anyhow::Result;
use y4m::{Colorspace, Encoder, Ratio, VendorExtensionString};

use super::images::compose;
use super::{Scene, Shown, Sink};
use crate::fault::Fault;
use crate::frame::Frame;

/// What the stream says of its colours, as `capture::replay::y4m` reads it.
const COLOUR_TAGS: [&str; 2] = ["COLORRANGE=LIMITED", "COLORMATRIX=BT601"];

/// Writes YUV4MPEG2, 4:4:4, BT.601 in studio range, and says so in its header. Pictures that do not have the first one's
/// size are left out.
pub struct Y4m<W: Write> {
    writer: Option<W>,
    encoder: Option<(Encoder<W>, usize, usize)>,
    frames_per_second: usize,
    planes: [Vec<u8>; 3],
    picture: Frame,
    dark: Option<String>,
}

impl<W: Write> Y4m<W> {
    /// Nothing is written before the first picture, whose size goes into the header.
    pub fn new(writer: W, frames_per_second: usize) -> Y4m<W> {
        Y4m {
            writer: Some(writer),
            encoder: None,
            frames_per_second,
            planes: Default::default(),
            picture: Frame::black(1, 1),
            dark: None,
        }
    }
}

impl<W: Write + Send> Sink for Y4m<W> {
    fn show(&mut self, scene: &Scene<'_>) -> Result<Shown> {
        let broken = |error: y4m::Error| Fault::io(format!("cannot write the video stream: {error}"));
        let (width, height) = scene.placement.surface;
        if let Some(writer) = self.writer.take() {
            let rate = Ratio::new(self.frames_per_second, 1);
            let mut header = y4m::encode(width, height, rate).with_colorspace(Colorspace::C444);
            for tag in COLOUR_TAGS {
                let tag = VendorExtensionString::new(tag.as_bytes().to_vec()).map_err(broken)?;
                header = header.append_vendor_extension(tag);
            }
            self.encoder = Some((header.write_header(writer).map_err(broken)?, width, height));
        }
        let Some((encoder, first_width, first_height)) = &mut self.encoder else {
            return Err(Fault::io("the video stream is closed"));
        };
        if (width, height) != (*first_width, *first_height) {
            self.dark.get_or_insert_with(|| {
                format!("a frame of {width}×{height} pixels does not fit into a video of {first_width}×{first_height}")
            });
            return Ok(Shown::Skipped);
        }
        self.dark = None;
        compose(scene, &mut self.picture)?;
        let [luma, blue, red] = &mut self.planes;
        for plane in [&mut *luma, &mut *blue, &mut *red] {
            plane.clear();
        }
        for y in 0..height {
            for pixel in self.picture.row(y).chunks_exact(3) {
                if let &[r, g, b] = pixel {
                    let (r, g, b) = (i32::from(r), i32::from(g), i32::from(b));
                    // 2^16 × the coefficients; the sums stay within 16..=240, so that no clamping is needed.
                    luma.push(((16829 * r + 33039 * g + 6416 * b + (16 << 16) + 32768) >> 16) as u8);
                    blue.push(((-9714 * r - 19070 * g + 28784 * b + (128 << 16) + 32768) >> 16) as u8);
                    red.push(((28784 * r - 24103 * g - 4681 * b + (128 << 16) + 32768) >> 16) as u8);
                }
            }
        }
        encoder.write_frame(&y4m::Frame::new([luma, blue, red], None)).map_err(broken)?;
        Ok(Shown::Yes)
    }

    fn keeps_first_size(&self) -> bool {
        true
    }

    fn dark(&self) -> Option<&str> {
        self.dark.as_deref()
    }

    fn describe(&self) -> String {
        "video on standard output".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::display::tests::scene;
    use crate::overlay::Layer;

    #[test]
    fn colours_come_out_as_the_standard_has_them() {
        let mut bytes = Vec::new();
        let mut sink = Y4m::new(&mut bytes, 25);
        let pixels = vec![0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 255];
        let layer = Layer::default();
        assert_eq!(sink.show(&scene(&Frame::from_rgb(2, 2, pixels).unwrap(), &layer)).unwrap(), Shown::Yes);
        assert_eq!(sink.show(&scene(&Frame::black(3, 2), &layer)).unwrap(), Shown::Skipped);
        assert!(sink.dark().unwrap().contains("3×2"));
        drop(sink);
        let mut decoder = y4m::decode(bytes.as_slice()).unwrap();
        assert_eq!((decoder.get_width(), decoder.get_height()), (2, 2));
        let frame = decoder.read_frame().unwrap();
        assert_eq!(frame.get_y_plane(), [16, 235, 81, 41]);
        assert_eq!(frame.get_u_plane(), [128, 128, 90, 240]);
        assert_eq!(frame.get_v_plane(), [128, 128, 240, 110]);
    }
}
