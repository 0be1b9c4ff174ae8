//! Bytes → a PNG or JPEG picture → a frame.
#![no_main]

use libfuzzer_sys::fuzz_target;
use polyp_edge_fuzz::{pictures, seeds};

fuzz_target!(init: seeds::write_if_asked(pictures::still_seeds), |bytes: &[u8]| pictures::still(bytes));
