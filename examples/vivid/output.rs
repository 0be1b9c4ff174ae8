//! An output device's queue of mapped buffers. v4l's own stream keeps one picture in flight, and vivid shows none until
//! a second one waits behind it; `write` is refused.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, ensure};
use memmap2::{MmapMut, MmapOptions};
use v4l::v4l_sys::{v4l2_buffer, v4l2_dv_timings, v4l2_enum_dv_timings, v4l2_requestbuffers};
use v4l::v4l2::vidioc;

/// Not among v4l's: `_IOWR('V', 87, struct v4l2_dv_timings)`, `_IOWR('V', 98, struct v4l2_enum_dv_timings)`.
const VIDIOC_S_DV_TIMINGS: u32 = 0xC084_5657;
const VIDIOC_ENUM_DV_TIMINGS: u32 = 0xC094_5662;
const OUTPUT: u32 = 2;
const MMAP: u32 = 1;
/// `V4L2_FIELD_NONE`: whole pictures.
const WHOLE: u32 = 1;

/// C structures of V4L2 in which all bytes may be 0 and which are passed to an ioctl.
trait Plain: Copy {}
impl Plain for u32 {}
impl Plain for v4l2_buffer {}
impl Plain for v4l2_dv_timings {}
impl Plain for v4l2_enum_dv_timings {}
impl Plain for v4l2_requestbuffers {}

fn zeroed<T: Plain>() -> T {
    // SAFETY: `Plain` types are numbers and arrays and unions of such; a pointer among them is null.
    unsafe { std::mem::zeroed() }
}

fn ask<T: Plain>(file: &File, request: u32, argument: &mut T) -> io::Result<()> {
    // SAFETY: each caller passes the structure whose size the request's number holds; the kernel keeps no pointer to it.
    unsafe { v4l::v4l2::ioctl(file.as_raw_fd(), request as vidioc::_IOC_TYPE, (&raw mut *argument).cast()) }
}

pub fn open(path: &str) -> Result<File> {
    OpenOptions::new().read(true).write(true).open(path).with_context(|| path.to_owned())
}

/// Sets the first of the device's progressive timings with this size and rounded rate.
pub fn set_timings(file: &File, width: u32, height: u32, rate_hz: u64) -> Result<()> {
    for index in 0.. {
        let mut asked = v4l2_enum_dv_timings { index, ..zeroed() };
        ask(file, VIDIOC_ENUM_DV_TIMINGS, &mut asked)
            .with_context(|| format!("no timings {width}x{height} at {rate_hz} a second"))?;
        // SAFETY: V4L2 has no other kind of timings than `bt`.
        let bt = unsafe { asked.timings.__bindgen_anon_1.bt };
        let columns = bt.width + bt.hfrontporch + bt.hsync + bt.hbackporch;
        let rows = bt.height + bt.vfrontporch + bt.vsync + bt.vbackporch;
        let pixels = u64::from(columns) * u64::from(rows);
        let rate = (bt.pixelclock + pixels / 2) / pixels.max(1);
        if (bt.width, bt.height, bt.interlaced, rate) == (width, height, 0, rate_hz) {
            let mut timings = asked.timings;
            return Ok(ask(file, VIDIOC_S_DV_TIMINGS, &mut timings)?);
        }
    }
    unreachable!("the kernel's list ends")
}

pub struct Queue {
    file: File,
    buffers: Vec<MmapMut>,
    /// How many buffers were handed to the driver at the start.
    begun: usize,
}

impl Queue {
    /// Buffers of the device's present format.
    pub fn new(file: File, count: u32) -> Result<Queue> {
        let mut request = v4l2_requestbuffers { count, type_: OUTPUT, memory: MMAP, ..zeroed() };
        ask(&file, vidioc::VIDIOC_REQBUFS as u32, &mut request)?;
        let mut buffers = Vec::new();
        for index in 0..request.count {
            let mut buffer = v4l2_buffer { index, type_: OUTPUT, memory: MMAP, ..zeroed() };
            ask(&file, vidioc::VIDIOC_QUERYBUF as u32, &mut buffer)?;
            // SAFETY: a mapped buffer has an offset.
            let offset = unsafe { buffer.m.offset };
            let mut options = MmapOptions::new();
            options.offset(u64::from(offset)).len(buffer.length as usize);
            // SAFETY: the driver's memory, which no other process of the board maps; it stays until it is unmapped.
            buffers.push(unsafe { options.map_mut(&file)? });
        }
        Ok(Queue { file, buffers, begun: 0 })
    }

    /// Copies a picture into a buffer that is free, and hands it to the driver. Waits as long as all are taken.
    pub fn show(&mut self, picture: &[u8]) -> Result<()> {
        let index = if self.begun < self.buffers.len() {
            self.begun
        } else {
            if self.begun == self.buffers.len() {
                let mut kind = OUTPUT;
                ask(&self.file, vidioc::VIDIOC_STREAMON as u32, &mut kind).context("cannot start")?;
            }
            let mut buffer = v4l2_buffer { type_: OUTPUT, memory: MMAP, ..zeroed() };
            ask(&self.file, vidioc::VIDIOC_DQBUF as u32, &mut buffer)?;
            buffer.index as usize
        };
        self.begun = (self.begun + 1).min(self.buffers.len() + 1);
        let memory = &mut self.buffers[index];
        ensure!(memory.len() >= picture.len(), "{} bytes for a buffer of {}", picture.len(), memory.len());
        memory[..picture.len()].copy_from_slice(picture);
        let mut buffer = v4l2_buffer {
            index: index as u32,
            type_: OUTPUT,
            memory: MMAP,
            field: WHOLE,
            bytesused: picture.len() as u32,
            ..zeroed()
        };
        Ok(ask(&self.file, vidioc::VIDIOC_QBUF as u32, &mut buffer)?)
    }
}
