//! Which program interprets a Dockerfile: the `# syntax` line and its relatives.
//!
//! After `DetectSyntax` in `frontend/dockerfile/parser/directives.go` of BuildKit. Only `docker/dockerfile:1` is known
//! to read what this crate says it reads; with any other frontend nothing is certain.

use crate::json::{Json, parse};
use crate::syntax::{directive, is_directive};

/// The frontend image that a Dockerfile, or the build argument `BUILDKIT_SYNTAX`, asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frontend {
    /// The image reference as it is written.
    pub image: String,
    /// 1-based line of the directive; 0 if a build argument names the image.
    pub line: usize,
    /// Whether the image is `docker/dockerfile` or `docker/dockerfile-upstream`, version 1.
    pub standard: bool,
}

impl Frontend {
    fn new(image: &str, line: usize) -> Frontend {
        Frontend { image: image.to_owned(), line, standard: is_standard(image) }
    }
}

/// The frontend that `text` or the value of `BUILDKIT_SYNTAX` names; `None` for the builder's own.
pub(crate) fn detect(text: &str, syntax_arg: Option<&String>) -> Option<Frontend> {
    if let Some(command) = syntax_arg {
        return Some(Frontend::new(command.split_whitespace().next().unwrap_or_default(), 0));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // A first line `#!..` is skipped.
    let (skipped, text) = match text.strip_prefix("#!") {
        Some(rest) => (1, rest.split_once('\n').map_or("", |(_, rest)| rest)),
        None => (0, text),
    };
    let found = in_comments(text, "#").or_else(|| in_comments(text, "//"));
    if let Some((image, line)) = found {
        return Some(Frontend::new(image, line + skipped));
    }
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let Some(Json::Object(members)) = parse(text) else { return None };
    members.iter().rev().find_map(|(name, value)| match value {
        Json::String(image) if name == "syntax" => Some(Frontend::new(image, 1 + skipped)),
        _ => None,
    })
}

/// The image and the line of the `syntax` directive among the comments at the top.
fn in_comments<'t>(text: &'t str, comment: &str) -> Option<(&'t str, usize)> {
    let mut seen = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let (name, value) = directive(line.strip_prefix(comment)?)?;
        if !is_directive(&name) || seen.contains(&name) {
            return None;
        }
        if name == "syntax" {
            return Some((value.split(' ').next().unwrap_or(value), index + 1));
        }
        seen.push(name);
    }
    None
}

fn is_standard(image: &str) -> bool {
    let name = image.split('@').next().unwrap_or(image);
    let (repository, tag) = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, "latest"),
    };
    let path = ["docker.io/", "index.docker.io/", "registry-1.docker.io/"]
        .iter()
        .find_map(|host| repository.strip_prefix(host))
        .unwrap_or(repository);
    // A digest alone does not tell the version.
    let has_version =
        tag == "1" || tag.starts_with("1.") || tag.starts_with("1-") || (tag == "latest" && name == image);
    matches!(path, "docker/dockerfile" | "docker/dockerfile-upstream") && has_version
}

#[cfg(test)]
mod tests {
    use super::{Frontend, detect};

    fn found(text: &str) -> Option<(String, usize, bool)> {
        detect(text, None).map(|Frontend { image, line, standard }| (image, line, standard))
    }

    #[test]
    fn the_directive_is_found_at_the_top_only() {
        let check = |text: &str, expected: Option<(&str, usize, bool)>| {
            let expected = expected.map(|(image, line, standard)| (image.to_owned(), line, standard));
            assert_eq!(found(text), expected, "{text:?}");
        };
        check("FROM a", None);
        check("# syntax=docker/dockerfile:1\nFROM a", Some(("docker/dockerfile:1", 1, true)));
        check("#syntax = docker/dockerfile:1 --flag\r\nFROM a", Some(("docker/dockerfile:1", 1, true)));
        check("\u{feff}# SYNTAX=docker/dockerfile:1", Some(("docker/dockerfile:1", 1, true)));
        check("# escape=`\n# syntax=docker/dockerfile:1", Some(("docker/dockerfile:1", 2, true)));
        check("#!/usr/bin/env docker\n# syntax=x", Some(("x", 2, false)));
        check("// syntax=x/y\nFROM a", Some(("x/y", 1, false)));
        check("{\"syntax\": \"x\"}", Some(("x", 1, false)));
        check("# comment\n# syntax=x", None);
        check("\n# syntax=x", None);
        check(" # syntax=x", None);
        check("# other=1\n# syntax=x", None);
        check("# escape=`\n# escape=`\n# syntax=x", None);
    }

    #[test]
    fn a_build_argument_wins() {
        let arg = "docker/dockerfile:1 cmdline".to_owned();
        let frontend = detect("# syntax=x", Some(&arg)).unwrap();
        assert_eq!((frontend.image.as_str(), frontend.line, frontend.standard), ("docker/dockerfile:1", 0, true));
    }

    #[test]
    fn only_version_one_of_the_docker_frontend_is_standard() {
        let check = |image: &str, expected: bool| {
            assert_eq!(detect(&format!("# syntax={image}"), None).unwrap().standard, expected, "{image}");
        };
        for image in [
            "docker/dockerfile",
            "docker/dockerfile:latest",
            "docker/dockerfile:1",
            "docker/dockerfile:1.7-labs",
            "docker/dockerfile:1-labs",
            "docker/dockerfile-upstream:1.20",
            "docker.io/docker/dockerfile:1",
            "docker/dockerfile:1.4@sha256:00",
        ] {
            check(image, true);
        }
        for image in [
            "docker/dockerfile:2",
            "docker/dockerfile:10",
            "docker/dockerfile:master",
            "docker/dockerfile@sha256:00",
            "localhost:5000/dockerfile",
            "ghcr.io/docker/dockerfile:1",
            "docker/other:1",
        ] {
            check(image, false);
        }
    }
}
