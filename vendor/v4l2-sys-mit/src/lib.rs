//! Raw V4L2 types and constants, as bindgen 0.65 makes them from `<linux/videodev2.h>`
//! (allow-list `v4l2_.*`, `time_t`, `V4L2_.*`, `VIDEO_MAX.*`; no layout tests, no comments), so that building
//! needs no libclang. The layouts are the same on x86-64 and 64-bit ARM.
#![allow(clippy::all, warnings)]
#![cfg_attr(rustfmt, rustfmt_skip)]

include!("bindings.rs");
