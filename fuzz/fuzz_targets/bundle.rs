//! Bytes → a bundle's folder → `Bundle::open` → `Engine::load`, and one frame.
#![no_main]

use std::path::Path;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use polyp_edge_fuzz::dice::Dice;
use polyp_edge_fuzz::{bundles, oracle, seeds};

fuzz_target!(init: seeds::write_if_asked(true), |bytes: &[u8]| {
    // In memory, where the machine has such a file system.
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let folder = tempfile::Builder::new().prefix("polyp-fuzz-").tempdir_in(parent).expect("a folder can be made");
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
