//! One ignore pattern, compiled the way moby/patternmatcher compiles it.
//!
//! Four kinds exist, and which one a pattern falls into is part of the observable behaviour: a literal is compared
//! whole, `foo**` is a prefix test, `**foo` a suffix test, and everything else a regular expression. The rule is
//! `Pattern.compile` of <https://github.com/moby/patternmatcher> with the Unix separator.

use super::automaton::Automaton;
use super::expression::Reason;
use crate::gopath::runes;

/// A compiled pattern without its `!`.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    /// 1-based line of the ignore file.
    pub(super) line: usize,
    /// Whether the pattern began with `!` and takes paths back in.
    pub(super) exception: bool,
    matcher: Matcher,
}

#[derive(Debug, Clone)]
enum Matcher {
    Exact(Vec<u8>),
    Prefix(Vec<u8>),
    /// The text after the leading `**`.
    Suffix(Vec<u8>),
    Regex(Automaton),
    /// `*text` or `**/*text` with plain text: the regular expression's result without running it.
    Name {
        anywhere: bool,
        suffix: Vec<u8>,
    },
}

/// A path and, once a regular expression needs them, its runes.
pub(super) struct Candidate<'p> {
    path: &'p [u8],
    runes: Option<Vec<u32>>,
}

impl<'p> Candidate<'p> {
    pub(super) fn new(path: &'p [u8]) -> Candidate<'p> {
        Candidate { path, runes: None }
    }
}

impl Pattern {
    /// Compiles `text`, which is cleaned and has no `!` any more.
    pub(super) fn new(text: Vec<u8>, exception: bool, line: usize) -> Result<Pattern, Reason> {
        Ok(Pattern { line, exception, matcher: compile(text)? })
    }

    pub(super) fn matches(&self, candidate: &mut Candidate<'_>) -> bool {
        let path = candidate.path;
        match &self.matcher {
            Matcher::Exact(text) => path == text,
            Matcher::Prefix(prefix) => path.starts_with(prefix),
            Matcher::Suffix(suffix) => {
                path.ends_with(suffix) || suffix.strip_prefix(b"/").is_some_and(|name| path == name)
            }
            Matcher::Name { anywhere, suffix } => {
                let directory = path.iter().rposition(|&byte| byte == b'/').map(|end| &path[..end]);
                path.ends_with(suffix) && directory.is_none_or(|directory| *anywhere && !directory.contains(&b'\n'))
            }
            Matcher::Regex(automaton) => {
                automaton.may_match(path) && automaton.is_match(candidate.runes.get_or_insert_with(|| runes(path)))
            }
        }
    }

    /// `false` only if no path below the directory `dir` can match.
    pub(super) fn may_match_below(&self, dir: &[u8]) -> bool {
        let inside = [dir, b"/"].concat();
        let reaches = |prefix: &[u8]| prefix.starts_with(&inside) || inside.starts_with(prefix);
        match &self.matcher {
            Matcher::Exact(text) => text.starts_with(&inside),
            Matcher::Prefix(prefix) => reaches(prefix),
            Matcher::Suffix(_) => true,
            Matcher::Name { anywhere, .. } => *anywhere,
            Matcher::Regex(automaton) => automaton.prefix().is_none_or(reaches),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exact,
    Prefix,
    Suffix,
    Regex,
}

/// The matcher of `*text` and `**/*text`, if the text is plain and a part of one name.
fn name(text: &[u8]) -> Option<Matcher> {
    let (anywhere, rest) = text.strip_prefix(b"**/").map_or((false, text), |rest| (true, rest));
    let suffix = rest.strip_prefix(b"*")?;
    let is_plain = str::from_utf8(suffix)
        .is_ok_and(|suffix| !suffix.contains(['*', '?', '[', ']', '\\', '|', '{', '}', '^', '/', '\u{fffd}']));
    (is_plain && !suffix.is_empty()).then(|| Matcher::Name { anywhere, suffix: suffix.to_vec() })
}

fn compile(text: Vec<u8>) -> Result<Matcher, Reason> {
    if let Some(matcher) = name(&text) {
        return Ok(matcher);
    }
    let all = runes(&text);
    // Go's text/scanner drops a byte-order mark at the start of what it reads; the other kinds keep it.
    let mut rest = all.strip_prefix(&[0xFEFF]).unwrap_or(&all);
    let mut expression = vec![u32::from(b'^')];
    let add = |expression: &mut Vec<u32>, text: &str| expression.extend(text.chars().map(u32::from));
    let mut kind = Kind::Exact;
    let mut first = true;
    while let Some((&rune, after)) = rest.split_first() {
        rest = after;
        match char::from_u32(rune) {
            Some('*') if rest.first() == Some(&u32::from(b'*')) => {
                rest = &rest[1..];
                if rest.first() == Some(&u32::from(b'/')) {
                    rest = &rest[1..];
                }
                if !rest.is_empty() {
                    add(&mut expression, "(.*/)?");
                    kind = Kind::Regex;
                } else if kind == Kind::Exact {
                    kind = Kind::Prefix;
                } else {
                    add(&mut expression, ".*");
                    kind = Kind::Regex;
                }
                if first {
                    kind = Kind::Suffix;
                }
            }
            Some('*') => {
                add(&mut expression, "[^/]*");
                kind = Kind::Regex;
            }
            Some('?') => {
                add(&mut expression, "[^/]");
                kind = Kind::Regex;
            }
            // `|`, `{` and `}` are meant to be on this list too, but the original's bitmap loses them.
            Some('.' | '+' | '(' | ')' | '$') => expression.extend([u32::from(b'\\'), rune]),
            Some('\\') => {
                expression.push(rune);
                if let Some((&escaped, after)) = rest.split_first() {
                    rest = after;
                    expression.push(escaped);
                    kind = Kind::Regex;
                }
            }
            Some('[' | ']') => {
                expression.push(rune);
                kind = Kind::Regex;
            }
            _ => expression.push(rune),
        }
        first = false;
    }
    Ok(match kind {
        Kind::Exact => Matcher::Exact(text),
        Kind::Prefix => Matcher::Prefix(text[..text.len() - 2].to_vec()),
        Kind::Suffix => Matcher::Suffix(text[2..].to_vec()),
        Kind::Regex => {
            expression.push(u32::from(b'$'));
            Matcher::Regex(Automaton::new(&expression)?)
        }
    })
}
