//! The service that starts the program with the machine: its user and devices, its limits, what watches over it, what it may not do.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::findings::Findings;
use super::unit::Unit;
use crate::board::Board;
use crate::cart::sandbox::{self, Kernel};

const UNIT: &str = "polyp-edge.service";
/// What the shipped unit denies the program; each with what it must be, or that it must be there.
const SANDBOX: [(&str, &[&str]); 8] = [
    ("ProtectSystem", &["strict"]),
    ("ProtectHome", &["yes", "true", "tmpfs"]),
    ("DevicePolicy", &["closed", "strict"]),
    ("NoNewPrivileges", &["yes", "true"]),
    ("PrivateNetwork", &["yes", "true"]),
    ("MemoryDenyWriteExecute", &["yes", "true"]),
    ("RestrictAddressFamilies", &[]),
    ("SystemCallFilter", &[]),
];
/// Puts lines into the service's unit for good.
const EDIT: &str = "sudo systemctl edit polyp-edge, then sudo systemctl restart polyp-edge: in [Service]";

/// Looks at a root's service, and at these devices beneath the same root; `board` with its path.
pub(super) fn look(
    root: &Path,
    board: Option<(&Path, &Board)>,
    devices: &[PathBuf],
    findings: &mut Findings,
) {
    landlock(sandbox::kernel(), board.is_none_or(|(_, board)| board.profile.pipeline.sandbox), findings);
    let priority = board.map_or(0, |(_, board)| board.profile.pipeline.realtime_priority);
    let Some((path, unit)) = Unit::find(root, UNIT) else {
        let watched = match priority {
            0 => String::new(),
            _ => format!(
                ", and pipeline.realtime_priority is {priority}: without a watchdog, a thread that runs away keeps a core for itself"
            ),
        };
        findings.advice(
            format!("there is no service polyp-edge: nothing starts the program with the machine or watches over it{watched}"),
            "install the package, or copy scripts/cart/polyp-edge.service to /etc/systemd/system and make its user; then sudo systemctl \
             enable --now polyp-edge",
        );
        return;
    };
    findings.good(format!("service polyp-edge: {}", path.display()));
    if !root.join("etc/systemd/system/multi-user.target.wants").join(UNIT).exists() {
        findings.advice(
            "the service polyp-edge does not start with the machine",
            "sudo systemctl enable --now polyp-edge",
        );
    }
    user(root, &unit, devices, findings);
    devices_allowed(&unit, findings);
    if let Some((path, board)) = board {
        paths(&unit, path, board, findings);
    }
    supervision(&unit, priority, findings);
    let missing: Vec<&str> = SANDBOX
        .iter()
        .filter(|(key, values)| match values {
            [] => unit.last(key).is_empty(),
            values => !values.contains(&unit.last(key)),
        })
        .map(|(key, _)| *key)
        .collect();
    if missing.is_empty() {
        findings.good("the service is shut off from all that it does not need");
    } else {
        findings.advice(
            format!("the service may do more than it needs: its unit lacks {}", missing.join("=, ") + "="),
            "take these lines from the shipped scripts/cart/polyp-edge.service; systemd-analyze security polyp-edge rates the unit",
        );
    }
}

fn landlock(kernel: Kernel, is_wanted: bool, findings: &mut Findings) {
    let lacks = kernel.lacks();
    match kernel {
        _ if !is_wanted => findings.advice(
            "pipeline.sandbox is false: the program may open all that its user may",
            "set it to true in the profile",
        ),
        Kernel::Version(_) if lacks.is_empty() => findings.good(kernel.to_string()),
        Kernel::Version(_) => findings.good(format!("{kernel}; it does not restrict {lacks}")),
        Kernel::Off => findings.advice(
            format!("{kernel}: the program cannot restrict itself"),
            "put landlock first in lsm= on the kernel's command line, before what cat /sys/kernel/security/lsm shows: on a Raspberry Pi \
             in /boot/firmware/cmdline.txt, on a Jetson in /boot/extlinux/extlinux.conf",
        ),
        Kernel::Without => findings.advice(
            format!("{kernel}: the program cannot restrict itself"),
            "use a kernel from 5.13 on that was built with CONFIG_SECURITY_LANDLOCK; until then, the service's unit alone restricts it",
        ),
    }
}

/// A user and the groups that it is in.
struct User {
    id: u32,
    groups: Vec<u32>,
}

