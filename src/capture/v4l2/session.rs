//! An open camera: its input, its signal, and how a stream is made of what it offers.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;
use v4l::v4l_sys::*;

use super::colour::colour;
use super::facts::MAX_LISTED;
use super::kernel::*;
use super::layout::Layout;
use super::negotiate::{Choice, Offer, Offered, Wanted, choose, pixel_format, sizes_to_try, summary};
use super::queue::{Broken, Queue};
use crate::call::{CallError, ask};
use crate::capture::live::Why;
use crate::frame::{Matrix, PixelFormat, Range};

/// Events that are taken at once, at most.
const MAX_EVENTS: usize = 16;

/// What keeps pictures from coming.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The cause, as a person is told.
    pub why: Why,
    /// One line.
    pub detail: String,
    pub(crate) remedy: Remedy,
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Start the stream anew.
    Restart,
    /// Ask the input what it receives, and negotiate again.
    Renegotiate,
    /// Close the device, and open it again.
    Reopen,
}

impl Trouble {
    pub(crate) fn new(why: Why, remedy: Remedy, detail: String) -> Trouble {
        Trouble { why, detail, remedy }
    }

    /// A call that failed while a device was looked for or set up.
    pub(crate) fn refused(name: &Path, refused: CallError) -> Trouble {
        let why = match refused.errno {
            Errno::NODEV | Errno::NXIO => Why::Unplugged,
            Errno::NOENT => Why::NoDevice,
            Errno::ACCESS | Errno::PERM => Why::Denied,
            Errno::BUSY => Why::Busy,
            Errno::NOTTY if refused.call == "VIDIOC_QUERYCAP" => Why::Unsuitable,
            Errno::INVAL if refused.call == "VIDIOC_REQBUFS" => Why::Unsuitable,
            _ => Why::Failing,
        };
        let hint = match (refused.call, refused.errno) {
            ("VIDIOC_STREAMON", Errno::NOSPC) => {
                ": the USB bus has too little bandwidth for this size and rate"
            }
            ("VIDIOC_REQBUFS", Errno::INVAL) => ": the driver has no memory-mapped buffers",
            _ => "",
        };
        Trouble::new(why, Remedy::Reopen, format!("{}: {refused}{hint}", name.display()))
    }

    /// A queue that broke: the stream is started anew unless the device is gone.
    pub(crate) fn broken(name: &Path, broken: Broken) -> Trouble {
        match broken {
            Broken::Refused(refused) => {
                let trouble = Trouble::refused(name, refused);
                let remedy = if trouble.why == Why::Unplugged { Remedy::Reopen } else { Remedy::Restart };
                Trouble { remedy, ..trouble }
            }
            Broken::Driver(words) => {
                Trouble::new(Why::Failing, Remedy::Restart, format!("{}: {words}", name.display()))
            }
        }
    }
}

/// A device that was opened and captures.
pub(crate) struct Session<K> {
    pub kernel: K,
    /// By which it was opened.
    pub name: PathBuf,
    capabilities: Capabilities,
    pub buffers: BufferType,
    input: Option<InputAt>,
    /// Held by whatever of the device is mapped.
    mapped: Arc<()>,
}

#[derive(Clone, Copy)]
struct InputAt {
    index: u32,
    /// Takes digital video: has timings.
    digital: bool,
    /// Its status says something about a signal.
    watched: bool,
    events: bool,
}

/// What a driver granted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Granted {
    pub layout: Layout,
    /// `None`: the driver does not say.
    pub rate_hz: Option<f64>,
    /// What the input received when it was set up.
    pub timings: Option<Timings>,
    /// One line for the log.
    pub words: String,
}

/// Opens the camera that is wanted; of several, the one that had the name `known` before, else the first that captures.
pub(crate) fn open<S: System>(
    system: &mut S,
    wanted: &Wanted,
    known: Option<&Path>,
) -> Result<Session<S::Kernel>, Trouble> {
    if let Some(device) = &wanted.device {
        return open_named(system, wanted, Path::new(device));
    }
    if let Some(session) = known.and_then(|name| open_named(system, wanted, name).ok()) {
        return Ok(session);
    }
    // A camera that is there and cannot be had says more than a device that is none.
    let mut first = None;
    for node in system.nodes().into_iter().take(MAX_LISTED as usize) {
        match open_named(system, wanted, &node) {
            Ok(session) if session.offers_any(wanted) => return Ok(session),
            Ok(_) => {}
            Err(trouble) if trouble.why == Why::Unsuitable => {}
            Err(trouble) => first = first.or(Some(trouble)),
        }
    }
    let none = || Trouble::new(Why::NoDevice, Remedy::Reopen, "no video capture device found".into());
    Err(first.unwrap_or_else(none))
}

