//! Data sets on disk and what training makes of them.

pub mod augment;
pub mod cache;
pub mod decode;
pub mod disturb;
pub mod lists;
pub mod mask;
pub mod similar;
pub mod split;
pub mod usable;
pub mod weights;
