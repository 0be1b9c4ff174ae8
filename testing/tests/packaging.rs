//! What the packages hold fits together: scripts, profiles, user and unit.

use std::path::PathBuf;
use std::process::Command;

use polyp_edge::board::{Board, DisplayKind};

fn cart(file: &str) -> PathBuf {
    testing::root().join("scripts/cart").join(file)
}

fn text(file: &str) -> String {
    std::fs::read_to_string(cart(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// `/etc/polyp-edge` as it is installed.
fn installed() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new(cart("profiles")).arg(folder.path()).status().unwrap();
    assert!(status.success());
    folder
}

/// What `choose-board` says for a machine whose firmware tells this of itself.
fn chosen(model: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), model).unwrap();
    let output = Command::new("sh").arg(cart("choose-board")).arg(file.path()).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

const MODELS: [(&[u8], &str); 7] = [
    (b"Raspberry Pi 5 Model B Rev 1.0\0", "raspberry-pi-5"),
    (b"NVIDIA Jetson Orin Nano Developer Kit\0", "jetson-orin-nano"),
    (b"NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0", "jetson-orin-nano"),
    (b"Raspberry Pi 4 Model B Rev 1.5\0", "generic"),
    (b"Raspberry Pi 500 Rev 1.0\0", "generic"),
    (b"linux,dummy-virt\0", "generic"),
    (b"", "generic"),
];

#[test]
fn the_board_is_chosen_by_what_its_firmware_tells() {
    for (model, board) in MODELS {
        assert_eq!(chosen(model), board, "{}", String::from_utf8_lossy(model));
    }
    let output = Command::new("sh").arg(cart("choose-board")).arg("/nowhere").output().unwrap();
    assert_eq!((output.status.success(), output.stdout.as_slice()), (true, b"generic\n".as_slice()));
}

#[test]
fn the_carts_profile_is_complete_whatever_board_is_chosen() {
    let folder = installed();
    for (_, board) in MODELS {
        let link = folder.path().join("board.toml");
        let _ = std::fs::remove_file(&link);
        // As postinst makes it.
        std::os::unix::fs::symlink(format!("{board}.toml"), &link).unwrap();
        let cart = Board::load(&folder.path().join("cart.toml")).unwrap();
        assert_eq!((cart.profile.name.as_str(), cart.profile.display.kind), ("cart", DisplayKind::Kms));
        assert!(!cart.profile.trust.development_key, "{board}");
        let own = Board::load(&folder.path().join(format!("{board}.toml"))).unwrap();
        assert_eq!(cart.bundle(), None, "what is installed runs");
        assert_eq!(cart.profile.model.threads, own.profile.model.threads);
        assert!(cart.profile.pipeline.audit_folder.is_some(), "{board}");
        assert!(cart.profile.display.folder.is_absolute() && cart.profile.pipeline.state_file.is_some());
    }
}

#[test]
fn each_profile_that_is_installed_names_a_bundle_that_is_installed() {
    let folder = installed();
    let mut profiles = 0;
    for file in testing::folder::files(folder.path()) {
        if file.extension().is_some_and(|ending| ending == "toml") && !file.ends_with("cart.toml") {
            let board = Board::load(&folder.path().join(&file)).unwrap();
            let bundle = board.bundle().unwrap();
            if let Ok(shipped) = bundle.strip_prefix("/usr/share/polyp-edge/bundles") {
                assert!(testing::root().join("models").join(shipped).is_dir(), "{}", bundle.display());
                profiles += 1;
            }
            assert!(bundle.is_absolute() || !bundle.starts_with(".."), "{}", bundle.display());
        }
    }
    assert!(profiles > 0 && !folder.path().join("board-vm.toml").exists());
}

#[test]
fn the_scripts_are_shell() {
    let scripts = [
        "choose-board",
        "debian/postinst",
        "debian/prerm",
        "debian/postrm",
        "image/mkosi.postinst.chroot",
        "image/mkosi.extra/usr/lib/polyp-edge/tryboot",
        "image/mkosi.extra/usr/lib/polyp-edge/wait-for-assistance",
    ];
    for script in scripts {
        assert!(text(script).starts_with("#!/bin/sh\n"), "{script}");
        let status = Command::new("sh").arg("-n").arg(cart(script)).status().unwrap();
        assert!(status.success(), "{script}");
    }
    let all = scripts.iter().map(|script| cart(script)).chain(
        ["package", "release", "package-check", "board-install", "image", "cart/profiles"]
            .map(|script| testing::root().join("scripts").join(script)),
    );
    match Command::new("shellcheck").args(all).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        Err(_) => eprintln!("skipped: there is no shellcheck"),
    }
}