impl User {
    /// By the lists of a root, with the groups that the unit adds; `None` if there is no such user.
    fn find(root: &Path, unit: &Unit, name: &str) -> Option<User> {
        let read = |file: &str| fs::read_to_string(root.join("etc").join(file)).unwrap_or_default();
        let passwd = read("passwd");
        let entry = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let entry = entry.into_iter().find(|fields| fields.first() == Some(&name))?;
        let number = |field: usize| entry.get(field).and_then(|text| text.parse::<u32>().ok());
        let added: Vec<&str> = unit.words("SupplementaryGroups").collect();
        let mut groups = vec![number(3)?];
        for line in read("group").lines() {
            let fields: Vec<&str> = line.split(':').collect();
            let [group, _, id, members, ..] = fields[..] else { continue };
            if added.contains(&group) || members.split(',').any(|member| member == name) {
                groups.extend(id.parse::<u32>());
            }
        }
        Some(User { id: number(2)?, groups })
    }

    /// Whether it may read and write a file of this owner, group and mode.
    fn may_use(&self, owner: u32, group: u32, mode: u32) -> bool {
        let bits = match () {
            () if self.id == 0 => 6,
            () if self.id == owner => mode >> 6,
            () if self.groups.contains(&group) => mode >> 3,
            () => mode,
        };
        bits & 6 == 6
    }
}

fn user(root: &Path, unit: &Unit, devices: &[PathBuf], findings: &mut Findings) {
    let name = unit.last("User");
    if ["", "root", "0"].contains(&name) {
        findings.advice(
            "the service runs as root, which may do all on this machine",
            format!("{EDIT}, User=polyp-edge, Group=polyp-edge and SupplementaryGroups=video render"),
        );
        return;
    }
    let Some(user) = User::find(root, unit, name) else {
        let mend = format!(
            "sudo useradd --system --user-group --no-create-home --shell /usr/sbin/nologin --groups video,render {name}"
        );
        findings.bad(format!("the service's user {name} does not exist"), mend);
        return;
    };
    let mut may = true;
    for device in devices {
        let Ok(file) = fs::metadata(device) else { continue };
        if !user.may_use(file.uid(), file.gid(), file.mode()) {
            may = false;
            findings.bad(
                format!("the service's user {name} may not use {}, which belongs to group {}", device.display(), file.gid()),
                format!("sudo usermod -aG video,render {name} && sudo systemctl restart polyp-edge; udev gives cameras to video, monitors to video and render"),
            );
        }
    }
    if may {
        findings.good(format!(
            "the service's user {name} may use {}",
            match devices {
                [] => "cameras and monitors, of which there is none now".to_owned(),
                devices =>
                    devices.iter().map(|device| device.display().to_string()).collect::<Vec<_>>().join(", "),
            }
        ));
    }
}

fn devices_allowed(unit: &Unit, findings: &mut Findings) {
    if !["closed", "strict"].contains(&unit.last("DevicePolicy")) {
        return;
    }
    for (kind, what) in [("char-video4linux", "cameras"), ("char-drm", "monitors")] {
        if !unit.words("DeviceAllow").any(|word| word == kind) {
            findings.bad(
                format!("the service's unit is closed to {what}: DevicePolicy= is set, and DeviceAllow= lacks {kind}"),
                format!("{EDIT}, DeviceAllow={kind} rw"),
            );
        }
    }
}

