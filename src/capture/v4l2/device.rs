//! The kernel itself: ioctls with the crate v4l's types on a descriptor of our own.
//!
//! v4l's own handle is not used: closing it panics where the kernel reports an error.

use std::ffi::c_void;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use memmap2::{Mmap, MmapOptions};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::opcode;
use v4l::v4l_sys::*;
use v4l::v4l2::vidioc::{self, _IOC_TYPE as Request};

use super::kernel::*;
use crate::runtime;

/// This machine's video devices.
#[derive(Debug, Default)]
pub struct Linux;

/// A device file.
#[derive(Debug)]
pub struct Device {
    file: OwnedFd,
}

const BY_NAME: [&str; 2] = ["/dev/v4l/by-id", "/dev/v4l/by-path"];
/// Names in a folder that are looked at, at most.
const MAX_NAMES: usize = 256;

fn names_in(folder: &str) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().take(MAX_NAMES).map(|entry| entry.path())
}

/// `/dev/video12` → 12
fn number(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.strip_prefix("video")?.parse().ok()
}

impl System for Linux {
    type Kernel = Device;

    fn nodes(&mut self) -> Vec<PathBuf> {
        let nodes = std::fs::read_dir("/dev").into_iter().flatten().flatten().map(|entry| entry.path());
        let mut nodes: Vec<PathBuf> = nodes.filter(|path| number(path).is_some()).take(MAX_NAMES).collect();
        nodes.sort_by_key(|path| number(path));
        nodes
    }

    fn stable_names(&mut self, node: &Path) -> Vec<PathBuf> {
        let Ok(node) = node.canonicalize() else { return Vec::new() };
        let mut all = Vec::new();
        for folder in BY_NAME {
            let mut names: Vec<PathBuf> = names_in(folder)
                .filter(|name| name.canonicalize().is_ok_and(|target| target == node))
                .collect();
            names.sort();
            all.append(&mut names);
        }
        all
    }

    fn open(&mut self, name: &Path) -> Answer<Device> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(Device { file: rustix::fs::open(name, flags, Mode::empty())? })
    }

    fn now(&self) -> Instant {
        runtime::now()
    }

    fn monotonic(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
    }

    fn sleep(&self, time: Duration) {
        runtime::thread::sleep(time);
    }
}

/// A type of the kernel's interface.
///
/// # Safety
/// All bytes 0 are a value of it, pointers in it included.
unsafe trait Plain: Sized {
    fn zeroed() -> Self {
        // SAFETY: what implements the trait promises it.
        unsafe { std::mem::zeroed() }
    }
}

macro_rules! plain {
    ($($kind:ty),* $(,)?) => {
        $(
            // SAFETY: a C structure of integers, arrays and unions of them, and pointers that may be null.
            unsafe impl Plain for $kind {}
        )*
    };
}

plain!(
    v4l2_capability,
    v4l2_fmtdesc,
    v4l2_frmsizeenum,
    v4l2_frmivalenum,
    v4l2_format,
    v4l2_streamparm,
    v4l2_input,
    v4l2_control,
    v4l2_bt_timings,
    v4l2_dv_timings,
    v4l2_edid,
    v4l2_event_subscription,
    v4l2_event,
    v4l2_requestbuffers,
    v4l2_buffer,
    v4l2_plane,
    v4l2_exportbuffer,
    i32,
);

// What v4l's list of requests lacks.
const S_DV_TIMINGS: Request = opcode::read_write::<v4l2_dv_timings>(b'V', 87) as Request;
const G_DV_TIMINGS: Request = opcode::read_write::<v4l2_dv_timings>(b'V', 88) as Request;
const DQEVENT: Request = opcode::read::<v4l2_event>(b'V', 89) as Request;
const SUBSCRIBE_EVENT: Request = opcode::write::<v4l2_event_subscription>(b'V', 90) as Request;
const QUERY_DV_TIMINGS: Request = opcode::read::<v4l2_dv_timings>(b'V', 99) as Request;

/// Most planes that the kernel has in a buffer.
const MAX_PLANES: usize = VIDEO_MAX_PLANES as usize;
type Planes = [v4l2_plane; MAX_PLANES];

fn type_of(buffers: BufferType) -> u32 {
    match buffers {
        BufferType::Single => v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE,
        BufferType::Multi => v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE,
    }
}

