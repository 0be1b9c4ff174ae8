//! Which program this is, how it was built, and where it runs.

use std::fmt;

use serde::Serialize;

use crate::engine::kernels;

/// What a log, a state file or a report says first of the program that wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Program {
    /// The program's version.
    pub version: &'static str,
    /// The commit that it was built from, as `POLYP_EDGE_COMMIT` said when it was built, or `unknown`.
    pub commit: &'static str,
    /// Cargo's profile: `cart`, `release`, `debug`.
    pub build: &'static str,
    /// What it was built for.
    pub target: &'static str,
    /// The kernel set that this machine's CPU takes, or `POLYP_KERNELS` names.
    pub kernels: String,
    /// The machine's name in its network.
    pub host: String,
}

impl Program {
    /// This program, on this machine.
    pub fn this() -> Program {
        Program {
            version: env!("CARGO_PKG_VERSION"),
            commit: env!("POLYP_EDGE_COMMIT"),
            build: env!("POLYP_EDGE_PROFILE"),
            target: env!("POLYP_EDGE_TARGET"),
            kernels: kernels::choose(None).map_or("unknown".into(), |kernels| kernels.name.to_owned()),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Program { version, commit, build, target, kernels, host } = self;
        write!(
            f,
            "polyp-edge {version}, commit {commit}, build {build} for {target}, kernels {kernels}, on {host}"
        )
    }
}

/// What the kernel calls this start of the machine; empty where it does not say.
pub fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}
