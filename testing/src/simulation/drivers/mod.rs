//! Camera and monitor by the cart's own drivers for V4L2 and KMS, on the stand-ins for the kernel.

mod camera;
mod monitor;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use polyp_edge::capture::live::Camera;
use polyp_edge::capture::v4l2::kernel::{FourCc, Fraction, Intervals, Sizes, Timings};
use polyp_edge::capture::v4l2::{V4l2, Wanted};
use polyp_edge::display::Sink;
use polyp_edge::runtime;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::io::Errno;

use super::picture::{Drawn, SIZES, cell_of};
use super::plan::{CALLS_FAIL_FOR, CARD_CALLS, ERRNOS, Fault};
use super::world::{Given, World};
use crate::gpu::{Abilities, FakeGpu, Flips, mode};
use crate::v4l2::{Act, CALLS, Machine, Model, Signal, timings};
use camera::DriversCamera;
use monitor::DriversMonitor;

/// What an input tells without a signal.
const NO_SIGNAL: Signal = Signal::None { errno: Errno::NOLINK, status: 2, cables: 1 };
const MONITOR: &str = "HDMI-A-1";
const SECOND: &str = "HDMI-A-2";

/// What is over at its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ailment {
    Unplugged,
    NoSignal,
    CameraCalls,
    CardCalls,
    Flips,
    Master,
    NoMonitor,
}

/// The kernel of a simulated cart.
#[derive(Clone)]
pub struct Drivers(Arc<Mutex<Kernel>>);

struct Kernel {
    world: World,
    /// By the name of their device.
    cameras: BTreeMap<String, Machine>,
    model: Model,
    card: FakeGpu,
    until: BTreeMap<Ailment, Instant>,
    hangs_until: Instant,
    /// Framebuffers that were removed while shown where a call had failed or the card was another's.
    forgiven: u64,
    /// Calls on the card may have failed at any moment, or it was another's.
    was_disturbed: bool,
}

fn source(size: (usize, usize)) -> Timings {
    let timings = timings(size.0 as u32, size.1 as u32);
    Timings { pixel_clock_hz: timings.pixel_clock_hz / 50 * 60, ..timings }
}

impl Drivers {
    /// A kernel whose camera and card can do what the seed decides.
    pub fn new(world: &World, seed: u64) -> Drivers {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x5151_7d5f_4b1c_93a7);
        let formats = [b"YUYV", b"UYVY", b"NV12", b"RGB3", b"BGR3"];
        let model = Model {
            formats: vec![FourCc::new(formats[rng.random_range(0..formats.len())])],
            sizes: SIZES.map(|(width, height)| Sizes::One((width as u32, height as u32))).to_vec(),
            intervals: vec![Intervals::One(Fraction(1, 60))],
            padding: [0, 16][rng.random_range(0..2)],
            digital: true,
            orphans: rng.random_bool(0.8),
            can_export: rng.random_bool(0.8),
            least_queued: rng.random_range(1..=2),
            ..Model::default()
        };
        let can = if rng.random_bool(0.3) { Abilities::least() } else { Abilities::all() };
        let can =
            Abilities { imports: can.imports && rng.random_bool(0.7), second: rng.random_bool(0.4), ..can };
        let card = FakeGpu::on_runtime(can, &[mode(96, 64, 60, true)]);
        if rng.random_bool(0.8) {
            card.plug(SECOND, &[mode(96, 64, 50, true)]);
        }
        let kernel = Kernel {
            world: world.clone(),
            cameras: BTreeMap::new(),
            model,
            card,
            until: BTreeMap::new(),
            hangs_until: runtime::now(),
            forgiven: 0,
            was_disturbed: false,
        };
        Drivers(Arc::new(Mutex::new(kernel)))
    }

    fn lock(&self) -> MutexGuard<'_, Kernel> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The camera of this name, which may be plugged in or not.
    pub fn camera(&self, name: &str) -> Box<dyn Camera> {
        let mut kernel = self.lock();
        let machine = kernel.machine(name);
        let wanted = Wanted { rate_hz: 60.0, ..Wanted::default() };
        Box::new(DriversCamera::new(V4l2::with(machine, wanted), &kernel.world))
    }

    /// The monitor, or none.
    ///
    /// # Errors
    /// As [`polyp_edge::display::kms::open`].
    pub fn monitor(&self) -> Result<Box<dyn Sink>> {
        let (card, world) = {
            let kernel = self.lock();
            (kernel.card.clone(), kernel.world.clone())
        };
        Ok(Box::new(DriversMonitor::open(card, &world)?))
    }

    /// Lets a fault happen as far as it concerns the kernel.
    pub fn happens(&self, fault: Fault) {
        self.lock().happens(fault);
    }

    /// Ends what is over.
    pub fn tend(&self) {
        self.lock().tend();
    }

    /// What was left open, lent or lit, or was tried although no program should.
    pub fn left(&self) -> Vec<String> {
        let mut kernel = self.lock();
        kernel.forget(true);
        let card = &kernel.card;
        let mut left = Vec::new();
        if card.held() != (0, 0, 0) {
            left.push(format!("the card has {:?} handles, framebuffers and blobs at the end", card.held()));
        }
        if !kernel.was_disturbed && !card.shows_console() {
            left.push("the console is not shown again".into());
        }
        left
    }
}

