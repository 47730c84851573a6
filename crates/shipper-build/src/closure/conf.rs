//! `/etc/ld.so.conf`: the directories that `ldconfig` puts into the loader's cache.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Most files that are read; each is read once, so that a configuration may include itself.
const MAX_FILES: usize = 256;
const MAX_BYTES: u64 = 1 << 20;

/// The configured directories in order, each once; none where there is no configuration.
pub(super) fn directories(root: &Path) -> Vec<String> {
    let mut read = Reader { root, files: BTreeSet::new(), dirs: Vec::new() };
    read.file(&root.join("etc/ld.so.conf"));
    read.dirs
}

struct Reader<'a> {
    root: &'a Path,
    files: BTreeSet<PathBuf>,
    dirs: Vec<String>,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path) {
        let Ok(path) = &path.canonicalize() else { return };
        let small = fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= MAX_BYTES);
        if !small || self.files.len() == MAX_FILES || !self.files.insert(path.clone()) {
            return;
        }
        let Ok(text) = fs::read_to_string(path) else { return };
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            match line.split_once(char::is_whitespace) {
                Some(("include", pattern)) => {
                    for pattern in pattern.split_whitespace() {
                        self.matches(path, pattern).iter().for_each(|file| self.file(file));
                    }
                }
                Some(("hwcap", _)) => {}
                _ => {
                    for dir in line.split([' ', '\t', ',', ':']) {
                        // `directory=library type` is the form of libc5 times.
                        let dir = dir.split('=').next().unwrap_or_default();
                        let dir = if dir.len() > 1 { dir.trim_end_matches('/') } else { dir };
                        if dir.starts_with('/') && !self.dirs.iter().any(|known| known == dir) {
                            self.dirs.push(dir.to_owned());
                        }
                    }
                }
            }
        }
    }

    /// The files that an `include` means, sorted; `*` and `?` stand in the last part only, as everywhere in practice.
    fn matches(&self, from: &Path, pattern: &str) -> Vec<PathBuf> {
        let path = match pattern.strip_prefix('/') {
            Some(absolute) => self.root.join(absolute),
            None => from.parent().unwrap_or(self.root).join(pattern),
        };
        let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
            return Vec::new();
        };
        let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
        let mut files: Vec<PathBuf> = entries
            .filter(|entry| entry.file_name().to_str().is_some_and(|file| wildcard(name.as_bytes(), file.as_bytes())))
            .map(|entry| entry.path())
            .collect();
        files.sort();
        files
    }
}

/// `*` for any run of bytes, `?` for one; a leading dot is matched only by itself.
fn wildcard(pattern: &[u8], name: &[u8]) -> bool {
    if name.starts_with(b".") && !pattern.starts_with(b".") {
        return false;
    }
    let (mut at, mut star) = (0, None);
    let mut index = 0;
    while index < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, index));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[index] => {
                at += 1;
                index += 1;
            }
            _ => match star {
                Some((star_at, from)) => {
                    star = Some((star_at, from + 1));
                    at = star_at + 1;
                    index = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includes_are_followed_in_order_and_loops_end() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "etc/ld.so.conf",
            "# comment\n/first/ /second,/third:/fourth\ninclude /etc/ld.so.conf.d/*.conf\nhwcap 1 x\nrelative\ninclude more\n",
        );
        write("etc/ld.so.conf.d/b.conf", "/b # trailing\n/first\n");
        write("etc/ld.so.conf.d/a.conf", "/a=libc6\ninclude ../ld.so.conf\n");
        write("etc/ld.so.conf.d/.hidden.conf", "/hidden\n");
        write("etc/ld.so.conf.d/x.off", "/off\n");
        write("etc/more", "/more");
        let dirs = directories(root.path());
        assert_eq!(dirs, ["/first", "/second", "/third", "/fourth", "/a", "/b", "/more"], "{dirs:?}");
        assert!(directories(&root.path().join("none")).is_empty());
    }

    #[test]
    fn wildcards_match_as_the_shell_does() {
        let check = |pattern: &str, name: &str, expected: bool| {
            assert_eq!(wildcard(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        };
        check("*.conf", "a.conf", true);
        check("*.conf", "a.conf.off", false);
        check("*", ".hidden", false);
        check(".*", ".hidden", true);
        check("a?c*", "abcd", true);
        check("a*b*c", "aXbYbZc", true);
        check("a*b*c", "aXbYbZ", false);
        check("", "", true);
        check("*", "", true);
    }
}
