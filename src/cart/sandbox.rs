//! What the program denies itself for as long as it lives, by the kernel's Landlock: all files but those that it needs, and the network.
//!
//! Rules cannot be widened later. So they hold for folders rather than for files: those of the profile, of its bundle and of its keys,
//! those that it writes to, and those where a cart keeps its things ([`PLACES`]). A profile that is reloaded and names a path elsewhere
//! is refused with a line that says so. A folder that is removed and made anew is another one, which no rule knows.
//!
//! It holds for the thread that calls [`Sandbox::enter`] and for all that are started after it. The thread that writes the log was
//! started before; it opens nothing. Kernels from 7.0 on (Landlock's ABI 8) include it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, PathFd, PathFdError,
    RestrictSelfAttr, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};

use super::prepare::Opening;
use crate::board::{self, Board};
use crate::fault::{Fault, one_line};
use crate::files::make_folder;
use crate::runtime;

/// Where a cart keeps its profile, its bundles, its state: may be read and, but for the first three, written.
pub const PLACES: [(&str, bool); 5] = [
    ("/etc/polyp-edge", false),
    ("/usr/lib/polyp-edge", false),
    ("/usr/share/polyp-edge", false),
    ("/var/lib/polyp-edge", true),
    ("/run/polyp-edge", true),
];
/// What the kernel says of itself and of the machine, and the time zones.
const SYSTEM: [&str; 4] = ["/proc", "/sys", "/usr/share/zoneinfo", "/etc/localtime"];
/// What a tone takes: the ALSA library and its settings.
const SOUND: [&str; 5] = ["/etc/ld.so.cache", "/usr/lib", SOUND_SETTINGS, "/etc/alsa", "/etc/asound.conf"];
const SOUND_SETTINGS: &str = "/usr/share/alsa";
/// Cameras and monitors: they come and go, so the rule is for the folder. What a service may open there, its unit says.
const DEVICES: &str = "/dev";
/// What Landlock restricts from which version on.
const OFFERS: [(u32, &str); 5] = [
    (1, "reading and writing files"),
    (3, "truncating files"),
    (4, "connections"),
    (5, "calls on devices"),
    (6, "signals to other programs"),
];
/// What Landlock offered when this was written and tested.
const TESTED: ABI = ABI::V6;
/// A folder that does not answer for so long must not delay the picture.
const FOLDERS_ANSWER_WITHIN: Duration = Duration::from_millis(400);
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What the running kernel offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// It was built without Landlock.
    Without,
    /// It has Landlock, and was started without it.
    Off,
    /// It has this version of it.
    Version(u32),
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kernel::Without => f.write_str("this kernel has no Landlock"),
            Kernel::Off => f.write_str("this kernel was started without Landlock"),
            Kernel::Version(version) => write!(f, "this kernel has Landlock, version {version}"),
        }
    }
}

impl Kernel {
    /// What of all that the program would deny itself stays open; nothing if none does.
    pub fn lacks(self) -> String {
        let version = match self {
            Kernel::Version(version) => version,
            Kernel::Without | Kernel::Off => 0,
        };
        let lacks: Vec<&str> =
            OFFERS.iter().filter(|(from, _)| version < *from).map(|(_, what)| *what).collect();
        lacks.join(", ")
    }
}

/// Asks the kernel; changes nothing.
pub fn kernel() -> Kernel {
    let ruleset = Ruleset::default().handle_access(AccessFs::Execute).and_then(|ruleset| ruleset.create());
    // A ruleset says what it is worth only when it is applied: to a thread that ends at once.
    let asked = runtime::thread::spawn("landlock", move || ruleset.and_then(RulesetCreated::restrict_self));
    match asked.map(|thread| thread.join()) {
        Ok(Ok(Ok(status))) => of_status(status.landlock),
        _ => Kernel::Without,
    }
}

fn of_status(status: LandlockStatus) -> Kernel {
    match status {
        LandlockStatus::NotImplemented => Kernel::Without,
        LandlockStatus::NotEnabled => Kernel::Off,
        LandlockStatus::Available { effective_abi, kernel_abi } => Kernel::Version(
            kernel_abi.and_then(|abi| u32::try_from(abi).ok()).unwrap_or(effective_abi as u32),
        ),
    }
}

/// What the program may still do with files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// Folders and files that may be read, those to write among them. As the kernel has them: without links.
    readable: Vec<PathBuf>,
    /// Folders that may be written to.
    writable: Vec<PathBuf>,
}