impl Kernel {
    fn machine(&mut self, name: &str) -> Machine {
        self.forget(false);
        if let Some(machine) = self.cameras.get(name) {
            return machine.clone();
        }
        let (world, mut known, mut drawn) = (self.world.clone(), None, Drawn::default());
        let machine = Machine::on_runtime(self.model.clone(), move |taken| {
            let mut world = world.lock();
            if taken.at < world.stalls_until {
                return None;
            }
            let epoch = match known {
                Some((generation, epoch)) if generation == taken.generation => epoch,
                _ => {
                    world.epoch += 1;
                    world.epoch
                }
            };
            known = Some((taken.generation, epoch));
            let cell = cell_of(world.frames, epoch);
            world.frames += 1;
            let size = (taken.format.width as usize, taken.format.height as usize);
            world.gave(Given { cell, at: taken.at, epoch, size });
            Some(drawn.picture(&taken.format, cell))
        });
        machine.act(Act::Signal(self.signal()));
        if self.until.contains_key(&Ailment::Unplugged) {
            machine.act(Act::Unplug);
        }
        machine.act(Act::Hang(self.hangs_until.saturating_duration_since(runtime::now())));
        self.cameras.insert(name.to_owned(), machine.clone());
        machine
    }

    /// Forgets cameras that nobody uses any more; what they were left with is told. At the end, all of them.
    fn forget(&mut self, is_end: bool) {
        let world = self.world.clone();
        self.cameras.retain(|name, machine| {
            if machine.is_in_use() && !is_end {
                return true;
            }
            if machine.left() != (0, 0, 0) {
                let (files, mappings, buffers) = machine.left();
                world.breaks(&format!(
                    "{name} is given up with {files} files, {mappings} mappings, {buffers} buffers"
                ));
            }
            for violation in machine.violations() {
                world.breaks(&format!("{name}: {violation}"));
            }
            false
        });
    }

    fn signal(&self) -> Signal {
        if self.until.contains_key(&Ailment::NoSignal) {
            return NO_SIGNAL;
        }
        let size = SIZES[self.world.lock().size];
        Signal::Source(source(size))
    }

    fn ails(&mut self, ailment: Ailment, time: Duration) {
        let until = runtime::now() + time;
        let known = self.until.entry(ailment).or_insert(until);
        *known = until.max(*known);
    }

    fn to_cameras(&self, act: &Act) {
        for machine in self.cameras.values() {
            machine.act(act.clone());
        }
    }

