//! The page's tables.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use super::html::{Text, duration};
use super::summary::{Figures, LIMITS, SHARES, Summary};
use crate::latency::Stage;

/// More runs than these are a fleet: its tables have a row for each, and what is slowest comes first.
pub const MANY: usize = 6;

/// Whether these are so many that the page must lead the eye.
pub fn is_fleet<T>(runs: &[T]) -> bool {
    runs.len() > MANY
}

/// Places of the runs, the one with the longest video delay first; those without one last.
pub fn slowest_first(summaries: &[Summary]) -> Vec<usize> {
    slowest_by(summaries, Stage::VideoDelay)
}

/// The same, by another stage.
pub fn slowest_by(summaries: &[Summary], stage: Stage) -> Vec<usize> {
    let slow = |place: &usize| {
        let figures = summaries.get(*place).and_then(|summary| summary.stage(stage));
        figures.map_or(-1.0, |figures| percentile(figures, "p99.9"))
    };
    let mut places: Vec<usize> = (0..summaries.len()).collect();
    places.sort_by(|one, other| slow(other).total_cmp(&slow(one)));
    places
}

fn percentile(figures: &Figures, name: &str) -> f64 {
    figures.percentiles_ms.get(name).copied().unwrap_or(0.0)
}

/// A row for each run, the slowest first: what somebody looks for who has twenty carts.
pub fn glance(page: &mut String, summaries: &[Summary]) -> fmt::Result {
    page.write_str(
        "<h2>At a glance</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th>run</th><th>ran for</th><th>video delay p99, ms</th><th>p99.9</th>\
         <th>within 5.75 ms</th><th>outlines p99.9, ms</th><th>within 120 ms</th><th>not shown</th><th>assisting</th><th>hottest, °C</th></tr></thead>\n<tbody>\n",
    )?;
    for place in slowest_first(summaries) {
        let Some(summary) = summaries.get(place) else { continue };
        let frames = |name: &str| summary.frames.get(name).copied().unwrap_or(0) as f64;
        let assisting = summary.states.get("assist").copied().unwrap_or(0.0);
        write!(page, "<tr><th>{}</th><td>{}</td>", Text(&summary.name), duration(summary.seconds))?;
        for (stage, limit) in LIMITS {
            let names: &[&str] = if stage == Stage::VideoDelay { &["p99", "p99.9"] } else { &["p99.9"] };
            match summary.stage(stage) {
                Some(figures) => {
                    for name in names {
                        let ms = percentile(figures, name);
                        write!(page, "<td{}>{ms:.2}</td>", beyond(ms, Some(limit)))?;
                    }
                    write!(page, "<td>{:.3} %</td>", figures.within_limit_percent.unwrap_or(0.0))?;
                }
                None => page.write_str(&"<td>–</td>".repeat(names.len() + 1))?,
            }
        }
        writeln!(
            page,
            "<td>{:.3} %</td><td>{:.2} %</td><td>{}</td></tr>",
            100.0 * (frames("overtaken") + frames("not_taken")) / frames("captured").max(1.0),
            100.0 * assisting / summary.seconds.max(1e-3),
            summary.machine.hottest_c.map_or("–".into(), |c| format!("{c:.1}")),
        )?;
    }
    page.write_str("</tbody></table></div>\n")
}

fn beyond(ms: f64, limit: Option<f64>) -> &'static str {
    if limit.is_some_and(|limit| ms > limit) { " class=\"beyond\"" } else { "" }
}

/// Each stage's percentiles, a row for each run. Those of a fleet that have no limit are closed.
pub fn percentiles(page: &mut String, summaries: &[Summary]) -> fmt::Result {
    page.write_str("<h2>Percentiles</h2>\n")?;
    let is_first = |stage: &Stage| LIMITS.iter().any(|(of, _)| of == stage) || *stage == Stage::Interval;
    if is_fleet(summaries) {
        let (first, rest): (Vec<Stage>, Vec<Stage>) = Stage::ALL.into_iter().partition(is_first);
        percentiles_of(page, summaries, &first)?;
        page.write_str("<details><summary>The other stages</summary>\n")?;
        percentiles_of(page, summaries, &rest)?;
        page.write_str("</details>\n")?;
    } else {
        percentiles_of(page, summaries, &Stage::ALL)?;
    }
    page.write_str(
        "<p class=\"quiet\">Percentiles are at most 1/128 too high. What is beyond a limit is red. The limits are the two that a device was \
         accepted on: 5.75 ms of video delay, 120 ms until an outline is shown.</p>\n",
    )
}

