//! What `doctor` and `probe` say of heat.

use anyhow::Result;

use crate::board::{Board, Heat};
use crate::fault::one_line;
use crate::health::Machine;
use crate::store;
use crate::thermal::Cause;

/// Something that was looked at, and, if it could be better, how to mend it.
pub(super) type Hint = (String, Option<String>);

/// Sensors, limits, what slows the board down, and the lighter bundle.
pub(super) fn hints(machine: &Machine, board: Option<&Board>) -> Vec<Hint> {
    let heat = board.map_or_else(Heat::default, |board| board.profile.heat.clone());
    let mut hints = Vec::new();
    if let Some(hottest) = machine.heat.hottest() {
        let what = format!("{}: {:.0} °C", hottest.zone, hottest.celsius);
        let mend = (hottest.celsius >= heat.fewer_at_c - heat.hysteresis_c).then(|| {
            format!(
                "from {} °C on there are fewer inferences a second, and from {} °C on assistance is off: check the board's fan \
                 and the cart's vents",
                heat.fewer_at_c, heat.off_at_c
            )
        });
        hints.push((what, mend));
    }
    if let Some(point) = machine.switches_off_at.as_ref().filter(|point| heat.off_at_c >= point.celsius) {
        hints.push((
            format!(
                "heat.off_at_c is {} °C, but the machine switches itself off at {:.1} °C ({})",
                heat.off_at_c, point.celsius, point.zone
            ),
            Some(format!(
                "lower the limits in [heat] so that assistance goes off before {:.0} °C",
                point.celsius
            )),
        ));
    }
    for throttle in &machine.heat.throttling {
        let mend = match throttle.cause {
            Cause::Heat => "check the board's fan and the cart's vents",
            Cause::Power => "use the power supply that the board's maker names, with a short cable",
        };
        hints.push((format!("the board slows itself down: {throttle}"), Some(mend.into())));
    }
    if !machine.heat.throttle_flags.is_empty() {
        hints.push((format!("throttle flags: {}", machine.heat.throttle_flags.join(", ")), None));
    }
    for missing in &machine.heat.missing_sensors {
        let mend = "without it, heat is noticed later: use the board vendor's kernel, or accept it";
        hints.push((format!("missing: {missing}"), Some(mend.into())));
    }
    if let Some(board) = board {
        hints.extend(lite(board));
    }
    hints
}

/// The bundle that takes over when it is hot.
fn lite(board: &Board) -> Option<Hint> {
    let lite = board.lite()?;
    Some(match store::bundle(&lite) {
        Ok(bundle) => {
            (format!("heat.lite_bundle {}: all files match the manifest", bundle.manifest.name), None)
        }
        Err(error) => (
            format!("heat.lite_bundle: {}", one_line(&error)),
            Some(
                "mend it or name another one: until then, the step between fewer inferences and no assistance is left out"
                    .into(),
            ),
        ),
    })
}

/// What the sensors say.
pub(super) fn tell(machine: &Machine) -> Result<()> {
    for temperature in &machine.heat.temperatures {
        say!("  {}: {:.1} °C", temperature.zone, temperature.celsius);
    }
    if let Some(point) = &machine.switches_off_at {
        say!("  switches itself off at {:.1} °C ({})", point.celsius, point.zone);
    }
    if !machine.heat.throttle_flags.is_empty() {
        say!("  throttle flags: {}", machine.heat.throttle_flags.join(", "));
    }
    for throttle in &machine.heat.throttling {
        say!("  slows itself down: {throttle}");
    }
    for missing in &machine.heat.missing_sensors {
        say!("  missing: {missing}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thermal::{Reading, Temperature, Throttle};

    fn machine(celsius: f32) -> Machine {
        Machine {
            board: None,
            kernel: String::new(),
            cores: 4,
            kernel_sets: Vec::new(),
            heat: Reading {
                temperatures: vec![Temperature { zone: "cpu-thermal".into(), celsius }],
                throttle_flags: vec!["get_throttled".into()],
                ..Reading::default()
            },
            switches_off_at: Some(Temperature { zone: "cpu-thermal".into(), celsius: 110.0 }),
            governor: None,
            memory_available_mb: None,
        }
    }

    fn mended(machine: &Machine) -> Vec<String> {
        hints(machine, None)
            .into_iter()
            .filter_map(|(what, mend)| mend.map(|mend| format!("{what}: {mend}")))
            .collect()
    }

    #[test]
    fn a_cool_board_needs_nothing_and_a_hot_one_is_told_of() {
        assert_eq!(mended(&machine(73.9)), [""; 0]);
        let hot = mended(&machine(74.0));
        assert!(hot.len() == 1 && hot[0].contains("cpu-thermal: 74 °C: from 78 °C on"), "{hot:?}");
    }

    #[test]
    fn throttling_missing_sensors_and_limits_that_are_too_high_are_told_of() {
        let mut machine = machine(50.0);
        machine.heat.throttling = [("under-voltage", Cause::Power), ("frequency capped", Cause::Heat)]
            .map(|(what, cause)| Throttle { what: what.into(), cause, told_by: "firmware".into() })
            .into();
        machine.heat.missing_sensors = vec!["throttle flags".into()];
        machine.switches_off_at = Some(Temperature { zone: "cpu-thermal".into(), celsius: 84.0 });
        let told = mended(&machine).join("\n");
        for words in [
            "under-voltage (firmware): use the power supply",
            "frequency capped (firmware): check the board's fan",
            "missing: throttle flags: ",
            "heat.off_at_c is 84 °C, but the machine switches itself off at 84.0 °C",
        ] {
            assert!(told.contains(words), "{words:?} is not in {told}");
        }
    }
}
