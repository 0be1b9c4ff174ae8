//! The calls that the display makes.

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use polyp_edge::call::{CallError, CallResult};
use polyp_edge::display::kms::gpu::{
    BufferMemory, Commit, Connector, Dumb, Flip, FourCc, Framebuffer, Gpu, Mode, Object, Plane, Property,
    Request, Saved, Status,
};

use super::{
    Abilities, Backing, CRTCS, CURSOR, FakeGpu, Fb, Flips, OVERLAY, PRIMARY, SECOND, SOCKETS, Settings,
    State, errno,
};

/// How often a modeset looks whether the flip before it is done, and how often it does so before it goes on without.
const LOOKS_EVERY: Duration = Duration::from_millis(10);
const GIVES_UP_AFTER: usize = 1000;

/// A dumb buffer's memory.
pub struct FakeMemory(Arc<Mutex<Vec<u8>>>, FakeGpu);

impl BufferMemory for FakeMemory {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.0.lock().unwrap()[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.1.state().counts.written += bytes.len() as u64;
    }
    fn zero(&mut self, offset: usize, count: usize) {
        self.0.lock().unwrap()[offset..offset + count].fill(0);
        self.1.state().counts.written += count as u64;
    }
}

impl Gpu for FakeGpu {
    type Memory = FakeMemory;

    fn path(&self) -> &Path {
        Path::new("/dev/dri/card9")
    }
    fn driver(&self) -> &str {
        "fake"
    }
    fn now(&self) -> Instant {
        self.state().now
    }

    fn enable_atomic(&mut self) -> CallResult<()> {
        let mut state = self.state();
        state.step("enable_atomic")?;
        state.is_atomic = state.can.atomic;
        if state.can.atomic { Ok(()) } else { Err(errno("enable_atomic", libc::EOPNOTSUPP)) }
    }

    fn acquire_master(&mut self) -> CallResult<()> {
        let mut state = self.state();
        state.step("acquire_master")?;
        if state.is_taken {
            return Err(errno("acquire_master", libc::EBUSY));
        }
        if state.lessor.is_some() && !state.may_show() {
            return Err(errno("acquire_master", libc::EINVAL));
        }
        state.is_master = true;
        Ok(())
    }

    fn lease(&mut self, objects: &[u32]) -> CallResult<FakeGpu> {
        let (leased, on_runtime) = {
            let mut state = self.state();
            state.step("lease")?;
            if !state.may_show() {
                return Err(errno("lease", libc::EACCES));
            }
            let mut asked = objects.to_vec();
            asked.sort_unstable();
            if !state.can.second || asked != [SOCKETS[1], CRTCS[1], SECOND] {
                return Err(errno("lease", libc::EINVAL));
            }
            (state.can.clone(), state.on_runtime.is_some())
        };
        let second = if on_runtime { FakeGpu::on_runtime } else { FakeGpu::new };
        // One CRTC with planes of its own, whose numbers nobody compares with the others'.
        let second = second(Abilities { overlay: false, ..leased }, &[]);
        let mut state = self.state();
        {
            let socket = &state.sockets[1];
            let mut theirs = second.state();
            theirs.sockets.truncate(1);
            theirs.sockets[0].name.clone_from(&socket.name);
            (theirs.sockets[0].status, theirs.sockets[0].modes) = (socket.status, socket.modes.clone());
            theirs.lessor = Some(Arc::downgrade(&self.0));
        }
        for former in &state.leases {
            former.state().is_revoked = true;
        }
        state.leases.push(second.clone());
        Ok(second)
    }

    fn connectors(&mut self) -> CallResult<Vec<u32>> {
        let mut state = self.state();
        state.step("connectors")?;
        Ok(state.sockets.iter().map(|socket| socket.id).collect())
    }