impl Sandbox {
    /// Denies the calling thread, and all that are started after it, what a profile does not let it need. What the kernel lacks for it
    /// is told in the log, and so is what keeps it from being done; the run goes on either way.
    ///
    /// Gives what is allowed; `None` if nothing is denied.
    pub fn enter(path: &Path, board: &Board) -> Option<Sandbox> {
        if !board.profile.pipeline.sandbox {
            log::warn!("pipeline.sandbox is false: the program may open all that its user may");
            return None;
        }
        let (folders, theirs) = (path.to_owned(), board.clone());
        // Opening a folder of a disk that does not answer would take for ever.
        let mut opening = match Opening::start("sandbox", move || Doors::of(&folders, &theirs)) {
            Ok(opening) => opening,
            Err(error) => return none(&one_line(&error)),
        };
        let doors = loop {
            match opening.poll() {
                Some(Ok(doors)) => break doors,
                Some(Err(error)) => return none(&one_line(&error)),
                None if opening.takes() > FOLDERS_ANSWER_WITHIN => {
                    return none("a folder that the profile names does not answer");
                }
                None => runtime::thread::sleep(LOOK_EVERY),
            }
        };
        match doors.close() {
            Ok((sandbox, status, kernel)) => {
                if status == RulesetStatus::NotEnforced {
                    return none(&kernel.to_string());
                }
                let lacks = kernel.lacks();
                let lacks = if lacks.is_empty() { lacks } else { format!("; it does not restrict {lacks}") };
                log::info!(
                    "{kernel}: the program may read {}, and write to {}{lacks}",
                    list(&sandbox.readable),
                    list(&sandbox.writable)
                );
                Some(sandbox)
            }
            Err(error) => none(&error.to_string()),
        }
    }

    /// Whether a profile that is reloaded needs nothing else.
    ///
    /// # Errors
    /// 78, with the key and the path.
    pub fn admits(&self, board: &Board) -> Result<()> {
        for need in Need::all(board) {
            let real = nearest(&need.path).map(|(real, _)| real).unwrap_or(need.path.clone());
            let allowed = if need.is_written { &self.writable } else { &self.readable };
            if !allowed.iter().any(|folder| real.starts_with(folder)) {
                let (what, folders) =
                    if need.is_written { ("write to", &self.writable) } else { ("read", &self.readable) };
                return Err(Fault::configuration(format!(
                    "{} names {}, which the program has denied itself when it started: it may {what} {} alone; restart it to use \
                     this profile",
                    need.key,
                    need.path.display(),
                    list(folders)
                )));
            }
        }
        Ok(())
    }
}

fn none(why: &str) -> Option<Sandbox> {
    log::warn!("the program does not restrict itself: {why}; what its user may open, it may open");
    None
}

fn list(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    shown.join(", ")
}

/// A path that a profile names.
struct Need {
    key: &'static str,
    path: PathBuf,
    is_written: bool,
}

impl Need {
    fn all(board: &Board) -> Vec<Need> {
        let profile = &board.profile;
        let mut needs = vec![Need { key: "trust.keys", path: board.keys(), is_written: false }];
        needs.push(match board.bundle() {
            Some(path) => Need { key: "model.bundle", path, is_written: false },
            None => Need { key: "store.folder", path: profile.store.folder.clone(), is_written: true },
        });
        needs.extend(board.language().map(|path| Need { key: "overlay.language", path, is_written: false }));
        let lite = board.lite().and_then(|lite| lite.bundle());
        needs.extend(lite.map(|path| Need { key: "heat.lite_bundle", path, is_written: false }));
        let others = profile.camera.others.iter().map(|other| ("camera.others", &other.source));
        for (key, source) in [("camera.source", &profile.camera.source)].into_iter().chain(others) {
            let is_recorded =
                board::device(source).is_none() && source != "-" && !source.starts_with("synthetic:");
            if is_recorded {
                needs.push(Need { key, path: source.into(), is_written: false });
            }
        }
        let folder = profile.display.folder.clone();
        needs.push(Need { key: "display.folder", path: folder, is_written: true });
        if let Some(folder) = profile.pipeline.state_file.as_deref().and_then(Path::parent) {
            needs.push(Need { key: "pipeline.state_file", path: folder.to_owned(), is_written: true });
        }
        if let Some(folder) = profile.control.socket.as_deref().and_then(Path::parent) {
            needs.push(Need { key: "control.socket", path: folder.to_owned(), is_written: true });
        }
        if let Some(folder) = &profile.study.folder {
            needs.push(Need { key: "study.folder", path: folder.clone(), is_written: true });
        }
        if profile.alert.tone.is_some() {
            needs.push(Need { key: "alert.tone", path: SOUND_SETTINGS.into(), is_written: false });
        }
        if let Some(folder) = &profile.pipeline.audit_folder {
            needs.push(Need { key: "pipeline.audit_folder", path: folder.clone(), is_written: true });
        }
        if let Some(folder) = &profile.pipeline.latency_folder {
            needs.push(Need { key: "pipeline.latency_folder", path: folder.clone(), is_written: true });
        }
        if let Some(folder) = profile.pipeline.metrics_file.as_deref().and_then(Path::parent) {
            needs.push(Need { key: "pipeline.metrics_file", path: folder.to_owned(), is_written: true });
        }
        needs
    }
}

