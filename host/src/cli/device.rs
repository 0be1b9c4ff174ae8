//! `polyp-host device`: what training can compute on, and whether it computes right.

use anyhow::Result;
use polyp_edge::fault::{Exit, Fault};
use serde::Serialize;

use crate::device::{self, Choice};
use crate::experiments::device::layers::LAYERS;
use crate::experiments::device::{Row, compare};

/// Lists the devices that training can use; with --compare, checks whether a device computes the same as the CPU.
#[derive(clap::Args)]
pub struct Arguments {
    /// Device: cpu, cuda, cuda:N, vulkan or vulkan:N; all are listed if not given.
    #[arg(long, value_parser = device::parse)]
    device: Option<Choice>,
    /// Compare every kind of layer that training uses, forward and backward, with the CPU.
    #[arg(long, requires = "device")]
    compare: bool,
    /// Compare only layers with this text in their names.
    #[arg(long, value_name = "TEXT", requires = "compare")]
    only: Option<String>,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Listing {
    schema: u32,
    devices: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    kind: &'static str,
    built: bool,
    found: Vec<Found>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<String>,
}

#[derive(Serialize)]
struct Found {
    device: String,
    name: String,
}

#[derive(Serialize)]
struct Comparison {
    schema: u32,
    device: String,
    layers: Vec<Row>,
    passed: bool,
}

pub fn run(arguments: Arguments) -> Result<()> {
    match arguments.device {
        None => list(arguments.json),
        Some(choice) if arguments.compare => compare_layers(choice, &arguments),
        Some(choice) => {
            device::open(choice)?;
            if arguments.json {
                println!("{}", serde_json::json!({ "schema": 1, "device": choice.to_string() }))
            } else {
                println!("{choice} can be used")
            }
            Ok(())
        }
    }
}

fn list(json: bool) -> Result<()> {
    let devices = device::kinds().map(|kind| {
        let (found, missing) = match kind.found {
            Ok(found) => (found, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        let found =
            found.into_iter().map(|(choice, name)| Found { device: choice.to_string(), name }).collect();
        Listed { kind: kind.name, built: kind.built, found, missing }
    });
    if json {
        println!("{}", serde_json::to_string(&Listing { schema: 1, devices: devices.into() })?);
        return Ok(());
    }
    for kind in devices {
        for Found { device, name } in &kind.found {
            println!("{device:<10} {name}");
        }
        if let Some(why) = &kind.missing {
            println!("{:<10} not usable: {why}", kind.kind);
        }
    }
    Ok(())
}

fn compare_layers(choice: Choice, arguments: &Arguments) -> Result<()> {
    let (opened, cpu) = (device::open(choice)?, device::open(Choice::Cpu)?);
    // Where the GPU has no TF32 the differences are smaller than the bounds allow, no more.
    let tf32 = matches!(choice, Choice::Cuda(_));
    let only = arguments.only.as_deref().unwrap_or_default();
    if !arguments.json {
        println!(
            "{:<44} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "layer", "forward", "bound", "backward", "bound", "first, s", "again, s"
        );
    }
    let mut rows = Vec::new();
    for layer in LAYERS.iter().filter(|layer| layer.name.contains(only)) {
        let row = compare(layer, &opened, &cpu, tf32);
        if !arguments.json {
            println!("{}", line(&row));
        }
        rows.push(row);
    }
    if rows.is_empty() {
        return Err(Fault::usage(format!(
            "no layer has \"{only}\" in its name; leave out --only to see all names"
        )));
    }
    let wrong: Vec<&str> = rows.iter().filter(|row| !row.passed).map(|row| row.layer).collect();
    let outcome = match wrong.as_slice() {
        [] => Ok(()),
        _ => Err(Fault::new(
            Exit::Assertion,
            format!(
                "{choice} computes {} of {} layers wrongly: {}",
                wrong.len(),
                rows.len(),
                wrong.join("; ")
            ),
        )),
    };
    if arguments.json {
        let passed = wrong.is_empty();
        let comparison = Comparison { schema: 1, device: choice.to_string(), layers: rows, passed };
        println!("{}", serde_json::to_string(&comparison)?);
    }
    outcome
}

fn line(row: &Row) -> String {
    let share = |found: Option<f32>| found.map_or_else(|| "–".into(), |found| format!("{found:.1e}"));
    let mut line = format!(
        "{:<44} {:>9} {:>9} {:>9} {:>9} {:>9.3} {:>9.4}",
        row.layer,
        share(row.forward),
        share(Some(row.bounds.forward)),
        share(row.backward),
        share(row.backward.map(|_| row.bounds.backward)),
        row.first_s,
        row.again_s
    );
    if !row.passed {
        line.push_str("  WRONG");
    }
    if let Some(why) = &row.fault {
        line.push_str(&format!(": {why}"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments::device::Bounds;

    #[test]
    fn a_row_says_what_is_wrong() {
        let bounds = Bounds { forward: 1e-4, backward: 1e-3 };
        let (forward, backward) = (Some(2e-4), None);
        let mut row = Row {
            layer: "L",
            forward,
            backward,
            bounds,
            first_s: 1.0,
            again_s: 0.5,
            fault: None,
            passed: false,
        };
        assert!(line(&row).contains("2.0e-4") && line(&row).ends_with("WRONG"));
        row.fault = Some("no kernel".into());
        assert!(line(&row).ends_with("WRONG: no kernel"));
    }

    #[test]
    fn an_infinite_difference_is_valid_json() {
        let bounds = Bounds { forward: 1e-4, backward: 1e-3 };
        let forward = Some(f32::INFINITY);
        let row = Row {
            layer: "L",
            forward,
            backward: None,
            bounds,
            first_s: 0.0,
            again_s: 0.0,
            fault: None,
            passed: false,
        };
        let text = serde_json::to_string(&row).unwrap();
        assert!(text.contains("\"forward\":null"), "{text}");
    }
}
