//! Expansion of variables in one word of a Dockerfile, after `frontend/dockerfile/shell/lex.go` of BuildKit.
//!
//! Supports `$v`, `${v}`, the modifiers `:-` `-` `:+` `+` `:?` `?` `#` `##` `%` `%%` `/a/b` `//a/b`, both kinds of
//! quotes and the escape character. A variable may also be *unknown*: then the text of the result means nothing and
//! the name of the variable comes back, unless the word does not depend on it.
//!
//! Invariants: nesting and length of the result are bounded, whatever the input.

mod glob;
#[cfg(test)]
mod tests;

/// Nested `${a:-${b:-..}}` deeper than this are refused.
const MAX_DEPTH: usize = 64;
/// Longest result in bytes; Linux hands no longer string to a process.
const MAX_LENGTH: usize = 128 * 1024;

/// What is known about a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lookup {
    Set(String),
    Unset,
    Unknown,
}

/// How quotes, escapes and unset variables are treated; the default is the treatment of instruction arguments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mode {
    /// The escape character of the file, `\` or a backtick.
    pub(crate) escape: char,
    /// Quotes stay in the result.
    pub(crate) raw_quotes: bool,
    /// Escape characters stay in the result.
    pub(crate) raw_escapes: bool,
    /// A reference to an unset variable stays as it is written.
    pub(crate) keep_unset: bool,
}

impl Mode {
    pub(crate) fn new(escape: char) -> Mode {
        Mode { escape, raw_quotes: false, raw_escapes: false, keep_unset: false }
    }
}

/// An expanded word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Expanded {
    /// The result as one word.
    pub(crate) text: String,
    /// The result split at unquoted white space.
    pub(crate) words: Vec<String>,
    /// The first unknown variable on which the result depends.
    pub(crate) unknown: Option<String>,
}

/// Why a word cannot be expanded: a lower-case fragment.
pub(crate) type Reason = String;

/// Expands `word` with the variables of `lookup`.
pub(crate) fn expand(word: &str, mode: Mode, lookup: &dyn Fn(&str) -> Lookup) -> Result<Expanded, Reason> {
    // Go's text/scanner drops a byte-order mark at the start.
    let runes: Vec<char> = word.strip_prefix('\u{feff}').unwrap_or(word).chars().collect();
    let mut reader = Reader { rest: &runes, mode, lookup, unknown: None, depth: 0 };
    let (text, words) = reader.until(None, mode.raw_escapes)?;
    Ok(Expanded { text, words, unknown: reader.unknown })
}

/// Only values can make a result long: what is written is bounded by the file.
fn check_length(text: &str) -> Result<(), Reason> {
    if text.len() > MAX_LENGTH { Err(format!("the result is longer than {MAX_LENGTH} bytes")) } else { Ok(()) }
}

fn unsupported(name: &str, modifier: &str) -> Reason {
    format!("the modifier `{modifier}` of `{name}` is not supported")
}

struct Reader<'w> {
    rest: &'w [char],
    mode: Mode,
    lookup: &'w dyn Fn(&str) -> Lookup,
    unknown: Option<String>,
    depth: usize,
}

/// Collects the words that unquoted white space separates.
#[derive(Default)]
struct Words {
    done: Vec<String>,
    word: String,
}

impl Words {
    fn plain(&mut self, rune: char) {
        if !rune.is_whitespace() {
            self.word.push(rune);
        } else if !self.word.is_empty() {
            self.done.push(std::mem::take(&mut self.word));
        }
    }

