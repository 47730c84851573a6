//! One glob matcher for two dialects: git's ignore patterns and the patterns of `inputs` and `exclude`.
//!
//! Bytes in, no encoding assumed. A pattern becomes a small automaton that is run over the text once, so matching takes
//! `O(pattern * text)` whatever the pattern: patterns come from the repository, and a backtracking matcher can be made
//! to run for years by one line of a `.gitignore`. The language is that of git's `wildmatch` with `WM_PATHNAME`
//! (gitignore(5), "PATTERN FORMAT"):
//!
//! - `?` one byte but `/`; `*` any bytes but `/`; `[..]` one byte but `/`, with ranges, `!` or `^`, POSIX classes, `\`;
//! - `**` as a whole part: any number of parts; anywhere else it is `*`;
//! - `\` makes the next byte ordinary.

/// A compiled pattern. A malformed one matches nothing, as in git; [`parse`](Glob::parse) tells which it is.
#[derive(Clone, Debug)]
pub(crate) struct Glob {
    tokens: Vec<Token>,
    fold_case: bool,
}

/// One step of the automaton. Being "in" token `i` means that everything before it has matched.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// This byte.
    Byte(u8),
    /// Any byte but `/`.
    One,
    /// Any number of bytes but `/`.
    Star,
    /// Any number of bytes.
    Any,
    /// May skip itself and the `Parts` after it.
    Optional,
    /// Any bytes that end in `/`.
    Parts,
    /// A byte of the set; never `/`.
    Class(Box<[bool; 256]>),
}

/// Why a pattern is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    Bracket,
    Backslash,
}

impl Glob {
    /// Compiles `pattern`; `fold_case` makes ASCII letters equal in both cases.
    pub(crate) fn parse(pattern: &[u8], fold_case: bool) -> Result<Self, Malformed> {
        let mut tokens = Vec::with_capacity(pattern.len());
        let mut at = 0;
        while let Some(&byte) = pattern.get(at) {
            at += 1;
            match byte {
                b'?' => tokens.push(Token::One),
                b'\\' => {
                    tokens.push(Token::Byte(*pattern.get(at).ok_or(Malformed::Backslash)?));
                    at += 1;
                }
                b'[' => {
                    let (set, length) = class(&pattern[at..], fold_case).ok_or(Malformed::Bracket)?;
                    tokens.push(Token::Class(set));
                    at += length;
                }
                b'*' => {
                    let begins_part = at == 1 || pattern[at - 2] == b'/';
                    let stars = 1 + pattern[at..].iter().take_while(|&&byte| byte == b'*').count();
                    at += stars - 1;
                    match &pattern[at..] {
                        [] if stars > 1 && begins_part => tokens.push(Token::Any),
                        [b'/', ..] if stars > 1 && begins_part => {
                            tokens.extend([Token::Optional, Token::Parts]);
                            at += 1;
                        }
                        // An escaped slash does not let `**` stand for no part at all.
                        [b'\\', b'/', ..] if stars > 1 && begins_part => tokens.push(Token::Any),
                        _ => tokens.push(Token::Star),
                    }
                }
                byte => tokens.push(Token::Byte(byte)),
            }
        }
        Ok(Self { tokens, fold_case })
    }

