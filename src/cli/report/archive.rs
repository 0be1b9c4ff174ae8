//! All that somebody needs who is to find out what is wrong with a cart, in one archive.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use tar::{Builder, EntryType, Header};

use crate::board::{Board, CART_PROFILE};
use crate::fault::{Fault, one_line};
use crate::files::{self, signals};
use crate::identity::Program;
use crate::runtime;

/// A command that has not ended by then is ended.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of longer files and outputs, the end is taken: bytes.
const LONGEST: u64 = 8 << 20;
/// So many of the newest logs of latencies: a week's, where the machine runs all the time.
const NEWEST_LOGS: usize = 7;
/// The folder in the archive.
const FOLDER: &str = "polyp-edge-report";

#[derive(clap::Args)]
pub struct Arguments {
    /// The cart's profile.
    #[arg(long, value_name = "FILE", default_value = CART_PROFILE)]
    board: PathBuf,
    /// The archive; if not given, one in the working directory, named after the machine and the time.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    signals::end_cleanly()?;
    let seconds = runtime::wall_clock().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let out = arguments.out.clone().unwrap_or_else(|| {
        PathBuf::from(format!("polyp-edge-{}-{seconds}.tar", crate::store::word(&Program::this().host)))
    });
    if !arguments.force && out.symlink_metadata().is_ok() {
        return Err(Fault::usage(format!("{}: it is there already; --force replaces it", out.display())));
    }
    let mut collected = Collected::default();
    machine(&arguments.board, &mut collected);
    cart(&arguments.board, &mut collected);
    log(&mut collected);
    // Names of machines and paths are in it: its owner's alone.
    files::write_whole(&out, |file| collected.pack(file, seconds))?;
    for line in &collected.missing {
        say!("missing   {line}");
    }
    say!(
        "{}: {} files, {} KiB",
        out.display(),
        collected.files.len(),
        out.metadata().map_or(0, |file| file.len()) >> 10
    );
    say!(
        "It holds no picture. Look through it before you send it: names of machines, users and folders are in it."
    );
    Ok(())
}

/// What the program and the kernel say of the machine.
fn machine(board: &Path, collected: &mut Collected) {
    let board = board.to_string_lossy();
    for (name, arguments) in [
        ("version.json", &["--version", "--json"][..]),
        ("probe.json", &["probe", "--json"]),
        ("doctor.txt", &["doctor", "--board", &board]),
        ("check.txt", &["check", "--board", &board]),
        ("bundles.json", &["bundle", "list", "--json", "--board", &board]),
    ] {
        match std::env::current_exe() {
            Ok(program) => collected.output(name, Command::new(program).args(arguments)),
            Err(error) => collected.missing.push(format!("{name}: {error}")),
        }
    }
    for (name, path) in [
        ("machine/os-release", "/etc/os-release"),
        ("machine/kernel", "/proc/version"),
        ("machine/command-line", "/proc/cmdline"),
        ("machine/cpu", "/proc/cpuinfo"),
        ("machine/memory", "/proc/meminfo"),
        ("machine/mounts", "/proc/self/mounts"),
    ] {
        collected.file(name, Path::new(path));
    }
}

/// The profile, and the files that it names, but for those that hold pictures.
fn cart(path: &Path, collected: &mut Collected) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let profiles = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut profiles: Vec<PathBuf> =
        profiles.filter(|file| file.extension().is_some_and(|ending| ending == "toml")).collect();
    profiles.sort();
    for profile in profiles {
        if let Some(name) = profile.file_name() {
            collected.file(&format!("profiles/{}", name.to_string_lossy()), &profile);
        }
    }
    let board = match Board::load(path) {
        Ok(board) => board,
        Err(error) => {
            collected.missing.push(format!("state, audit trail and metrics: {}", one_line(&error)));
            return;
        }
    };
    let pipeline = &board.profile.pipeline;
    collected.named("state.json", "pipeline.state_file", pipeline.state_file.as_deref());
    collected.named("metrics.prom", "pipeline.metrics_file", pipeline.metrics_file.as_deref());
    for name in ["latency.json", "score.json"] {
        collected.file(&format!("reports/{name}"), &board.profile.display.folder.join(name));
    }
    match &pipeline.audit_folder {
        Some(folder) => {
            for name in crate::audit::names() {
                collected.there(&format!("audit/{name}"), &folder.join(&name));
            }
        }
        None => collected.missing.push("audit trail: the profile does not set pipeline.audit_folder".into()),
    }
    match &pipeline.latency_folder {
        Some(folder) => match crate::latency::log::files(folder) {
            Ok(files) => {
                for file in files.iter().rev().take(NEWEST_LOGS) {
                    if let Some(name) = file.file_name() {
                        collected.file(&format!("latency/{}", name.to_string_lossy()), file);
                    }
                }
            }
            Err(error) => collected.missing.push(format!("latencies: {}", one_line(&error))),
        },
        None => collected.missing.push("latencies: the profile does not set pipeline.latency_folder".into()),
    }
}

