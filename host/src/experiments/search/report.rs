//! What a search found: its frontier, table and plot.

use anyhow::Result;
use plotters::prelude::*;
use serde::Serialize;

use crate::plot;

/// A row of `search.csv`.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The shape's name, see [`super::Shape::word`].
    pub shape: String,
    /// Multiply-adds of one frame.
    pub multiply_adds: u64,
    /// Mean Dice at one half of the held-back frames with polyps, in int8, by the cart's engine.
    pub dice: f64,
    /// Time of the engine on this machine with one thread, as a multiple of the first shape's: the median over rounds in
    /// which all shapes took turns.
    pub ratio: f64,
    /// The lower quartile of the same.
    pub ratio_low: f64,
    /// The upper quartile of the same.
    pub ratio_high: f64,
    /// Median time of one frame in the engine on this machine, with one thread.
    pub median_ms: f64,
    /// With one thread on a Cortex-A76, as `--predict` says.
    pub predicted_ms: Option<f64>,
    /// Whether no other shape finds more in less time.
    pub on_frontier: bool,
}

/// Predicted time where it is known, else this machine's.
fn cost(row: &Row) -> f64 {
    row.predicted_ms.unwrap_or(row.median_ms)
}

/// Sets [`Row::on_frontier`]. Time is the predicted one where it is known.
pub fn frontier(rows: &mut [Row]) {
    let all: Vec<(f64, f64)> = rows.iter().map(|row| (cost(row), row.dice)).collect();
    for (row, (own, dice)) in rows.iter_mut().zip(&all) {
        let is_beaten =
            all.iter().any(|(other, more)| (other < own && more >= dice) || (other <= own && more > dice));
        row.on_frontier = !is_beaten;
    }
}

/// A line a shape, as Markdown.
pub fn markdown(rows: &[Row]) -> String {
    let mut text = "| shape | multiply-adds | Dice, int8, held back | time, ratio (quartiles) | median here | Cortex-A76, predicted | \
                    frontier |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    for row in rows {
        let predicted = row.predicted_ms.map_or("–".to_owned(), |ms| format!("{ms:.1} ms"));
        text += &format!(
            "| {} | {:.0} M | {:.4} | {:.2} ({:.2}–{:.2}) | {:.1} ms | {predicted} | {} |\n",
            row.shape,
            row.multiply_adds as f64 / 1e6,
            row.dice,
            row.ratio,
            row.ratio_low,
            row.ratio_high,
            row.median_ms,
            if row.on_frontier { "yes" } else { "" },
        );
    }
    text
}

/// A PNG: Dice against time, the frontier as a line.
pub fn draw(rows: &[Row]) -> Result<Vec<u8>> {
    let known = rows.iter().all(|row| row.predicted_ms.is_some());
    let most = rows.iter().map(cost).fold(1e-3, f64::max);
    let (low, high) =
        rows.iter().fold((1f64, 0f64), |(low, high), row| (low.min(row.dice), high.max(row.dice)));
    plot::png(960, 600, |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(16)
            .caption("shapes of the student", ("sans-serif", 22))
            .x_label_area_size(40)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..most * 1.25, (low - 0.01)..(high + 0.01))?;
        let across = if known { "ms on one Cortex-A76, predicted" } else { "ms here, one thread" };
        chart
            .configure_mesh()
            .x_desc(across)
            .y_desc("Dice, held back, int8")
            .label_style(("sans-serif", 15))
            .axis_desc_style(("sans-serif", 16))
            .draw()?;
        let mut best: Vec<(f64, f64)> =
            rows.iter().filter(|row| row.on_frontier).map(|row| (cost(row), row.dice)).collect();
        best.sort_by(|a, b| a.0.total_cmp(&b.0));
        chart.draw_series(LineSeries::new(best, RGBColor(0, 128, 96).stroke_width(2)))?;
        chart.draw_series(rows.iter().map(|row| {
            let colour = if row.on_frontier { RGBColor(0, 128, 96) } else { RGBColor(140, 140, 140) };
            EmptyElement::at((cost(row), row.dice))
                + Circle::new((0, 0), 4, colour.filled())
                + Text::new(row.shape.clone(), (7, -6), ("sans-serif", 13))
        }))?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(shape: &str, predicted_ms: f64, dice: f64) -> Row {
        Row {
            shape: shape.into(),
            multiply_adds: 1_000_000,
            dice,
            ratio: 1.0,
            ratio_low: 0.9,
            ratio_high: 1.1,
            median_ms: 5.0,
            predicted_ms: Some(predicted_ms),
            on_frontier: false,
        }
    }

    #[test]
    fn the_frontier_is_what_nothing_beats() {
        let mut rows =
            [row("a", 10.0, 0.8), row("b", 12.0, 0.79), row("c", 20.0, 0.85), row("d", 20.0, 0.84)];
        frontier(&mut rows);
        assert_eq!(rows.clone().map(|row| row.on_frontier), [true, false, true, false]);
        assert!(markdown(&rows).contains("| a | 1 M | 0.8000 | 1.00 (0.90–1.10) | 5.0 ms | 10.0 ms | yes |"));
        let picture = image::load_from_memory(&draw(&rows).unwrap()).unwrap().to_rgb8();
        assert!(picture.pixels().filter(|pixel| pixel.0 == [0, 128, 96]).count() > 100);
    }
}
