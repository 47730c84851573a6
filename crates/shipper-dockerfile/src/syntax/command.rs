//! One statement as a command: the instruction, its options and its arguments.

use super::is_heredoc;
use super::words::{split_all, split_first, split_flags, split_quoted};
use crate::context::Reader;
use crate::json::{StringArray, string_array};

/// An instruction, as far as it decides about inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    From(From),
    /// Names with their default values, not expanded.
    Arg(Vec<(String, Option<String>)>),
    /// Names and values, not expanded.
    Env(Vec<(String, String)>),
    Transfer(Transfer),
    Run(Run),
    /// The instruction that a child stage runs first.
    Onbuild(Box<Command>),
    Other,
}

/// `FROM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct From {
    pub(crate) image: String,
    pub(crate) platform: Option<String>,
    /// In lower case.
    pub(crate) name: Option<String>,
}

/// `COPY` or `ADD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) reader: Reader,
    pub(crate) from: Option<String>,
    pub(crate) checksum: Option<String>,
    /// The sources that are no heredocs, not expanded.
    pub(crate) sources: Vec<String>,
    pub(crate) unknown_flags: Vec<Flag>,
}

/// `RUN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// The values of `--mount`, not expanded.
    pub(crate) mounts: Vec<String>,
    pub(crate) unknown_flags: Vec<Flag>,
}

/// `--name` or `--name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flag {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
}

impl Flag {
    fn new(word: &str) -> Flag {
        let word = word.strip_prefix("--").unwrap_or(word);
        match word.split_once('=') {
            Some((name, value)) => Flag { name: name.to_owned(), value: Some(value.to_owned()) },
            None => Flag { name: word.to_owned(), value: None },
        }
    }

    /// BuildKit reads options byte by byte, so that other text than ASCII changes its meaning.
    fn is_known(&self, names: &[&str]) -> bool {
        names.contains(&self.name.as_str()) && self.value.as_ref().is_none_or(|value| value.is_ascii())
    }
}

impl std::fmt::Display for Flag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "--{}", self.name)?;
        self.value.as_ref().map_or(Ok(()), |value| write!(f, "={value}"))
    }
}

/// A statement that does not parse: a lower-case fragment.
type Message = String;

/// Parses a statement whose lines are joined.
pub(super) fn parse_command(line: &str, escape: char) -> Result<Command, Message> {
    let (word, rest) = split_first(line.trim());
    let (words, rest) = split_flags(rest);
    let arguments = rest.trim();
    let flags: Vec<Flag> = words.iter().map(|word| Flag::new(word)).collect();
    match word.to_ascii_lowercase().as_str() {
        "from" => parse_from(&flags, arguments).map(Command::From),
        "arg" => parse_arg(arguments, escape).map(Command::Arg),
        "env" => parse_env(arguments, escape).map(Command::Env),
        "copy" => parse_transfer(Reader::Copy, flags, arguments).map(Command::Transfer),
        "add" => parse_transfer(Reader::Add, flags, arguments).map(Command::Transfer),
        "run" => parse_run(flags, arguments).map(Command::Run),
        "onbuild" => parse_onbuild(arguments),
        "cmd" | "entrypoint" | "expose" | "healthcheck" | "label" | "maintainer" | "shell" | "stopsignal" | "user"
        | "volume" | "workdir" => Ok(Command::Other),
        _ => Err(format!("`{word}` is not an instruction")),
    }
}

/// Whether a statement may open heredocs: `ADD`, `COPY` and `RUN`, also behind `ONBUILD`, but not their exec forms.
pub(super) fn heredoc_allowed(line: &str) -> bool {
    let (mut word, mut rest) = split_first(line.trim());
    if word.eq_ignore_ascii_case("onbuild") {
        (word, rest) = split_first(rest);
    }
    let is_candidate = ["add", "copy", "run"].iter().any(|name| word.eq_ignore_ascii_case(name));
    is_candidate && !matches!(string_array(split_flags(rest).1.trim()), StringArray::Strings(_))
}

