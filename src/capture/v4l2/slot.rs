//! A buffer of the queue, as it is lent: mapped memory, and how many leases there are of it.

use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::kernel::{MAX_MEMORIES, Used};
use super::layout::Layout;
use crate::capture::live::{Buffer, BufferId};
use crate::frame::{Frame, View};

/// Lives as long as the queue or a lease of it, whichever is longer; so does its memory.
pub struct Slot<M> {
    id: BufferId,
    layout: Layout,
    memory: [Option<M>; MAX_MEMORIES],
    dma_buf: Option<OwnedFd>,
    /// Which bytes of each memory are filled: start and end.
    filled: [[AtomicU32; 2]; MAX_MEMORIES],
    leases: AtomicU32,
    /// Held by all that is mapped of one open device.
    _mapped: Arc<()>,
    /// What is seen of a buffer that holds no picture, which is never lent.
    nothing: Frame,
}

impl<M: Deref<Target = [u8]>> Slot<M> {
    pub fn new(
        id: BufferId,
        layout: Layout,
        memory: [Option<M>; MAX_MEMORIES],
        dma_buf: Option<OwnedFd>,
        mapped: Arc<()>,
    ) -> Slot<M> {
        let nothing = Frame::black(1, 1);
        Slot {
            id,
            layout,
            memory,
            dma_buf,
            filled: Default::default(),
            leases: AtomicU32::new(0),
            _mapped: mapped,
            nothing,
        }
    }

    /// Says which bytes the driver filled. Not to be called while there are leases.
    pub fn fill(&self, used: &[Used; MAX_MEMORIES]) {
        for (filled, used) in self.filled.iter().zip(used) {
            filled[0].store(used.start, Ordering::Relaxed);
            filled[1].store(used.end, Ordering::Relaxed);
        }
    }

    /// The filled bytes of each memory; empty where nothing is mapped or the driver's figures leave the mapping.
    pub fn filled(&self) -> [&[u8]; MAX_MEMORIES] {
        let bytes = |index: usize| {
            let (memory, filled) = (self.memory.get(index)?.as_deref()?, self.filled.get(index)?);
            let [start, end] = [0, 1].map(|side: usize| filled[side].load(Ordering::Relaxed) as usize);
            memory.get(start..end)
        };
        [0, 1].map(|index| bytes(index).unwrap_or(&[]))
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Nobody looks at it any more: what was read through leases happened before this answered `true`.
    pub fn is_returned(&self) -> bool {
        self.leases.load(Ordering::Acquire) == 0
    }
}

impl<M: Deref<Target = [u8]> + Send + Sync> Buffer for Slot<M> {
    fn view(&self) -> View<'_> {
        self.layout.view(self.filled()).unwrap_or_else(|| self.nothing.view())
    }
    fn id(&self) -> BufferId {
        self.id
    }
    fn dma_buf(&self) -> Option<BorrowedFd<'_>> {
        // Whoever imports it takes the picture to begin where the memory does.
        let from_start = self.filled[0][0].load(Ordering::Relaxed) == 0;
        self.dma_buf.as_ref().filter(|_| from_start).map(|fd| fd.as_fd())
    }
    fn retain(&self) {
        self.leases.fetch_add(1, Ordering::Relaxed);
    }
    fn release(&self) {
        self.leases.fetch_sub(1, Ordering::Release);
    }
}
