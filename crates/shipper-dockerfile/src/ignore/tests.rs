//! Rows measured with the Go original, a second implementation to compare with, and laws.

use super::IgnoreFile;
use crate::IgnoreError;

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next().unwrap() {
            b'\\' => out.push(b'\\'),
            b'e' => {}
            b'x' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                out.push(u8::from_str_radix(str::from_utf8(&digits).unwrap(), 16).unwrap());
            }
            other => panic!("unknown escape {other}"),
        }
    }
    out
}

/// `F file` then `+ kept paths`, `- excluded paths`; `E file` is refused when read, `L file` when first used.
fn check_vectors(vectors: &str) -> usize {
    let mut current = None;
    let mut text = Vec::new();
    let mut checked = 0;
    for line in vectors.lines().filter(|line| !line.starts_with('#')) {
        let (kind, rest) = line.split_at(1);
        match kind {
            "F" => {
                text = unescape(rest.trim());
                current = match IgnoreFile::parse(&text) {
                    Ok(ignore) => Some(ignore),
                    // Documented: Unicode classes are refused.
                    Err(IgnoreError::BadPattern { reason, .. }) if reason.contains("Unicode class") => None,
                    Err(error) => panic!("{}: {error}", text.escape_ascii()),
                };
            }
            "E" | "L" => {
                let text = unescape(rest.trim());
                assert!(IgnoreFile::parse(&text).is_err(), "{} should be refused", text.escape_ascii());
                checked += 1;
            }
            sign => {
                let Some(ignore) = &current else { continue };
                for path in rest.split_whitespace().map(unescape) {
                    let excluded = ignore.is_excluded(&path);
                    assert_eq!(excluded, sign == "-", "{} on {}", text.escape_ascii(), path.escape_ascii());
                    checked += 1;
                }
            }
        }
    }
    checked
}

#[test]
fn results_equal_those_of_the_go_original() {
    let checked = check_vectors(include_str!("../../tests/data/ignore-vectors.txt"));
    assert!(checked > 5_000, "{checked}");
    if let Some(more) = std::env::var_os("SHIPPER_IGNORE_VECTORS") {
        check_vectors(&std::fs::read_to_string(more).unwrap());
    }
}
