//! Conditions: on which runs a family gives names, such as `branch:{default}` or `tag:v{semver}`.

use std::fmt;
use std::str::FromStr;

use semver::Version;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, Facts, Trigger, nearest};

/// Alternatives, `a|b`; one of them must hold.
///
/// | alternative | holds |
/// |---|---|
/// | `branch:PATTERN` | on a push to such a branch, or a manual run on it |
/// | `tag:PATTERN` | on a git tag or release of such a name |
/// | `pr` | in a pull or merge request |
/// | `merge-queue` | in a merge queue |
/// | `schedule`, `manual`, `local` | on a scheduled or manual run, or on somebody's machine |
/// | `dirty` | on files that are not as in the commit, whatever else the run is |
///
/// In a PATTERN `*` is any text, `{default}` the default branch, `{service}` the service's name, and `{semver}`, which
/// stands at the end of a tag, a semantic version.
#[derive(Clone, PartialEq, Eq)]
pub struct Condition {
    text: String,
    clauses: Vec<Clause>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Clause {
    Branch(Vec<Piece>),
    Tag(Vec<Piece>),
    Run(Trigger),
    Dirty,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Any,
    Default,
    Service,
    Semver,
}

/// How a condition fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Met {
    /// It holds, by this alternative.
    Yes {
        version: Option<Version>,
        /// Whether a branch was named by it, and by a pattern with `*`.
        branch: Option<Breadth>,
        /// Whether the alternative is for work in progress: `local` or `dirty`.
        unfinished: bool,
    },
    /// It does not hold.
    No,
    /// The default branch is asked for and not known.
    NoDefaultBranch,
    /// A tag has the text around the version, but no version.
    NoVersion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Breadth {
    Exact,
    Wide,
}

const WORDS: [(&str, Clause); 6] = [
    ("pr", Clause::Run(Trigger::PullRequest)),
    ("merge-queue", Clause::Run(Trigger::MergeQueue)),
    ("schedule", Clause::Run(Trigger::Schedule)),
    ("manual", Clause::Run(Trigger::Manual)),
    ("local", Clause::Run(Trigger::Local)),
    ("dirty", Clause::Dirty),
];

impl Condition {
    /// The text as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a version is read from a tag.
    pub(crate) fn has_version(&self) -> bool {
        self.clauses.iter().any(|clause| matches!(clause, Clause::Tag(pieces) if pieces.contains(&Piece::Semver)))
    }

    /// Whether it can hold on somebody's machine.
    pub(crate) fn is_for_local(&self) -> bool {
        self.clauses.iter().any(|clause| matches!(clause, Clause::Dirty | Clause::Run(Trigger::Local)))
    }

