//! What networks, their parts and the machines that train them are worth.

pub mod ablate;
pub mod average;
pub mod device;
pub mod pace;
pub mod part;
pub mod search;
