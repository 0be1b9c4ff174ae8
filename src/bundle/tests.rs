use super::*;
use crate::fault::{Exit, exit_of};

/// A bundle whose model is no network: opening must not care.
fn write_bundle(directory: &Path) -> String {
    let files =
        [("model.onnx", b"not a network".as_slice()), ("MODEL_CARD.md", b"# Card"), ("golden/a.png", b"a")];
    let mut listed = String::new();
    for (name, bytes) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        listed += &format!("{name:?} = {:?}\n", digest(bytes));
    }
    let manifest = format!(
        r#"format_version = 1
name = "test"
model_version = "1.0"
rollback_index = 3
model = "model.onnx"
field_of_view = "find"
[input]
name = "input"
shape = [1, 3, 256, 256]
scale = 0.0078125
zero_point = 127
[output]
name = "logits"
shape = [1, 1, 64, 64]
scale = 0.1
zero_point = 128
[decision]
threshold = 0.5
min_region_share = 0.001
min_peak = 0.6
[gate]
appear = 3
window = 5
[[golden]]
frame = "golden/a.png"
mask = "golden/a.png"
[provenance]
data = []
seeds = []
commit = ""
[files]
{listed}"#
    );
    fs::write(directory.join(MANIFEST), &manifest).unwrap();
    manifest
}

/// The exit code and message of opening a bundle after something was done to it.
fn refused(spoil: impl FnOnce(&Path, &str)) -> (Exit, String) {
    let directory = tempfile::tempdir().unwrap();
    let manifest = write_bundle(directory.path());
    spoil(directory.path(), &manifest);
    let error = Bundle::open(directory.path()).expect_err("it must be refused");
    let message = format!("{error:#}");
    assert!(!message.contains('\n'), "{message}");
    (exit_of(&error), message)
}

fn refused_with_manifest(from: &str, to: &str) -> String {
    let (exit, message) = refused(|directory, manifest| {
        assert!(manifest.contains(from), "{from}");
        fs::write(directory.join(MANIFEST), manifest.replacen(from, to, 1)).unwrap();
    });
    assert_eq!(exit, Exit::Data, "{message}");
    assert!(message.contains(MANIFEST), "{message}");
    message
}

#[test]
fn a_whole_bundle_opens_and_reads() {
    let directory = tempfile::tempdir().unwrap();
    write_bundle(directory.path());
    fs::write(directory.path().join(SIGNATURE), b"signed").unwrap();
    let bundle = Bundle::open(directory.path()).unwrap();
    assert_eq!(bundle.manifest.rollback_index, 3);
    assert_eq!(bundle.read("golden/a.png").unwrap(), b"a");
    let unlisted = bundle.read(MANIFEST).unwrap_err();
    assert_eq!(exit_of(&unlisted), Exit::Data);
}

#[test]
fn every_changed_byte_is_noticed() {
    for name in ["model.onnx", "MODEL_CARD.md", "golden/a.png"] {
        let (exit, message) = refused(|directory, _| {
            let path = directory.join(name);
            let mut bytes = fs::read(&path).unwrap();
            bytes[0] ^= 1;
            fs::write(path, bytes).unwrap();
        });
        assert_eq!(exit, Exit::Data);
        assert!(message.contains(name) && message.contains("digest"), "{message}");
    }
}

#[test]
fn a_change_after_opening_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    write_bundle(directory.path());
    let bundle = Bundle::open(directory.path()).unwrap();
    fs::write(directory.path().join("model.onnx"), b"another").unwrap();
    assert_eq!(exit_of(&bundle.read("model.onnx").unwrap_err()), Exit::Data);
}

#[test]
fn missing_and_extra_files_are_refused() {
    let (exit, message) = refused(|directory, _| fs::remove_file(directory.join("golden/a.png")).unwrap());
    assert!(exit == Exit::Data && message.contains("golden/a.png"), "{message}");
    let (exit, message) = refused(|directory, _| fs::write(directory.join("golden/b.png"), b"b").unwrap());
    assert!(exit == Exit::Data && message.contains("golden/b.png"), "{message}");
    let (exit, message) = refused(|directory, _| fs::remove_file(directory.join(MANIFEST)).unwrap());
    assert!(exit == Exit::Data && message.contains("not a bundle"), "{message}");
}

