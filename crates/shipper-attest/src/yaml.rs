//! YAML as JSON values, for lock files: one document, texts and numbers as texts.
//!
//! Invariant: work is bounded by the length of the text. Aliases, which could multiply it, are refused; no lock file has any.

use saphyr_parser::{Event, Parser};
use serde_json::{Map, Value};

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 64;

enum Open {
    List(Vec<Value>),
    Table(Map<String, Value>, Option<String>),
}

/// Reads a document.
pub(crate) fn read(text: &str) -> Result<Value, String> {
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| error.to_string())?;
        let value = match event {
            Event::Scalar(text, ..) => Value::String(text.into_owned()),
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                depth(&open)?;
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Table(Map::new(), None));
                depth(&open)?;
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(list)) => Value::Array(list),
                Some(Open::Table(table, _)) => Value::Object(table),
                None => return Err("it ends what has not begun".to_owned()),
            },
            Event::Alias(_) => return Err("it has an alias".to_owned()),
            Event::DocumentStart(_) if root.is_some() => return Err("it has several documents".to_owned()),
            _ => continue,
        };
        match open.last_mut() {
            None => root = Some(value),
            Some(Open::List(list)) => list.push(value),
            Some(Open::Table(table, key)) => match key.take() {
                Some(key) => {
                    table.insert(key, value);
                }
                None => match value {
                    Value::String(text) => *key = Some(text),
                    _ => return Err("a key is not a text".to_owned()),
                },
            },
        }
    }
    root.ok_or_else(|| "it is empty".to_owned())
}

fn depth(open: &[Open]) -> Result<(), String> {
    if open.len() > MAX_DEPTH { Err(format!("it is nested more than {MAX_DEPTH} levels deep")) } else { Ok(()) }
}
