//! The curve of a training run: a CSV with a line an epoch, and its picture.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use polyp_edge::fault::Fault;
use serde::{Deserialize, Serialize};

use crate::{files, plot};

const WIDTH: u32 = 960;
const HEIGHT: u32 = 540;

/// One epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Counted from 0.
    pub epoch: u64,
    /// Steps of the run until the epoch's end.
    pub steps: u64,
    /// Mean training loss over the epoch, all depths.
    pub loss: f64,
    /// Mean Dice at 0.5 of the averaged weights on held-back frames with a polyp, over data sets, at the model's input size.
    pub held_back_dice: f64,
    /// Share of held-back polyp-free frames with any pixel at or over 0.5, over data sets.
    pub held_back_false: f64,
    /// Probability that a held-back frame with a polyp has a higher peak than one without; none without both.
    #[serde(default)]
    pub held_back_separation: Option<f64>,
    /// The optimiser's rate at the epoch's last step; the encoder's own rate follows the same schedule.
    pub rate: f64,
    /// Time that the epoch took, with scoring the held-back frames; of a resumed epoch, since it was resumed.
    pub seconds: f64,
}

impl Point {
    /// What the best epoch is chosen by: the mean of Dice and separation, or Dice alone where there is no separation.
    pub fn score(&self) -> f64 {
        self.held_back_separation
            .map_or(self.held_back_dice, |separation| (self.held_back_dice + separation) / 2.0)
    }
}

/// The points of `folder/curve.csv`; none if there is no such file yet.
pub fn read(folder: &Path) -> Result<Vec<Point>> {
    let path = folder.join("curve.csv");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let bytes = files::read(&path)?;
    let rows = csv::Reader::from_reader(&bytes[..]).into_deserialize().collect::<Result<_, _>>();
    rows.map_err(|error| Fault::data(format!("{} is damaged: {error}", path.display())))
}

/// Writes `curve.csv` and `curve.png`.
pub fn write(folder: &Path, points: &[Point]) -> Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    points.iter().try_for_each(|point| writer.serialize(point))?;
    files::write_whole(&folder.join("curve.csv"), &writer.into_inner().map_err(|e| anyhow!("{e}"))?)?;
    files::write_whole(&folder.join("curve.png"), &plot::png(WIDTH, HEIGHT, |root| draw(root, points))?)
}

fn draw(root: &plot::Area, points: &[Point]) -> plot::Drawn {
    let last = points.last().map_or(1.0, |p| p.epoch as f64 + 1.0);
    let highest = points.iter().map(|p| p.loss).fold(0.1, f64::max);
    let mut chart = ChartBuilder::on(root)
        .margin(16)
        .caption("training", ("sans-serif", 22))
        .x_label_area_size(40)
        .y_label_area_size(56)
        .right_y_label_area_size(56)
        .build_cartesian_2d(0.0..last, 0.0..highest * 1.05)?
        .set_secondary_coord(0.0..last, 0.0..1.0);
    chart
        .configure_mesh()
        .x_desc("epoch")
        .y_desc("loss")
        .label_style(("sans-serif", 15))
        .axis_desc_style(("sans-serif", 16))
        .draw()?;
    chart
        .configure_secondary_axes()
        .y_desc("held-back share")
        .label_style(("sans-serif", 15))
        .axis_desc_style(("sans-serif", 16))
        .draw()?;
    let line = |value: fn(&Point) -> f64| points.iter().map(move |p| (p.epoch as f64 + 1.0, value(p)));
    let legend =
        |colour: RGBColor| move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2));
    chart
        .draw_series(LineSeries::new(line(|p| p.loss), BLACK.stroke_width(2)))?
        .label("loss")
        .legend(legend(BLACK));
    let (green, red) = (RGBColor(0, 128, 96), RGBColor(200, 40, 40));
    chart
        .draw_secondary_series(LineSeries::new(line(|p| p.held_back_dice), green.stroke_width(2)))?
        .label("Dice")
        .legend(legend(green));
    chart
        .draw_secondary_series(LineSeries::new(line(|p| p.held_back_false), red.stroke_width(2)))?
        .label("false alarms")
        .legend(legend(red));
    chart
        .configure_series_labels()
        .label_font(("sans-serif", 15))
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_comes_back_and_is_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let point = |epoch: u64| Point {
            epoch,
            steps: 10 * epoch,
            loss: 2.0 / (epoch + 1) as f64,
            held_back_dice: 0.8 - 0.5 / (epoch + 1) as f64,
            held_back_false: 0.3,
            held_back_separation: (epoch > 1).then_some(0.9),
            rate: 1e-3,
            seconds: 60.0,
        };
        assert_eq!(read(folder.path()).unwrap(), []);
        let points: Vec<Point> = (0..5).map(point).collect();
        write(folder.path(), &points).unwrap();
        assert_eq!(read(folder.path()).unwrap(), points);
        let picture = image::open(folder.path().join("curve.png")).unwrap().to_rgb8();
        let red = picture.pixels().filter(|p| p.0[0] > 150 && p.0[1] < 90).count();
        assert!(red > 100, "{red}");
    }
}
