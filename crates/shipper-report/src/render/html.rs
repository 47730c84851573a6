//! A run as one HTML file: no script, no request, light and dark, for wide and narrow screens.

use std::fmt::Write as _;

use super::chart::{Chart, chart};
use super::escape::Escaped;
use super::parts::{done, short, size, why};
use super::{Summary, head, outcome};
use crate::{BlobCounts, Reason, Run, ServiceRun, units};

/// How many lines of a reason or a list are shown; how many there are is told.
const SHOWN: usize = 200;

/// The report of `run`; `history` are the runs up to and including it, oldest first.
#[must_use]
pub fn html(run: &Run, history: &[Summary]) -> String {
    let mut page = String::with_capacity(32 << 10);
    let title = title(run);
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n",
        title = Escaped(&title),
        style = include_str!("style.css"),
    );
    header(&mut page, run, &title);
    tiles(&mut page, run);
    notes(&mut page, run);
    services(&mut page, run);
    timeline(&mut page, run);
    blobs(&mut page, run);
    details(&mut page, run);
    trend(&mut page, history);
    footer(&mut page, run);
    page.push_str("</main>\n");
    // For scripts that read the page; `<` could end the element.
    let data = super::json(run, history).replace('<', "\\u003c");
    let _ = write!(
        page,
        "<script type=\"application/json\" id=\"shipper-report\">{}</script>\n</body>\n</html>\n",
        data.trim_end()
    );
    page
}

fn title(run: &Run) -> String {
    let command = run.command.as_deref().unwrap_or("run");
    match &run.project {
        Some(project) => format!("{project}: {command}"),
        None => format!("shipper {command}"),
    }
}

fn header(page: &mut String, run: &Run, title: &str) {
    let (word, class) = match outcome(run) {
        "ok" => ("succeeded", "ok"),
        "failed" => ("failed", "failed"),
        "interrupted" => ("interrupted", "open"),
        _ => ("end not recorded", "open"),
    };
    let _ = write!(
        page,
        "<header>\n<div class=\"brand\">shipper report</div>\n<h1>{}</h1>\n<p class=\"meta\"><span class=\"pill {class}\">{word}</span>",
        Escaped(title)
    );
    for part in [head(run), run.time.clone().unwrap_or_default()] {
        if !part.is_empty() {
            let _ = write!(page, "<span class=\"mono\">{}</span>", Escaped(&part));
        }
    }
    page.push_str("</p>\n</header>\n");
}

fn tiles(page: &mut String, run: &Run) {
    let totals = run.totals();
    page.push_str("<div class=\"tiles\">\n");
    let mut tile = |class: &str, value: &str, label: &str| {
        let _ = writeln!(page, "<div class=\"tile {class}\"><b>{value}</b><span>{label}</span></div>");
    };
    tile(if totals.built > 0 { "build" } else { "" }, &totals.built.to_string(), "built");
    tile(if totals.reused > 0 { "reuse" } else { "" }, &totals.reused.to_string(), "reused");
    let others = [
        ("retag", totals.retagged, "retagged"),
        ("failed", totals.failed, "failed"),
        ("open", totals.unfinished, "not finished"),
    ];
    for (class, count, label) in others {
        if count > 0 {
            tile(class, &count.to_string(), label);
        }
    }
    tile("", &units::duration(totals.duration_ms), "duration");
    tile("", &units::duration(totals.saved_ms), "of builds saved");
    tile("", &units::bytes(totals.blobs.uploaded_bytes), "uploaded");
    page.push_str("</div>\n");
}