fn parse_from(flags: &[Flag], arguments: &str) -> Result<From, Message> {
    if let Some(flag) = flags.iter().find(|flag| flag.name != "platform") {
        return Err(format!("`FROM` has no option `{flag}`"));
    }
    let words = split_all(arguments);
    let (image, name) = match words.as_slice() {
        [image] => (image, None),
        [image, keyword, name] if keyword.eq_ignore_ascii_case("as") => {
            let lower = name.to_lowercase();
            let is_valid = lower.starts_with(|rune: char| rune.is_ascii_lowercase())
                && lower
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte));
            if !is_valid {
                return Err(format!("`{name}` is not a valid stage name"));
            }
            (image, Some(lower))
        }
        _ => return Err("`FROM` takes an image, or an image, `AS` and a name".to_owned()),
    };
    let platform = flags.iter().find_map(|flag| flag.value.clone());
    Ok(From { image: (*image).to_owned(), platform, name })
}

fn parse_arg(arguments: &str, escape: char) -> Result<Vec<(String, Option<String>)>, Message> {
    let words = split_quoted(arguments, escape);
    if words.is_empty() {
        return Err("`ARG` needs a name".to_owned());
    }
    let pairs = words.into_iter().map(|word| match word.split_once('=') {
        Some(("", _)) => Err("`ARG` needs a name before the `=`".to_owned()),
        Some((name, value)) => Ok((name.to_owned(), Some(value.to_owned()))),
        None => Ok((word, None)),
    });
    pairs.collect()
}

fn parse_env(arguments: &str, escape: char) -> Result<Vec<(String, String)>, Message> {
    let words = split_quoted(arguments, escape);
    let first = words.first().ok_or_else(|| "`ENV` needs a name and a value".to_owned())?;
    if !first.contains('=') {
        // The old form: a name, white space, and all the rest is the value.
        let (name, value) = split_first(arguments);
        if value.is_empty() {
            return Err("`ENV` needs a name and a value".to_owned());
        }
        return Ok(vec![(name.to_owned(), value.to_owned())]);
    }
    let pairs = words.into_iter().map(|word| match word.split_once('=') {
        Some(("", _)) => Err("`ENV` needs a name before the `=`".to_owned()),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(format!("`ENV` has no `=` in `{word}`")),
    });
    pairs.collect()
}

fn parse_transfer(reader: Reader, flags: Vec<Flag>, arguments: &str) -> Result<Transfer, Message> {
    let mut words = match string_array(arguments) {
        StringArray::Strings(words) => words,
        StringArray::OtherValues => return Err(format!("the array of `{reader}` has other values than strings")),
        StringArray::NotJson => split_all(arguments).into_iter().map(str::to_owned).collect(),
    };
    if words.len() < 2 {
        return Err(format!("`{reader}` needs a source and a destination"));
    }
    let destination = words.pop();
    if destination.is_some_and(|word| is_heredoc(&word)) {
        return Err(format!("`{reader}` has a heredoc as its destination"));
    }
    words.retain(|word| !is_heredoc(word));
    let known: &[&str] = match reader {
        Reader::Add => &["chown", "chmod", "link", "keep-git-dir", "checksum", "exclude", "unpack"],
        _ => &["from", "chown", "chmod", "link", "parents", "exclude"],
    };
    let value = |name: &str| flags.iter().find(|flag| flag.name == name).and_then(|flag| flag.value.clone());
    let from = value("from").filter(|from| reader == Reader::Copy && !from.is_empty());
    let checksum = value("checksum").filter(|_| reader == Reader::Add);
    let unknown_flags = flags.into_iter().filter(|flag| !flag.is_known(known)).collect();
    Ok(Transfer { reader, from, checksum, sources: words, unknown_flags })
}

fn parse_run(flags: Vec<Flag>, arguments: &str) -> Result<Run, Message> {
    if string_array(arguments) == StringArray::OtherValues {
        return Err("the array of `RUN` has other values than strings".to_owned());
    }
    let (known, unknown_flags): (Vec<Flag>, Vec<Flag>) =
        flags.into_iter().partition(|flag| flag.is_known(&["mount", "network", "security", "device"]));
    let mounts = known.into_iter().filter(|flag| flag.name == "mount").filter_map(|flag| flag.value).collect();
    Ok(Run { mounts, unknown_flags })
}

fn parse_onbuild(arguments: &str) -> Result<Command, Message> {
    let (word, _) = split_first(arguments);
    let is_forbidden = ["onbuild", "from", "maintainer"].iter().any(|name| word.eq_ignore_ascii_case(name));
    if is_forbidden {
        return Err(format!("`{word}` is not allowed behind `ONBUILD`"));
    }
    // A trigger is kept as text and parsed anew with the default escape character.
    parse_command(arguments, '\\').map(|command| Command::Onbuild(Box::new(command)))
}
