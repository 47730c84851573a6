//! Rows measured with the Go original, a second implementation to compare with, and laws.

use super::{DirMatch, IgnoreFile};
use crate::IgnoreError;
use crate::testing::unescape;
use proptest::prelude::*;

fn parse(text: &[u8]) -> IgnoreFile {
    IgnoreFile::parse(text).unwrap_or_else(|error| panic!("{}: {error}", text.escape_ascii()))
}

/// Checks rows as described at the top of the vector file; the number of results that were compared.
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
    // A larger file of the same form, made from any number of random cases.
    if let Some(more) = std::env::var_os("SHIPPER_IGNORE_VECTORS") {
        check_vectors(&std::fs::read_to_string(more).unwrap());
    }
}

#[track_caller]
fn check(file: &str, kept: &[&str], excluded: &[&str]) {
    let ignore = parse(file.as_bytes());
    for path in kept {
        assert!(!ignore.is_excluded(path.as_bytes()), "{file:?} should keep {path:?}");
    }
    for path in excluded {
        assert!(ignore.is_excluded(path.as_bytes()), "{file:?} should exclude {path:?}");
    }
}

#[test]
fn patterns_are_anchored_at_the_root() {
    check("FOO", &["a/FOO", "foo", "FOOD"], &["FOO", "FOO/x"]);
    check("*.md", &["d/a.md"], &["a.md"]);
    check("**/*.md", &["a.mdx"], &["a.md", "d/e/a.md"]);
    check("/foo/", &["a/foo"], &["foo", "foo/x"]);
    check("./a/../foo//bar/.", &["foo"], &["foo/bar/x"]);
}

#[test]
fn the_last_match_wins_and_exceptions_reach_below_excluded_parents() {
    check("*\n!a/b", &["a/b/c", "a/b"], &["a", "a/c", "d"]);
    check("a\n!a/b\na/b/c", &["a/b/d"], &["a/b/c", "a/d"]);
    check("!a\na", &[], &["a"]);
}

#[test]
fn the_walk_evaluator_counts_and_not_the_other_one() {
    // Deciding by "does any parent match" would keep it.
    check("*/x\n!a", &["a/y"], &["a/x"]);
}

#[test]
fn short_cuts_of_the_original_show() {
    check("**foo", &["fooX"], &["barfoo", "a/foo", "foo"]);
    check("**foo*", &["barfoo1"], &["foo1", "a/foo1"]);
    check("foo**", &["xfoo"], &["foobar/x", "foo"]);
    check("foo/**", &["foo"], &["foo/x", "foo/x/y"]);
}

#[test]
fn regular_expressions_of_the_original_show() {
    check("\\d", &["d", "11"], &["1"]);
    check("[!a]", &["b"], &["!", "a"]);
    check("[^a]", &["a"], &["b", "!", "\n"]);
    check("[[:alpha:]]", &["1"], &["x"]);
    check("[a-z&&b]", &["A"], &["z", "&"]);
    check("a|b*", &["x"], &["a", "ax", "xxb"]);
    check("x{2}*", &["x{2}", "x"], &["xx", "xx1"]);
    check("a^b*", &["a^b", "ab"], &[]);
    check("a*b\\b", &["axbx"], &["axb"]);
    check(".*", &["a", "a/.b"], &[".a", ".git/config"]);
    let newline = parse(b"a**b");
    assert!(!newline.is_excluded(b"a\nb") && newline.is_excluded(b"ab"));
}

#[test]
fn invalid_bytes_are_single_characters() {
    let one = parse(b"?");
    assert!(one.is_excluded(b"\xff") && one.is_excluded("é".as_bytes()) && !one.is_excluded(b"\xff\xff"));
    // A byte that is no text stands for every such byte in a regular expression, but for itself elsewhere.
    assert!(parse(b"\xfe*").is_excluded(b"\xff"));
    assert!(!parse(b"\xfe").is_excluded(b"\xff"));
}

#[test]
fn lines_are_read_as_the_original_reads_them() {
    check("\u{feff}a\n# b\n #c\n\n  d  \r\n\u{a0}e\u{2003}", &["b"], &["a", "#c", "d", "e"]);
    check("! a\na\n!  a", &["a"], &[]);
    check("./!a\na", &[], &["a"]);
    check("*\n./!a", &["a"], &["b"]);
    check("*\n/ !a", &["a"], &["b"]);
    check("*\n!!a", &["!a"], &["a"]);
    assert!(IgnoreFile::parse(b"# only\n\n \n").unwrap().is_empty());
    assert!(IgnoreFile::default().is_empty());
}

