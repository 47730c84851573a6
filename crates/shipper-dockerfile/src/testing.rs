//! What several test modules share.

/// The bytes of a field of a vector file: `\xNN`, `\\`, and `\e` for nothing.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next().unwrap() {
            b'\\' => out.push(b'\\'),
            b'e' => {}
            b'x' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                out.push(u8::from_str_radix(str::from_utf8(&digits).unwrap(), 16).unwrap());
            }
            other => panic!("unknown escape {other}"),
        }
    }
    out
}

/// The text of a field of a vector file.
pub(crate) fn unescape_text(text: &str) -> String {
    String::from_utf8(unescape(text)).unwrap()
}