fn fraction(fract: v4l2_fract) -> Fraction {
    Fraction(fract.numerator, fract.denominator)
}

impl Device {
    /// `T` must be the structure that `request` stands for: its size is part of the request's number.
    fn call<T: Plain>(&self, request: Request, argument: &mut T) -> Answer<()> {
        debug_assert!(
            (request >> 16 & 0x3FFF) as usize == size_of::<T>(),
            "request {request:#x} is of another structure"
        );
        let argument: *mut c_void = std::ptr::from_mut(argument).cast();
        // SAFETY: the argument is a whole, initialised structure of the request's size, borrowed for the call alone;
        // where it holds a pointer, that is to an array that outlives the call and has the length stated beside it.
        let answer = unsafe { v4l::v4l2::ioctl(self.file.as_raw_fd(), request, argument) };
        answer.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }

    /// A buffer's description to be sent with a request. The planes must outlive the request.
    fn describe(buffers: BufferType, index: u32, count: usize, planes: &mut Planes) -> v4l2_buffer {
        let mut buffer = v4l2_buffer::zeroed();
        buffer.index = index;
        buffer.type_ = type_of(buffers);
        buffer.memory = v4l2_memory_V4L2_MEMORY_MMAP;
        if buffers == BufferType::Multi {
            buffer.length = count.min(MAX_PLANES) as u32;
            buffer.m.planes = planes.as_mut_ptr();
        }
        buffer
    }
}

impl Kernel for Device {
    type Memory = Mmap;

    fn capabilities(&self) -> Answer<Capabilities> {
        let mut caps = v4l2_capability::zeroed();
        self.call(vidioc::VIDIOC_QUERYCAP, &mut caps)?;
        let own = caps.capabilities & V4L2_CAP_DEVICE_CAPS != 0;
        Ok(Capabilities {
            driver: Label::from(&caps.driver[..]),
            card: Label::from(&caps.card[..]),
            bus: Label::from(&caps.bus_info[..]),
            flags: if own { caps.device_caps } else { caps.capabilities },
        })
    }

    fn format_at(&self, buffers: BufferType, index: u32) -> Answer<FourCc> {
        let mut format = v4l2_fmtdesc::zeroed();
        (format.index, format.type_) = (index, type_of(buffers));
        self.call(vidioc::VIDIOC_ENUM_FMT, &mut format)?;
        Ok(FourCc(format.pixelformat))
    }

    fn size_at(&self, format: FourCc, index: u32) -> Answer<Sizes> {
        let mut size = v4l2_frmsizeenum::zeroed();
        (size.index, size.pixel_format) = (index, format.0);
        self.call(vidioc::VIDIOC_ENUM_FRAMESIZES, &mut size)?;
        // SAFETY: both members are integers alone and lie within the zeroed union, whichever of them the driver wrote.
        let (one, range) = unsafe { (size.__bindgen_anon_1.discrete, size.__bindgen_anon_1.stepwise) };
        Ok(if size.type_ == v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE {
            Sizes::One((one.width, one.height))
        } else {
            Sizes::Range {
                min: (range.min_width, range.min_height),
                max: (range.max_width, range.max_height),
                step: (range.step_width.max(1), range.step_height.max(1)),
            }
        })
    }

    fn interval_at(&self, format: FourCc, size: (u32, u32), index: u32) -> Answer<Intervals> {
        let mut interval = v4l2_frmivalenum::zeroed();
        (interval.index, interval.pixel_format) = (index, format.0);
        (interval.width, interval.height) = size;
        self.call(vidioc::VIDIOC_ENUM_FRAMEINTERVALS, &mut interval)?;
        // SAFETY: both members are integers alone and lie within the zeroed union, whichever of them the driver wrote.
        let (one, range) =
            unsafe { (interval.__bindgen_anon_1.discrete, interval.__bindgen_anon_1.stepwise) };
        Ok(if interval.type_ == v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE {
            Intervals::One(fraction(one))
        } else {
            Intervals::Range { min: fraction(range.min), max: fraction(range.max) }
        })
    }

    fn format(&self, buffers: BufferType) -> Answer<Format> {
        let mut raw = v4l2_format::zeroed();
        raw.type_ = type_of(buffers);
        self.call(vidioc::VIDIOC_G_FMT, &mut raw)?;
        Ok(read_format(buffers, &raw))
    }

