//! A graphics card as Linux has it: a file, through the crates drm and drm-ffi.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use drm::control::Device as _;
use drm::control::connector::Interface;
use drm::{ClientCapability, Device as _};
use drm_ffi::{gem, mode};
use memmap2::{MmapMut, MmapOptions};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::ioctl::{Updater, ioctl, opcode};

use super::choose::{self, Candidate};
use super::events::{Clocks, events};
use super::gpu::{
    BufferMemory, Commit, Connector, Dumb, Flip, FourCc, Framebuffer, Gpu, Mode, Object, Plane, PlaneKind,
    Property, Saved, Status,
};
use super::request::Request;
use crate::call::{CallError, CallResult};
use crate::fault::{Exit, Fault};

/// An open card. Closing it gives back all that it holds.
pub struct Card {
    file: File,
    /// Without links: `/dev/dri/card1`.
    path: PathBuf,
    driver: String,
}

impl AsFd for Card {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
impl drm::Device for Card {}
impl drm::control::Device for Card {}

impl Card {
    /// Opens a card. The first program to do so is its master.
    pub fn open(path: &Path) -> CallResult<Card> {
        let path = call("realpath", path.canonicalize())?;
        // Reading events never waits.
        let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(&path);
        let file = call("open", file)?;
        let mut card = Card { file, path, driver: String::new() };
        card.driver = call("DRM_IOCTL_VERSION", card.get_driver())?.name().to_string_lossy().into_owned();
        Ok(card)
    }

    /// The card of that path. Without one: the first that has the connector, one with a monitor at it if there is; without
    /// either, the first with a monitor, else the first with connectors. Errors have exit code 69.
    pub fn choose(path: Option<&Path>, connector: Option<&str>) -> Result<Card> {
        let fault = |message: String| Fault::new(Exit::Device, message);
        if let Some(path) = path {
            return Card::open(path).map_err(|error| fault(cannot_open(path, &error)));
        }
        let (mut cards, mut candidates, mut failures) = (Vec::new(), Vec::new(), Vec::new());
        for path in paths() {
            match Card::open(&path) {
                Ok(mut card) => {
                    candidates.push(Candidate { connectors: card.sockets() });
                    cards.push(card);
                }
                Err(error) => failures.push(cannot_open(&path, &error)),
            }
        }
        match choose::card(&candidates, connector) {
            Some(index) if index < cards.len() => Ok(cards.swap_remove(index)),
            _ if !failures.is_empty() => Err(fault(failures.join("; "))),
            _ => Err(fault("no graphics card with a connector under /dev/dri; load the driver".into())),
        }
    }

    /// Name and status of each connector; none for a card that has nothing to do with monitors.
    fn sockets(&mut self) -> Vec<(String, Status)> {
        let ids = Gpu::connectors(self).unwrap_or_default();
        let connectors = ids.into_iter().filter_map(|id| self.connector(id, false).ok());
        connectors.map(|connector| (connector.name, connector.status)).collect()
    }

    fn encoders_crtcs(&self, encoders: &[u32]) -> CallResult<u32> {
        let mut possible = 0;
        for &encoder in encoders {
            let found = mode::get_encoder(self.as_fd(), encoder);
            possible |= call("DRM_IOCTL_MODE_GETENCODER", found)?.possible_crtcs;
        }
        Ok(possible)
    }

