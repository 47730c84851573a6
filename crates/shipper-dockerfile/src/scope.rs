//! The variables that a stage sees: global arguments, its own arguments and environment, and what it inherits.
//!
//! After `defaultArgs`, `buildMetaArgs`, `dispatchArg` and `dispatchEnv` in `frontend/dockerfile/dockerfile2llb` of
//! BuildKit. The environment of a base image is not known here, so a name that the Dockerfile does not set is unknown
//! in every stage that does not start from `scratch`.

use crate::expand::{Expanded, Lookup, Mode, Reason, expand};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The arguments that BuildKit sets by itself in the global scope.
pub(crate) const PLATFORM_ARGS: [&str; 11] = [
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDOSVERSION",
    "BUILDARCH",
    "BUILDVARIANT",
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETOSVERSION",
    "TARGETARCH",
    "TARGETVARIANT",
    "TARGETSTAGE",
];

/// Variables with their values; `None` for a value that is not known.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    values: BTreeMap<String, Option<String>>,
    /// What a name means that is not in `values`.
    parent: Parent,
    /// Bytes of all names and values that were ever set here.
    written: usize,
}

#[derive(Debug, Clone, Default)]
enum Parent {
    /// It has no value.
    #[default]
    Closed,
    /// It may have a value all the same.
    Open,
    /// The same as in the stage that this one starts from.
    Stage(Rc<Scope>),
}

impl Scope {
    /// The global scope: what BuildKit sets before the first instruction.
    pub(crate) fn global(
        platform: Option<&str>,
        target: Option<&str>,
        last_stage: Option<&str>,
        args: &BTreeMap<String, String>,
    ) -> Scope {
        let mut scope = Scope::default();
        for name in PLATFORM_ARGS {
            scope.values.insert(name.to_owned(), None);
        }
        if let Some(target_values) = platform.and_then(target_values) {
            scope.values.extend(target_values.map(|(name, value)| (name.to_owned(), value)));
        }
        // Without a target, versions differ on the name of a named last stage.
        let stage = target.or(if last_stage.is_none() { Some("default") } else { None });
        scope.values.insert("TARGETSTAGE".to_owned(), stage.map(str::to_owned));
        for name in PLATFORM_ARGS {
            if let Some(value) = args.get(name) {
                scope.values.insert(name.to_owned(), Some(value.clone()));
            }
        }
        scope
    }

    /// The scope at the start of a stage that begins with an image (`open`) or with `scratch`.
    pub(crate) fn stage(open: bool) -> Scope {
        let parent = if open { Parent::Open } else { Parent::Closed };
        let mut scope = Scope { parent, ..Scope::default() };
        // Even `scratch` gets a PATH, which depends on the platform.
        scope.values.insert("PATH".to_owned(), None);
        scope
    }

    /// The scope at the start of a stage that begins with another stage.
    pub(crate) fn child(parent: &Rc<Scope>) -> Scope {
        Scope { parent: Parent::Stage(parent.clone()), ..Scope::default() }
    }

    /// Bytes of all names and values that were set in this stage.
    pub(crate) fn written(&self) -> usize {
        self.written
    }

    pub(crate) fn lookup(&self, name: &str) -> Lookup {
        let mut scope = self;
        loop {
            match (scope.values.get(name), &scope.parent) {
                (Some(Some(value)), _) => return Lookup::Set(value.clone()),
                (Some(None), _) | (None, Parent::Open) => return Lookup::Unknown,
                (None, Parent::Closed) => return Lookup::Unset,
                (None, Parent::Stage(parent)) => scope = parent,
            }
        }
    }

    pub(crate) fn expand(&self, word: &str, escape: char) -> Result<Expanded, Reason> {
        expand(word, Mode::new(escape), &|name| self.lookup(name))
    }

    fn set(&mut self, name: &str, value: Option<String>) {
        self.written += name.len() + value.as_ref().map_or(0, String::len);
        self.values.insert(name.to_owned(), value);
    }

    /// After a variable was set whose name is not known, nothing is known.
    fn forget(&mut self) {
        self.values.clear();
        self.parent = Parent::Open;
    }

    /// `ENV`: all values see the variables before the instruction.
    pub(crate) fn apply_env(&mut self, pairs: &[(String, String)], escape: char) -> Result<(), (String, Reason)> {
        let expand = |word: &String| self.expand(word, escape).map_err(|reason| (word.clone(), reason));
        let mut expanded = Vec::with_capacity(pairs.len());
        for (name, value) in pairs {
            expanded.push((expand(name)?, expand(value)?));
        }
        for (name, value) in expanded {
            if name.unknown.is_some() {
                self.forget();
            } else {
                self.set(&name.text, if value.unknown.is_some() { None } else { Some(value.text) });
            }
        }
        Ok(())
    }

    /// `ARG` in a stage: a build argument wins, then the default, then the global value; else nothing changes.
    pub(crate) fn apply_arg(
        &mut self,
        pairs: &[(String, Option<String>)],
        global: &Scope,
        args: &BTreeMap<String, String>,
        escape: char,
    ) -> Result<(), (String, Reason)> {
        // Versions differ on whether a default sees the arguments before it in the same instruction.
        let earlier: Vec<_> =
            pairs.iter().map(|(_, default)| default.as_ref().map(|default| self.expand(default, escape))).collect();
        for ((name, default), earlier) in pairs.iter().zip(earlier) {
            if !is_plain(name) {
                self.forget();
            } else if let Some(value) = args.get(name) {
                self.set(name, Some(value.clone()));
            } else if let Some(default) = default {
                let value = self.expand(default, escape);
                let is_clear = earlier.as_ref() == Some(&value);
                let value = value.map_err(|reason| (default.clone(), reason))?;
                self.set(name, (is_clear && value.unknown.is_none()).then_some(value.text));
            } else {
                match global.lookup(name) {
                    Lookup::Set(value) => self.set(name, Some(value)),
                    Lookup::Unknown => self.set(name, None),
                    Lookup::Unset => {}
                }
            }
        }
        Ok(())
    }

