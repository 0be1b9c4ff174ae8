//! How busy the machine is: clocks, threads that wait for a core, and how often this program's lost theirs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::latency::interval::Load;
use crate::runtime;

/// Asks the machine again and again; each answer is about the time since the last one.
#[derive(Debug)]
pub struct LoadMeter {
    root: PathBuf,
    read: Instant,
    /// The kernel's count of the time in which some thread waited for a core, µs.
    waited_us: Option<u64>,
    /// How often each thread has lost its core, by its number.
    switches: BTreeMap<u32, u64>,
}

impl LoadMeter {
    /// Of the machine that this program runs on.
    pub fn new() -> LoadMeter {
        LoadMeter::under(Path::new("/"))
    }

    /// The same with its files under another root.
    fn under(root: &Path) -> LoadMeter {
        let mut meter = LoadMeter {
            root: root.to_owned(),
            read: runtime::now(),
            waited_us: None,
            switches: BTreeMap::new(),
        };
        meter.read();
        meter
    }

    fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }

    /// What the machine was like since the last call. What it does not tell is left out.
    pub fn read(&mut self) -> Load {
        let now = runtime::now();
        let seconds = now.saturating_duration_since(std::mem::replace(&mut self.read, now)).as_secs_f64();
        let waited_us = self.text("proc/pressure/cpu").and_then(|text| total_of_some(&text));
        let waited = waited_us.zip(self.waited_us).map(|(now, before)| now.saturating_sub(before));
        self.waited_us = waited_us;
        let percent = |waited: u64| (waited as f64 / 1e4 / seconds.max(1e-3)).min(100.0) as f32;
        Load {
            mhz: self.mhz(),
            runnable: self.text("proc/loadavg").and_then(|text| runnable(&text)),
            cpu_pressure_percent: waited.map(percent),
            switches: self.switches(),
            ..Load::default()
        }
    }

    /// The slowest and the fastest clock of any core.
    fn mhz(&self) -> Option<(u32, u32)> {
        let cores = fs::read_dir(self.root.join("sys/devices/system/cpu")).ok()?.flatten();
        let clocks = cores.filter_map(|core| {
            let khz = fs::read_to_string(core.path().join("cpufreq/scaling_cur_freq")).ok()?;
            Some(khz.trim().parse::<u32>().ok()? / 1000)
        });
        clocks.fold(None, |span: Option<(u32, u32)>, mhz| {
            span.map_or(Some((mhz, mhz)), |(slow, fast)| Some((slow.min(mhz), fast.max(mhz))))
        })
    }

    /// How often the system took its core away from a thread of this program, by the thread's name.
    fn switches(&mut self) -> BTreeMap<String, u64> {
        let (mut counts, mut lost) = (BTreeMap::new(), BTreeMap::<String, u64>::new());
        let Ok(threads) = fs::read_dir(self.root.join("proc/self/task")) else { return lost };
        for thread in threads.flatten() {
            let Some(number) = thread.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let Ok(status) = fs::read_to_string(thread.path().join("status")) else { continue };
            let Some((name, count)) = name_and_switches(&status) else { continue };
            let before = self.switches.get(&number).copied().unwrap_or(0);
            counts.insert(number, count);
            if count > before {
                *lost.entry(name.to_owned()).or_default() += count - before;
            }
        }
        self.switches = counts;
        lost
    }
}

impl Default for LoadMeter {
    fn default() -> Self {
        LoadMeter::new()
    }
}

/// From `some avg10=0.00 avg60=0.00 avg300=0.00 total=123`.
fn total_of_some(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with("some "))?;
    line.split_whitespace().find_map(|word| word.strip_prefix("total="))?.parse().ok()
}

/// From `0.20 0.10 0.03 2/345 6789`: threads that run or could, this one apart.
fn runnable(text: &str) -> Option<u32> {
    let (running, _) = text.split_whitespace().nth(3)?.split_once('/')?;
    Some(running.parse::<u32>().ok()?.saturating_sub(1))
}

fn name_and_switches(status: &str) -> Option<(&str, u64)> {
    let value = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    Some((value("Name:")?, value("nonvoluntary_ctxt_switches:")?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_tells_is_read_and_what_it_does_not_is_left_out() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let mut meter = LoadMeter::under(root.path());
        assert_eq!(meter.read(), Load::default());
        put("proc/loadavg", "0.20 0.10 0.03 3/345 6789\n");
        put("proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=1000\nfull avg10=0 total=7\n");
        put("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "600000\n");
        put("sys/devices/system/cpu/cpu3/cpufreq/scaling_cur_freq", "2400000\n");
        put("sys/devices/system/cpu/cpuidle/current_driver", "none\n");
        let status = |count: u32| {
            format!(
                "Name:\tdisplay\nState:\tS\nvoluntary_ctxt_switches:\t99\nnonvoluntary_ctxt_switches:\t{count}\n"
            )
        };
        put("proc/self/task/12/status", &status(4));
        put("proc/self/task/13/status", &status(1));
        let first = meter.read();
        assert_eq!(
            (first.mhz, first.runnable, first.cpu_pressure_percent),
            (Some((600, 2400)), Some(2), None)
        );
        assert_eq!(first.switches, BTreeMap::from([("display".into(), 5)]));
        put("proc/self/task/12/status", &status(6));
        put("proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=1000000000\n");
        let second = meter.read();
        assert_eq!(
            (second.switches, second.cpu_pressure_percent),
            (BTreeMap::from([("display".into(), 2)]), Some(100.0))
        );
    }

    #[test]
    fn this_machine_is_asked() {
        let load = LoadMeter::new().read();
        assert!(load.runnable.is_some());
    }
}
