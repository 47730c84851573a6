//! Directories and relative paths as manifests write them.
//!
//! A directory of the tree is a `&str` with `/` between its parts; the tree's root is the empty one. Manifests are UTF-8,
//! so a package below a directory that is not UTF-8 cannot be named by any manifest and plays no part here.

use crate::RelPath;

/// `relative` as seen from `directory`; `None` if it leads out of the tree or is absolute.
pub(super) fn resolve(directory: &str, relative: &str) -> Option<String> {
    if is_absolute(relative) {
        return None;
    }
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split(is_separator) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The path that leads from the directory `from` to the directory `to`; `.` if they are the same.
pub(super) fn relative(from: &str, to: &str) -> String {
    let from: Vec<&str> = from.split('/').filter(|part| !part.is_empty()).collect();
    let to: Vec<&str> = to.split('/').filter(|part| !part.is_empty()).collect();
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from[common..].iter().map(|_| "..");
    let path: Vec<&str> = up.chain(to[common..].iter().copied()).collect();
    if path.is_empty() { ".".to_owned() } else { path.join("/") }
}

/// Whether a manifest's path names a place on this machine.
pub(super) fn is_absolute(path: &str) -> bool {
    path.starts_with(is_separator) || (cfg!(windows) && path.as_bytes().get(1) == Some(&b':'))
}

/// Cargo takes the platform's separators; only Windows has a second one.
fn is_separator(character: char) -> bool {
    character == '/' || (cfg!(windows) && character == '\\')
}

/// Whether `path` is `directory` or lies below it.
pub(super) fn is_within(path: &str, directory: &str) -> bool {
    crate::path::is_within(path.as_bytes(), directory.as_bytes())
}

/// `directory/name`.
pub(super) fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// The directory above; `None` at the tree's root.
pub(super) fn parent(directory: &str) -> Option<&str> {
    match directory.rsplit_once('/') {
        Some((parent, _)) => Some(parent),
        None if directory.is_empty() => None,
        None => Some(""),
    }
}

/// The directory and those above it, up to the tree's root.
pub(super) fn ancestors(directory: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(directory), |directory| parent(directory))
}

/// The path of a file of the tree; `None` for what no path can be (a NUL in a manifest's string).
pub(super) fn file(directory: &str, name: &str) -> Option<RelPath> {
    RelPath::new(join(directory, name).into_bytes()).ok()
}

/// The directory as a path; `None` for the tree's root.
pub(super) fn directory(directory: &str) -> Option<RelPath> {
    RelPath::new(directory.as_bytes().to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_stay_in_the_tree() {
        for (directory, path, resolved) in [
            ("a/b", "../c", Some("a/c")),
            ("a/b", "./c//d/.", Some("a/b/c/d")),
            ("a/b", "../..", Some("")),
            ("a/b", "../../..", None),
            ("", "..", None),
            ("", "a/../..", None),
            ("", "", Some("")),
            ("a", "/etc", None),
        ] {
            assert_eq!(resolve(directory, path).as_deref(), resolved, "{directory:?} {path:?}");
        }
    }

    #[test]
    fn the_way_back_is_the_relative_path() {
        for (from, to, path) in [
            ("", "", "."),
            ("", "a/b", "a/b"),
            ("a", "a", "."),
            ("a", "b", "../b"),
            ("a/b/c", "a/d", "../../d"),
            ("a/b", "", "../.."),
            ("ab", "a", "../a"),
        ] {
            assert_eq!(relative(from, to), path);
            assert_eq!(resolve(from, path).as_deref(), Some(to));
        }
    }

    #[test]
    fn ancestors_end_at_the_root() {
        assert_eq!(ancestors("a/b").collect::<Vec<_>>(), ["a/b", "a", ""]);
        assert_eq!(ancestors("").collect::<Vec<_>>(), [""]);
    }
}