/// The part of a path that is there, without links, and whether that is all of it.
fn nearest(path: &Path) -> io::Result<(PathBuf, bool)> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for part in path.ancestors() {
        let part = here(part);
        match part.canonicalize() {
            // What is not there yet would be made beneath it.
            Ok(real) if part == path => return Ok((real, true)),
            Ok(real) => {
                let rest = path.strip_prefix(part).unwrap_or(path);
                return Ok((real.join(rest), false));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A path's empty beginning is the working directory.
fn here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// What may be done beneath a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Read,
    Write,
    Devices,
}

/// Folders that are open, and what may be done beneath them.
struct Doors {
    sandbox: Sandbox,
    doors: Vec<(PathFd, BitFlags<AccessFs>)>,
}

impl Doors {
    fn of(path: &Path, board: &Board) -> Result<Doors> {
        let none = Sandbox { readable: Vec::new(), writable: Vec::new() };
        let mut doors = Doors { sandbox: none, doors: Vec::new() };
        // The profile may be a link to another folder's.
        let profile = path.canonicalize().unwrap_or(path.to_owned());
        for folder in [path.parent(), profile.parent()].into_iter().flatten() {
            doors.open(folder, Use::Read)?;
        }
        for need in Need::all(board) {
            match need.key {
                // Another one that lies beside it may take its place.
                "model.bundle" | "heat.lite_bundle" | "overlay.language" => {
                    doors.open(need.path.parent().unwrap_or(&need.path), Use::Read)?
                }
                "pipeline.state_file" | "control.socket" => {
                    // What cannot be made is told of when it is written.
                    let _ = make_folder(&need.path);
                    doors.open_nearest(&need.path)?;
                }
                _ if need.is_written => doors.open_nearest(&need.path)?,
                _ => doors.open(&need.path, Use::Read)?,
            }
        }
        // Also for a bundle that a path names: the lowest rollback index is there.
        doors.open(&board.profile.store.folder, Use::Read)?;
        for (place, is_written) in PLACES {
            doors.open(Path::new(place), if is_written { Use::Write } else { Use::Read })?;
        }
        let sound = board.profile.alert.tone.iter().flat_map(|_| SOUND.iter().copied());
        for folder in SYSTEM.into_iter().chain(sound) {
            doors.open(Path::new(folder), Use::Read)?;
        }
        doors.open(Path::new(DEVICES), Use::Devices)?;
        Ok(doors)
    }

    /// To write to; where it is not there yet, it will be made in the nearest folder that is.
    fn open_nearest(&mut self, path: &Path) -> Result<()> {
        let mut parts = path.ancestors().map(here);
        parts.find(|part| part.exists()).map_or(Ok(()), |there| self.open(there, Use::Write))
    }

    /// What is not there, or not for this user, needs no door.
    fn open(&mut self, path: &Path, what: Use) -> Result<()> {
        let opened = here(path).canonicalize().and_then(|real| {
            let fd = PathFd::new(&real).map_err(|error| match error {
                PathFdError::OpenCall { source, .. } => source,
                _ => io::ErrorKind::Other.into(),
            })?;
            Ok((real, fd))
        });
        let (real, fd) = match opened {
            Ok(opened) => opened,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied
                ) =>
            {
                return Ok(());
            }
            Err(error) => return Err(Fault::io(format!("cannot open {}: {error}", path.display()))),
        };
        let known = if what == Use::Write { &self.sandbox.writable } else { &self.sandbox.readable };
        if known.contains(&real) && what != Use::Devices {
            return Ok(());
        }
        let mut access = AccessFs::ReadFile | AccessFs::ReadDir;
        if what == Use::Devices {
            access |= AccessFs::WriteFile | AccessFs::IoctlDev;
        }
        if what == Use::Write {
            access |= AccessFs::WriteFile
                | AccessFs::Truncate
                | AccessFs::MakeReg
                | AccessFs::MakeDir
                | AccessFs::MakeSym
                | AccessFs::MakeSock
                | AccessFs::RemoveFile
                | AccessFs::RemoveDir
                | AccessFs::Refer;
            self.sandbox.writable.push(real.clone());
        }
        if !real.is_dir() {
            access &= AccessFs::from_file(TESTED);
        }
        self.doors.push((fd, access));
        if !self.sandbox.readable.contains(&real) {
            self.sandbox.readable.push(real);
        }
        Ok(())
    }

    /// Restricts the calling thread to them.
    fn close(self) -> Result<(Sandbox, RulesetStatus, Kernel), landlock::RulesetError> {
        let mut ruleset = Ruleset::default()
            .handle_access(AccessFs::from_all(TESTED))?
            .handle_access(AccessNet::from_all(TESTED))?
            .scope(Scope::from_all(TESTED))?
            .create()?;
        for (fd, access) in self.doors {
            ruleset = ruleset.add_rule(PathBeneath::new(fd, access))?;
        }
        // Whether it is, is not counted: before version 8, threads are restricted one by one.
        let status = ruleset.all_threads(true)?.restrict_self()?;
        Ok((self.sandbox, status.ruleset, of_status(status.landlock)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::ErrorKind;

    /// A cart's folder: `boards/cart.toml`, which says `rest`, with the shipped base, keys and a bundle beside it.
    fn cart(rest: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        for name in ["boards/keys", "models/one", "models/two", "state", "out", "elsewhere"] {
            fs::create_dir_all(at.join(name)).unwrap();
        }
        let base = concat!(env!("CARGO_MANIFEST_DIR"), "/boards/base.toml");
        fs::copy(base, at.join("boards/base.toml")).unwrap();
        fs::write(at.join("models/one/file"), "one").unwrap();
        fs::write(at.join("models/two/file"), "two").unwrap();
        fs::write(at.join("elsewhere/file"), "elsewhere").unwrap();
        put(&at, rest);
        (folder, at)
    }

    fn put(at: &Path, rest: &str) {
        let text = format!(
            "name = \"cart\"\ninherits = \"base\"\nmodel.bundle = \"../models/one\"\ndisplay.folder = {:?}\n\
             pipeline.state_file = {:?}\n{rest}",
            at.join("out"),
            at.join("state/state.json")
        );
        fs::write(at.join("boards/cart.toml"), text).unwrap();
    }

    fn board(at: &Path) -> Board {
        Board::load(&at.join("boards/cart.toml")).unwrap()
    }

    #[test]
    fn the_program_can_do_what_its_profile_needs_and_nothing_else() {
        let Kernel::Version(version) = kernel() else {
            println!("skipped: {}", kernel());
            return;
        };
        let (_folder, at) = cart("");
        let (path, board) = (at.join("boards/cart.toml"), board(&at));
        let theirs = at.clone();
        let work = move || {
            let at = theirs;
            let sandbox = Sandbox::enter(&path, &board).expect("this kernel has Landlock");
            let kind = |outcome: io::Result<()>| outcome.err().map(|error| error.kind());
            let read = |name: &str| kind(fs::read(at.join(name)).map(drop));
            let write = |name: &str| kind(fs::write(at.join(name), "x"));
            for name in ["boards/cart.toml", "boards/base.toml", "models/one/file", "models/two/file"] {
                assert_eq!(read(name), None, "{name}");
                assert_eq!(write(name), Some(ErrorKind::PermissionDenied), "{name}");
            }
            assert_eq!(read("elsewhere/file"), Some(ErrorKind::PermissionDenied));
            assert_eq!(kind(fs::read("/etc/passwd").map(drop)), Some(ErrorKind::PermissionDenied));
            assert_eq!(kind(fs::read("/proc/self/stat").map(drop)), None);
            assert_eq!(kind(fs::write("/dev/null", "x")), None);
            for name in ["state/state.json", "out/latency.json"] {
                assert_eq!(write(name), None, "{name}");
                fs::rename(at.join(name), at.join(format!("{name}.new"))).unwrap();
                fs::remove_file(at.join(format!("{name}.new"))).unwrap();
            }
            if version >= 4 {
                let connected = std::net::TcpStream::connect("127.0.0.1:9");
                assert_eq!(connected.map(drop).unwrap_err().kind(), ErrorKind::PermissionDenied);
            }
            // What is started later is in it, too.
            let later = at.clone();
            let child = std::thread::spawn(move || fs::read(later.join("elsewhere/file")).is_err());
            assert!(child.join().unwrap());
            assert_eq!(
                std::process::Command::new("/bin/true").status().unwrap_err().kind(),
                ErrorKind::PermissionDenied
            );
            sandbox
        };
        let sandbox = std::thread::spawn(work).join().unwrap();
        assert!(fs::read(at.join("elsewhere/file")).is_ok(), "threads that were there before are not");
        assert_eq!(sandbox.writable, [at.join("out"), at.join("state")]);
    }

    #[test]
    fn a_reload_to_what_is_denied_is_refused_with_its_key() {
        if !matches!(kernel(), Kernel::Version(_)) {
            println!("skipped: {}", kernel());
            return;
        }
        let (_folder, at) = cart("");
        let (path, first) = (at.join("boards/cart.toml"), board(&at));
        let sandbox = std::thread::spawn(move || Sandbox::enter(&path, &first)).join().unwrap().unwrap();
        let admits = |rest: &str| {
            let text = fs::read_to_string(at.join("boards/cart.toml")).unwrap();
            let kept = |line: &&str| !rest.starts_with(line.split(' ').next().unwrap_or(""));
            let text: Vec<&str> = text.lines().filter(kept).collect();
            fs::write(at.join("boards/cart.toml"), format!("{}\n{rest}\n", text.join("\n"))).unwrap();
            let outcome = sandbox.admits(&board(&at));
            put(&at, "");
            outcome.map_err(|error| error.to_string())
        };
        for rest in [
            "model.bundle = \"../models/two\"",
            "overlay.glyph = false",
            "camera.source = \"v4l2:/dev/video7\"",
            "camera.source = \"-\"",
            "camera.source = \"../models/one/file\"",
        ] {
            let rest =
                rest.replace("\"../models/one/file", &format!("\"{}", at.join("models/one/file").display()));
            assert_eq!(admits(&rest), Ok(()), "{rest}");
        }
        let elsewhere = at.join("elsewhere");
        for (key, rest) in [
            ("model.bundle", format!("model.bundle = {elsewhere:?}")),
            ("trust.keys", format!("trust.keys = {elsewhere:?}")),
            ("camera.source", format!("camera.source = {elsewhere:?}")),
            ("display.folder", format!("display.folder = {elsewhere:?}")),
            ("pipeline.state_file", format!("pipeline.state_file = {:?}", elsewhere.join("new/state.json"))),
            ("pipeline.audit_folder", format!("pipeline.audit_folder = {:?}", elsewhere.join("audit"))),
            ("pipeline.latency_folder", format!("pipeline.latency_folder = {:?}", elsewhere.join("latency"))),
            ("pipeline.metrics_file", format!("pipeline.metrics_file = {:?}", elsewhere.join("new.prom"))),
            ("heat.lite_bundle", format!("heat.lite_bundle = {elsewhere:?}")),
            ("store.folder", format!("model.bundle = \"installed\"\nstore.folder = {elsewhere:?}")),
            ("display.folder", format!("display.folder = {:?}", at.join("models/one"))),
        ] {
            let told = admits(&rest).unwrap_err();
            assert!(told.starts_with(&format!("{key} names {}", at.display())), "{rest}: {told}");
            assert!(told.contains("restart it"), "{told}");
        }
    }

    #[test]
    fn a_profile_may_leave_all_open() {
        let (_folder, at) = cart("pipeline.sandbox = false\n");
        assert_eq!(Sandbox::enter(&at.join("boards/cart.toml"), &board(&at)), None);
        assert!(fs::read(at.join("elsewhere/file")).is_ok());
    }

    #[test]
    fn what_a_kernel_lacks_is_said() {
        assert_eq!(Kernel::Version(7).lacks(), "");
        assert_eq!(Kernel::Version(3).lacks(), "connections, calls on devices, signals to other programs");
        assert!(Kernel::Off.lacks().starts_with("reading and writing files"));
    }
}
