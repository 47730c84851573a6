//! Finds a secret in bytes, however it was written: plain, base64, URL-encoded or hexadecimal.
//!
//! Invariant: a form is found at every alignment, also inside a longer text such as base64 of `user:secret`.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// How a secret was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Plain,
    /// Base64, standard or URL-safe alphabet, at any of the three alignments.
    Base64,
    /// Percent-encoded or form-encoded.
    UrlEncoded,
    /// Hexadecimal digits, either case.
    Hex,
}

/// The forms in which `secret` occurs in `bytes`; empty if it does not.
///
/// ```
/// use shipper_testkit::secret::{Form, forms_in};
/// assert_eq!(forms_in(b"Basic QVdTOmNhbmFyeS0xMjM0NTY3OA==", "canary-12345678"), [Form::Base64]);
/// assert!(forms_in(b"nothing here", "canary-12345678").is_empty());
/// ```
///
/// # Panics
/// If `secret` is shorter than 8 bytes: shorter ones are found by chance.
#[must_use]
pub fn forms_in(bytes: &[u8], secret: &str) -> Vec<Form> {
    assert!(secret.len() >= 8, "a canary of {} bytes is too short to be searched for", secret.len());
    let mut found: Vec<Form> = Vec::new();
    for (form, text) in spellings(secret) {
        let hit = match form {
            Form::Hex => contains(&bytes.to_ascii_lowercase(), text.as_bytes()),
            Form::UrlEncoded => contains(&bytes.to_ascii_uppercase(), text.to_ascii_uppercase().as_bytes()),
            Form::Plain | Form::Base64 => contains(bytes, text.as_bytes()),
        };
        if hit && !found.contains(&form) {
            found.push(form);
        }
    }
    found
}

/// A secret for one test: unique text that no encoding leaves as it is.
#[must_use]
pub fn canary(name: &str) -> String {
    format!("canary/{name}+{:016x}=", fastrand::u64(..))
}

fn spellings(secret: &str) -> Vec<(Form, String)> {
    let mut all = vec![(Form::Plain, secret.to_owned()), (Form::Hex, crate::hex(secret.as_bytes()))];
    let form_encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let percent_encoded = percent_encode_all(secret);
    for text in [form_encoded, percent_encoded] {
        if text != secret {
            all.push((Form::UrlEncoded, text));
        }
    }
    for offset in 0..3 {
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            all.push((Form::Base64, aligned_base64(secret, offset, engine)));
        }
    }
    all
}

/// The characters of the base64 text that depend on the secret alone when `offset` bytes stand before it.
fn aligned_base64(secret: &str, offset: usize, engine: &base64::engine::GeneralPurpose) -> String {
    let mut padded = vec![0_u8; offset];
    padded.extend_from_slice(secret.as_bytes());
    let text = engine.encode(&padded);
    // The first group mixes foreign bits in; of an incomplete last group only the whole sextets are ours.
    let first = [0, 2, 3][offset];
    let last = padded.len() * 8 / 6;
    text[first..last].to_owned()
}

/// Percent-encodes everything but unreserved characters (RFC 3986, section 2.3).
fn percent_encode_all(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && memchr::memmem::find(bytes, part).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    #[test]
    fn each_form_is_named() {
        let secret = "canary/ü+1=?~.";
        let cases: [(String, Form); 6] = [
            (format!("x{secret}y"), Form::Plain),
            (STANDARD.encode(format!("AWS:{secret}")), Form::Base64),
            (URL_SAFE.encode(format!("{secret}??>>")), Form::Base64),
            (crate::hex(secret.as_bytes()).to_uppercase(), Form::Hex),
            (percent_encode_all(secret).to_lowercase(), Form::UrlEncoded),
            (url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(), Form::UrlEncoded),
        ];
        for (text, form) in cases {
            assert!(forms_in(text.as_bytes(), secret).contains(&form), "{form:?} in {text}");
        }
    }

    proptest! {
        #[test]
        fn base64_is_found_whatever_stands_around(before in ".{0,9}", after in ".{0,9}", secret in "[a-zA-Z0-9/+?]{8,20}") {
            let text = STANDARD.encode(format!("{before}{secret}{after}"));
            prop_assert!(forms_in(text.as_bytes(), &secret).contains(&Form::Base64));
        }

        #[test]
        fn what_is_not_there_is_not_found(text in "[g-z]{0,200}") {
            prop_assert!(forms_in(text.as_bytes(), "CANARY-0123456789").is_empty());
        }
    }
}
