//! From the path of a request to a file, without ever leaving the root.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Larger files do not belong on this server: they would be held in memory.
const MAX_FILE: u64 = 16 << 20;

/// A file that may be served.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) media_type: &'static str,
    pub(crate) content: Vec<u8>,
}

/// The file for a request path, or `None` where there is none that a visitor may see.
///
/// Two walls: the decoded path may only consist of plain names (no `..`, no hidden file, no separator in disguise), and
/// the file it leads to, symbolic links resolved, must lie below `root`, which must be canonical.
pub(crate) fn find(root: &Path, request_path: &str) -> io::Result<Option<Found>> {
    let Some(relative) = relative_path(request_path) else {
        return Ok(None);
    };
    let mut path = root.join(relative);
    if path.is_dir() {
        path.push("index.html");
    }
    let path = match path.canonicalize() {
        Ok(path) if path.starts_with(root) && path.is_file() => path,
        Ok(_) => return Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut content = Vec::new();
    fs::File::open(&path)?.take(MAX_FILE + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 16 MiB"));
    }
    Ok(Some(Found { media_type: media_type(&path), content }))
}

/// The decoded path below the root. `None` for anything but plain names.
fn relative_path(request_path: &str) -> Option<PathBuf> {
    let decoded = percent_decode(request_path.strip_prefix('/')?)?;
    let mut path = PathBuf::new();
    for name in decoded.split('/').filter(|name| !name.is_empty()) {
        // A leading dot covers `.`, `..` and hidden files; the rest are separators and drives of other systems.
        if name.starts_with('.') || name.contains(['\\', ':', '\0']) {
            return None;
        }
        path.push(name);
    }
    Some(path)
}

/// Decodes `%20` and the like; `None` for broken escapes and for what is not UTF-8.
fn percent_decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            decoded.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

fn media_type(path: &Path) -> &'static str {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_become_paths() {
        let cases = [
            ("/", Some("")),
            ("/a/b.css", Some("a/b.css")),
            ("/a//b.css", Some("a/b.css")),
            ("/with%20space.txt", Some("with space.txt")),
            ("/%C3%A9.txt", Some("é.txt")),
            ("/..", None),
            ("/a/../b", None),
            ("/%2e%2e/etc/passwd", None),
            ("/..%2fetc%2fpasswd", None),
            ("/.git/config", None),
            ("/a\\..\\b", None),
            ("/c:/windows", None),
            ("/a%00.html", None),
            ("/%zz", None),
            ("/%4", None),
            ("/%ff", None),
            ("relative", None),
        ];
        for (request, path) in cases {
            assert_eq!(relative_path(request), path.map(PathBuf::from), "{request}");
        }
    }
}