/// Whether the service can reach what the profile names.
fn paths(unit: &Unit, path: &Path, board: &Board, findings: &mut Findings) {
    let real = |path: &Path| path.canonicalize().unwrap_or(path.to_owned());
    let named = unit.words("ExecStart").skip_while(|word| *word != "--board").nth(1);
    if let Some(named) = named.filter(|named| real(Path::new(named)) != real(path)) {
        findings.advice(
            format!("the service runs with {named}, and not with {}", path.display()),
            format!("polyp-edge doctor --board {named} looks at what the service runs with"),
        );
        return;
    }
    if unit.last("ProtectSystem") == "strict" {
        let made = |key: &'static str, below: &'static str| {
            unit.words(key).map(move |name| PathBuf::from(below).join(name)).collect::<Vec<_>>()
        };
        let mut writable = made("RuntimeDirectory", "/run");
        writable.extend(made("StateDirectory", "/var/lib"));
        writable.extend(
            unit.words("ReadWritePaths").map(|path| PathBuf::from(path.trim_start_matches(['-', '+']))),
        );
        let profile = &board.profile;
        let state = profile.pipeline.state_file.as_deref().and_then(Path::parent);
        let keys = [
            ("display.folder", Some(profile.display.folder.as_path())),
            ("pipeline.state_file", state),
            ("pipeline.audit_folder", profile.pipeline.audit_folder.as_deref()),
            ("pipeline.latency_folder", profile.pipeline.latency_folder.as_deref()),
            ("study.folder", profile.study.folder.as_deref()),
            ("pipeline.metrics_file", profile.pipeline.metrics_file.as_deref().and_then(Path::parent)),
            ("store.folder", board.bundle().is_none().then_some(profile.store.folder.as_path())),
        ];
        for (key, folder) in keys.into_iter().filter_map(|(key, folder)| Some((key, folder?))) {
            if !writable.iter().any(|may| folder.starts_with(may)) {
                findings.bad(
                    format!("{key} lies in {}, where the service may not write", folder.display()),
                    format!("name a folder in /var/lib/polyp-edge or /run/polyp-edge in the profile; or {EDIT}, ReadWritePaths={}", folder.display()),
                );
            }
        }
    }
    let hides_homes = !["", "no", "false", "read-only"].contains(&unit.last("ProtectHome"));
    let bundle = board.bundle().map(|bundle| ("model.bundle", bundle));
    for (key, path) in bundle.into_iter().chain([("trust.keys", board.keys())]) {
        let is_hidden =
            hides_homes && ["/home", "/root", "/run/user"].iter().any(|home| real(&path).starts_with(home));
        if is_hidden {
            findings.bad(
                format!("{key} lies in {}, which the service cannot see (ProtectHome=)", path.display()),
                "move it to /var/lib/polyp-edge or /etc/polyp-edge, and name that in the profile",
            );
        }
    }
}