#[test]
fn a_folder_that_is_not_there_is_an_io_error() {
    let error = Bundle::open(Path::new("/nowhere/at/all")).unwrap_err();
    assert_eq!(exit_of(&error), Exit::Io);
}

#[cfg(unix)]
#[test]
fn links_are_refused() {
    let (exit, message) = refused(|directory, _| {
        let path = directory.join("MODEL_CARD.md");
        let elsewhere = tempfile::NamedTempFile::new().unwrap().into_temp_path().keep().unwrap();
        fs::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(elsewhere, path).unwrap();
    });
    assert!(exit == Exit::Data && message.contains("MODEL_CARD.md"), "{message}");
}

#[cfg(unix)]
#[test]
fn a_manifest_that_is_no_plain_file_is_refused() {
    // A pipe would make opening wait, a socket stands for it.
    let (exit, message) = refused(|directory, _| {
        fs::remove_file(directory.join(MANIFEST)).unwrap();
        std::os::unix::net::UnixListener::bind(directory.join(MANIFEST)).unwrap();
    });
    assert!(exit == Exit::Data && message.contains("plain file"), "{message}");
}

#[test]
fn a_manifest_of_any_size_is_not_parsed() {
    let (exit, message) = refused(|directory, manifest| {
        fs::write(directory.join(MANIFEST), format!("{manifest}#{}", "#".repeat(1 << 20))).unwrap();
    });
    assert!(exit == Exit::Data && message.contains("larger"), "{message}");
}

#[test]
fn folders_are_counted_too() {
    let (exit, message) = refused(|directory, _| {
        (0..2001).for_each(|index| fs::create_dir(directory.join(format!("{index}"))).unwrap());
    });
    assert!(exit == Exit::Data && message.contains("too many"), "{message}");
}

#[test]
fn names_on_several_lines_are_refused() {
    let (exit, message) = refused(|directory, _| fs::write(directory.join("more\nlines"), b"").unwrap());
    assert!(exit == Exit::Data, "{message}");
}

#[test]
fn manifests_that_make_no_sense_are_refused() {
    for (from, to, part) in [
        ("format_version = 1", "format_version = 9", "format 9"),
        ("name = \"test\"", "name = test", ":2:"),
        ("rollback_index = 3", "rollback_index = -3", ""),
        ("model = \"model.onnx\"", "model = \"other.onnx\"", "other.onnx"),
        ("\"model.onnx\" = ", "\"../model.onnx\" = ", "leads out"),
        ("\"model.onnx\" = ", "\"/etc/passwd\" = ", "leads out"),
        ("\"model.onnx\" = ", "\"model\\n.onnx\" = ", "leads out"),
        ("\"model.onnx\" = \"", "\"model.onnx\" = \"0", "digest"),
        ("mask = \"golden/a.png\"", "mask = \"golden/c.png\"", "golden/c.png"),
        ("shape = [1, 3, 256, 256]", "shape = [1, 3, 256, 255]", "input"),
        ("shape = [1, 3, 256, 256]", "shape = [1, 3, 99999999, 99999999]", "input"),
        ("shape = [1, 1, 64, 64]", "shape = [1, 2, 64, 64]", "output"),
        ("scale = 0.1", "scale = 0.0", "scale"),
        ("scale = 0.1", "scale = nan", "scale"),
        ("threshold = 0.5", "threshold = 1.5", "threshold"),
        ("threshold = 0.5", "threshold = nan", "threshold"),
        ("min_region_share = 0.001", "min_region_share = 1.0", "min_region_share"),
        ("appear = 3", "appear = 6", "gate"),
        ("window = 5", "window = 5\nsecret = 1", "secret"),
    ] {
        let message = refused_with_manifest(from, to);
        assert!(message.contains(part), "{to}: {message}");
    }
}
