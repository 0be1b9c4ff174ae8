//! What the monitor shows.

use std::os::unix::fs::FileExt;

use polyp_edge::convert;
use polyp_edge::display::kms::gpu::FourCc;
use polyp_edge::frame::{self, Colour, Matrix, PixelFormat, Range, Stride, View};
use polyp_edge::overlay::composed;

use super::{Backing, Fb, State};

impl State {
    /// Draws a plane over a picture of the whole screen.
    pub(super) fn draw(&self, plane: u32, width: usize, height: usize, picture: &mut [[u8; 3]]) {
        let get = |name| self.get(&self.scanned, plane, name) as usize;
        let Some(fb) = self.framebuffers.get(&(get("FB_ID") as u32)) else { return };
        let pixels = self.pixels(plane, fb);
        let has_alpha = fb.spec.format == FourCc::ARGB8888;
        let opaque = !has_alpha || get("pixel blend mode") == 2;
        assert!(
            opaque || get("alpha") == 0xFFFF && get("pixel blend mode") == 0,
            "the plane blends as someone else left it"
        );
        assert_eq!(get("rotation"), 1, "the plane is turned as someone else left it");
        let (x0, y0, w, h) = (get("CRTC_X"), get("CRTC_Y"), get("CRTC_W"), get("CRTC_H"));
        let (sw, sh) = (get("SRC_W") >> 16, get("SRC_H") >> 16);
        for y in 0..h.min(height - y0) {
            for x in 0..w.min(width - x0) {
                let [blue, green, red, alpha] = pixels[y * sh / h * fb.spec.width as usize + x * sw / w];
                let under = &mut picture[(y0 + y) * width + x0 + x];
                for (under, over) in under.iter_mut().zip([blue, green, red]) {
                    *under = if opaque { over } else { composed(*under, over, alpha) };
                }
            }
        }
    }

    /// A framebuffer as `B G R A`.
    fn pixels(&self, plane: u32, fb: &Fb) -> Vec<[u8; 4]> {
        let bytes = match &fb.object {
            Backing::Dumb(memory) => memory.lock().unwrap().clone(),
            Backing::Imported(file, _) => {
                let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
                file.read_exact_at(&mut bytes, 0).unwrap();
                bytes
            }
        };
        let (width, height) = (fb.spec.width as usize, fb.spec.height as usize);
        let mut pixels = vec![[0; 4]; width * height];
        if matches!(fb.spec.format, FourCc::XRGB8888 | FourCc::ARGB8888) {
            for (y, row) in pixels.chunks_exact_mut(width).enumerate() {
                let from = bytes[y * fb.spec.strides[0] as usize..].chunks_exact(4);
                for (pixel, bytes) in row.iter_mut().zip(from) {
                    *pixel = bytes.try_into().unwrap();
                }
            }
            return pixels;
        }
        let get = |name| self.get(&self.scanned, plane, name);
        let colour = match fb.spec.format {
            FourCc::RGB888 | FourCc::BGR888 => Colour::RGB,
            _ => Colour {
                matrix: [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020][get("COLOR_ENCODING") as usize - 3],
                range: [Range::Limited, Range::Full][get("COLOR_RANGE") as usize - 8],
            },
        };
        let format = match fb.spec.format {
            FourCc::YUYV => PixelFormat::Yuyv,
            FourCc::UYVY => PixelFormat::Uyvy,
            FourCc::NV12 => PixelFormat::Nv12,
            FourCc::RGB888 => PixelFormat::Bgr24,
            FourCc::BGR888 => PixelFormat::Rgb24,
            other => panic!("{other} is on a plane"),
        };
        let plane = |index: usize| frame::Plane {
            bytes: &bytes[fb.spec.offsets[index] as usize..],
            stride: Stride(fb.spec.strides[index] as usize),
        };
        let view = View::new(format, colour, (width, height), [plane(0), plane(1)]).unwrap();
        let mut out = vec![0; 4 * width * height];
        convert::to_bgrx(&view, 0..height, &mut out, 4 * width).unwrap();
        for (pixel, bytes) in pixels.iter_mut().zip(out.chunks_exact(4)) {
            *pixel = bytes.try_into().unwrap();
        }
        pixels
    }
}
