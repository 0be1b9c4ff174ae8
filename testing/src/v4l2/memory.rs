//! Mapped planes.

use std::ops::Deref;

use memmap2::Mmap;

use super::Machine;

/// A mapped plane.
pub struct Memory {
    pub(super) map: Mmap,
    pub(super) machine: Machine,
    pub(super) file: u64,
    pub(super) allocation: u64,
    pub(super) index: usize,
}

impl Deref for Memory {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.map
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let mut world = self.machine.world();
        if world.allocation == self.allocation
            && let Some(buffer) = world.buffers.get_mut(self.index)
        {
            buffer.maps = buffer.maps.saturating_sub(1);
        }
        if let Some(state) = world.files.get_mut(&self.file) {
            state.maps = state.maps.saturating_sub(1);
        }
        world.let_go(self.file);
    }
}
