//! Somebody in the room, who switches outlines off and on, keeps pictures, and records.

use std::sync::Arc;
use std::time::{Duration, Instant};

use polyp_edge::control::order::Record;
use polyp_edge::control::{Answer, Order, Request, Switch, Way};
use polyp_edge::runtime::channel::{Sender, channel};
use polyp_edge::runtime::{self, thread};

use super::world::World;

/// From an order to its answer, while the thread that carries it out has a core.
const ANSWERED_WITHIN: Duration = Duration::from_millis(200);
/// From the order to keep a picture to its answer, whatever the disk does and whether there are pictures or not.
const KEPT_WITHIN: Duration = Duration::from_secs(17);
/// Longer than any thread is without a core.
const PATIENCE: Duration = Duration::from_secs(30);
/// A picture on its way when an order is answered may still have what it had.
const ON_ITS_WAY: Duration = Duration::from_millis(60);

/// What the room wants.
#[derive(Default)]
pub(super) struct Room {
    /// Shared, not cloned: a sender's clone takes a lock, which gives way, and nobody may while he holds the world's.
    orders: Option<Arc<Sender<Request>>>,
    off_since: Option<Instant>,
}

impl World {
    /// Where the room's orders go from now on.
    pub fn takes_orders(&self, orders: Sender<Request>) {
        let before = self.lock().room.orders.replace(Arc::new(orders));
        drop(before);
    }
}

impl Room {
    /// What is wrong with a picture of so many outlines that was handed over at this time.
    pub(super) fn look(&self, handed_over: Instant, outlines: usize) -> Option<String> {
        let off = self.off_since.filter(|since| handed_over > *since + ON_ITS_WAY)?;
        (outlines > 0).then(|| {
            format!("{outlines} outlines are drawn {:?} after they were switched off", handed_over - off)
        })
    }
}

/// Switches outlines off, and on again after a while.
pub(super) fn switches_off(world: &World, time: Duration) {
    let Some(orders) = world.lock().room.orders.clone() else { return };
    let theirs = world.clone();
    let room = thread::spawn("room", move || {
        let (answer, answered) = channel();
        let order =
            |to, answer| Request { order: Order::Outlines { to }, way: Way::Button("pedal".into()), answer };
        if orders.send(order(Switch::Off, Some(answer))).is_err() {
            return;
        }
        let given = runtime::now();
        let told = answered.recv_timeout(PATIENCE);
        {
            let mut world = theirs.lock();
            let now = runtime::now();
            let is_late = now > given.max(world.told_from) + ANSWERED_WITHIN;
            match told {
                Ok(told) if told == Answer::outlines(false) => world.room.off_since = Some(now),
                Ok(told) => world.breaks(&format!("outlines were to be off, and the answer is {told:?}")),
                Err(_) => {}
            }
            if is_late && world.end_asked.is_none() {
                world.breaks(&format!("an order was not answered for {:?}", now - given));
            }
            world.tell("the room has switched outlines off");
        }
        thread::sleep(time);
        theirs.lock().room.off_since = None;
        // Nobody to take it: the run is over.
        let _ = orders.send(order(Switch::On, None));
        theirs.lock().tell("the room has switched outlines on");
    });
    drop(room);
}

/// Wants a picture kept.
pub(super) fn keeps_a_picture(world: &World) {
    let Some(orders) = world.lock().room.orders.clone() else { return };
    let theirs = world.clone();
    let room = thread::spawn("room", move || {
        let (answer, answered) = channel();
        let request =
            Request { order: Order::Snapshot, way: Way::Button("pedal".into()), answer: Some(answer) };
        if orders.send(request).is_err() {
            return;
        }
        let given = runtime::now();
        let told = answered.recv_timeout(PATIENCE);
        let mut world = theirs.lock();
        let now = runtime::now();
        if now > given.max(world.told_from) + KEPT_WITHIN && world.end_asked.is_none() {
            world.breaks(&format!(
                "a picture was to be kept, and nothing was said of it for {:?}",
                now - given
            ));
        }
        match told {
            Ok(Answer { ok: true, kept: Some(_), .. }) => world.tell("a picture is kept"),
            Ok(Answer { ok: false, error: Some(why), .. }) => {
                world.tell(&format!("no picture is kept: {why}"))
            }
            Ok(other) => world.breaks(&format!("a picture was to be kept, and the answer is {other:?}")),
            Err(_) => {}
        }
    });
    drop(room);
}

/// Records for a while.
pub(super) fn records(world: &World, time: Duration) {
    let Some(orders) = world.lock().room.orders.clone() else { return };
    let theirs = world.clone();
    let room = thread::spawn("room", move || {
        let order = |to| {
            let (answer, answered) = channel();
            let order = Order::Record { to };
            let request = Request { order, way: Way::Button("pedal".into()), answer: Some(answer) };
            if orders.send(request).is_err() {
                return;
            }
            let given = runtime::now();
            let told = answered.recv_timeout(PATIENCE);
            let mut world = theirs.lock();
            let now = runtime::now();
            if now > given.max(world.told_from) + ANSWERED_WITHIN && world.end_asked.is_none() {
                world.breaks(&format!("an order to record was not answered for {:?}", now - given));
            }
            let wanted = Answer::recording(to == Record::Start);
            if told.as_ref().is_ok_and(|told| *told != wanted) {
                world.breaks(&format!("it was to be recorded, and the answer is {told:?}"));
            }
        };
        order(Record::Start);
        thread::sleep(time);
        order(Record::Stop);
    });
    drop(room);
}
