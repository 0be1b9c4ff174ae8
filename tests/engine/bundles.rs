//! Every shipped bundle's logits against onnxruntime's, on rendered frames and, where there are any, real ones.

use std::path::PathBuf;

use testing::oracle;

use crate::PROGRAM;

/// The shipped bundles; none while no model is shipped.
fn bundles() -> Vec<PathBuf> {
    let models = testing::root().join("models");
    let entries = std::fs::read_dir(models).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.join("manifest.toml").exists()).collect()
}

/// Rendered frames, and a folder of real ones where the data lies.
fn sources() -> Vec<String> {
    let data = std::env::var_os("POLYP_DATA").map(PathBuf::from);
    let data = data.unwrap_or_else(|| testing::root().join("../shared/data"));
    let real = data.join("kvasir-seg/images");
    if real.is_dir() {
        vec!["synthetic".into(), real.display().to_string()]
    } else {
        println!("no real frames: {} is not there", real.display());
        vec!["synthetic".into()]
    }
}

#[test]
fn shipped_models_give_onnxruntimes_logits() {
    let bundles = bundles();
    if bundles.is_empty() {
        return println!("skipped: no bundle is shipped");
    }
    for bundle in bundles {
        for source in sources() {
            let Some(mut python) = oracle::python() else { return };
            let output = python
                .arg("compare.py")
                .args([bundle.as_os_str(), source.as_ref()])
                .args(["--program", PROGRAM.0])
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{text}{errors}");
            println!("{}", text.trim());
        }
    }
}