    fn connector(&mut self, id: u32, probe: bool) -> CallResult<Connector> {
        let mut state = self.state();
        state.step("connector")?;
        state.counts.probes += u64::from(probe);
        let can_second = state.can.second;
        let socket = state
            .sockets
            .iter_mut()
            .find(|socket| socket.id == id)
            .ok_or(errno("connector", libc::ENOENT))?;
        if probe {
            socket.known = socket.modes.clone();
        }
        Ok(Connector {
            id,
            name: socket.name.clone(),
            status: socket.status,
            modes: socket.known.clone(),
            possible_crtcs: if id == SOCKETS[1] && can_second { 0b10 } else { 0b01 },
        })
    }

    fn status(&mut self, connector: &Connector) -> CallResult<Status> {
        let mut state = self.state();
        state.step("status")?;
        let socket = state.sockets.iter().find(|socket| socket.id == connector.id);
        Ok(socket.ok_or(errno("status", libc::ENOENT))?.status)
    }

    fn crtcs(&mut self) -> CallResult<Vec<u32>> {
        self.state().step("crtcs")?;
        Ok(CRTCS.to_vec())
    }

    fn planes(&mut self) -> CallResult<Vec<Plane>> {
        let mut state = self.state();
        state.step("planes")?;
        Ok(state.planes())
    }

