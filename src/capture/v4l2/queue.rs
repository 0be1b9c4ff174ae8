//! Buffers between the driver and us: each is with the kernel, lent, or about to be queued again; never two of these.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use v4l::v4l_sys::*;

use super::kernel::{BufferType, Dequeued, Kernel, MAX_MEMORIES};
use super::layout::Layout;
use super::order::{Order, Place, Taken};
use super::slot::Slot;
use crate::call::{CallError, ask};
use crate::capture::live::{BufferId, Counts, DriverClock, Lease};
use crate::frame::{PixelFormat, Timestamp};

/// Most buffers that are used; V4L2's own limit.
pub const MAX_BUFFERS: u32 = 32;
/// Fewer do not make a stream: one being filled, one being looked at.
const MIN_BUFFERS: u32 = 2;

/// Tells the queues in the life of the program apart.
static QUEUES: AtomicU64 = AtomicU64::new(0);

/// With whom a buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Kernel,
    /// A lease may be out.
    Lent,
    /// To be queued.
    Ours,
}

/// Why a queue does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    Refused(CallError),
    /// The driver broke the rules, in words.
    Driver(String),
}

impl From<CallError> for Broken {
    fn from(refused: CallError) -> Broken {
        Broken::Refused(refused)
    }
}

/// A picture that was taken out of the queue: to be lent or given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    pub index: u32,
    pub number: u64,
    pub timestamp: Timestamp,
    /// For how long after it was taken it waited in its buffer, beyond what is usual.
    pub waited: Duration,
    /// When the driver took it, and by which clock it tells that.
    pub taken: Option<Duration>,
    pub clock: DriverClock,
}

/// What was in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// The newest one that is whole.
    pub picture: Option<Picture>,
    /// Others that were taken out and queued again.
    pub passed: u32,
    /// Those of them that waited for too long.
    pub late: u32,
}

/// A stream's buffers. To be stopped before it is dropped, or the device keeps them until it is closed.
pub struct Queue<M> {
    buffers: BufferType,
    slots: Vec<Slots<M>>,
    /// `VIDIOC_STREAMON` was done.
    on: bool,
}

struct Slots<M> {
    slot: Arc<Slot<M>>,
    /// Pieces of memory.
    memories: u32,
    owner: Owner,
}