fn percentiles_of(page: &mut String, summaries: &[Summary], stages: &[Stage]) -> fmt::Result {
    page.write_str(
        "<div class=\"scroll\"><table>\n<thead><tr><th>stage, ms</th><th class=\"text\">run</th><th>count</th><th>mean</th>",
    )?;
    SHARES.iter().try_for_each(|(_, name)| write!(page, "<th>{name}</th>"))?;
    page.write_str("<th>longest</th><th>within the limit</th></tr></thead>\n<tbody>\n")?;
    for &stage in stages {
        let places =
            if is_fleet(summaries) { slowest_by(summaries, stage) } else { (0..summaries.len()).collect() };
        let limit = LIMITS.iter().find(|(of, _)| *of == stage).map(|&(_, ms)| ms);
        let mut label = stage.label();
        for summary in places.into_iter().filter_map(|place| summaries.get(place)) {
            let Some(figures) = summary.stage(stage) else { continue };
            write!(
                page,
                "<tr><th>{}</th><td class=\"run\">{}</td><td>{}</td><td>{:.2}</td>",
                Text(std::mem::take(&mut label)),
                Text(&summary.name),
                figures.count,
                figures.mean_ms
            )?;
            for (_, name) in SHARES {
                let ms = percentile(figures, name);
                write!(page, "<td{}>{ms:.2}</td>", beyond(ms, limit))?;
            }
            let within = match (limit, figures.within_limit_percent) {
                (Some(limit), Some(percent)) => format!("{percent:.3} % of {limit} ms"),
                _ => String::new(),
            };
            writeln!(
                page,
                "<td{}>{:.2}</td><td>{within}</td></tr>",
                beyond(figures.max_ms, limit),
                figures.max_ms
            )?;
        }
    }
    page.write_str("</tbody></table></div>\n")
}

/// What ran.
pub fn identity(page: &mut String, summaries: &[Summary]) -> fmt::Result {
    page.write_str(
        "<h2>What ran</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th>run</th><th class=\"text\">machine</th><th class=\"text\">program</th>\
         <th class=\"text\">model</th><th class=\"text\">profile</th><th class=\"text\">camera and monitor</th></tr></thead>\n<tbody>\n",
    )?;
    for summary in summaries {
        for setup in &summary.setups {
            let short = |digest: &str| digest.chars().take(12).collect::<String>();
            writeln!(
                page,
                "<tr><th>{}</th><td class=\"text\">{}, Linux {}</td><td class=\"text\">{}, commit {}, {}, kernels {}</td>\
                 <td class=\"text\">{} {} {}</td><td class=\"text\">{} {}</td><td class=\"text\">{}<br>{}<br>driver's clock: {}</td></tr>",
                Text(&summary.name),
                Text(&setup.hardware),
                Text(&setup.system),
                Text(&setup.version),
                Text(&short(&setup.commit)),
                Text(&setup.build),
                Text(&setup.kernels),
                Text(&setup.model),
                Text(&setup.model_version),
                Text(&short(&setup.model_digest)),
                Text(&setup.board),
                Text(&short(&setup.profile_digest)),
                Text(&setup.feed),
                Text(&setup.display),
                Text(&setup.driver_clock),
            )?;
        }
    }
    page.write_str("</tbody></table></div>\n")
}

/// What each fate is called.
const FATES: [(&str, &str); 11] = [
    ("captured", "captured"),
    ("shown", "shown"),
    ("outlined", "shown with an outline"),
    ("overtaken", "not shown, a newer one came"),
    ("not_taken", "not shown, the display could not take it"),
    ("damaged", "damaged"),
    ("missed", "missing in the driver's numbering"),
    ("stale", "fetched from the driver too late"),
    ("skipped", "not looked at, a newer one came"),
    ("spared", "not looked at because of heat"),
    ("late", "results too late for any frame"),
];