/// What a reader has to know first: damage, failures, warnings.
fn notes(page: &mut String, run: &Run) {
    if let Some(damage) = run.damage() {
        let _ = writeln!(page, "<section class=\"note\" id=\"damage\"><p>{}</p></section>", Escaped(&damage));
    }
    if !run.failures.is_empty() {
        page.push_str("<section class=\"bad\" id=\"failures\">\n<h2>Failed</h2>\n");
        for failed in &run.failures {
            page.push_str("<article>\n");
            for (depth, text) in failed.chain.iter().enumerate() {
                let tag = if depth == 0 { "<p><strong>" } else { "<p class=\"dim\">caused by: " };
                let end = if depth == 0 { "</strong></p>" } else { "</p>" };
                let _ = writeln!(page, "{tag}{}{end}", Escaped(text));
            }
            if let Some(hint) = &failed.hint {
                let _ = writeln!(page, "<p>hint: {}</p>", Escaped(hint));
            }
            if !failed.log_tail.is_empty() {
                let _ = writeln!(page, "<pre>{}</pre>", Escaped(&failed.log_tail.join("\n")));
            }
            page.push_str("</article>\n");
        }
        page.push_str("</section>\n");
    }
    if !run.warnings.is_empty() {
        let _ = writeln!(
            page,
            "<section class=\"note\" id=\"warnings\">\n<h2>{}</h2>",
            units::counted(run.warnings.len(), "warning")
        );
        for (service, text) in run.warnings.iter().take(SHOWN) {
            let about = service.as_ref().map(|service| format!("{service}: ")).unwrap_or_default();
            let _ = writeln!(page, "<p>{}{}</p>", Escaped(&about), Escaped(text));
        }
        rest(page, run.warnings.len());
        page.push_str("</section>\n");
    }
}

fn rest(page: &mut String, count: usize) {
    if count > SHOWN {
        let _ = writeln!(page, "<p class=\"table-note\">and {} more</p>", count - SHOWN);
    }
}

fn services(page: &mut String, run: &Run) {
    page.push_str("<section id=\"services\">\n<h2>Services</h2>\n");
    if run.services.is_empty() {
        page.push_str("<p class=\"sub\">The run ended before there was a plan.</p>\n</section>\n");
        return;
    }
    let _ = writeln!(
        page,
        "<p class=\"sub\">{}: what was done for each, and why.</p>",
        units::counted(run.services.len(), "service")
    );
    page.push_str(
        "<table>\n<thead><tr><th>Service</th><th>Action</th><th>Reason</th><th class=\"num\">Time</th>\
         <th class=\"num\">Saved</th><th class=\"num\">Size</th><th class=\"num\">Uploaded</th></tr></thead>\n<tbody>\n",
    );
    for service in &run.services {
        let (word, class) = done(service);
        let number = |label: &str, value: String| {
            let none = if value.is_empty() { " none" } else { "" };
            format!("<td class=\"num{none}\" data-label=\"{label}\">{value}</td>")
        };
        let _ = writeln!(
            page,
            "<tr><td class=\"name\">{}</td><td class=\"act\"><span class=\"pill {class}\">{word}</span></td><td class=\"why\">{}</td>{}{}{}{}</tr>",
            Escaped(&service.service),
            Escaped(&why(service)),
            number("Time", service.duration_ms.map(units::duration).unwrap_or_default()),
            number("Saved", service.saved_ms.map(units::duration).unwrap_or_default()),
            number("Size", size(service.size)),
            number("Uploaded", size(service.blobs.map_or(0, |blobs| blobs.uploaded_bytes))),
        );
    }
    page.push_str("</tbody>\n</table>\n</section>\n");
}

fn timeline(page: &mut String, run: &Run) {
    let chart = chart(run);
    if chart.lanes.is_empty() {
        return;
    }
    page.push_str(
        "<section id=\"timeline\">\n<h2>Timeline</h2>\n<p class=\"sub\">What ran when. The services with a dot are the critical \
         path: the run took as long as they did, one after the other.</p>\n",
    );
    for lane in &chart.lanes {
        let _ = write!(
            page,
            "<div class=\"row{}\"><span class=\"name\">{}</span><svg viewBox=\"0 0 10000 18\" preserveAspectRatio=\"none\" role=\"img\">",
            if lane.critical { " crit" } else { "" },
            Escaped(&lane.name),
        );
        bars(page, &chart, lane);
        let _ = writeln!(page, "</svg><span class=\"val\">{}</span></div>", units::duration(lane.duration_ms));
    }
    let ticks: String = chart.ticks().iter().map(|tick| format!("<span>{tick}</span>")).collect();
    let _ = writeln!(
        page,
        "<div class=\"row axis\"><span class=\"name\"></span><div>{ticks}</div><span class=\"val\"></span></div>"
    );
    let kinds = ["plan", "check", "stage", "build", "push", "work", "failed"];
    let used = |kind: &&str| chart.lanes.iter().flat_map(|lane| &lane.bars).any(|bar| bar.kind == *kind);
    legend(page, kinds.into_iter().filter(used).map(|kind| (kind, kind)));
    page.push_str("</section>\n");
}