    fn set_format(&self, buffers: BufferType, format: &Format) -> Answer<Format> {
        let mut raw = write_format(buffers, format);
        self.call(vidioc::VIDIOC_S_FMT, &mut raw)?;
        Ok(read_format(buffers, &raw))
    }

    fn interval(&self, buffers: BufferType) -> Answer<Option<Fraction>> {
        let mut raw = v4l2_streamparm::zeroed();
        raw.type_ = type_of(buffers);
        self.call(vidioc::VIDIOC_G_PARM, &mut raw)?;
        // SAFETY: the union's bytes are all initialised and the member is integers alone.
        let capture = unsafe { raw.parm.capture };
        let settable = capture.capability & V4L2_CAP_TIMEPERFRAME != 0;
        Ok(settable.then(|| fraction(capture.timeperframe)))
    }

    fn set_interval(&self, buffers: BufferType, interval: Fraction) -> Answer<Fraction> {
        let mut raw = v4l2_streamparm::zeroed();
        raw.type_ = type_of(buffers);
        raw.parm.capture.timeperframe = v4l2_fract { numerator: interval.0, denominator: interval.1 };
        self.call(vidioc::VIDIOC_S_PARM, &mut raw)?;
        // SAFETY: the union's bytes are all initialised and the member is integers alone.
        Ok(fraction(unsafe { raw.parm.capture.timeperframe }))
    }

    fn input(&self) -> Answer<u32> {
        let mut index = 0i32;
        self.call(vidioc::VIDIOC_G_INPUT, &mut index)?;
        u32::try_from(index).map_err(|_| Errno::RANGE)
    }

    fn set_input(&self, index: u32) -> Answer<()> {
        let mut index = i32::try_from(index).map_err(|_| Errno::INVAL)?;
        self.call(vidioc::VIDIOC_S_INPUT, &mut index)
    }

    fn input_at(&self, index: u32) -> Answer<Input> {
        let mut input = v4l2_input::zeroed();
        input.index = index;
        self.call(vidioc::VIDIOC_ENUMINPUT, &mut input)?;
        Ok(Input {
            name: Label::from(&input.name[..]),
            status: input.status,
            capabilities: input.capabilities,
        })
    }

    fn cables(&self) -> Answer<u32> {
        let mut control = v4l2_control::zeroed();
        control.id = V4L2_CID_DV_RX_POWER_PRESENT;
        self.call(vidioc::VIDIOC_G_CTRL, &mut control)?;
        Ok(control.value as u32)
    }

    fn timings(&self) -> Answer<Timings> {
        let mut raw = v4l2_dv_timings::zeroed();
        self.call(G_DV_TIMINGS, &mut raw)?;
        read_timings(&raw)
    }

    fn query_timings(&self) -> Answer<Timings> {
        let mut raw = v4l2_dv_timings::zeroed();
        self.call(QUERY_DV_TIMINGS, &mut raw)?;
        read_timings(&raw)
    }

    fn set_timings(&self, timings: &Timings) -> Answer<()> {
        let mut raw = v4l2_dv_timings::zeroed();
        raw.type_ = V4L2_DV_BT_656_1120;
        raw.__bindgen_anon_1.bt = write_timings(timings);
        self.call(S_DV_TIMINGS, &mut raw)
    }

    fn edid_blocks(&self, pad: u32) -> Answer<u32> {
        // None is asked for: the driver says how many there are.
        let mut raw = v4l2_edid::zeroed();
        raw.pad = pad;
        match self.call(vidioc::VIDIOC_G_EDID, &mut raw) {
            Err(Errno::NODATA) => Ok(0),
            answer => answer.map(|()| raw.blocks),
        }
    }

    fn subscribe_source_change(&self, input: u32) -> Answer<()> {
        let mut raw = v4l2_event_subscription::zeroed();
        (raw.type_, raw.id) = (V4L2_EVENT_SOURCE_CHANGE, input);
        self.call(SUBSCRIBE_EVENT, &mut raw)
    }

    fn event(&self) -> Answer<Notice> {
        let mut raw = v4l2_event::zeroed();
        self.call(DQEVENT, &mut raw)?;
        Ok(match raw.type_ {
            V4L2_EVENT_SOURCE_CHANGE => Notice::SourceChanged,
            _ => Notice::Other,
        })
    }

