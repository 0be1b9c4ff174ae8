//! Images and masks on disk.

pub mod lists;
pub mod split;
