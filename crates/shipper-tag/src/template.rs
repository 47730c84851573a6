//! Templates of tags: literal text with placeholders, such as `pr-{pr}-{sha}`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::language::{Class, Glob, Language};
use crate::tag::is_tag_byte;
use crate::{Error, MAX_TAG, SlugMode, Tag, nearest, slug};

/// What a placeholder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placeholder {
    /// The build key in hex; 32 digits unless a width is given.
    Hash,
    /// Number of the pull request.
    Pr,
    /// The commit that names are made of, short: the head of a pull request, not its merge commit.
    Sha,
    /// The commit that was built, short: for a pull request the merge commit.
    Built,
    /// The tree that was built, short.
    Tree,
    /// The branch, as slug; for a pull request the branch that it comes from.
    Branch,
    /// The branch that a pull request goes to, as slug.
    Base,
    /// The git tag, as slug.
    Tag,
    /// The whole semantic version; `+` before build metadata becomes `_`, which no version contains.
    Version,
    /// Its first number.
    Major,
    /// Its second number.
    Minor,
    /// Its third number.
    Patch,
    /// The day of the run in UTC, `20261127`.
    Date,
    /// The day of the commit in UTC.
    CommitDate,
    /// The service's name.
    Service,
}

impl Placeholder {
    /// Every placeholder with its name.
    pub const ALL: [(&'static str, Self); 15] = [
        ("hash", Self::Hash),
        ("pr", Self::Pr),
        ("sha", Self::Sha),
        ("built", Self::Built),
        ("tree", Self::Tree),
        ("branch", Self::Branch),
        ("base", Self::Base),
        ("tag", Self::Tag),
        ("version", Self::Version),
        ("major", Self::Major),
        ("minor", Self::Minor),
        ("patch", Self::Patch),
        ("date", Self::Date),
        ("commit-date", Self::CommitDate),
        ("service", Self::Service),
    ];

    /// The name between the braces.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, one)| *one == self).map_or("", |(name, _)| name)
    }

    /// Whether it is a part of a semantic version.
    #[must_use]
    pub fn is_version(self) -> bool {
        matches!(self, Self::Version | Self::Major | Self::Minor | Self::Patch)
    }

    /// Whether its value is cut to fit: a slug can be of any length.
    fn is_slug(self) -> bool {
        matches!(self, Self::Branch | Self::Base | Self::Tag)
    }

    fn may_have_width(self) -> bool {
        matches!(self, Self::Hash | Self::Sha | Self::Built | Self::Tree)
    }