impl<M> Queue<M>
where
    M: std::ops::Deref<Target = [u8]> + Send + Sync + 'static,
{
    /// Requests buffers, maps and queues them, and starts the stream. Whatever is mapped holds `mapped`. After an error
    /// nothing is left requested, as far as the kernel lets us.
    pub fn start<K: Kernel<Memory = M>>(
        kernel: &K,
        buffers: BufferType,
        layout: Layout,
        count: u32,
        mapped: &Arc<()>,
    ) -> Result<Queue<M>, Broken> {
        let mut queue = Queue { buffers, slots: Vec::new(), on: false };
        match queue.set_up(kernel, layout, count, mapped) {
            Ok(()) => Ok(queue),
            Err(broken) => {
                // What went wrong first is what is told.
                let _ = queue.stop(kernel);
                Err(broken)
            }
        }
    }

    fn set_up<K: Kernel<Memory = M>>(
        &mut self,
        kernel: &K,
        layout: Layout,
        count: u32,
        mapped: &Arc<()>,
    ) -> Result<(), Broken> {
        let buffers = self.buffers;
        let request = |count: u32| {
            ask("VIDIOC_REQBUFS", || kernel.request_buffers(buffers, count.clamp(MIN_BUFFERS, MAX_BUFFERS)))
        };
        let granted = match request(count) {
            Err(CallError { errno: Errno::NOMEM, .. }) => request(MIN_BUFFERS + 1)?,
            other => other?,
        };
        if granted < MIN_BUFFERS {
            return Err(Broken::Driver(format!(
                "VIDIOC_REQBUFS: the driver granted {granted} buffers of {count}"
            )));
        }
        let id = QUEUES.fetch_add(1, Ordering::Relaxed);
        for index in 0..granted.min(MAX_BUFFERS) {
            let slot = Arc::new(map(kernel, buffers, layout, BufferId { queue: id, index }, mapped)?);
            self.slots.push(Slots { slot, memories: layout.memories as u32, owner: Owner::Ours });
        }
        self.reclaim(kernel)?;
        self.turn_on(kernel)
    }

    fn turn_on<K: Kernel<Memory = M>>(&mut self, kernel: &K) -> Result<(), Broken> {
        ask("VIDIOC_STREAMON", || kernel.stream_on(self.buffers))?;
        self.on = true;
        Ok(())
    }

    /// Stops the stream and starts it anew with the same buffers; lent ones stay lent.
    pub fn restart<K: Kernel<Memory = M>>(&mut self, kernel: &K) -> Result<(), Broken> {
        self.turn_off(kernel)?;
        self.reclaim(kernel)?;
        if self.queued() == 0 {
            return Err(Broken::Driver("all buffers are in use".into()));
        }
        self.turn_on(kernel)
    }

    /// Takes all buffers from the kernel: it then has none queued and none filled.
    fn turn_off<K: Kernel<Memory = M>>(&mut self, kernel: &K) -> Result<(), Broken> {
        ask("VIDIOC_STREAMOFF", || kernel.stream_off(self.buffers))?;
        self.on = false;
        for slot in self.slots.iter_mut().filter(|slot| slot.owner == Owner::Kernel) {
            slot.owner = Owner::Ours;
        }
        Ok(())
    }

    /// Stops the stream and gives up the buffers. What is lent stays readable until it is returned. After an error the
    /// queue has lent buffers alone, if any; it is of no use but to be stopped again.
    ///
    /// The mappings alone would keep the device taken after it is closed: hence the request for none. Kernels before
    /// 5.0 refuse it while anything is lent.
    pub fn stop<K: Kernel<Memory = M>>(&mut self, kernel: &K) -> Result<(), Broken> {
        self.slots.retain(|slot| !slot.slot.is_returned());
        if self.on {
            self.turn_off(kernel)?;
        }
        ask("VIDIOC_REQBUFS", || kernel.request_buffers(self.buffers, 0))?;
        self.slots.clear();
        Ok(())
    }

    /// Queues again what was returned.
    pub fn reclaim<K: Kernel<Memory = M>>(&mut self, kernel: &K) -> Result<(), CallError> {
        for index in 0..self.slots.len() {
            self.give_back(kernel, index)?;
        }
        Ok(())
    }

    /// Queues one buffer unless the kernel has it or somebody looks at it.
    fn give_back<K: Kernel<Memory = M>>(&mut self, kernel: &K, index: usize) -> Result<(), CallError> {
        let Some(slot) = self.slots.get_mut(index) else { return Ok(()) };
        if slot.owner == Owner::Kernel || !slot.slot.is_returned() {
            return Ok(());
        }
        slot.owner = Owner::Ours;
        ask("VIDIOC_QBUF", || kernel.queue(self.buffers, index as u32, slot.memories))?;
        slot.owner = Owner::Kernel;
        Ok(())
    }

    /// Takes filled buffers out, at most all, and queues again all but the newest whole one.
    pub fn drain<K: Kernel<Memory = M>>(
        &mut self,
        kernel: &K,
        order: &mut Order,
        counts: &mut Counts,
        now: Instant,
    ) -> Result<Drained, Broken> {
        let mut drained = Drained::default();
        for _ in 0..self.slots.len() {
            if self.queued() == 0 {
                break;
            }
            let dequeued = match ask("VIDIOC_DQBUF", || kernel.dequeue(self.buffers)) {
                Ok(dequeued) => dequeued,
                Err(CallError { errno: Errno::AGAIN, .. }) => break,
                // The newest picture is still one; the error will come again.
                Err(_) if drained.picture.is_some() => break,
                Err(refused) => return Err(refused.into()),
            };
            let taken = match self.take(&dequeued) {
                Ok(taken) => taken,
                Err(words) => {
                    self.release(kernel, drained.picture)?;
                    return Err(Broken::Driver(words));
                }
            };
            let newer = match taken.map(|taken| order.place(taken, now)) {
                None => {
                    counts.damaged += 1;
                    None
                }
                Some(Place::Past) => {
                    counts.stale += 1;
                    None
                }
                Some(Place::Late { missed }) => {
                    counts.missed += missed;
                    counts.stale += 1;
                    drained.late += 1;
                    None
                }
                Some(Place::Next { number, timestamp, missed, waited }) => {
                    counts.missed += missed;
                    let taken = is_monotonic(&dequeued).then_some(dequeued.timestamp);
                    let clock = clock_of(&dequeued);
                    Some(Picture { index: dequeued.index, number, timestamp, waited, taken, clock })
                }
            };
            let older = match newer {
                Some(picture) => {
                    let older = drained.picture.replace(picture);
                    counts.stale += u64::from(older.is_some());
                    older.map(|older| older.index)
                }
                None => Some(dequeued.index),
            };
            if let Some(older) = older {
                drained.passed += 1;
                self.give_back(kernel, older as usize)?;
            }
        }
        Ok(drained)
    }

    /// Checks a buffer that the kernel gave back: its number and time if it holds a picture, `None` if it is damaged.
    ///
    /// Errors: it is none that the kernel had.
    fn take(&mut self, dequeued: &Dequeued) -> Result<Option<Taken>, String> {
        let slot = self
            .slots
            .get_mut(dequeued.index as usize)
            .filter(|slot| slot.owner == Owner::Kernel)
            .ok_or_else(|| format!("VIDIOC_DQBUF: buffer {} was not queued", dequeued.index))?;
        slot.owner = Owner::Ours;
        let layout = slot.slot.layout();
        slot.slot.fill(&dequeued.plane);
        let within = |index: usize| {
            dequeued.plane.get(index).is_some_and(|used| used.start <= used.end && used.end <= used.length)
        };
        let whole = dequeued.flags & V4L2_BUF_FLAG_ERROR == 0
            && dequeued.planes == slot.memories
            && (0..layout.memories).all(within)
            && match layout.format {
                PixelFormat::Mjpeg => slot.slot.filled()[0].len() >= layout.least(0),
                _ => layout.view(slot.slot.filled()).is_some(),
            };
        let timestamp = is_monotonic(dequeued).then_some(dequeued.timestamp);
        Ok(whole.then_some(Taken { sequence: dequeued.sequence, timestamp }))
    }

    /// The filled bytes of a picture that was taken out.
    pub fn bytes(&self, picture: &Picture) -> &[u8] {
        self.slots.get(picture.index as usize).map_or(&[], |slot| slot.slot.filled()[0])
    }

    /// Lends a picture that was taken out; `None` if it was given back meanwhile.
    pub fn lend(&mut self, picture: &Picture) -> Option<Lease> {
        let slot = self.slots.get_mut(picture.index as usize).filter(|slot| slot.owner == Owner::Ours)?;
        slot.owner = Owner::Lent;
        Some(Lease::new(slot.slot.clone()))
    }

    /// Queues a picture again that was taken out and is not lent.
    pub fn release<K: Kernel<Memory = M>>(
        &mut self,
        kernel: &K,
        picture: Option<Picture>,
    ) -> Result<(), CallError> {
        picture.map_or(Ok(()), |picture| self.give_back(kernel, picture.index as usize))
    }

    /// How many buffers the kernel has.
    pub fn queued(&self) -> usize {
        self.slots.iter().filter(|slot| slot.owner == Owner::Kernel).count()
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }
}