/// The service's lines of the journal, and the kernel's.
fn log(collected: &mut Collected) {
    let journal = |arguments: &[&str]| {
        let mut command = Command::new("journalctl");
        command.args(["--no-pager", "--output=short-iso-precise", "--lines=5000"]).args(arguments);
        command
    };
    collected.output("log/service.txt", &mut journal(&["--unit=polyp-edge"]));
    collected.output("log/kernel.txt", &mut journal(&["--dmesg"]));
}

#[derive(Default)]
struct Collected {
    files: Vec<(String, Vec<u8>)>,
    /// What is not in the archive, and why.
    missing: Vec<String>,
}

impl Collected {
    fn named(&mut self, name: &str, key: &str, path: Option<&Path>) {
        match path {
            Some(path) => self.file(name, path),
            None => self.missing.push(format!("{name}: the profile does not set {key}")),
        }
    }

    /// A file that should be there.
    fn file(&mut self, name: &str, path: &Path) {
        match end_of(path) {
            Ok(bytes) => self.files.push((name.into(), bytes)),
            Err(error) => self.missing.push(format!("{name}: {}: {error}", path.display())),
        }
    }

    /// A file that need not be there.
    fn there(&mut self, name: &str, path: &Path) {
        if path.symlink_metadata().is_ok() {
            self.file(name, path);
        }
    }

    /// What a command prints, to both of its outputs.
    fn output(&mut self, name: &str, command: &mut Command) {
        match printed(command) {
            Ok(text) => self.files.push((name.into(), text)),
            Err(error) => {
                self.missing.push(format!("{name}: {}: {error}", command.get_program().to_string_lossy()));
            }
        }
    }

    fn pack(&mut self, out: &mut File, unix_s: u64) -> Result<()> {
        let missing = self.missing.join("\n");
        let text = format!(
            "{}\nCollected at {unix_s} seconds since 1970. There is no picture in here.\n\nMissing:\n{missing}\n",
            Program::this()
        );
        self.files.insert(0, ("README.txt".into(), text.into_bytes()));
        let mut tar = Builder::new(out);
        for (name, bytes) in &self.files {
            let mut header = Header::new_ustar();
            header.set_path(format!("{FOLDER}/{name}"))?;
            header.set_size(bytes.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(unix_s);
            header.set_entry_type(EntryType::Regular);
            header.set_cksum();
            tar.append(&header, bytes.as_slice())?;
        }
        tar.into_inner()?.flush()?;
        Ok(())
    }
}

/// A regular file's last bytes.
fn end_of(path: &Path) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    file.seek(SeekFrom::Start(meta.len().saturating_sub(LONGEST)))?;
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What a command prints until it ends or has had enough time, and how it ended.
fn printed(command: &mut Command) -> io::Result<Vec<u8>> {
    let mut both = tempfile()?;
    let mut child =
        command.stdin(Stdio::null()).stdout(both.try_clone()?).stderr(both.try_clone()?).spawn()?;
    let until = runtime::now() + PATIENCE;
    let ended = loop {
        if let Some(status) = child.try_wait()? {
            break status.to_string();
        }
        if runtime::now() >= until {
            child.kill()?;
            child.wait()?;
            break format!("ended, for it took longer than {} s", PATIENCE.as_secs());
        }
        runtime::thread::sleep(Duration::from_millis(10));
    };
    let length = both.metadata()?.len();
    both.seek(SeekFrom::Start(length.saturating_sub(LONGEST)))?;
    let mut text = Vec::new();
    both.take(LONGEST).read_to_end(&mut text)?;
    write!(text, "\n({ended})\n")?;
    Ok(text)
}

/// A file without a name.
fn tempfile() -> io::Result<File> {
    let name = "polyp-edge-report";
    Ok(rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC)?.into())
}