fn open_named<S: System>(
    system: &mut S,
    wanted: &Wanted,
    name: &Path,
) -> Result<Session<S::Kernel>, Trouble> {
    let refused = |refused| Trouble::refused(name, refused);
    let kernel = ask("open", || system.open(name)).map_err(refused).map_err(|trouble| Trouble {
        // A node without a driver behind it.
        why: if trouble.why == Why::Unplugged { Why::NoDevice } else { trouble.why },
        ..trouble
    })?;
    let capabilities = ask("VIDIOC_QUERYCAP", || kernel.capabilities()).map_err(refused)?;
    let unsuitable =
        |words: &str| Trouble::new(Why::Unsuitable, Remedy::Reopen, format!("{}: {words}", name.display()));
    let buffers = match capabilities.flags {
        flags if flags & V4L2_CAP_VIDEO_CAPTURE_MPLANE != 0 => BufferType::Multi,
        flags if flags & V4L2_CAP_VIDEO_CAPTURE != 0 => BufferType::Single,
        _ => return Err(unsuitable("is not a video capture device")),
    };
    if capabilities.flags & V4L2_CAP_STREAMING == 0 {
        return Err(unsuitable("does not support streaming"));
    }
    let mut session =
        Session { kernel, name: name.into(), capabilities, buffers, input: None, mapped: Arc::default() };
    session.select_input(wanted.input)?;
    Ok(session)
}

/// Whether a camera could be had as it is wanted, found out without changing anything: another stream of it goes on.
///
/// Errors: it is not there, it cannot be opened, or it has nothing that is wanted. That it gives no signal is none.
pub fn examine<S: System>(system: &mut S, wanted: &Wanted) -> Result<(), Trouble> {
    let session = open(system, &Wanted { input: None, ..wanted.clone() }, None)?;
    let timings = session.signal().ok().flatten();
    let (offers, offered) = session.offers(wanted, timings.as_ref())?;
    // The source decides on the size.
    let sizes = if timings.is_some() { Vec::new() } else { wanted.sizes.clone() };
    match choose(&Wanted { sizes, ..wanted.clone() }, &offers) {
        Some(_) => Ok(()),
        None => Err(session
            .unsuitable(format!("has none of the wanted formats and sizes; it has {}", summary(&offered)))),
    }
}

impl<K: Kernel> Session<K> {
    fn refused(&self, refused: CallError) -> Trouble {
        Trouble::refused(&self.name, refused)
    }

    fn unsuitable(&self, words: String) -> Trouble {
        Trouble::new(Why::Unsuitable, Remedy::Reopen, format!("{}: {words}", self.name.display()))
    }

    /// What a call gives that drivers may do without; an error only if the device is gone.
    fn optional<T>(&self, answer: Result<T, CallError>) -> Result<Option<T>, Trouble> {
        match answer {
            Ok(value) => Ok(Some(value)),
            Err(refused) if matches!(refused.errno, Errno::NODEV | Errno::NXIO) => Err(self.refused(refused)),
            Err(refused) => {
                log::debug!("{}: {refused}", self.name.display());
                Ok(None)
            }
        }
    }

    fn select_input(&mut self, wanted: Option<u32>) -> Result<(), Trouble> {
        let current = self.optional(ask("VIDIOC_G_INPUT", || self.kernel.input()))?;
        let index = match (wanted, current) {
            (Some(wanted), current) if current != Some(wanted) => {
                ask("VIDIOC_S_INPUT", || self.kernel.set_input(wanted)).map_err(|refused| {
                    match refused.errno {
                        Errno::INVAL | Errno::NOTTY => self.unsuitable(format!("has no input {wanted}")),
                        _ => self.refused(refused),
                    }
                })?;
                Some(wanted)
            }
            (_, current) => current,
        };
        let Some(index) = index else { return Ok(()) };
        let input = self.optional(ask("VIDIOC_ENUMINPUT", || self.kernel.input_at(index)))?;
        let Some(input) = input else { return Ok(()) };
        let digital = input.capabilities & V4L2_IN_CAP_DV_TIMINGS != 0;
        let watched = input.capabilities & (V4L2_IN_CAP_DV_TIMINGS | V4L2_IN_CAP_STD) != 0;
        let subscribe = || self.kernel.subscribe_source_change(index);
        let events = digital && self.optional(ask("VIDIOC_SUBSCRIBE_EVENT", subscribe))?.is_some();
        self.input = Some(InputAt { index, digital, watched, events });
        Ok(())
    }

