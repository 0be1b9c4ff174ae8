//! Bytes → a bundle with a golden frame → `Bundle::open`, and the frame and its mask.
#![no_main]

use libfuzzer_sys::fuzz_target;
use polyp_edge_fuzz::{golden, seeds};

fuzz_target!(init: seeds::write_if_asked(golden::seeds), |bytes: &[u8]| golden::open(bytes));
