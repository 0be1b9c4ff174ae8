//! Distributions and the course of time as SVG, for a page that chooses their colours.
//!
//! Lines differ by colour and by dash, so that they are told apart in print and without seeing colours.

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::RelativeSize;

use super::gather::{Minute, Run};
use crate::latency::interval::Interval;
use crate::latency::{Durations, Stage};

/// Text, lines of the axes, and what marks a time: the page's style sheet replaces these by the reader's light or dark ones.
pub const INK: RGBColor = RGBColor(1, 1, 1);
/// See above.
pub const GRID: RGBColor = RGBColor(2, 2, 2);
/// A limit.
pub const LIMIT: RGBColor = RGBColor(3, 3, 3);
/// Behind a time without assistance.
pub const LOST: RGBColor = RGBColor(4, 4, 4);
/// Behind a time in which the machine was hot or slowed down.
pub const HOT: RGBColor = RGBColor(5, 5, 5);

/// Lines that are not told apart.
pub const REST: RGBColor = RGBColor(6, 6, 6);

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// As [`look`] has it for this number.
    Series(usize),
    /// Thin and pale: one of those that are not told apart.
    Rest,
}

/// Okabe and Ito's colours, which people who see few colours tell apart: <https://jfly.uni-koeln.de/color/>. Not their yellow and
/// black, which one of two backgrounds hides.
pub const SERIES: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];
/// Lengths of dashes and gaps; the first line is whole.
pub const DASHES: [(u32, u32); 4] = [(0, 0), (9, 4), (3, 3), (14, 5)];

/// Width and height, pixels.
const SIZE: (u32, u32) = (860, 300);
const FONT: (&str, u32) = ("sans-serif", 12);

/// The colour and the dash of the line with a number; from the seventh on, they come again.
pub fn look(number: usize) -> (RGBColor, (u32, u32)) {
    let number = number % SERIES.len();
    (SERIES[number], DASHES[number % DASHES.len()])
}

fn text() -> TextStyle<'static> {
    FONT.into_font().color(&INK)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<T> = Result<T, Box<dyn std::error::Error>>;

/// A chart as SVG; empty if there is nothing to draw or drawing fails.
fn svg(size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Drawn<()>) -> String {
    let mut text = String::new();
    let outcome = {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        draw(&area).and_then(|()| Ok(area.present()?))
    };
    if let Err(error) = outcome {
        log::warn!("a chart cannot be drawn: {error}");
        return String::new();
    }
    // A line is dashed by the viewer: dash by dash, a page would be ten times as long.
    for number in 0..SERIES.len() {
        let (RGBColor(red, green, blue), (dash, gap)) = look(number);
        if dash > 0 {
            let line =
                format!("<polyline fill=\"none\" opacity=\"1\" stroke=\"#{red:02X}{green:02X}{blue:02X}\"");
            text = text.replace(&line, &format!("{line} stroke-dasharray=\"{dash} {gap}\""));
        }
    }
    // It scales with the page.
    text.replacen("<svg ", "<svg preserveAspectRatio=\"xMidYMid meet\" ", 1)
}

fn ms(us: u64) -> f64 {
    us as f64 / 1e3
}

/// How durations are distributed: on the left how many there are of each, on the right which share takes longer. A line for each run.
pub fn distributions(runs: &[(Look, &Durations)], limit_ms: Option<f64>) -> String {
    let least = runs.iter().filter_map(|(_, durations)| durations.classes().next()).map(|(us, _)| us).min();
    let most = runs.iter().map(|(_, durations)| durations.max_us()).max().unwrap_or(0);
    let Some(least) = least else { return String::new() };
    let (low, high) = ((ms(least) / 1.2).max(1e-3), (ms(most).max(limit_ms.unwrap_or(0.0)) * 1.3).max(2e-3));
    svg(SIZE, |area| {
        let (left, right) = area.split_horizontally(RelativeSize::Width(0.5));
        shares(&left, runs, low, high, limit_ms)?;
        tail(&right, runs, low, high, limit_ms)
    })
}

/// Steps of a histogram for the eye, in each doubling of time.
const BARS: f64 = 8.0;

