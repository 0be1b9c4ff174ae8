//! The engine against onnxruntime: not one byte may differ.
//!
//! `tests/fixtures/engine/ops.cases` holds small networks with onnxruntime's outputs (`scripts/oracle/make_fixtures.py`). Where
//! Python finds onnxruntime, a batch of random networks is made and compared as well.

use polyp_edge::engine::{Engine, Options, Tuning, kernels};
use testing::cases::Cases;
use testing::oracle;

/// Runs every case with every kernel set and some numbers of threads, and lists what differs.
fn differences(cases: &Cases) -> Vec<String> {
    let mut differences = vec![];
    for case in cases.iter() {
        for set in kernels::available() {
            // As it is used; and as if every tensor were large: all that can be chained is, all rows are shared out.
            let eager = Tuning { chained_bytes: 0, work_a_part: 1 };
            for (threads, tuning) in [(1, Tuning::default()), (1, eager), (3, eager)] {
                let kernels = Some(set.name.into());
                let options = Options { kernels, threads, tuning, ..Options::default() };
                let outcome = Engine::from_onnx(case.model, &options).and_then(|mut engine| {
                    let mut output = vec![0; case.output.len()];
                    engine.run(case.input, &mut output)?;
                    Ok(output.iter().zip(case.output).filter(|(ours, theirs)| ours != theirs).count())
                });
                match outcome {
                    Ok(0) => {}
                    Ok(count) => {
                        let all = case.output.len();
                        differences.push(format!(
                            "{}, {}, {threads} threads, {tuning:?}: {count} of {all}",
                            case.name, set.name
                        ));
                    }
                    Err(error) => differences.push(format!("{}: {error:#}", case.name)),
                }
            }
        }
    }
    differences
}

fn assert_equal(cases: &Cases) {
    let differences = differences(cases);
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn every_op_gives_onnxruntimes_bytes() {
    let cases = Cases::ops();
    assert!(cases.iter().count() > 100);
    assert_equal(&cases);
}

#[test]
fn random_networks_give_onnxruntimes_bytes() {
    let Some(mut python) = oracle::python() else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    let seed = std::env::var("POLYP_ORACLE_SEED").unwrap_or_else(|_| "0".into());
    let count = std::env::var("POLYP_ORACLE_NETS").unwrap_or_else(|_| "60".into());
    let made = python
        .args(["random_nets.py", "--seed", &seed, "--count", &count])
        .arg(file.path())
        .status()
        .unwrap();
    assert!(made.success());
    assert_equal(&Cases::read(file.path()));
}
