//! Once it runs, showing a picture allocates nothing; scaling one, the coefficients of its rows and columns, which the
//! crate that scales makes anew each time.

use std::time::Duration;

use polyp_edge::capture::live::BufferId;
use polyp_edge::display::kms::gpu::Gpu;
use polyp_edge::display::kms::{Composition, Kms, Wanted};
use polyp_edge::display::{Scene, Shown, Sink};
use polyp_edge::frame::{Colour, Matrix, PixelFormat, Range};
use polyp_edge::overlay::Layer;
use testing::allocations::{Allocated, by_this_thread};
use testing::gpu::{Abilities, FakeGpu, mode};
use testing::lent::{Lent, Shape};

/// Allocations and bytes of 50 pictures, after 10; what the card allocates is not counted.
fn allocations(
    format: PixelFormat,
    can: Abilities,
    composition: Composition,
    surface: (u16, u16),
) -> (u64, usize) {
    let size = (320, 240);
    let colour = Colour { matrix: Matrix::Bt709, range: Range::Limited };
    let shape = Shape { format, colour, size, stride: format.row_bytes(size.0).unwrap() };
    let bytes = vec![90; shape.stride * shape.rows()];
    let buffers: Vec<_> =
        (0..4).map(|index| Lent::new(shape, BufferId { queue: 1, index }, &bytes, true)).collect();
    let gpu = FakeGpu::new(can, &[mode(surface.0, surface.1, 60, true)]);
    let mut kms =
        Kms::with(gpu.clone(), &Wanted { composition, enlarge: true, ..Wanted::default() }).unwrap();
    let mut layer = Layer::new(surface.0.into(), surface.1.into());
    let mut before = Allocated::default();
    for number in 0..60 {
        if number == 10 {
            before = by_this_thread();
        }
        let lease = buffers[number % 4].lease();
        let view = lease.view();
        let placement = kms.place(size.0, size.1);
        layer.clear();
        layer.blend(number, number, [0, 255, 0], 1.0);
        let (picture, lease, captured) = (Some(view), Some(&lease), gpu.now());
        let scene =
            Scene { picture, lease, layer: &layer, placement, name: std::ffi::OsStr::new(""), captured };
        assert_eq!(kms.show(&scene).unwrap(), Shown::Yes);
        gpu.advance(Duration::from_millis(17));
        kms.tend(&mut |_| {}).unwrap();
    }
    let after = by_this_thread();
    (after.count - before.count, after.bytes - before.bytes)
}

#[test]
fn a_picture_allocates_nothing() {
    let before = by_this_thread();
    drop(std::hint::black_box(Box::new(1)));
    assert!(by_this_thread().count > before.count, "the allocator counts");

    for format in
        [PixelFormat::Yuyv, PixelFormat::Uyvy, PixelFormat::Nv12, PixelFormat::Rgb24, PixelFormat::Bgr24]
    {
        let imports = |imports| Abilities { imports, ..Abilities::all() };
        for surface in [(320, 240), (400, 300)] {
            let unscaled = surface == (320, 240);
            assert_eq!(
                allocations(format, imports(true), Composition::Auto, (320, 240)),
                (0, 0),
                "{format:?} lent"
            );
            for composition in [Composition::Auto, Composition::Blend] {
                let (count, bytes) = allocations(format, imports(false), composition, surface);
                if unscaled {
                    assert_eq!(count, 0, "{format:?} {composition:?}")
                } else {
                    assert!(
                        count <= 50 * 2 * (400 + 300) && bytes < 50 * 65536,
                        "{format:?}: {count}, {bytes} bytes"
                    )
                }
            }
        }
    }
}
