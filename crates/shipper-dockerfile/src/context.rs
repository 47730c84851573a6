//! Which paths of the context a build reads, and the test whether a path is among them.
//!
//! Invariants: a pattern is cleaned, relative and never the root (the root is [`Inputs::WholeContext`]); matching
//! errs to the wide side only: a path that the builder could read is covered, one that it cannot read may be.

use crate::gopath::{check_pattern, clean, glob};
use std::fmt;

#[cfg(test)]
mod tests;

/// The instruction that reads a path of the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reader {
    /// `COPY` without `--from`.
    Copy,
    /// `ADD`.
    Add,
    /// `RUN --mount=type=bind` without `from`.
    Mount,
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reader::Copy => "COPY",
            Reader::Add => "ADD",
            Reader::Mount => "RUN --mount",
        })
    }
}

/// A path or wildcard of the context that a build reads, with everything below it.
///
/// ```
/// use shipper_dockerfile::ContextPath;
///
/// let path = ContextPath::new(b"./src/*/lib").expect("this is not the root");
/// assert!(path.covers(b"src/a/lib/deep/file.rs"));
/// assert!(!path.covers(b"src/a/main.rs"));
/// assert!(ContextPath::new(b"./").is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContextPath {
    /// Cleaned path relative to the context root, bytes, `/`; `*`, `?` and `[..]` as in Go's `filepath.Match`.
    pub pattern: Vec<u8>,
    /// 1-based line of the Dockerfile where the instruction begins; 0 if it does not come from a Dockerfile.
    pub line: usize,
    /// Index of the stage whose build reads the path.
    pub stage: usize,
    /// The kind of instruction.
    pub reader: Reader,
    /// The symlink through which the path was reached, if the Dockerfile does not name it (see
    /// [`Inputs::follow_links`]).
    pub via: Option<Vec<u8>>,
    /// Number of leading components that decide; what follows a `**` does not.
    significant: usize,
    /// Whether the entry stands for a symlink on the way: for the link itself and nothing else.
    link_only: bool,
}

impl ContextPath {
    /// The path or wildcard `pattern`, cleaned the way a builder cleans a `COPY` source: `..` does not leave the
    /// context, a leading `/` has no meaning. `None` if that is the root, hence the whole context.
    #[must_use]
    pub fn new(pattern: &[u8]) -> Option<ContextPath> {
        Self::read_by(pattern, Reader::Copy, 0, 0)
    }

    pub(crate) fn read_by(pattern: &[u8], reader: Reader, line: usize, stage: usize) -> Option<ContextPath> {
        let rooted = clean(&[b"/", pattern].concat());
        let pattern = rooted[1..].to_vec();
        // From the first `**` or malformed class on, a component no longer says where the paths are.
        let significant = pattern.split(|&byte| byte == b'/').take_while(|part| is_decisive(part)).count();
        (significant > 0 && !pattern.is_empty()).then_some(ContextPath {
            pattern,
            line,
            stage,
            reader,
            via: None,
            significant,
            link_only: false,
        })
    }

    /// Whether the builder may read `path` because of this entry: it is the path, lies below it, or matches the
    /// wildcard or lies below a match.
    #[must_use]
    pub fn covers(&self, path: &[u8]) -> bool {
        let mut parts = path.split(|&byte| byte == b'/');
        let is_inside = self.parts().all(|wanted| parts.next().is_some_and(|part| part_matches(wanted, part)));
        is_inside && (!self.link_only || parts.next().is_none())
    }

    /// Whether the builder may follow the symlink `link` (its own path, relative to the context root) to find what
    /// this entry names: the link is the path itself or one of its parents.
    ///
    /// BuildKit resolves symlinks inside the context on the way to a `COPY` source, and the source itself; links
    /// inside of a copied directory are copied as links. For a wildcard it takes the checksum of what links below a
    /// match lead to, and fails where that is not there (`includedPaths` and `Checksum` in BuildKit's
    /// `cache/contenthash/checksum.go`). Where this returns `true`, the target of the link is read as well: see
    /// [`Inputs::follow_links`].
    #[must_use]
    pub fn may_pass_through(&self, link: &[u8]) -> bool {
        if self.link_only {
            return false;
        }
        let mut wanted = self.parts();
        for part in link.split(|&byte| byte == b'/') {
            match wanted.next() {
                Some(wanted) if part_matches(wanted, part) => {}
                Some(_) => return false,
                // Below the entry: followed for a wildcard, and where a `**` hides how far the pattern reaches.
                None => return self.is_open() || has_wildcard(&self.pattern),
            }
        }
        true
    }

