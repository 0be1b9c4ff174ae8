//! Bytes → a packed bundle → `Bundle::open`, and packed again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use polyp_edge_fuzz::{packed, seeds};

fuzz_target!(init: seeds::write_if_asked(packed::seeds), |bytes: &[u8]| packed::load(bytes));
