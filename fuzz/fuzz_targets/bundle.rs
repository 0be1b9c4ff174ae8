//! Bytes → a bundle's folder → `Bundle::open` → `Engine::load`, and one frame.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use polyp_edge_fuzz::dice::Dice;
use polyp_edge_fuzz::{bundles, oracle, seeds};

fuzz_target!(init: seeds::write_if_asked(seeds::of_bundles), |bytes: &[u8]| {
    let folder = bundles::folder();
    if bundles::write(bytes, folder.path()).expect("files can be written") {
        oracle::bundle(folder.path());
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut dice = Dice::new(u64::from(seed));
    let edited = if dice.one_in(8) { None } else { bundles::mutate(&data[..size], max_size, &mut dice) };
    match edited {
        Some(edited) => {
            data[..edited.len()].copy_from_slice(&edited);
            edited.len()
        }
        None => fuzzer_mutate(data, size, max_size),
    }
});
