//! EfficientNet-Lite0 (Tan and Le 2019; the "lite" variant has ReLU6 and no squeeze-and-excite), without its
//! classifier.

use std::path::Path;

use anyhow::Result;
use polyp_edge::fault::Fault;
use safetensors::SafeTensors;

use super::parameters::{Parameters, array_of};
use super::{After, ConvSpec, Net};
use crate::files;

const EPS: f32 = 1e-3;

/// Repeats, kernel, stride of the first, expansion, filters.
const STAGES: [[usize; 5]; 7] = [
    [1, 3, 1, 1, 16],
    [2, 3, 2, 6, 24],
    [2, 5, 2, 6, 40],
    [3, 3, 2, 6, 80],
    [3, 5, 1, 6, 112],
    [4, 5, 2, 6, 192],
    [1, 3, 1, 6, 320],
];
/// The stages whose outputs the decoder sees: the last at each stride from 2 to 32.
const TAPPED: [usize; 5] = [0, 1, 2, 4, 6];

fn conv(filters: usize, kernel: usize, stride: usize, depthwise: bool, relu6: bool) -> ConvSpec {
    let after = if relu6 { After::NormRelu6 { eps: EPS } } else { After::Norm { eps: EPS } };
    ConvSpec { filters, kernel, stride, depthwise, after }
}

/// Features at strides 2, 4, 8, 16, 32: 16, 24, 40, 112 and 320 channels.
pub fn encode<N: Net>(net: &mut N, input: &N::Value) -> Vec<N::Value> {
    let mut x = net.conv("encoder.stem", input, conv(32, 3, 2, false, true));
    let mut features = Vec::new();
    let mut block = 0;
    for (stage, [repeats, kernel, stride, expansion, filters]) in STAGES.into_iter().enumerate() {
        for repeat in 0..repeats {
            let name = format!("encoder.blocks.{block}");
            let inputs = net.shape(&x)[0];
            let stride = if repeat == 0 { stride } else { 1 };
            let mut y = x.clone();
            if expansion > 1 {
                y = net.conv(&format!("{name}.expand"), &y, conv(inputs * expansion, 1, 1, false, true));
            }
            let wide = inputs * expansion;
            y = net.conv(&format!("{name}.depthwise"), &y, conv(wide, kernel, stride, true, true));
            y = net.conv(&format!("{name}.project"), &y, conv(filters, 1, 1, false, false));
            x = match stride == 1 && inputs == filters {
                true => net.add(&format!("{name}.sum"), &x, &y),
                false => y,
            };
            block += 1;
        }
        if TAPPED.contains(&stage) {
            features.push(x.clone());
        }
    }
    features
}

/// Fills every `encoder.…` value from the published ImageNet weights. The classifier's values in the file are left
/// out; anything else missing or of another shape is an error that names it.
pub fn load_imagenet(parameters: &mut Parameters, path: &Path) -> Result<()> {
    let bytes = files::read(path)?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|e| Fault::data(format!("{} is not whole safetensors: {e}", path.display())))?;
    for (name, array) in parameters.0.iter_mut().filter(|(name, _)| name.starts_with("encoder.")) {
        let key = published_key(name);
        let found = file.tensor(&key).ok().and_then(|view| array_of(&view));
        match found {
            Some(found) if found.shape == array.shape => *array = found,
            Some(found) => {
                let (found, shape) = (found.shape, &array.shape);
                return Err(Fault::data(format!("{}: {key} is {found:?}, not {shape:?}", path.display())));
            }
            None => return Err(Fault::data(format!("{}: {key} is missing or not f32", path.display()))),
        }
    }
    Ok(())
}

/// `encoder.blocks.3.project.gamma` → `_blocks.3._bn2.weight`.
fn published_key(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    let [.., layer, value] = parts[..] else { return name.to_owned() };
    let (conv, norm) = match layer {
        "stem" => ("_conv_stem", "_bn0"),
        "expand" => ("_expand_conv", "_bn0"),
        "depthwise" => ("_depthwise_conv", "_bn1"),
        _ => ("_project_conv", "_bn2"),
    };
    let field = match value {
        "weight" => format!("{conv}.weight"),
        "gamma" => format!("{norm}.weight"),
        "beta" => format!("{norm}.bias"),
        "mean" => format!("{norm}.running_mean"),
        _ => format!("{norm}.running_var"),
    };
    match parts[1] {
        "blocks" => format!("_blocks.{}.{field}", parts[2]),
        _ => field,
    }
}
