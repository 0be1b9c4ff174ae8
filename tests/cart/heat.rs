//! A computer that gets hot, as its sysfs tells: the program meets a folder of the test's own in the place of `/sys`.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use testing::cart::running::{PATIENCE, Running, comes_true};
use testing::cart::system::{may_mount, replace_by_fifo};
use testing::cart::video::{Corner, Seen};
use testing::cart::{Cart, Profile};

use crate::PROGRAM;

/// A second in place of a minute, and an age limit that no busy machine reaches.
fn profile(cart: &Cart) -> Profile {
    cart.profile().with("pipeline.max_age_ms", 1000).with("heat.back_after_s", 1)
}

/// The sysfs of a board with one zone, and its temperature in °C.
struct Sysfs(PathBuf);

impl Sysfs {
    fn of(cart: &Cart, celsius: f32) -> Sysfs {
        let sysfs = Sysfs(cart.at("sys"));
        sysfs.write("class/thermal/thermal_zone0/type", "cpu-thermal\n");
        sysfs.write("class/thermal/cooling_device0/type", "cpu-throttle-alert\n");
        sysfs.write("class/thermal/cooling_device0/cur_state", "0\n");
        sysfs.set(celsius);
        sysfs
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn temperature(&self) -> PathBuf {
        self.0.join("class/thermal/thermal_zone0/temp")
    }

    fn set(&self, celsius: f32) {
        self.write("class/thermal/thermal_zone0/temp", &format!("{}\n", (celsius * 1000.0) as i64));
    }
}

fn start(cart: &Cart) -> Running {
    Running::start(cart.command_with_mounts("mount --bind sys /sys"))
}

/// Waits until the corner says something, from now on.
#[track_caller]
fn comes(run: &Running, corner: Corner) -> Seen {
    let seen = run.video.wait_since(Instant::now(), PATIENCE, |frame| frame.corner == corner);
    seen.unwrap_or_else(|| panic!("the corner does not say {corner:?}; log: {}", run.log.text()))
}

#[track_caller]
fn state_says(cart: &Cart, run: &Running, key: &str, value: &str) {
    let says = || {
        let state = cart.state().unwrap_or_default();
        state.pointer(key).is_some_and(|told| told.as_str().map_or(told.to_string(), str::to_owned) == value)
    };
    let told = comes_true(PATIENCE, says);
    assert!(told, "{key} is to be {value}: {:?}; log: {}", cart.state(), run.log.text());
}

#[test]
#[expect(clippy::too_many_lines, reason = "one step after another")]
fn a_hot_computer_does_less_step_by_step_and_more_again() {
    if !may_mount("a_hot_computer_does_less_step_by_step_and_more_again") {
        return;
    }
    let cart = Cart::alone(PROGRAM);
    testing::bundle::write(&cart.at("other"));
    // Another name, so that they can be told apart.
    let manifest = fs::read_to_string(cart.at("other/manifest.toml")).unwrap();
    fs::write(cart.at("other/manifest.toml"), manifest.replace("\"bright\"", "\"light\"")).unwrap();
    testing::bundle::sign(&cart.at("other"));
    cart.put(&profile(&cart).with("heat.lite_bundle", "\"../other\""));
    let sysfs = Sysfs::of(&cart, 60.0);
    let mut run = start(&cart);
    run.first_picture();
    run.assisted();
    let from = Instant::now();
    state_says(&cart, &run, "/heat/step", "none");
    state_says(&cart, &run, "/heat/sensor", "cpu-thermal");

    sysfs.set(79.0);
    let reduced = comes(&run, Corner::Reduced);
    assert!(reduced.outlined > 0, "outlines are still drawn");
    state_says(&cart, &run, "/heat/step", "fewer-inferences");
    state_says(&cart, &run, "/heat/celsius", "79.0");
    state_says(&cart, &run, "/model/name", "bright");

    sysfs.set(82.0);
    state_says(&cart, &run, "/heat/step", "lite-bundle");
    state_says(&cart, &run, "/model/name", "light");
    assert!(comes(&run, Corner::Reduced).outlined > 0, "the lighter bundle outlines");

    sysfs.set(90.0);
    assert_eq!(comes(&run, Corner::Off).outlined, 0, "nothing is outlined");
    state_says(&cart, &run, "/heat/step", "assistance-off");
    state_says(&cart, &run, "/state", "degraded");
    state_says(&cart, &run, "/reason", "the computer is too hot");

    // A reload keeps the step, and its limits count.
    let known = run.log.lines().len();
    run.send(Signal::HUP);
    assert!(run.log.wait_after(known, PATIENCE, |line| line.contains("was reloaded")).is_some());
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(comes(&run, Corner::Off).outlined, 0);
    cart.put(&profile(&cart).with("heat.lite_bundle", "\"../other\"").with("heat.off_at_c", "100.0"));
    run.send(Signal::HUP);
    comes(&run, Corner::Reduced);
    state_says(&cart, &run, "/heat/step", "lite-bundle");

    sysfs.set(60.0);
    let assist = comes(&run, Corner::Assist);
    assert!(
        assist.outlined > 0
            || run.video.wait_since(assist.at, PATIENCE, |frame| frame.outlined > 0).is_some()
    );
    state_says(&cart, &run, "/heat/step", "none");
    state_says(&cart, &run, "/model/name", "bright");
    state_says(&cart, &run, "/state", "assist");
    run.assert_unbroken_since(from);
    for words in [
        "heat: cpu-thermal is at 79.0 °C: at most 5.0 inferences a second, until it has been below 74 °C for 1 s",
        "heat: cpu-thermal is at 90.0 °C: assistance is off, until it has been below 80 °C for 1 s",
        "assist → degraded: the computer is too hot",
        "heat: the profile's own bundle is in charge again",
    ] {
        assert_eq!(run.log.count(|line| line.contains(words)), 1, "{words:?} in {}", run.log.text());
    }
    // And once more for the profile that was reloaded.
    assert_eq!(
        run.log.count(|line| line.contains("the lighter bundle is in charge")),
        2,
        "{}",
        run.log.text()
    );
    run.assert_ends_well();
}

#[test]
fn a_sensor_that_hangs_or_goes_holds_nothing_up() {
    if !may_mount("a_sensor_that_hangs_or_goes_holds_nothing_up") {
        return;
    }
    let cart = Cart::alone(PROGRAM);
    cart.put(&profile(&cart));
    let sysfs = Sysfs::of(&cart, 60.0);
    let mut run = start(&cart);
    run.first_picture();
    run.assisted();
    let from = Instant::now();
    // Whoever opens it waits for ever.
    replace_by_fifo(&sysfs.temperature());
    let unread = "the sensors have not answered for";
    assert!(run.log.wait_after(0, PATIENCE, |line| line.contains(unread)).is_some(), "{}", run.log.text());
    let is_told = || cart.state().is_some_and(|state| state["heat"]["missing"].to_string().contains(unread));
    assert!(comes_true(PATIENCE, is_told), "{:?}", cart.state());
    comes(&run, Corner::Assist);
    run.assert_unbroken_since(from);
    run.assert_ends_well();
}

#[test]
fn a_computer_without_sensors_says_what_is_missing_and_assists() {
    if !may_mount("a_computer_without_sensors_says_what_is_missing_and_assists") {
        return;
    }
    let cart = Cart::shared(PROGRAM);
    fs::create_dir_all(cart.at("sys/class/thermal")).unwrap();
    let mut run = start(&cart);
    run.assisted();
    let missing = "the temperature is not known: temperature: no sensor of the processor";
    assert!(run.log.wait_after(0, PATIENCE, |line| line.contains(missing)).is_some(), "{}", run.log.text());
    state_says(&cart, &run, "/heat/celsius", "null");
    run.assert_ends_well();
}

/// `doctor` and `probe` say what sensors there are, what slows the board down, and what is missing.
#[test]
fn doctor_and_probe_tell_of_heat() {
    if !may_mount("doctor_and_probe_tell_of_heat") {
        return;
    }
    let cart = Cart::shared(PROGRAM);
    let sysfs = Sysfs::of(&cart, 79.5);
    sysfs.write("class/thermal/cooling_device0/cur_state", "1\n");
    sysfs.write("class/hwmon/hwmon0/name", "rpi_volt\n");
    sysfs.write("class/hwmon/hwmon0/in0_lcrit_alarm", "1\n");
    sysfs.write("bus/platform/drivers/raspberrypi-firmware/bind", "");
    let output = |arguments: &str| {
        let script = format!("mount --bind sys /sys && exec {} {arguments}", PROGRAM.0);
        let mut unshare = std::process::Command::new("unshare");
        let output =
            unshare.args(["--mount", "sh", "-c", &script]).current_dir(cart.at("")).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let told = output("doctor --board boards/test.toml");
    for words in [
        "hint cpu-thermal: 80 °C",
        "hint the board slows itself down: heat lowers the clock (cpu-throttle-alert)",
        "hint the board slows itself down: under-voltage (rpi_volt)",
        "ok   throttle flags: cpu-throttle-alert",
        "hint missing: throttle flags of the firmware: this kernel has no get_throttled",
    ] {
        assert!(told.contains(words), "{words:?} is not in {told}");
    }
    let told = output("probe");
    for words in [
        "  cpu-thermal: 79.5 °C",
        "  slows itself down: under-voltage (rpi_volt)",
        "  missing: throttle flags",
    ] {
        assert!(told.contains(words), "{words:?} is not in {told}");
    }
    let told: serde_json::Value = serde_json::from_str(&output("probe --json")).unwrap();
    assert_eq!(told["machine"]["temperatures"][0]["celsius"], 79.5, "{told}");
}
