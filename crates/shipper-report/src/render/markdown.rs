//! A run as Markdown, for job summaries and comments.

use std::fmt::Write as _;

use super::escape::steers;
use super::parts::{done, short, size, why};
use super::{head, outcome};
use crate::{Run, units};

/// Rows of services that are shown: a job summary may have 1 MiB (GitHub, "Adding a job summary").
const ROWS: usize = 500;

/// The report of `run`.
#[must_use]
pub fn markdown(run: &Run) -> String {
    let totals = run.totals();
    let mut out = String::new();
    let title = run.project.as_deref().unwrap_or("shipper");
    let word = match outcome(run) {
        "ok" => "succeeded",
        "unknown" => "end not recorded",
        word => word,
    };
    let _ = write!(out, "## {}: {word}\n\n", text(title));
    let head = head(run);
    if !head.is_empty() {
        let _ = write!(out, "{} · ", code(&head));
    }
    let counts = [
        (totals.built, "built"),
        (totals.retagged, "retagged"),
        (totals.reused, "reused"),
        (totals.failed, "failed"),
        (totals.unfinished, "not finished"),
    ];
    let counts: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let counts = if counts.is_empty() { "nothing done".to_owned() } else { counts.join(", ") };
    let _ = write!(out, "**{counts}** in {}", units::duration(totals.duration_ms));
    if totals.saved_ms > 0 {
        let _ = write!(out, ", about {} of builds saved", units::duration(totals.saved_ms));
    }
    let _ = write!(out, ", {} uploaded\n\n", units::bytes(totals.blobs.uploaded_bytes));
    if let Some(damage) = run.damage() {
        let _ = write!(out, "> {}\n\n", text(&damage));
    }
    if !run.services.is_empty() {
        out.push_str(
            "| Service | Action | Why | Image | Size | Uploaded | Time | Saved |\n|---|---|---|---|--:|--:|--:|--:|\n",
        );
    }
    for service in run.services.iter().take(ROWS) {
        let image = service.digest.as_deref().map(|digest| code(&short(digest))).unwrap_or_default();
        let _ = writeln!(
            out,
            "| {} | {} | {} | {image} | {} | {} | {} | {} |",
            text(&service.service),
            done(service).0,
            text(&why(service)),
            size(service.size),
            size(service.blobs.map_or(0, |blobs| blobs.uploaded_bytes)),
            service.duration_ms.map(units::duration).unwrap_or_default(),
            service.saved_ms.map(units::duration).unwrap_or_default(),
        );
    }
    if run.services.len() > ROWS {
        let _ = write!(out, "\nand {} more\n", units::counted(run.services.len() - ROWS, "service"));
    }
    for failed in &run.failures {
        let _ = write!(out, "\n**{}**\n", text(failed.chain.first().map_or("error", String::as_str)));
        for cause in failed.chain.iter().skip(1) {
            let _ = writeln!(out, "- caused by: {}", text(cause));
        }
        if let Some(hint) = &failed.hint {
            let _ = writeln!(out, "- hint: {}", text(hint));
        }
    }
    out
}

/// Text from outside on one line that is no markup (GitHub Flavored Markdown 0.29, "Backslash escapes" and tables).
pub(crate) fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => escaped.push(' '),
            c if steers(c) => escaped.extend(c.escape_unicode()),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // Neither mentions nor links.
            '@' => escaped.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// A value as code, in a table too.
pub(crate) fn code(value: &str) -> String {
    let value: String =
        value.chars().map(|c| if steers(c) || matches!(c, '`' | '|' | '\n' | '\t') { ' ' } else { c }).collect();
    format!("`{value}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_markup_in_a_table() {
        assert_eq!(text("a|b `c` <d> [e](f) @g\n#h"), "a\\|b \\`c\\` &lt;d&gt; \\[e\\](f) &#64;g \\#h");
        assert_eq!(code("a`b|c"), "`a b c`");
    }
}