    fn request_buffers(&self, buffers: BufferType, count: u32) -> Answer<u32> {
        let mut raw = v4l2_requestbuffers::zeroed();
        (raw.count, raw.type_, raw.memory) = (count, type_of(buffers), v4l2_memory_V4L2_MEMORY_MMAP);
        self.call(vidioc::VIDIOC_REQBUFS, &mut raw)?;
        Ok(raw.count)
    }

    fn buffer(&self, buffers: BufferType, index: u32) -> Answer<Memories> {
        let mut planes = [v4l2_plane::zeroed(); MAX_PLANES];
        let mut raw = Device::describe(buffers, index, MAX_PLANES, &mut planes);
        self.call(vidioc::VIDIOC_QUERYBUF, &mut raw)?;
        let mut memories = Memories { planes: 1, ..Memories::default() };
        let place = |offset: u32, length: u32| MemoryPlace { offset: offset.into(), length: length as usize };
        match buffers {
            BufferType::Single => {
                // SAFETY: the union's bytes are all initialised and the member is an integer.
                memories.plane[0] = place(unsafe { raw.m.offset }, raw.length);
            }
            BufferType::Multi => {
                memories.planes = raw.length;
                for (to, from) in memories.plane.iter_mut().zip(&planes).take(raw.length as usize) {
                    // SAFETY: the union's bytes are all initialised and the member is an integer.
                    *to = place(unsafe { from.m.mem_offset }, from.length);
                }
            }
        }
        Ok(memories)
    }

    fn map(&self, place: MemoryPlace) -> Answer<Mmap> {
        // SAFETY: the memory is written by the driver alone, and only while the buffer is queued: the queue hands out
        // bytes of buffers that are not. It does not shrink; it stays mapped when the device goes.
        let map = unsafe { MmapOptions::new().offset(place.offset).len(place.length).map(&self.file) };
        map.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
    }

    fn export(&self, buffers: BufferType, index: u32, plane: u32) -> Answer<OwnedFd> {
        let mut raw = v4l2_exportbuffer::zeroed();
        (raw.type_, raw.index, raw.plane) = (type_of(buffers), index, plane);
        raw.flags = OFlags::CLOEXEC.bits();
        raw.fd = -1;
        self.call(vidioc::VIDIOC_EXPBUF, &mut raw)?;
        if raw.fd < 0 {
            return Err(Errno::BADF);
        }
        // SAFETY: the call has just opened the descriptor for us; nobody else has it.
        Ok(unsafe { OwnedFd::from_raw_fd(raw.fd) })
    }

    fn queue(&self, buffers: BufferType, index: u32, planes: u32) -> Answer<()> {
        let mut memory = [v4l2_plane::zeroed(); MAX_PLANES];
        let mut raw = Device::describe(buffers, index, planes as usize, &mut memory);
        self.call(vidioc::VIDIOC_QBUF, &mut raw)
    }

    fn dequeue(&self, buffers: BufferType) -> Answer<Dequeued> {
        let mut planes = [v4l2_plane::zeroed(); MAX_PLANES];
        let mut raw = Device::describe(buffers, 0, MAX_PLANES, &mut planes);
        self.call(vidioc::VIDIOC_DQBUF, &mut raw)?;
        let seconds = Duration::from_secs(u64::try_from(raw.timestamp.tv_sec).unwrap_or(0));
        let micros = Duration::from_micros(u64::try_from(raw.timestamp.tv_usec).unwrap_or(0));
        let mut dequeued = Dequeued {
            index: raw.index,
            flags: raw.flags,
            sequence: raw.sequence,
            timestamp: seconds.saturating_add(micros),
            planes: 1,
            plane: Default::default(),
        };
        match buffers {
            BufferType::Single => {
                dequeued.plane[0] = Used { start: 0, end: raw.bytesused, length: raw.length };
            }
            BufferType::Multi => {
                dequeued.planes = raw.length;
                for (to, from) in dequeued.plane.iter_mut().zip(&planes).take(raw.length as usize) {
                    *to = Used { start: from.data_offset, end: from.bytesused, length: from.length };
                }
            }
        }
        Ok(dequeued)
    }

