//! Once a model is loaded, a frame allocates nothing, on any thread.
//!
//! A process of its own: it counts the allocations of all threads, and another test would allocate meanwhile.

use polyp_edge::bundle::Bundle;
use polyp_edge::engine::{Engine, Options, kernels};
use testing::allocations::{Counting, by_process};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_frame_allocates_nothing() {
    let before = by_process();
    drop(std::hint::black_box(Box::new(1)));
    assert!(by_process() > before, "the allocator counts");

    let models = testing::root().join("models");
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
                let before = by_process();
                engine.run(&input, &mut logits).unwrap();
                let calls = by_process() - before;
                assert_eq!(calls, 0, "frame {frame}, kernels {}, {threads} threads", set.name);
            }
        }
    }
    assert!(bundles > 0, "no bundle in models/");
}