    /// Pictures of it are lent, or a stream of it is up: the device stays taken even when it is closed.
    pub fn is_mapped(&self) -> bool {
        Arc::strong_count(&self.mapped) > 1
    }

    /// Whether its input can lose its signal.
    pub fn is_watched(&self) -> bool {
        self.input.is_some_and(|input| input.watched)
    }

    /// What the input receives; `None` where it has no timings.
    ///
    /// Errors: there is no cable, no signal, or none that can be received; or the device is gone.
    pub fn signal(&self) -> Result<Option<Timings>, Trouble> {
        let Some(input) = self.input.filter(|input| input.watched) else { return Ok(None) };
        let asked = self.optional(ask("VIDIOC_ENUMINPUT", || self.kernel.input_at(input.index)))?;
        let status = asked.map_or(0, |input| input.status);
        let lost = |why: Why, detail: String| {
            let detail = format!("{}: input {}: {detail}", self.name.display(), input.index);
            Err(Trouble::new(why, Remedy::Renegotiate, detail))
        };
        let no_signal = |detail: String| {
            let unpowered = status & V4L2_IN_ST_NO_POWER != 0;
            // Drivers without the control say nothing about cables.
            if unpowered || input.digital && ask("VIDIOC_G_CTRL", || self.kernel.cables()) == Ok(0) {
                lost(Why::NoCable, detail)
            } else {
                lost(Why::NoSignal, detail)
            }
        };
        if status & (V4L2_IN_ST_NO_POWER | V4L2_IN_ST_NO_SIGNAL) != 0 {
            return no_signal(super::facts::status(status).into());
        }
        let unlocked = V4L2_IN_ST_NO_H_LOCK | V4L2_IN_ST_NO_V_LOCK | V4L2_IN_ST_NO_SYNC;
        if status & unlocked != 0 {
            return lost(Why::NoSync, super::facts::status(status).into());
        }
        if !input.digital {
            return Ok(None);
        }
        match ask("VIDIOC_QUERY_DV_TIMINGS", || self.kernel.query_timings()) {
            Ok(timings) if timings.width == 0 || timings.height == 0 => {
                no_signal(format!("timings of {timings}"))
            }
            Ok(timings) => Ok(Some(timings)),
            Err(refused) => match refused.errno {
                Errno::NOLINK => no_signal(refused.to_string()),
                Errno::NOLCK => lost(Why::NoSync, format!("no lock on the signal: {refused}")),
                Errno::RANGE => lost(Why::NoSync, format!("timings out of range: {refused}")),
                _ => self.optional(Err(refused)),
            },
        }
    }

    /// Takes events; whether one says that the source is another one.
    pub fn source_changed(&self) -> Result<bool, Trouble> {
        let mut changed = false;
        if self.input.is_some_and(|input| input.events) {
            for _ in 0..MAX_EVENTS {
                match ask("VIDIOC_DQEVENT", || self.kernel.event()) {
                    Ok(notice) => changed |= notice == Notice::SourceChanged,
                    Err(refused) => {
                        self.optional::<Notice>(Err(refused))?;
                        break;
                    }
                }
            }
        }
        Ok(changed)
    }

    fn formats(&self) -> Result<Vec<FourCc>, Trouble> {
        self.list("VIDIOC_ENUM_FMT", |index| self.kernel.format_at(self.buffers, index))
    }

    fn list<T>(&self, call: &'static str, at: impl Fn(u32) -> Answer<T>) -> Result<Vec<T>, Trouble> {
        let mut all = Vec::new();
        for index in 0..MAX_LISTED {
            match ask(call, || at(index)) {
                Ok(entry) => all.push(entry),
                Err(refused) => {
                    self.optional::<T>(Err(refused))?;
                    break;
                }
            }
        }
        Ok(all)
    }

