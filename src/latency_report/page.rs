//! All of it as one file for a browser, without anything from elsewhere: no script, no font, no picture that is not in it.

use std::fmt::{self, Write};

use super::charts::{self, COURSES, Look};
use super::compare::Difference;
use super::gather::{Run, time};
use super::html::{Text, duration};
use super::summary::{LIMITS, Summary};
use super::tables::{self, is_fleet, slowest_by, slowest_first};
use crate::identity::Program;
use crate::latency::interval::SlowFrame;
use crate::latency::{Durations, Stage};

const STYLE: &str = include_str!("page.css");
/// So many of the worst frames and minutes are listed for each run.
const WORST: usize = 12;
/// Of many runs, the slowest that have a line of their own in a chart, and those of which all is open.
const TOLD_APART: usize = 5;
const OPEN: usize = 3;

/// What the page is made of.
pub struct Content<'a> {
    /// The runs, and their figures in the same order.
    pub runs: &'a [Run],
    /// See above.
    pub summaries: &'a [Summary],
    /// How the others differ from the first one: the run's place, and the difference.
    pub differences: &'a [(usize, Difference)],
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
    if is_fleet(content.summaries) {
        tables::glance(page, content.summaries)?;
    } else {
        content.summaries.iter().try_for_each(|summary| in_words(page, summary))?;
    }
    differences(page, content)?;
    tables::percentiles(page, content.summaries)?;
    tables::identity(page, content.summaries)?;
    tables::fates(page, content.summaries)?;
    tables::states(page, content.summaries)?;
    distributions(page, content)?;
    courses(page, content)?;
    worst(page, content)?;
    notes(page, content.summaries)?;
    write!(
        page,
        "<p class=\"quiet\">Written by {}.</p>\n</body>\n</html>\n",
        Text(&Program::this().to_string())
    )
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
    // A hundred sentences are for the screen alone.
    page.write_str(if is_fleet(content.runs) { "<section class=\"aside\">\n" } else { "<section>\n" })?;
    page.write_str("<h2>What differs</h2>\n")?;
    if is_fleet(content.runs) {
        writeln!(page, "<details><summary>From {}</summary>", Text(&first.name))?;
    }
    page.write_str("<ul>\n")?;
    for (place, difference) in content.differences {
        let Some(other) = content.summaries.get(*place) else { continue };
        writeln!(page, "<li>{}</li>", Text(&difference.sentence(&first.name, &other.name)))?;
    }
    page.write_str("</ul>\n")?;
    if is_fleet(content.runs) {
        page.write_str("</details>\n")?;
    }
    page.write_str(
        "<p class=\"quiet\">The confidence intervals are by a bootstrap over minutes: minutes of each run are drawn anew a thousand \
         times.</p>\n</section>\n",
    )
}

/// The key to the lines of a chart.
fn key(page: &mut String, lines: impl Iterator<Item = (Look, String)>) -> fmt::Result {
    for (look, name) in lines {
        let (stroke, dash) = match look {
            Look::Series(number) => {
                let (colour, dash) = charts::look(number);
                (format!("#{:02x}{:02x}{:02x}", colour.0, colour.1, colour.2), dash)
            }
            Look::Rest => ("#060606".to_owned(), (0, 0)),
        };
        let dashes =
            if dash.0 == 0 { String::new() } else { format!(" stroke-dasharray=\"{} {}\"", dash.0, dash.1) };
        write!(
            page,
            "<span class=\"key\"><svg viewBox=\"0 0 34 10\" aria-hidden=\"true\"><line x1=\"0\" y1=\"5\" x2=\"34\" y2=\"5\" stroke-width=\"3\" \
             stroke=\"{stroke}\"{dashes}/></svg>{}</span>",
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
        // Of a fleet, the slowest are told apart, and the others are the ground on which they are seen.
        let (told, rest) = if is_fleet(content.runs) {
            let mut places = slowest_by(content.summaries, stage);
            let rest = places.split_off(TOLD_APART.min(places.len()));
            (places, rest)
        } else {
            ((0..content.runs.len()).collect(), Vec::new())
        };
        let told = told.into_iter().enumerate().map(|(number, place)| (Look::Series(number), place));
        let looks: Vec<(Look, usize)> = rest.iter().map(|&place| (Look::Rest, place)).chain(told).collect();
        let lines = looks.iter().filter_map(|&(look, place)| Some((look, durations.get(place)?)));
        page.write_str(&charts::distributions(&lines.collect::<Vec<_>>(), limit))?;
        page.write_str("<figcaption>")?;
        let named = looks
            .iter()
            .filter(|(look, _)| *look != Look::Rest)
            .filter_map(|&(look, place)| Some((look, content.summaries.get(place)?.name.clone())));
        key(page, named)?;
        if !rest.is_empty() {
            key(page, [(Look::Rest, format!("the other {}", rest.len()))].into_iter())?;
        }
        if let Some(limit) = limit {
            write!(page, "<span class=\"key beyond\">limit: {limit} ms</span>")?;
        }
        page.write_str("</figcaption></figure></details>\n")?;
    }
    Ok(())
}

/// Places of the runs in the order in which a reader wants them, and whether each is open.
fn order(content: &Content<'_>) -> Vec<(usize, bool)> {
    if is_fleet(content.runs) {
        let places = slowest_first(content.summaries).into_iter().enumerate();
        places.map(|(number, place)| (place, number < OPEN)).collect()
    } else {
        (0..content.runs.len()).map(|place| (place, true)).collect()
    }
}

fn courses(page: &mut String, content: &Content<'_>) -> fmt::Result {
    page.write_str("<h2>Minute by minute</h2>\n")?;
    for (run, is_open) in
        order(content).into_iter().filter_map(|(place, open)| Some((content.runs.get(place)?, open)))
    {
        let open = if is_open { " open" } else { "" };
        writeln!(page, "<details{open}><summary>{}</summary>", Text(&run.name))?;
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
            let lines = COURSES.iter().enumerate();
            key(page, lines.map(|(number, (_, name))| (Look::Series(number), (*name).to_owned())))?;
            page.write_str(
                "<span class=\"key\"><span class=\"box\" style=\"background:var(--lost)\"></span>no assistance, signal or monitor for a time</span>\
                 <span class=\"key\"><span class=\"box\" style=\"background:var(--hot)\"></span>hot or slowed down</span></figcaption></figure>\n",
            )?;
        }
        page.write_str("</details>\n")?;
    }
    Ok(())
}

fn worst(page: &mut String, content: &Content<'_>) -> fmt::Result {
    let mut has_any = false;
    for (run, is_open) in
        order(content).into_iter().filter_map(|(place, open)| Some((content.runs.get(place)?, open)))
    {
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
        let open = if is_open { " open" } else { "" };
        write!(
            page,
            "<details{open}><summary>{}: {:.2} ms</summary>\n<div class=\"scroll\"><table>\n<thead><tr><th>when</th><th>ms</th>\
             <th class=\"text\">ready · waited · drawn · handed over</th><th>driver, ms</th><th>core lost</th><th>could run</th><th>°C</th></tr></thead>\n<tbody>\n",
            Text(&run.name),
            most / 1e3
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
        page.write_str("</tbody></table></div></details>\n")?;
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
