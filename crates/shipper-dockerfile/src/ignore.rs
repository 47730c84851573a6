//! `.dockerignore` files: which paths of a context directory reach the builder.
//!
//! The rules are those of moby/patternmatcher (`ignorefile.ReadAll`, `New`, `MatchesUsingParentResults`), evaluated
//! the way BuildKit's transfer walks a directory (`fsutil/filter.go`): a match carries from a directory to what is
//! below it, pattern by pattern. `git`'s ignore rules are different ones.
//!
//! Invariants: paths are bytes, relative to the context root, separated by `/`, without `.` or `..`; evaluation is
//! pure and never fails once [`IgnoreFile::parse`] accepted the file; the same result on every operating system.

mod automaton;
mod expression;
mod pattern;
#[cfg(test)]
mod tests;

use crate::error::IgnoreError;
use crate::gopath::{check_pattern, clean, trim_space};
use pattern::{Candidate, Pattern};

/// A line may have this many bytes, its newline not counted (Go `bufio.Scanner` holds 64 KiB with the newline).
const MAX_LINE: usize = 64 * 1024 - 1;
const UTF8_BOM: &[u8] = b"\xEF\xBB\xBF";

/// The parsed rules of a `.dockerignore` file.
///
/// ```
/// use shipper_dockerfile::IgnoreFile;
///
/// let ignore = IgnoreFile::parse(b"# build output\n*\n!src\nsrc/**/*.tmp\n")?;
/// assert!(!ignore.is_excluded(b"src/main.rs"));
/// assert!(ignore.is_excluded(b"src/a/b.tmp"));
/// assert!(ignore.is_excluded(b"README.md"));
/// # Ok::<(), shipper_dockerfile::IgnoreError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct IgnoreFile {
    patterns: Vec<Pattern>,
}

/// What the patterns said about one directory; needed to judge what lies in it.
///
/// A value belongs to the [`IgnoreFile`] that made it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DirMatch {
    /// The context root: nothing is known, so a path is judged through its parents.
    matched: Option<Bits>,
}

/// One bit per pattern; the first 64 without an allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Bits {
    first: u64,
    more: Vec<u64>,
}

impl Bits {
    fn contains(&self, index: usize) -> bool {
        let word = if index < 64 { self.first } else { self.more.get(index / 64 - 1).copied().unwrap_or(0) };
        word >> (index % 64) & 1 == 1
    }

    fn insert(&mut self, index: usize) {
        let bit = 1 << (index % 64);
        if index < 64 {
            self.first |= bit;
        } else {
            let word = index / 64 - 1;
            if self.more.len() <= word {
                self.more.resize(word + 1, 0);
            }
            self.more[word] |= bit;
        }
    }
}

impl IgnoreFile {
    /// The rules in the bytes of a `.dockerignore` file; an empty file has none.
    ///
    /// Source of the rules: `ignorefile.ReadAll` and `patternmatcher.New` in <https://github.com/moby/patternmatcher>.
    ///
    /// # Errors
    /// The line that Docker would refuse: longer than 65,535 bytes, a `!` without a pattern, or a malformed pattern.
    /// Docker finds some malformed patterns only while it walks; here all of them are found at once.
    pub fn parse(bytes: &[u8]) -> Result<IgnoreFile, IgnoreError> {
        let mut patterns = Vec::new();
        for (index, raw) in bytes.split(|&byte| byte == b'\n').enumerate() {
            let line = index + 1;
            if raw.len() > MAX_LINE {
                return Err(IgnoreError::LineTooLong { line, length: raw.len() });
            }
            let raw = if index == 0 { raw.strip_prefix(UTF8_BOM).unwrap_or(raw) } else { raw };
            if let Some((text, exception)) = read_line(raw, line)? {
                patterns.push(compile_line(text, exception, line)?);
            }
        }
        Ok(IgnoreFile { patterns })
    }

    /// The rules of this file and then those of `more`, as if its lines stood at the end of this file. Lines of `more`
    /// keep their numbers.
    ///
    /// ```
    /// use shipper_dockerfile::IgnoreFile;
    ///
    /// let rules = IgnoreFile::parse(b"a\n!a/b\n")?;
    /// // An exclusion that a directory has met already says nothing new about what an exception took back.
    /// assert!(!rules.followed_by(&IgnoreFile::parse(b"a\n")?).is_excluded(b"a/b/c"));
    /// assert!(rules.followed_by(&IgnoreFile::parse(b"a/b\n")?).is_excluded(b"a/b/c"));
    /// # Ok::<(), shipper_dockerfile::IgnoreError>(())
    /// ```
    #[must_use]
    pub fn followed_by(&self, more: &IgnoreFile) -> IgnoreFile {
        IgnoreFile { patterns: self.patterns.iter().chain(&more.patterns).cloned().collect() }
    }

    /// Whether there is no rule, so that nothing is excluded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The state at the context root, from which [`descend`](Self::descend) starts.
    #[must_use]
    pub fn root(&self) -> DirMatch {
        DirMatch::default()
    }