    fn happens(&mut self, fault: Fault) {
        match fault {
            Fault::CameraUnplugged(time) => {
                self.ails(Ailment::Unplugged, time);
                self.to_cameras(&Act::Unplug);
            }
            Fault::CameraHangs(time) => {
                self.hangs_until = self.hangs_until.max(runtime::now() + time);
                self.to_cameras(&Act::Hang(time));
            }
            Fault::CaptureThreadPanics => self.to_cameras(&Act::Panic),
            Fault::SizeChanges => self.to_cameras(&Act::Signal(self.signal())),
            Fault::CameraSignalLost(time) => {
                self.ails(Ailment::NoSignal, time);
                self.to_cameras(&Act::Signal(NO_SIGNAL));
            }
            Fault::CameraQuirk(quirk, count) => {
                self.ails(Ailment::CameraCalls, CALLS_FAIL_FOR);
                self.to_cameras(&Act::Quirk(quirk, count));
            }
            Fault::CameraQueueError => self.to_cameras(&Act::QueueError),
            Fault::CameraCallFails(call, errno, times) => {
                self.ails(Ailment::CameraCalls, CALLS_FAIL_FOR);
                let (call, (_, errno)) = (CALLS[call % CALLS.len()], ERRNOS[errno % ERRNOS.len()]);
                self.to_cameras(&Act::Fail(call, errno, times));
            }
            Fault::MonitorBusy(time) => {
                self.ails(Ailment::Flips, time);
                self.card.set_flips(Flips::Hanging);
                self.second(|card| card.set_flips(Flips::Hanging));
            }
            Fault::MonitorSilent(time) => {
                self.ails(Ailment::Flips, time);
                self.card.set_flips(Flips::Silent);
                self.second(|card| card.set_flips(Flips::Silent));
            }
            Fault::MonitorSlow(time) => self.card.slow_down(time),
            Fault::MonitorFails => self.card.fail("any", 0, Errno::NODEV.raw_os_error(), 1),
            Fault::MonitorUnplugged(time) => {
                self.ails(Ailment::NoMonitor, time);
                self.card.unplug(MONITOR);
                self.second(|card| card.unplug(SECOND));
            }
            Fault::MasterTaken(time) => {
                self.was_disturbed = true;
                self.ails(Ailment::Master, time);
                self.card.take_master();
            }
            Fault::CardCallFails(call, errno, times) => {
                self.was_disturbed = true;
                self.ails(Ailment::CardCalls, CALLS_FAIL_FOR);
                let (call, (_, errno)) = (CARD_CALLS[call % CARD_CALLS.len()], ERRNOS[errno % ERRNOS.len()]);
                self.card.fail(call, 0, errno.raw_os_error(), times);
                self.second(|card| card.fail(call, 0, errno.raw_os_error(), times));
            }
            _ => {}
        }
    }

    fn tend(&mut self) {
        let now = runtime::now();
        let removed = self.card.counts().removed_while_shown;
        if removed > self.forgiven {
            self.forgiven = removed;
            if ![Ailment::CardCalls, Ailment::Master, Ailment::Flips]
                .iter()
                .any(|known| self.until.contains_key(known))
            {
                self.world.breaks("a framebuffer was removed while it was shown");
            }
        }
        let over: Vec<Ailment> =
            self.until.iter().filter(|(_, until)| **until <= now).map(|(ailment, _)| *ailment).collect();
        for ailment in over {
            self.until.remove(&ailment);
            match ailment {
                Ailment::Unplugged => self.to_cameras(&Act::Replug),
                Ailment::NoSignal => self.to_cameras(&Act::Signal(self.signal())),
                Ailment::CameraCalls => self.to_cameras(&Act::Mend),
                Ailment::CardCalls => {
                    self.card.mend();
                    self.second(|card| card.mend());
                }
                Ailment::Flips => {
                    self.card.set_flips(Flips::Done);
                    self.second(|card| card.set_flips(Flips::Done));
                }
                Ailment::Master => self.card.leave_master(),
                Ailment::NoMonitor => {
                    self.card.plug(MONITOR, &[mode(96, 64, 60, true)]);
                    self.second(|card| card.plug(SECOND, &[mode(96, 64, 50, true)]));
                }
            }
        }
    }

    /// What ails the first monitor ails a second one, too.
    fn second(&self, act: impl FnOnce(&FakeGpu)) {
        if let Some(card) = self.card.second() {
            act(&card);
        }
    }
}
