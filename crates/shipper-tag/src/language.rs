//! Sets of tags: what a template can produce and what a glob matches, and whether two such sets share a tag.
//!
//! Both are sequences of single characters and repetitions, so that the product of two of them is a small graph, and the
//! shortest path through it is the shortest tag that lies in both.

use std::collections::VecDeque;
use std::fmt;

use crate::tag::is_tag_byte;

/// A set of ASCII characters, one bit each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Class(u128);

impl fmt::Debug for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: String = (0..128_u8).filter(|byte| self.contains(*byte)).map(char::from).collect();
        write!(f, "[{all}]")
    }
}

impl Class {
    pub(crate) fn of(has: impl Fn(u8) -> bool) -> Self {
        Self((0..128_u8).filter(|byte| has(*byte)).fold(0, |bits, byte| bits | 1 << byte))
    }

    /// Everything that may stand in a tag.
    pub(crate) fn any() -> Self {
        Self::of(is_tag_byte)
    }

    pub(crate) fn contains(self, byte: u8) -> bool {
        byte < 128 && self.0 >> byte & 1 == 1
    }

    /// A character of both sets, digits before letters before the rest.
    fn common(self, other: Self) -> Option<u8> {
        let both = Self(self.0 & other.0);
        (b'0'..=b'9').chain(b'a'..=b'z').chain(0..128).find(|byte| both.contains(*byte))
    }
}

/// A step through a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// One character.
    One(Class),
    /// Any number of characters, none included.
    Many(Class),
}

/// A position in two sets at once.
type State = (usize, usize);
/// From where a state was reached first, and with which character.
type Reached = Option<(State, Option<u8>)>;

/// A set of texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Language(Vec<Step>);

impl Language {
    pub(crate) fn push_literal(&mut self, text: &str) {
        self.0.extend(text.bytes().map(|byte| Step::One(Class::of(|other| other == byte))));
    }

    /// One or more characters of a class.
    pub(crate) fn push_some(&mut self, class: Class) {
        self.0.extend([Step::One(class), Step::Many(class)]);
    }

    pub(crate) fn push_many(&mut self, class: Class) {
        self.0.push(Step::Many(class));
    }

    /// The shortest text that is in both sets.
    pub(crate) fn witness(&self, other: &Self) -> Option<String> {
        let width = other.0.len() + 1;
        let index = |(mine, theirs): State| mine * width + theirs;
        let mut reached: Vec<Reached> = vec![None; (self.0.len() + 1) * width];
        let mut open = VecDeque::from([((0, 0), (0, 0), None)]);
        while let Some((state, from, byte)) = open.pop_front() {
            let entry = &mut reached[index(state)];
            if entry.is_some() {
                continue;
            }
            *entry = Some((from, byte));
            let (mine, theirs) = (self.0.get(state.0), other.0.get(state.1));
            if mine.is_none() && theirs.is_none() {
                return Some(path(&reached, state, index));
            }
            // Steps without a character come first: the search stays shortest-first.
            if let Some(Step::Many(_)) = mine {
                open.push_front(((state.0 + 1, state.1), state, None));
            }
            if let Some(Step::Many(_)) = theirs {
                open.push_front(((state.0, state.1 + 1), state, None));
            }
            if let (Some(mine), Some(theirs)) = (mine, theirs)
                && let Some(byte) = mine.class().common(theirs.class())
            {
                open.push_back(((state.0 + mine.advance(), state.1 + theirs.advance()), state, Some(byte)));
            }
        }
        None
    }

    /// Whether a text is in the set.
    pub(crate) fn contains(&self, text: &str) -> bool {
        let mut exact = Self::default();
        exact.push_literal(text);
        text.is_ascii() && self.witness(&exact).is_some()
    }
}

impl Step {
    fn class(self) -> Class {
        match self {
            Self::One(class) | Self::Many(class) => class,
        }
    }

    fn advance(self) -> usize {
        usize::from(matches!(self, Self::One(_)))
    }
}

/// The characters on the way to a state.
fn path(reached: &[Reached], mut state: State, index: impl Fn(State) -> usize) -> String {
    let mut bytes = Vec::new();
    while state != (0, 0) {
        let Some((from, byte)) = reached[index(state)] else { break };
        bytes.extend(byte);
        state = from;
    }
    bytes.iter().rev().map(|byte| char::from(*byte)).collect()
}

/// A pattern over tags in which `*` is any number of characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob(String);

impl Glob {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The pattern as registries take it, such as `pr-*-*`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How many `*` the pattern has; registries limit them.
    #[must_use]
    pub fn wildcards(&self) -> usize {
        self.0.bytes().filter(|byte| *byte == b'*').count()
    }

    /// What stands before the first `*`.
    #[must_use]
    pub fn literal_prefix(&self) -> &str {
        self.0.split('*').next().unwrap_or_default()
    }

    /// Whether the pattern has no `*`: it is one tag.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.wildcards() == 0
    }

    /// Whether a tag matches.
    #[must_use]
    pub fn matches(&self, tag: &str) -> bool {
        self.language().contains(tag)
    }

    /// A tag that both patterns match, the shortest there is.
    #[must_use]
    pub fn overlap(&self, other: &Glob) -> Option<String> {
        self.language().witness(&other.language())
    }

    pub(crate) fn language(&self) -> Language {
        let mut language = Language::default();
        for (at, literal) in self.0.split('*').enumerate() {
            if at > 0 {
                language.push_many(Class::any());
            }
            language.push_literal(literal);
        }
        language
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl serde::Serialize for Glob {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_globs_share_a_tag_or_provably_none() {
        let check = |one: &str, other: &str, expected: Option<&str>| {
            assert_eq!(Glob::new(one).overlap(&Glob::new(other)).as_deref(), expected, "{one} {other}");
            assert_eq!(Glob::new(other).overlap(&Glob::new(one)).is_some(), expected.is_some(), "{other} {one}");
        };
        check("pr-*", "main-*", None);
        check("h-*", "hotfix-*", None);
        check("v*", "vault-*", Some("vault-"));
        check("v*.*.*", "vault-*", Some("vault-.."));
        check("*-a", "b-*", Some("b-a"));
        check("latest", "latest", Some("latest"));
        check("latest", "late", None);
        check("a*c", "ab*", Some("abc"));
        check("*", "x", Some("x"));
        check("", "", Some(""));
    }

    /// The obvious matcher, slow and short.
    fn naive(glob: &[u8], text: &[u8]) -> bool {
        match glob.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|at| naive(rest, &text[at..])),
            Some((byte, rest)) => text.split_first().is_some_and(|(first, text)| first == byte && naive(rest, text)),
        }
    }

    #[test]
    fn globs_match_as_the_obvious_matcher_does_and_witnesses_are_matched_by_both() {
        proptest::proptest!(|(one in "[ab*-]{0,6}", other in "[ab*-]{0,6}", text in "[ab-]{0,8}")| {
            let (a, b) = (Glob::new(one.clone()), Glob::new(other.clone()));
            proptest::prop_assert_eq!(a.matches(&text), naive(one.as_bytes(), text.as_bytes()));
            match a.overlap(&b) {
                Some(tag) => {
                    proptest::prop_assert!(a.matches(&tag) && b.matches(&tag), "{}", tag);
                }
                None => proptest::prop_assert!(!(a.matches(&text) && b.matches(&text)), "{}", text),
            }
        });
    }
}
