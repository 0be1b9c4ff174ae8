//! Writes model bundles: manifest, int8 ONNX, golden frames with the engine's own masks, model card.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use polyp_edge::bundle::manifest::{
    Decision, FORMAT_VERSION, Gate, Golden, Manifest, OperatingPoint, Provenance, Sensitivity, TensorContract,
};
use polyp_edge::bundle::{Bundle, MANIFEST, SIGNATURE, digest};
use polyp_edge::capture::Mask;
use polyp_edge::capture::synthetic::Colon;
use polyp_edge::engine::Engine;
use polyp_edge::field_of_view::Rule;
use polyp_edge::frame::Frame;

use crate::export::card;
use crate::files;
use crate::graph::{self, INPUT, INPUT_SCALE, INPUT_ZERO_POINT};
use crate::model::cart::cart_engine;
use crate::onnx;
use crate::quantise::QuantisedGraph;
use crate::score::failures;
use crate::score::lists::Scorer;

const MODEL: &str = "model.onnx";
const CARD: &str = "MODEL_CARD.md";
/// The worst of rendered frames, as pictures for the card.
pub const FAILURES: &str = "failures.jpg";
/// What a bundle's folder holds. A signature is of the bundle before: a new one has none.
pub const KIND: files::FolderKind =
    files::FolderKind { mark: MANIFEST, names: &[MODEL, CARD, FAILURES, "golden", SIGNATURE] };
const FAILURES_QUALITY: u8 = 88;
/// Of so many frames with a polyp, of another patient than the golden ones.
const FAILURES_SEARCH: usize = 48;
const FAILURES_SEED: u64 = 2027;
/// Rendered frames: width, height, patient, and the numbers of the frames that are looked through.
const GOLDEN_SIZE_PX: (usize, usize) = (320, 256);
const GOLDEN_SEED: u64 = 2026;
const GOLDEN_SEARCH: u64 = 6000;
/// Every so many of them: neighbours look alike.
const GOLDEN_STEP: usize = 50;
/// So many golden frames show a rendered polyp, and one shows none.
const GOLDEN_POLYPS: usize = 3;

/// What the network itself does not say.
#[derive(Clone, Debug)]
pub struct Description {
    /// The model's name.
    pub name: String,
    /// The model's version, such as `0.1.0`.
    pub model_version: String,
    /// Grows with each release that replaces one which must not run any more.
    pub rollback_index: u64,
    /// What the bundle is made for.
    pub compatible: String,
    /// Which pixels and regions count.
    pub decision: Decision,
    /// How long a region must last to be shown.
    pub gate: Gate,
    /// Other points of the operating curve.
    pub sensitivity: BTreeMap<Sensitivity, OperatingPoint>,
    /// What the model was made from, and its scores.
    pub provenance: Provenance,
    /// Paragraphs for the model card, in order.
    pub remarks: Vec<String>,
    /// How many of the worst rendered frames are drawn for the model card.
    pub failures: usize,
}

/// Writes the bundle `folder` whole or not at all, and opens it as a cart would. An earlier bundle there is replaced.
pub fn write(folder: &Path, quantised: &QuantisedGraph, description: &Description) -> anyhow::Result<()> {
    let model = onnx::quantised::to_onnx(quantised)?;
    let rule = Rule::Find;
    let mut scorer = Scorer::new(cart_engine(&model)?, &description.decision, rule)?;
    let mut contents = BTreeMap::new();
    let golden = golden_frames(&mut scorer, &mut contents)?;
    if let Some(jpeg) = failures(&mut scorer, description.failures)? {
        contents.insert(FAILURES.into(), jpeg);
    }
    let side = quantised.graph.input_side;
    let logits = quantised.tensor(&quantised.graph.output)?;
    let shapes = graph::shape::shapes(&quantised.graph)?;
    let shape = shapes.get(quantised.graph.output.as_str()).context("a graph has an output")?;
    let mut manifest = Manifest {
        format_version: FORMAT_VERSION,
        name: description.name.clone(),
        model_version: description.model_version.clone(),
        rollback_index: description.rollback_index,
        compatible: description.compatible.clone(),
        model: MODEL.into(),
        input: TensorContract {
            name: INPUT.into(),
            shape: [1, 3, side, side],
            scale: INPUT_SCALE,
            zero_point: INPUT_ZERO_POINT,
        },
        output: TensorContract {
            name: quantised.graph.output.clone(),
            shape: [1, 1, shape.height, shape.width],
            scale: logits.scale,
            zero_point: logits.zero_point,
        },
        field_of_view: rule,
        decision: description.decision,
        gate: description.gate,
        sensitivity: description.sensitivity.clone(),
        golden,
        provenance: description.provenance.clone(),
        files: BTreeMap::new(),
    };
    contents.insert(MODEL.into(), model);
    let failures = contents.contains_key(FAILURES).then_some(FAILURES);
    contents.insert(CARD.into(), card::render(&manifest, &description.remarks, failures).into_bytes());
    manifest.files = contents.iter().map(|(name, bytes)| (name.clone(), digest(bytes))).collect();
    files::write_folder(folder, &KIND, |folder| {
        for (name, bytes) in &contents {
            folder.write(name, bytes)?;
        }
        folder.write(MANIFEST, toml::to_string(&manifest)?.as_bytes())?;
        Bundle::open(folder.path()).map(|_| ()).context("the bundle just written does not open")
    })
}

