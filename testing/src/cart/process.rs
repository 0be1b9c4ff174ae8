//! What `/proc` says of a process.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// A thread, with its name and how it is scheduled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Thread {
    /// At most 15 bytes, as the kernel keeps it.
    pub name: String,
    /// 0: SCHED_OTHER, 1: SCHED_FIFO.
    pub policy: u32,
    /// Its real-time priority; 0 if it has none.
    pub priority: u32,
    /// The kernel's id of the thread.
    pub id: u32,
}

fn folder(process: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{process}"))
}

/// A process's threads that live while this is called, by name.
pub fn threads(process: u32) -> Vec<Thread> {
    let entries = fs::read_dir(folder(process).join("task")).into_iter().flatten().flatten();
    let mut threads: Vec<Thread> = entries
        .filter_map(|entry| {
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name is in brackets and may hold spaces and brackets.
            let (head, tail) = stat.rsplit_once(')')?;
            let (id, name) = head.split_once('(')?;
            let fields: Vec<&str> = tail.split_whitespace().collect();
            // Fields 40 and 41 of the file; the first one after the name is the third.
            let field = |number: usize| fields.get(number - 3)?.parse().ok();
            let (priority, policy) = (field(40)?, field(41)?);
            Some(Thread { name: name.into(), policy, priority, id: id.trim().parse().ok()? })
        })
        .collect();
    threads.sort();
    threads
}

/// For how long a thread has waited for a core although it could run.
pub fn waited_for_core(process: u32, thread: u32) -> Option<Duration> {
    let text = fs::read_to_string(folder(process).join(format!("task/{thread}/schedstat"))).ok()?;
    text.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

/// Whether a thread waits in the kernel where not even SIGKILL reaches it, as for a disk.
pub fn is_uninterruptible(process: u32, thread: u32) -> bool {
    state(process, thread).is_some_and(|state| state == "D")
}

/// Whether a process ignores a signal, as one that was started by `nohup` and its children do SIGHUP.
pub fn ignores(process: u32, signal: i32) -> bool {
    let status = fs::read_to_string(folder(process).join("status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or_default();
    u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & (1 << (signal - 1)) != 0)
}

fn state(process: u32, thread: u32) -> Option<String> {
    let stat = fs::read_to_string(folder(process).join(format!("task/{thread}/stat"))).ok()?;
    Some(stat.rsplit_once(')')?.1.split_whitespace().next()?.to_owned())
}

/// What each of a process's threads does now: its state, where in the kernel it waits, the signals that it has not taken.
/// For messages; what may not be read is left out.
pub fn doings(process: u32) -> String {
    let mut text = String::new();
    for thread in threads(process) {
        let read = |name: &str| {
            fs::read_to_string(folder(process).join(format!("task/{}/{name}", thread.id))).unwrap_or_default()
        };
        let status = read("status");
        let signals: Vec<&str> = status
            .lines()
            .filter(|line| ["SigPnd", "ShdPnd", "SigBlk"].contains(&&line[..6.min(line.len())]))
            .collect();
        let state = state(process, thread.id).unwrap_or_default();
        let (name, waits, call) = (&thread.name, read("wchan"), read("syscall"));
        text.push_str(&format!("\n{name}: {state} in {waits} ({}) {signals:?}", call.trim()));
        text.push_str(&read("stack").lines().map(|line| format!("\n    {line}")).collect::<String>());
    }
    text
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
pub struct Holdings {
    /// Resident memory in KiB.
    pub resident_kb: u64,
    /// Open file descriptors.
    pub descriptors: usize,
    /// Threads that live.
    pub threads: usize,
}

/// What a process holds now; it must still run.
pub fn holdings(process: u32) -> Holdings {
    let status = fs::read_to_string(folder(process).join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    Holdings {
        resident_kb: line.trim().trim_end_matches(" kB").parse().unwrap(),
        descriptors: fs::read_dir(folder(process).join("fd")).unwrap().count(),
        threads: fs::read_dir(folder(process).join("task")).unwrap().count(),
    }
}
