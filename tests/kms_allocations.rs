//! Once it runs, showing a picture allocates nothing; scaling one, the coefficients of its rows and columns, which the
//! crate that scales makes anew each time.

#[path = "fake/gpu.rs"]
mod gpu;
#[path = "fake/lent.rs"]
mod lent;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use gpu::{Abilities, FakeGpu, INSIDE, mode};
use lent::{Lent, Shape};
use polyp_edge::capture::live::BufferId;
use polyp_edge::display::kms::gpu::Gpu;
use polyp_edge::display::kms::{Kms, Road, Wanted};
use polyp_edge::display::{Scene, Shown, Sink};
use polyp_edge::frame::{Colour, Matrix, PixelFormat, Range};
use polyp_edge::overlay::Layer;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: all is the system's allocator's; the counters are plain numbers of this thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if INSIDE.try_with(Cell::get).unwrap_or(1) == 0 {
            let _ = COUNT.try_with(|count| count.set(count.get() + 1));
            let _ = BYTES.try_with(|bytes| bytes.set(bytes.get() + layout.size()));
        }
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations and bytes of 50 pictures, after 10.
fn allocations(format: PixelFormat, can: Abilities, road: Road, surface: (u16, u16)) -> (u64, usize) {
    let size = (320, 240);
    let colour = Colour { matrix: Matrix::Bt709, range: Range::Limited };
    let shape = Shape { format, colour, size, stride: format.row_bytes(size.0).unwrap() };
    let bytes = vec![90; shape.stride * shape.rows()];
    let buffers: Vec<_> =
        (0..4).map(|index| Lent::new(shape, BufferId { queue: 1, index }, &bytes, true)).collect();
    let gpu = FakeGpu::new(can, &[mode(surface.0, surface.1, 60, true)]);
    let mut kms = Kms::with(gpu.clone(), &Wanted { road, enlarge: true, ..Wanted::default() }).unwrap();
    let mut layer = Layer::new(surface.0.into(), surface.1.into());
    let mut before = (0, 0);
    for number in 0..60 {
        if number == 10 {
            before = (COUNT.get(), BYTES.get());
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
        kms.tend(&mut |_, _| {}).unwrap();
    }
    (COUNT.get() - before.0, BYTES.get() - before.1)
}

#[test]
fn a_picture_allocates_nothing() {
    for format in
        [PixelFormat::Yuyv, PixelFormat::Uyvy, PixelFormat::Nv12, PixelFormat::Rgb24, PixelFormat::Bgr24]
    {
        let imports = |imports| Abilities { imports, ..Abilities::all() };
        for surface in [(320, 240), (400, 300)] {
            let unscaled = surface == (320, 240);
            assert_eq!(allocations(format, imports(true), Road::Auto, (320, 240)), (0, 0), "{format:?} lent");
            for road in [Road::Auto, Road::Blend] {
                let (count, bytes) = allocations(format, imports(false), road, surface);
                match unscaled {
                    true => assert_eq!(count, 0, "{format:?} {road:?}"),
                    false => {
                        assert!(
                            count <= 50 * 2 * (400 + 300) && bytes < 50 * 65536,
                            "{format:?}: {count}, {bytes} bytes"
                        )
                    }
                }
            }
        }
    }
}
