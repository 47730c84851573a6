//! How the arguments of an instruction are cut into words: options, quoted words, words between white space.
//!
//! After `parser/split_command.go` and `parser/line_parsers.go` of BuildKit.

/// `[\t\v\f\r ]`, the white space between words of an instruction.
pub(super) fn is_separator(rune: char) -> bool {
    matches!(rune, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

/// The first word and what follows the white space after it.
pub(super) fn split_first(text: &str) -> (&str, &str) {
    let end = text.find(is_separator).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start_matches(is_separator))
}

/// The words between white space, without regard to quotes.
pub(super) fn split_all(text: &str) -> Vec<&str> {
    text.split(is_separator).filter(|word| !word.is_empty()).collect()
}

/// The leading words that begin with `--`, with quotes and backslashes taken away, and the rest of the text.
pub(super) fn split_flags(text: &str) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if !rest.starts_with("--") {
            return (flags, rest);
        }
        let mut word = String::new();
        let mut quote = None;
        let mut end = rest.len();
        let mut runes = rest.char_indices();
        while let Some((at, rune)) = runes.next() {
            match rune {
                _ if quote == Some(rune) => quote = None,
                '\'' | '"' if quote.is_none() => quote = Some(rune),
                '\\' => word.extend(runes.next().map(|(_, escaped)| escaped)),
                _ if quote.is_none() && rune.is_whitespace() => {
                    end = at;
                    break;
                }
                _ => word.push(rune),
            }
        }
        rest = &rest[end..];
        if word == "--" {
            return (flags, rest.trim_start());
        }
        flags.push(word);
    }
}

/// The words of `ENV` and `ARG`: quotes and escape characters stay, but join what they enclose.
pub(super) fn split_quoted(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let mut word = String::new();
        let mut quote: Option<char> = None;
        let mut end = rest.len();
        let mut runes = rest.char_indices();
        while let Some((at, rune)) = runes.next() {
            match rune {
                _ if rune == escape && quote != Some('\'') => {
                    // An escape character at the end stands for nothing.
                    if let Some((_, escaped)) = runes.next() {
                        word.extend([rune, escaped]);
                    }
                    continue;
                }
                _ if quote == Some(rune) => quote = None,
                '\'' | '"' if quote.is_none() => quote = Some(rune),
                _ if quote.is_none() && rune.is_whitespace() => {
                    end = at;
                    break;
                }
                _ => {}
            }
            word.push(rune);
        }
        if !word.is_empty() {
            words.push(word);
        }
        rest = rest[end..].trim_start();
    }
    words
}