    /// `ARG` before the first `FROM`.
    pub(crate) fn apply_global_arg(
        &mut self,
        pairs: &[(String, Option<String>)],
        args: &BTreeMap<String, String>,
        escape: char,
    ) -> Result<(), (String, Reason)> {
        for (name, default) in pairs {
            if !is_plain(name) {
                self.forget();
            } else if let Some(value) = args.get(name) {
                self.set(name, Some(value.clone()));
            } else if let Some(default) = default {
                let value = self.expand(default, escape).map_err(|reason| (default.clone(), reason))?;
                self.set(name, if value.unknown.is_some() { None } else { Some(value.text) });
            }
        }
        Ok(())
    }
}

/// Whether a declared name means itself in every version of BuildKit; some expand names.
fn is_plain(name: &str) -> bool {
    !name.contains(['$', '\'', '"', '\\', '`'])
}

/// The names that `pairs` declare.
pub(crate) fn declare(pairs: &[(String, Option<String>)], declared: &mut BTreeSet<String>) {
    declared.extend(pairs.iter().map(|(name, _)| name.clone()));
}

/// The values that follow from a platform such as `linux/arm/v7`, normalised as in containerd's `platforms` package;
/// `None` if the text is no such platform.
fn target_values(platform: &str) -> Option<[(&'static str, Option<String>); 5]> {
    let lower = platform.to_ascii_lowercase();
    let mut parts = lower.split('/');
    let os = parts.next().filter(|os| !os.is_empty())?;
    let os = if os == "macos" { "darwin" } else { os };
    let architecture = parts.next().filter(|architecture| !architecture.is_empty())?;
    let variant = parts.next().unwrap_or_default();
    if parts.next().is_some() || lower.contains('(') {
        return None;
    }
    let (architecture, variant) = match (architecture, variant) {
        ("x86_64" | "x86-64" | "amd64", "" | "v1") => ("amd64", Some("")),
        ("i386", _) => ("386", Some("")),
        ("aarch64" | "arm64", "" | "8" | "v8") => ("arm64", Some("")),
        ("armhf", _) => ("arm", Some("v7")),
        ("armel", _) => ("arm", Some("v6")),
        ("arm", "5" | "v5") => ("arm", Some("v5")),
        ("arm", "6" | "v6") => ("arm", Some("v6")),
        ("arm", "7" | "v7") => ("arm", Some("v7")),
        // What an unwritten variant means depends on the builder.
        ("arm", _) => ("arm", None),
        (architecture, "") => (architecture, Some("")),
        (architecture, _) => (architecture, None),
    };
    let whole = variant.map(|variant| {
        if variant.is_empty() { format!("{os}/{architecture}") } else { format!("{os}/{architecture}/{variant}") }
    });
    Some([
        ("TARGETPLATFORM", whole),
        ("TARGETOS", Some(os.to_owned())),
        ("TARGETOSVERSION", Some(String::new())),
        ("TARGETARCH", Some(architecture.to_owned())),
        ("TARGETVARIANT", variant.map(str::to_owned)),
    ])
}

#[cfg(test)]
mod tests {
    use super::{Lookup, Scope};
    use std::collections::BTreeMap;

    fn global(platform: &str) -> Scope {
        Scope::global(Some(platform), None, None, &BTreeMap::new())
    }

    #[test]
    fn a_platform_gives_the_target_arguments() {
        let check = |platform: &str, expected: [Option<&str>; 3]| {
            let scope = global(platform);
            let known = |name: &str| match scope.lookup(name) {
                Lookup::Set(value) => Some(value),
                _ => None,
            };
            let found = ["TARGETPLATFORM", "TARGETARCH", "TARGETVARIANT"].map(known);
            assert_eq!(found, expected.map(|value| value.map(str::to_owned)), "{platform}");
        };
        check("linux/amd64", [Some("linux/amd64"), Some("amd64"), Some("")]);
        check("linux/x86_64", [Some("linux/amd64"), Some("amd64"), Some("")]);
        check("linux/arm64", [Some("linux/arm64"), Some("arm64"), Some("")]);
        check("linux/arm64/v8", [Some("linux/arm64"), Some("arm64"), Some("")]);
        check("linux/arm/v7", [Some("linux/arm/v7"), Some("arm"), Some("v7")]);
        check("linux/arm", [None, Some("arm"), None]);
        check("linux/riscv64", [Some("linux/riscv64"), Some("riscv64"), Some("")]);
        check("linux", [None, None, None]);
        check("", [None, None, None]);
        check("linux/a/b/c", [None, None, None]);
    }

    #[test]
    fn the_builders_platform_is_unknown_unless_it_is_given() {
        assert_eq!(global("linux/amd64").lookup("BUILDARCH"), Lookup::Unknown);
        let args = BTreeMap::from([("BUILDARCH".to_owned(), "arm64".to_owned())]);
        let scope = Scope::global(None, None, None, &args);
        assert_eq!(scope.lookup("BUILDARCH"), Lookup::Set("arm64".to_owned()));
        assert_eq!(scope.lookup("TARGETARCH"), Lookup::Unknown);
        assert_eq!(scope.lookup("OTHER"), Lookup::Unset);
    }
}
