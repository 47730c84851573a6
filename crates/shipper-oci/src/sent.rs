//! The credentials that were sent, so that no text of a peer repeats them.
//!
//! A registry, or a proxy before it, may put the request into its answer, and what it says goes into errors, logs and records.
//!
//! Invariants: what was sent is taken out of a text before that is shortened, so that no part of it stays; nothing here is
//! printed. A peer that writes a secret in a form of its own is not noticed.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use reqwest::header::HeaderValue;

use crate::Secret;

/// What stands in the place of a secret.
const HIDDEN: &str = "***";

/// Shorter ones are found by chance.
const SHORTEST: usize = 4;

/// How many are remembered, the newest.
const MOST: usize = 64;

/// Passwords and tokens that were sent to one registry and its token server.
#[derive(Default)]
pub(crate) struct Sent(Mutex<Vec<Secret>>);

impl Sent {
    /// Remembers a text that is sent.
    pub(crate) fn remember(&self, secret: &Secret) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if secret.expose().len() < SHORTEST || known.contains(secret) {
            return;
        }
        if known.len() == MOST {
            known.remove(0);
        }
        known.push(secret.clone());
    }

    /// Remembers what a header `Authorization` says: the token, or the pair of user and password and that password.
    pub(crate) fn remember_header(&self, value: &HeaderValue) {
        let Some((scheme, text)) = value.to_str().ok().and_then(|value| value.split_once(' ')) else { return };
        self.remember(&text.into());
        if !scheme.eq_ignore_ascii_case("basic") {
            return;
        }
        let pair = STANDARD.decode(text).ok().and_then(|pair| String::from_utf8(pair).ok());
        if let Some((_, password)) = pair.as_deref().and_then(|pair| pair.split_once(':')) {
            self.remember(&password.into());
        }
    }

    /// The text without what was sent, in whichever form of [`spellings`] it is there.
    pub(crate) fn clean<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut clean = Cow::Borrowed(text);
        // The longest first: the pair before the password in it.
        let mut forms: Vec<(String, bool)> = known.iter().flat_map(|secret| spellings(secret.expose())).collect();
        forms.sort_by_key(|(form, _)| std::cmp::Reverse(form.len()));
        for (form, exact) in &forms {
            while let Some(at) = find(&clean, form, *exact) {
                clean.to_mut().replace_range(at..at + form.len(), HIDDEN);
            }
        }
        clean
    }
}

/// Where `form` is; not `exact` ones are of ASCII and in any case of letters.
fn find(text: &str, form: &str, exact: bool) -> Option<usize> {
    if exact { text.find(form) } else { text.to_ascii_lowercase().find(form) }
}

/// The forms in which a secret is looked for: as it is, percent-encoded, of a form, in hexadecimal digits, in base64 at any
/// alignment; and whether the case of letters counts.
fn spellings(secret: &str) -> Vec<(String, bool)> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let percent: String = secret
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02x}"),
        })
        .collect();
    let mut all = vec![(secret.to_owned(), true), (hex, false)];
    all.extend([form, percent].into_iter().map(|form| (form.to_ascii_lowercase(), false)));
    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        all.extend((0..3).map(|offset| (aligned(secret, offset, engine), true)));
    }
    all.retain(|(form, _)| form.len() >= SHORTEST);
    all
}

/// The characters of base64 that depend on the secret alone when `offset` bytes stand before it.
fn aligned(secret: &str, offset: usize, engine: &GeneralPurpose) -> String {
    let padded = [&[0; 2][..offset], secret.as_bytes()].concat();
    let text = engine.encode(&padded);
    let first = [0, 2, 3][offset];
    text.get(first..padded.len() * 8 / 6).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(headers: &[&str]) -> Sent {
        let sent = Sent::default();
        headers.iter().for_each(|header| sent.remember_header(&HeaderValue::from_str(header).unwrap()));
        sent
    }

    #[test]
    fn what_was_sent_is_hidden_in_every_form() {
        let password = "p\u{e4}ss/word+1=";
        let basic = format!("Basic {}", STANDARD.encode(format!("user:{password}")));
        let sent = sent(&[&basic, "Bearer abc.def-ghi"]);
        for text in [
            password.to_owned(),
            basic.clone(),
            basic.trim_end_matches('=').to_owned(),
            format!("x {password} y {password}"),
            STANDARD.encode(password),
            STANDARD.encode(format!("a:{password}:b")),
            URL_SAFE_NO_PAD.encode(format!("ab:{password}")),
            password.bytes().map(|byte| format!("{byte:02X}")).collect(),
            url::form_urlencoded::byte_serialize(password.as_bytes()).collect(),
            "token=abc.def-ghi&x".to_owned(),
            STANDARD.encode("abc.def-ghi"),
        ] {
            let clean = sent.clean(&text);
            assert!(clean.contains(HIDDEN), "{text}: {clean}");
            for secret in [password, "abc.def-ghi"] {
                assert!(shipper_testkit::secret::forms_in(clean.as_bytes(), secret).is_empty(), "{text}: {clean}");
            }
        }
        assert_eq!(sent.clean("unauthorized: user"), "unauthorized: user");
        assert_eq!(sent.clean(&format!("a{password}b")), "a***b");
    }

    #[test]
    fn short_ones_and_what_is_no_header_are_not_looked_for() {
        let sent = sent(&["Bearer abc", "Basic %%%%", "x"]);
        assert_eq!(sent.clean("abc x"), "abc x");
        for number in 0..100 {
            sent.remember(&format!("secret-{number:03}").as_str().into());
        }
        assert_eq!(sent.clean("secret-000 secret-099"), "secret-000 ***");
    }

    proptest::proptest! {
        /// Whatever a peer says, nothing of it is a panic, and nothing that was sent is left.
        #[test]
        fn no_text_keeps_what_was_sent(before in "\\PC{0,20}", after in "\\PC{0,20}", secret in "[!-~]{8,40}") {
            let sent = sent(&[&format!("Bearer {secret}")]);
            let clean = sent.clean(&format!("{before}{secret}{after}")).into_owned();
            proptest::prop_assert!(!clean.contains(&secret));
        }
    }
}
