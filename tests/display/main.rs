//! The way to the monitor, against a card that refuses what the kernel refuses.

mod allocations;
mod failures;
mod identity;
mod kms;
mod monitors;
mod rig;
mod second;

use testing::allocations::Counting;

/// For [`allocations`]: it counts by thread.
#[global_allocator]
static ALLOCATOR: Counting = Counting;