    /// Appends all values that it can have.
    fn describe(self, slugs: SlugMode, language: &mut Language) {
        let digits = Class::of(|byte| byte.is_ascii_digit());
        match self {
            Self::Hash | Self::Sha | Self::Built | Self::Tree => {
                language.push_some(Class::of(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f')));
            }
            Self::Pr | Self::Major | Self::Minor | Self::Patch | Self::Date | Self::CommitDate => {
                language.push_some(digits);
            }
            Self::Version => {
                for literal in ["", ".", "."] {
                    language.push_literal(literal);
                    language.push_some(digits);
                }
                language.push_many(Class::any());
            }
            Self::Branch | Self::Base | Self::Tag if slugs != SlugMode::DockerMetadata => {
                language
                    .push_some(Class::of(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
            }
            Self::Branch | Self::Base | Self::Tag | Self::Service => language.push_some(Class::any()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Value(Placeholder, Option<usize>),
}

/// A tag with placeholders. Parsing checks the placeholders and that the literal text may stand in a tag.
///
/// ```
/// use shipper_tag::Template;
/// let template: Template = "pr-{pr}-{sha}".parse()?;
/// assert_eq!(template.glob().as_str(), "pr-*-*");
/// let error = "v{versoin}".parse::<Template>().unwrap_err();
/// assert_eq!(error.hint().as_deref(), Some("did you mean `{version}`?"));
/// # Ok::<(), shipper_tag::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

/// Why a template gives no tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unrendered {
    /// A placeholder has no value.
    NoValue(Placeholder),
    /// What comes out is no tag.
    Invalid(Error),
}

impl Template {
    /// The text as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The placeholders in their order.
    pub fn placeholders(&self) -> impl Iterator<Item = Placeholder> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value(placeholder, _) => Some(*placeholder),
            Part::Literal(_) => None,
        })
    }

    pub(crate) fn has(&self, placeholder: Placeholder) -> bool {
        self.placeholders().any(|one| one == placeholder)
    }

    /// The narrowest pattern of literals and `*` that matches every tag of the template.
    #[must_use]
    pub fn glob(&self) -> Glob {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Value(Placeholder::Version, _) => text.push_str("*.*.*"),
                // Two placeholders without text between them are one `*`.
                Part::Value(..) if text.ends_with('*') => {}
                Part::Value(..) => text.push('*'),
            }
        }
        Glob::new(text.replace("**", "*"))
    }

    /// Every tag that the template can give.
    pub(crate) fn language(&self, slugs: SlugMode) -> Language {
        let mut language = Language::default();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => language.push_literal(literal),
                Part::Value(placeholder, _) => placeholder.describe(slugs, &mut language),
            }
        }
        language
    }

    /// What stands before and after the version in the tags that `value` gives; `None` where the template has no
    /// version, or something else in it has no value.
    pub(crate) fn around_version(
        &self,
        value: impl Fn(Placeholder, Option<usize>) -> Option<String>,
    ) -> Option<(String, String)> {
        let mut sides = vec![String::new()];
        for part in &self.parts {
            let side = sides.last_mut()?;
            match part {
                Part::Literal(literal) => side.push_str(literal),
                Part::Value(Placeholder::Version, _) => sides.push(String::new()),
                Part::Value(placeholder, width) => side.push_str(&value(*placeholder, *width)?),
            }
        }
        let [before, after] = sides.try_into().ok()?;
        Some((before, after))
    }

    /// The tag for the values that `value` knows; it is given the placeholder and its width. Slugs share the room that
    /// the rest leaves.
    pub(crate) fn render(
        &self,
        slugs: SlugMode,
        value: impl Fn(Placeholder, Option<usize>) -> Option<String>,
    ) -> Result<Tag, Unrendered> {
        let mut fixed = 0;
        let mut values = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let (text, slugged) = match part {
                Part::Literal(literal) => (literal.clone(), None),
                Part::Value(placeholder, width) => {
                    let text = value(*placeholder, *width).filter(|text| !text.is_empty());
                    (text.ok_or(Unrendered::NoValue(*placeholder))?, placeholder.is_slug().then_some(*placeholder))
                }
            };
            fixed += if slugged.is_some() { 0 } else { text.len() };
            values.push((text, slugged));
        }
        let cut = values.iter().filter(|(_, slugged)| slugged.is_some()).count().max(1);
        let room = MAX_TAG.saturating_sub(fixed) / cut;
        let mut text = String::new();
        for (piece, slugged) in values {
            match slugged {
                None => text.push_str(&piece),
                Some(placeholder) => {
                    let slug = slug(&piece, slugs, room);
                    if slug.is_empty() {
                        return Err(Unrendered::NoValue(placeholder));
                    }
                    text.push_str(&slug);
                }
            }
        }
        text.parse().map_err(|source| Unrendered::Invalid(Error::Tag { template: self.text.clone(), source }))
    }
}

impl FromStr for Template {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |problem: String| Error::Template { template: text.to_owned(), problem };
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (literal, after) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
            if let Some(c) = literal.chars().find(|c| !u8::try_from(*c).is_ok_and(is_tag_byte)) {
                return Err(invalid(format!("`{c}` may not stand in a tag")));
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            let Some(inside) = after.strip_prefix('{') else { break };
            let Some((name, after)) = inside.split_once('}') else {
                return Err(invalid("a `}` is missing".to_owned()));
            };
            parts.push(value(text, name)?);
            rest = after;
        }
        match parts.first() {
            None => return Err(invalid("it is empty".to_owned())),
            Some(Part::Literal(literal)) if literal.starts_with(['.', '-']) => {
                return Err(invalid("a tag may not begin with `.` or `-`".to_owned()));
            }
            Some(_) => {}
        }
        let fixed: usize = parts.iter().map(|part| if let Part::Literal(text) = part { text.len() } else { 1 }).sum();
        if fixed > MAX_TAG {
            return Err(invalid("a tag has at most 128 characters".to_owned()));
        }
        Ok(Self { text: text.to_owned(), parts })
    }
}

