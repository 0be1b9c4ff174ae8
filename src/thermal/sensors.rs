//! Temperatures and throttle flags, as Linux tells of them in sysfs.
//!
//! | what | where | of |
//! |---|---|---|
//! | temperatures | `/sys/class/thermal/thermal_zone*/{type,temp}`, in millidegrees | all boards |
//! | the same where there is no zone | `/sys/class/hwmon/hwmon*/{name,temp*_input}` of processors | PCs |
//! | heat slows the processor down | `/sys/class/thermal/cooling_device*/{type,cur_state}`: `*-throttle-alert` (NVIDIA's kernel), `cpufreq-*`, `devfreq-*` | Jetson, mainline |
//! | flags of the firmware | `get_throttled` of the device that the driver `raspberrypi-firmware` has, in hexadecimal | Raspberry Pi's kernel |
//! | under-voltage | `in0_lcrit_alarm` of the hwmon device `rpi_volt` | Raspberry Pi |
//! | under-voltage, over-current | `oc1_event_cnt` to `oc3_event_cnt` of the hwmon device `soctherm_oc`: counts since the start | Jetson Orin |
//!
//! Raspberry Pi's kernel asks the firmware every 2 s and keeps the answer; reading it here costs no call of the firmware. It warns
//! once in the kernel's log that the attribute is an old one: where that would be a panic (`kernel.panic_on_warn`), it is not read.
//!
//! A read may take as long as a driver likes: [`Sysfs::read`] belongs in a thread of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::ladder::is_plausible;

/// The largest attribute that is read, bytes; sysfs has no larger ones.
const LARGEST: u64 = 4096;
/// Devices of a class that are looked at, those with the lowest numbers.
const MOST_DEVICES: usize = 64;
/// Inputs of a hwmon device.
const MOST_INPUTS: usize = 32;
/// Zones of what is not the computer: they may be as hot as they like.
const OTHER_ZONES: [&str; 2] = ["iwlwifi", "nvme"];
/// hwmon devices of processors, where there is no zone.
const PROCESSORS: [&str; 4] = ["coretemp", "k10temp", "cpu", "soc"];

/// A sensor and what it says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Temperature {
    /// As the kernel names it: `cpu-thermal`.
    pub zone: String,
    /// In °C.
    pub celsius: f32,
}

/// Why a board slows itself down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// It is hot.
    Heat,
    /// Its supply gives too little voltage, or it takes too much current.
    Power,
}

/// Something that slows the board down now, or has since the reading before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Throttle {
    /// In words: `under-voltage`.
    pub what: String,
    /// Why.
    pub cause: Cause,
    /// What tells it: `firmware`, `cpu-throttle-alert`.
    pub told_by: String,
}

impl fmt::Display for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.what, self.told_by)
    }
}

/// What the sensors say at a time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Reading {
    /// Of the processor and what is on its chip.
    pub temperatures: Vec<Temperature>,
    /// What can tell that heat slows the board down.
    pub throttle_flags: Vec<String>,
    /// What slows it down.
    pub throttling: Vec<Throttle>,
    /// What is not there or cannot be read, each in a line.
    pub missing_sensors: Vec<String>,
}

impl Reading {
    /// The hottest sensor of those that say what can be.
    pub fn hottest(&self) -> Option<&Temperature> {
        let plausible = self.temperatures.iter().filter(|temperature| is_plausible(temperature.celsius));
        plausible.max_by(|a, b| a.celsius.total_cmp(&b.celsius))
    }

    /// Whether heat slows the board down; `None` if nothing tells.
    pub fn is_slowed_by_heat(&self) -> Option<bool> {
        let by_heat = self.throttling.iter().any(|throttle| throttle.cause == Cause::Heat);
        (by_heat || !self.throttle_flags.is_empty()).then_some(by_heat)
    }
}

/// Where readings come from: the machine's own, or a simulation's.
pub trait Thermometer: Send {
    /// What the sensors say now. May take as long as a driver likes.
    fn read(&mut self) -> Reading;
}

/// The machine's own sensors.
#[derive(Debug)]
pub struct Sysfs {
    root: PathBuf,
    /// Events as they were counted at the reading before.
    counted: BTreeMap<String, u64>,
}