    pub(crate) fn met(&self, facts: &Facts, default_branch: Option<&str>) -> Met {
        let mut result = Met::No;
        for clause in &self.clauses {
            match clause.met(facts, default_branch) {
                Met::No => {}
                met @ Met::Yes { .. } => return met,
                other => result = other,
            }
        }
        result
    }
}

impl Clause {
    fn met(&self, facts: &Facts, default_branch: Option<&str>) -> Met {
        let yes = |branch, unfinished| Met::Yes { version: None, branch, unfinished };
        match self {
            Self::Dirty if facts.dirty == Some(true) => yes(None, true),
            Self::Run(trigger) if *trigger == facts.trigger => yes(None, *trigger == Trigger::Local),
            Self::Branch(pieces) if matches!(facts.trigger, Trigger::Push | Trigger::Manual) => {
                let Some(branch) = &facts.branch else { return Met::No };
                if pieces.contains(&Piece::Default) && default_branch.is_none() {
                    return Met::NoDefaultBranch;
                }
                let wide = if pieces.contains(&Piece::Any) { Breadth::Wide } else { Breadth::Exact };
                match matches(pieces, branch, facts, default_branch) {
                    Some(_) => yes(Some(wide), false),
                    None => Met::No,
                }
            }
            Self::Tag(pieces) if facts.trigger == Trigger::Tag => {
                let Some(tag) = &facts.tag else { return Met::No };
                match matches(pieces, tag, facts, default_branch) {
                    None => Met::No,
                    Some(None) => yes(None, false),
                    Some(Some(version)) => match Version::parse(&version) {
                        Ok(version) => Met::Yes { version: Some(version), branch: None, unfinished: false },
                        Err(_) => Met::NoVersion,
                    },
                }
            }
            Self::Dirty | Self::Run(_) | Self::Branch(_) | Self::Tag(_) => Met::No,
        }
    }
}

/// Whether a name matches; inside, what stands where a version should.
fn matches(pieces: &[Piece], name: &str, facts: &Facts, default_branch: Option<&str>) -> Option<Option<String>> {
    let Some((first, rest)) = pieces.split_first() else { return name.is_empty().then_some(None) };
    let literal = match first {
        Piece::Semver => return Some(Some(name.to_owned())),
        Piece::Any => {
            let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            return ends.into_iter().find_map(|at| matches(rest, &name[at..], facts, default_branch));
        }
        Piece::Literal(literal) => literal.as_str(),
        Piece::Default => default_branch?,
        Piece::Service => facts.service.as_deref()?,
    };
    matches(rest, name.strip_prefix(literal)?, facts, default_branch)
}

impl FromStr for Condition {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let clauses = text.split('|').map(|clause| parse(text, clause.trim())).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), clauses })
    }
}

fn parse(condition: &str, clause: &str) -> Result<Clause, Error> {
    let invalid = |problem: &str| Error::Condition {
        condition: condition.to_owned(),
        problem: problem.to_owned(),
        nearest: None,
    };
    if let Some((_, clause)) = WORDS.iter().find(|(word, _)| *word == clause) {
        return Ok(clause.clone());
    }
    let (is_tag, pattern) = match clause.split_once(':') {
        Some(("branch", pattern)) => (false, pattern),
        Some(("tag", pattern)) => (true, pattern),
        _ => {
            let word = clause.split(':').next().unwrap_or_default();
            let known = WORDS.iter().map(|(word, _)| *word).chain(["branch:*", "tag:*"]);
            return Err(Error::Condition {
                condition: condition.to_owned(),
                problem: format!("`{clause}` is no condition"),
                nearest: nearest(word, known).map(str::to_owned),
            });
        }
    };
    let pieces = pieces(pattern).map_err(|problem| invalid(&problem))?;
    if pieces.is_empty() {
        return Err(invalid("a pattern is missing"));
    }
    // A bound on the work of matching, far above what anybody writes.
    if pieces.iter().filter(|piece| **piece == Piece::Any).count() > 4 {
        return Err(invalid("a pattern has at most four `*`"));
    }
    if is_tag {
        let versions = pieces.iter().position(|piece| *piece == Piece::Semver);
        if versions.is_some_and(|at| at + 1 != pieces.len()) {
            return Err(invalid("`{semver}` stands at the end"));
        }
        if pieces.contains(&Piece::Default) {
            return Err(invalid("`{default}` is a branch"));
        }
        return Ok(Clause::Tag(pieces));
    }
    if pieces.contains(&Piece::Semver) {
        return Err(invalid("`{semver}` is for tags"));
    }
    Ok(Clause::Branch(pieces))
}

fn pieces(pattern: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while !rest.is_empty() {
        let (literal, after) = rest.split_at(rest.find(['{', '*']).unwrap_or(rest.len()));
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.to_owned()));
        }
        rest = after;
        if let Some(after) = rest.strip_prefix('*') {
            pieces.push(Piece::Any);
            rest = after;
        } else if let Some(inside) = rest.strip_prefix('{') {
            let (name, after) = inside.split_once('}').ok_or("a `}` is missing")?;
            pieces.push(match name {
                "default" => Piece::Default,
                "service" => Piece::Service,
                "semver" => Piece::Semver,
                _ => return Err(format!("`{{{name}}}` is none of `{{default}}`, `{{service}}`, `{{semver}}`")),
            });
            rest = after;
        }
    }
    Ok(pieces)
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
