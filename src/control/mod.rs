//! What the people in the room ask for: outlines off and on, a mark in the record, what the program is doing.
//!
//! | module | job |
//! |---|---|
//! | [`order`] | what can be asked for, by whom, and what is answered |
//! | [`socket`] | orders from other programs on the same machine, by a UNIX socket |
//! | [`client`] | the other end of it: `polyp-edge ctl` |
//! | [`button`] | what can be pressed: watched as it comes and goes |
//! | [`keys`] | keys, foot pedals and remote controls: the kernel's input devices |
//! | [`pins`] | buttons on a board's pins |
//!
//! Each way in has a thread of its own, which waits for its device and may hang. Orders are carried out by the thread that supervises;
//! the next frame obeys.

pub mod button;
pub mod client;
pub mod keys;
pub mod order;
pub mod pins;
pub mod socket;

pub use order::{Action, Answer, Order, Request, Switch, Way};
