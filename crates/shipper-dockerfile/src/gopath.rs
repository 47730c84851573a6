//! Go's path rules on bytes: `filepath.Clean`, `filepath.Match` and `strings.TrimSpace`.
//!
//! Docker's file selection is defined by these functions of the Go standard library, so they are restated here
//! byte for byte (Unix rules: the separator is `/`). Nothing in this module touches a file system.
//! Invariant: every function is total; bytes that are not UTF-8 are runes of width one that equal U+FFFD, as in Go.

/// The rune that stands for a byte which is not part of valid UTF-8 (`utf8.RuneError`).
pub(crate) const RUNE_ERROR: u32 = 0xFFFD;

/// A pattern that `filepath.Match` rejects (`filepath.ErrBadPattern`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadPattern;

/// The first rune of `bytes` and its width in bytes; `None` at the end. An invalid byte is `(RUNE_ERROR, 1)`.
pub(crate) fn first_rune(bytes: &[u8]) -> Option<(u32, usize)> {
    let first = *bytes.first()?;
    if first < 0x80 {
        return Some((u32::from(first), 1));
    }
    let width = match first {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => return Some((RUNE_ERROR, 1)),
    };
    let decoded = bytes.get(..width).and_then(|slice| str::from_utf8(slice).ok()).and_then(|text| text.chars().next());
    Some(decoded.map_or((RUNE_ERROR, 1), |rune| (u32::from(rune), width)))
}

/// Every rune of `bytes`; an invalid byte is one [`RUNE_ERROR`].
pub(crate) fn runes(mut bytes: &[u8]) -> Vec<u32> {
    let mut out = Vec::with_capacity(bytes.len());
    while let Some((rune, width)) = first_rune(bytes) {
        out.push(rune);
        bytes = &bytes[width..];
    }
    out
}

/// `bytes` without leading Unicode white space (`unicode.IsSpace`, which is the White_Space property).
pub(crate) fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let Some((rune, width)) = first_rune(bytes) {
        if !is_space(rune) {
            break;
        }
        bytes = &bytes[width..];
    }
    bytes
}

/// `bytes` without leading and trailing Unicode white space (`strings.TrimSpace`).
pub(crate) fn trim_space(bytes: &[u8]) -> &[u8] {
    let mut bytes = trim_start(bytes);
    'outer: while !bytes.is_empty() {
        // The last rune begins at most four bytes before the end.
        for width in 1..=bytes.len().min(4) {
            let tail = &bytes[bytes.len() - width..];
            if let Some((rune, used)) = first_rune(tail)
                && used == width
                && is_space(rune)
            {
                bytes = &bytes[..bytes.len() - width];
                continue 'outer;
            }
        }
        break;
    }
    bytes
}

/// Whether `rune` is white space to Go's `unicode.IsSpace`.
pub(crate) fn is_space(rune: u32) -> bool {
    char::from_u32(rune).is_some_and(char::is_whitespace)
}

/// The shortest path that names the same thing, by text alone (`filepath.Clean`): never empty, no `.`, no empty
/// part, `..` only at the front of a relative path, no `/` at the end unless it is the root.
pub(crate) fn clean(path: &[u8]) -> Vec<u8> {
    let rooted = path.first() == Some(&b'/');
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => match parts.last() {
                Some(&last) if last != b".." => {
                    parts.pop();
                }
                _ if rooted => {}
                _ => parts.push(part),
            },
            _ => parts.push(part),
        }
    }
    let mut out = if rooted { vec![b'/'] } else { Vec::new() };
    out.extend_from_slice(&parts.join(&b'/'));
    if out.is_empty() {
        out.push(b'.');
    }
    out
}

/// The syntax check of `patternmatcher.New`, which is `filepath.Match(pattern, ".")`.
///
/// # Errors
/// [`BadPattern`] as in Go; a mistake after a star that cannot match goes unnoticed there too.
pub(crate) fn check_pattern(pattern: &[u8]) -> Result<(), BadPattern> {
    glob(pattern, b".").map(drop)
}

/// `filepath.Match(pattern, name)`: `*` and `?` do not cross `/`, `[a-c]` and `[^a-c]` are classes, `\` quotes.
///
/// # Errors
/// [`BadPattern`] where Go returns `ErrBadPattern`: the text up to the first star that cannot match is checked.
pub(crate) fn glob(mut pattern: &[u8], mut name: &[u8]) -> Result<bool, BadPattern> {
    'pattern: while !pattern.is_empty() {
        let (star, chunk, rest) = split_chunk(pattern);
        pattern = rest;
        if star && chunk.is_empty() {
            return Ok(!name.contains(&b'/'));
        }
        if let Some(after) = match_chunk(chunk, name)?
            && (after.is_empty() || !pattern.is_empty())
        {
            name = after;
            continue;
        }
        if star {
            for skip in 0..name.len() {
                if name[skip] == b'/' {
                    break;
                }
                if let Some(after) = match_chunk(chunk, &name[skip + 1..])? {
                    if pattern.is_empty() && !after.is_empty() {
                        continue;
                    }
                    name = after;
                    continue 'pattern;
                }
            }
        }
        return Ok(false);
    }
    Ok(name.is_empty())
}

/// Splits off leading stars and the text up to the next star: `(any star, text, rest)`.
fn split_chunk(mut pattern: &[u8]) -> (bool, &[u8], &[u8]) {
    let mut star = false;
    while let [b'*', rest @ ..] = pattern {
        pattern = rest;
        star = true;
    }
    let mut in_class = false;
    let mut at = 0;
    while at < pattern.len() {
        match pattern[at] {
            b'\\' if at + 1 < pattern.len() => at += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'*' if !in_class => break,
            _ => {}
        }
        at += 1;
    }
    (star, &pattern[..at], &pattern[at..])
}