impl Sysfs {
    /// Beneath a root folder, which is `/` unless in tests.
    pub fn under(root: &Path) -> Sysfs {
        Sysfs { root: root.to_owned(), counted: BTreeMap::new() }
    }

    /// At which temperature the machine switches itself off: the lowest critical trip point of all zones.
    pub fn critical(&self) -> Option<Temperature> {
        let zones = numbered(&self.root.join("sys/class/thermal"), "thermal_zone");
        let critical = zones.iter().filter_map(|zone| {
            let points = (0..MOST_INPUTS).map_while(|number| {
                Some((text(&zone.join(format!("trip_point_{number}_type"))).ok()?, number))
            });
            let celsius = points
                .filter(|(kind, _)| kind == "critical")
                .filter_map(|(_, number)| millidegrees(&zone.join(format!("trip_point_{number}_temp"))).ok())
                .filter(|&celsius| is_plausible(celsius) && celsius > 0.0)
                .min_by(f32::total_cmp)?;
            Some(Temperature { zone: text(&zone.join("type")).ok()?, celsius })
        });
        critical.min_by(|a, b| a.celsius.total_cmp(&b.celsius))
    }

    fn temperatures(&self, reading: &mut Reading) {
        let class = self.root.join("sys/class/thermal");
        for zone in numbered(&class, "thermal_zone") {
            let name = text(&zone.join("type")).unwrap_or_else(|_| "a zone without a name".into());
            let is_disabled = text(&zone.join("mode")).is_ok_and(|mode| mode == "disabled");
            if is_disabled || OTHER_ZONES.iter().any(|other| name.starts_with(other)) {
                continue;
            }
            reading.temperature(name, millidegrees(&zone.join("temp")));
        }
        if reading.temperatures.is_empty() {
            for (name, device) in self.hwmon() {
                if PROCESSORS.iter().any(|processor| name.contains(processor)) {
                    for input in 1..=MOST_INPUTS {
                        let path = device.join(format!("temp{input}_input"));
                        if path.exists() {
                            let label = text(&device.join(format!("temp{input}_label")));
                            let name = label.map_or_else(|_| name.clone(), |label| format!("{name} {label}"));
                            reading.temperature(name, millidegrees(&path));
                        }
                    }
                }
            }
        }
        if reading.temperatures.is_empty() {
            reading.missing_sensors.push(
                "temperature: no sensor of the processor in /sys/class/thermal or /sys/class/hwmon can be read".into(),
            );
        }
    }

    /// hwmon devices with their names.
    fn hwmon(&self) -> Vec<(String, PathBuf)> {
        let devices = numbered(&self.root.join("sys/class/hwmon"), "hwmon").into_iter();
        devices.filter_map(|device| Some((text(&device.join("name")).ok()?, device))).collect()
    }

    /// Cooling devices that stand for a slower processor.
    fn cooling(&self, reading: &mut Reading) {
        for device in numbered(&self.root.join("sys/class/thermal"), "cooling_device") {
            let Ok(name) = text(&device.join("type")) else { continue };
            let slows = name.ends_with("-throttle-alert")
                || ["cpufreq-", "devfreq-", "thermal-cpufreq-", "thermal-devfreq-"]
                    .iter()
                    .any(|kind| name.starts_with(kind));
            if !slows {
                continue;
            }
            match number(&device.join("cur_state")) {
                Ok(state) => {
                    if state > 0 {
                        reading.throttle("heat lowers the clock", Cause::Heat, &name);
                    }
                    reading.throttle_flags.push(name);
                }
                Err(error) => reading.missing_sensors.push(format!("{name}: {error}")),
            }
        }
    }