    fn properties(&mut self, of: Object) -> CallResult<Vec<Property>> {
        let mut state = self.state();
        state.step("properties")?;
        let (Object::Connector(id) | Object::Crtc(id) | Object::Plane(id)) = of;
        let names = state.names(id);
        if names.is_empty() {
            return Err(errno("properties", libc::ENOENT));
        }
        let property = |name: &'static str| Property {
            id: State::property_id(name),
            name: name.into(),
            value: state.get(&state.committed, id, name),
            immutable: state.is_immutable(id, name),
            most: match name {
                "alpha" => 0xFFFF,
                "zpos" => 9,
                _ => u64::MAX,
            },
            choices: State::choices(name),
        };
        Ok(names.into_iter().map(property).collect())
    }

    fn create_dumb(&mut self, width: u32, height: u32) -> CallResult<Dumb<FakeMemory>> {
        let mut state = self.state();
        state.step("create_dumb")?;
        // Rows are longer than they need be.
        let stride = (4 * width).next_multiple_of(64) + 64;
        let memory = Arc::new(Mutex::new(vec![0; (stride * height) as usize]));
        let handle = state.fresh();
        state.handles.insert(handle, Backing::Dumb(memory.clone()));
        Ok(Dumb { handle, stride, memory: FakeMemory(memory, self.clone()) })
    }

    fn import(&mut self, memory: BorrowedFd<'_>) -> CallResult<u32> {
        let io = |error: std::io::Error| CallError::of("import", &error);
        let file = File::from(memory.try_clone_to_owned().map_err(io)?);
        let metadata = file.metadata().map_err(io)?;
        let inode = (metadata.dev(), metadata.ino());
        let mut state = self.state();
        state.step("import")?;
        if !state.can.imports {
            return Err(errno("import", libc::EOPNOTSUPP));
        }
        state.counts.imports += 1;
        // The same memory has one handle.
        let same = |object: &Backing| matches!(object, Backing::Imported(_, other) if *other == inode);
        if let Some((handle, _)) = state.handles.iter().find(|(_, object)| same(object)) {
            return Ok(*handle);
        }
        let handle = state.fresh();
        state.handles.insert(handle, Backing::Imported(Arc::new(file), inode));
        Ok(handle)
    }

    fn close_handle(&mut self, handle: u32) -> CallResult<()> {
        let mut state = self.state();
        // Before the failure: a handle that does not close is the kernel's.
        let known = state.handles.remove(&handle).is_some();
        state.step("close_handle")?;
        if known { Ok(()) } else { Err(errno("close_handle", libc::EINVAL)) }
    }

    fn add_framebuffer(&mut self, framebuffer: &Framebuffer) -> CallResult<u32> {
        let mut state = self.state();
        state.step("add_framebuffer")?;
        let object = state
            .handles
            .get(&framebuffer.handles[0])
            .cloned()
            .ok_or(errno("add_framebuffer", libc::ENOENT))?;
        let length = match &object {
            Backing::Dumb(memory) => memory.lock().unwrap().len(),
            Backing::Imported(file, _) => {
                file.metadata().map_err(|error| CallError::of("add_framebuffer", &error))?.len() as usize
            }
        };
        let (width, height) = (framebuffer.width as usize, framebuffer.height as usize);
        let planes: &[(usize, usize)] = match framebuffer.format {
            FourCc::XRGB8888 | FourCc::ARGB8888 => &[(4 * width, height)],
            FourCc::RGB888 | FourCc::BGR888 => &[(3 * width, height)],
            FourCc::YUYV | FourCc::UYVY => &[(2 * width, height)],
            FourCc::NV12 => &[(width, height), (width, height / 2)],
            _ => return Err(errno("add_framebuffer", libc::EINVAL)),
        };
        for index in 0..4 {
            let handle = framebuffer.handles[index];
            let (stride, offset) = (framebuffer.strides[index] as usize, framebuffer.offsets[index] as usize);
            match planes.get(index) {
                Some(&(row, rows)) => {
                    let fits = handle == framebuffer.handles[0]
                        && stride >= row
                        && offset + stride * (rows - 1) + row <= length;
                    if !fits {
                        return Err(errno("add_framebuffer", libc::EINVAL));
                    }
                }
                None if (handle, stride, offset) != (0, 0, 0) => {
                    return Err(errno("add_framebuffer", libc::EINVAL));
                }
                None => {}
            }
        }
        let id = state.fresh();
        state.framebuffers.insert(id, Fb { spec: *framebuffer, object });
        Ok(id)
    }

    fn remove_framebuffer(&mut self, id: u32) -> CallResult<()> {
        let mut state = self.state();
        let known = state.framebuffers.remove(&id).is_some();
        let shown = |settings: &Settings| {
            let planes = [PRIMARY, OVERLAY, CURSOR];
            planes.into_iter().find(|&plane| settings.get(&(plane, "FB_ID")) == Some(&u64::from(id)))
        };
        let planes = [shown(&state.scanned), shown(&state.committed)];
        if planes.iter().any(Option::is_some) {
            state.counts.removed_while_shown += 1;
        }
        for plane in planes.into_iter().flatten() {
            for name in ["FB_ID", "CRTC_ID"] {
                state.scanned.insert((plane, name), 0);
                state.committed.insert((plane, name), 0);
            }
        }
        state.step("remove_framebuffer")?;
        if known { Ok(()) } else { Err(errno("remove_framebuffer", libc::ENOENT)) }
    }

    fn create_mode_blob(&mut self, mode: &Mode) -> CallResult<u32> {
        let mut state = self.state();
        state.step("create_mode_blob")?;
        let id = state.fresh();
        state.blobs.insert(id, *mode);
        state.modes.insert(id, *mode);
        Ok(id)
    }

    fn destroy_blob(&mut self, id: u32) -> CallResult<()> {
        let mut state = self.state();
        let known = state.blobs.remove(&id).is_some();
        state.step("destroy_blob")?;
        if known { Ok(()) } else { Err(errno("destroy_blob", libc::ENOENT)) }
    }

    fn commit(&mut self, request: &mut Request, how: Commit, serial: u64) -> CallResult<()> {
        let mut state = self.state();
        let takes = std::mem::take(&mut state.commit_takes);
        if !takes.is_zero() {
            self.let_pass(state, takes);
            state = self.state();
        }
        state.settle();
        state.step("commit")?;
        if !state.is_atomic {
            return Err(errno("commit", libc::EINVAL));
        }
        if !state.may_show() {
            return Err(errno("commit", libc::EACCES));
        }
        let (next, any_crtc) = state.changed(request)?;
        let needs_modeset = state.check(&next)?;
        let may = matches!(how, Commit::Modeset | Commit::Test { modeset: true });
        if needs_modeset && !may || how == Commit::Flip && !any_crtc {
            return Err(errno("commit", libc::EINVAL));
        }
        match how {
            Commit::Test { .. } => state.counts.tests += 1,
            Commit::Flip => {
                if state.pending.is_some() {
                    state.counts.busy += 1;
                    return Err(errno("commit", libc::EBUSY));
                }
                state.committed = next;
                state.pending = Some((serial, state.next_refresh()));
            }
            Commit::Modeset => {
                if let Some((_, due)) = state.pending {
                    // It waits for the flip; for one that hangs, until it does no longer or the kernel gives up.
                    let left = due.saturating_duration_since(state.now);
                    self.let_pass(state, left);
                    state = self.state();
                    state.settle();
                    for _ in 0..GIVES_UP_AFTER {
                        if state.pending.is_none() {
                            break;
                        }
                        self.let_pass(state, LOOKS_EVERY);
                        state = self.state();
                        state.settle();
                    }
                    state.pending = None;
                }
                state.counts.modesets += u64::from(needs_modeset);
                state.committed = next.clone();
                state.scanned = next;
            }
        }
        Ok(())
    }

    fn flips(&mut self, patience: Duration, done: &mut dyn FnMut(Flip)) -> CallResult<()> {
        let mut state = self.state();
        state.step("flips")?;
        state.settle();
        if state.events.is_empty() && !patience.is_zero() {
            let begun = state.now;
            let due = state.pending.map(|(_, due)| due).filter(|_| state.flips == Flips::Done);
            let until = state.now + patience;
            let until = due.map_or(until, |due| due.min(until));
            let left = until.saturating_duration_since(begun);
            self.let_pass(state, left);
            state = self.state();
            let waited = state.now - begun;
            state.counts.longest = state.counts.longest.max(waited);
            state.settle();
        }
        let events = std::mem::take(&mut state.events);
        drop(state);
        for (serial, at) in events {
            done(Flip { serial, at });
        }
        Ok(())
    }

    fn save(&mut self, crtc: u32) -> CallResult<Saved> {
        let mut state = self.state();
        state.step("save")?;
        let mode = state.get(&state.scanned, crtc, "MODE_ID") as u32;
        Ok(Saved {
            crtc,
            mode: state.modes.get(&mode).copied(),
            framebuffer: state.get(&state.scanned, PRIMARY, "FB_ID") as u32,
            position: (0, 0),
            connectors: vec![21],
        })
    }

    fn restore(&mut self, saved: &Saved) -> CallResult<()> {
        let mut state = self.state();
        state.step("restore")?;
        if !state.may_show() {
            return Err(errno("restore", libc::EACCES));
        }
        let exists = state.framebuffers.contains_key(&saved.framebuffer);
        let Some(mode) = saved.mode.filter(|_| exists) else {
            for (object, name) in [
                (saved.crtc, "ACTIVE"),
                (saved.crtc, "MODE_ID"),
                (21, "CRTC_ID"),
                (PRIMARY, "FB_ID"),
                (PRIMARY, "CRTC_ID"),
            ] {
                state.committed.insert((object, name), 0);
            }
            state.scanned = state.committed.clone();
            let is_lost = saved.mode.is_some() && saved.framebuffer != 0;
            return if is_lost { Err(errno("restore", libc::ENOENT)) } else { Ok(()) };
        };
        let blob = *state.modes.iter().find(|(_, known)| **known == mode).unwrap().0;
        let (width, height) = mode.size();
        let crtc = u64::from(saved.crtc);
        let settings = [
            ((saved.crtc, "ACTIVE"), 1),
            ((saved.crtc, "MODE_ID"), u64::from(blob)),
            ((21, "CRTC_ID"), crtc),
            ((PRIMARY, "FB_ID"), u64::from(saved.framebuffer)),
            ((PRIMARY, "CRTC_ID"), crtc),
            ((PRIMARY, "SRC_W"), (width << 16) as u64),
            ((PRIMARY, "SRC_H"), (height << 16) as u64),
            ((PRIMARY, "CRTC_X"), 0),
            ((PRIMARY, "CRTC_Y"), 0),
            ((PRIMARY, "CRTC_W"), width as u64),
            ((PRIMARY, "CRTC_H"), height as u64),
        ];
        state.committed.extend(settings);
        state.scanned = state.committed.clone();
        state.counts.restored += 1;
        Ok(())
    }
}
