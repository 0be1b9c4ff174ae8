//! Whether the ways by which people give orders are there.

use super::findings::Findings;
use crate::board::Board;
use crate::control::keys::Input;
use crate::control::pins::Pin;
use crate::fault::one_line;

/// What the kernel says where somebody has a device alone: the service itself, if it runs.
const BUSY: &str = "os error 16";

pub(super) fn look(board: &Board, findings: &mut Findings) {
    let control = &board.profile.control;
    for input in &control.inputs {
        let shown = input.device.display();
        // Opened by itself, so that the service keeps its keys.
        match (Input { exclusive: false, ..input.clone() }).open() {
            Ok(_) => findings.good(format!("orders: the input device {shown} is there, with keys of the profile")),
            Err(error) => findings.bad(
                format!("orders: {}", one_line(&error)),
                "plug it in; ls -l /dev/input/by-id lists names that stay, sudo evtest shows what keys a device sends; the service's user \
                 must be in the group input",
            ),
        }
    }
    for pin in &control.pins {
        look_at_pin(pin, findings);
    }
}

fn look_at_pin(pin: &Pin, findings: &mut Findings) {
    let name = pin.bound().name;
    match pin.open() {
        Ok(_) => findings.good(format!("orders: {name} is free for a button")),
        Err(error) if error.to_string().contains(BUSY) => {
            findings.good(format!("orders: {name} is in use, as it is while the service runs"));
        }
        Err(error) => findings.bad(
            format!("orders: {}", one_line(&error)),
            "gpioinfo lists chips, lines and who uses them (package gpiod); the service's user must be in the group gpio",
        ),
    }
}