fn bars(page: &mut String, chart: &Chart, lane: &super::chart::Lane) {
    for bar in &lane.bars {
        let (x, width) = chart.place(bar, 10);
        let title = bar.title(&lane.name);
        let _ = write!(
            page,
            "<rect class=\"f-{}\" x=\"{x}\" y=\"0\" width=\"{width}\" height=\"18\"><title>{}</title></rect>",
            bar.kind,
            Escaped(&title)
        );
        if lane.critical {
            let _ = write!(page, "<rect class=\"f-crit\" x=\"{x}\" y=\"15\" width=\"{width}\" height=\"3\"/>");
        }
    }
}

fn legend<'a>(page: &mut String, entries: impl Iterator<Item = (&'a str, &'a str)>) {
    page.push_str("<div class=\"legend\">");
    for (class, label) in entries {
        let _ = write!(
            page,
            "<span><svg viewBox=\"0 0 1 1\" aria-hidden=\"true\"><rect class=\"f-{class}\" width=\"1\" height=\"1\"/></svg>{label}</span>"
        );
    }
    page.push_str("</div>\n");
}

fn blobs(page: &mut String, run: &Run) {
    let moved: Vec<(&ServiceRun, BlobCounts)> = run
        .services
        .iter()
        .filter_map(|service| Some((service, service.blobs.filter(|blobs| blobs.bytes() > 0)?)))
        .collect();
    let Some(most) = moved.iter().map(|(_, blobs)| blobs.bytes()).max() else { return };
    page.push_str(
        "<section id=\"layers\">\n<h2>Layers</h2>\n<p class=\"sub\">What the registry had, took from another of its \
         repositories, or was sent.</p>\n",
    );
    for (service, blobs) in &moved {
        let _ = write!(
            page,
            "<div class=\"row\"><span class=\"name\">{}</span><svg viewBox=\"0 0 10000 18\" preserveAspectRatio=\"none\" role=\"img\">",
            Escaped(&service.service)
        );
        let parts = [
            ("reused", blobs.reused, blobs.reused_bytes),
            ("mounted", blobs.mounted, blobs.mounted_bytes),
            ("uploaded", blobs.uploaded, blobs.uploaded_bytes),
        ];
        let mut x = 0;
        for (kind, count, bytes) in parts.into_iter().filter(|(_, count, _)| *count > 0) {
            let width = u64::try_from(u128::from(bytes) * 10_000 / u128::from(most)).unwrap_or(10_000).max(20);
            let _ = write!(
                page,
                "<rect class=\"f-{kind}\" x=\"{x}\" y=\"0\" width=\"{width}\" height=\"18\"><title>{kind}: {}, {}</title></rect>",
                units::counted(count, "blob"),
                units::bytes(bytes)
            );
            x += width;
        }
        let _ = writeln!(page, "</svg><span class=\"val\">{}</span></div>", units::bytes(blobs.bytes()));
    }
    let all = run.totals().blobs;
    let labels = [
        ("reused", format!("reused {}", units::bytes(all.reused_bytes))),
        ("mounted", format!("mounted {}", units::bytes(all.mounted_bytes))),
        ("uploaded", format!("uploaded {}", units::bytes(all.uploaded_bytes))),
    ];
    legend(page, labels.iter().map(|(class, label)| (*class, label.as_str())));
    page.push_str("</section>\n");
}

/// Why, files and values included, and what came out, for each service.
fn details(page: &mut String, run: &Run) {
    if run.services.is_empty() {
        return;
    }
    page.push_str(
        "<section id=\"why\">\n<h2>Why, and what came out</h2>\n<p class=\"sub\">Every file and value that made a \
         service due, with its image.</p>\n",
    );
    for service in &run.services {
        let (word, class) = done(service);
        let open = if class == "failed" { " open" } else { "" };
        let _ = writeln!(
            page,
            "<details{open}><summary><span class=\"name\">{}</span> <span class=\"pill {class}\">{word}</span> <span class=\"why\">{}</span></summary>",
            Escaped(&service.service),
            Escaped(&why(service))
        );
        for reason in &service.reasons {
            listed(page, reason);
        }
        page.push_str("<dl>");
        let mut pair = |name: &str, value: &str| {
            if !value.is_empty() {
                let _ = write!(page, "<dt>{name}</dt><dd><code>{}</code></dd>", Escaped(value));
            }
        };
        pair("Image", service.image().unwrap_or_default());
        for name in &service.names {
            pair("Name", &name.tag);
        }
        pair("Key", &service.key.as_deref().map(short).unwrap_or_default());
        pair("Context", &service.context.as_deref().map(context).unwrap_or_default());
        if service.files > 0 {
            let files = usize::try_from(service.files).unwrap_or(usize::MAX);
            pair("Files", &format!("{}, {}", units::counted(files, "file"), units::bytes(service.context_bytes)));
        }
        pair("Platforms", &service.platforms.join(", "));
        pair("Built on", &service.needs.join(", "));
        page.push_str("</dl></details>\n");
    }
    page.push_str("</section>\n");
}