/// What is left of `name` after the star-free `chunk` matched its front; `None` when it does not match.
fn match_chunk<'n>(mut chunk: &[u8], mut name: &'n [u8]) -> Result<Option<&'n [u8]>, BadPattern> {
    // After a mismatch the rest of the chunk is still checked for its syntax.
    let mut failed = false;
    while let Some(&byte) = chunk.first() {
        failed |= name.is_empty();
        match byte {
            b'[' => {
                let mut rune = 0;
                if !failed && let Some((first, width)) = first_rune(name) {
                    rune = first;
                    name = &name[width..];
                }
                let (inside, rest) = match_class(&chunk[1..], rune)?;
                chunk = rest;
                failed |= !inside;
            }
            b'?' => {
                if !failed && let Some((first, width)) = first_rune(name) {
                    failed = first == u32::from(b'/');
                    name = &name[width..];
                }
                chunk = &chunk[1..];
            }
            _ => {
                if byte == b'\\' {
                    chunk = &chunk[1..];
                }
                let &want = chunk.first().ok_or(BadPattern)?;
                if !failed {
                    failed = name[0] != want;
                    name = &name[1..];
                }
                chunk = &chunk[1..];
            }
        }
    }
    Ok((!failed).then_some(name))
}

/// Whether `rune` is in the class that follows `[`, and the pattern after its `]`.
fn match_class(mut chunk: &[u8], rune: u32) -> Result<(bool, &[u8]), BadPattern> {
    let negated = chunk.first() == Some(&b'^');
    if negated {
        chunk = &chunk[1..];
    }
    let mut inside = false;
    let mut ranges = 0;
    loop {
        if let [b']', rest @ ..] = chunk
            && ranges > 0
        {
            return Ok((inside != negated, rest));
        }
        let (low, rest) = class_rune(chunk)?;
        chunk = rest;
        let mut high = low;
        if let [b'-', rest @ ..] = chunk {
            (high, chunk) = class_rune(rest)?;
        }
        inside |= (low..=high).contains(&rune);
        ranges += 1;
    }
}

/// One end of a range, and the pattern after it, which may not be empty.
fn class_rune(mut chunk: &[u8]) -> Result<(u32, &[u8]), BadPattern> {
    if matches!(chunk.first(), None | Some(b'-' | b']')) {
        return Err(BadPattern);
    }
    if chunk[0] == b'\\' {
        chunk = &chunk[1..];
    }
    let (rune, width) = first_rune(chunk).ok_or(BadPattern)?;
    if (rune == RUNE_ERROR && width == 1) || chunk.len() == width {
        return Err(BadPattern);
    }
    Ok((rune, &chunk[width..]))
}

#[cfg(test)]
mod tests {
    use super::{BadPattern, RUNE_ERROR, clean, glob, runes, trim_space};

    #[test]
    fn paths_are_cleaned_as_in_go() {
        for (path, expected) in [
            ("", "."),
            ("a//b/./c/", "a/b/c"),
            ("a/../b", "b"),
            ("../a/..", ".."),
            ("../../a", "../../a"),
            ("/../a", "/a"),
            ("//", "/"),
            ("/.", "/"),
            ("a/..", "."),
            (".../a", ".../a"),
        ] {
            assert_eq!(clean(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }

    #[test]
    fn globs_match_as_in_go() {
        let check = |pattern: &str, name: &str, expected: Result<bool, BadPattern>| {
            assert_eq!(glob(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        };
        check("a*c", "abbc", Ok(true));
        check("a*c", "ab/c", Ok(false));
        check("*/c", "ab/c", Ok(true));
        check("**", "ab", Ok(true));
        check("**", "a/b", Ok(false));
        check("a?c", "aéc", Ok(true));
        check("a?c", "a/c", Ok(false));
        check("[a-c]x", "bx", Ok(true));
        check("[^a-c]x", "bx", Ok(false));
        check("[\\]a]", "]", Ok(true));
        check("a\\*", "a*", Ok(true));
        check("a\\*", "ab", Ok(false));
        check("a*b*c", "a1b2b3c", Ok(true));
        check("[", "a", Err(BadPattern));
        check("[]a]", "a", Err(BadPattern));
        check("[-]", "-", Err(BadPattern));
        check("a[", "ab", Err(BadPattern));
        check("a\\", "a", Err(BadPattern));
        check("a\\", "a\\", Err(BadPattern));
        // A mistake behind a star that cannot match goes unnoticed.
        check("a*b[", "xyz", Ok(false));
    }

    #[test]
    fn white_space_is_unicode_and_bytes_stay() {
        assert_eq!(trim_space("\u{a0}\t a b\u{2003}\u{85}\r".as_bytes()), b"a b");
        // A lone 0xA0 or 0x85 is no character and stays.
        assert_eq!(trim_space(b"\xa0a\x85"), b"\xa0a\x85");
        assert_eq!(trim_space(b" \n "), b"");
    }

    #[test]
    fn invalid_bytes_are_runes_of_their_own() {
        let check = |bytes: &[u8], expected: &[u32]| assert_eq!(runes(bytes), expected, "{}", bytes.escape_ascii());
        check("aé€😀".as_bytes(), &[0x61, 0xE9, 0x20AC, 0x1F600]);
        check(b"\xe2\x82", &[RUNE_ERROR; 2]);
        check(b"\xe2\x82a", &[RUNE_ERROR, RUNE_ERROR, 0x61]);
        // Surrogates, overlong forms and what lies above U+10FFFF.
        check(b"\xed\xa0\x80", &[RUNE_ERROR; 3]);
        check(b"\xc0\x80", &[RUNE_ERROR; 2]);
        check(b"\xf4\x90\x80\x80", &[RUNE_ERROR; 4]);
    }
}
