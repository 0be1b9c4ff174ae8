//! Bytes → a signature, which is verified, and a public key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use polyp_edge_fuzz::{packed, seeds};

fuzz_target!(init: seeds::write_if_asked(packed::seeds_of_signatures), |bytes: &[u8]| packed::verify(bytes));
