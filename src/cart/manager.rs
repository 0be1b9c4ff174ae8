//! What the program tells the manager that started it as a service, in the words of sd_notify(3): that it is ready, what it does,
//! that it goes on. Nothing where nobody manages it.

use std::fmt;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

/// The longest state that is told, bytes: managers show one line.
const LONGEST_STATUS: usize = 400;

/// Something to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice<'a> {
    /// The display is open, or a reload is over.
    Ready,
    /// A reload has begun.
    Reloading,
    /// The run ends.
    Stopping,
    /// The thread that shows pictures goes on in time.
    Alive,
    /// What the program does for the person at the screen.
    Status(&'a str),
}

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Ready => f.write_str("READY=1"),
            Notice::Reloading => {
                // The manager must know which of its own messages this one answers.
                let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
                let us = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1000);
                write!(f, "RELOADING=1\nMONOTONIC_USEC={us}")
            }
            Notice::Stopping => f.write_str("STOPPING=1"),
            Notice::Alive => f.write_str("WATCHDOG=1"),
            Notice::Status(text) => write!(f, "STATUS={}", one_line(text)),
        }
    }
}

/// A message's lines are its fields.
fn one_line(text: &str) -> String {
    let mut line = text.replace(['\n', '\r'], " ");
    let end = (0..=LONGEST_STATUS.min(line.len())).rev().find(|&end| line.is_char_boundary(end));
    line.truncate(end.unwrap_or(0));
    line
}

/// The service manager, if there is one.
#[derive(Clone, Debug, Default)]
pub struct Manager {
    socket: Option<Arc<(UnixDatagram, SocketAddr)>>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// As the environment names it: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`. To be called before the program restricts
    /// itself. A manager that cannot be reached is told of in the log.
    pub fn from_environment() -> Manager {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Manager::default();
        };
        let address = match name.as_bytes() {
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
            _ => SocketAddr::from_pathname(&name),
        };
        let connected = address.and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            // What the manager has no room for is said once more, or is out of date by then.
            socket.set_nonblocking(true)?;
            socket.connect_addr(&address)?;
            Ok((socket, address))
        });
        match connected {
            Ok(connected) => {
                let variable = |name: &str| std::env::var(name).ok();
                let watchdog =
                    watchdog(variable("WATCHDOG_USEC").as_deref(), variable("WATCHDOG_PID").as_deref());
                Manager { socket: Some(Arc::new(connected)), watchdog }
            }
            Err(error) => {
                log::warn!(
                    "the service manager is told nothing: its socket {} cannot be reached: {error}",
                    name.display()
                );
                Manager::default()
            }
        }
    }

    /// How long the manager waits for [`Notice::Alive`] before it ends the process; `None` if it does not wait for it.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Tells it, without waiting; whether it was taken, or there is nobody to take it.
    pub fn notify(&self, notice: &Notice<'_>) -> bool {
        let Some((socket, address)) = self.socket.as_deref() else { return true };
        let message = notice.to_string();
        match socket.send(message.as_bytes()) {
            Ok(_) => true,
            // The manager was started anew.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotConnected) => {
                socket.connect_addr(address).and_then(|()| socket.send(message.as_bytes())).is_ok()
            }
            Err(_) => false,
        }
    }
}

/// The watchdog's span, if it is this process's.
fn watchdog(us: Option<&str>, process: Option<&str>) -> Option<Duration> {
    let is_ours = process.is_none_or(|id| id.parse() == Ok(std::process::id()));
    let us = us?.parse().ok().filter(|&us| us > 0 && is_ours)?;
    Some(Duration::from_micros(us))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_what_service_managers_read() {
        assert_eq!(Notice::Ready.to_string(), "READY=1");
        assert_eq!(Notice::Alive.to_string(), "WATCHDOG=1");
        assert_eq!(Notice::Stopping.to_string(), "STOPPING=1");
        assert_eq!(Notice::Status("no signal:\nunplugged").to_string(), "STATUS=no signal: unplugged");
        let reloading = Notice::Reloading.to_string();
        let us = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(us.parse::<u64>().unwrap() > 0);
        let long = "é".repeat(1000);
        let told = Notice::Status(&long).to_string();
        assert!(told.len() <= LONGEST_STATUS + 7 && told.ends_with('é'), "{}", told.len());
    }

    #[test]
    fn a_watchdog_of_another_process_is_not_ours() {
        let own = std::process::id().to_string();
        assert_eq!(watchdog(Some("4000000"), None), Some(Duration::from_secs(4)));
        assert_eq!(watchdog(Some("4000000"), Some(&own)), Some(Duration::from_secs(4)));
        for (us, process) in
            [(Some("4000000"), Some("1")), (Some("0"), None), (Some("soon"), None), (None, None)]
        {
            assert_eq!(watchdog(us, process), None, "{us:?} {process:?}");
        }
    }

    #[test]
    fn a_manager_that_reads_nothing_delays_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let reader = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        let address = SocketAddr::from_pathname(folder.path().join("notify")).unwrap();
        let socket = UnixDatagram::unbound().unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.connect_addr(&address).unwrap();
        let manager = Manager { socket: Some(Arc::new((socket, address))), watchdog: None };
        let taken = (0..10_000).take_while(|_| manager.notify(&Notice::Alive)).count();
        assert!(taken < 10_000, "the queue is full at some time");
        let mut message = [0; 64];
        let length = reader.recv(&mut message).unwrap();
        assert_eq!(&message[..length], b"WATCHDOG=1");
        assert!(manager.notify(&Notice::Ready), "there is room again");
        // Started anew, at the same place.
        drop(reader);
        std::fs::remove_file(folder.path().join("notify")).unwrap();
        assert!(!manager.notify(&Notice::Ready));
        let reader = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        assert!(manager.notify(&Notice::Stopping));
        let length = reader.recv(&mut message).unwrap();
        assert_eq!(&message[..length], b"STOPPING=1");
    }
}
