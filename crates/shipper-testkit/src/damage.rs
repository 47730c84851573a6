//! Documents that were damaged: a seed decides how, the same each time.

/// Bytes that mean something to readers of JSON, TOML, YAML and lock files.
const PIECES: [&str; 28] = [
    "\"",
    "{",
    "}",
    "[",
    "]",
    "[[",
    "]]",
    ":",
    ",",
    "=",
    "\n",
    "\\",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "-1",
    "1e999",
    "18446744073709551616",
    "0",
    "\u{e9}",
    "\u{0}",
    "#",
    "'",
    "- ",
    "  ",
    "sha256:",
    "..",
];

/// `document` with one to four changes: bytes exchanged, left out, doubled, put in, or everything behind a place cut off.
///
/// ```
/// use shipper_testkit::damaged;
/// assert_eq!(damaged(7, "{\"a\":1}"), damaged(7, "{\"a\":1}"));
/// assert!((0..100).any(|seed| damaged(seed, "{\"a\":1}") != b"{\"a\":1}"));
/// ```
#[must_use]
pub fn damaged(seed: u64, document: &str) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = document.as_bytes().to_vec();
    for _ in 0..random.usize(1..=4) {
        let at = random.usize(0..=bytes.len());
        let end = (at + random.usize(0..=16)).min(bytes.len());
        match random.u8(0..7) {
            0 if at < bytes.len() => bytes[at] = random.u8(..),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let twice = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, twice));
            }
            3 if random.bool() => bytes.truncate(at),
            _ => {
                let piece = PIECES[random.usize(0..PIECES.len())].repeat(if random.u8(0..20) == 0 { 200 } else { 1 });
                drop(bytes.splice(at..at, piece.into_bytes()));
            }
        }
    }
    bytes
}