    /// Whether `path` is excluded, and the state for what lies below it.
    ///
    /// `parent` is the state that came back for the directory that holds `path`; `path` is relative to the context
    /// root. An excluded directory may hold paths that are not excluded, see
    /// [`may_contain_exception`](Self::may_contain_exception); BuildKit then sends the directory as well.
    ///
    /// Source of the rule: `MatchesUsingParentResults` in moby/patternmatcher.
    #[must_use]
    pub fn descend(&self, parent: &DirMatch, path: &[u8]) -> (bool, DirMatch) {
        let mut bits = Bits::default();
        let excluded = self.evaluate(parent, path, |index| bits.insert(index)).is_some_and(|rule| !rule.exception);
        // Without patterns a state never differs from the root's.
        let matched = (!self.patterns.is_empty()).then_some(bits);
        (excluded, DirMatch { matched })
    }

    /// Whether `path` is excluded, evaluated from the root through all its parents.
    #[must_use]
    pub fn is_excluded(&self, path: &[u8]) -> bool {
        self.rule_for(path).is_some_and(|rule| !rule.exception)
    }

    /// The 1-based line of the rule that decides about `path`; `None` if no rule does, and the path is kept.
    #[must_use]
    pub fn deciding_line(&self, path: &[u8]) -> Option<usize> {
        self.rule_for(path).map(|rule| rule.line)
    }

    /// `false` only if everything below the directory `dir` shares its fate when it is excluded, so that a walk may
    /// skip it whole. `true` means that a `!` rule might take something below it back in.
    #[must_use]
    pub fn may_contain_exception(&self, dir: &[u8]) -> bool {
        self.patterns.iter().any(|pattern| pattern.exception && pattern.may_match_below(dir))
    }

    /// The rule that decides about `path`.
    fn rule_for(&self, path: &[u8]) -> Option<&Pattern> {
        let mut state = self.root();
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(index, _)| index);
        for end in ends {
            state = self.descend(&state, &path[..end]).1;
        }
        self.evaluate(&state, path, |_| {})
    }

    /// Calls `on_match` with the index of each pattern that counts as matched; the last rule that changed the result.
    fn evaluate(&self, parent: &DirMatch, path: &[u8], mut on_match: impl FnMut(usize)) -> Option<&Pattern> {
        let mut deciding: Option<&Pattern> = None;
        let mut candidate = Candidate::new(path);
        for (index, pattern) in self.patterns.iter().enumerate() {
            let inherited = parent.matched.as_ref().is_some_and(|bits| bits.contains(index));
            if !inherited {
                // An ordinary rule has nothing to say about an excluded path, nor an exception about a kept one.
                let excluded = deciding.is_some_and(|rule| !rule.exception);
                if pattern.exception != excluded {
                    continue;
                }
                let unknown_parent = parent.matched.is_none();
                let matches = pattern.matches(&mut candidate) || (unknown_parent && matches_a_parent(pattern, path));
                if !matches {
                    continue;
                }
            }
            on_match(index);
            deciding = Some(pattern);
        }
        deciding
    }
}

fn matches_a_parent(pattern: &Pattern, path: &[u8]) -> bool {
    (0..path.len()).filter(|&at| path[at] == b'/').any(|at| pattern.matches(&mut Candidate::new(&path[..at])))
}

/// The pattern text of one line and whether it is an exception; `None` for a comment or an empty line.
fn read_line(raw: &[u8], line: usize) -> Result<Option<(Vec<u8>, bool)>, IgnoreError> {
    // Only a `#` in the first column begins a comment.
    if raw.first() == Some(&b'#') {
        return Ok(None);
    }
    let mut text = trim_space(raw);
    if text.is_empty() {
        return Ok(None);
    }
    let mut whole = Vec::new();
    if let [b'!', rest @ ..] = text {
        text = trim_space(rest);
        whole.push(b'!');
    }
    if !text.is_empty() {
        let cleaned = clean(text);
        whole.extend_from_slice(match cleaned.as_slice() {
            [b'/', rest @ ..] if !rest.is_empty() => rest,
            all => all,
        });
    }
    // The matcher trims and cleans again, so `/ a` means `a`, and `./!a` is an exception.
    let whole = trim_space(&whole);
    if whole.is_empty() {
        return Ok(None);
    }
    match clean(whole).as_slice() {
        [b'!'] => Err(IgnoreError::LoneExclamation { line }),
        [b'!', rest @ ..] => Ok(Some((rest.to_vec(), true))),
        all => Ok(Some((all.to_vec(), false))),
    }
}

fn compile_line(text: Vec<u8>, exception: bool, line: usize) -> Result<Pattern, IgnoreError> {
    let shown = String::from_utf8_lossy(&text).into_owned();
    let bad = |reason| IgnoreError::BadPattern { line, pattern: shown, reason };
    if check_pattern(&text).is_err() {
        return Err(bad("is malformed (an open `[`, an empty range or a trailing `\\`)"));
    }
    Pattern::new(text, exception, line).map_err(bad)
}

/// The names of the ignore files for a Dockerfile, the one that wins first: `<Dockerfile>.dockerignore` beside the
/// Dockerfile, then `.dockerignore` at the context root.
///
/// BuildKit takes the first that exists and is not empty (`frontend/dockerui/config.go`).
///
/// ```
/// let names = shipper_dockerfile::ignore_file_candidates("api/Dockerfile");
/// assert_eq!(names, ["api/Dockerfile.dockerignore", ".dockerignore"]);
/// ```
#[must_use]
pub fn ignore_file_candidates(dockerfile: &str) -> [String; 2] {
    [format!("{dockerfile}.dockerignore"), ".dockerignore".to_owned()]
}
