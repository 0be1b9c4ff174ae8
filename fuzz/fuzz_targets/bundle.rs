//! Bytes → a bundle's folder → `Bundle::open` → `Engine::load`, and one frame.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use polyp_edge_fuzz::dice::Dice;
use polyp_edge_fuzz::{bundles, oracle, seeds};
use tempfile::TempDir;

/// In memory, where the machine has such a file system.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("polyp-fuzz-").tempdir_in(parent).expect("a folder can be made")
});

fuzz_target!(init: seeds::write_if_asked(true), |bytes: &[u8]| {
    let folder = FOLDER.path().join("bundle");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).expect("a folder can be made");
    if bundles::write(bytes, &folder).expect("files can be written") {
        oracle::bundle(&folder);
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