/// `name` or `name:width`.
fn value(template: &str, written: &str) -> Result<Part, Error> {
    let (name, width) = match written.split_once(':') {
        Some((name, width)) => (name, Some(width)),
        None => (written, None),
    };
    let Some((_, placeholder)) = Placeholder::ALL.iter().find(|(known, _)| *known == name) else {
        return Err(Error::Placeholder {
            template: template.to_owned(),
            name: name.to_owned(),
            nearest: nearest(name, Placeholder::ALL.iter().map(|(name, _)| *name)).map(str::to_owned),
        });
    };
    let Some(width) = width else { return Ok(Part::Value(*placeholder, None)) };
    let invalid = |problem: String| Error::Template { template: template.to_owned(), problem };
    if !placeholder.may_have_width() {
        return Err(invalid(format!("`{{{name}}}` has no width")));
    }
    match width.parse() {
        Ok(width @ 4..=64) => Ok(Part::Value(*placeholder, Some(width))),
        _ => Err(invalid(format!("the width of `{{{name}}}` is a number from 4 to 64"))),
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Template {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn templates_are_read_or_refused_with_the_nearest_name() {
        let check = |text: &str, problem: &str, hint: Option<&str>| {
            let error = text.parse::<Template>().expect_err(text);
            assert!(error.to_string().contains(problem), "{error}");
            assert_eq!(error.hint().as_deref(), hint, "{text}");
        };
        check("v{versoin}", "unknown placeholder `{versoin}`", Some("did you mean `{version}`?"));
        check("{zzzzzzzzzz}", "unknown placeholder", None);
        check("a{pr", "`}` is missing", None);
        check("a}", "`}` may not", None);
        check("", "empty", None);
        check("-x", "begin", None);
        check("a/b", "`/`", None);
        check("{pr:7}", "no width", None);
        check("{sha:99}", "from 4 to 64", None);
        check(&"x".repeat(129), "128", None);
    }

    #[test]
    fn the_glob_of_a_template_covers_its_language() {
        let check = |text: &str, glob: &str| assert_eq!(template(text).glob().as_str(), glob, "{text}");
        check("pr-{pr}-{sha}", "pr-*-*");
        check("v{version}", "v*.*.*");
        check("v{major}.{minor}", "v*.*");
        check("latest", "latest");
        check("x{pr}{sha}y", "x*y");
        check("{service}{version}", "*.*.*");
    }

    #[test]
    fn a_slug_is_cut_so_that_the_tag_fits_and_nothing_else_is() {
        let long = "x".repeat(300);
        let values = |placeholder, width: Option<usize>| match placeholder {
            Placeholder::Branch | Placeholder::Base => Some(long.clone()),
            Placeholder::Sha => Some("0123456789abcdef"[..width.unwrap_or(7)].to_owned()),
            Placeholder::Service => Some(long.clone()),
            _ => None,
        };
        let render = |text: &str| template(text).render(SlugMode::Safe, values);
        let tag = render("b-{branch}.{sha:12}").expect("a tag");
        assert!(tag.as_str().len() == 128 && tag.as_str().ends_with(".0123456789ab"), "{tag}");
        assert_eq!(render("{branch}.{base}").expect("a tag").as_str().len(), 127);
        assert_eq!(render("v{version}"), Err(Unrendered::NoValue(Placeholder::Version)));
        let Err(Unrendered::Invalid(error)) = render("s-{service}") else { panic!("too long") };
        assert!(error.to_string().contains("s-{service}"), "{error}");
    }

    #[test]
    fn any_text_is_read_or_refused_without_a_panic() {
        proptest::proptest!(|(text in "[a-z{}:.0-9é-]{0,40}")| { let _ = text.parse::<Template>(); });
    }
}
