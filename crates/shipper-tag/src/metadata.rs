//! Lines of docker/metadata-action (`tags:` and `flavor:`), evaluated on the same facts: a way over from it.
//!
//! The behaviour is that of its version 6, as its documentation and observed results state it. [`Compatibility::Exact`]
//! keeps its mistakes: slugs that collide, holes in names, `latest` decided by the first rule and moved back.
//! [`Compatibility::Safe`] keeps the lines and makes none of them.

mod dates;

use semver::Version;
use serde::Serialize;

use crate::{Error, Facts, NotNamed, Scope, SlugMode, Tag, Trigger, nearest, slug};

/// Whether the action's mistakes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compatibility {
    /// Names are kept apart, a placeholder without value skips its line, `latest` is for releases and moves forward.
    Safe,
    /// What the action gives, even where it is no tag.
    Exact,
}

/// The lines of a workflow's step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataAction {
    rules: Vec<Line>,
    latest: Option<bool>,
    prefix: (String, bool),
    suffix: (String, bool),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    /// Number of the line, from 1; 0 for those that the action adds by itself.
    number: usize,
    text: String,
    kind: Kind,
    attributes: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Schedule,
    Semver,
    Pep440,
    Match,
    Edge,
    RefBranch,
    RefTag,
    RefPr,
    Raw,
    Sha,
}

impl Kind {
    /// Rules of a larger priority come first; the first decides about `latest`.
    fn priority(self) -> i64 {
        match self {
            Self::Schedule => 1000,
            Self::Semver | Self::Pep440 => 900,
            Self::Match => 800,
            Self::Edge => 700,
            Self::RefBranch | Self::RefTag | Self::RefPr => 600,
            Self::Raw => 200,
            Self::Sha => 100,
        }
    }
}

/// What the lines give.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MetadataTags {
    /// The names in the action's order: the first rule's, the others', `latest`. Not all are tags with
    /// [`Compatibility::Exact`].
    pub tags: Vec<String>,
    /// Lines that give none, with the reason.
    pub not_applied: Vec<(String, String)>,
}

const ATTRIBUTES: [&str; 11] =
    ["type", "event", "pattern", "value", "prefix", "suffix", "priority", "enable", "branch", "format", "group"];