#[test]
fn mistakes_name_their_line() {
    let check = |text: &str, line: usize, expected: &str| {
        let error = IgnoreFile::parse(text.as_bytes()).expect_err(text);
        assert_eq!((error.line(), error.to_string().as_str()), (line, expected));
    };
    check("a\n\n!", 3, "read the ignore file: line 3 is a `!` without a pattern");
    check("!/", 1, "read the ignore file: line 1 is a `!` without a pattern");
    let open = "is malformed (an open `[`, an empty range or a trailing `\\`)";
    check("a\na[", 2, &format!("read the ignore file: the pattern `a[` in line 2 {open}"));
    check("!a\\", 1, &format!("read the ignore file: the pattern `a\\` in line 1 {open}"));
    check("[z-a]", 1, "read the ignore file: the pattern `[z-a]` in line 1 has a range that runs backwards");
    check("*{2}", 1, "read the ignore file: the pattern `*{2}` in line 1 repeats a repetition");
    check(
        "\\pL",
        1,
        "read the ignore file: the pattern `\\pL` in line 1 uses a Unicode class (`\\p`, `\\P`), which is not supported",
    );
    check("x{1001}*", 1, "read the ignore file: the pattern `x{1001}*` in line 1 has an invalid repeat count");
    assert!(IgnoreFile::parse(b"a[").unwrap_err().hint().is_some());
}

#[test]
fn a_line_may_have_65535_bytes() {
    let line = "a".repeat(65_535);
    assert!(IgnoreFile::parse(line.as_bytes()).is_ok());
    assert!(IgnoreFile::parse(format!("{line}\nb").as_bytes()).is_ok());
    let error = IgnoreFile::parse(format!("b\n{line}a\n").as_bytes()).unwrap_err();
    assert_eq!(error, IgnoreError::LineTooLong { line: 2, length: 65_536 });
}

#[test]
fn the_deciding_line_is_the_last_that_changed_the_result() {
    let ignore = parse(b"*\n!a\na/x\n!b");
    let line = |path: &[u8]| ignore.deciding_line(path);
    assert_eq!([line(b"c"), line(b"a"), line(b"a/x/y"), line(b"b")], [Some(1), Some(2), Some(3), Some(4)]);
    assert_eq!(parse(b"x").deciding_line(b"a"), None);
}

#[test]
fn directories_without_exceptions_may_be_skipped() {
    let may = |file: &str, dir: &str| parse(file.as_bytes()).may_contain_exception(dir.as_bytes());
    assert!(!may("*", "a"));
    assert!(!may("*\n!b", "a"));
    assert!(!may("*\n!a", "a"));
    assert!(may("*\n!a/b/c", "a/b"));
    assert!(!may("*\n!a/b/c", "a/x"));
    assert!(may("*\n!a/*.md", "a"));
    assert!(!may("*\n!a/*.md", "ab"));
    assert!(may("*\n!**/x", "a"));
    assert!(!may("*\n!ab**", "a") && may("*\n!a**", "ab") && !may("*\n!b**", "a"));
    assert!(may("*\n!b|a*", "a"));
}

#[test]
fn many_patterns_keep_their_own_results() {
    let file: String = (0..200).map(|index| format!("d{index}\n")).collect::<String>() + "!d150/keep\n";
    let ignore = parse(file.as_bytes());
    for index in 0..200 {
        let (excluded, inside) = ignore.descend(&ignore.root(), format!("d{index}").as_bytes());
        let (below, _) = ignore.descend(&inside, format!("d{index}/keep").as_bytes());
        assert!(excluded && below == (index != 150), "{index}");
    }
}

#[test]
fn hostile_patterns_cost_little() {
    let nested = format!("{}*\n", "*a".repeat(500));
    let path = "a".repeat(2_000);
    assert!(parse(nested.as_bytes()).is_excluded(path.as_bytes()));
    assert!(!parse(format!("{}b", "*a".repeat(200)).as_bytes()).is_excluded(path.as_bytes()));
    assert!(IgnoreFile::parse("[a-z]{1000}".repeat(200).as_bytes()).is_err());
}

/// The same rules written down once more, slowly: recursion over the text, no automaton, states as plain vectors.
/// Knows only patterns made of names, `*`, `?` and `**` between slashes.
mod naive {
    /// The patterns of a file with their `!`.
    pub(super) fn patterns(file: &str) -> Vec<(bool, &str)> {
        file.lines().map(|line| line.strip_prefix('!').map_or((false, line), |rest| (true, rest))).collect()
    }

    fn matches(pattern: &str, path: &str) -> bool {
        let plain = |text: &str| !text.contains(['*', '?']);
        if let Some(rest) = pattern.strip_prefix("**")
            && plain(rest)
        {
            return path.ends_with(rest) || rest.strip_prefix('/') == Some(path);
        }
        if let Some(rest) = pattern.strip_suffix("**")
            && plain(rest)
        {
            return path.starts_with(rest);
        }
        translated(pattern, path)
    }