    fn finish(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.done.push(self.word);
        }
        self.done
    }
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.first().copied()
    }

    fn next(&mut self) -> Option<char> {
        let (&rune, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(rune)
    }

    /// The text up to `stop` (consumed), or to the end if there is none.
    fn until(&mut self, stop: Option<char>, raw_escapes: bool) -> Result<(String, Vec<String>), Reason> {
        let before = std::mem::replace(&mut self.mode.raw_escapes, raw_escapes);
        let result = self.until_inner(stop);
        self.mode.raw_escapes = before;
        result
    }

    fn until_inner(&mut self, stop: Option<char>) -> Result<(String, Vec<String>), Reason> {
        if self.depth > MAX_DEPTH {
            return Err("the substitutions nest too deeply".to_owned());
        }
        let mut text = String::new();
        let mut words = Words::default();
        while let Some(rune) = self.peek() {
            match rune {
                _ if Some(rune) == stop => {
                    self.next();
                    return Ok((text, words.finish()));
                }
                '\'' | '"' => {
                    let part = if rune == '"' { self.double_quoted()? } else { self.single_quoted()? };
                    words.word.push_str(&part);
                    text.push_str(&part);
                }
                '$' => {
                    let part = self.dollar()?;
                    part.chars().for_each(|rune| words.plain(rune));
                    text.push_str(&part);
                    check_length(&text)?;
                }
                _ if rune == self.mode.escape => {
                    self.next();
                    if self.mode.raw_escapes {
                        words.word.push(rune);
                        text.push(rune);
                    }
                    // An escape character at the end stands for nothing.
                    let Some(escaped) = self.next() else { break };
                    words.word.push(escaped);
                    text.push(escaped);
                }
                _ => {
                    self.next();
                    words.plain(rune);
                    text.push(rune);
                }
            }
        }
        match stop {
            Some(stop) => Err(format!("`{stop}` is missing")),
            None => Ok((text, words.finish())),
        }
    }

    fn single_quoted(&mut self) -> Result<String, Reason> {
        let mut text = String::new();
        self.next();
        if self.mode.raw_quotes {
            text.push('\'');
        }
        loop {
            match self.next() {
                None => return Err("a single quote is not closed".to_owned()),
                Some('\'') => break,
                Some(rune) => text.push(rune),
            }
        }
        if self.mode.raw_quotes {
            text.push('\'');
        }
        Ok(text)
    }

    fn double_quoted(&mut self) -> Result<String, Reason> {
        let mut text = String::new();
        self.next();
        if self.mode.raw_quotes {
            text.push('"');
        }
        loop {
            match self.peek() {
                None => return Err("a double quote is not closed".to_owned()),
                Some('"') => break,
                Some('$') => {
                    text.push_str(&self.dollar()?);
                    check_length(&text)?;
                }
                Some(rune) => {
                    self.next();
                    if rune != self.mode.escape {
                        text.push(rune);
                        continue;
                    }
                    if self.mode.raw_escapes {
                        text.push(rune);
                    }
                    match self.peek() {
                        None => {}
                        Some(escaped) if escaped == '"' || escaped == '$' || escaped == self.mode.escape => {
                            self.next();
                            text.push(escaped);
                        }
                        Some(_) => text.push(rune),
                    }
                }
            }
        }
        self.next();
        if self.mode.raw_quotes {
            text.push('"');
        }
        Ok(text)
    }

    fn dollar(&mut self) -> Result<String, Reason> {
        self.next();
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(match self.get(&name) {
                Lookup::Set(value) => value,
                Lookup::Unset if self.mode.keep_unset => format!("${name}"),
                Lookup::Unset | Lookup::Unknown => String::new(),
            });
        }
        self.next();
        match self.peek() {
            None => return Err("`}` is missing".to_owned()),
            Some(rune @ ('{' | '}' | ':')) => return Err(format!("`${{{rune}` is not a substitution")),
            Some(_) => {}
        }
        let name = self.name();
        self.depth += 1;
        let value = self.braced(&name);
        self.depth -= 1;
        value
    }

    /// What follows `${name`.
    fn braced(&mut self, name: &str) -> Result<String, Reason> {
        let first = self.next().ok_or_else(|| "`}` is missing".to_owned())?;
        match first {
            '}' => Ok(match self.get(name) {
                Lookup::Set(value) => value,
                Lookup::Unset if self.mode.keep_unset => format!("${{{name}}}"),
                Lookup::Unset | Lookup::Unknown => String::new(),
            }),
            '/' => self.replacement(name),
            ':' => {
                let modifier = self.next().ok_or_else(|| "`}` is missing".to_owned())?;
                self.modified(name, modifier, true)
            }
            modifier @ ('-' | '+' | '?' | '#' | '%') => self.modified(name, modifier, false),
            modifier => Err(unsupported(name, &modifier.to_string())),
        }
    }

    /// `${name-word}` and its relatives, after the modifier.
    fn modified(&mut self, name: &str, modifier: char, empty_is_unset: bool) -> Result<String, Reason> {
        // The word counts for what is unknown only where it is used.
        let before = self.unknown.clone();
        let (word, _) = self.until(Some('}'), matches!(modifier, '#' | '%'))?;
        let with_word = std::mem::replace(&mut self.unknown, before);
        let value = self.get(name);
        if value == Lookup::Unset && self.mode.keep_unset {
            self.unknown = self.unknown.take().or(with_word);
            let colon = if empty_is_unset { ":" } else { "" };
            return Ok(format!("${{{name}{colon}{modifier}{word}}}"));
        }
        let is_unset = match &value {
            Lookup::Set(value) => empty_is_unset && value.is_empty(),
            Lookup::Unset => true,
            Lookup::Unknown => return Ok(String::new()),
        };
        let value = if let Lookup::Set(value) = value { value } else { String::new() };
        let uses_word = match modifier {
            '-' => is_unset,
            '+' => !is_unset,
            '?' => false,
            _ => true,
        };
        if uses_word {
            self.unknown = self.unknown.take().or(with_word);
        }
        match modifier {
            '-' => Ok(if is_unset { word } else { value }),
            '+' => Ok(if is_unset { String::new() } else { word }),
            '?' if is_unset && word.is_empty() => Err(format!("`{name}` has no value")),
            '?' if is_unset => Err(format!("`{name}`: {word}")),
            '?' => Ok(value),
            '#' | '%' => glob::trim(&word, &value, modifier),
            _ => Err(unsupported(name, &format!(":{modifier}"))),
        }
    }

    /// What follows `${name/`.
    fn replacement(&mut self, name: &str) -> Result<String, Reason> {
        let all = self.peek() == Some('/');
        if all {
            self.next();
        }
        let (pattern, _) = self.until(Some('/'), true)?;
        let (replacement, _) = self.until(Some('}'), true)?;
        match self.get(name) {
            Lookup::Unset if self.mode.keep_unset => Ok(format!("${{{name}/{pattern}/{replacement}}}")),
            Lookup::Unknown => Ok(String::new()),
            value => {
                let value = if let Lookup::Set(value) = value { value } else { String::new() };
                let replaced = glob::replace(&pattern, &value, &replacement, all)?;
                if replaced.is_none() {
                    self.unknown.get_or_insert_with(|| name.to_owned());
                }
                Ok(replaced.unwrap_or_default())
            }
        }
    }

    /// A name, a number or one special parameter; empty if there is none.
    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.peek() {
            Some(rune) if rune.is_ascii_digit() => {
                while let Some(digit) = self.peek().filter(char::is_ascii_digit) {
                    name.push(digit);
                    self.next();
                }
                return name;
            }
            Some(rune @ ('@' | '*' | '#' | '?' | '-' | '$' | '!')) => {
                self.next();
                return rune.to_string();
            }
            _ => {}
        }
        while let Some(rune) = self.peek().filter(|rune| rune.is_alphanumeric() || *rune == '_') {
            // Go's letters and digits are not quite Unicode's, so such a name is better not looked up.
            if !rune.is_ascii() {
                self.unknown.get_or_insert_with(|| rune.to_string());
            }
            name.push(rune);
            self.next();
        }
        name
    }

    fn get(&mut self, name: &str) -> Lookup {
        let value = (self.lookup)(name);
        if value == Lookup::Unknown {
            self.unknown.get_or_insert_with(|| name.to_owned());
        }
        value
    }
}
