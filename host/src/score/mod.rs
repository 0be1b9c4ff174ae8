//! How good networks are: on lists, under disturbances, over videos.

pub(crate) mod failures;
pub mod lists;
pub(crate) mod maps;
pub(crate) mod robustness;
pub(crate) mod steadiness;
