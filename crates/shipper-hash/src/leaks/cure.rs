//! The lines of a `.dockerignore` that keep leaks from a builder and nothing of the context.
//!
//! Invariant: a line is written as moby/patternmatcher reads it (characters of regular expressions are syntax there), and
//! what it excludes is asked of this workspace's own evaluation of that file.

use std::collections::{BTreeMap, BTreeSet};

use shipper_dockerfile::IgnoreFile;

use crate::leaks::{Leak, LeakCause, LeakRoot};
use crate::{Manifest, RelPath};

/// Roots that a wildcard must replace to be worth it.
const NAMES: usize = 2;
const EXTENSIONS: usize = 3;

/// Lines for `roots`, sorted, and the roots that none can name.
pub(super) fn lines(roots: &[LeakRoot], manifest: &Manifest) -> (Vec<String>, Vec<RelPath>) {
    let names = Names::of(manifest);
    let mut lines = BTreeSet::new();
    let mut open: Vec<&LeakRoot> = roots.iter().collect();
    // Rules of git name such files anywhere, so a line may as well.
    for (least, wildcard) in [(NAMES, Names::same as Wildcard<'_>), (EXTENSIONS, Names::extension)] {
        let mut groups: BTreeMap<String, Vec<&LeakRoot>> = BTreeMap::new();
        for root in open.iter().filter(|root| root.cause == LeakCause::Ignored) {
            if let Some(line) = wildcard(&names, root.path.file_name()) {
                groups.entry(line).or_default().push(root);
            }
        }
        for (line, group) in groups {
            let excludes = |root: &&LeakRoot| excludes(&line, root.path.as_bytes());
            if group.len() >= least && group.iter().all(excludes) {
                open.retain(|root| !group.iter().any(|other| other.path == root.path));
                lines.insert(line);
            }
        }
    }
    let mut nameless = Vec::new();
    for root in open {
        let (line, exact) = literal(root.path.as_bytes());
        let spares = || !manifest.entries().iter().any(|entry| excludes(&line, entry.path.as_bytes()));
        if excludes(&line, root.path.as_bytes()) && (exact || spares()) {
            lines.insert(line);
        } else {
            nameless.push(root.path.clone());
        }
    }
    (lines.into_iter().collect(), nameless)
}

/// Adds what `lines` do not reach: an exclusion that a directory has met already is not asked again about what an
/// exception of `ignore` takes back below it, so that deeper ones are needed.
pub(super) fn against_exceptions(
    ignore: &IgnoreFile,
    leaks: &[Leak],
    roots: &[LeakRoot],
    lines: &mut Vec<String>,
    nameless: &mut Vec<RelPath>,
) {
    let rules = |lines: &[String]| {
        let more = IgnoreFile::parse(lines.join("\n").as_bytes()).unwrap_or_default();
        ignore.followed_by(&more)
    };
    let mut all = rules(lines);
    let named: Vec<&LeakRoot> = roots.iter().filter(|root| !nameless.contains(&root.path)).collect();
    for root in named.into_iter().filter(|root| ignore.may_contain_exception(root.path.as_bytes())) {
        let from = leaks.partition_point(|leak| leak.path < root.path);
        let below = leaks[from..].iter().take_while(|leak| leak.path.as_bytes().starts_with(root.path.as_bytes()));
        for leak in below.filter(|leak| leak.path.starts_with(&root.path)) {
            let path = leak.path.as_bytes();
            // Nothing of the context is below the root, so what is above the leak may go as a whole.
            let ends = (root.path.as_bytes().len()..path.len()).filter(|&at| path[at] == b'/').chain([path.len()]);
            let mut ends = ends.map(|end| literal(&path[..end]).0);
            while !all.is_excluded(path) {
                let Some(line) = ends.next() else {
                    nameless.push(leak.path.clone());
                    break;
                };
                if !lines.contains(&line) {
                    lines.push(line);
                    all = rules(lines);
                }
            }
        }
    }
    lines.sort_unstable();
    nameless.sort_unstable();
    nameless.dedup();
}

/// Makes a line of a file name, if it excludes nothing of the context.
type Wildcard<'m> = fn(&Names<'m>, &[u8]) -> Option<String>;

/// Every part of every path of a context, and their extensions.
struct Names<'m> {
    parts: BTreeSet<&'m [u8]>,
    extensions: BTreeSet<&'m [u8]>,
}

impl<'m> Names<'m> {
    fn of(manifest: &'m Manifest) -> Self {
        let parts: BTreeSet<&[u8]> = manifest.entries().iter().flat_map(|entry| entry.path.parts()).collect();
        let extensions = parts.iter().filter_map(|part| extension(part)).collect();
        Self { parts, extensions }
    }

