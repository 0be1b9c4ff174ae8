//! Results as a COCO data set: one category, a polygon for each region, its peak as `score`.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;

use super::lines::{Found, hundredths, millionths};
use crate::files::write_own;

/// A polygon has at least so many corners.
const FEWEST_CORNERS: usize = 3;

/// What was gathered so far.
pub(super) struct Coco {
    path: PathBuf,
    force: bool,
    /// JSON, each after the one before and a comma.
    images: String,
    annotations: String,
    annotated: u64,
    seen: u64,
}

impl Coco {
    pub(super) fn begin(path: PathBuf, force: bool) -> Coco {
        Coco { path, force, images: String::new(), annotations: String::new(), annotated: 0, seen: 0 }
    }

    pub(super) fn add(&mut self, found: &Found<'_>) {
        self.seen += 1;
        let image = json!({
            "id": self.seen,
            "file_name": found.name,
            "width": found.width_px,
            "height": found.height_px,
        });
        push(&mut self.images, &image);
        for line in &found.regions {
            let outline = &line.outline.outline;
            if outline.len() < FEWEST_CORNERS {
                continue;
            }
            self.annotated += 1;
            let polygon: Vec<f64> =
                outline.iter().flat_map(|point| [hundredths(point.x), hundredths(point.y)]).collect();
            let [left, top, right, bottom] = line.bounds;
            let bbox = [left, top, right - left, bottom - top].map(hundredths);
            let mut annotation = json!({
                "id": self.annotated,
                "image_id": self.seen,
                "category_id": 1,
                "segmentation": [polygon],
                "area": hundredths(line.area_px),
                "bbox": bbox,
                "iscrowd": 0,
                "score": millionths(line.peak),
            });
            if let (Some(track), Some(annotation)) = (line.track, annotation.as_object_mut()) {
                annotation.insert("track_id".into(), json!(track));
            }
            push(&mut self.annotations, &annotation);
        }
    }

    pub(super) fn finish(self) -> Result<()> {
        let Coco { images, annotations, .. } = &self;
        write_own(&self.path, self.force, |file| {
            let mut file = BufWriter::new(file);
            write!(file, "{{\"categories\":[{{\"id\":1,\"name\":\"polyp\"}}],\n\"images\":[{images}],\n")?;
            writeln!(file, "\"annotations\":[{annotations}]}}")?;
            Ok(file.flush()?)
        })
    }
}

fn push(list: &mut String, value: &serde_json::Value) {
    if !list.is_empty() {
        list.push_str(",\n");
    }
    list.push_str(&value.to_string());
}
