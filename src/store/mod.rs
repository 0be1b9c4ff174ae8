//! Bundles installed on a cart: a folder of slots, one packed bundle a slot, and a record of which of them is to run.
//!
//! | module | job |
//! |---|---|
//! | `slots` | the record: the good bundle, the one on trial, the one before, and what changes them |
//! | `installed` | the folder with both: installing, changing the record, removing what is not used |
//! | `disk` | the few operations on the folder, each of which leaves it whole wherever power is lost |
//! | [`session`] | which bundle a running program uses, and what it found out about it |
//!
//! # What a loss of power leaves
//! A slot's file is written and synced under another name, then renamed, and the folder is synced, before the record names it. The
//! record is replaced in the same way. So the record that is read after a loss of power is the old one or the new one, and every slot
//! that it names is whole. What was being written is removed by the next installation.
//!
//! # Trial
//! A new bundle is on trial until it has assisted for the time that the profile says, without degradation. Until then the good one
//! stays beside it and takes its place if the new one fails, if the program does not survive its start several times, or if
//! somebody says so. Only a bundle that has become good raises the lowest rollback index that the cart accepts; nothing lowers it.

mod disk;
mod installed;
pub mod session;
mod slots;
#[cfg(test)]
mod tests;

pub use installed::{Installing, Store};
pub use session::{Chosen, OnTrial, Session, Verdict, bundle, trust};
pub use slots::{Refused, Slot, Slots, Trial, word};
