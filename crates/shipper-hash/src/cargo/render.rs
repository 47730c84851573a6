//! Writes a table as TOML in one way only.
//!
//! The text is part of the key of an image, so it must depend on the values alone: not on comments, spacing or the order
//! of keys in the source, and not on the version or the features of the TOML library. Keys are sorted bytewise; a table
//! is a `[header]`, a list of tables is `[[headers]]`, all other values stand on one line.

use std::fmt::Write as _;

use toml::{Table, Value};

/// The canonical text of `table`; parsing it gives the table again.
pub(super) fn render(table: &Table) -> String {
    let mut text = String::new();
    write_table(table, &mut Vec::new(), &mut text);
    text
}

fn sorted(table: &Table) -> Vec<(&String, &Value)> {
    // Sorted here because a feature of the library, which any crate of a build can turn on, keeps the source's order.
    let mut items: Vec<_> = table.iter().collect();
    items.sort_unstable_by_key(|(key, _)| *key);
    items
}

/// Whether a value gets headers of its own.
fn is_headed(value: &Value) -> bool {
    match value {
        Value::Table(_) => true,
        Value::Array(items) => !items.is_empty() && items.iter().all(Value::is_table),
        _ => false,
    }
}

fn write_table<'a>(table: &'a Table, path: &mut Vec<&'a str>, text: &mut String) {
    let items = sorted(table);
    for (key, value) in items.iter().filter(|(_, value)| !is_headed(value)) {
        write_key(key, text);
        text.push_str(" = ");
        write_value(value, text);
        text.push('\n');
    }
    for (key, value) in items.into_iter().filter(|(_, value)| is_headed(value)) {
        path.push(key);
        match value {
            Value::Table(table) => {
                // A table that only has tables is implied by them.
                if table.is_empty() || table.values().any(|value| !is_headed(value)) {
                    write_header(path, "[", "]", text);
                }
                write_table(table, path, text);
            }
            Value::Array(items) => {
                for table in items.iter().filter_map(Value::as_table) {
                    write_header(path, "[[", "]]", text);
                    write_table(table, path, text);
                }
            }
            _ => {}
        }
        path.pop();
    }
}

fn write_header(path: &[&str], open: &str, close: &str, text: &mut String) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(open);
    for (index, key) in path.iter().enumerate() {
        if index > 0 {
            text.push('.');
        }
        write_key(key, text);
    }
    text.push_str(close);
    text.push('\n');
}

fn write_key(key: &str, text: &mut String) {
    let bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if bare { text.push_str(key) } else { write_string(key, text) }
}

pub(super) fn write_value(value: &Value, text: &mut String) {
    match value {
        Value::String(string) => write_string(string, text),
        Value::Integer(number) => write(text, format_args!("{number}")),
        Value::Float(number) if number.is_nan() => text.push_str("nan"),
        Value::Float(number) => write(text, format_args!("{number:?}")),
        Value::Boolean(value) => write(text, format_args!("{value}")),
        Value::Datetime(time) => write(text, format_args!("{time}")),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { ", " });
                write_value(item, text);
            }
            text.push(']');
        }
        Value::Table(table) => {
            text.push('{');
            for (index, (key, value)) in sorted(table).into_iter().enumerate() {
                text.push_str(if index == 0 { " " } else { ", " });
                write_key(key, text);
                text.push_str(" = ");
                write_value(value, text);
            }
            text.push_str(if table.is_empty() { "}" } else { " }" });
        }
    }
}

/// A basic string (TOML 1.0, "String").
pub(super) fn write_string(string: &str, text: &mut String) {
    text.push('"');
    for character in string.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            control if u32::from(control) < 0x20 || control == '\u{7f}' => {
                write(text, format_args!("\\u{:04X}", u32::from(control)));
            }
            plain => text.push(plain),
        }
    }
    text.push('"');
}

fn write(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("because a String takes all text");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_text_depends_on_the_values_only() {
        let source = r#"
            # a comment
            [package]
            name = 'shop'    # another
            version="1.0.0"
            keywords = [ "a",
               "b" ]
            [target.'cfg(unix)'.dependencies]
            libc = { version = "0.2", features = [] }
            [[bin]]
            path = "b.rs"
            name = "b"
            [[bin]]
            name = "a"
            [lib]
        "#;
        let table: Table = source.parse().unwrap();
        let expected = r#"
[[bin]]
name = "b"
path = "b.rs"

[[bin]]
name = "a"

[lib]

[package]
keywords = ["a", "b"]
name = "shop"
version = "1.0.0"

[target."cfg(unix)".dependencies.libc]
features = []
version = "0.2"
"#;
        assert_eq!(render(&table), expected.trim_start());
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<String>().prop_map(Value::String),
            any::<i64>().prop_map(Value::Integer),
            (-1e300..1e300).prop_map(Value::Float),
            any::<bool>().prop_map(Value::Boolean),
            Just(Value::Datetime("1979-05-27T07:32:00Z".parse().unwrap())),
            Just(Value::Float(f64::INFINITY)),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::btree_map("[a-z]{0,3}|.{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Table(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(map in prop::collection::btree_map("[a-z-]{1,4}|.{0,6}", values(), 0..6)) {
            let table: Table = map.into_iter().collect();
            let text = render(&table);
            let read: Table = text.parse().map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            prop_assert_eq!(&read, &table, "{}", text);
            prop_assert_eq!(render(&read), text);
        }
    }
}
