//! What the machine says of itself: CPU, temperatures, what holds it back.

#[expect(unsafe_code, reason = "a question to the kernel that no library asks")]
mod clock;
mod load;

use std::fs;
use std::path::Path;

use serde::Serialize;

pub use clock::clock_is_synchronised;
pub use load::LoadMeter;

use crate::engine::kernels;
use crate::runtime;
use crate::thermal::{Reading, Sysfs, Temperature, Thermometer};

/// The machine, as far as it can be asked without privileges.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// As the device tree has it; none on a PC.
    pub board: Option<String>,
    pub kernel: String,
    pub cores: usize,
    /// Kernel sets that can run here, the best first.
    pub kernel_sets: Vec<&'static str>,
    #[serde(flatten)]
    pub heat: Reading,
    /// At which temperature it switches itself off.
    pub switches_off_at: Option<Temperature>,
    /// Of the first core: `performance`, `ondemand` …
    pub governor: Option<String>,
    pub memory_available_mb: Option<u64>,
}

/// Asks the machine that this program runs on.
pub fn machine() -> Machine {
    under(Path::new("/"))
}

/// The same with its files under another root.
fn under(root: &Path) -> Machine {
    let read = |path: &str| {
        let text = fs::read_to_string(root.join(path)).ok()?;
        let text = text.trim_matches(|letter: char| letter.is_whitespace() || letter == '\0').to_owned();
        (!text.is_empty()).then_some(text)
    };
    let available = read("proc/meminfo").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        line.trim().split(' ').next()?.parse::<u64>().ok()
    });
    let mut sensors = Sysfs::under(root);
    Machine {
        board: read("proc/device-tree/model"),
        kernel: read("proc/sys/kernel/osrelease").unwrap_or_default(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        kernel_sets: kernels::available().iter().map(|set| set.name).collect(),
        heat: sensors.read(),
        switches_off_at: sensors.critical(),
        governor: read("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        memory_available_mb: available.map(|kilobytes| kilobytes / 1024),
    }
}

/// What kind of machine it is, and the kernel's release; empty where it does not say.
pub fn names() -> (String, String) {
    if runtime::is_simulated() {
        return (String::new(), String::new());
    }
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let plain =
        |text: &str| text.trim_matches(|letter: char| letter.is_whitespace() || letter == '\0').to_owned();
    let processor = || {
        let text = read("/proc/cpuinfo");
        let line = text.lines().find(|line| line.starts_with("model name"));
        line.and_then(|line| line.split_once(':')).map(|(_, name)| plain(name)).unwrap_or_default()
    };
    let board = plain(&read("/proc/device-tree/model"));
    (if board.is_empty() { processor() } else { board }, plain(&read("/proc/sys/kernel/osrelease")))
}

/// Those of these cores that no thread can be bound to.
pub fn not_online(cores: &[usize]) -> Vec<usize> {
    not_online_of(cores, &fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default())
}

/// `online` as the kernel lists cores: `0-2,4`. None is missing where it does not say.
fn not_online_of(cores: &[usize], online: &str) -> Vec<usize> {
    let span = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse::<usize>().ok()?..=last.trim().parse::<usize>().ok()?)
    };
    let online: Vec<_> = online.split(',').filter_map(span).collect();
    let is_missing = |core: &&usize| !online.is_empty() && !online.iter().any(|span| span.contains(core));
    cores.iter().filter(is_missing).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_is_read() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0");
        write("proc/meminfo", "MemTotal: 8245000 kB\nMemAvailable:    7340032 kB\n");
        write("sys/class/thermal/thermal_zone0/temp", "54321\n");
        write("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n");
        write("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "ondemand\n");
        let machine = under(root.path());
        assert_eq!(machine.board.as_deref(), Some("Raspberry Pi 5 Model B Rev 1.0"));
        assert_eq!(machine.memory_available_mb, Some(7168));
        assert_eq!(machine.governor.as_deref(), Some("ondemand"));
        let expected = Temperature { zone: "cpu-thermal".into(), celsius: 54.321 };
        assert_eq!(machine.heat.temperatures, [expected]);
        let told = serde_json::to_value(&machine).unwrap();
        assert_eq!(told["temperatures"][0]["zone"], "cpu-thermal", "{told}");
        assert_eq!(told["missing_sensors"].as_array().unwrap().len(), 1, "{told}");
        assert_eq!(machine.kernel_sets.last(), Some(&"scalar"));
    }

    #[test]
    fn cores_that_are_offline_are_found() {
        assert_eq!(not_online_of(&[0, 1, 2, 3, 7], "0,2-3\n"), [1, 7]);
        assert_eq!(not_online_of(&[9], ""), Vec::<usize>::new());
        assert_eq!(not_online(&[0]), Vec::<usize>::new());
    }

    #[test]
    fn a_machine_that_says_nothing_is_no_error() {
        let machine = under(Path::new("/no/such/root"));
        assert_eq!((machine.board, machine.heat.temperatures.len()), (None, 0));
    }
}
