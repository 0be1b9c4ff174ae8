//! Data sets on disk and what training makes of them.

pub mod augment;
pub(crate) mod blur;
pub(crate) mod cache;
pub(crate) mod decode;
pub mod disturb;
pub mod lists;
pub mod mask;
pub(crate) mod similar;
pub(crate) mod split;
pub(crate) mod usable;
pub mod weights;