#[test]
fn the_unit_and_its_user_fit_together() {
    let (unit, users) = (text("polyp-edge.service"), text("polyp-edge.sysusers"));
    let setting = |name: &str| unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    assert_eq!(setting("User"), Some("polyp-edge"));
    assert!(users.lines().any(|line| line.starts_with("u polyp-edge ")), "{users}");
    let groups = setting("SupplementaryGroups").unwrap();
    for group in groups.split_whitespace() {
        assert!(users.contains(&format!("m polyp-edge {group}\n")), "{group}");
    }
    let start = setting("ExecStart").unwrap();
    assert!(
        start.contains("/usr/bin/polyp-edge run") && start.contains("/etc/polyp-edge/cart.toml"),
        "{start}"
    );
    // The folders of the installed profiles.
    let folders = text("polyp-edge.tmpfiles");
    for board in ["raspberry-pi-5", "jetson-orin-nano", "generic"] {
        let board = Board::load(&testing::root().join(format!("boards/{board}.toml"))).unwrap();
        let state = board.profile.pipeline.state_file.unwrap();
        for folder in [state.parent().unwrap(), &board.profile.display.folder] {
            assert!(folders.contains(&format!("d {} ", folder.display())), "{}", folder.display());
        }
    }
}

/// An upgrade during an examination must not take the picture away.
/// systemd starts nothing where a path is missing: `/lib64` is not on every architecture.
#[test]
fn the_unit_needs_no_path_that_some_machine_lacks() {
    let unit = text("polyp-edge.service");
    let keys = [
        "ExecPaths",
        "ReadWritePaths",
        "ReadOnlyPaths",
        "InaccessiblePaths",
        "BindPaths",
        "BindReadOnlyPaths",
    ];
    let lines = unit.lines().filter_map(|line| line.split_once('=')).filter(|(key, _)| keys.contains(key));
    let paths: Vec<_> = lines.flat_map(|(_, paths)| paths.split_whitespace()).collect();
    assert!(paths.contains(&"/usr/bin/polyp-edge"), "{paths:?}");
    for path in paths {
        let is_everywhere = path.starts_with('-') || ["/usr/bin/polyp-edge", "/usr/lib"].contains(&path);
        assert!(is_everywhere, "{path}: with a - before it, it may be missing");
    }
}

#[test]
fn an_upgrade_lets_the_program_run() {
    let (before, after) = (text("debian/prerm"), text("debian/postinst"));
    let stops = |script: &str| {
        let is_command = |line: &&str| !line.trim_start().starts_with(['#', 'e']);
        script.lines().filter(is_command).any(|line| line.contains("restart") || line.contains(" stop "))
    };
    assert!(!stops(&after), "{after}");
    let (condition, _) = before.split_once(" stop ").unwrap();
    assert!(condition.contains("\"$1\" = remove"), "{before}");
    assert!(text("polyp-edge.needrestart").contains("polyp-edge\\.service$)} = 0;"));
}

/// The selector partition of an image, its bootloader's part of the device tree, and the script that RAUC calls.
struct Slots(tempfile::TempDir);

impl Slots {
    fn new(running: u8) -> Slots {
        let slots = Slots(tempfile::tempdir().unwrap());
        let text = "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n";
        std::fs::write(slots.0.path().join("autoboot.txt"), text).unwrap();
        slots.boots(running);
        slots
    }

