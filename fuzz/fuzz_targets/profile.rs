//! Bytes → a board's profile that may inherit from the shipped base → `Board::load`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use polyp_edge_fuzz::{profiles, seeds};

fuzz_target!(init: seeds::write_if_asked(profiles::seeds), |bytes: &[u8]| profiles::load(bytes));
