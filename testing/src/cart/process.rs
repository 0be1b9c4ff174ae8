//! What `/proc` says of a process.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// A thread, with its name and how it is scheduled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Thread {
    pub name: String,
    /// 0: SCHED_OTHER, 1: SCHED_FIFO.
    pub policy: u32,
    pub priority: u32,
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

/// What a process holds.
#[derive(Clone, Copy, Debug)]
pub struct Holdings {
    pub resident_kb: u64,
    pub descriptors: usize,
    pub threads: usize,
}

pub fn holdings(process: u32) -> Holdings {
    let status = fs::read_to_string(folder(process).join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    Holdings {
        resident_kb: line.trim().trim_end_matches(" kB").parse().unwrap(),
        descriptors: fs::read_dir(folder(process).join("fd")).unwrap().count(),
        threads: fs::read_dir(folder(process).join("task")).unwrap().count(),
    }
}
