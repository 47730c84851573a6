//! The patterns of `${v#p}`, `${v%p}` and `${v/p/r}`: `*` is any text, `?` any character, `\` quotes these three.
//!
//! BuildKit translates them to regular expressions (`convertShellPatternToRegex`); neither `*` nor `?` matches a
//! newline there, and here neither.

use super::Reason;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Star,
    Any,
    Rune(char),
}

fn parse(pattern: &str) -> Result<Vec<Token>, Reason> {
    let mut tokens = Vec::new();
    let mut runes = pattern.chars();
    while let Some(rune) = runes.next() {
        tokens.push(match rune {
            '*' => Token::Star,
            '?' => Token::Any,
            '\\' => match runes.next() {
                Some(quoted @ ('*' | '?' | '\\' | '}' | '/')) => Token::Rune(quoted),
                _ => return Err(format!("the pattern `{pattern}` has an unknown escape sequence")),
            },
            _ => Token::Rune(rune),
        });
    }
    Ok(tokens)
}

/// Upper bound for the steps of one substitution, so that no input makes it slow.
const MAX_STEPS: usize = 1 << 24;

/// The ends of all matches that begin at the start of `text`, ascending.
fn ends(tokens: &[Token], text: &[char]) -> Vec<usize> {
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for token in tokens {
        let mut next = vec![false; text.len() + 1];
        for at in 0..=text.len() {
            match token {
                Token::Star => next[at] = reached[at] || (at > 0 && next[at - 1] && text[at - 1] != '\n'),
                Token::Any => next[at] = at > 0 && reached[at - 1] && text[at - 1] != '\n',
                Token::Rune(rune) => next[at] = at > 0 && reached[at - 1] && text[at - 1] == *rune,
            }
        }
        reached = next;
    }
    (0..=text.len()).filter(|&at| reached[at]).collect()
}

/// The pattern for the reversed text, as BuildKit makes it: a backslash stays before what it quotes. One at the end
/// quotes nothing and comes to the front, where it quotes what was before it.
fn reversed(pattern: &str) -> String {
    let mut parts = Vec::new();
    let mut runes = pattern.chars();
    while let Some(rune) = runes.next() {
        parts.push((rune, if rune == '\\' { runes.next() } else { None }));
    }
    let mut out = String::with_capacity(pattern.len());
    for (rune, quoted) in parts.into_iter().rev() {
        out.push(rune);
        out.extend(quoted);
    }
    out
}

/// `${value#word}` (`modifier` `#`) or `${value%word}`; a `word` that begins with the modifier asks for the longest.
pub(super) fn trim(word: &str, value: &str, modifier: char) -> Result<String, Reason> {
    let (longest, pattern) = word.strip_prefix(modifier).map_or((false, word), |pattern| (true, pattern));
    let mut text: Vec<char> = value.chars().collect();
    let tokens = if modifier == '%' {
        text.reverse();
        parse(&reversed(pattern))?
    } else {
        parse(pattern)?
    };
    if text.len().saturating_mul(tokens.len()) > MAX_STEPS {
        return Err("a pattern and its text are too long".to_owned());
    }
    let ends = ends(&tokens, &text);
    let end = if longest { ends.last() } else { ends.first() };
    let mut kept = text.split_off(end.copied().unwrap_or(0));
    if modifier == '%' {
        kept.reverse();
    }
    Ok(kept.into_iter().collect())
}

/// `${value/pattern/replacement}`, or `//` for `all`; `None` where the result is not clear: an empty match, or a `$`
/// in the replacement of all matches, which Go takes for a reference to a group.
pub(super) fn replace(pattern: &str, value: &str, replacement: &str, all: bool) -> Result<Option<String>, Reason> {
    let tokens = parse(pattern)?;
    if tokens.iter().all(|token| *token == Token::Star) || (all && replacement.contains('$')) {
        return Ok(None);
    }
    let text: Vec<char> = value.chars().collect();
    if text.len().saturating_mul(text.len()).saturating_mul(tokens.len()) > MAX_STEPS {
        return Err("a pattern and its text are too long".to_owned());
    }
    let mut out = String::new();
    let mut at = 0;
    let mut replaced = false;
    while at < text.len() {
        let longest = ends(&tokens, &text[at..]).last().copied();
        match longest {
            Some(length) if all || !replaced => {
                out.push_str(replacement);
                at += length;
                replaced = true;
            }
            _ => {
                out.push(text[at]);
                at += 1;
            }
        }
        if out.len() > super::MAX_LENGTH {
            return Err(format!("the result is longer than {} bytes", super::MAX_LENGTH));
        }
    }
    Ok(Some(out))
}