    fn translated(pattern: &str, path: &str) -> bool {
        if pattern.is_empty() {
            return path.is_empty();
        }
        if let Some(rest) = pattern.strip_prefix("**") {
            let rest = rest.strip_prefix('/').unwrap_or(rest);
            if rest.is_empty() {
                return true;
            }
            let after_slash = path.match_indices('/').map(|(at, _)| &path[at + 1..]);
            return std::iter::once(path).chain(after_slash).any(|tail| translated(rest, tail));
        }
        let mut rest = pattern.chars();
        match rest.next() {
            Some('*') => (0..=path.len())
                .take_while(|&end| !path[..end].contains('/'))
                .any(|end| translated(rest.as_str(), &path[end..])),
            Some(wanted) => path.chars().next().is_some_and(|found| {
                (wanted == found || (wanted == '?' && found != '/'))
                    && translated(rest.as_str(), &path[found.len_utf8()..])
            }),
            None => path.is_empty(),
        }
    }

    /// The state of `path`: whether it is excluded, and which patterns matched it.
    pub(super) fn state(patterns: &[(bool, &str)], path: &str) -> (bool, Vec<bool>) {
        let inherited = path.rsplit_once('/').map(|(parent, _)| state(patterns, parent).1);
        let mut excluded = false;
        let mut matched = vec![false; patterns.len()];
        for (index, (exception, pattern)) in patterns.iter().enumerate() {
            let from_parent = inherited.as_ref().is_some_and(|parent| parent[index]);
            if from_parent || (*exception == excluded && matches(pattern, path)) {
                matched[index] = true;
                excluded = !exception;
            }
        }
        (excluded, matched)
    }
}

fn part() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "ab", "*", "?", "a*", "*b", "**", "a?"]).prop_map(str::to_owned)
}

fn ignore_line() -> impl Strategy<Value = String> {
    (prop::bool::weighted(0.35), prop::collection::vec(part(), 1..4))
        .prop_map(|(exception, parts)| format!("{}{}", if exception { "!" } else { "" }, parts.join("/")))
}

fn ignore_text() -> impl Strategy<Value = String> {
    prop::collection::vec(ignore_line(), 1..5).prop_map(|lines| lines.join("\n"))
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "ba", "abc"]), 1..5)
        .prop_map(|parts| parts.join("/"))
}

/// Every line form that the format has, and things that only look like it.
fn any_line() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(
        [
            "!",
            "#",
            " ",
            "/",
            "//",
            "..",
            ".",
            "*",
            "**",
            "?",
            "[",
            "]",
            "^",
            "-",
            "a",
            "b",
            "\\",
            "|",
            "{2}",
            "{",
            "}",
            "(",
            ")",
            "+",
            "$",
            "[:alpha:]",
            "\\d",
            "\\Q",
            "\\E",
            "\\x41",
            "\\p",
            "\r",
            "\u{feff}",
            "\u{a0}",
            "é",
            "\u{0}",
        ]
        .map(|piece| piece.as_bytes().to_vec())
        .into_iter()
        .chain([vec![0xff], vec![0xc3]])
        .collect::<Vec<_>>(),
    );
    prop::collection::vec(pieces, 0..10).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn a_second_implementation_agrees(text in ignore_text(), path in path()) {
        let ignore = parse(text.as_bytes());
        prop_assert_eq!(ignore.is_excluded(path.as_bytes()), naive::state(&naive::patterns(&text), &path).0);
    }

    #[test]
    fn a_walk_may_skip_what_holds_no_exception(text in ignore_text(), path in path()) {
        let ignore = parse(text.as_bytes());
        let mut state: DirMatch = ignore.root();
        let mut skipped = false;
        let ends: Vec<usize> = path.match_indices('/').map(|(at, _)| at).chain([path.len()]).collect();
        for end in ends {
            let (excluded, next) = ignore.descend(&state, &path.as_bytes()[..end]);
            prop_assert!(excluded || !skipped, "{:?} keeps {} below a directory that may be skipped", text, &path[..end]);
            skipped |= excluded && !ignore.may_contain_exception(&path.as_bytes()[..end]);
            state = next;
        }
        prop_assert_eq!(ignore.is_excluded(path.as_bytes()), ignore.deciding_line(path.as_bytes()).is_some_and(|line| {
            !text.lines().nth(line - 1).unwrap().starts_with('!')
        }));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn no_bytes_make_it_panic(text in prop::collection::vec(any::<u8>(), 0..64), path in prop::collection::vec(any::<u8>(), 0..24)) {
        if let Ok(ignore) = IgnoreFile::parse(&text) {
            prop_assert!(!ignore.is_excluded(&path) || !ignore.is_empty());
            prop_assert!(!ignore.may_contain_exception(&path) || text.contains(&b'!'));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100_000))]

    #[test]
    fn no_lines_make_it_panic(lines in prop::collection::vec(any_line(), 0..4), path in any_line()) {
        let text = lines.join(&b'\n');
        if let Ok(ignore) = IgnoreFile::parse(&text) {
            prop_assert!(!ignore.is_excluded(&path) || !ignore.is_empty());
            prop_assert!(!ignore.may_contain_exception(&path) || text.contains(&b'!'));
        }
    }
}