fn shares(
    area: &Area<'_>,
    runs: &[(Look, &Durations)],
    low: f64,
    high: f64,
    limit_ms: Option<f64>,
) -> Drawn<()> {
    let bar = |ms: f64| (BARS * ms.max(low).log2()).floor() as i64;
    let (first, last) = (bar(low), bar(high));
    let curves: Vec<Vec<(f64, f64)>> = runs
        .iter()
        .map(|(_, durations)| {
            let mut bars = vec![0u64; (last - first + 1).max(1) as usize];
            for (us, count) in durations.classes() {
                if let Some(mine) = bars.get_mut((bar(ms(us)) - first).max(0) as usize) {
                    *mine += count;
                }
            }
            let all = durations.count().max(1) as f64;
            let edge = |number: usize| 2f64.powf((first + number as i64) as f64 / BARS).max(low);
            let steps = bars.iter().enumerate().flat_map(|(number, &count)| {
                let percent = 100.0 * count as f64 / all;
                [(edge(number), percent), (edge(number + 1).min(high), percent)]
            });
            steps.collect()
        })
        .collect();
    let most = curves.iter().flatten().map(|&(_, percent)| percent).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_right(16)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d((low..high).log_scale(), 0.0..1.1 * most)?;
    mesh(&mut chart.configure_mesh(), "ms", "% of all, in eighths of a doubling")?;
    for (curve, (look, _)) in curves.into_iter().zip(runs) {
        line(&mut chart, curve, *look)?;
    }
    if let Some(limit) = limit_ms.filter(|limit| (low..high).contains(limit)) {
        chart.draw_series(DashedLineSeries::new(
            [(limit, 0.0), (limit, 1.1 * most)],
            6,
            4,
            LIMIT.stroke_width(2),
        ))?;
    }
    Ok(())
}

/// How many per cent take no longer, on a scale that shows the last ones: 0, 90, 99, 99.9 …
fn tail(
    area: &Area<'_>,
    runs: &[(Look, &Durations)],
    low: f64,
    high: f64,
    limit_ms: Option<f64>,
) -> Drawn<()> {
    let nines = |share: f64| -(1.0 - share).log10();
    let longest = runs.iter().map(|(_, durations)| durations.count()).max().unwrap_or(1).max(10);
    let end = (longest as f64).log10().clamp(1.0, 7.0);
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_right(16)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(Nines(end), (low..high).log_scale())?;
    mesh(&mut chart.configure_mesh(), "% take no longer", "ms")?;
    for (look, durations) in runs {
        let all = durations.count().max(1) as f64;
        let mut seen = 0;
        let mut curve = vec![(0.0, ms(durations.classes().next().map_or(0, |(us, _)| us)).max(low))];
        for (us, count) in durations.classes() {
            // From the share that takes less, to the share that takes no longer.
            let before = nines(seen as f64 / all).min(end);
            seen += count;
            let after = nines(seen as f64 / all).min(end);
            curve.extend([(before, ms(us).max(low)), (after, ms(us).max(low))]);
        }
        line(&mut chart, curve, *look)?;
    }
    if let Some(limit) = limit_ms.filter(|limit| (low..high).contains(limit)) {
        chart.draw_series(DashedLineSeries::new(
            [(0.0, limit), (end, limit)],
            6,
            4,
            LIMIT.stroke_width(2),
        ))?;
    }
    Ok(())
}

/// A scale of shares: 0 is none, 1 is 90 %, 2 is 99 % and so on, to the end.
#[derive(Clone)]
struct Nines(f64);

impl Ranged for Nines {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        limit.0 + (value / self.0 * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        (0..=self.0 as u32).map(f64::from).collect()
    }

    fn range(&self) -> std::ops::Range<f64> {
        0.0..self.0
    }
}

impl ValueFormatter<f64> for Nines {
    fn format(value: &f64) -> String {
        let nines = value.round() as usize;
        match nines {
            0 => "0".into(),
            1 => "90".into(),
            2 => "99".into(),
            more => format!("99.{}", "9".repeat(more - 2)),
        }
    }
}

/// The course of a run: a stage's percentiles minute by minute, or of as many minutes as a point has room for; behind them when there was no assistance and when it was hot; frames that
/// were lost, below.
pub fn course(run: &Run, stage: Stage, limit_ms: Option<f64>) -> String {
    let points = Course::of(run, stage);
    let all = points.lines.iter().flatten().flatten().map(|&(_, ms)| ms);
    let (least, most) = all.fold((f64::INFINITY, 0.0f64), |(least, most), ms| (least.min(ms), most.max(ms)));
    if points.hours <= 0.0 || !least.is_finite() {
        return String::new();
    }
    let (low, high) = ((least / 1.3).max(1e-3), most.max(limit_ms.unwrap_or(0.0)) * 1.4);
    svg((SIZE.0, SIZE.1 + 70), |area| {
        let (upper, lower) = area.split_vertically(SIZE.1);
        let mut chart = ChartBuilder::on(&upper)
            .margin(8)
            .margin_right(16)
            .x_label_area_size(18)
            .y_label_area_size(52)
            .build_cartesian_2d(0.0..points.hours, (low..high).log_scale())?;
        for (spans, colour) in [(&points.lost, LOST), (&points.hot, HOT)] {
            let bands =
                spans.iter().map(|&(from, to)| Rectangle::new([(from, low), (to, high)], colour.filled()));
            chart.draw_series(bands)?;
        }
        mesh(&mut chart.configure_mesh(), "", "ms")?;
        for (number, pieces) in points.lines.iter().enumerate() {
            for piece in pieces {
                // A minute by itself is a point.
                if let [(at, ms)] = piece[..] {
                    chart.draw_series([Circle::new((at, ms), 2, look(number).0.filled())])?;
                }
                line(&mut chart, piece.clone(), Look::Series(number))?;
            }
        }
        if let Some(limit) = limit_ms.filter(|limit| (low..high).contains(limit)) {
            let ends = [(0.0, limit), (points.hours, limit)];
            chart.draw_series(DashedLineSeries::new(ends, 6, 4, LIMIT.stroke_width(2)))?;
        }
        let most = points.lost_frames.iter().map(|&(.., count)| count).fold(1.0, f64::max);
        let mut chart = ChartBuilder::on(&lower)
            .margin(8)
            .margin_top(0)
            .margin_right(16)
            .x_label_area_size(34)
            .y_label_area_size(52)
            .build_cartesian_2d(0.0..points.hours, 0.0..1.1 * most)?;
        let mut lines = chart.configure_mesh();
        lines.y_labels(2);
        mesh(&mut lines, "hours of running", "not shown")?;
        let bars = points.lost_frames.iter().filter(|&&(.., count)| count > 0.0);
        chart.draw_series(
            bars.map(|&(from, to, count)| Rectangle::new([(from, 0.0), (to, count)], SERIES[1].filled())),
        )?;
        Ok(())
    })
}

