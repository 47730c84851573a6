//! A Dockerfile as statements, after `frontend/dockerfile/parser` and `instructions/parse.go` of BuildKit.
//!
//! Only what decides about inputs is kept: stages, arguments, environment, sources, mounts and triggers. The border
//! between statements (continuation, comments, heredocs of any position and number) is the same as BuildKit's,
//! since a line on the wrong side of it would add or lose an input.
//!
//! Invariants: any text gives statements or an error with a line; bytes that are not UTF-8 have become U+FFFD before.

mod command;
#[cfg(test)]
mod tests;
mod words;

use crate::error::Error;
use crate::expand::{Lookup, Mode, expand};
pub(crate) use command::{Command, From, Transfer};
use command::{heredoc_allowed, parse_command};

/// A parsed Dockerfile.
#[derive(Debug)]
pub(crate) struct File {
    /// The escape character, `\` or a backtick.
    pub(crate) escape: char,
    pub(crate) statements: Vec<Statement>,
}

/// One instruction.
#[derive(Debug)]
pub(crate) struct Statement {
    /// 1-based line where it begins.
    pub(crate) line: usize,
    /// The lines joined, without surrounding blanks.
    pub(crate) text: String,
    pub(crate) command: Command,
}

/// Parses the text of a Dockerfile.
pub(crate) fn parse(text: &str) -> Result<File, Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.split_inclusive('\n').enumerate().map(|(index, line)| (index + 1, line));
    let mut directives = Directives { escape: '\\', seen: Vec::new(), done: false };
    let mut statements = Vec::new();
    while let Some((start, raw)) = lines.next() {
        let token = trim_newline(raw).trim_start();
        directives.read(token, start)?;
        if token.starts_with('#') {
            continue;
        }
        let (first, mut complete) = split_continuation(token, directives.escape);
        if complete && first.is_empty() {
            continue;
        }
        let mut line = first.to_owned();
        while !complete {
            let Some((number, raw)) = lines.next() else { break };
            let token = trim_newline(raw);
            directives.read(token, number)?;
            let trimmed = token.trim_start();
            if trimmed.starts_with('#') || trimmed.is_empty() {
                continue;
            }
            let more;
            (more, complete) = split_continuation(token, directives.escape);
            line.push_str(more);
        }
        let command =
            parse_command(&line, directives.escape).map_err(|message| Error::Syntax { line: start, message })?;
        if heredoc_allowed(&line) {
            for heredoc in heredocs(&line).map_err(|message| Error::Syntax { line: start, message })? {
                let ends = |raw: &str| {
                    let text = trim_newline(raw);
                    (if heredoc.chomp { text.trim_start_matches('\t') } else { text }) == heredoc.name
                };
                if !lines.by_ref().any(|(_, raw)| ends(raw)) {
                    let message = format!("the heredoc `{}` is not closed", heredoc.name);
                    return Err(Error::Syntax { line: start, message });
                }
            }
        }
        statements.push(Statement { line: start, text: line.trim().to_owned(), command });
    }
    Ok(File { escape: directives.escape, statements })
}

fn trim_newline(raw: &str) -> &str {
    raw.trim_end_matches(['\r', '\n'])
}

/// The text without its continuation character, and whether the statement ends here.
fn split_continuation(text: &str, escape: char) -> (&str, bool) {
    let trimmed = text.trim_end_matches([' ', '\t']);
    match trimmed.strip_suffix(escape) {
        // An escaped escape character does not continue the line.
        Some(before) if !before.ends_with(escape) => (before, false),
        _ => (text, true),
    }
}

/// The `# name=value` lines at the top of the file.
struct Directives {
    escape: char,
    seen: Vec<String>,
    done: bool,
}

impl Directives {
    fn read(&mut self, text: &str, line: usize) -> Result<(), Error> {
        if self.done {
            return Ok(());
        }
        let directive = text.strip_prefix('#').and_then(directive).filter(|(name, _)| is_directive(name));
        let Some((name, value)) = directive else {
            self.done = true;
            return Ok(());
        };
        if self.seen.contains(&name) {
            return Err(Error::Syntax { line, message: format!("the directive `{name}` appears twice") });
        }
        if name == "escape" {
            self.escape = match value {
                "\\" => '\\',
                "`" => '`',
                _ => {
                    let message = format!("the escape character `{value}` is neither `\\` nor a backtick");
                    return Err(Error::Syntax { line, message });
                }
            };
        }
        self.seen.push(name);
        Ok(())
    }
}

/// Whether BuildKit's parser knows the directive `name`, given in lower case.
pub(crate) fn is_directive(name: &str) -> bool {
    matches!(name, "syntax" | "escape" | "check")
}

/// The name in lower case and the value of a directive, from the text after the comment sign.
pub(crate) fn directive(text: &str) -> Option<(String, &str)> {
    const SPACE: [char; 5] = [' ', '\t', '\n', '\r', '\x0c'];
    let text = text.trim_start();
    let end = text.find(|rune: char| !rune.is_ascii_alphanumeric()).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let value = rest.trim_start_matches(SPACE).strip_prefix('=')?.trim_matches(SPACE);
    (name.starts_with(|rune: char| rune.is_ascii_alphabetic()) && !value.is_empty())
        .then(|| (name.to_ascii_lowercase(), value))
}

struct Heredoc {
    name: String,
    /// `<<-`: the closing line may be indented with tabs.
    chomp: bool,
}

/// The heredocs that a statement opens.
fn heredocs(line: &str) -> Result<Vec<Heredoc>, String> {
    let mode = Mode { escape: '\\', raw_quotes: true, raw_escapes: true, keep_unset: true };
    // A word that cannot be read opens no heredoc.
    let words = expand(line, mode, &|_| Lookup::Unset).map(|expanded| expanded.words).unwrap_or_default();
    words.iter().filter_map(|word| heredoc(word).transpose()).collect()
}

/// The heredoc that the word `N<<NAME` or `N<<-NAME` opens.
fn heredoc(word: &str) -> Result<Option<Heredoc>, String> {
    let Some(rest) = word.trim_start_matches(|rune: char| rune.is_ascii_digit()).strip_prefix("<<") else {
        return Ok(None);
    };
    let (chomp, name) = rest.strip_prefix('-').map_or((false, rest), |name| (true, name));
    if name.is_empty() || name.contains('<') {
        return Ok(None);
    }
    let mode = Mode { keep_unset: true, ..Mode::new('\\') };
    let mut words = expand(name, mode, &|_| Lookup::Unset)?.words;
    let single = if words.len() == 1 { words.pop() } else { None };
    Ok(single.map(|name| Heredoc { name, chomp }))
}

/// Whether `word` is a heredoc and not a path.
fn is_heredoc(word: &str) -> bool {
    matches!(heredoc(word), Ok(Some(_)))
}
