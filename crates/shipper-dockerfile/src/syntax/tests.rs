//! Statements, word rules, and a comparison with another parser.

use super::command::{Command, Transfer};
use super::words::{split_flags, split_quoted};
use super::{heredoc, parse};
use crate::context::Reader;
use proptest::prelude::*;

#[track_caller]
fn commands(text: &str) -> Vec<(usize, Command)> {
    let file = parse(text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    file.statements.into_iter().map(|statement| (statement.line, statement.command)).collect()
}

#[test]
fn options_are_taken_from_the_front() {
    let check = |text: &str, flags: &[&str], rest: &str| {
        let (found, found_rest) = split_flags(text);
        assert_eq!(
            (found.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), found_rest),
            (flags, rest),
            "{text}"
        );
    };
    check("--a --b=c d --e", &["--a", "--b=c"], "d --e");
    check("  --a='b c'x --d=\"e\\\"f\" g", &["--a=b cx", "--d=e\"f"], "g");
    check("--a -- --b", &["--a"], "--b");
    check("--a", &["--a"], "");
    check("-a b", &[], "-a b");
    check("--a\\ b c", &["--a b"], "c");
    check("--a='b", &["--a=b"], "");
    check("", &[], "");
}

#[test]
fn quoted_words_keep_their_quotes() {
    let check =
        |text: &str, escape: char, expected: &[&str]| assert_eq!(split_quoted(text, escape), expected, "{text}");
    check("a=1  b='x y' c=\"x \\\" y\"", '\\', &["a=1", "b='x y'", "c=\"x \\\" y\""]);
    check("a=x\\ y b", '\\', &["a=x\\ y", "b"]);
    check("a=x` y b\\ c", '`', &["a=x` y", "b\\", "c"]);
    check("a='x\\' b", '\\', &["a='x\\'", "b"]);
    check("a\\", '\\', &["a"]);
    check("a='x", '\\', &["a='x"]);
    check(" \t ", '\\', &[]);
    check("''", '\\', &["''"]);
}

#[test]
fn a_word_is_a_heredoc_or_not() {
    let check = |word: &str, expected: Option<(&str, bool)>| {
        let found = heredoc(word).unwrap().map(|heredoc| (heredoc.name, heredoc.chomp));
        assert_eq!(found, expected.map(|(name, chomp)| (name.to_owned(), chomp)), "{word}");
    };
    check("<<EOF", Some(("EOF", false)));
    check("<<-EOF", Some(("EOF", true)));
    check("3<<EOF", Some(("EOF", false)));
    check("<<'E F'", Some(("E F", false)));
    check("<<\"EOF\"x", Some(("EOFx", false)));
    check("<<E$x", Some(("E$x", false)));
    check("<<", None);
    check("<<-", None);
    check("<<<EOF", None);
    check("<<E<F", None);
    check("a<<EOF", None);
    check("<EOF", None);
    assert!(heredoc("<<'EOF").is_err());
}

#[test]
fn statements_carry_their_first_line() {
    let text = "# c\n\nFROM a \\\n  AS \\\n  b\nRUN <<E\nCOPY x /\nE\n\nENV a=1\n";
    let lines: Vec<usize> = commands(text).into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, [3, 6, 10]);
}

#[test]
fn the_end_of_the_file_ends_a_continued_line() {
    assert_eq!(commands("FROM a\nCOPY x / \\\n").len(), 2);
    assert_eq!(commands("FROM a\nCOPY x / \\").len(), 2);
    assert_eq!(commands("FROM a\nCOPY x \\\n\n\n # c\n /")[1].0, 2);
}

#[test]
fn environment_in_both_forms() {
    let check = |text: &str, expected: &[(&str, &str)]| {
        let expected = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(commands(text)[0].1, Command::Env(expected), "{text}");
    };
    check("ENV a=1 b='x y'", &[("a", "1"), ("b", "'x y'")]);
    check("ENV a b  c", &[("a", "b  c")]);
    check("ENV a= b=", &[("a", ""), ("b", "")]);
    check("ENV a b=c", &[("a", "b=c")]);
}

