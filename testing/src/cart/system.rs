//! Pipes and mounts that stand in a program's way.

use std::fs;
use std::io::{PipeReader, PipeWriter, Write};
use std::path::Path;
use std::process::Command;

/// A pipe that takes no byte more until somebody reads.
pub fn full_pipe() -> (PipeReader, PipeWriter) {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let (reader, mut writer) = std::io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    // Whole pages, so that none has room left.
    while writer.write(&[b'\n'; 4096]).is_ok() {}
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

/// Makes a FIFO for this user alone.
pub fn make_fifo(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

/// Puts a FIFO that nobody writes in the place of a file.
pub fn replace_by_fifo(path: &Path) {
    fs::remove_file(path).unwrap();
    make_fifo(path);
}

/// Whether this user may mount file systems of his own; else says that the test is skipped.
pub fn may_mount(test: &str) -> bool {
    let mut command = Command::new("unshare");
    let tried = command.args(["--mount", "sh", "-c", "mount -t tmpfs none /mnt"]).output();
    let may = tried.is_ok_and(|output| output.status.success());
    if !may {
        eprintln!("{test}: skipped, because mounts are not permitted here");
    }
    may
}