    /// The firmware's flags of a Raspberry Pi.
    fn raspberry_pi(&self, reading: &mut Reading) {
        let drivers = self.root.join("sys/bus/platform/drivers/raspberrypi-firmware");
        let Ok(entries) = fs::read_dir(&drivers) else { return };
        let names = entries.take(MOST_DEVICES).filter_map(Result::ok).map(|entry| entry.path());
        let found = names.map(|device| device.join("get_throttled")).find(|path| path.exists());
        let Some(path) = found else {
            reading.missing_sensors.push(
                "throttle flags of the firmware: this kernel has no get_throttled; Raspberry Pi's own has"
                    .into(),
            );
            return;
        };
        // The first read of it is a warning in the kernel's log.
        if text(&self.root.join("proc/sys/kernel/panic_on_warn")).is_ok_and(|value| value != "0") {
            reading.missing_sensors.push(
                "throttle flags of the firmware: not read, because kernel.panic_on_warn is set and reading them warns".into(),
            );
            return;
        }
        let flags = text(&path).and_then(|text| {
            u32::from_str_radix(text.trim_start_matches("0x"), 16).map_err(|_| nonsense(&text))
        });
        match flags {
            Ok(flags) => {
                reading.throttle_flags.push("get_throttled".into());
                reading.firmware_flags(flags);
            }
            Err(error) => reading
                .missing_sensors
                .push(format!("throttle flags of the firmware: get_throttled: {error}")),
        }
    }

    /// What tells of the supply.
    fn power(&mut self, reading: &mut Reading) {
        for (name, device) in self.hwmon() {
            if name == "rpi_volt" {
                match number(&device.join("in0_lcrit_alarm")) {
                    Ok(0) => {}
                    Ok(_) => reading.throttle(UNDER_VOLTAGE, Cause::Power, &name),
                    Err(error) => reading.missing_sensors.push(format!("under-voltage: rpi_volt: {error}")),
                }
            }
            if name == "soctherm_oc" {
                let events = [UNDER_VOLTAGE, "average over-current", "instantaneous over-current"];
                for (place, what) in events.into_iter().enumerate() {
                    let counter = format!("oc{}_event_cnt", place + 1);
                    match number(&device.join(&counter)) {
                        Ok(count) => {
                            let before = self.counted.insert(counter.clone(), count);
                            if before.is_some_and(|before| count > before) {
                                reading.throttle(what, Cause::Power, &counter);
                            }
                        }
                        Err(error) => reading.missing_sensors.push(format!("{what}: {counter}: {error}")),
                    }
                }
            }
        }
    }
}

const UNDER_VOLTAGE: &str = "under-voltage";

impl Thermometer for Sysfs {
    fn read(&mut self) -> Reading {
        let mut reading = Reading::default();
        self.temperatures(&mut reading);
        self.cooling(&mut reading);
        self.raspberry_pi(&mut reading);
        self.power(&mut reading);
        if reading.throttle_flags.is_empty() {
            reading
                .missing_sensors
                .push("throttle flags: nothing here tells whether heat slows the processor down".into());
        }
        reading
    }
}

impl Reading {
    fn temperature(&mut self, zone: String, celsius: io::Result<f32>) {
        match celsius {
            Ok(celsius) if is_plausible(celsius) => self.temperatures.push(Temperature { zone, celsius }),
            Ok(celsius) => self.missing_sensors.push(format!("{zone}: says {celsius} °C, which cannot be")),
            Err(error) => self.missing_sensors.push(format!("{zone}: {error}")),
        }
    }

    fn throttle(&mut self, what: &str, cause: Cause, told_by: &str) {
        self.throttling.push(Throttle { what: what.into(), cause, told_by: told_by.into() });
    }

    /// Bits 0 to 3 are what is so now. A supply that is too weak lowers the clock, too: that is not heat.
    fn firmware_flags(&mut self, flags: u32) {
        let is_weak = flags & 1 != 0;
        let lowered = if is_weak { Cause::Power } else { Cause::Heat };
        let all = [
            (1, UNDER_VOLTAGE, Cause::Power),
            (1 << 1, "frequency capped", lowered),
            (1 << 2, "throttled", lowered),
            (1 << 3, "soft temperature limit", Cause::Heat),
        ];
        for (_, what, cause) in all.into_iter().filter(|(bit, ..)| flags & bit != 0) {
            self.throttle(what, cause, "firmware");
        }
    }
}