    fn offers_any(&self, wanted: &Wanted) -> bool {
        let takes =
            |fourcc: &FourCc| pixel_format(*fourcc).is_some_and(|format| wanted.formats.contains(&format));
        self.formats().is_ok_and(|formats| formats.iter().any(takes))
    }

    /// All that the driver lists of what the profile could take, and all that it lists.
    fn offers(
        &self,
        wanted: &Wanted,
        timings: Option<&Timings>,
    ) -> Result<(Vec<Offer>, Vec<Offered>), Trouble> {
        let (mut offers, mut offered) = (Vec::new(), Vec::new());
        for fourcc in self.formats()? {
            if let Some(timings) = timings {
                let size = (timings.width, timings.height);
                offered.push((fourcc, vec![Sizes::One(size)]));
                offers.push(Offer { fourcc, size, intervals: Vec::new() });
                continue;
            }
            let sizes = self.list("VIDIOC_ENUM_FRAMESIZES", |index| self.kernel.size_at(fourcc, index))?;
            let takes = pixel_format(fourcc).is_some_and(|format| wanted.formats.contains(&format));
            let anything = [Sizes::Range { min: (1, 1), max: (u32::MAX, u32::MAX), step: (1, 1) }];
            let known = if sizes.is_empty() { &anything[..] } else { &sizes[..] };
            for size in sizes_to_try(&wanted.sizes, known).into_iter().filter(|_| takes) {
                let call = "VIDIOC_ENUM_FRAMEINTERVALS";
                let intervals = self.list(call, |index| self.kernel.interval_at(fourcc, size, index))?;
                offers.push(Offer { fourcc, size, intervals });
            }
            offered.push((fourcc, sizes));
        }
        Ok((offers, offered))
    }

    /// Settles format, size and rate; the device must have no buffers.
    fn negotiate(&self, wanted: &Wanted) -> Result<Granted, Trouble> {
        let timings = self.signal()?;
        if let Some(timings) = &timings {
            self.set_timings(timings)?;
        }
        let (offers, offered) = self.offers(wanted, timings.as_ref())?;
        // The source decides on the size.
        let by_source = Wanted { sizes: Vec::new(), ..wanted.clone() };
        let wanted = if timings.is_some() { &by_source } else { wanted };
        let choice = choose(wanted, &offers).ok_or_else(|| {
            self.unsuitable(format!("has none of the wanted formats and sizes; it has {}", summary(&offered)))
        })?;
        let format = self.set_format(&choice)?;
        let named = || format!("{}×{} {}", format.width, format.height, format.fourcc);
        let pixel = pixel_format(format.fourcc).filter(|pixel| wanted.formats.contains(pixel));
        let size_fits = wanted.sizes.is_empty() || wanted.sizes.contains(&(format.width, format.height));
        let Some(pixel) = pixel.filter(|_| size_fits) else {
            let (width, height) = choice.size;
            return Err(self.unsuitable(format!(
                "asked for {width}×{height} {}, the driver gives {}",
                choice.fourcc,
                named()
            )));
        };
        let (colour, unknown) = colour(&format, pixel);
        let layout = Layout::new(&format, colour).map_err(|words| self.unsuitable(words))?;
        let interlaced = self.check_field(&format)?;
        let rate_hz = match &timings {
            Some(timings) => timings.rate_hz(),
            None => self.set_rate(wanted, &choice)?,
        };
        let words = self.words(&choice, &format, &layout, rate_hz, interlaced);
        if unknown {
            log::warn!(
                "{}: the colour description (space {}, encoding {}, range {}) is unknown; frames are read as {:?} {:?}",
                self.name.display(),
                format.colorspace,
                format.encoding,
                format.quantization,
                colour.matrix,
                colour.range
            );
        }
        Ok(Granted { layout, rate_hz, timings, words })
    }

    fn set_timings(&self, timings: &Timings) -> Result<(), Trouble> {
        let current = self.optional(ask("VIDIOC_G_DV_TIMINGS", || self.kernel.timings()))?;
        if current.is_some_and(|current| current.same(timings)) {
            return Ok(());
        }
        ask("VIDIOC_S_DV_TIMINGS", || self.kernel.set_timings(timings)).map_err(|refused| {
            match refused.errno {
                Errno::INVAL | Errno::RANGE => {
                    let detail = format!("{}: {refused}: {timings}", self.name.display());
                    Trouble::new(Why::NoSync, Remedy::Renegotiate, detail)
                }
                _ => self.refused(refused),
            }
        })
    }

