//! A writer of YAML: mappings, lists, texts. It quotes whatever a reader could take for something else than the text.
//!
//! Source: YAML 1.2.2, 7.3 (flow scalars) and 8.1 (block scalars); the words that readers of YAML 1.1 take for truth values
//! are quoted as values too.

use std::fmt::Write as _;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Yaml {
    /// A text.
    Text(String),
    /// A text with a comment behind it.
    Noted(String, String),
    /// A script: its lines as they are.
    Script(&'static str),
    /// A number.
    Number(u32),
    /// A truth value.
    Flag(bool),
    /// A list.
    List(Vec<Self>),
    /// A mapping, in its order.
    Map(Map),
}

/// A mapping, in the order in which it was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Map(Vec<(String, Yaml)>);

impl Map {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds an entry.
    pub(crate) fn with(mut self, key: &str, value: impl Into<Yaml>) -> Self {
        self.0.push((key.to_owned(), value.into()));
        self
    }

    /// Adds an entry where there is a value.
    pub(crate) fn with_some(self, key: &str, value: Option<impl Into<Yaml>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Adds the entries of another one.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The mapping where it has entries.
    pub(crate) fn some(self) -> Option<Self> {
        (!self.is_empty()).then_some(self)
    }

    /// The document.
    pub(crate) fn render(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out
    }

    fn write(&self, out: &mut String, depth: usize) {
        for (place, (key, value)) in self.0.iter().enumerate() {
            // The first entry of a list's element stands behind its dash.
            if place > 0 || !out.ends_with("- ") {
                indent(out, depth);
            }
            let _ = write!(out, "{}:", scalar(key));
            value.write(out, depth);
        }
    }
}

impl Yaml {
    /// The value behind a key or a dash, with the end of its last line.
    fn write(&self, out: &mut String, depth: usize) {
        match self {
            Self::Text(text) => push(out, &scalar(text)),
            Self::Noted(text, note) => push(out, &format!("{} # {note}", scalar(text))),
            Self::Number(number) => push(out, &number.to_string()),
            Self::Flag(flag) => push(out, &flag.to_string()),
            Self::Script(script) if !script.contains('\n') && is_plain(script) => push(out, script),
            Self::Script(script) => {
                out.push_str(" |\n");
                for line in script.lines() {
                    indent(out, depth + 1);
                    let _ = writeln!(out, "{line}");
                }
            }
            Self::List(list) if list.is_empty() => push(out, "[]"),
            Self::List(list) => {
                out.push('\n');
                for value in list {
                    indent(out, depth + 1);
                    out.push('-');
                    match value {
                        Self::Map(map) if !map.is_empty() => {
                            out.push(' ');
                            map.write(out, depth + 2);
                        }
                        value => value.write(out, depth + 1),
                    }
                }
            }
            Self::Map(map) if map.is_empty() => push(out, "{}"),
            Self::Map(map) => {
                out.push('\n');
                map.write(out, depth + 1);
            }
        }
    }
}

fn push(out: &mut String, text: &str) {
    let _ = writeln!(out, " {text}");
}

fn indent(out: &mut String, depth: usize) {
    (0..depth).for_each(|_| out.push_str("  "));
}

/// A text on one line: plain where nothing else can be read, in single quotes where it has no control characters, else in
/// double quotes with escapes.
fn scalar(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    // Line and paragraph separators, and a byte order mark, are no printable text to every reader.
    let is_odd = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
    if !text.contains(is_odd) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if is_odd(c) => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Words that readers take for something else than a text.
const WORDS: &[&str] = &["true", "false", "yes", "no", "off", "null", "y", "n"];

fn is_plain(text: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '$' | '.');
    let inside = |c: char| c.is_ascii_graphic() || c == ' ';
    let is_text = text.starts_with(first) && text.chars().all(inside);
    // `.5` and `.inf` are numbers, `...` ends a document.
    let is_other = text.starts_with('.') && !text.contains('/') || WORDS.contains(&text.to_ascii_lowercase().as_str());
    let ends = text.ends_with([' ', ':']) || text.contains(": ") || text.contains(" #");
    is_text && !is_other && !ends
}

impl From<&str> for Yaml {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Yaml {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Yaml {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<u32> for Yaml {
    fn from(number: u32) -> Self {
        Self::Number(number)
    }
}

impl From<Map> for Yaml {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Yaml {
    fn from(list: Vec<T>) -> Self {
        Self::List(list.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use saphyr_parser::{Event, Parser};

    use super::*;

    /// The scalars of a document, in their order.
    fn scalars(document: &str) -> Vec<String> {
        let event = |event| match event {
            Event::Scalar(text, ..) => Some(text.into_owned()),
            _ => None,
        };
        Parser::new_from_str(document).filter_map(|read| event(read.expect("is YAML").0)).collect()
    }

    #[test]
    fn values_are_written_as_people_write_them() {
        let step = Map::new().with("name", "Plan").with("run", Yaml::Script("a\n  b"));
        let map = Map::new()
            .with("on", Map::new().with("push", Map::new()))
            .with("uses", Yaml::Noted("a/b@c".to_owned(), "v1".to_owned()))
            .with("steps", vec![step.clone(), step])
            .with("names", vec!["a", "no", "1", "- a", "say: it's"])
            .with("none", Yaml::List(Vec::new()))
            .with("flag", true);
        let expected = "on:\n  push: {}\nuses: a/b@c # v1\nsteps:\n  - name: Plan\n    run: |\n      a\n        b\n  - name: Plan\n    run: |\n      a\n        b\nnames:\n  - a\n  - 'no'\n  - '1'\n  - '- a'\n  - 'say: it''s'\nnone: []\nflag: true\n";
        assert_eq!(map.render(), expected);
    }

    proptest! {
        #[test]
        fn every_text_is_read_back_as_itself(text in "\\PC{0,12}|[ -~]{0,12}|[-?:,\\[\\]{}#&*!|>'\"%@` a0.~\n\r\t\u{0}\u{85}\u{2028}\u{feff}]{0,8}") {
            let map = Map::new().with(&text, text.as_str()).with("list", vec![text.as_str()]);
            prop_assert_eq!(scalars(&map.render()), [text.as_str(), &text, "list", &text]);
        }

        #[test]
        fn what_is_plain_is_a_text_to_every_reader(text in "[-+.0-9a-fA-FxXoOyYnN_:~]{1,6}") {
            let is_number = text.parse::<f64>().is_ok() || text.starts_with(|c: char| c.is_ascii_digit());
            prop_assert!(!(is_number && text != "inf" && is_plain(&text) && !text.starts_with(|c: char| c.is_ascii_alphabetic())));
        }
    }
}