    /// Whether all of `text` matches.
    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        // Most patterns end in a letter that most names do not end in.
        if let (Some(Token::Byte(last)), false) = (self.tokens.last(), self.fold_case)
            && text.last() != Some(last)
        {
            return false;
        }
        self.run(text).is_some_and(|states| states.has(self.tokens.len()))
    }

    /// Whether some text that begins with `directory` and `/` could match.
    pub(crate) fn may_match_below(&self, directory: &[u8]) -> bool {
        directory.is_empty() || self.run(&[directory, b"/"].concat()).is_some()
    }

    /// The states after `text`; `None` if no text that begins so can match.
    fn run(&self, text: &[u8]) -> Option<States> {
        let mut states = States::new(self.tokens.len() + 1);
        let mut next = States::new(self.tokens.len() + 1);
        self.enter(&mut states, 0);
        for &byte in text {
            self.step(&states, byte, &mut next);
            if next.is_empty() {
                return None;
            }
            std::mem::swap(&mut states, &mut next);
        }
        Some(states)
    }

    /// Makes `next` the states after one more byte.
    fn step(&self, states: &States, byte: u8, next: &mut States) {
        next.0.fill(0);
        let byte = if self.fold_case { byte.to_ascii_lowercase() } else { byte };
        for at in states.iter() {
            let Some(token) = self.tokens.get(at) else { continue };
            match token {
                Token::Byte(wanted) if byte == if self.fold_case { wanted.to_ascii_lowercase() } else { *wanted } => {
                    self.enter(next, at + 1);
                }
                Token::One if byte != b'/' => self.enter(next, at + 1),
                Token::Class(set) if byte != b'/' && set[usize::from(byte)] => self.enter(next, at + 1),
                Token::Star if byte != b'/' => self.enter(next, at),
                Token::Any => self.enter(next, at),
                Token::Parts => {
                    self.enter(next, at);
                    if byte == b'/' {
                        self.enter(next, at + 1);
                    }
                }
                _ => {}
            }
        }
    }

    /// Adds state `at` and all that need no byte from there.
    fn enter(&self, states: &mut States, mut at: usize) {
        loop {
            states.add(at);
            match self.tokens.get(at) {
                Some(Token::Star | Token::Any) => at += 1,
                Some(Token::Optional) => {
                    states.add(at + 1);
                    at += 2;
                }
                _ => return,
            }
        }
    }
}

/// Reads a bracket expression after its `[`: the set, and how many bytes it took including `]`.
fn class(pattern: &[u8], fold_case: bool) -> Option<(Box<[bool; 256]>, usize)> {
    let mut set = Box::new([false; 256]);
    let mut at = 0;
    let negated = matches!(pattern.first()?, b'!' | b'^');
    at += usize::from(negated);
    let begin = at;
    let mut previous = None;
    loop {
        let byte = *pattern.get(at)?;
        match byte {
            b']' if at > begin => break,
            b'\\' => {
                at += 1;
                let literal = *pattern.get(at)?;
                set[usize::from(literal)] = true;
                previous = Some(literal);
            }
            b'-' if previous.is_some() && pattern.get(at + 1).is_some_and(|&next| next != b']') => {
                at += 1;
                let mut last = pattern[at];
                if last == b'\\' {
                    at += 1;
                    last = *pattern.get(at)?;
                }
                for byte in previous.into_iter().flat_map(|first| first..=last) {
                    set[usize::from(byte)] = true;
                }
                previous = None;
            }
            b'[' if pattern.get(at + 1) == Some(&b':') => {
                let name = &pattern[at + 2..];
                let end = name.iter().position(|&byte| byte == b']')?;
                if let Some(name) = name[..end].strip_suffix(b":") {
                    let is_member = posix_class(name)?;
                    (0..=255).filter(is_member).for_each(|byte: u8| set[usize::from(byte)] = true);
                    at += 2 + end;
                    previous = None;
                } else {
                    set[usize::from(b'[')] = true;
                    previous = Some(b'[');
                }
            }
            byte => {
                set[usize::from(byte)] = true;
                previous = Some(byte);
            }
        }
        at += 1;
    }
    if fold_case {
        for upper in b'A'..=b'Z' {
            let lower = usize::from(upper.to_ascii_lowercase());
            set[lower] |= set[usize::from(upper)];
        }
    }
    if negated {
        set.iter_mut().for_each(|member| *member = !*member);
    }
    Some((set, at + 1))
}

fn posix_class(name: &[u8]) -> Option<fn(&u8) -> bool> {
    Some(match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |byte| matches!(byte, b' '..=b'~'),
        b"punct" => u8::is_ascii_punctuation,
        b"space" => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    })
}

/// A set of states.
struct States(Vec<u64>);

