//! `doctor`: what is wrong with this machine, and how to mend it. What mends it lasts beyond a restart of the machine.
//!
//! | module | job |
//! |---|---|
//! | here | profile, bundle, camera, monitor, heat, memory |
//! | `findings` | what was found, and how bad it is |
//! | `room` | keys and buttons for orders |
//! | `service` | the service's user, its devices, limits, watchdog and sandbox |
//! | `unit` | the service's unit as systemd reads it |
//! | `speed` | how long the model takes, against the camera's rate |
//! | `storage` | room on the disks that the profile names |
//! | `clock` | whether the clock is set, and stays so |

mod clock;
mod findings;
mod room;
mod service;
mod speed;
mod storage;
mod unit;

use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::fs::{Access, access};
use rustix::process::{Resource, getrlimit};

use super::heat;
use findings::{Finding, Findings, Level};

use crate::board::{Board, DisplayKind};
use crate::capture::v4l2::{self, CameraFacts, facts::DeviceRole};
use crate::display::kms::{self, CardFacts, gpu::Status};
use crate::fault::{Exit, Fault, exit_of};
use crate::health::{self, Machine};
use crate::store;

/// Programs that draw on the monitor, and what ends them.
const DRAWING_PROGRAMS: [(&str, &str); 7] = [
    ("plymouthd", "sudo systemctl mask plymouth-start.service && sudo plymouth quit"),
    ("Xorg", "sudo systemctl set-default multi-user.target && sudo systemctl isolate multi-user.target"),
    ("labwc", "sudo systemctl set-default multi-user.target && sudo systemctl isolate multi-user.target"),
    ("wayfire", "sudo systemctl set-default multi-user.target && sudo systemctl isolate multi-user.target"),
    (
        "gnome-shell",
        "sudo systemctl set-default multi-user.target && sudo systemctl isolate multi-user.target",
    ),
    ("weston", "sudo systemctl disable --now weston"),
    ("polyp-edge", "end the other polyp-edge, which nobody has started as a service"),
];