/// Folders of devices by number: `hwmon0`, `hwmon1` …
fn numbered(class: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(class) else { return Vec::new() };
    let of_class = entries.filter_map(Result::ok).filter_map(|entry| {
        let number: u32 = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
        Some((number, entry.path()))
    });
    let mut devices: Vec<_> = of_class.collect();
    devices.sort_unstable();
    devices.truncate(MOST_DEVICES);
    devices.into_iter().map(|(_, path)| path).collect()
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LARGEST).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

fn number(path: &Path) -> io::Result<u64> {
    let text = text(path)?;
    text.parse().map_err(|_| nonsense(&text))
}

/// In °C.
fn millidegrees(path: &Path) -> io::Result<f32> {
    let text = text(path)?;
    let millidegrees: i64 = text.parse().map_err(|_| nonsense(&text))?;
    Ok(millidegrees as f32 / 1000.0)
}

fn nonsense(text: &str) -> io::Error {
    let short: String = text.chars().take(20).collect();
    io::Error::other(format!("says {short:?}, which is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sysfs of its own.
    struct Fake(tempfile::TempDir);

    impl Fake {
        fn new(files: &[(&str, &str)]) -> Fake {
            let fake = Fake(tempfile::tempdir().unwrap());
            files.iter().for_each(|(path, text)| fake.write(path, text));
            fake
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn remove(&self, path: &str) {
            fs::remove_file(self.0.path().join(path)).unwrap();
        }

        fn sensors(&self) -> Sysfs {
            Sysfs::under(self.0.path())
        }
    }

    fn zone(reading: &Reading) -> Option<(&str, f32)> {
        reading.hottest().map(|hottest| (hottest.zone.as_str(), hottest.celsius))
    }

    fn throttling(reading: &Reading) -> Vec<(String, Cause)> {
        reading.throttling.iter().map(|throttle| (throttle.to_string(), throttle.cause)).collect()
    }

    const PI: [(&str, &str); 6] = [
        ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
        ("sys/class/thermal/thermal_zone0/temp", "54321\n"),
        ("sys/class/hwmon/hwmon0/name", "rp1_adc\n"),
        ("sys/class/hwmon/hwmon0/temp1_input", "99000\n"),
        ("sys/class/hwmon/hwmon2/name", "rpi_volt\n"),
        ("sys/class/hwmon/hwmon2/in0_lcrit_alarm", "0\n"),
    ];
    const FLAGS: &str = "sys/bus/platform/drivers/raspberrypi-firmware/soc@107c000000:firmware/get_throttled";

    #[test]
    fn a_raspberry_pi_tells_of_heat_and_supply() {
        let fake = Fake::new(&PI);
        fake.write(FLAGS, "0\n");
        let mut sensors = fake.sensors();
        let reading = sensors.read();
        assert_eq!(zone(&reading), Some(("cpu-thermal", 54.321)), "another chip's sensor does not count");
        assert_eq!((reading.is_slowed_by_heat(), reading.throttling.len()), (Some(false), 0));
        assert_eq!(reading.missing_sensors, [""; 0]);

        let told = |flags: &str, sensors: &mut Sysfs| {
            fake.write(FLAGS, flags);
            let reading = sensors.read();
            (throttling(&reading), reading.is_slowed_by_heat())
        };
        let heat = |what: &str| (format!("{what} (firmware)"), Cause::Heat);
        let power = |what: &str| (format!("{what} (firmware)"), Cause::Power);
        assert_eq!(told("e0008\n", &mut sensors), (vec![heat("soft temperature limit")], Some(true)));
        assert_eq!(
            told("60006\n", &mut sensors),
            (vec![heat("frequency capped"), heat("throttled")], Some(true))
        );
        // With too little voltage, the clock is lowered for that.
        assert_eq!(
            told("50005\n", &mut sensors),
            (vec![power("under-voltage"), power("throttled")], Some(false))
        );
        // What has been since some time, and is no more.
        assert_eq!(told("f0000\n", &mut sensors), (vec![], Some(false)));
        assert_eq!(told("0x2\n", &mut sensors).1, Some(true));

        fake.write(FLAGS, "0\n");
        fake.write(PI[5].0, "1\n");
        assert_eq!(throttling(&sensors.read()), [("under-voltage (rpi_volt)".into(), Cause::Power)]);
    }

    #[test]
    fn what_a_raspberry_pi_does_not_tell_is_said() {
        let fake = Fake::new(&PI);
        fake.write("sys/bus/platform/drivers/raspberrypi-firmware/bind", "");
        let missing = |fake: &Fake| fake.sensors().read().missing_sensors.join("\n");
        assert!(missing(&fake).contains("this kernel has no get_throttled"), "{}", missing(&fake));
        assert!(missing(&fake).contains("nothing here tells whether heat"), "{}", missing(&fake));
        fake.write(FLAGS, "many\n");
        assert!(missing(&fake).contains("says \"many\", which is no number"), "{}", missing(&fake));
        fake.write("proc/sys/kernel/panic_on_warn", "1\n");
        assert!(missing(&fake).contains("kernel.panic_on_warn is set"), "{}", missing(&fake));
        fake.write("proc/sys/kernel/panic_on_warn", "0\n");
        fake.write(FLAGS, "2\n");
        assert_eq!(missing(&fake), "");
        fake.remove(PI[5].0);
        assert!(missing(&fake).contains("under-voltage: rpi_volt: "), "{}", missing(&fake));
    }

    #[test]
    fn a_jetson_tells_by_alerts_and_counters() {
        let thermal = "sys/class/thermal/";
        let hwmon = "sys/class/hwmon/hwmon3/";
        let fake = Fake::new(&[]);
        let write = |folder: &str, path: &str, text: &str| fake.write(&format!("{folder}{path}"), text);
        for (zone, name, temp) in
            [(0, "cpu-thermal", "63625"), (1, "gpu-thermal", "61000"), (8, "tj-thermal", "63700")]
        {
            write(thermal, &format!("thermal_zone{zone}/type"), name);
            write(thermal, &format!("thermal_zone{zone}/temp"), temp);
        }
        // Without power, it cannot be read.
        write(thermal, "thermal_zone2/type", "cv0-thermal\n");
        for (device, name) in
            [(0, "pwm-fan"), (1, "cpu-throttle-alert"), (2, "hot-surface-alert"), (10, "cpufreq-cpu0")]
        {
            write(thermal, &format!("cooling_device{device}/type"), name);
            write(thermal, &format!("cooling_device{device}/cur_state"), "0\n");
        }
        write(hwmon, "name", "soctherm_oc\n");
        for (counter, count) in [(1, "0"), (2, "15"), (3, "37")] {
            write(hwmon, &format!("oc{counter}_event_cnt"), count);
        }
        let mut sensors = fake.sensors();
        let reading = sensors.read();
        assert_eq!(zone(&reading), Some(("tj-thermal", 63.7)));
        assert_eq!(reading.throttle_flags, ["cpu-throttle-alert", "cpufreq-cpu0"]);
        assert_eq!(reading.throttling, [], "what was counted before is no news");
        assert_eq!(reading.missing_sensors.len(), 1, "{:?}", reading.missing_sensors);
        assert!(reading.missing_sensors[0].starts_with("cv0-thermal: "), "{:?}", reading.missing_sensors);

        // A fan that turns and a warm case are no throttling.
        write(thermal, "cooling_device0/cur_state", "4\n");
        write(thermal, "cooling_device2/cur_state", "1\n");
        assert_eq!(sensors.read().is_slowed_by_heat(), Some(false));
        write(thermal, "cooling_device1/cur_state", "1\n");
        write(hwmon, "oc3_event_cnt", "40\n");
        let reading = sensors.read();
        assert_eq!(
            throttling(&reading),
            [
                ("heat lowers the clock (cpu-throttle-alert)".into(), Cause::Heat),
                ("instantaneous over-current (oc3_event_cnt)".into(), Cause::Power)
            ]
        );
        write(thermal, "cooling_device1/cur_state", "0\n");
        assert_eq!(sensors.read().throttling, [], "each event is told once");
    }

    #[test]
    fn a_pc_without_zones_has_its_processors_sensors() {
        let fake = Fake::new(&[
            ("sys/class/hwmon/hwmon0/name", "nvme\n"),
            ("sys/class/hwmon/hwmon0/temp1_input", "91000\n"),
            ("sys/class/hwmon/hwmon1/name", "coretemp\n"),
            ("sys/class/hwmon/hwmon1/temp1_input", "52000\n"),
            ("sys/class/hwmon/hwmon1/temp1_label", "Package id 0\n"),
            ("sys/class/hwmon/hwmon1/temp2_input", "50000\n"),
        ]);
        assert_eq!(zone(&fake.sensors().read()), Some(("coretemp Package id 0", 52.0)));
        // Zones go before them.
        fake.write("sys/class/thermal/thermal_zone0/type", "x86_pkg_temp\n");
        fake.write("sys/class/thermal/thermal_zone0/temp", "51000\n");
        fake.write("sys/class/thermal/thermal_zone1/type", "iwlwifi_1\n");
        fake.write("sys/class/thermal/thermal_zone1/temp", "90000\n");
        fake.write("sys/class/thermal/thermal_zone2/type", "acpitz\n");
        fake.write("sys/class/thermal/thermal_zone2/temp", "96000\n");
        fake.write("sys/class/thermal/thermal_zone2/mode", "disabled\n");
        assert_eq!(zone(&fake.sensors().read()), Some(("x86_pkg_temp", 51.0)));
    }

    #[test]
    fn nonsense_is_said_and_does_not_count() {
        let fake = Fake::new(&[
            ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
            ("sys/class/thermal/thermal_zone0/temp", "4294967295\n"),
            ("sys/class/thermal/thermal_zone1/type", "gpu-thermal\n"),
            ("sys/class/thermal/thermal_zone1/temp", "-273150\n"),
            ("sys/class/thermal/thermal_zone2/type", "soc-thermal\n"),
            ("sys/class/thermal/thermal_zone2/temp", "\n"),
            ("sys/class/thermal/thermal_zone3/temp", "99999999999999999999999\n"),
            ("sys/class/thermal/thermal_zoneX/temp", "99000\n"),
        ]);
        fs::write(fake.0.path().join("sys/class/thermal/thermal_zone3/type"), [0xff, 0xfe]).unwrap();
        let reading = fake.sensors().read();
        assert_eq!((zone(&reading), reading.is_slowed_by_heat()), (None, None));
        let missing = reading.missing_sensors.join("\n");
        for words in [
            "cpu-thermal: says 4294967.5 °C, which cannot be",
            "gpu-thermal: says -273.15 °C, which cannot be",
            "soc-thermal: says \"\", which is no number",
            "a zone without a name: says \"99999999999999999999\", which is no number",
            "temperature: no sensor of the processor",
        ] {
            assert!(missing.contains(words), "{words:?} is not in {missing}");
        }
        // One that is well is enough.
        fake.write("sys/class/thermal/thermal_zone1/temp", "40000\n");
        assert_eq!(zone(&fake.sensors().read()), Some(("gpu-thermal", 40.0)));
    }

    #[test]
    fn a_machine_that_says_nothing_is_no_error() {
        let reading = Sysfs::under(Path::new("/no/such/root")).read();
        assert_eq!((zone(&reading), reading.is_slowed_by_heat()), (None, None));
        assert_eq!(reading.missing_sensors.len(), 2, "{:?}", reading.missing_sensors);
    }

    #[test]
    fn the_lowest_critical_trip_point_is_known() {
        let zone = "sys/class/thermal/thermal_zone0/";
        let fake = Fake::new(&[]);
        let write = |name: &str, text: &str| fake.write(&format!("{zone}{name}"), text);
        write("type", "cpu-thermal\n");
        assert_eq!(fake.sensors().critical(), None);
        for (number, kind, temp) in
            [(0, "passive", "70000"), (1, "critical", "104500"), (2, "active", "50000")]
        {
            write(&format!("trip_point_{number}_type"), kind);
            write(&format!("trip_point_{number}_temp"), temp);
        }
        let expected = Temperature { zone: "cpu-thermal".into(), celsius: 104.5 };
        assert_eq!(fake.sensors().critical(), Some(expected));
    }
}