fn supervision(unit: &Unit, priority: u8, findings: &mut Findings) {
    let is_watched = unit.last("Type").starts_with("notify") && unit.is_set("WatchdogSec");
    match (is_watched, priority) {
        (true, _) => findings.good(format!("a watchdog of {} ends a program whose display stands still", unit.last("WatchdogSec"))),
        (false, 0) => findings.advice(
            "no watchdog: a program whose display stands still is not started anew",
            format!("{EDIT}, Type=notify and WatchdogSec=4s"),
        ),
        (false, priority) => findings.advice(
            format!("pipeline.realtime_priority is {priority} and no watchdog bounds it: a thread that runs away keeps a core for itself"),
            format!("{EDIT}, Type=notify and WatchdogSec=4s; or set pipeline.realtime_priority to 0"),
        ),
    }
    if priority > 0 {
        let limit: u8 = unit.last("LimitRTPRIO").parse().unwrap_or(0);
        if limit < priority && unit.last("LimitRTPRIO") != "infinity" {
            findings.advice(
                format!("pipeline.realtime_priority is {priority}, and the service's limit is {limit}: it runs without"),
                format!("{EDIT}, LimitRTPRIO={}", u32::from(priority) + 10),
            );
        }
        if !unit.is_set("LimitRTTIME") {
            findings.advice(
                "nothing ends a thread with real-time priority that never rests",
                format!("{EDIT}, LimitRTTIME=500ms"),
            );
        }
    }
    if unit.last("Restart") != "always" {
        findings.advice(
            "the service is not started again whenever it ends",
            format!("{EDIT}, Restart=always and RestartSec=200ms"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::findings::Level;
    use super::*;

    /// A root with the shipped unit, its user and its groups.
    fn cart() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/cart/polyp-edge.service");
        let unit = fs::read_to_string(shipped).unwrap();
        put(root.path(), "usr/lib/systemd/system/polyp-edge.service", &unit);
        put(root.path(), "etc/systemd/system/multi-user.target.wants/polyp-edge.service", &unit);
        put(
            root.path(),
            "etc/passwd",
            "root:x:0:0::/root:/bin/sh\npolyp-edge:x:990:985::/:/usr/sbin/nologin\n",
        );
        put(
            root.path(),
            "etc/group",
            "root:x:0:\nvideo:x:44:pi\nrender:x:106:pi\ninput:x:107:polyp-edge\npolyp-edge:x:985:\n",
        );
        root
    }

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn board(name: &str) -> (PathBuf, Board) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("boards/{name}.toml"));
        let board = Board::load(&path).unwrap();
        (path, board)
    }

    /// What was found beneath a root that is not good, but for Landlock, which is this machine's.
    fn complaints(root: &Path, unit: &str, board: Option<&(PathBuf, Board)>) -> Vec<String> {
        put(root, "etc/systemd/system/polyp-edge.service.d/test.conf", &format!("[Service]\n{unit}\n"));
        let mut findings = Findings::default();
        let board = board.map(|(path, board)| (path.as_path(), board));
        look(root, board, &[], &mut findings);
        let kept = |finding: &super::super::findings::Finding| {
            finding.level != Level::Good && !finding.what.contains("Landlock")
        };
        findings.0.into_iter().filter(kept).map(|finding| finding.what).collect()
    }

    #[test]
    fn the_shipped_unit_is_well() {
        let root = cart();
        assert_eq!(complaints(root.path(), "", None), Vec::<String>::new());
        for name in ["raspberry-pi-5", "jetson-orin-nano"] {
            let board = board(name);
            let unit = format!("ExecStart=\nExecStart=/usr/bin/polyp-edge run --board {}", board.0.display());
            let found = complaints(root.path(), &unit, Some(&board));
            // This repository may lie in somebody's home.
            let found: Vec<_> = found.into_iter().filter(|what| !what.contains("ProtectHome")).collect();
            assert_eq!(found, Vec::<String>::new(), "{name}");
        }
    }

    #[test]
    fn what_is_missing_is_found() {
        let root = cart();
        let board = board("raspberry-pi-5");
        let exec = format!("ExecStart=\nExecStart=/usr/bin/polyp-edge run --board {}\n", board.0.display());
        for (unit, words) in [
            ("User=root", "runs as root"),
            ("User=nobody", "user nobody does not exist"),
            ("WatchdogSec=0", "realtime_priority is 40 and no watchdog bounds it"),
            ("Type=simple", "no watchdog bounds it"),
            ("LimitRTPRIO=0", "the service's limit is 0"),
            ("LimitRTTIME=infinity", "never rests"),
            ("Restart=no", "not started again"),
            ("DeviceAllow=\nDeviceAllow=char-drm rw", "closed to cameras"),
            ("ProtectSystem=full", "lacks ProtectSystem="),
            ("SystemCallFilter=", "lacks SystemCallFilter="),
            (
                "StateDirectory=",
                "display.folder lies in /var/lib/polyp-edge, where the service may not write",
            ),
        ] {
            let found = complaints(root.path(), &format!("{exec}{unit}"), Some(&board));
            let found: Vec<_> = found.into_iter().filter(|what| !what.contains("ProtectHome")).collect();
            // The audit trail and the log of latencies lie beneath the same folder.
            let is_other = |what: &String| !what.contains("audit_folder") && !what.contains("latency_folder");
            let found: Vec<_> = found.into_iter().filter(is_other).collect();
            assert!(found.len() == 1 && found[0].contains(words), "{unit}: {found:?}");
        }
        assert!(
            complaints(root.path(), "", Some(&board))[0]
                .contains("the service runs with /etc/polyp-edge/cart.toml")
        );
        fs::remove_file(root.path().join("etc/systemd/system/multi-user.target.wants/polyp-edge.service"))
            .unwrap();
        assert!(complaints(root.path(), "", None)[0].contains("does not start with the machine"));
        fs::remove_file(root.path().join("usr/lib/systemd/system/polyp-edge.service")).unwrap();
        let found = complaints(root.path(), "", Some(&board));
        assert!(
            found[0].contains("there is no service") && found[0].contains("realtime_priority is 40"),
            "{found:?}"
        );
    }

    #[test]
    fn devices_are_for_owner_group_and_others() {
        let root = cart();
        let (_, unit) = Unit::find(root.path(), UNIT).unwrap();
        let user = User::find(root.path(), &unit, "polyp-edge").unwrap();
        assert_eq!((user.id, &user.groups), (990, &vec![985, 44, 106, 107]));
        // crw-rw---- root video, as udev makes cameras; then without the group's right; then a group that it is not in.
        assert!(
            user.may_use(0, 44, 0o20660) && !user.may_use(0, 44, 0o20640) && !user.may_use(0, 5, 0o20660)
        );
        assert!(user.may_use(990, 5, 0o600) && user.may_use(0, 5, 0o666) && !user.may_use(990, 44, 0o060));
        let mut findings = Findings::default();
        let device = root.path().join("device");
        fs::write(&device, "").unwrap();
        super::user(root.path(), &unit, &[device], &mut findings);
        assert!(
            findings.0[0].level == Level::Bad && findings.0[0].what.contains("may not use"),
            "{:?}",
            findings.0
        );
    }
}
