//! All of it as one file for a browser, without anything from elsewhere: no script, no font, no picture that is not in it.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use super::charts::{self, COURSES};
use super::compare::Difference;
use super::gather::{Run, time};
use super::summary::{LIMITS, SHARES, Summary};
use crate::identity::Program;
use crate::latency::interval::SlowFrame;
use crate::latency::{Durations, Stage};

const STYLE: &str = include_str!("page.css");
/// So many of the worst frames and minutes are listed for each run.
const WORST: usize = 12;

/// What the page is made of.
pub struct Content<'a> {
    /// The runs, and their figures in the same order.
    pub runs: &'a [Run],
    /// See above.
    pub summaries: &'a [Summary],
    /// How the others differ from the first one: the run's place, and the difference.
    pub differences: &'a [(usize, Difference)],
}

/// Text between tags.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            letter => f.write_char(letter),
        })
    }
}

/// The page.
pub fn page(content: &Content<'_>) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut page, content);
    page
}

fn write(page: &mut String, content: &Content<'_>) -> fmt::Result {
    let title = match content.summaries {
        [one] => format!("Latency of {}", one.name),
        many => format!("Latency of {} runs", many.len()),
    };
    write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{0}</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{0}</h1>\n",
        Text(&title)
    )?;
    content.summaries.iter().try_for_each(|summary| in_words(page, summary))?;
    differences(page, content)?;
    percentiles(page, content.summaries)?;
    identity(page, content.summaries)?;
    fates(page, content.summaries)?;
    states(page, content.summaries)?;
    distributions(page, content)?;
    courses(page, content.runs)?;
    worst(page, content.runs)?;
    notes(page, content.summaries)?;
    write!(
        page,
        "<p class=\"quiet\">Written by {}.</p>\n</body>\n</html>\n",
        Text(&Program::this().to_string())
    )
}

fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, _) if seconds < 90.0 => format!("{seconds:.0} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// How often, in words.
pub fn times(count: usize) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

fn in_words(page: &mut String, summary: &Summary) -> fmt::Result {
    let count = |name: &str| summary.frames.get(name).copied().unwrap_or(0);
    let (shown, lost) = (count("shown"), count("overtaken") + count("not_taken"));
    write!(
        page,
        "<p><b>{}</b> ran for {} between {} and {}, started {}, and showed {shown} frames; {lost} that were captured were not shown, \
         {} were damaged, and {} never came from the camera.",
        Text(&summary.name),
        duration(summary.seconds),
        time(summary.from_unix_s),
        time(summary.to_unix_s),
        times(summary.starts),
        count("damaged"),
        count("missed"),
    )?;
    for (stage, limit) in LIMITS {
        let Some(figures) = summary.stage(stage) else { continue };
        let p999 = figures.percentiles_ms.get("p99.9").copied().unwrap_or(0.0);
        let what = if stage == Stage::VideoDelay { "The video delay" } else { "The delay of outlines" };
        write!(
            page,
            " {what} was at most {p999:.2} ms for 99.9 % of all frames; {:.3} % were within {limit} ms.",
            figures.within_limit_percent.unwrap_or(0.0)
        )?;
    }
    page.write_str("</p>\n")
}

fn differences(page: &mut String, content: &Content<'_>) -> fmt::Result {
    let (false, Some(first)) = (content.differences.is_empty(), content.summaries.first()) else {
        return Ok(());
    };
    page.write_str("<h2>What differs</h2>\n<ul>\n")?;
    for (place, difference) in content.differences {
        let Some(other) = content.summaries.get(*place) else { continue };
        writeln!(page, "<li>{}</li>", Text(&difference.sentence(&first.name, &other.name)))?;
    }
    page.write_str(
        "</ul>\n<p class=\"quiet\">The confidence intervals are by a bootstrap over minutes: minutes of each run are drawn anew a thousand \
         times.</p>\n",
    )
}

fn percentiles(page: &mut String, summaries: &[Summary]) -> fmt::Result {
    page.write_str("<h2>Percentiles</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th>stage, ms</th><th class=\"text\">run</th><th>count</th><th>mean</th>")?;
    SHARES.iter().try_for_each(|(_, name)| write!(page, "<th>{name}</th>"))?;
    page.write_str("<th>longest</th><th>within the limit</th></tr></thead>\n<tbody>\n")?;
    for stage in Stage::ALL {
        let mut label = stage.label();
        for summary in summaries {
            let Some(figures) = summary.stage(stage) else { continue };
            let limit = LIMITS.iter().find(|(of, _)| *of == stage).map(|&(_, ms)| ms);
            let class =
                |ms: f64| if limit.is_some_and(|limit| ms > limit) { " class=\"beyond\"" } else { "" };
            write!(
                page,
                "<tr><th>{}</th><td class=\"run\">{}</td><td>{}</td><td>{:.2}</td>",
                Text(std::mem::take(&mut label)),
                Text(&summary.name),
                figures.count,
                figures.mean_ms
            )?;
            for (_, name) in SHARES {
                let ms = figures.percentiles_ms.get(name).copied().unwrap_or(0.0);
                write!(page, "<td{}>{ms:.2}</td>", class(ms))?;
            }
            let within = match (limit, figures.within_limit_percent) {
                (Some(limit), Some(percent)) => format!("{percent:.3} % of {limit} ms"),
                _ => String::new(),
            };
            writeln!(page, "<td{}>{:.2}</td><td>{within}</td></tr>", class(figures.max_ms), figures.max_ms)?;
        }
    }
    page.write_str(
        "</tbody></table></div>\n<p class=\"quiet\">Percentiles are at most 1/128 too high. What is beyond a limit is red. The limits are the two \
         that a device was accepted on: 5.75 ms of video delay, 120 ms until an outline is shown.</p>\n",
    )
}

fn identity(page: &mut String, summaries: &[Summary]) -> fmt::Result {
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

fn fates(page: &mut String, summaries: &[Summary]) -> fmt::Result {
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

fn states(page: &mut String, summaries: &[Summary]) -> fmt::Result {
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

/// A column a run. The cells are HTML.
fn table<F: Fn(&Summary) -> String>(
    page: &mut String,
    heading: &str,
    corner: &str,
    summaries: &[Summary],
    rows: impl Iterator<Item = (String, F)>,
) -> fmt::Result {
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

/// The key to the lines of a chart.
fn key(page: &mut String, names: impl Iterator<Item = String>) -> fmt::Result {
    for (number, name) in names.enumerate() {
        let (colour, (dash, gap)) = charts::look(number);
        let dashes = if dash == 0 { String::new() } else { format!(" stroke-dasharray=\"{dash} {gap}\"") };
        write!(
            page,
            "<span class=\"key\"><svg viewBox=\"0 0 34 10\" aria-hidden=\"true\"><line x1=\"0\" y1=\"5\" x2=\"34\" y2=\"5\" stroke-width=\"3\" \
             stroke=\"#{:02x}{:02x}{:02x}\"{dashes}/></svg>{}</span>",
            colour.0,
            colour.1,
            colour.2,
            Text(&name)
        )?;
    }
    Ok(())
}

fn distributions(page: &mut String, content: &Content<'_>) -> fmt::Result {
    page.write_str("<h2>Distributions</h2>\n<p>On the left how many durations there are of each length, on the right how many per cent take no longer.</p>\n")?;
    let totals: Vec<_> = content.runs.iter().map(Run::total).collect();
    for stage in Stage::ALL {
        let durations: Vec<Durations> = totals.iter().map(|total| total.stage(stage)).collect();
        if durations.iter().all(|durations| durations.count() == 0) {
            continue;
        }
        let limit = LIMITS.iter().find(|(of, _)| *of == stage).map(|&(_, ms)| ms);
        let open = if limit.is_some() || stage == Stage::Interval { " open" } else { "" };
        let label = Text(stage.label()).to_string();
        write!(
            page,
            "<details{open}><summary>{label}</summary>\n<figure role=\"img\" aria-label=\"Distribution of {label}\">\n"
        )?;
        page.write_str(&charts::distributions(&durations.iter().collect::<Vec<_>>(), limit))?;
        page.write_str("<figcaption>")?;
        key(page, content.summaries.iter().map(|summary| summary.name.clone()))?;
        if let Some(limit) = limit {
            write!(page, "<span class=\"key beyond\">limit: {limit} ms</span>")?;
        }
        page.write_str("</figcaption></figure></details>\n")?;
    }
    Ok(())
}

fn courses(page: &mut String, runs: &[Run]) -> fmt::Result {
    page.write_str("<h2>Minute by minute</h2>\n")?;
    for run in runs {
        for (stage, limit) in LIMITS {
            let chart = charts::course(run, stage, Some(limit));
            if chart.is_empty() {
                continue;
            }
            let label = format!("{} of {}", stage.label(), run.name);
            write!(
                page,
                "<h3>{0}</h3>\n<figure role=\"img\" aria-label=\"{0}, minute by minute\">\n{chart}<figcaption>",
                Text(&label)
            )?;
            key(page, COURSES.iter().map(|(_, name)| (*name).to_owned()))?;
            page.write_str(
                "<span class=\"key\"><span class=\"box\" style=\"background:var(--lost)\"></span>no assistance, signal or monitor for a time</span>\
                 <span class=\"key\"><span class=\"box\" style=\"background:var(--hot)\"></span>hot or slowed down</span></figcaption></figure>\n",
            )?;
        }
    }
    Ok(())
}

fn worst(page: &mut String, runs: &[Run]) -> fmt::Result {
    let mut has_any = false;
    for run in runs {
        let mut frames: Vec<(SlowFrame, &crate::latency::interval::Interval)> = run
            .minutes
            .iter()
            .flat_map(|minute| minute.interval.slowest.iter().map(|&frame| (frame, &minute.interval)))
            .collect();
        frames.sort_by_key(|(frame, _)| std::cmp::Reverse(frame.video_delay_us()));
        frames.truncate(WORST);
        let Some((slowest, _)) = frames.first() else { continue };
        if !std::mem::replace(&mut has_any, true) {
            page.write_str(
                "<h2>The slowest frames</h2>\n<p>Where the time of each went, from when it was fetched until it was handed over to the display, and \
                 what the machine was like in that minute.</p>\n",
            )?;
        }
        let most = slowest.video_delay_us().max(1) as f64;
        write!(
            page,
            "<h3>{}</h3>\n<div class=\"scroll\"><table>\n<thead><tr><th>when</th><th>ms</th><th class=\"text\">ready · waited · drawn · handed over</th>\
             <th>driver, ms</th><th>core lost</th><th>could run</th><th>°C</th></tr></thead>\n<tbody>\n",
            Text(&run.name)
        )?;
        for (frame, interval) in frames {
            let machine = &interval.machine;
            writeln!(
                page,
                "<tr><td>{}</td><td>{:.2}</td><td class=\"text\">{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                time(frame.unix_s as f64),
                frame.video_delay_us() as f64 / 1e3,
                waterfall(&frame, most),
                frame.driver_us.map_or("–".into(), |us| format!("{:.2}", f64::from(us) / 1e3)),
                machine.switches.get("display").copied().unwrap_or(0),
                machine.runnable.map_or("–".into(), |count| count.to_string()),
                machine.hottest_c.map_or("–".into(), |c| format!("{c:.0}")),
            )?;
        }
        page.write_str("</tbody></table></div>\n")?;
    }
    Ok(())
}

/// A frame's time as bars, one behind the other.
fn waterfall(frame: &SlowFrame, most_us: f64) -> String {
    let parts = [
        ("ready", frame.ready_us),
        ("waited", frame.waited_us),
        ("drawn", frame.draw_us),
        ("handed over", frame.display_us),
    ];
    let mut svg = String::from("<svg viewBox=\"0 0 420 16\" style=\"width:420px\" role=\"img\">");
    let mut at = 0.0;
    for (number, (name, us)) in parts.into_iter().enumerate() {
        let width = 420.0 * f64::from(us) / most_us;
        let (colour, _) = charts::look(number);
        let _ = write!(
            svg,
            "<rect x=\"{at:.1}\" y=\"{}\" width=\"{width:.1}\" height=\"4\" fill=\"#{:02x}{:02x}{:02x}\"><title>{name}: {:.2} ms</title></rect>",
            4 * number,
            colour.0,
            colour.1,
            colour.2,
            f64::from(us) / 1e3
        );
        at += width;
    }
    svg.push_str("</svg>");
    let words: Vec<String> = parts.iter().map(|(_, us)| format!("{:.2}", f64::from(*us) / 1e3)).collect();
    format!("{svg}{}", words.join(" · "))
}

fn notes(page: &mut String, summaries: &[Summary]) -> fmt::Result {
    if summaries.iter().all(|summary| summary.notes.is_empty()) {
        return Ok(());
    }
    page.write_str("<h2>What is missing</h2>\n<ul>\n")?;
    for summary in summaries {
        for note in &summary.notes {
            writeln!(page, "<li>{}: {}</li>", Text(&summary.name), Text(note))?;
        }
    }
    page.write_str("</ul>\n")
}