impl MetadataAction {
    /// Reads the lines below `tags:` and `flavor:`, as they stand in a workflow; lines without such a heading are tags.
    ///
    /// # Errors
    /// [`Error::Metadata`] with the line.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut action =
            Self { rules: Vec::new(), latest: None, prefix: Default::default(), suffix: Default::default() };
        let mut flavor = false;
        for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
            match line.trim_end_matches(['|', '-', '>']).trim_end() {
                "" => continue,
                "tags:" => flavor = false,
                "flavor:" => flavor = true,
                _ if line.starts_with('#') => continue,
                _ if flavor => action.flavor(number, line)?,
                _ => action.rules.push(Line::parse(number, line)?),
            }
        }
        if action.rules.is_empty() {
            let added = ["type=schedule", "type=ref,event=branch", "type=ref,event=tag", "type=ref,event=pr"];
            action.rules = added.iter().map(|line| Line::parse(0, line)).collect::<Result<_, _>>()?;
        }
        // The sort is stable: equal priorities keep the order of the lines.
        action.rules.sort_by_key(|line| std::cmp::Reverse(line.priority()));
        Ok(action)
    }

    fn flavor(&mut self, number: usize, line: &str) -> Result<(), Error> {
        let fields = fields(number, line)?;
        let only = fields.iter().any(|(key, value)| key == "onlatest" && value == "true");
        for (key, value) in fields {
            match (key.as_str(), value.as_str()) {
                ("latest", "auto") => self.latest = None,
                ("latest", "true") => self.latest = Some(true),
                ("latest", "false") => self.latest = Some(false),
                ("prefix", _) => self.prefix = (value, only),
                ("suffix", _) => self.suffix = (value, only),
                ("onlatest", "true" | "false") => {}
                _ => return Err(invalid(number, format!("`{key}={value}` is no flavor"))),
            }
        }
        Ok(())
    }

    /// The names on these facts.
    ///
    /// # Errors
    /// [`Error::Metadata`] for a line that can not be evaluated; with [`Compatibility::Safe`] also [`Error::Tag`] where
    /// a name is no tag.
    pub fn evaluate(&self, facts: &Facts, compatibility: Compatibility) -> Result<MetadataTags, Error> {
        let mut result = MetadataTags::default();
        let safe = compatibility == Compatibility::Safe;
        let mut latest: Option<bool> = None;
        let mut of_python = false;
        for line in &self.rules {
            let (name, is_release) = match line.name(facts, safe)? {
                Ok(named) => named,
                Err(reason) => {
                    result.not_applied.push((line.text.clone(), reason));
                    continue;
                }
            };
            of_python |= is_release && line.kind == Kind::Pep440;
            let side = |key: &str, flavor: &str| line.get(key).map_or(flavor, |own| own).to_owned();
            let prefix = match line.kind {
                Kind::Sha => line.get("prefix").unwrap_or("sha-").to_owned(),
                Kind::RefPr => line.get("prefix").unwrap_or("pr-").to_owned(),
                _ => side("prefix", &self.prefix.0),
            };
            let name = format!("{prefix}{name}{}", side("suffix", &self.suffix.0));
            let name = if safe { name } else { slug(&name, SlugMode::DockerMetadata, usize::MAX) };
            // The first rule decides; safely, any rule for a release does.
            latest = Some(if safe { latest.unwrap_or(false) || is_release } else { latest.unwrap_or(is_release) });
            if !result.tags.contains(&name) {
                result.tags.push(name);
            }
        }
        if latest.is_some_and(|auto| self.latest.unwrap_or(auto)) {
            match blocked(facts, of_python).filter(|_| safe) {
                Some(reason) => result.not_applied.push(("latest".to_owned(), reason.to_string())),
                None => {
                    let side =
                        |(text, on_latest): &(String, bool)| if *on_latest { text.clone() } else { String::new() };
                    result.tags.push(format!("{}latest{}", side(&self.prefix), side(&self.suffix)));
                }
            }
        }
        if safe {
            for name in &result.tags {
                name.parse::<Tag>().map_err(|source| Error::Tag { template: name.clone(), source })?;
            }
        }
        Ok(result)
    }
}

/// Why `latest` does not move to what is built, as far as versions tell.
fn blocked(facts: &Facts, of_python: bool) -> Option<NotNamed> {
    let text = facts.tag.as_deref()?;
    let Ok(version) = Version::parse(text.trim_start_matches('v')) else {
        // Which versions there are is known of semantic ones alone.
        return of_python.then_some(NotNamed::VersionsUnknown);
    };
    if !version.pre.is_empty() {
        return Some(NotNamed::PreRelease { version });
    }
    let Some(versions) = &facts.versions else { return Some(NotNamed::VersionsUnknown) };
    let newer = Scope::All.newer(&version, versions)?.clone();
    Some(NotNamed::Newer { version, newer })
}

/// A version, as placeholders name its parts.
struct Numbers<'a> {
    raw: &'a str,
    whole: String,
    parts: [u64; 3],
}

impl<'a> Numbers<'a> {
    fn of_semver(raw: &'a str, version: &Version, safe: bool) -> Self {
        let whole = version.to_string().replace('+', if safe { "_" } else { "-" });
        Self { raw, whole, parts: [version.major, version.minor, version.patch] }
    }

    /// Parts that are not there are 0; an epoch and a local version have characters that no tag has.
    fn of_pep440(raw: &'a str, version: &pep440_rs::Version, safe: bool) -> Self {
        let whole = version.to_string().replace(['+', '!'], if safe { "_" } else { "-" });
        let release = version.release();
        let part = |place: usize| release.get(place).copied().unwrap_or_default();
        Self { raw, whole, parts: [part(0), part(1), part(2)] }
    }
}

