//! Bytes → all pictures of an MJPEG stream, and the first one as a camera would send it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use polyp_edge_fuzz::{pictures, seeds};

fuzz_target!(init: seeds::write_if_asked(pictures::mjpeg_seeds), |bytes: &[u8]| pictures::mjpeg(bytes));
