//! Two networks that onnxruntime's own quantiser makes, MobileNetV2-like and U-Net-like: every kernel set gives onnxruntime's
//! logits on rendered frames.

use std::path::Path;
use std::process::Command;

use polyp_edge::engine::kernels;
use testing::oracle;

use crate::PROGRAM;

const MODELS: [&str; 2] = ["mobilenet", "unet"];

/// Standard output of a command that must succeed.
fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn compare(mut python: Command, bundle: &Path, kernels: &str) {
    let text = succeed(
        python
            .arg("compare.py")
            .args([bundle.as_os_str(), "synthetic".as_ref()])
            .args(["--frames", "5", "--program", PROGRAM.0])
            .env("POLYP_KERNELS", kernels),
    );
    println!("{kernels}: {}", text.trim());
}

#[test]
fn quantised_networks_give_onnxruntimes_logits() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut python) = oracle::python() else { return };
    print!("{}", succeed(python.arg("make_models.py").arg(folder.path())));
    for model in MODELS {
        for set in kernels::available() {
            let Some(python) = oracle::python() else { return };
            compare(python, &folder.path().join(model), set.name);
        }
    }
}