    fn property(&self, id: u32, value: u64) -> CallResult<Property> {
        let (mut values, mut choices) = (Vec::new(), Vec::new());
        let info = mode::get_property(self.as_fd(), id, Some(&mut values), Some(&mut choices));
        let info = call("DRM_IOCTL_MODE_GETPROPERTY", info)?;
        let choice = |choice: &drm_ffi::drm_mode_property_enum| (choice.value, text(&choice.name));
        Ok(Property {
            id,
            name: text(&info.name),
            value,
            immutable: info.flags & drm_ffi::DRM_MODE_PROP_IMMUTABLE != 0,
            most: values.get(1).copied().unwrap_or(0),
            choices: choices.iter().map(choice).collect(),
        })
    }
}

/// Gives a call's error its name.
fn call<T>(name: &'static str, outcome: io::Result<T>) -> CallResult<T> {
    outcome.map_err(|error| CallError::of(name, &error))
}

fn cannot_open(path: &Path, error: &CallError) -> String {
    let advice = match error.errno {
        Errno::ACCESS | Errno::PERM => "; add this user to the group video",
        _ => "",
    };
    format!("cannot open {}: {}{advice}", path.display(), io::Error::from(error.errno))
}

/// A name of the kernel's, which ends with 0.
fn text(name: &[core::ffi::c_char]) -> String {
    let bytes: Vec<u8> = name.iter().map(|&letter| letter as u8).take_while(|&letter| letter != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A dumb buffer's memory, mapped once.
pub struct Mapped(MmapMut);

impl BufferMemory for Mapped {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset.saturating_add(bytes.len());
        if let Some(memory) = self.0.get_mut(offset..end) {
            memory.copy_from_slice(bytes);
        }
    }
    fn zero(&mut self, offset: usize, count: usize) {
        if let Some(memory) = self.0.get_mut(offset..offset.saturating_add(count)) {
            memory.fill(0);
        }
    }
}

impl Gpu for Card {
    type Memory = Mapped;

    fn path(&self) -> &Path {
        &self.path
    }
    fn driver(&self) -> &str {
        &self.driver
    }

    fn enable_atomic(&mut self) -> CallResult<()> {
        let set = |capability| call("DRM_IOCTL_SET_CLIENT_CAP", self.set_client_capability(capability, true));
        set(ClientCapability::UniversalPlanes)?;
        set(ClientCapability::Atomic)
    }

    fn acquire_master(&mut self) -> CallResult<()> {
        call("DRM_IOCTL_SET_MASTER", self.acquire_master_lock())
    }

    fn lease(&mut self, objects: &[u32]) -> CallResult<Card> {
        let flags = (libc::O_CLOEXEC | libc::O_NONBLOCK).unsigned_abs();
        let lease = call("DRM_IOCTL_MODE_CREATE_LEASE", mode::create_lease(self.as_fd(), objects, flags))?;
        // SAFETY: the kernel has just made this descriptor for us, and nobody else has it.
        let file = unsafe { File::from_raw_fd(lease.fd as RawFd) };
        Ok(Card { file, path: self.path.clone(), driver: self.driver.clone() })
    }

    fn connectors(&mut self) -> CallResult<Vec<u32>> {
        let mut ids = Vec::new();
        call(
            "DRM_IOCTL_MODE_GETRESOURCES",
            mode::get_resources(self.as_fd(), None, None, Some(&mut ids), None),
        )?;
        Ok(ids)
    }

    fn connector(&mut self, id: u32, probe: bool) -> CallResult<Connector> {
        let (mut modes, mut encoders) = (Vec::new(), Vec::new());
        let info =
            mode::get_connector(self.as_fd(), id, None, None, Some(&mut modes), Some(&mut encoders), probe);
        let info = call("DRM_IOCTL_MODE_GETCONNECTOR", info)?;
        let interface = Interface::from(info.connector_type).as_str();
        Ok(Connector {
            id,
            name: format!("{interface}-{}", info.connector_type_id),
            status: match info.connection {
                1 => Status::Connected,
                2 => Status::Disconnected,
                _ => Status::Unknown,
            },
            modes: modes.into_iter().map(Mode).collect(),
            possible_crtcs: self.encoders_crtcs(&encoders)?,
        })
    }

    fn status(&mut self, connector: &Connector) -> CallResult<Status> {
        // The ioctl waits while the kernel asks monitors; the file does not.
        let card = self.path.file_name().unwrap_or_default().to_string_lossy();
        match std::fs::read(format!("/sys/class/drm/{card}-{}/status", connector.name)).as_deref() {
            Ok(b"connected\n") => Ok(Status::Connected),
            Ok(b"disconnected\n") => Ok(Status::Disconnected),
            Ok(b"unknown\n") => Ok(Status::Unknown),
            _ => Ok(self.connector(connector.id, false)?.status),
        }
    }

    fn crtcs(&mut self) -> CallResult<Vec<u32>> {
        let mut ids = Vec::new();
        call(
            "DRM_IOCTL_MODE_GETRESOURCES",
            mode::get_resources(self.as_fd(), None, Some(&mut ids), None, None),
        )?;
        Ok(ids)
    }

    fn planes(&mut self) -> CallResult<Vec<Plane>> {
        let mut ids = Vec::new();
        call("DRM_IOCTL_MODE_GETPLANERESOURCES", mode::get_plane_resources(self.as_fd(), Some(&mut ids)))?;
        let mut planes = Vec::new();
        for id in ids {
            let mut formats = Vec::new();
            let info = mode::get_plane(self.as_fd(), id, Some(&mut formats));
            let info = call("DRM_IOCTL_MODE_GETPLANE", info)?;
            let kind =
                self.properties(Object::Plane(id))?.into_iter().find(|property| property.name == "type");
            planes.push(Plane {
                id,
                kind: match kind.map(|kind| kind.value as u32) {
                    Some(drm_ffi::DRM_PLANE_TYPE_PRIMARY) => PlaneKind::Primary,
                    Some(drm_ffi::DRM_PLANE_TYPE_CURSOR) => PlaneKind::Cursor,
                    _ => PlaneKind::Overlay,
                },
                formats: formats.into_iter().map(FourCc).collect(),
                possible_crtcs: info.possible_crtcs,
            });
        }
        Ok(planes)
    }

    fn properties(&mut self, of: Object) -> CallResult<Vec<Property>> {
        let (id, kind) = match of {
            Object::Connector(id) => (id, drm_ffi::DRM_MODE_OBJECT_CONNECTOR),
            Object::Crtc(id) => (id, drm_ffi::DRM_MODE_OBJECT_CRTC),
            Object::Plane(id) => (id, drm_ffi::DRM_MODE_OBJECT_PLANE),
        };
        let (mut ids, mut values) = (Vec::new(), Vec::new());
        let found = mode::get_properties(self.as_fd(), id, kind, Some(&mut ids), Some(&mut values));
        call("DRM_IOCTL_MODE_OBJ_GETPROPERTIES", found)?;
        ids.into_iter().zip(values).map(|(id, value)| self.property(id, value)).collect()
    }

    fn create_dumb(&mut self, width: u32, height: u32) -> CallResult<Dumb<Mapped>> {
        let made = mode::dumbbuffer::create(self.as_fd(), width, height, 32, 0);
        let made = call("DRM_IOCTL_MODE_CREATE_DUMB", made)?;
        let mapped = (|| {
            let place = mode::dumbbuffer::map(self.as_fd(), made.handle, 0, 0);
            let offset = call("DRM_IOCTL_MODE_MAP_DUMB", place)?.offset;
            let too_large = |_| CallError { call: "mmap", errno: Errno::OVERFLOW };
            let length = usize::try_from(made.size).map_err(too_large)?;
            // SAFETY: the kernel has reserved this range of the card's file for the buffer, of which this is the only
            // mapping; the display hardware only reads it.
            call("mmap", unsafe { MmapOptions::new().offset(offset).len(length).map_mut(&self.file) })
        })();
        match mapped {
            Ok(memory) => Ok(Dumb { handle: made.handle, stride: made.pitch, memory: Mapped(memory) }),
            Err(error) => {
                let _ = self.close_handle(made.handle);
                Err(error)
            }
        }
    }

    fn import(&mut self, memory: BorrowedFd<'_>) -> CallResult<u32> {
        Ok(call("DRM_IOCTL_PRIME_FD_TO_HANDLE", gem::fd_to_handle(self.as_fd(), memory))?.handle)
    }

    fn close_handle(&mut self, handle: u32) -> CallResult<()> {
        call("DRM_IOCTL_GEM_CLOSE", gem::close(self.as_fd(), handle)).map(|_| ())
    }

    fn add_framebuffer(&mut self, framebuffer: &Framebuffer) -> CallResult<u32> {
        let Framebuffer { width, height, format, handles, strides, offsets } = framebuffer;
        let made =
            mode::add_fb2(self.as_fd(), *width, *height, format.0, handles, strides, offsets, &[0; 4], 0);
        Ok(call("DRM_IOCTL_MODE_ADDFB2", made)?.fb_id)
    }

    fn remove_framebuffer(&mut self, id: u32) -> CallResult<()> {
        call("DRM_IOCTL_MODE_RMFB", mode::rm_fb(self.as_fd(), id))
    }

    fn create_mode_blob(&mut self, mode: &Mode) -> CallResult<u32> {
        const CALL: &str = "DRM_IOCTL_MODE_CREATEPROPBLOB";
        let unexpected = CallError { call: CALL, errno: Errno::PROTO };
        match call(CALL, self.create_property_blob(&mode.0))? {
            drm::control::property::Value::Blob(id) => u32::try_from(id).map_err(|_| unexpected),
            _ => Err(unexpected),
        }
    }

    fn destroy_blob(&mut self, id: u32) -> CallResult<()> {
        call("DRM_IOCTL_MODE_DESTROYPROPBLOB", self.destroy_property_blob(u64::from(id)))
    }

    fn commit(&mut self, request: &mut Request, how: Commit, serial: u64) -> CallResult<()> {
        let flags = match how {
            Commit::Test { modeset: false } => drm_ffi::DRM_MODE_ATOMIC_TEST_ONLY,
            Commit::Test { modeset: true } => {
                drm_ffi::DRM_MODE_ATOMIC_TEST_ONLY | drm_ffi::DRM_MODE_ATOMIC_ALLOW_MODESET
            }
            Commit::Flip => drm_ffi::DRM_MODE_ATOMIC_NONBLOCK | drm_ffi::DRM_MODE_PAGE_FLIP_EVENT,
            Commit::Modeset => drm_ffi::DRM_MODE_ATOMIC_ALLOW_MODESET,
        };
        let mut arguments = drm_ffi::drm_mode_atomic {
            flags,
            count_objs: request.objects.len() as u32,
            objs_ptr: request.objects.as_mut_ptr() as u64,
            count_props_ptr: request.counts.as_mut_ptr() as u64,
            props_ptr: request.properties.as_mut_ptr() as u64,
            prop_values_ptr: request.values.as_mut_ptr() as u64,
            reserved: 0,
            user_data: serial,
        };
        const ATOMIC: rustix::ioctl::Opcode =
            opcode::read_write::<drm_ffi::drm_mode_atomic>(drm_ffi::DRM_IOCTL_BASE, 0xBC);
        // SAFETY: DRM_IOCTL_MODE_ATOMIC takes this structure; its pointers are to `count_objs` objects and counts, and
        // to as many properties and values as the counts add up to (`Request::set` keeps it so), which outlive the call.
        let outcome = unsafe { ioctl(self.as_fd(), Updater::<ATOMIC, _>::new(&mut arguments)) };
        outcome.map_err(|errno| CallError { call: "DRM_IOCTL_MODE_ATOMIC", errno })
    }

    fn flips(&mut self, patience: Duration, done: &mut dyn FnMut(Flip)) -> CallResult<()> {
        let mut polled = [PollFd::new(&self.file, PollFlags::IN)];
        let patience =
            Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: patience.subsec_nanos().into() };
        match rustix::event::poll(&mut polled, Some(&patience)) {
            Ok(0) | Err(Errno::INTR) => return Ok(()),
            Ok(_) => {}
            Err(errno) => return Err(CallError { call: "poll", errno }),
        }
        let [polled] = &polled;
        if !polled.revents().contains(PollFlags::IN) {
            return Err(CallError { call: "poll", errno: Errno::NODEV });
        }
        let mut buffer = [0; 1024];
        let length = match rustix::io::read(&self.file, &mut buffer) {
            Ok(length) => length,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(errno) => return Err(CallError { call: "read", errno }),
        };
        let clock = Clocks::read();
        for event in events(buffer.get(..length).unwrap_or(&[])) {
            done(Flip { serial: event.serial, at: clock.instant(event.time) });
        }
        Ok(())
    }

    fn save(&mut self, crtc: u32) -> CallResult<Saved> {
        let info = call("DRM_IOCTL_MODE_GETCRTC", mode::get_crtc(self.as_fd(), crtc))?;
        let mut connectors = Vec::new();
        for id in Gpu::connectors(self)? {
            let properties = self.properties(Object::Connector(id))?;
            if properties
                .iter()
                .any(|property| property.name == "CRTC_ID" && property.value == u64::from(crtc))
            {
                connectors.push(id);
            }
        }
        Ok(Saved {
            crtc,
            mode: (info.mode_valid != 0).then_some(Mode(info.mode)),
            framebuffer: info.fb_id,
            position: (info.x, info.y),
            connectors,
        })
    }

    fn restore(&mut self, saved: &Saved) -> CallResult<()> {
        let Saved { crtc, mode, framebuffer, position: (x, y), connectors } = saved;
        const CALL: &str = "DRM_IOCTL_MODE_SETCRTC";
        let off =
            |card: &Card| call(CALL, mode::set_crtc(card.as_fd(), *crtc, 0, 0, 0, &[], None)).map(|_| ());
        match mode {
            Some(mode) if *framebuffer != 0 && !connectors.is_empty() => {
                let set = mode::set_crtc(self.as_fd(), *crtc, *framebuffer, *x, *y, connectors, Some(mode.0));
                call(CALL, set).map(|_| ()).or_else(|error| off(self).and(Err(error)))
            }
            _ => off(self),
        }
    }
}

/// `/dev/dri/card*`, by number.
pub fn paths() -> Vec<PathBuf> {
    let number = |path: &Path| path.file_name()?.to_str()?.strip_prefix("card")?.parse::<u32>().ok();
    let entries = std::fs::read_dir("/dev/dri").into_iter().flatten().flatten();
    let mut numbered: Vec<(u32, PathBuf)> =
        entries.map(|entry| entry.path()).filter_map(|path| Some((number(&path)?, path))).collect();
    numbered.sort();
    numbered.into_iter().map(|(_, path)| path).collect()
}