/// Well-formed statements on which the peer and this parser should agree: no heredocs outside of the first word of
/// `RUN`, no text beyond ASCII, no escapes inside of options.
fn statement() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec!["a", "b/c", "./d", "*.rs", "$X", "${Y:-z}", "e-f.g"]);
    let words = prop::collection::vec(word.clone(), 2..5);
    let gap = prop::sample::select(vec![" ", "  ", "\t", " \\\n ", " \\\n# c\n  "]);
    let option = prop::sample::select(vec!["", "--chown=1:2 ", "--link ", "--from=s0 "]);
    let keyword = prop::sample::select(vec!["COPY", "copy", "ADD"]);
    prop_oneof![
        4 => (keyword, option, words.clone(), gap).prop_map(|(keyword, option, words, gap)| {
            let option = if keyword == "ADD" { "" } else { option };
            format!("{keyword} {option}{}\n", words.join(gap))
        }),
        1 => words.prop_map(|words| format!("COPY [{}]\n", words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", "))),
        1 => Just("RUN echo 1 \\\n  && echo 2\n".to_owned()),
        1 => Just("RUN <<EOF\nCOPY no no\nEOF\n".to_owned()),
        1 => Just("COPY <<A b <<C /d/\nCOPY no no\nA\nno\nC\n".to_owned()),
        1 => Just("ENV A=1 B=2\n".to_owned()),
        1 => Just("ARG X=y\n".to_owned()),
        1 => Just("\n# comment\n".to_owned()),
        1 => Just("ONBUILD COPY o /\n".to_owned()),
        1 => Just("FROM img AS next\n".to_owned()),
    ]
}

/// What both parsers say about a statement.
type Row = (usize, &'static str, Vec<String>, Option<String>);

fn ours(text: &str) -> Vec<Row> {
    let row = |(line, command): (usize, Command)| match command {
        Command::From(from) => (line, "from", vec![from.image], from.name),
        Command::Transfer(Transfer { reader, sources, from, .. }) => {
            (line, if reader == Reader::Add { "add" } else { "copy" }, sources, from)
        }
        Command::Onbuild(_) => (line, "onbuild", Vec::new(), None),
        _ => (line, "other", Vec::new(), None),
    };
    commands(text).into_iter().map(row).collect()
}

fn theirs(text: &str) -> Vec<Row> {
    use parse_dockerfile::{Flag, Instruction, Source};
    let line = |at: usize| text[..at].matches('\n').count() + 1;
    let paths = |sources: &[Source<'_>]| {
        sources
            .iter()
            .filter_map(|source| match source {
                Source::Path(path) => Some(path.value.to_string()),
                _ => None,
            })
            .collect()
    };
    let from = |options: &[Flag<'_>]| {
        options
            .iter()
            .find(|flag| flag.name.value == "from")
            .and_then(|flag| flag.value.as_ref())
            .map(|value| value.value.to_string())
    };
    let row = |instruction: Result<Instruction<'_>, parse_dockerfile::Error>| match instruction.unwrap() {
        Instruction::From(from) => (
            line(from.from.span.start),
            "from",
            vec![from.image.value.to_string()],
            from.as_.map(|(_, name)| name.value.to_string()),
        ),
        Instruction::Copy(copy) => (line(copy.copy.span.start), "copy", paths(&copy.src), from(&copy.options)),
        Instruction::Add(add) => (line(add.add.span.start), "add", paths(&add.src), from(&add.options)),
        Instruction::Onbuild(onbuild) => (line(onbuild.onbuild.span.start), "onbuild", Vec::new(), None),
        Instruction::Run(run) => (line(run.run.span.start), "other", Vec::new(), None),
        Instruction::Env(env) => (line(env.env.span.start), "other", Vec::new(), None),
        Instruction::Arg(arg) => (line(arg.arg.span.start), "other", Vec::new(), None),
        other => panic!("{other:?} is not generated"),
    };
    parse_dockerfile::parse_iter(text).unwrap().map(row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn another_parser_agrees_on_plain_files(statements in prop::collection::vec(statement(), 0..8)) {
        let text = format!("FROM base AS s0\n{}", statements.concat());
        prop_assert_eq!(ours(&text), theirs(&text));
    }
}

/// Everything that means something somewhere.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "FROM",
        "COPY",
        "ADD",
        "RUN",
        "ENV",
        "ARG",
        "ONBUILD",
        " AS ",
        "--from=",
        "--mount=",
        "<<E",
        "<<-",
        "E\n",
        "# escape=`",
        "# syntax=",
        "$",
        "${",
        "}",
        "'",
        "\"",
        "\\",
        "\\\n",
        "`",
        "#",
        "=",
        "[",
        "]",
        "\"a\"",
        ",",
        "/",
        ".",
        ":",
        "-",
        " ",
        " ",
        "\t",
        "\n",
        "\n",
        "\r\n",
        "a",
        "b",
        "é",
        "\u{feff}",
        "\0",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
fn no_text_makes_it_panic(pieces in prop::collection::vec(piece(), 0..24)) {
        let text = pieces.concat();
        let first = parse(&text).map(|file| file.statements.len());
        prop_assert!(first.is_err() || first.unwrap() <= text.lines().count());
    }
}
