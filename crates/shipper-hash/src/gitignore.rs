//! Which untracked files git would not show: `.gitignore` files and the lists they stand on.
//!
//! Rules of gitignore(5) and of git's `dir.c` where the page is silent. Files are bytes, lines end at LF or CRLF.
//! Within one file the last matching line decides; a deeper file decides before a shallower one, `info/exclude` comes
//! after all of them, `core.excludesFile` last. A path below an ignored directory is ignored whatever its own rules:
//! the caller sees to that by not asking further down.

use std::sync::Arc;

use crate::glob::Glob;
use crate::path::split_parent;

/// The rules of one file, and those that are asked after it.
#[derive(Debug)]
pub(crate) struct Rules {
    lines: Vec<Line>,
    /// Directory of the file, relative to the repository's top level; patterns with a slash are relative to it.
    base: Vec<u8>,
    /// Whether ASCII letters are equal in both cases (`core.ignoreCase`).
    fold_case: bool,
    next: Option<Arc<Rules>>,
}

#[derive(Debug)]
struct Line {
    matcher: Matcher,
    negated: bool,
    directories_only: bool,
    /// Compared with the last part of a path only.
    name_only: bool,
}

#[derive(Debug)]
enum Matcher {
    Literal(Vec<u8>),
    Suffix(Vec<u8>),
    /// Bytes that must come first, then the pattern for what follows. Git splits patterns so, which gives a `**` after
    /// the literal bytes its meaning even in the middle of a part.
    Glob(Vec<u8>, Glob),
}

impl Rules {
    /// The rules in `content`, a file in the directory `base`, asked before `next`.
    pub(crate) fn parse(content: &[u8], base: &[u8], fold_case: bool, next: Option<Arc<Self>>) -> Arc<Self> {
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        let lines = content.split(|&byte| byte == b'\n').filter_map(|line| Line::parse(line, fold_case)).collect();
        Arc::new(Self { lines, base: base.to_vec(), fold_case, next })
    }

    /// Whether git ignores `path`, which is relative to the top level and below no ignored directory.
    pub(crate) fn ignores(&self, path: &[u8], is_directory: bool) -> bool {
        let name = split_parent(path).1;
        let mut rules = Some(self);
        while let Some(file) = rules {
            let relative = match file.base.len() {
                0 => path,
                length => path.get(length + 1..).unwrap_or_default(),
            };
            let decides = |line: &&Line| {
                (is_directory || !line.directories_only)
                    && line.matcher.matches(if line.name_only { name } else { relative }, file.fold_case)
            };
            if let Some(line) = file.lines.iter().rev().find(decides) {
                return !line.negated;
            }
            rules = file.next.as_deref();
        }
        false
    }
}

impl Line {
    fn parse(line: &[u8], fold_case: bool) -> Option<Self> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.first() == Some(&b'#') {
            return None;
        }
        // Git works on C strings.
        let line = line.split(|&byte| byte == 0).next().unwrap_or_default();
        let line = trim_trailing_spaces(line);
        let (negated, line) = line.strip_prefix(b"!").map_or((false, line), |rest| (true, rest));
        let (directories_only, line) = line.strip_suffix(b"/").map_or((false, line), |rest| (true, rest));
        if line.is_empty() {
            return None;
        }
        let name_only = !line.contains(&b'/');
        let line = if name_only { line } else { line.strip_prefix(b"/").unwrap_or(line) };
        let special = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
        let literal = line.iter().position(special).unwrap_or(line.len());
        let matcher = if literal == line.len() {
            Matcher::Literal(line.to_vec())
        } else if name_only && line[0] == b'*' && !line[1..].iter().any(special) {
            Matcher::Suffix(line[1..].to_vec())
        } else {
            // What is malformed matches nothing.
            Matcher::Glob(line[..literal].to_vec(), Glob::parse(&line[literal..], fold_case).ok()?)
        };
        Some(Self { matcher, negated, directories_only, name_only })
    }
}

impl Matcher {
    fn matches(&self, text: &[u8], fold_case: bool) -> bool {
        let equal = |a: &[u8], b: &[u8]| if fold_case { a.eq_ignore_ascii_case(b) } else { a == b };
        match self {
            Self::Literal(literal) => equal(text, literal),
            Self::Suffix(suffix) => text.len().checked_sub(suffix.len()).is_some_and(|at| equal(&text[at..], suffix)),
            Self::Glob(prefix, glob) => text
                .split_at_checked(prefix.len())
                .is_some_and(|(head, rest)| equal(head, prefix) && glob.matches(rest)),
        }
    }
}

/// Drops spaces at the end that no backslash protects.
fn trim_trailing_spaces(line: &[u8]) -> &[u8] {
    let mut end = 0;
    let mut at = 0;
    while at < line.len() {
        match line[at] {
            b' ' => at += 1,
            b'\\' => {
                at = (at + 2).min(line.len());
                end = at;
            }
            _ => {
                at += 1;
                end = at;
            }
        }
    }
    &line[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(content: &str, path: &str) -> bool {
        let rules = Rules::parse(content.as_bytes(), b"", false, None);
        rules.ignores(path.trim_end_matches('/').as_bytes(), path.ends_with('/'))
    }

    #[test]
    fn lines_are_read_as_gitignore_says() {
        for (content, path, expected) in [
            ("a", "x/a", true),
            ("/a", "x/a", false),
            ("/a", "a", true),
            ("x/a", "y/x/a", false),
            ("a/", "a", false),
            ("a/", "x/a/", true),
            ("*.o", "x/y.o", true),
            ("*.o\n!y.o", "x/y.o", false),
            ("!y.o\n*.o", "x/y.o", true),
            ("# c", "# c", false),
            ("\\# c", "# c", true),
            ("\\!a", "!a", true),
            ("a  ", "a", true),
            ("a\\ ", "a ", true),
            ("a\t", "a", false),
            ("a\r\n", "a", true),
            ("\u{feff}a", "a", true),
            ("{a,b}", "a", false),
            ("{a,b}", "{a,b}", true),
            ("[[:digit:]]", "7", true),
            ("[", "[", false),
            ("foo/*", "foo/bar", true),
            ("foo/*", "foo/bar/x", false),
            ("doc/**/x", "doc/x", true),
        ] {
            assert_eq!(ignored(content, path), expected, "{content:?} {path}");
        }
    }

    #[test]
    fn deeper_files_decide_first() {
        let top = Rules::parse(b"*.log", b"", false, None);
        let deep = Rules::parse(b"!keep.log\n/only", b"sub", false, Some(top));
        assert!(!deep.ignores(b"sub/keep.log", false));
        assert!(deep.ignores(b"sub/other.log", false));
        assert!(deep.ignores(b"sub/only", false));
        assert!(!deep.ignores(b"sub/x/only", false));
    }
}