/// Renders frames, runs the cart's engine on them, and adds both as PNG to the bundle's contents.
fn golden_frames(
    scorer: &mut Scorer<Engine>,
    contents: &mut BTreeMap<String, Vec<u8>>,
) -> anyhow::Result<Vec<Golden>> {
    let (width, height) = GOLDEN_SIZE_PX;
    let colon = Colon::new(width, height, GOLDEN_SEED);
    let mut golden = Vec::new();
    let (mut with, mut without) = (0, 0);
    for number in (0..GOLDEN_SEARCH).step_by(GOLDEN_STEP) {
        if (with, without) == (GOLDEN_POLYPS, 1) {
            break;
        }
        let (frame, truth) = colon.render(number);
        let wanted = match truth.area_px() > width * height / 100 {
            true if with < GOLDEN_POLYPS => &mut with,
            false if without < 1 && truth.area_px() == 0 => &mut without,
            _ => continue,
        };
        *wanted += 1;
        let (mask, _) = scorer.mask(&frame)?;
        let names =
            Golden { frame: format!("golden/{number:06}.png"), mask: format!("golden/{number:06}-mask.png") };
        let rows: Vec<u8> = (0..height).flat_map(|y| frame.row(y).to_vec()).collect();
        contents.insert(names.frame.clone(), png(&rows, width, height, image::ExtendedColorType::Rgb8)?);
        contents.insert(names.mask.clone(), png(mask, width, height, image::ExtendedColorType::L8)?);
        golden.push(names);
    }
    Ok(golden)
}

/// The `count` worst frames of a rendered patient as JPEG; `None` if that is none. Pictures of patients are nobody's to ship.
fn failures(scorer: &mut Scorer<Engine>, count: usize) -> anyhow::Result<Option<Vec<u8>>> {
    if count == 0 {
        return Ok(None);
    }
    let (width, height) = GOLDEN_SIZE_PX;
    let colon = Colon::new(width, height, FAILURES_SEED);
    let shows_polyp = |(_, truth): &(Frame, Mask)| truth.area_px() > width * height / 200;
    let frames = (0..GOLDEN_SEARCH).step_by(GOLDEN_STEP).map(|number| colon.render(number));
    let frames: Vec<(Frame, Mask)> = frames.filter(shows_polyp).take(FAILURES_SEARCH).collect();
    let scores: Vec<_> = frames
        .iter()
        .map(|(frame, truth)| scorer.score_frame(frame, &truth.pixels))
        .collect::<anyhow::Result<_>>()?;
    let pairs: Vec<_> = failures::worst(&scores, count)
        .into_iter()
        .map(|i| {
            let (frame, truth) = &frames[i];
            Ok(failures::pair(frame, &truth.pixels, scorer.mask(frame)?.0))
        })
        .collect::<anyhow::Result<_>>()?;
    if pairs.is_empty() {
        return Ok(None);
    }
    let mut jpeg = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, FAILURES_QUALITY)
        .encode_image(&failures::sheet(&pairs))?;
    Ok(Some(jpeg))
}

fn png(
    pixels: &[u8],
    width: usize,
    height: usize,
    kind: image::ExtendedColorType,
) -> anyhow::Result<Vec<u8>> {
    use image::ImageEncoder;
    let mut bytes = Vec::new();
    image::codecs::png::PngEncoder::new(&mut bytes).write_image(pixels, width as u32, height as u32, kind)?;
    Ok(bytes)
}