    /// The entry that results when `link`, for which [`may_pass_through`](Self::may_pass_through) holds, points to
    /// `target` (the text of the link); `None` if that is the whole context.
    fn through(&self, link: &[u8], target: &[u8]) -> Option<ContextPath> {
        let depth = link.split(|&byte| byte == b'/').count();
        let directory = if target.starts_with(b"/") { &[] } else { parent(link) };
        // What a link says is a path, not a wildcard.
        let mut pattern = quote(&[directory, b"/", target].concat());
        if !self.is_open() {
            for part in self.parts().skip(depth) {
                pattern.push(b'/');
                pattern.extend_from_slice(part);
            }
        }
        let mut path = Self::read_by(&pattern, self.reader, self.line, self.stage)?;
        path.via = Some(link.to_vec());
        Some(path)
    }

    /// The entry for `link` itself, which is sent along.
    fn link(&self, link: &[u8]) -> Option<ContextPath> {
        let mut path = Self::read_by(&quote(link), self.reader, self.line, self.stage)?;
        path.via = Some(link.to_vec());
        path.link_only = true;
        Some(path)
    }

    /// Whether both entries name the same paths for the same instruction.
    fn is_same(&self, other: &ContextPath) -> bool {
        let key = |path: &ContextPath| (path.line, path.stage, path.reader, path.link_only);
        self.pattern == other.pattern && key(self) == key(other)
    }

    /// Whether the pattern has components that do not decide.
    fn is_open(&self) -> bool {
        self.pattern.split(|&byte| byte == b'/').count() > self.significant
    }

    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.pattern.split(|&byte| byte == b'/').take(self.significant)
    }
}

impl fmt::Display for ContextPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pattern.escape_ascii())
    }
}

fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|&byte| byte == b'/').map_or(&[], |end| &path[..end])
}

/// A wildcard that matches `path` alone.
fn quote(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for &byte in path {
        if b"*?[\\".contains(&byte) {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out
}

/// Whether `pattern` may match more than one path; [`quote`] makes it `false`.
fn has_wildcard(pattern: &[u8]) -> bool {
    let mut escaped = false;
    pattern.iter().any(|&byte| {
        let counts = !escaped && b"*?[".contains(&byte);
        escaped = byte == b'\\' && !escaped;
        counts
    })
}

fn is_decisive(part: &[u8]) -> bool {
    !part.windows(2).any(|pair| pair == b"**") && check_pattern(part).is_ok() && glob(part, b"").is_ok()
}

fn part_matches(wanted: &[u8], part: &[u8]) -> bool {
    let has_wildcard = wanted.iter().any(|byte| b"*?[\\".contains(byte));
    wanted == part || (has_wildcard && glob(wanted, part).unwrap_or(true))
}

/// Why a build is assumed to read the whole context.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WidenReason {
    /// 1-based line of the Dockerfile; 0 if no line is to blame.
    pub line: usize,
    /// What was found there.
    pub kind: WidenKind,
}

/// What makes a build read the whole context, or makes it impossible to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WidenKind {
    /// `COPY . .`, or a bind mount without a source: the context root is the source.
    Root {
        /// The kind of instruction.
        reader: Reader,
    },
    /// A source contains a variable whose value depends on the base image or on the builder.
    Variable {
        /// The name of the variable.
        name: String,
        /// The source as it is written.
        source: String,
    },
    /// A source contains a backslash, which builders read in different ways.
    Backslash {
        /// The source after expansion.
        source: String,
    },
    /// A source is longer than any path.
    Length {
        /// The kind of instruction.
        reader: Reader,
        /// Its length after expansion, in bytes.
        length: usize,
    },
    /// An option that is not known, or whose text is not ASCII.
    Option {
        /// The option as it is written.
        option: String,
    },
    /// The `# syntax` line, or the build argument `BUILDKIT_SYNTAX`, names another frontend than `docker/dockerfile:1`.
    Frontend {
        /// The image of the frontend.
        image: String,
    },
    /// `BUILDKIT_SBOM_SCAN_CONTEXT` asks for a scan of the context.
    SbomScan,
    /// A symlink leads to the context root, or the links do not come to an end.
    Symlink {
        /// The path of the link.
        link: Vec<u8>,
    },
}

