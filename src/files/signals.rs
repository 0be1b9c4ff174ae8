//! SIGINT, SIGTERM and SIGHUP for verbs that write files and have nothing to finish.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;

use super::remove_temporaries;
use crate::fault::Fault;
use crate::runtime;

/// From now on each of these signals removes this process's temporary files and ends the process as it would have
/// without this program's doing, so that its parent sees the signal (a shell says 130, 143, 129). Works whatever the other threads wait
/// for: a source that sends nothing, a pipe that nobody reads, a disk.
pub fn end_cleanly() -> Result<()> {
    let cannot = |error: std::io::Error| Fault::io(format!("cannot watch for signals: {error}"));
    let (mut woken, wakes) = UnixStream::pair().map_err(cannot)?;
    let which = Arc::new(AtomicUsize::new(0));
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        if is_ignored(signal) {
            continue;
        }
        // In this order: a signal between the two wakes all the same.
        signal_hook::low_level::pipe::register(signal, wakes.try_clone().map_err(cannot)?).map_err(cannot)?;
        signal_hook::flag::register_usize(signal, which.clone(), signal as usize).map_err(cannot)?;
    }
    let watch = move || {
        // The writing ends live as long as the process: a byte comes, or nothing ever does.
        if woken.read_exact(&mut [0]).is_ok() {
            remove_temporaries();
            // The handlers run in the order of their registration: the number may come a moment after the byte.
            let mut signal = which.load(Ordering::Relaxed) as i32;
            if signal == 0 {
                runtime::thread::sleep(Duration::from_millis(10));
                signal = which.load(Ordering::Relaxed) as i32;
            }
            // One that came before its number was watched for.
            let signal = if signal == 0 { libc::SIGTERM } else { signal };
            let _ = signal_hook::low_level::emulate_default_handler(signal);
            signal_hook::low_level::exit(128 + signal);
        }
    };
    runtime::thread::spawn("signals", watch).map_err(cannot)?;
    Ok(())
}

/// Whether the process was started to outlive this signal, as by `nohup`.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}
