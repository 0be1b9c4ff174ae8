//! Bytes → all frames of a Y4M stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use polyp_edge_fuzz::{pictures, seeds};

fuzz_target!(init: seeds::write_if_asked(pictures::y4m_seeds), |bytes: &[u8]| pictures::y4m(bytes));
