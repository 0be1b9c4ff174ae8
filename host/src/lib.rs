//! The workstation's program: trains, quantises and exports the networks that `polyp-edge` runs.
//!
//! # Layout
//!
//! | module | job |
//! |---|---|
//! | [`data`] | lists of images and masks on disk |
//! | [`graph`] | the contract between training and export: a float inference network |
//! | [`files`] | reading and writing, nothing half-written |
//! | [`cli`] | one file a verb |

pub mod cli;
pub mod data;
pub mod files;
pub mod graph;
