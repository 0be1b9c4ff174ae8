//! How good networks are: on lists, under disturbances, over videos.

pub mod failures;
pub mod lists;
pub mod maps;
pub mod robustness;
pub mod steadiness;