/// The percentiles whose course is drawn.
pub const COURSES: [(f64, &str); 3] = [(0.5, "p50"), (0.99, "p99"), (1.0, "longest")];

/// A chart has room for so many points.
const MOST_POINTS: usize = 430;

/// Minutes, or as many together as a point of the chart has room for; whether the program was started at its beginning.
fn spans(minutes: &[Minute]) -> Vec<(Interval, bool)> {
    let most = minutes.len().div_ceil(MOST_POINTS).max(1);
    let (mut spans, mut room) = (Vec::<(Interval, bool)>::new(), 0);
    for minute in minutes {
        match spans.last_mut() {
            Some((interval, _)) if room > 0 && !minute.is_first => interval.merge(&minute.interval),
            _ => {
                spans.push((minute.interval.clone(), minute.is_first));
                room = most;
            }
        }
        room -= 1;
    }
    spans
}

/// A run along its hours of running, whatever a clock said.
struct Course {
    hours: f64,
    /// For each of [`COURSES`], pieces without a gap.
    lines: [Vec<Vec<(f64, f64)>>; COURSES.len()],
    lost: Vec<(f64, f64)>,
    hot: Vec<(f64, f64)>,
    lost_frames: Vec<(f64, f64, f64)>,
}

impl Course {
    fn of(run: &Run, stage: Stage) -> Course {
        let mut course =
            Course { hours: 0.0, lines: Default::default(), lost: vec![], hot: vec![], lost_frames: vec![] };
        let mut is_broken = true;
        for (interval, is_first) in spans(&run.minutes) {
            let from = course.hours;
            course.hours += interval.seconds / 3600.0;
            let middle = (from + course.hours) / 2.0;
            let durations = interval.stage(stage);
            is_broken |= is_first || durations.count() == 0;
            if durations.count() > 0 {
                for (pieces, (share, _)) in course.lines.iter_mut().zip(COURSES) {
                    if is_broken {
                        pieces.push(Vec::new());
                    }
                    if let Some(piece) = pieces.last_mut() {
                        piece.push((middle, ms(durations.quantile_us(share)).max(1e-3)));
                    }
                }
                is_broken = false;
            }
            let without = |state: &str| interval.states.get(state).is_some_and(|&seconds| seconds > 0.0);
            if ["degraded", "no-signal", "dark"].into_iter().any(without) {
                course.lost.push((from, course.hours));
            }
            if !interval.machine.heat_steps.is_empty() || !interval.machine.throttled.is_empty() {
                course.hot.push((from, course.hours));
            }
            let frames = &interval.frames;
            course.lost_frames.push((
                from,
                course.hours,
                (frames.not_shown() + frames.missed + frames.damaged) as f64,
            ));
        }
        course
    }
}

fn mesh<X, Y>(
    lines: &mut plotters::chart::MeshStyle<'_, '_, X, Y, SVGBackend<'_>>,
    x: &str,
    y: &str,
) -> Drawn<()>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    lines
        .bold_line_style(GRID.stroke_width(1))
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .label_style(text())
        .axis_desc_style(text())
        .x_label_formatter(&|value| X::format(value))
        .x_desc(x)
        .y_desc(y)
        .draw()?;
    Ok(())
}

fn line<'a, X, Y>(
    chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>,
    points: Vec<(f64, f64)>,
    looks: Look,
) -> Drawn<()>
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    let Look::Series(number) = looks else {
        chart.draw_series(LineSeries::new(points, REST.stroke_width(1)))?;
        return Ok(());
    };
    chart.draw_series(LineSeries::new(points, look(number).0.stroke_width(2)))?;
    Ok(())
}
