//! Once a model is loaded, a frame allocates nothing, on any thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use polyp_edge::bundle::Bundle;
use polyp_edge::engine::{Engine, Options, kernels};

/// Counts what is asked of the allocator.
struct Counting;

static CALLS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is the system allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.realloc(memory, layout, size) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test alone in its process: others would allocate meanwhile.
#[test]
fn a_frame_allocates_nothing() {
    let before = CALLS.load(Ordering::Relaxed);
    drop(std::hint::black_box(Box::new(1)));
    assert!(CALLS.load(Ordering::Relaxed) > before, "the allocator counts");

    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let mut bundles = 0;
    for entry in std::fs::read_dir(models).unwrap() {
        let Ok(bundle) = Bundle::open(&entry.unwrap().path()) else { continue };
        bundles += 1;
        for (set, threads) in kernels::available().into_iter().flat_map(|set| [(set, 1), (set, 2), (set, 3)])
        {
            let options = Options { kernels: Some(set.name.into()), threads, ..Options::default() };
            let mut engine = Engine::load(&bundle, &options).unwrap();
            let mut input = vec![0u8; engine.input_shape().iter().product()];
            let mut logits = vec![0u8; engine.output_shape().iter().product()];
            // Not even the first frame.
            for frame in 0..5u8 {
                input
                    .iter_mut()
                    .enumerate()
                    .for_each(|(index, byte)| *byte = (index as u8).wrapping_mul(frame));
                let before = CALLS.load(Ordering::Relaxed);
                engine.run(&input, &mut logits).unwrap();
                let calls = CALLS.load(Ordering::Relaxed) - before;
                assert_eq!(calls, 0, "frame {frame}, kernels {}, {threads} threads", set.name);
            }
        }
    }
    assert!(bundles > 0, "no bundle in models/");
}
