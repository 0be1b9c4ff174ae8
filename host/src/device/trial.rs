//! Whether a device computes, and the lines for what is missing.

use burn::tensor::{Device, Tensor};

use super::guard;

/// What to do about a program that was built without `feature`.
pub(super) fn not_built(feature: &str) -> String {
    format!(
        "this program was built without it; build one with `cargo build --release -p polyp-host --features {feature}`"
    )
}

/// The line for an ordinal that is none of `names`.
pub(super) fn out_of_range(ordinal: usize, names: &[String]) -> String {
    let listed: Vec<String> = names.iter().enumerate().map(|(n, name)| format!("{n} {name}")).collect();
    format!("there is no device {ordinal}; there are {}", listed.join(", "))
}

/// The device, if it can compile a kernel, run it and give back the result.
pub(super) fn trial(device: Device) -> Result<Device, String> {
    let sum = guard::quietly(|| {
        let one = Tensor::<1>::ones([8], &device);
        (one.clone() + one).into_data().try_to_vec::<f32>()
    });
    match sum.map_err(|why| format!("it does not start: {why}"))? {
        Ok(sum) if sum == [2.0; 8] => Ok(device),
        Ok(sum) => Err(format!("it computes 1 + 1 = {sum:?}; another driver may help")),
        Err(why) => Err(format!("it cannot be read back: {why}")),
    }
}
