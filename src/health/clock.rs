//! Whether the clock on the wall can be believed.

/// A clock that the system calls out of step with a time server, in `timex.status`.
const UNSYNCHRONISED: i32 = libc::STA_UNSYNC;

/// Whether the clock is in step with a time server; `None` if the kernel does not say.
pub fn clock_is_synchronised() -> Option<bool> {
    // SAFETY: all of its fields are integers, for which zero is a value; with `modes` 0 the call only fills it in.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `timex` is valid for writing for as long as the call takes.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    (state >= 0).then_some(timex.status & UNSYNCHRONISED == 0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernel_says_whether_the_clock_is_in_step() {
        assert!(super::clock_is_synchronised().is_some());
    }
}
