//! Tells the program how it was built: `polyp-edge --version --json`.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=POLYP_EDGE_COMMIT");
    // …/PROFILE/build/polyp-edge-…/out
    let out = std::env::var("OUT_DIR").unwrap_or_default();
    let profile = Path::new(&out).ancestors().nth(3).and_then(Path::file_name);
    let profile = profile.map_or("unknown".into(), |name| name.to_string_lossy());
    println!("cargo:rustc-env=POLYP_EDGE_PROFILE={profile}");
    println!("cargo:rustc-env=POLYP_EDGE_TARGET={}", std::env::var("TARGET").unwrap_or_default());
    let commit = std::env::var("POLYP_EDGE_COMMIT").unwrap_or_default();
    let is_commit =
        !commit.is_empty() && commit.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    println!("cargo:rustc-env=POLYP_EDGE_COMMIT={}", if is_commit { &commit } else { "unknown" });
}