    fn set_format(&self, choice: &Choice) -> Result<Format, Trouble> {
        let (width, height) = choice.size;
        let format = Format {
            width,
            height,
            fourcc: choice.fourcc,
            field: v4l2_field_V4L2_FIELD_NONE,
            planes: if choice.fourcc == FourCc::new(b"NM12") { 2 } else { 1 },
            ..Format::default()
        };
        ask("VIDIOC_S_FMT", || self.kernel.set_format(self.buffers, &format))
            .map_err(|refused| self.refused(refused))?;
        // What was answered is not always what is set.
        ask("VIDIOC_G_FMT", || self.kernel.format(self.buffers)).map_err(|refused| self.refused(refused))
    }

    /// Whether a picture is woven of two fields. Half pictures are none.
    fn check_field(&self, format: &Format) -> Result<bool, Trouble> {
        #[allow(non_upper_case_globals)]
        match format.field {
            v4l2_field_V4L2_FIELD_NONE | v4l2_field_V4L2_FIELD_ANY => Ok(false),
            v4l2_field_V4L2_FIELD_INTERLACED
            | v4l2_field_V4L2_FIELD_INTERLACED_TB
            | v4l2_field_V4L2_FIELD_INTERLACED_BT => Ok(true),
            field => Err(self.unsuitable(format!(
                "gives {}×{} in separate fields (V4L2 field {field}); set the source to progressive",
                format.width, format.height
            ))),
        }
    }

    fn set_rate(&self, wanted: &Wanted, choice: &Choice) -> Result<Option<f64>, Trouble> {
        let settable = self.optional(ask("VIDIOC_G_PARM", || self.kernel.interval(self.buffers)))?;
        let Some(Some(_)) = settable else { return Ok(None) };
        let interval = choice.interval.unwrap_or_else(|| Fraction::of_rate(wanted.rate_hz));
        let set = || self.kernel.set_interval(self.buffers, interval);
        Ok(self.optional(ask("VIDIOC_S_PARM", set))?.and_then(Fraction::rate_hz))
    }

    fn words(
        &self,
        choice: &Choice,
        format: &Format,
        layout: &Layout,
        rate_hz: Option<f64>,
        interlaced: bool,
    ) -> String {
        let Capabilities { card, driver, .. } = &self.capabilities;
        let mut words = format!(
            "{} ({card}, {driver}): {}×{} {}",
            self.name.display(),
            format.width,
            format.height,
            format.fourcc
        );
        // Writing to a string cannot fail.
        let _ = match rate_hz {
            Some(rate) if (rate - rate.round()).abs() < 0.005 => write!(words, ", {rate:.0} a second"),
            Some(rate) => write!(words, ", {rate:.2} a second"),
            None => write!(words, ", at the driver's rate"),
        };
        let matrix = match layout.colour.matrix {
            _ if matches!(layout.format, PixelFormat::Rgb24 | PixelFormat::Bgr24) => "RGB",
            // Says in its own headers how it is to be read.
            _ if layout.format == PixelFormat::Mjpeg => "JPEG",
            Matrix::Bt601 => "BT.601",
            Matrix::Bt709 => "BT.709",
            Matrix::Bt2020 => "BT.2020",
        };
        let _ = match layout.colour.range {
            _ if layout.format == PixelFormat::Mjpeg => Ok(()),
            Range::Full => write!(words, ", {matrix} full range"),
            Range::Limited => write!(words, ", {matrix} limited range"),
        };
        if interlaced {
            words.push_str(", interlaced");
        }
        if (format.fourcc, (format.width, format.height)) != (choice.fourcc, choice.size) {
            let (width, height) = choice.size;
            let _ = write!(words, "; asked for {width}×{height} {}", choice.fourcc);
        }
        words
    }

    /// Settles what the pictures are like and starts them.
    pub fn start(&self, wanted: &Wanted) -> Result<(Queue<K::Memory>, Granted), Trouble> {
        let granted = self.negotiate(wanted)?;
        let queue = Queue::start(&self.kernel, self.buffers, granted.layout, wanted.buffers, &self.mapped)
            .map_err(|broken| Trouble { remedy: Remedy::Reopen, ..Trouble::broken(&self.name, broken) })?;
        Ok((queue, granted))
    }
}