/// Each of the contexts of several platforms, shortened.
fn context(contexts: &str) -> String {
    contexts.split('+').map(short).collect::<Vec<_>>().join(" + ")
}

fn listed(page: &mut String, reason: &Reason) {
    let lines = reason.details();
    if lines.is_empty() {
        return;
    }
    page.push_str("<ul>\n");
    for line in lines.iter().take(SHOWN) {
        let _ = writeln!(page, "<li><code>{}</code></li>", Escaped(line));
    }
    page.push_str("</ul>\n");
    rest(page, lines.len());
}

fn trend(page: &mut String, history: &[Summary]) {
    let Some((last, most)) = history.last().zip(history.iter().map(spent).max()).filter(|_| history.len() > 1) else {
        return;
    };
    let most = most.max(1);
    let _ = write!(
        page,
        "<section id=\"trend\" class=\"trend\">\n<h2>The last {} runs</h2>\n<p class=\"sub\">Duration, and above it what not \
         building saved; the right-most is this run.</p>\n<svg viewBox=\"0 0 1000 120\" preserveAspectRatio=\"none\" role=\"img\">",
        history.len()
    );
    let slot = 1000 / history.len();
    for (at, one) in history.iter().enumerate() {
        let x = at * slot + slot / 8;
        let width = slot * 3 / 4;
        let height = |ms: u64| u64::try_from(u128::from(ms) * 116 / u128::from(most)).unwrap_or(116);
        let took = height(one.totals.duration_ms).max(2);
        let saved = height(one.totals.saved_ms);
        let class = match one.outcome {
            Some(crate::Outcome::Ok) if one.totals.built == 0 => "idle",
            Some(crate::Outcome::Ok) => "ok",
            Some(_) => "failed",
            None => "open",
        };
        let title = format!(
            "{}: {} built, {} reused, {} failed in {}, {} saved",
            one.time.as_deref().unwrap_or(&one.run),
            one.totals.built,
            one.totals.reused,
            one.totals.failed,
            units::duration(one.totals.duration_ms),
            units::duration(one.totals.saved_ms)
        );
        let title = Escaped(&title);
        let _ = write!(
            page,
            "<g><title>{title}</title><rect class=\"f-{class}\" x=\"{x}\" y=\"{}\" width=\"{width}\" height=\"{took}\"/>\
             <rect class=\"f-saved\" opacity=\".35\" x=\"{x}\" y=\"{}\" width=\"{width}\" height=\"{saved}\"/></g>",
            120 - took,
            (120 - took).saturating_sub(saved),
        );
    }
    let day = |one: &Summary| one.time.as_deref().and_then(|time| time.get(..10)).unwrap_or(&one.run).to_owned();
    let first = history.first().map(day).unwrap_or_default();
    let _ = write!(
        page,
        "</svg>\n<div class=\"axis\"><span>{}</span><span>{}</span></div>\n",
        Escaped(&first),
        Escaped(&day(last))
    );
    legend(page, [("ok", "built"), ("idle", "nothing to build"), ("failed", "failed"), ("open", "no end")].into_iter());
    page.push_str("</section>\n");
}

fn spent(one: &Summary) -> u64 {
    one.totals.duration_ms.saturating_add(one.totals.saved_ms)
}

fn footer(page: &mut String, run: &Run) {
    let version = run.version.as_deref().unwrap_or("of an unknown version");
    let _ = writeln!(
        page,
        "<footer>Run <code>{}</code>, recorded by shipper {}.</footer>",
        Escaped(run.run.as_deref().unwrap_or("without a name")),
        Escaped(version)
    );
}
