//! onnxruntime, which says what the engine must give: by the scripts in `scripts/oracle`.

use std::process::Command;

/// A command of the Python that has onnxruntime: `POLYP_PYTHON`, else `python3`. `None`, with a line that says why, if there
/// is none or its results are not exact on this CPU; with `POLYP_ORACLE=required` that is a failure.
pub fn python() -> Option<Command> {
    let python = std::env::var_os("POLYP_PYTHON").unwrap_or_else(|| "python3".into());
    let scripts = crate::root().join("scripts/oracle");
    let probe = Command::new(&python)
        .args(["-c", "import nets, sys; sys.exit(0 if nets.exact_cpu() else 3)"])
        .current_dir(&scripts)
        .output();
    let problem = match probe {
        Ok(probe) if probe.status.success() => {
            let mut command = Command::new(python);
            command.current_dir(&scripts);
            return Some(command);
        }
        Ok(probe) if probe.status.code() == Some(3) => {
            "onnxruntime's int8 is not exact on a CPU without VNNI"
        }
        _ => "this Python finds no onnxruntime: pip install -r scripts/oracle/requirements.txt",
    };
    assert_ne!(std::env::var("POLYP_ORACLE").as_deref(), Ok("required"), "{problem}");
    println!("skipped: {problem}");
    None
}
