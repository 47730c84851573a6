//! Rows for the expansion of words, vectors of the original, and bounds.

use super::{Expanded, Lookup, Mode, expand};
use crate::testing::unescape_text;
use proptest::prelude::*;

fn lookup(name: &str) -> Lookup {
    match name {
        "A" => Lookup::Set("a/b.a b".to_owned()),
        "B" => Lookup::Set("*b".to_owned()),
        "N" => Lookup::Set(String::new()),
        "P" => Lookup::Set("/x/y\\z".to_owned()),
        "S" => Lookup::Set("s$d".to_owned()),
        "Q" => Lookup::Unknown,
        _ => Lookup::Unset,
    }
}

fn expanded(word: &str) -> Result<Expanded, String> {
    expand(word, Mode::new('\\'), &lookup)
}

#[track_caller]
fn check(word: &str, expected: &str) {
    let found = expanded(word).unwrap_or_else(|reason| panic!("{word}: {reason}"));
    assert_eq!((found.text.as_str(), found.unknown), (expected, None), "{word}");
}

#[test]
fn results_equal_those_of_the_go_original() {
    let mut unclear = 0;
    let mut checked = 0;
    for line in include_str!("../../tests/data/expand-vectors.txt").lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.split(' ');
        let mode = match fields.next().unwrap() {
            "0" => Mode::new('\\'),
            "1" => Mode::new('`'),
            "2" => Mode { keep_unset: true, ..Mode::new('\\') },
            _ => Mode { escape: '\\', raw_quotes: true, raw_escapes: true, keep_unset: true },
        };
        let word = unescape_text(fields.next().unwrap());
        let expected = fields.next().unwrap();
        checked += 1;
        match (expand(&word, mode, &lookup), expected.strip_prefix('=')) {
            (Err(_), None) => {}
            (Ok(Expanded { unknown: Some(_), .. }), _) => unclear += 1,
            (Ok(found), Some(text)) => {
                assert_eq!(found.text, unescape_text(text), "{word:?}");
                assert_eq!(found.words, fields.map(unescape_text).collect::<Vec<_>>(), "{word:?}");
            }
            (found, _) => panic!("{word:?}: {found:?}"),
        }
    }
    assert!(checked > 500 && unclear < 10, "{checked} rows, {unclear} of them unclear");
}

#[test]
fn defaults_and_alternatives() {
    check("${U-x}|${N-x}|${A-x}", "x||a/b.a b");
    check("${U:-x}|${N:-x}|${A:-x}", "x|x|a/b.a b");
    check("${U+x}|${N+x}|${A+x}", "|x|x");
    check("${U:+x}|${N:+x}|${A:+x}", "||x");
    check("${N?x}|${A:?x}", "|a/b.a b");
    check("${U:-${N:-$B}}", "*b");
    check("$U$1$A", "a/b.a b");
    assert_eq!(expanded("${U:?not here}").unwrap_err(), "`U`: not here");
    assert_eq!(expanded("${N:?}").unwrap_err(), "`N` has no value");
}

#[test]
fn patterns_cut_and_replace() {
    check("${A#*/}|${A##*a}|${A#x}", "b.a b| b|a/b.a b");
    check("${A%b}|${A%%/*}|${A%.*}", "a/b.a |a|a/b");
    check("${A#?}|${B#\\*}|${P##*/}", "/b.a b|b|y\\z");
    check("${A/b/x}|${A//b/x}|${A//?b/}", "a/x.a b|a/x.a x|a.a");
    check("${P//\\//_}", "_x_y\\z");
    assert!(expanded("${A#\\x}").unwrap_err().contains("escape sequence"));
}

#[test]
fn quotes_and_escapes() {
    check("'$A'\"$B\"\\$A", "$A*b$A");
    check("\"a\\\"b\\c\"", "a\"b\\c");
    check("a\\", "a");
    assert_eq!(expanded("'a").unwrap_err(), "a single quote is not closed");
    assert_eq!(expanded("\"a").unwrap_err(), "a double quote is not closed");
    assert_eq!(expand("`$A", Mode::new('`'), &lookup).unwrap().text, "$A");
    assert_eq!(expanded("a 'b c'$A").unwrap().words, ["a", "b ca/b.a", "b"]);
}

#[test]
fn an_unknown_variable_counts_only_where_the_result_depends_on_it() {
    let check = |word: &str, expected: Option<&str>| {
        assert_eq!(expanded(word).unwrap().unknown.as_deref(), expected, "{word}");
    };
    check("$Q", Some("Q"));
    check("x${Q}y", Some("Q"));
    check("${Q:-x}", Some("Q"));
    check("${Q+x}", Some("Q"));
    check("${Q?x}", Some("Q"));
    check("${Q#x}", Some("Q"));
    check("${Q/x/y}", Some("Q"));
    check("${U:-$Q}", Some("Q"));
    check("${A:-$Q}", None);
    check("${A:+$Q}", Some("Q"));
    check("${U:+$Q}", None);
    check("${A:?$Q}", None);
    check("${A#$Q}", Some("Q"));
    check("'$Q'", None);
    check("\\$Q", None);
    check("\"$Q\"", Some("Q"));
    // Names that Go and this crate could cut differently.
    check("$é", Some("é"));
    // What Go replaces in an empty match, and `$` in its templates.
    check("${A/*/x}", Some("A"));
    check("${A//a/\\$1}", Some("A"));
}

#[test]
fn nesting_and_length_are_bounded() {
    let deep = format!("{}x{}", "${U:-".repeat(10_000), "}".repeat(10_000));
    assert_eq!(expanded(&deep).unwrap_err(), "the substitutions nest too deeply");
    let shallow = format!("{}x{}", "${U:-".repeat(60), "}".repeat(60));
    check(&shallow, "x");
    let long = |_: &str| Lookup::Set("x".repeat(100_000));
    assert!(expand("$L$L", Mode::new('\\'), &long).unwrap_err().contains("longer than"));
    assert!(expand("\"$L$L\"", Mode::new('\\'), &long).unwrap_err().contains("longer than"));
    assert!(expand("${L//x?/y}", Mode::new('\\'), &long).unwrap_err().contains("too long"));
    let pattern = format!("${{L#{}}}", "*".repeat(1000));
    assert!(expand(&pattern, Mode::new('\\'), &long).unwrap_err().contains("too long"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn no_word_makes_it_panic(word in "([${}:#%/?+*'\"\\\\-]|[ABNPSQU]|[a-z é\\t]){0,24}", escape in prop::sample::select(vec!['\\', '`'])) {
        let first = expand(&word, Mode::new(escape), &lookup);
        prop_assert_eq!(first, expand(&word, Mode::new(escape), &lookup));
    }
}
