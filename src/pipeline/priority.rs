//! Real-time priority of the threads that capture and show. Every other thread stays as the system starts it.
//!
//! Where frames come faster than such a thread can handle them, it never has to wait. It would then keep its core for itself, and a
//! limit on real-time work without a pause (`LimitRTTIME` of a systemd unit, RLIMIT_RTTIME), which is there for threads that have run
//! away, would end the program. So it rests for a moment now and then.

use std::time::{Duration, Instant};

use thread_priority::unix::{
    NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id, thread_schedule_policy,
};
use thread_priority::{ThreadPriority, ThreadPriorityValue};

use crate::runtime;

/// So often a thread with real-time priority rests at least, and for so long.
const RESTS_EVERY: Duration = Duration::from_millis(100);
const RESTS_FOR: Duration = Duration::from_micros(100);

/// When a thread rested last.
#[derive(Default)]
pub(super) struct Rests(Option<Instant>);

impl Rests {
    /// Rests if the thread has real-time priority and its last rest is long ago.
    pub(super) fn now_and_then(&mut self, priority: u8) {
        if priority > 0 && self.0.is_none_or(|last| runtime::since(last) >= RESTS_EVERY) {
            runtime::thread::sleep(RESTS_FOR);
            self.0 = Some(runtime::now());
        }
    }
}

/// What the library maps to niceness 0.
const ORDINARY: u8 = 47;

/// Gives the calling thread first-in-first-out priority 1..=99; with 0, that of an ordinary thread. If the system refuses,
/// the thread goes on as it is and the log says so.
pub(super) fn set(priority: u8) {
    if runtime::thread::simulate_priority(priority) {
        return;
    }
    let outcome = match ThreadPriorityValue::try_from(priority) {
        Ok(value) if priority > 0 => set_thread_priority_and_policy(
            thread_native_id(),
            ThreadPriority::Crossplatform(value),
            ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo),
        ),
        _ if !is_realtime() => Ok(()),
        _ => {
            let ordinary = ThreadPriorityValue::try_from(ORDINARY)
                .map_or(ThreadPriority::Min, ThreadPriority::Crossplatform);
            let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
            match set_thread_priority_and_policy(thread_native_id(), ordinary, policy) {
                // What may be refused is the niceness alone.
                Err(error) if is_realtime() => Err(error),
                _ => Ok(()),
            }
        }
    };
    if let Err(error) = outcome {
        let name = runtime::thread::name();
        log::warn!(
            "cannot give the thread \"{name}\" real-time priority {priority}: {error:?}; grant CAP_SYS_NICE or raise \
             the limit on rtprio"
        );
    }
}

/// Makes the calling thread less urgent than others, 1..=19. If the system refuses, it stays as it is.
pub(super) fn set_niceness(niceness: i32) {
    if !runtime::is_simulated() {
        // For the calling thread alone, on Linux.
        let _ = rustix::process::setpriority_process(None, niceness);
    }
}

fn is_realtime() -> bool {
    matches!(thread_schedule_policy(), Ok(ThreadSchedulePolicy::Realtime(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// Threads that work without a pause meet the system's limit, and those that rest do not.
    #[test]
    fn a_thread_that_never_has_to_wait_rests_ten_times_a_second() {
        let (mut rests, begun) = (Rests::default(), Instant::now());
        let voluntary = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            line.unwrap().trim().parse::<u32>().unwrap()
        };
        let before = voluntary();
        while begun.elapsed() < Duration::from_millis(350) {
            rests.now_and_then(0);
        }
        let without = voluntary() - before;
        let (before, begun) = (voluntary(), Instant::now());
        while begun.elapsed() < Duration::from_millis(350) {
            rests.now_and_then(40);
        }
        let with = voluntary() - before;
        assert!(with >= without + 3, "{with} pauses with priority, {without} without");
    }

    /// Priority, policy and niceness of the calling thread as the kernel tells them: fields 40, 41 and 19 of its `stat`.
    fn told() -> (u8, u8, i8) {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        (fields[37].parse().unwrap(), fields[38].parse().unwrap(), fields[16].parse().unwrap())
    }

    #[test]
    fn a_thread_is_real_time_and_ordinary_again() {
        let work = || {
            set(5);
            let realtime = told();
            set(0);
            (realtime, told())
        };
        let (realtime, ordinary) = thread::spawn(work).join().unwrap();
        assert_eq!((ordinary.0, ordinary.1), (0, 0));
        match (realtime.0, realtime.1) {
            (0, 0) => println!("skipped: this machine does not let tests have real-time priority"),
            // SCHED_FIFO is 1.
            realtime => {
                assert_eq!(realtime, (5, 1));
                assert_eq!(ordinary.2, 0, "niceness");
            }
        }
    }
}
