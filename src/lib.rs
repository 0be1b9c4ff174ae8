//! The cart's program: endoscope frames in, polyp outlines out.
//!
//! # Layout
//!
//! In the order in which a frame meets them; each part ignorant of those after it, tied together only by
//! [`pipeline`].
//!
//! | module | job |
//! |---|---|
//! | [`frame`] | what flows: pixels with their geometry, number and time |
//! | [`geometry`] | places and rectangles, and how those of one picture lie in another |
//! | [`convert`] | a camera's pixels → RGB |
//! | [`capture`] | where frames come from: live cameras, image folders, MJPEG, Y4M, a rendered endoscope |
//! | [`field_of_view`] | where the endoscope's picture sits in the frame |
//! | [`preprocess`] | frame → u8 tensor |
//! | [`engine`] | tract with our int8 ops: bundle → plan → quantised logits |
//! | [`detect`] | logits → mask → regions with outlines |
//! | [`segment`] | all of that in one: frame → regions and mask |
//! | [`track`] | the temporal gate: which regions have lasted long enough to be shown |
//! | [`motion`] | how far the picture has moved under an outline since its frame |
//! | [`overlay`] | outlines, glyph and text, as a layer over the picture |
//! | [`display`] | where pictures go: monitors, image files, video |
//! | [`pipeline`] | the threads, the single-slot mailboxes between them, and their supervisor |
//! | [`cart`] | a whole cart as its profile says: reloads, the state file, reports |
//!
//! Beside the walk: [`language`] (what the monitor says), [`bundle`] (what a model is on disk), [`store`] (bundles installed on a cart, and their trial), [`study`] (pictures that somebody keeps), [`recording`] (films of what is shown), [`alert`] (lamps and buzzers), [`loopback`] (from glass to glass), [`audit`] (what
//! happened on a cart, as a chain of lines), [`board`] (profiles), [`state`], [`latency`] (how
//! long everything takes, and the log of it), [`latency_report`],
//! [`score`] (what was drawn against what was there), `health` (what the machine says of itself), [`thermal`] (heat, and
//! what is done about it), [`files`] (what is
//! written: whole, private, never over somebody else's), [`logging`] (log lines by a thread of their own), [`heap`] (what the
//! allocator keeps), [`runtime`] (time, threads and waiting, the system's or a simulation's), [`call`] (calls of the kernel that failed), [`identity`] (which program this is), [`fault`] (errors and exit codes) and [`cli`].
//!
//! `unsafe` is found in `capture::v4l2`, `display::kms`, `engine::kernels`, `engine::threads`, `bundle::sealed`, `health::clock`, `alert::alsa`
//! and [`heap`] alone: everywhere else it does not compile.

#![warn(clippy::disallowed_methods, clippy::disallowed_types)]
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod alert;
pub mod audit;
pub mod board;
pub mod bundle;
pub mod call;
pub mod capture;
pub mod cart;
pub mod cli;
pub mod control;
pub mod convert;
pub mod detect;
pub mod display;
pub mod engine;
pub mod fault;
pub mod field_of_view;
pub mod files;
pub mod frame;
pub mod geometry;
mod health;
#[expect(unsafe_code, reason = "settings of the C library's allocator")]
pub mod heap;
pub mod identity;
pub mod language;
pub mod latency;
pub mod latency_report;
pub mod logging;
pub mod loopback;
pub mod motion;
mod output;
pub mod overlay;
mod panics;
pub mod pipeline;
pub mod preprocess;
pub mod recording;
#[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "this is where the system is asked")]
pub mod runtime;
pub mod score;
pub mod segment;
pub mod state;
pub mod store;
pub mod study;
pub mod thermal;
pub mod track;