impl States {
    fn new(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    fn add(&mut self, state: usize) {
        self.0[state / 64] |= 1 << (state % 64);
    }

    fn has(&self, state: usize) -> bool {
        self.0[state / 64] & (1 << (state % 64)) != 0
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(at, &word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                (left != 0).then(|| {
                    let bit = left.trailing_zeros() as usize;
                    left &= left - 1;
                    at * 64 + bit
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, matching: &[&str], other: &[&str]) {
        let glob = Glob::parse(pattern.as_bytes(), false).unwrap();
        for text in matching {
            assert!(glob.matches(text.as_bytes()), "`{pattern}` should match `{text}`");
        }
        for text in other {
            assert!(!glob.matches(text.as_bytes()), "`{pattern}` should not match `{text}`");
        }
    }

    #[test]
    fn wildcards_stay_within_a_part() {
        check("a*c", &["ac", "abc", "a*c"], &["a/c", "ab", "bac", ""]);
        check("a?c", &["abc", "a?c"], &["ac", "a/c", "abbc"]);
        check("*", &["", "a", "\n"], &["a/b"]);
        check("a**c", &["ac", "abc"], &["a/c"]);
        check("\\*", &["*"], &["a"]);
    }

    #[test]
    fn double_stars_cross_parts() {
        check("**/a", &["a", "x/a", "x/y/a"], &["xa", "a/x"]);
        check("a/**", &["a/", "a/b", "a/b/c"], &["a", "ab/c"]);
        check("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["ab", "a/xb", "x/a/b"]);
        check("**", &["", "a", "a/b"], &[]);
        check("**a", &["a", "xa"], &["x/a"]);
        check("**/*.rs", &["x.rs", "a/x.rs"], &["a/x.rs/y"]);
    }

    #[test]
    fn classes_know_ranges_negation_and_posix_names() {
        check("[a-c]", &["a", "b", "c"], &["d", "-", "/", ""]);
        check("[!a-c]", &["d", "-", "!"], &["a", "/"]);
        check("[^a]", &["b"], &["a"]);
        check("[]a]", &["]", "a"], &["b"]);
        check("[!]]", &["a"], &["]"]);
        check("[a-]", &["a", "-"], &["b"]);
        check("[[:digit:]x]", &["1", "x"], &["a", ":"]);
        check("[\\]]", &["]"], &["\\"]);
        check("[[:a]", &["[", ":", "a"], &["b"]);
        for bad in ["[", "[a", "[!", "[]", "[a\\", "[[:nope:]]", "[[:alpha:]"] {
            assert_eq!(Glob::parse(bad.as_bytes(), false).unwrap_err(), Malformed::Bracket, "{bad}");
        }
        assert_eq!(Glob::parse(b"a\\", false).unwrap_err(), Malformed::Backslash);
    }

    #[test]
    fn folding_compares_ascii_letters_in_any_case() {
        let glob = Glob::parse(b"Ab[C-D]*", true).unwrap();
        assert!(glob.matches(b"aBc") && glob.matches(b"ABDx"));
        assert!(!glob.matches(b"abe"));
    }

    #[test]
    fn prefixes_tell_which_directories_can_hold_a_match() {
        let glob = |pattern: &str| Glob::parse(pattern.as_bytes(), false).unwrap();
        for (pattern, directory, expected) in [
            ("a/b/c", "a", true),
            ("a/b/c", "a/b", true),
            ("a/b/c", "a/b/c", false),
            ("a/b/c", "b", false),
            ("**/x", "any/where", true),
            ("a/*/c", "a/b", true),
            ("a/*/c", "b", false),
            ("ab", "a", false),
            ("*.rs", "src", false),
        ] {
            assert_eq!(glob(pattern).may_match_below(directory.as_bytes()), expected, "{pattern} {directory}");
        }
    }

    /// G8, and the law that prefixes keep: what matches below a directory may match below it.
    #[test]
    fn a_hundred_thousand_patterns_do_no_harm() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut text = |alphabet: &[u8], longest: u64| -> Vec<u8> {
            let mut next = |limit: u64| {
                // xorshift: the same sequence in every run.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                usize::try_from(state % limit).unwrap()
            };
            (0..next(longest)).map(|_| alphabet[next(alphabet.len() as u64)]).collect()
        };
        for _ in 0..100_000 {
            let pattern = text(b"ab/*?[]!^-\\:\xff", 12);
            let path = text(b"ab/\xff", 8);
            if let Ok(glob) = Glob::parse(&pattern, false)
                && glob.matches(&path)
            {
                for at in (0..path.len()).filter(|&at| path[at] == b'/') {
                    assert!(glob.may_match_below(&path[..at]), "{pattern:?} {path:?}");
                }
            }
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_longer_than_its_length() {
        let pattern = [b"**/a/".repeat(2000), b"b".to_vec()].concat();
        let text = [b"a/".repeat(200), b"c".to_vec()].concat();
        assert!(!Glob::parse(&pattern, false).unwrap().matches(&text));
        assert!(!Glob::parse(&b"*a".repeat(500), false).unwrap().matches(&b"a".repeat(400)));
    }
}
