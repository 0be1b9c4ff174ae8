//! A program that is killed at one of its calls of the kernel, counted from its start.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// How a program ended whose main thread was followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was killed when it had made so many calls.
    Killed,
    /// By itself, with this code, after so many stops at calls: one before and one after each.
    Exited(i32, u64),
}

/// Runs a program until its main thread stops for the `stop`-th time before or after a call of the kernel, and kills it there.
///
/// # Errors
/// If it cannot be started, or tracing is not permitted.
pub fn run_until(command: &mut Command, stop: u64) -> io::Result<End> {
    // SAFETY: the closure makes one call of the kernel, and allocates nothing unless that fails.
    unsafe {
        command.pre_exec(|| request(libc::PTRACE_TRACEME, 0, 0));
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let id = child.id() as libc::pid_t;
    let mut status = 0;
    let mut wait = || {
        // SAFETY: `status` is an int to write to.
        match unsafe { libc::waitpid(id, &raw mut status, libc::__WALL) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(status),
        }
    };
    // It stops where the program takes the place of this one's.
    wait()?;
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
    if let Err(error) = request(libc::PTRACE_SETOPTIONS, id, options) {
        let _ = child.kill();
        return Err(error);
    }
    let (mut stops, mut signal) = (0, 0);
    loop {
        request(libc::PTRACE_SYSCALL, id, signal)?;
        signal = 0;
        let status = wait()?;
        if libc::WIFEXITED(status) {
            return Ok(End::Exited(libc::WEXITSTATUS(status), stops));
        }
        if libc::WIFSIGNALED(status) {
            return Ok(End::Killed);
        }
        match libc::WSTOPSIG(status) {
            stopped if stopped == libc::SIGTRAP | 0x80 => stops += 1,
            libc::SIGTRAP => {}
            other => signal = other,
        }
        if stops == stop {
            child.kill()?;
            wait()?;
            return Ok(End::Killed);
        }
    }
}

fn request(what: libc::c_uint, process: libc::pid_t, data: libc::c_int) -> io::Result<()> {
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: the requests made here read and write no memory of this process; `data` is a number to them.
    match unsafe { libc::ptrace(what, process, none, libc::c_long::from(data)) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