/// Looks for problems on this machine: missing permissions, programs that use the camera or the monitor, a wrong profile
/// or bundle, a model that is too slow for the camera, the service's user, limits, watchdog and sandbox, full disks, a wrong clock,
/// heat. Changes nothing. The exit code is 1 if something must be fixed.
#[derive(clap::Args)]
pub struct Arguments {
    /// Also check this board's profile, its bundle, camera and monitor.
    #[arg(long, value_name = "FILE")]
    board: Option<PathBuf>,
    /// Print JSON on standard output.
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct DoctorReport {
    schema: u32,
    findings: Vec<Finding>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut findings = Findings::default();
    let board = arguments.board.as_ref().map(|path| Board::load(path));
    let board = match board {
        Some(Ok(board)) => {
            findings.good(format!("profile {}: valid", board.profile.name));
            for doubt in board.profile.doubts() {
                findings.advice(doubt, "change it in the profile");
            }
            Some(board)
        }
        Some(Err(error)) => {
            findings
                .bad(format!("{error:#}"), "correct the profile; polyp-edge check --board FILE checks it");
            None
        }
        None => None,
    };
    if let Some(board) = &board {
        bundle(board, &mut findings);
        storage::look(board, &mut findings);
        room::look(board, &mut findings);
    }
    let mut devices = Vec::new();
    let wants_camera = board.as_ref().is_none_or(|board| board.profile.camera.device().is_some());
    if wants_camera {
        let wanted = board.as_ref().and_then(|board| board.profile.camera.device()).flatten();
        let found = v4l2::probe();
        devices.extend(found.iter().map(|camera| camera.path.clone()));
        cameras(&found, wanted, &mut findings);
        for bridge in v4l2::bridges() {
            edid(&bridge.path, Some(bridge.has_edid), &mut findings);
        }
    }
    let wants_monitor = board.as_ref().is_none_or(|board| board.profile.display.kind == DisplayKind::Kms);
    if wants_monitor {
        let display = board.as_ref().map(|board| &board.profile.display);
        let connector = display.and_then(|display| display.connector.as_deref());
        let card = display.and_then(|display| display.card.as_deref());
        let found = kms::cards();
        devices.extend(found.iter().map(|card| card.path.clone()));
        monitors(&found, card, connector, &mut findings);
        service::look(
            Path::new("/"),
            arguments.board.as_deref().zip(board.as_ref()),
            &devices,
            &mut findings,
        );
    }
    clock::look(&mut findings);
    machine(&health::machine(), board.as_ref(), &mut findings);
    tell(arguments, findings.0)
}

fn tell(arguments: &Arguments, findings: Vec<Finding>) -> Result<()> {
    let bad = findings.iter().filter(|finding| finding.level == Level::Bad).count();
    if arguments.json {
        say!("{}", serde_json::to_string_pretty(&DoctorReport { schema: 1, findings })?);
    } else {
        for finding in &findings {
            let mark = match finding.level {
                Level::Good => "ok  ",
                Level::Advice => "hint",
                Level::Bad => "BAD ",
            };
            say!("{mark} {}", finding.what);
            if let Some(mend) = &finding.mend {
                say!("     → {mend}");
            }
        }
    }
    match bad {
        0 => Ok(()),
        1 => Err(Fault::new(Exit::Assertion, "one problem must be fixed")),
        _ => Err(Fault::new(Exit::Assertion, format!("{bad} problems must be fixed"))),
    }
}

fn bundle(board: &Board, findings: &mut Findings) {
    match store::bundle(board) {
        Ok(bundle) => {
            findings.good(format!("bundle {}: all files match the manifest", bundle.manifest.name));
            speed::look(board, &bundle, findings);
            match bundle.signer {
                Some(signer) if signer.is_development => findings.advice(
                    format!("bundle {}: signed with {signer}", bundle.manifest.name),
                    "sign it with a key of your own: `polyp-edge bundle keygen`, then `polyp-edge bundle sign`",
                ),
                Some(signer) => findings.good(format!("bundle {}: signed with {signer}", bundle.manifest.name)),
                None => {}
            }
        }
        Err(error) if exit_of(&error) == Exit::Signature => findings.bad(
            format!("{error:#}"),
            "sign it with a key whose public half is in trust.keys, or name another bundle in the profile",
        ),
        Err(error) => {
            findings.bad(format!("{error:#}"), "copy the bundle again, or name another one in the profile")
        }
    }
    if let Some(folder) = board.profile.pipeline.state_file.as_deref().and_then(Path::parent) {
        writable("the state file's folder", folder, findings);
    }
    writable("the reports' folder", &board.profile.display.folder, findings);
}

/// A folder that exists, or can be made.
fn writable(name: &str, folder: &Path, findings: &mut Findings) {
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    if access(there, Access::WRITE_OK).is_err() {
        findings.advice(format!("{name} {} is not writable", folder.display()), made_for_good(folder));
    }
}

/// What makes a folder that this user may write to, and makes it again where it does not last: `/run` is empty after each start.
fn made_for_good(folder: &Path) -> String {
    let folder = folder.display();
    if folder.to_string().starts_with("/run/") {
        format!(
            "echo \"d {folder} 0755 $USER\" | sudo tee /etc/tmpfiles.d/polyp-edge-run.conf && sudo systemd-tmpfiles --create; \
             the service makes it itself"
        )
    } else {
        format!("sudo install -d -o \"$USER\" {folder}")
    }
}

/// Whether a process was started as the service.
fn is_the_service(process: u32) -> bool {
    let groups = std::fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default();
    groups.lines().any(|line| line.ends_with("/polyp-edge.service"))
}

fn cameras(cameras: &[CameraFacts], wanted: Option<&str>, findings: &mut Findings) {
    if let Some(wanted) = wanted.filter(|wanted| !Path::new(wanted).exists()) {
        findings.bad(
            format!("the profile's camera {wanted} does not exist"),
            "plug it in, or name one of the cameras that `polyp-edge probe` lists",
        );
    }
    let cameras: Vec<_> = cameras
        .iter()
        .filter(|camera| camera.kind == DeviceRole::Capture || camera.error.is_some())
        .collect();
    if cameras.is_empty() {
        findings.bad(
            "no camera",
            "plug one in; if one is plugged in, `dmesg | tail` says why the kernel does not recognise it",
        );
    }
    for camera in cameras {
        let path = camera.path.display();
        let (ours, others): (Vec<_>, Vec<_>) =
            kms::holders(&camera.path).into_iter().partition(|holder| is_the_service(holder.pid));
        if !ours.is_empty() {
            findings.good(format!("{path} is in use by the service polyp-edge"));
        }
        let holders: Vec<_> =
            others.into_iter().map(|holder| format!("{} (process {})", holder.name, holder.pid)).collect();
        if access(&camera.path, Access::READ_OK | Access::WRITE_OK).is_err() {
            findings.bad(
                format!("{path} ({}): no access", camera.card),
                "sudo usermod -aG video \"$USER\", then log in again",
            );
        } else if let Some(error) = &camera.error {
            findings.bad(format!("{path}: {error}"), "unplug it and plug it in again");
        } else if !holders.is_empty() {
            let holders = holders.join(", ");
            findings.advice(
                format!("{path} ({}) is in use by {holders}", camera.card),
                "stop the program that uses it",
            );
        } else {
            findings.good(format!("camera {path}: {}", camera.card));
        }
        edid(&camera.path, camera.has_edid, findings);
        let input = camera.inputs.iter().find(|input| input.selected && input.status != "ok");
        if let Some(input) = input {
            findings.advice(
                format!("{path}, {}: {}", input.name, input.status),
                "check the cable and the endoscopy processor's output",
            );
        }
        if wanted == camera.path.to_str() && !camera.stable_names.is_empty() {
            let stable = camera.stable_names.first().map_or(String::new(), |name| name.display().to_string());
            findings.advice(
                format!("{path} may get another number after a restart"),
                format!("name it {stable} in the profile"),
            );
        }
    }
}

/// Whether a source finds a monitor at an HDMI input.
fn edid(path: &Path, is_there: Option<bool>, findings: &mut Findings) {
    if is_there == Some(false) {
        let path = path.display();
        findings.bad(
            format!("{path} has no EDID: an endoscopy processor finds no monitor there, and most send nothing then"),
            format!(
                "sudo v4l2-ctl -d {path} --set-edid=type=hdmi (package v4l-utils); docs/hardware.md has how to have it written at each start"
            ),
        );
    }
}

fn monitors(cards: &[CardFacts], card: Option<&Path>, connector: Option<&str>, findings: &mut Findings) {
    let canonical = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let usable = |facts: &&CardFacts| match card {
        Some(card) => canonical(card) == canonical(&facts.path),
        None => !facts.connectors.is_empty() || facts.trouble.is_some(),
    };
    let cards: Vec<_> = cards.iter().filter(usable).collect();
    if cards.is_empty() {
        findings.bad(
            card.map_or("no display: there is no /dev/dri/card* with connectors".to_owned(), |card| {
                format!("the profile's card {} does not exist", card.display())
            }),
            "load the driver: on a Raspberry Pi dtoverlay=vc4-kms-v3d in config.txt, on a Jetson \
             nvidia-drm.modeset=1 on the kernel's command line",
        );
    }
    for facts in cards {
        let path = facts.path.display();
        if access(&facts.path, Access::READ_OK | Access::WRITE_OK).is_err() {
            findings.bad(
                format!("{path}: no access"),
                "sudo usermod -aG video,render \"$USER\", then log in again",
            );
            continue;
        }
        if !facts.is_atomic {
            findings.bad(
                format!("{path} ({}) does not support atomic mode setting", facts.driver),
                "use the vendor's KMS driver (vc4-kms-v3d; nvidia-drm.modeset=1)",
            );
        }
        for holder in kms::holders(&facts.path) {
            if is_the_service(holder.pid) {
                findings.good(format!("{path} is in use by the service polyp-edge"));
                continue;
            }
            let known = DRAWING_PROGRAMS.iter().find(|(name, _)| holder.name.starts_with(name));
            let what = format!("{path} is in use by {} (process {})", holder.name, holder.pid);
            match known {
                Some((_, mend)) => findings.bad(what, *mend),
                None => findings.advice(what, "stop it if it draws on the monitor"),
            }
        }
        let of_name = facts.connectors.iter().find(|one| Some(one.name.as_str()) == connector);
        match (connector, of_name) {
            (Some(name), None) => {
                let names: Vec<_> = facts.connectors.iter().map(|one| one.name.as_str()).collect();
                findings.bad(
                    format!("{path} has no connector {name}"),
                    format!("name one of its connectors in the profile: {}", names.join(", ")),
                );
            }
            (Some(name), Some(facts)) if facts.status != Status::Connected => {
                findings.advice(format!("no monitor at {name}"), "plug one in; the program waits for it");
            }
            _ if facts.connectors.iter().all(|one| one.status != Status::Connected) => {
                findings.advice(format!("no monitor at {path}"), "plug one in; the program waits for it");
            }
            _ => findings.good(format!("display {path}: {}", facts.driver)),
        }
    }
}

fn machine(machine: &Machine, board: Option<&Board>, findings: &mut Findings) {
    for (what, mend) in heat::hints(machine, board) {
        match mend {
            Some(mend) => findings.advice(what, mend),
            None => findings.good(what),
        }
    }
    if let Some(governor) = machine.governor.as_deref().filter(|&governor| governor != "performance") {
        findings.advice(
            format!("the CPU's governor is {governor}: the first frames after a pause come late"),
            "echo 'w /sys/devices/system/cpu/cpufreq/policy*/scaling_governor - - - - performance' | sudo tee \
             /etc/tmpfiles.d/polyp-edge-governor.conf && sudo systemd-tmpfiles --create",
        );
    }
    if machine.kernel_sets.first() == Some(&"scalar") {
        findings.advice("this CPU has no vector kernels", "use a 64-bit ARM CPU, or an x86 CPU with AVX2");
    }
    if let Some(available) = machine.memory_available_mb.filter(|&available| available < 128) {
        findings.advice(
            format!("only {available} MB of memory are free"),
            "end other programs until 128 MB are free",
        );
    }
    let Some(board) = board else { return };
    let priority = u64::from(board.profile.pipeline.realtime_priority);
    let limit = getrlimit(Resource::Rtprio).current.unwrap_or(u64::MAX);
    if priority > limit && !rustix::process::geteuid().is_root() {
        findings.advice(
            format!("pipeline.realtime_priority is {priority}, but this user's limit is {limit}"),
            "as a service it has its unit's LimitRTPRIO=; for runs by hand: echo \"$USER - rtprio 50\" | sudo tee \
             /etc/security/limits.d/polyp-edge.conf, then log in again",
        );
    }
    for core in health::not_online(&board.profile.model.cores) {
        findings.advice(
            format!("model.cores names core {core}, which is not there or offline: its thread runs on any free core"),
            "name cores that are online (cat /sys/devices/system/cpu/online), or leave model.cores empty",
        );
    }
}
