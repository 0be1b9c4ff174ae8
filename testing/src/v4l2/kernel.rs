//! The calls that the camera makes.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use memmap2::MmapOptions;
use polyp_edge::capture::v4l2::kernel::*;
use rustix::io::Errno;

use super::memory::Memory;
use super::model::Signal;
use super::{Buffer, FileState, Machine, NODE, STABLE, State, World};

const CAPTURE: u32 = 1;
const CAPTURE_MPLANE: u32 = 0x1000;
const STREAMING: u32 = 0x0400_0000;

/// An open file.
pub struct Handle {
    machine: Machine,
    file: u64,
    generation: u64,
}

impl Handle {
    /// Begins a call on the file.
    fn call(&self, call: &'static str) -> Answer<MutexGuard<'_, World>> {
        let mut world = self.machine.answering();
        world.call(call)?;
        if world.plugged && world.generation == self.generation { Ok(world) } else { Err(Errno::NODEV) }
    }

    /// Begins a call that names a buffer type.
    fn typed(&self, call: &'static str, buffers: BufferType) -> Answer<MutexGuard<'_, World>> {
        let mut world = self.call(call)?;
        if world.model.buffers != buffers {
            world.violation(format!("{call} of another buffer type"));
            return Err(Errno::INVAL);
        }
        Ok(world)
    }
}

impl System for Machine {
    type Kernel = Handle;

    fn nodes(&mut self) -> Vec<PathBuf> {
        if self.world().plugged { vec![NODE.into()] } else { Vec::new() }
    }

    fn stable_names(&mut self, _: &Path) -> Vec<PathBuf> {
        if self.world().plugged { vec![STABLE.into()] } else { Vec::new() }
    }

    fn open(&mut self, name: &Path) -> Answer<Handle> {
        let mut world = self.answering();
        world.call("open")?;
        if !world.plugged || ![NODE, STABLE].iter().any(|known| Path::new(known) == name) {
            return Err(Errno::NOENT);
        }
        let (file, generation) = (world.next_file, world.generation);
        world.next_file += 1;
        world.files.insert(file, FileState { open: true, maps: 0 });
        Ok(Handle { machine: self.clone(), file, generation })
    }

    fn now(&self) -> Instant {
        let world = self.world();
        world.base + world.now
    }

    fn monotonic(&self) -> Duration {
        self.world().now
    }

    fn sleep(&self, time: Duration) {
        let world = self.world();
        self.let_pass(world, time);
    }
}

impl Kernel for Handle {
    type Memory = Memory;

    fn capabilities(&self) -> Answer<Capabilities> {
        let world = self.call("VIDIOC_QUERYCAP")?;
        let capture = if world.model.buffers == BufferType::Multi { CAPTURE_MPLANE } else { CAPTURE };
        Ok(Capabilities {
            driver: Label::from(&b"fake"[..]),
            card: Label::from(&b"Fake camera"[..]),
            bus: Label::from(&b"usb-fake"[..]),
            flags: capture | STREAMING,
        })
    }

    fn format_at(&self, buffers: BufferType, index: u32) -> Answer<FourCc> {
        let world = self.typed("VIDIOC_ENUM_FMT", buffers)?;
        world.model.formats.get(index as usize).copied().ok_or(Errno::INVAL)
    }

    fn size_at(&self, format: FourCc, index: u32) -> Answer<Sizes> {
        let world = self.call("VIDIOC_ENUM_FRAMESIZES")?;
        let known = world.model.formats.contains(&format);
        world.model.sizes.get(index as usize).copied().filter(|_| known).ok_or(Errno::INVAL)
    }

    fn interval_at(&self, format: FourCc, _: (u32, u32), index: u32) -> Answer<Intervals> {
        let world = self.call("VIDIOC_ENUM_FRAMEINTERVALS")?;
        let known = world.model.formats.contains(&format);
        world.model.intervals.get(index as usize).copied().filter(|_| known).ok_or(Errno::INVAL)
    }

    fn format(&self, buffers: BufferType) -> Answer<Format> {
        Ok(self.typed("VIDIOC_G_FMT", buffers)?.format)
    }

    fn set_format(&self, buffers: BufferType, format: &Format) -> Answer<Format> {
        let mut world = self.typed("VIDIOC_S_FMT", buffers)?;
        if !world.buffers.is_empty() {
            if world.owner == Some(self.file) && !world.injected {
                world.violation("VIDIOC_S_FMT while there are buffers".into());
            }
            return Err(Errno::BUSY);
        }
        let mut granted = Format { field: 1, colorspace: 3, ..*format };
        if !world.model.formats.contains(&format.fourcc) {
            granted.fourcc = world.model.formats.first().copied().ok_or(Errno::INVAL)?;
        }
        if world.model.digital {
            (granted.width, granted.height) = (world.timings.width, world.timings.height);
        }
        world.layout(&mut granted);
        (world.model.alter)(&mut granted);
        world.format = granted;
        Ok(granted)
    }

    fn interval(&self, buffers: BufferType) -> Answer<Option<Fraction>> {
        let world = self.typed("VIDIOC_G_PARM", buffers)?;
        Ok((!world.model.intervals.is_empty()).then_some(world.interval))
    }

    fn set_interval(&self, buffers: BufferType, interval: Fraction) -> Answer<Fraction> {
        let mut world = self.typed("VIDIOC_S_PARM", buffers)?;
        if world.streaming {
            return Err(Errno::BUSY);
        }
        let fits = interval.rate_hz().is_some_and(|rate| (1.0..=240.0).contains(&rate));
        if fits {
            world.interval = interval;
        }
        Ok(world.interval)
    }

    fn input(&self) -> Answer<u32> {
        drop(self.call("VIDIOC_G_INPUT")?);
        Ok(0)
    }

    fn set_input(&self, index: u32) -> Answer<()> {
        let world = self.call("VIDIOC_S_INPUT")?;
        match index {
            0 if world.buffers.is_empty() => Ok(()),
            0 => Err(Errno::BUSY),
            _ => Err(Errno::INVAL),
        }
    }

    fn input_at(&self, index: u32) -> Answer<Input> {
        let world = self.call("VIDIOC_ENUMINPUT")?;
        let status = match world.signal {
            Signal::None { status, .. } if world.model.digital => status,
            _ => 0,
        };
        let capabilities = if world.model.digital { 2 } else { 0 };
        match index {
            0 => Ok(Input { name: Label::from(&b"Input"[..]), status, capabilities }),
            _ => Err(Errno::INVAL),
        }
    }

    fn cables(&self) -> Answer<u32> {
        let world = self.call("VIDIOC_G_CTRL")?;
        match world.signal {
            _ if !world.model.digital => Err(Errno::INVAL),
            Signal::Source(_) => Ok(1),
            Signal::None { cables, .. } => Ok(cables),
        }
    }

    fn timings(&self) -> Answer<Timings> {
        let world = self.call("VIDIOC_G_DV_TIMINGS")?;
        if world.model.digital { Ok(world.timings) } else { Err(Errno::NODATA) }
    }

    fn query_timings(&self) -> Answer<Timings> {
        let world = self.call("VIDIOC_QUERY_DV_TIMINGS")?;
        match world.signal {
            _ if !world.model.digital => Err(Errno::NODATA),
            Signal::Source(timings) => Ok(timings),
            Signal::None { errno, .. } => Err(errno),
        }
    }

    fn edid_blocks(&self, _: u32) -> Answer<u32> {
        let world = self.call("VIDIOC_G_EDID")?;
        if world.model.digital { Ok(world.model.edid_blocks) } else { Err(Errno::NOTTY) }
    }

    fn set_timings(&self, timings: &Timings) -> Answer<()> {
        let mut world = self.call("VIDIOC_S_DV_TIMINGS")?;
        if !world.model.digital {
            return Err(Errno::NODATA);
        }
        if !world.buffers.is_empty() {
            if world.owner == Some(self.file) && !world.injected {
                world.violation("VIDIOC_S_DV_TIMINGS while there are buffers".into());
            }
            return Err(Errno::BUSY);
        }
        world.timings = *timings;
        Ok(())
    }

    fn subscribe_source_change(&self, _: u32) -> Answer<()> {
        let mut world = self.call("VIDIOC_SUBSCRIBE_EVENT")?;
        if !world.model.digital {
            return Err(Errno::INVAL);
        }
        world.subscribed = true;
        Ok(())
    }

    fn event(&self) -> Answer<Notice> {
        let mut world = self.call("VIDIOC_DQEVENT")?;
        world.events.pop_front().ok_or(Errno::NOENT)
    }

    fn request_buffers(&self, buffers: BufferType, count: u32) -> Answer<u32> {
        let mut world = self.typed("VIDIOC_REQBUFS", buffers)?;
        if world.owner.is_some_and(|owner| owner != self.file) {
            return Err(Errno::BUSY);
        }
        if world.streaming {
            if !world.injected {
                world.violation("VIDIOC_REQBUFS while streaming".into());
            }
            return Err(Errno::BUSY);
        }
        if !world.model.orphans && world.buffers.iter().any(|buffer| buffer.maps > 0) {
            return Err(Errno::BUSY);
        }
        world.stop();
        world.buffers.clear();
        world.owner = (count > 0).then_some(self.file);
        world.allocation += 1;
        let count = count.min(world.model.most_buffers).min(32);
        let format = world.format;
        for _ in 0..count {
            let lengths: Vec<usize> =
                (0..format.planes as usize).map(|plane| format.plane[plane].size as usize).collect();
            let memory = |&length: &usize| {
                let file = rustix::fs::memfd_create("plane", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
                let file = File::from(file);
                file.set_len(length as u64).unwrap();
                Arc::new(file)
            };
            let planes = lengths.iter().map(memory).collect();
            let (state, done) = (State::Dequeued, Dequeued::default());
            world.buffers.push(Buffer { planes, lengths, state, maps: 0, done });
        }
        Ok(count)
    }

    fn buffer(&self, buffers: BufferType, index: u32) -> Answer<Memories> {
        let world = self.typed("VIDIOC_QUERYBUF", buffers)?;
        let buffer = world.buffers.get(index as usize).ok_or(Errno::INVAL)?;
        let mut memories = Memories { planes: buffer.planes.len() as u32, ..Memories::default() };
        for (plane, (place, &length)) in memories.plane.iter_mut().zip(&buffer.lengths).enumerate() {
            *place = MemoryPlace { offset: (u64::from(index) << 32) | ((plane as u64) << 16), length };
        }
        Ok(memories)
    }

    fn map(&self, place: MemoryPlace) -> Answer<Memory> {
        let mut world = self.call("mmap")?;
        let (index, plane) = ((place.offset >> 32) as usize, (place.offset >> 16 & 1) as usize);
        let allocation = world.allocation;
        if world.owner != Some(self.file) {
            return Err(Errno::INVAL);
        }
        let buffer = world.buffers.get_mut(index).ok_or(Errno::INVAL)?;
        let file = buffer.planes.get(plane).ok_or(Errno::INVAL)?;
        // SAFETY: the file is of that length for good, and its bytes are written only while the buffer is queued.
        let map = unsafe { MmapOptions::new().len(place.length).map(&**file) }.map_err(|_| Errno::INVAL)?;
        buffer.maps += 1;
        world.files.entry(self.file).or_default().maps += 1;
        Ok(Memory { map, machine: self.machine.clone(), file: self.file, allocation, index })
    }

    fn export(&self, buffers: BufferType, index: u32, plane: u32) -> Answer<OwnedFd> {
        let world = self.typed("VIDIOC_EXPBUF", buffers)?;
        if !world.model.can_export {
            return Err(Errno::NOTTY);
        }
        let buffer = world.buffers.get(index as usize).ok_or(Errno::INVAL)?;
        let file = buffer.planes.get(plane as usize).ok_or(Errno::INVAL)?;
        Ok(file.try_clone().map_err(|_| Errno::MFILE)?.into())
    }

    fn queue(&self, buffers: BufferType, index: u32, planes: u32) -> Answer<()> {
        let mut world = self.typed("VIDIOC_QBUF", buffers)?;
        if world.owner != Some(self.file) {
            world.violation(format!("VIDIOC_QBUF of buffer {index} without a request"));
            return Err(Errno::INVAL);
        }
        let Some(buffer) = world.buffers.get_mut(index as usize) else {
            world.violation(format!("VIDIOC_QBUF of buffer {index}, which there is not"));
            return Err(Errno::INVAL);
        };
        if buffer.planes.len() as u32 != planes {
            let words = format!("VIDIOC_QBUF of {planes} planes for {}", buffer.planes.len());
            world.violation(words);
            return Err(Errno::INVAL);
        }
        if buffer.state != State::Dequeued {
            let words = format!("VIDIOC_QBUF of buffer {index}, which is {:?}", buffer.state);
            world.violation(words);
            return Err(Errno::INVAL);
        }
        buffer.state = State::Queued;
        world.queued.push_back(index as usize);
        Ok(())
    }

    fn dequeue(&self, buffers: BufferType) -> Answer<Dequeued> {
        let mut world = self.typed("VIDIOC_DQBUF", buffers)?;
        if world.error {
            return Err(Errno::IO);
        }
        if !world.streaming {
            world.violation("VIDIOC_DQBUF without a stream".into());
            return Err(Errno::INVAL);
        }
        let index = world.done.pop_front().ok_or(Errno::AGAIN)?;
        let other = world.buffers.iter().position(|buffer| buffer.state == State::Dequeued);
        let buffer = world.buffers.get_mut(index).ok_or(Errno::IO)?;
        buffer.state = State::Dequeued;
        if buffer.done.index == u32::MAX {
            buffer.done.index = other.map_or(78, |other| other as u32);
        }
        Ok(buffer.done)
    }

    fn stream_on(&self, buffers: BufferType) -> Answer<()> {
        let mut world = self.typed("VIDIOC_STREAMON", buffers)?;
        if world.owner != Some(self.file) || world.buffers.is_empty() {
            world.violation("VIDIOC_STREAMON without buffers".into());
            return Err(Errno::INVAL);
        }
        (world.streaming, world.sequence) = (true, 0);
        Ok(())
    }

    fn stream_off(&self, buffers: BufferType) -> Answer<()> {
        let mut world = self.typed("VIDIOC_STREAMOFF", buffers)?;
        if world.owner != Some(self.file) {
            return Err(Errno::BUSY);
        }
        world.stop();
        Ok(())
    }

    fn wait(&self, time: Duration) -> Answer<Ready> {
        let mut world = self.machine.answering();
        world.call("poll")?;
        let gone = Ready { error: true, gone: true, event: true, picture: false };
        if !world.plugged || world.generation != self.generation {
            return Ok(gone);
        }
        let until = world.now + time;
        if world.streaming && world.on_runtime.is_none() {
            world.pass(until, true);
        }
        while world.streaming && !world.is_ready() && world.now < until {
            let left = world.next_change().min(until).saturating_sub(world.now);
            self.machine.let_pass(world, left);
            world = self.machine.answering();
        }
        if !world.plugged || world.generation != self.generation {
            return Ok(gone);
        }
        Ok(Ready {
            picture: !world.done.is_empty() && !world.error,
            event: !world.events.is_empty(),
            error: world.error || !world.streaming,
            gone: false,
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut world = self.machine.world();
        if let Some(state) = world.files.get_mut(&self.file) {
            state.open = false;
        }
        world.let_go(self.file);
    }
}
