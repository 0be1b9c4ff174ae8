//! One thread of a program stopped while the others go on, as if it had no core or hung in the kernel.

use std::io;
use std::marker::PhantomData;

use super::process::threads;

/// A thread that stands still until this is dropped. Whoever stopped it must let it go: a tracer is a thread.
#[derive(Debug)]
pub struct Stopped {
    thread: libc::pid_t,
    _not_sent: PhantomData<*const ()>,
}

impl Stopped {
    /// Stops the thread of this name.
    ///
    /// # Errors
    /// If there is none, or tracing is not permitted.
    pub fn thread(process: u32, name: &str) -> io::Result<Stopped> {
        let found = threads(process).into_iter().find(|thread| thread.name == name);
        let thread = found.ok_or(io::ErrorKind::NotFound)?.id as libc::pid_t;
        request(libc::PTRACE_SEIZE, thread)?;
        let stopped = Stopped { thread, _not_sent: PhantomData };
        request(libc::PTRACE_INTERRUPT, thread)?;
        let mut status = 0;
        // SAFETY: `status` is an int to write to.
        match unsafe { libc::waitpid(thread, &raw mut status, libc::__WALL) } {
            waited if waited == thread => Ok(stopped),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Lets a thread that was killed go: until then its process has not ended either.
    pub fn let_die(&self) {
        let mut status = 0;
        // SAFETY: `status` is an int to write to.
        unsafe { libc::waitpid(self.thread, &raw mut status, libc::__WALL | libc::WNOHANG) };
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        if request(libc::PTRACE_DETACH, self.thread).is_err() {
            self.let_die();
        }
    }
}

fn request(what: libc::c_uint, thread: libc::pid_t) -> io::Result<()> {
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: these three requests read and write no memory of this process.
    match unsafe { libc::ptrace(what, thread, none, none) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