    fn stream_on(&self, buffers: BufferType) -> Answer<()> {
        self.call(vidioc::VIDIOC_STREAMON, &mut (type_of(buffers) as i32))
    }

    fn stream_off(&self, buffers: BufferType) -> Answer<()> {
        self.call(vidioc::VIDIOC_STREAMOFF, &mut (type_of(buffers) as i32))
    }

    fn wait(&self, time: Duration) -> Answer<Ready> {
        let mut files = [PollFd::new(&self.file, PollFlags::IN | PollFlags::PRI)];
        let time = Timespec { tv_sec: time.as_secs().min(3600) as _, tv_nsec: time.subsec_nanos() as _ };
        poll(&mut files, Some(&time))?;
        let said = files[0].revents();
        Ok(Ready {
            picture: said.contains(PollFlags::IN),
            event: said.contains(PollFlags::PRI),
            error: said.contains(PollFlags::ERR),
            gone: said.intersects(PollFlags::HUP | PollFlags::NVAL),
        })
    }
}

fn read_format(buffers: BufferType, raw: &v4l2_format) -> Format {
    match buffers {
        BufferType::Single => {
            // SAFETY: the union's bytes are all initialised and the member is integers alone.
            let (pix, encoding) = unsafe { (raw.fmt.pix, raw.fmt.pix.__bindgen_anon_1.ycbcr_enc) };
            // Old drivers know nothing of what follows this mark.
            let extended = pix.priv_ == V4L2_PIX_FMT_PRIV_MAGIC;
            Format {
                width: pix.width,
                height: pix.height,
                fourcc: FourCc(pix.pixelformat),
                field: pix.field,
                colorspace: pix.colorspace,
                encoding: if extended { encoding } else { 0 },
                quantization: if extended { pix.quantization } else { 0 },
                planes: 1,
                plane: [
                    PlaneFormat { stride: pix.bytesperline, size: pix.sizeimage },
                    PlaneFormat::default(),
                ],
            }
        }
        BufferType::Multi => {
            // SAFETY: the union's bytes are all initialised and the member is integers alone. It is packed: fields are
            // copied, never borrowed.
            let (pix, encoding) = unsafe { (raw.fmt.pix_mp, raw.fmt.pix_mp.__bindgen_anon_1.ycbcr_enc) };
            let planes = pix.plane_fmt;
            let plane = |index: usize| {
                planes.get(index).map_or(PlaneFormat::default(), |plane| PlaneFormat {
                    stride: plane.bytesperline,
                    size: plane.sizeimage,
                })
            };
            Format {
                width: pix.width,
                height: pix.height,
                fourcc: FourCc(pix.pixelformat),
                field: pix.field,
                colorspace: pix.colorspace,
                encoding: encoding.into(),
                quantization: pix.quantization.into(),
                planes: pix.num_planes.into(),
                plane: [plane(0), plane(1)],
            }
        }
    }
}

fn write_format(buffers: BufferType, format: &Format) -> v4l2_format {
    let mut raw = v4l2_format::zeroed();
    raw.type_ = type_of(buffers);
    match buffers {
        BufferType::Single => {
            // SAFETY: the union's bytes are all initialised and the member is integers alone.
            let mut pix = unsafe { raw.fmt.pix };
            (pix.width, pix.height) = (format.width, format.height);
            (pix.pixelformat, pix.field) = (format.fourcc.0, format.field);
            pix.priv_ = V4L2_PIX_FMT_PRIV_MAGIC;
            raw.fmt.pix = pix;
        }
        BufferType::Multi => {
            // SAFETY: the union's bytes are all initialised and the member is integers alone.
            let mut pix = unsafe { raw.fmt.pix_mp };
            (pix.width, pix.height) = (format.width, format.height);
            (pix.pixelformat, pix.field) = (format.fourcc.0, format.field);
            pix.num_planes = format.planes.min(VIDEO_MAX_PLANES) as u8;
            raw.fmt.pix_mp = pix;
        }
    }
    raw
}