/// What became of the frames.
pub fn fates(page: &mut String, summaries: &[Summary]) -> fmt::Result {
    table(
        page,
        "What became of the frames",
        "frames",
        summaries,
        FATES.iter().map(|&(name, words)| {
            let cell = move |summary: &Summary| {
                let count = summary.frames.get(name).copied().unwrap_or(0);
                let captured = summary.frames.get("captured").copied().unwrap_or(0).max(1);
                format!(
                    "{count} <span class=\"quiet\">{:.3} %</span>",
                    100.0 * count as f64 / captured as f64
                )
            };
            (words.to_owned(), cell)
        }),
    )
}

/// Time in each state, and what the machine was like.
pub fn states(page: &mut String, summaries: &[Summary]) -> fmt::Result {
    let names: BTreeSet<&String> = summaries.iter().flat_map(|summary| summary.states.keys()).collect();
    table(
        page,
        "Time in each state",
        "state",
        summaries,
        names.into_iter().map(|name| {
            let cell = move |summary: &Summary| {
                let seconds = summary.states.get(name).copied().unwrap_or(0.0);
                format!(
                    "{} <span class=\"quiet\">{:.2} %</span>",
                    duration(seconds),
                    100.0 * seconds / summary.seconds.max(1e-3)
                )
            };
            (if name == "dark" { "nobody sees the picture".to_owned() } else { name.clone() }, cell)
        }),
    )?;
    type Cell = fn(&Summary) -> String;
    let rows: [(&str, Cell); 5] = [
        ("hottest, °C", |summary| summary.machine.hottest_c.map_or("–".into(), |c| format!("{c:.1}"))),
        ("clock of the cores, MHz", |summary| {
            summary.machine.mhz.map_or("–".into(), |(slow, fast)| format!("{slow} to {fast}"))
        }),
        ("most threads that could run", |summary| {
            summary.machine.runnable.map_or("–".into(), |count| count.to_string())
        }),
        ("slowed down by", |summary| {
            Text(&[&summary.machine.throttled[..], &summary.machine.heat_steps[..]].concat().join(", "))
                .to_string()
        }),
        ("lost its core, display", |summary| {
            summary.machine.switches.get("display").copied().unwrap_or(0).to_string()
        }),
    ];
    table(page, "The machine", "", summaries, rows.into_iter().map(|(name, cell)| (name.to_owned(), cell)))
}

/// A column for each run, or a row where there are many. The cells are HTML.
fn table<F: Fn(&Summary) -> String>(
    page: &mut String,
    heading: &str,
    corner: &str,
    summaries: &[Summary],
    rows: impl Iterator<Item = (String, F)>,
) -> fmt::Result {
    if is_fleet(summaries) {
        let columns: Vec<(String, F)> = rows.collect();
        write!(page, "<h2>{heading}</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th>run</th>")?;
        columns.iter().try_for_each(|(name, _)| write!(page, "<th>{}</th>", Text(name)))?;
        page.write_str("</tr></thead>\n<tbody>\n")?;
        for summary in summaries {
            write!(page, "<tr><th>{}</th>", Text(&summary.name))?;
            columns.iter().try_for_each(|(_, cell)| write!(page, "<td>{}</td>", cell(summary)))?;
            page.write_str("</tr>\n")?;
        }
        return page.write_str("</tbody></table></div>\n");
    }
    write!(page, "<h2>{heading}</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th>{corner}</th>")?;
    summaries.iter().try_for_each(|summary| write!(page, "<th>{}</th>", Text(&summary.name)))?;
    page.write_str("</tr></thead>\n<tbody>\n")?;
    for (name, cell) in rows {
        write!(page, "<tr><th>{}</th>", Text(&name))?;
        summaries.iter().try_for_each(|summary| write!(page, "<td>{}</td>", cell(summary)))?;
        page.write_str("</tr>\n")?;
    }
    page.write_str("</tbody></table></div>\n")
}
