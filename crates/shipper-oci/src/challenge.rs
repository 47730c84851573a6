//! `WWW-Authenticate`: what a registry wants to be shown.
//!
//! Source: RFC 9110 section 11.6.1, and the token authentication specification of the Docker distribution project for the
//! parameters of `Bearer`. The header is a peer's: parsing never fails, it stops at the first thing that makes no sense.

/// Longest header value that is looked at, in bytes.
const MAX_HEADER: usize = 8 * 1024;
/// Most challenges that are looked at.
pub(crate) const MAX_CHALLENGES: usize = 8;
/// Most parameters of one challenge.
pub(crate) const MAX_PARAMETERS: usize = 16;

/// One way to authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// In lower case: `basic`, `bearer`, ..
    pub(crate) scheme: String,
    /// Names in lower case, values unquoted, in order.
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The first parameter of this name.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All parameters.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn parameters(&self) -> &[(String, String)] {
        &self.parameters
    }
}

/// The challenges of one header value, in order.
pub(crate) fn parse(header: &str) -> Vec<Challenge> {
    let mut rest = Scanner(header.get(..MAX_HEADER).unwrap_or(header));
    let mut challenges: Vec<Challenge> = Vec::new();
    if header.len() > MAX_HEADER {
        return challenges;
    }
    loop {
        rest.skip(|c| matches!(c, ' ' | '\t' | ','));
        let word = rest.take(is_token);
        if word.is_empty() {
            return challenges;
        }
        let name = word.to_ascii_lowercase();
        rest.skip(|c| matches!(c, ' ' | '\t'));
        if !challenges.is_empty() && rest.eat('=') {
            rest.skip(|c| matches!(c, ' ' | '\t'));
            let (Some(value), Some(challenge)) = (rest.value(), challenges.last_mut()) else { return challenges };
            if challenge.parameters.len() < MAX_PARAMETERS {
                challenge.parameters.push((name, value));
            }
        } else if challenges.len() < MAX_CHALLENGES {
            challenges.push(Challenge { scheme: name, parameters: Vec::new() });
        } else {
            return challenges;
        }
    }
}

/// `tchar` of RFC 9110, and the `/` and `:` that some servers leave unquoted in realms.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/:".contains(c)
}

struct Scanner<'a>(&'a str);

impl<'a> Scanner<'a> {
    fn take(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !accept(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn skip(&mut self, accept: impl Fn(char) -> bool) {
        self.take(accept);
    }

    fn eat(&mut self, wanted: char) -> bool {
        match self.0.strip_prefix(wanted) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    /// A token or a quoted string; `None` when the quote does not end.
    fn value(&mut self) -> Option<String> {
        if !self.eat('"') {
            return Some(self.take(is_token).to_owned());
        }
        let mut value = String::new();
        let mut characters = self.0.char_indices();
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    self.0 = &self.0[at + 1..];
                    return Some(value);
                }
                '\\' => value.push(characters.next()?.1),
                c => value.push(c),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, expected: &[(&str, &[(&str, &str)])]) {
        let found = parse(header);
        let found: Vec<(&str, Vec<(&str, &str)>)> = found
            .iter()
            .map(|c| (c.scheme.as_str(), c.parameters.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect()))
            .collect();
        let expected: Vec<(&str, Vec<(&str, &str)>)> = expected.iter().map(|(s, p)| (*s, p.to_vec())).collect();
        assert_eq!(found, expected, "{header}");
    }

    #[test]
    fn challenges_of_real_registries_are_read() {
        check(
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/x:pull,push""#,
            &[(
                "bearer",
                &[
                    ("realm", "https://auth.docker.io/token"),
                    ("service", "registry.docker.io"),
                    ("scope", "repository:library/x:pull,push"),
                ],
            )],
        );
        check(
            r#"Basic realm="https://1.dkr.ecr.eu-west-1.amazonaws.com/",service="ecr.amazonaws.com""#,
            &[("basic", &[("realm", "https://1.dkr.ecr.eu-west-1.amazonaws.com/"), ("service", "ecr.amazonaws.com")])],
        );
        check(
            r#"BASIC Realm = "a \"b\", c" , Bearer realm=https://x.test/t , error="invalid_token""#,
            &[
                ("basic", &[("realm", "a \"b\", c")]),
                ("bearer", &[("realm", "https://x.test/t"), ("error", "invalid_token")]),
            ],
        );
        check("Negotiate, Basic", &[("negotiate", &[]), ("basic", &[])]);
    }

    #[test]
    fn garbage_ends_the_list_quietly() {
        for garbage in ["", "   ", ",,,", "=", "\"", "é", "\u{0}"] {
            check(garbage, &[]);
        }
        check(r#"Basic realm="no end"#, &[("basic", &[])]);
        check(r#"Basic realm="x\"#, &[("basic", &[])]);
        check("Bearer a=b;c", &[("bearer", &[("a", "b")])]);
        assert!(parse(&"a ".repeat(10_000)).is_empty(), "too long");
        assert_eq!(parse(&"a ".repeat(100)).len(), MAX_CHALLENGES);
    }
}