/// Maps a buffer, and exports it where it is one piece of memory and the driver can.
fn map<K: Kernel>(
    kernel: &K,
    buffers: BufferType,
    layout: Layout,
    id: BufferId,
    mapped: &Arc<()>,
) -> Result<Slot<K::Memory>, Broken> {
    let memories = ask("VIDIOC_QUERYBUF", || kernel.buffer(buffers, id.index))?;
    if memories.planes != layout.memories as u32 {
        return Err(Broken::Driver(format!(
            "VIDIOC_QUERYBUF: {} memory planes instead of {}",
            memories.planes, layout.memories
        )));
    }
    let mut memory = [const { None }; MAX_MEMORIES];
    for (index, (place, memory)) in memories.plane.iter().zip(&mut memory).enumerate().take(layout.memories) {
        if place.length < layout.least(index) {
            let (has, needs) = (place.length, layout.least(index));
            return Err(Broken::Driver(format!("VIDIOC_QUERYBUF: {has} bytes instead of {needs}")));
        }
        *memory = Some(ask("mmap", || kernel.map(*place))?);
    }
    let dma_buf = match (layout.memories, layout.format) {
        (_, PixelFormat::Mjpeg) => None,
        (1, _) => ask("VIDIOC_EXPBUF", || kernel.export(buffers, id.index, 0)).ok(),
        _ => None,
    };
    Ok(Slot::new(id, layout, memory, dma_buf, mapped.clone()))
}
fn is_monotonic(dequeued: &Dequeued) -> bool {
    dequeued.flags & V4L2_BUF_FLAG_TIMESTAMP_MASK == V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC
        && !dequeued.timestamp.is_zero()
}

/// By which clock, and when in the picture, the driver tells a picture's time.
fn clock_of(dequeued: &Dequeued) -> DriverClock {
    match (is_monotonic(dequeued), dequeued.flags & V4L2_BUF_FLAG_TSTAMP_SRC_MASK) {
        (false, _) => DriverClock::Unknown,
        (true, V4L2_BUF_FLAG_TSTAMP_SRC_SOE) => DriverClock::StartOfExposure,
        (true, _) => DriverClock::EndOfFrame,
    }
}
