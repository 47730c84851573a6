//! One ignore pattern, compiled the way moby/patternmatcher compiles it.
//!
//! Four kinds exist, and which one a pattern falls into is part of the observable behaviour: a literal is compared
//! whole, `foo**` is a prefix test, `**foo` a suffix test, and everything else a regular expression. The rule is
//! `Pattern.compile` of <https://github.com/moby/patternmatcher> with the Unix separator.

use super::automaton::{Automaton, Reason};
use crate::gopath::{RUNE_ERROR, push_rune, runes};

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
    Regex {
        automaton: Automaton,
        literal_prefix: Option<Vec<u8>>,
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
            Matcher::Regex { automaton, .. } => {
                contains(path, automaton.required())
                    && automaton.is_match(candidate.runes.get_or_insert_with(|| runes(path)))
            }
        }
    }

    /// `false` only if no path below the directory `dir` can match.
    pub(super) fn may_match_below(&self, dir: &[u8]) -> bool {
        let inside = [dir, b"/"].concat();
        match &self.matcher {
            Matcher::Exact(text) => text.starts_with(&inside),
            Matcher::Prefix(prefix) => prefix.starts_with(&inside) || inside.starts_with(prefix),
            Matcher::Suffix(_) => true,
            Matcher::Regex { literal_prefix: None, .. } => true,
            Matcher::Regex { literal_prefix: Some(prefix), .. } => {
                prefix.starts_with(&inside) || inside.starts_with(prefix)
            }
        }
    }
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || text.windows(wanted.len()).any(|window| window == wanted)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exact,
    Prefix,
    Suffix,
    Regex,
}

fn compile(text: Vec<u8>) -> Result<Matcher, Reason> {
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
            let literal_prefix = literal_prefix(&expression);
            Matcher::Regex { automaton: Automaton::new(&expression)?, literal_prefix }
        }
    })
}

/// The text that every match begins with, as far as it is plain to see; `None` if a match may begin anywhere.
fn literal_prefix(expression: &[u32]) -> Option<Vec<u8>> {
    if expression.iter().any(|&rune| rune == u32::from(b'|') || rune == u32::from(b'{')) {
        return None;
    }
    let mut prefix = Vec::new();
    // The last rune before an operator may belong to it, so only letters that are followed by plain ones count.
    let is_plain =
        |rune: u32| rune != RUNE_ERROR && char::from_u32(rune).is_some_and(|rune| !"\\^$.[]|()?*+{}".contains(rune));
    for pair in expression[1..].windows(2) {
        if !is_plain(pair[0]) || !(is_plain(pair[1]) || pair[1] == u32::from(b'\\') || pair[1] == u32::from(b'[')) {
            break;
        }
        push_rune(&mut prefix, pair[0]);
    }
    Some(prefix)
}
