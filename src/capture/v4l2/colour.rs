//! V4L2's colour fields → how values are to be read.

use v4l::v4l_sys::*;

use super::kernel::Format;
use crate::frame::{Colour, Matrix, PixelFormat, Range};

/// A driver's colour, by the kernel's own defaults (`V4L2_MAP_YCBCR_ENC_DEFAULT`, `V4L2_MAP_QUANTIZATION_DEFAULT`);
/// what is left open or unknown is decided by the size: BT.601 for standard definition, else BT.709. Also whether it
/// gave a number that is unknown.
pub fn colour(format: &Format, pixel: PixelFormat) -> (Colour, bool) {
    let by_size = || Matrix::by_lines(format.height as usize);
    #[allow(non_upper_case_globals)]
    let (by_space, space_known) = match format.colorspace {
        v4l2_colorspace_V4L2_COLORSPACE_REC709 | v4l2_colorspace_V4L2_COLORSPACE_DCI_P3 => {
            (Matrix::Bt709, true)
        }
        v4l2_colorspace_V4L2_COLORSPACE_BT2020 => (Matrix::Bt2020, true),
        // SMPTE 240M's own matrix differs from BT.709's by less than a percent.
        v4l2_colorspace_V4L2_COLORSPACE_SMPTE240M => (Matrix::Bt709, true),
        v4l2_colorspace_V4L2_COLORSPACE_SMPTE170M
        | v4l2_colorspace_V4L2_COLORSPACE_BT878
        | v4l2_colorspace_V4L2_COLORSPACE_470_SYSTEM_M
        | v4l2_colorspace_V4L2_COLORSPACE_470_SYSTEM_BG
        | v4l2_colorspace_V4L2_COLORSPACE_JPEG
        | v4l2_colorspace_V4L2_COLORSPACE_SRGB
        | v4l2_colorspace_V4L2_COLORSPACE_OPRGB => (Matrix::Bt601, true),
        v4l2_colorspace_V4L2_COLORSPACE_DEFAULT | v4l2_colorspace_V4L2_COLORSPACE_RAW => (by_size(), true),
        _ => (by_size(), false),
    };
    #[allow(non_upper_case_globals)]
    let (matrix, encoding_known) = match format.encoding {
        v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_DEFAULT => (by_space, true),
        v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_601
        | v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_XV601
        | v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_SYCC => (Matrix::Bt601, true),
        v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_709
        | v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_XV709
        | v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_SMPTE240M => (Matrix::Bt709, true),
        v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_BT2020 | v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_BT2020_CONST_LUM => {
            (Matrix::Bt2020, true)
        }
        _ => (by_size(), false),
    };
    let is_rgb = matches!(pixel, PixelFormat::Rgb24 | PixelFormat::Bgr24);
    let full = is_rgb || format.colorspace == v4l2_colorspace_V4L2_COLORSPACE_JPEG;
    #[allow(non_upper_case_globals)]
    let (full, range_known) = match format.quantization {
        v4l2_quantization_V4L2_QUANTIZATION_FULL_RANGE => (true, true),
        v4l2_quantization_V4L2_QUANTIZATION_LIM_RANGE => (false, true),
        v4l2_quantization_V4L2_QUANTIZATION_DEFAULT => (full, true),
        _ => (full, false),
    };
    let range = if full { Range::Full } else { Range::Limited };
    (Colour { matrix, range }, !(space_known && encoding_known && range_known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(
        colorspace: u32,
        encoding: u32,
        quantization: u32,
        height: u32,
        pixel: PixelFormat,
    ) -> (Matrix, Range, bool) {
        let format = Format { colorspace, encoding, quantization, width: 64, height, ..Format::default() };
        let (colour, unknown) = colour(&format, pixel);
        (colour.matrix, colour.range, unknown)
    }

    #[test]
    fn defaults_are_the_kernels() {
        use PixelFormat::*;
        // Colour space, encoding, quantization as `<linux/videodev2.h>` numbers them.
        assert_eq!(of(1, 0, 0, 480, Yuyv), (Matrix::Bt601, Range::Limited, false));
        assert_eq!(of(3, 0, 0, 480, Yuyv), (Matrix::Bt709, Range::Limited, false));
        assert_eq!(of(7, 0, 0, 1080, Nv12), (Matrix::Bt601, Range::Full, false));
        assert_eq!(of(8, 0, 0, 1080, Uyvy), (Matrix::Bt601, Range::Limited, false));
        assert_eq!(of(10, 0, 2, 2160, Nv12), (Matrix::Bt2020, Range::Limited, false));
        assert_eq!(of(8, 2, 1, 480, Nv12), (Matrix::Bt709, Range::Full, false));
        assert_eq!(of(0, 0, 0, 576, Yuyv), (Matrix::Bt601, Range::Limited, false));
        assert_eq!(of(0, 0, 0, 720, Yuyv), (Matrix::Bt709, Range::Limited, false));
        assert_eq!(of(8, 0, 0, 720, Rgb24).1, Range::Full);
        assert_eq!(of(3, 0, 2, 720, Bgr24).1, Range::Limited);
    }

    #[test]
    fn unknown_numbers_are_decided_by_size_and_said() {
        for (space, encoding, quantization) in [(99, 0, 0), (3, 77, 0), (u32::MAX, u32::MAX, 0)] {
            let yuyv = PixelFormat::Yuyv;
            assert_eq!(of(space, encoding, quantization, 480, yuyv), (Matrix::Bt601, Range::Limited, true));
            assert_eq!(of(space, encoding, quantization, 1080, yuyv), (Matrix::Bt709, Range::Limited, true));
        }
        assert_eq!(of(7, 0, 9, 1080, PixelFormat::Yuyv), (Matrix::Bt601, Range::Full, true));
    }
}