    /// The firmware has booted this partition.
    fn boots(&self, partition: u8) {
        std::fs::write(self.0.path().join("partition"), [0, 0, 0, partition]).unwrap();
        // What was asked for is asked for once.
        let _ = std::fs::remove_file(self.0.path().join("parameter"));
    }

    fn says(&self, arguments: &str) -> String {
        let folder = self.0.path();
        let output = Command::new("sh")
            .arg(cart("image/mkosi.extra/usr/lib/polyp-edge/tryboot"))
            .args(arguments.split(' '))
            .env("SELECTOR", folder)
            .env("BOOTLOADER", folder)
            .env("REBOOT_PARAMETER", folder.join("parameter"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// The partition that the next start boots.
    fn next(&self) -> u8 {
        let folder = self.0.path();
        let section =
            if std::fs::read_to_string(folder.join("parameter")).is_ok_and(|text| text == "0 tryboot") {
                "[tryboot]"
            } else {
                "[all]"
            };
        let text = std::fs::read_to_string(folder.join("autoboot.txt")).unwrap();
        let (_, section) = text.split_once(section).unwrap();
        let (_, number) = section.split_once("boot_partition=").unwrap();
        number.lines().next().unwrap().parse().unwrap()
    }
}

#[test]
fn an_updated_slot_is_tried_once_and_stays_only_if_it_is_called_good() {
    let slots = Slots::new(2);
    assert_eq!(
        (slots.says("get-current"), slots.says("get-primary"), slots.next()),
        ("A".into(), "A".into(), 2)
    );
    // What RAUC does to install into the other slot.
    slots.says("set-state B bad");
    assert_eq!(slots.says("get-state B"), "bad");
    slots.says("set-state B good");
    slots.says("set-primary B");
    assert_eq!((slots.says("get-primary"), slots.next()), ("B".into(), 3));
    // It is booted, and dies: the old one is back.
    slots.boots(3);
    assert_eq!((slots.says("get-current"), slots.next()), ("B".into(), 2));
    slots.boots(2);
    // Again, and this time it is called good: it stays.
    slots.says("set-primary B");
    slots.boots(3);
    slots.says("set-state B good");
    assert_eq!((slots.says("get-primary"), slots.next()), ("B".into(), 3));
    slots.boots(3);
    assert_eq!(
        (slots.says("get-current"), slots.says("get-primary"), slots.next()),
        ("B".into(), "B".into(), 3)
    );
    // And so back again.
    slots.says("set-primary A");
    assert_eq!(slots.next(), 2);
    slots.boots(2);
    slots.says("set-state A good");
    assert_eq!((slots.says("get-primary"), slots.next()), ("A".into(), 2));
    // To call a slot good that does not run changes nothing of what is booted.
    slots.says("set-state B good");
    assert_eq!(slots.next(), 2);
}

#[test]
fn a_slot_is_good_only_while_assistance_of_this_start_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (state, boot) = (folder.path().join("state.json"), folder.path().join("boot_id"));
    std::fs::write(&boot, "one\n").unwrap();
    let is_good = || {
        let output = Command::new("sh")
            .arg(cart("image/mkosi.extra/usr/lib/polyp-edge/wait-for-assistance"))
            .arg("1")
            .env("STATE_FILE", &state)
            .env("BOOT_ID", &boot)
            .output()
            .unwrap();
        output.status.success()
    };
    assert!(!is_good(), "there is no state file");
    // The program's own text, by the names of its fields; tests/cart/state_file.rs has the rest of it.
    for (word, phase, start, good) in [
        ("degraded", "running", "one", false),
        ("no-signal", "running", "one", false),
        ("assist", "stopped", "one", false),
        ("assist", "running", "another", false),
        ("assist", "running", "one", true),
    ] {
        let text = serde_json::json!({
            "schema": 1, "state": word, "phase": phase, "boot_id": start, "program": {"state": "assist"}
        });
        std::fs::write(&state, serde_json::to_string_pretty(&text).unwrap()).unwrap();
        assert_eq!(is_good(), good, "{word}, {phase}, {start}");
    }
}