/// A name and whether it is one of a release, or why there is none.
type Named = Result<(String, bool), String>;

impl Line {
    fn parse(number: usize, text: &str) -> Result<Self, Error> {
        let mut attributes = fields(number, text)?;
        if !attributes.iter().any(|(key, _)| key == "type") {
            attributes = vec![("type".to_owned(), "raw".to_owned()), ("value".to_owned(), text.to_owned())];
        }
        for (key, _) in &attributes {
            if !ATTRIBUTES.contains(&key.as_str()) {
                let hint = nearest(key, ATTRIBUTES.into_iter());
                let hint = hint.map(|name| format!(", did you mean `{name}`?")).unwrap_or_default();
                return Err(invalid(number, format!("`{key}` is no attribute{hint}")));
            }
        }
        let get = |name: &str| attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let kind = match (get("type"), get("event")) {
            (Some("schedule"), _) => Kind::Schedule,
            (Some("semver"), _) => Kind::Semver,
            (Some("pep440"), _) => Kind::Pep440,
            (Some("match"), _) => Kind::Match,
            (Some("edge"), _) => Kind::Edge,
            (Some("ref"), Some("branch")) => Kind::RefBranch,
            (Some("ref"), Some("tag")) => Kind::RefTag,
            (Some("ref"), Some("pr")) => Kind::RefPr,
            (Some("raw"), _) => Kind::Raw,
            (Some("sha"), _) => Kind::Sha,
            (Some("ref"), event) => {
                return Err(invalid(number, format!("`event={}` is none of branch, tag, pr", event.unwrap_or(""))));
            }
            (kind, _) => return Err(invalid(number, format!("`type={}` is not supported", kind.unwrap_or("")))),
        };
        let needed = match kind {
            Kind::Semver | Kind::Pep440 | Kind::Match => Some("pattern"),
            Kind::Raw => Some("value"),
            _ => None,
        };
        if let Some(missing) = needed.filter(|name| get(name).is_none()) {
            return Err(invalid(number, format!("`{missing}` is missing")));
        }
        if get("priority").is_some_and(|priority| priority.parse::<i64>().is_err()) {
            return Err(invalid(number, "`priority` is no number".to_owned()));
        }
        Ok(Self { number, text: text.to_owned(), kind, attributes })
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn priority(&self) -> i64 {
        self.get("priority").and_then(|priority| priority.parse().ok()).unwrap_or_else(|| self.kind.priority())
    }

    fn name(&self, facts: &Facts, safe: bool) -> Result<Named, Error> {
        let no = |reason: &str| Ok(Err(reason.to_owned()));
        let enabled = self.get("enable").unwrap_or("true");
        match self.expand(enabled, facts, None, safe)?.as_deref() {
            Ok("true") => {}
            Ok("false") => return no("it is not enabled"),
            other => return Err(invalid(self.number, format!("`enable` is neither true nor false: {other:?}"))),
        }
        let name = |text: &str| if safe { slug(text, SlugMode::Safe, 100) } else { text.to_owned() };
        let kept = |text: Result<String, String>, release| Ok(text.map(|text| (text, release)));
        let source = self.get("value").or(facts.tag.as_deref().filter(|_| facts.trigger == Trigger::Tag));
        match self.kind {
            Kind::Schedule if facts.trigger != Trigger::Schedule => no("the run is not scheduled"),
            Kind::Schedule => kept(self.expand(self.get("pattern").unwrap_or("nightly"), facts, None, safe)?, false),
            Kind::RefBranch => match &facts.branch {
                Some(branch) if !matches!(facts.trigger, Trigger::PullRequest | Trigger::Tag) => {
                    Ok(Ok((name(branch), false)))
                }
                _ => no("the run is not about a branch"),
            },
            Kind::RefTag => match &facts.tag {
                Some(tag) if facts.trigger == Trigger::Tag => {
                    let plain = tag.parse::<Tag>().is_ok();
                    Ok(Ok((if plain { tag.clone() } else { name(tag) }, true)))
                }
                _ => no("the run is not about a tag"),
            },
            Kind::RefPr => match &facts.pull_request {
                Some(pr) => Ok(Ok((pr.number.to_string(), false))),
                None => no("the run is not about a pull request"),
            },
            Kind::Edge => {
                let branch = self.get("branch").or(facts.default_branch.as_deref());
                if facts.trigger == Trigger::Push && branch.is_some() && facts.branch.as_deref() == branch {
                    return Ok(Ok((self.get("value").unwrap_or("edge").to_owned(), false)));
                }
                no("the run is not a push to that branch")
            }
            Kind::Raw => kept(self.expand(self.get("value").unwrap_or_default(), facts, None, safe)?, false),
            Kind::Sha => match &facts.commit {
                Some(commit) if self.get("format") == Some("long") => Ok(Ok((commit.to_string(), false))),
                Some(commit) => {
                    let digits = if safe { usize::from(facts.unambiguous_digits.unwrap_or(7)).max(7) } else { 7 };
                    Ok(Ok((commit.as_str()[..digits.min(commit.as_str().len())].to_owned(), false)))
                }
                None => no("the commit is not known"),
            },
            Kind::Semver => {
                let Some(source) = source else { return no("the run is not about a tag") };
                let text = source.rsplit('/').next().unwrap_or_default();
                let Ok(version) = Version::parse(text.trim_start_matches('v')) else {
                    return no("the tag is no semantic version");
                };
                let pattern = self.get("pattern").unwrap_or_default();
                let raw = pattern.replace(' ', "").contains("{{raw}}");
                // A pre-release has no shortened forms.
                let pattern = if version.pre.is_empty() || raw { pattern } else { "{{version}}" };
                if safe && version.major == 0 && pattern.replace(' ', "").trim_start_matches('v') == "{{major}}" {
                    return no("versions 0.x promise nothing to each other");
                }
                let release = version.pre.is_empty();
                kept(self.expand(pattern, facts, Some(&Numbers::of_semver(source, &version, safe)), safe)?, release)
            }
            Kind::Pep440 => {
                let Some(source) = source else { return no("the run is not about a tag") };
                let text = source.rsplit('/').next().unwrap_or_default();
                let Ok(version) = text.parse::<pep440_rs::Version>() else {
                    return no("the tag is no version of Python (PEP 440)");
                };
                let pattern = self.get("pattern").unwrap_or_default();
                let plain = pattern.replace(' ', "");
                let release = !version.any_prerelease() && !version.is_post();
                // Only releases have shortened forms.
                let pattern = match (release, plain.contains("{{raw}}")) {
                    (true, _) => pattern,
                    (false, true) => "{{raw}}",
                    (false, false) => "{{version}}",
                };
                let numbers = Numbers::of_pep440(text, &version, safe);
                if safe && release && numbers.parts[0] == 0 && plain.trim_start_matches('v') == "{{major}}" {
                    return no("versions 0.x promise nothing to each other");
                }
                kept(self.expand(pattern, facts, Some(&numbers), safe)?, release)
            }
            Kind::Match => {
                let Some(source) = source else { return no("the run is not about a tag") };
                let pattern = self.get("pattern").unwrap_or_default();
                let pattern = pattern.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')).unwrap_or(pattern);
                let group = self.get("group").unwrap_or("0");
                let group: usize =
                    group.parse().map_err(|_| invalid(self.number, "`group` is no number".to_owned()))?;
                let regex = regex_lite::Regex::new(pattern).map_err(|error| invalid(self.number, error.to_string()))?;
                match regex
                    .captures(source)
                    .and_then(|captures| captures.get(group).map(|found| found.as_str().to_owned()))
                {
                    Some(found) => {
                        let pre =
                            Version::parse(source.trim_start_matches('v')).is_ok_and(|version| !version.pre.is_empty());
                        Ok(Ok((found, !(safe && pre))))
                    }
                    None => no("the tag does not match"),
                }
            }
        }
    }

    /// A text with its `{{..}}` replaced, or which of them has no value.
    fn expand(
        &self,
        text: &str,
        facts: &Facts,
        version: Option<&Numbers<'_>>,
        safe: bool,
    ) -> Result<Result<String, String>, Error> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((expression, after)) = after.split_once("}}") else {
                return Err(invalid(self.number, "a `}}` is missing".to_owned()));
            };
            out.push_str(before);
            rest = after;
            match self.value(expression.trim(), facts, version, safe)? {
                Some(value) if !value.is_empty() || !safe => out.push_str(&value),
                _ if safe => return Ok(Err(format!("`{{{{{}}}}}` has no value", expression.trim()))),
                _ => {}
            }
        }
        out.push_str(rest);
        Ok(Ok(out))
    }

    fn value(
        &self,
        expression: &str,
        facts: &Facts,
        version: Option<&Numbers<'_>>,
        safe: bool,
    ) -> Result<Option<String>, Error> {
        let slugged = |text: &Option<String>| {
            text.as_deref().map(|text| if safe { slug(text, SlugMode::Safe, 60) } else { text.to_owned() })
        };
        let (word, argument) = expression.split_once(' ').unwrap_or((expression, ""));
        let date = |time: &Option<crate::UtcTime>| match time {
            Some(time) => dates::format(time.as_str(), argument).map(Some),
            None => Ok(None),
        };
        Ok(match (word, version) {
            ("raw", Some(numbers)) => Some(numbers.raw.to_owned()),
            ("version", Some(numbers)) => Some(numbers.whole.clone()),
            ("major", Some(numbers)) => Some(numbers.parts[0].to_string()),
            ("minor", Some(numbers)) => Some(numbers.parts[1].to_string()),
            ("patch", Some(numbers)) => Some(numbers.parts[2].to_string()),
            ("branch", _) if facts.trigger != Trigger::Tag => slugged(&facts.branch),
            ("branch", _) => None,
            ("tag", _) => slugged(&facts.tag),
            ("base_ref", _) => slugged(&facts.pull_request.as_ref().and_then(|pr| pr.base.clone())),
            ("sha", _) => facts.commit.as_ref().map(|commit| commit.as_str()[..7].to_owned()),
            ("is_default_branch", _) => {
                let default = facts.branch.is_some() && facts.branch == facts.default_branch;
                Some((default && facts.trigger != Trigger::PullRequest).to_string())
            }
            ("is_not_default_branch", _) => {
                let default = facts.branch.is_some() && facts.branch == facts.default_branch;
                Some((!default).to_string())
            }
            ("date", _) => date(&facts.now).map_err(|problem| invalid(self.number, problem))?,
            ("commit_date", _) => date(&facts.commit_time).map_err(|problem| invalid(self.number, problem))?,
            _ => return Err(invalid(self.number, format!("`{{{{{expression}}}}}` is not supported"))),
        })
    }
}

/// `key=value` pairs between commas; a value in double quotes may contain commas.
fn fields(number: usize, line: &str) -> Result<Vec<(String, String)>, Error> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            _ => {
                if let Some(last) = fields.last_mut() {
                    last.push(c);
                }
            }
        }
    }
    if quoted {
        return Err(invalid(number, "a `\"` is missing".to_owned()));
    }
    let pair = |field: &String| {
        let (key, value) = field.split_once('=').unwrap_or(("value", field));
        (key.trim().to_owned(), value.trim().to_owned())
    };
    Ok(fields.iter().map(pair).collect())
}

fn invalid(line: usize, problem: String) -> Error {
    Error::Metadata { line, problem }
}