    /// `**/name`.
    fn same(&self, name: &[u8]) -> Option<String> {
        let (line, exact) = literal(name);
        (exact && !self.parts.contains(name)).then(|| format!("**/{line}"))
    }

    /// `**/*.extension`.
    fn extension(&self, name: &[u8]) -> Option<String> {
        let extension = extension(name)?;
        let (line, exact) = literal(extension);
        (exact && !self.extensions.contains(extension)).then(|| format!("**/*.{line}"))
    }
}

/// What follows the last `.` of a name that has something before it.
fn extension(name: &[u8]) -> Option<&[u8]> {
    let dot = name.iter().rposition(|&byte| byte == b'.')?;
    let extension = name.get(dot + 1..).filter(|extension| !extension.is_empty());
    extension.filter(|_| dot > 0)
}

fn excludes(line: &str, path: &[u8]) -> bool {
    IgnoreFile::parse(line.as_bytes()).is_ok_and(|ignore| ignore.is_excluded(path))
}

/// The line for a path, and whether it can name no other path (but what lies below).
fn literal(path: &[u8]) -> (String, bool) {
    let mut line = String::new();
    let mut exact = true;
    for chunk in path.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                // Go trims what Unicode calls space, and a line ends at its end.
                _ if character.is_control() || character.is_whitespace() && character != ' ' => {
                    line.push('?');
                    exact = false;
                }
                _ if character.is_ascii_punctuation() && !"/-_.,:;=@%&~'\"`<>".contains(character) => {
                    line.push('\\');
                    line.push(character);
                }
                _ => line.push(character),
            }
        }
        for _ in chunk.invalid() {
            line.push('?');
            exact = false;
        }
    }
    for (trimmed, at) in [(line.starts_with(' '), 0), (line.ends_with(' '), line.len().saturating_sub(1))] {
        if trimmed {
            line.replace_range(at..=at, "?");
            exact = false;
        }
    }
    (line, exact)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Entry, Kind};

    fn check(leaks: &[&[u8]], context: &[&[u8]], lines_expected: &[&str], nameless: usize) {
        let root = |path: &&[u8]| LeakRoot {
            path: RelPath::trusted(path.to_vec()),
            entries: 1,
            bytes: 0,
            cause: LeakCause::Ignored,
        };
        let roots: Vec<LeakRoot> = leaks.iter().map(root).collect();
        let entry = |path: &&[u8]| Entry::new(RelPath::trusted(path.to_vec()), Kind::File, b"");
        let manifest = Manifest::new(context.iter().map(entry).collect()).expect("a manifest");
        let (found, unnamed) = lines(&roots, &manifest);
        assert_eq!(
            (found.iter().map(String::as_str).collect::<Vec<_>>(), unnamed.len()),
            (lines_expected.to_vec(), nameless)
        );
        let all = IgnoreFile::parse(found.join("\n").as_bytes()).expect("they parse");
        assert!(context.iter().all(|path| !all.is_excluded(path)), "a part of the context is excluded");
        assert_eq!(leaks.iter().filter(|path| !all.is_excluded(path)).count(), nameless);
    }

    #[test]
    fn a_line_names_its_root_and_nothing_of_the_context() {
        check(&[b"target"], &[b"target2", b"src/target.rs"], &["target"], 0);
        // Syntax of globs, regular expressions and the file itself.
        check(&[b"a*b"], &[b"axb"], &["a\\*b"], 0);
        check(&[b"a|b", b"(x)+", b"y{2}"], &[b"a", b"b", b"x", b"yy"], &["\\(x\\)\\+", "a\\|b", "y\\{2\\}"], 0);
        check(&[b"#a", b"!b", b"c\\d"], &[b"a", b"b"], &["\\!b", "\\#a", "c\\\\d"], 0);
        // What has no way to be written is matched by any character, if that harms nothing.
        check(&[b"a\nb", b" c", b"d "], &[b"e"], &["?c", "a?b", "d?"], 0);
        check(&[b"caf\xe9"], &[b"cafe/x"], &[], 1);
    }

    #[test]
    fn names_and_extensions_that_git_ignores_share_a_line() {
        check(&[b"a/node_modules", b"b/node_modules"], &[b"a/x"], &["**/node_modules"], 0);
        check(&[b"a/bin", b"b/bin"], &[b"c/bin/x"], &["a/bin", "b/bin"], 0);
        check(&[b"a/x.pyc", b"b/y.pyc", b"z.pyc"], &[b"a.py"], &["**/*.pyc"], 0);
        check(&[b"a/x.o", b"b/y.o", b"z.o"], &[b"keep.o"], &["a/x.o", "b/y.o", "z.o"], 0);
    }
}