fn read_timings(raw: &v4l2_dv_timings) -> Answer<Timings> {
    if { raw.type_ } != V4L2_DV_BT_656_1120 {
        return Err(Errno::RANGE);
    }
    // SAFETY: the union's bytes are all initialised and the member is integers alone. It is packed: fields are copied,
    // never borrowed.
    let bt = unsafe { raw.__bindgen_anon_1.bt };
    Ok(Timings {
        width: bt.width,
        height: bt.height,
        interlaced: bt.interlaced != V4L2_DV_PROGRESSIVE,
        polarities: bt.polarities,
        pixel_clock_hz: bt.pixelclock,
        horizontal: [bt.hfrontporch, bt.hsync, bt.hbackporch],
        vertical: [bt.vfrontporch, bt.vsync, bt.vbackporch],
        second_field: [bt.il_vfrontporch, bt.il_vsync, bt.il_vbackporch],
        standards: bt.standards,
        flags: bt.flags,
        picture_aspect: fraction(bt.picture_aspect),
        cea861_vic: bt.cea861_vic,
        hdmi_vic: bt.hdmi_vic,
    })
}

fn write_timings(timings: &Timings) -> v4l2_bt_timings {
    let mut bt = v4l2_bt_timings::zeroed();
    (bt.width, bt.height) = (timings.width, timings.height);
    bt.interlaced = if timings.interlaced { V4L2_DV_INTERLACED } else { V4L2_DV_PROGRESSIVE };
    bt.polarities = timings.polarities;
    bt.pixelclock = timings.pixel_clock_hz;
    [bt.hfrontporch, bt.hsync, bt.hbackporch] = timings.horizontal;
    [bt.vfrontporch, bt.vsync, bt.vbackporch] = timings.vertical;
    [bt.il_vfrontporch, bt.il_vsync, bt.il_vbackporch] = timings.second_field;
    (bt.standards, bt.flags) = (timings.standards, timings.flags);
    let Fraction(numerator, denominator) = timings.picture_aspect;
    bt.picture_aspect = v4l2_fract { numerator, denominator };
    (bt.cea861_vic, bt.hdmi_vic) = (timings.cea861_vic, timings.hdmi_vic);
    bt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_those_of_the_kernel() {
        assert_eq!(S_DV_TIMINGS, 0xC084_5657);
        assert_eq!(G_DV_TIMINGS, 0xC084_5658);
        assert_eq!(DQEVENT, 0x8088_5659);
        assert_eq!(SUBSCRIBE_EVENT, 0x4020_565A);
        assert_eq!(QUERY_DV_TIMINGS, 0x8084_5663);
        assert_eq!(vidioc::VIDIOC_QUERYCAP, 0x8068_5600);
        assert_eq!(vidioc::VIDIOC_S_FMT, 0xC0D0_5605);
        assert_eq!(vidioc::VIDIOC_QBUF, 0xC058_560F);
        assert_eq!(vidioc::VIDIOC_DQBUF, 0xC058_5611);
    }

    #[test]
    fn formats_and_timings_come_back_as_they_went() {
        let format =
            Format { width: 1280, height: 720, fourcc: FourCc::new(b"NM12"), field: 1, ..Format::default() };
        for (buffers, planes) in [(BufferType::Single, 1), (BufferType::Multi, 2)] {
            let format = Format { planes, ..format };
            assert_eq!(read_format(buffers, &write_format(buffers, &format)), format);
        }
        let timings = Timings {
            width: 1920,
            height: 1080,
            interlaced: true,
            polarities: 3,
            pixel_clock_hz: 148_500_000,
            horizontal: [88, 44, 148],
            vertical: [4, 5, 36],
            second_field: [1, 2, 3],
            standards: 1,
            flags: 2,
            picture_aspect: Fraction(16, 9),
            cea861_vic: 16,
            hdmi_vic: 4,
        };
        let mut raw = v4l2_dv_timings::zeroed();
        raw.__bindgen_anon_1.bt = write_timings(&timings);
        assert_eq!(read_timings(&raw), Ok(timings));
        assert_eq!(timings.to_string(), "1920×1080i59.68");
    }

    #[test]
    fn what_is_no_video_device_refuses() {
        let device = Linux.open(Path::new("/dev/null")).unwrap();
        assert_eq!(device.capabilities(), Err(Errno::NOTTY));
        assert!(device.dequeue(BufferType::Multi).is_err());
        assert_eq!(Linux.open(Path::new("/dev/video-none")).unwrap_err(), Errno::NOENT);
        assert_eq!(Linux.open(Path::new("/dev/nul\0l")).unwrap_err(), Errno::INVAL);
    }
}
