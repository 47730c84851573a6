//! Dates as `{{date 'YYYYMMDD' tz='Asia/Tokyo'}}` asks for them.
//!
//! Source: the documentation of docker/metadata-action (`date`, `commit_date`), and of Moment.js for the tokens ("Format"), in
//! English. Time zones are those of the IANA database that is compiled in: a name means the same on every machine.

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::{TimeZone, TimeZoneDatabase};

/// Tokens of Moment.js and of strftime, the longer ones first.
const TOKENS: [(&str, &str); 29] = [
    ("YYYY", "%Y"),
    ("YY", "%y"),
    ("MMMM", "%B"),
    ("MMM", "%b"),
    ("MM", "%m"),
    ("M", "%-m"),
    ("DDDD", "%j"),
    ("DDD", "%-j"),
    ("DD", "%d"),
    ("D", "%-d"),
    ("dddd", "%A"),
    ("ddd", "%a"),
    ("HH", "%H"),
    ("H", "%-H"),
    ("hh", "%I"),
    ("h", "%-I"),
    ("mm", "%M"),
    ("m", "%-M"),
    ("ss", "%S"),
    ("s", "%-S"),
    ("A", "%p"),
    ("a", "%P"),
    ("ZZ", "%z"),
    ("Z", "%:z"),
    ("X", "%s"),
    ("GGGG", "%G"),
    ("GG", "%g"),
    ("WW", "%V"),
    ("E", "%u"),
];

/// A UTC time by `argument`: a pattern in quotes, and perhaps `tz=` with the name of a time zone.
///
/// # Errors
/// What is wrong with the argument.
pub(super) fn format(time: &str, argument: &str) -> Result<String, String> {
    let (pattern, rest) = quoted(argument.trim_start())?;
    let zone = match rest.trim_start().strip_prefix("tz=") {
        Some(text) => {
            let (name, rest) = quoted(text)?;
            if !rest.trim().is_empty() {
                return Err(format!("`{}` after the time zone is not supported", rest.trim()));
            }
            let found = TimeZoneDatabase::bundled().get(name);
            found.map_err(|_| format!("`{name}` is no time zone of the IANA database"))?
        }
        None if rest.trim().is_empty() => TimeZone::UTC,
        None => return Err(format!("`{}` after the date format is not supported", rest.trim())),
    };
    let time: Timestamp = time.parse().map_err(|_| format!("`{time}` is no time"))?;
    let translated = translated(pattern)?;
    strtime::format(&translated, &time.to_zoned(zone)).map_err(|error| format!("date format `{pattern}`: {error}"))
}

/// A text in single or double quotes and what follows; without quotes, up to the next space.
fn quoted(text: &str) -> Result<(&str, &str), String> {
    match text.chars().next() {
        Some(quote @ ('\'' | '"')) => {
            let rest = &text[1..];
            rest.split_once(quote).ok_or_else(|| format!("a `{quote}` is missing in `{text}`"))
        }
        _ => Ok(text.split_at(text.find(' ').unwrap_or(text.len()))),
    }
}

/// The pattern as strftime has it. Text in brackets stands for itself, and so does what is no letter.
fn translated(pattern: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if let Some((text, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            out.push_str(&text.replace('%', "%%"));
            rest = after;
        } else if let Some((token, own)) = TOKENS.iter().find(|(token, _)| rest.starts_with(token)) {
            out.push_str(own);
            rest = &rest[token.len()..];
        } else if first.is_ascii_alphabetic() {
            return Err(format!("the date format `{pattern}` is not supported from `{rest}` on"));
        } else {
            out.push_str(if first == '%' { "%%" } else { &rest[..first.len_utf8()] });
            rest = &rest[first.len_utf8()..];
        }
    }
    Ok(out)
}
