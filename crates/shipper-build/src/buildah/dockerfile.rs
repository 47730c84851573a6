//! What must be known of a Dockerfile and of buildah's output: whether anything runs, and which step is at work.
//!
//! Invariant: a Dockerfile of which [`times`] says [`Times::Zero`] has no `RUN` and no `ONBUILD`; in doubt it runs.

use crate::log::Step;

/// Times of files and of the image itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    /// All are the Unix epoch.
    Zero,
    /// As they are.
    Real,
}

/// The instructions that start no process, now or in an image built on this one.
const INERT: [&str; 16] = [
    "FROM",
    "ARG",
    "COPY",
    "ADD",
    "ENV",
    "LABEL",
    "CMD",
    "ENTRYPOINT",
    "WORKDIR",
    "USER",
    "EXPOSE",
    "VOLUME",
    "STOPSIGNAL",
    "HEALTHCHECK",
    "SHELL",
    "MAINTAINER",
];

/// [`Times::Zero`] if nothing runs while this Dockerfile is built.
///
/// Lines are joined as in moby's `frontend/dockerfile/parser` with the default escape character; an `escape` directive,
/// a here-document or an unknown instruction counts as something that runs.
pub(super) fn times(dockerfile: &[u8]) -> Times {
    let text = String::from_utf8_lossy(dockerfile);
    let mut continued = false;
    for line in text.trim_start_matches('\u{feff}').lines() {
        let line = line.trim();
        if let Some(comment) = line.strip_prefix('#') {
            if comment.trim_start().to_ascii_lowercase().starts_with("escape") {
                return Times::Real;
            }
            continue;
        }
        if line.is_empty() {
            continue;
        }
        let word = line.split_whitespace().next().unwrap_or_default();
        let inert = INERT.iter().any(|name| name.eq_ignore_ascii_case(word));
        if line.contains("<<") || !(continued || inert) {
            return Times::Real;
        }
        continued = line.ends_with('\\');
    }
    Times::Zero
}

/// The progress that a line of `buildah build` means: `STEP 2/3: RUN make`, `[1/2] STEP 2/3: RUN make` or
/// `--> Using cache ..`; and the number of its stage.
pub(super) fn step(line: &str) -> Option<(Step, Option<&str>)> {
    if line.starts_with("--> Using cache") {
        return Some((Step::Cached, None));
    }
    let (stage, rest) = match line.strip_prefix('[') {
        Some(stage) => stage.split_once("] ").map(|(stage, rest)| (stage.split('/').next(), rest))?,
        None => (None, line),
    };
    let (position, name) = rest.strip_prefix("STEP ")?.split_once(": ")?;
    let (number, total) = position.split_once('/')?;
    let (number, total) = (number.parse().ok()?, total.parse().ok()?);
    Some((Step::Instruction { name: name.to_owned(), number, total }, stage))
}

/// The image that buildah's last message says it does not have: `Error: creating build container: NAME: image not known`
/// or `Error: COPY --from=NAME: no stage or image found with that name`.
pub(super) fn missing_image(error: &str) -> Option<&str> {
    let base = error.strip_suffix(": image not known").and_then(|rest| rest.rsplit(": ").next());
    let copied = || error.strip_suffix(": no stage or image found with that name")?.split("--from=").nth(1);
    base.or_else(copied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_may_run_keeps_its_times() {
        let check = |dockerfile: &str, expected| assert_eq!(times(dockerfile.as_bytes()), expected, "{dockerfile:?}");
        check("FROM scratch\nCOPY a /a\n", Times::Zero);
        check(
            "\u{feff}# a comment\nfrom scratch\n\n  copy --from=x a \\\n  # between\n\n  b /c\nCMD [\"RUN\"]",
            Times::Zero,
        );
        check("FROM scratch\r\nCOPY a /a\r\n", Times::Zero);
        check("FROM a\nRUN make", Times::Real);
        check("FROM a\n\trun make", Times::Real);
        check("FROM a\nCOPY a \\\nRUN /b", Times::Zero);
        check("FROM a\nCOPY a /b\\\\x\nRUN make", Times::Real);
        check("FROM a\nR\\\nUN make", Times::Real);
        check("FROM a\nONBUILD RUN make", Times::Real);
        check("# escape=`\nFROM a\nCOPY a `\nb\n", Times::Real);
        check("FROM a\nCOPY <<EOF /b\nCOPY \\\nEOF\nRUN make", Times::Real);
        check("FROM a\nINCLUDE other", Times::Real);
    }

    #[test]
    fn steps_are_read_from_the_output() {
        let instruction = |name: &str, number, total| Step::Instruction { name: name.to_owned(), number, total };
        assert_eq!(step("STEP 1/3: FROM scratch"), Some((instruction("FROM scratch", 1, 3), None)));
        let second = Some((instruction("RUN echo a: b", 3, 4), Some("2")));
        assert_eq!(step("[2/2] STEP 3/4: RUN echo a: b"), second);
        assert_eq!(step("--> Using cache 0123"), Some((Step::Cached, None)));
        for other in ["", "[", "[1/2] COMMIT", "STEP x/y: z", "STEP 1: z", "--> 5b4b6047639", "[a] b"] {
            assert_eq!(step(other), None, "{other:?}");
        }
    }

    #[test]
    fn missing_images_are_read_from_the_last_message() {
        let check = |error, expected| assert_eq!(missing_image(error), expected, "{error}");
        check("Error: creating build container: docker.io/library/a:1: image not known", Some("docker.io/library/a:1"));
        check("Error: COPY --from=h:5/a:1: no stage or image found with that name", Some("h:5/a:1"));
        check("Error: building at STEP \"RUN a\": exit status 7", None);
    }
}