impl fmt::Display for WidenReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        match &self.kind {
            WidenKind::Root { reader } => write!(f, "`{reader}` reads the context root"),
            WidenKind::Variable { name, source } => {
                write!(f, "the value of `{name}` in `{source}` is not known before the build")
            }
            WidenKind::Backslash { source } => write!(f, "the source `{source}` contains a backslash"),
            WidenKind::Length { reader, length } => write!(f, "a source of `{reader}` has {length} bytes"),
            WidenKind::Option { option } => write!(f, "the option `{option}` is not known"),
            WidenKind::Frontend { image } => write!(f, "the frontend `{image}` is not `docker/dockerfile:1`"),
            WidenKind::SbomScan => f.write_str("`BUILDKIT_SBOM_SCAN_CONTEXT` scans the context"),
            WidenKind::Symlink { link } => write!(f, "the symlink `{}` leads too far", link.escape_ascii()),
        }
    }
}

/// What a build reads of its context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inputs {
    /// These paths and nothing else, in the order of the instructions; empty if the context is not read at all.
    Paths(Vec<ContextPath>),
    /// Possibly everything.
    WholeContext {
        /// All the reasons, in the order of the lines; at least one.
        reasons: Vec<WidenReason>,
    },
}

/// How many entries links may add before they are taken for endless.
const MAX_LINKED: usize = 1000;

impl Inputs {
    /// Whether the builder may read `path`, relative to the context root.
    #[must_use]
    pub fn covers(&self, path: &[u8]) -> bool {
        match self {
            Inputs::Paths(paths) => paths.iter().any(|entry| entry.covers(path)),
            Inputs::WholeContext { .. } => true,
        }
    }

    /// The entries that pull `path` in; none for [`Inputs::WholeContext`].
    pub fn readers<'a>(&'a self, path: &'a [u8]) -> impl Iterator<Item = &'a ContextPath> {
        let paths = match self {
            Inputs::Paths(paths) => paths.as_slice(),
            Inputs::WholeContext { .. } => &[],
        };
        paths.iter().filter(move |entry| entry.covers(path))
    }

    /// Adds what the builder reaches through the symlinks of the context.
    ///
    /// `links` are pairs of a link's path relative to the context root and its text (an absolute text starts at the
    /// context root, as in the builder). The result covers all links that lie on the way to an entry, and their
    /// targets; it is the whole context if one of these is the root.
    ///
    /// ```
    /// use shipper_dockerfile::{ContextPath, Inputs};
    ///
    /// let inputs = Inputs::Paths(vec![ContextPath::new(b"app/config").expect("this is not the root")]);
    /// let inputs = inputs.follow_links(&[(b"app/config".to_vec(), b"../shared/config".to_vec())]);
    /// assert!(inputs.covers(b"shared/config/a.toml"));
    /// ```
    #[must_use]
    pub fn follow_links(self, links: &[(Vec<u8>, Vec<u8>)]) -> Inputs {
        let mut paths = match self {
            Inputs::Paths(paths) => paths,
            whole @ Inputs::WholeContext { .. } => return whole,
        };
        let limit = paths.len() + MAX_LINKED;
        let mut next = 0;
        while next < paths.len() {
            for (link, target) in links {
                let entry = &paths[next];
                if !entry.may_pass_through(link) {
                    continue;
                }
                let line = entry.line;
                let (itself, found) = (entry.link(link), entry.through(link, target));
                let (Some(itself), Some(found), true) = (itself, found, paths.len() < limit) else {
                    let kind = WidenKind::Symlink { link: link.clone() };
                    return Inputs::WholeContext { reasons: vec![WidenReason { line, kind }] };
                };
                for added in [itself, found] {
                    if !paths.iter().any(|known| known.is_same(&added)) {
                        paths.push(added);
                    }
                }
            }
            next += 1;
        }
        Inputs::Paths(paths)
    }
}
