//! Which files a Rust source names: `include!` and its kin, `#[path]`, modules.
//!
//! A lexer, not a parser: it knows comments, strings of every kind, characters and lifetimes, and looks for a few shapes
//! in what remains. It never fails; text that is no Rust gives references to files that do not exist, which do no harm.
//! It errs to the side of finding too much (a reference under `#[cfg(test)]` counts), because what it misses is an error
//! of the build and what it finds too much is at most a needless build.

/// A file that a source names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reference {
    /// `include!`, `include_str!`, `include_bytes!`.
    Include {
        path: String,
        from: From,
        /// Whether what is included is Rust.
        is_source: bool,
    },
    /// `#[path = ".."]`, inside these inline modules.
    Path { inline: Vec<String>, path: String },
    /// `mod name;`, inside these inline modules.
    Module { inline: Vec<String>, name: String },
}

/// What the path of an include is relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// The directory of the source.
    Source,
    /// The directory of the manifest, by `concat!(env!("CARGO_MANIFEST_DIR"), "..")`.
    Manifest,
}

/// The references of a source, in its order.
pub(super) fn references(source: &[u8]) -> Vec<Reference> {
    if !may_refer(source) {
        return Vec::new();
    }
    Scanner { tokens: tokens(source), found: Vec::new() }.run()
}

/// A quick look that spares most sources the lexer. `mod x;` alone is no reason: modules only matter in files outside
/// the package, which [`all_references`] reads.
fn may_refer(source: &[u8]) -> bool {
    ["include", "path"].iter().any(|word| memchr::memmem::find(source, word.as_bytes()).is_some())
}

/// As [`references`], with modules even where nothing else is named.
pub(super) fn all_references(source: &[u8]) -> Vec<Reference> {
    Scanner { tokens: tokens(source), found: Vec::new() }.run()
}

/// Paths in the literals of a build script that lead out of its package: `"../proto/shop.proto"`, and the same behind
/// `concat!(env!("CARGO_MANIFEST_DIR"), ..)` or `cargo:rerun-if-changed=`. A build script runs in the package's directory.
pub(super) fn outward_paths(script: &[u8]) -> Vec<String> {
    let outward = |token| match token {
        Token::Str(text) => {
            let path = text.rsplit('=').next().unwrap_or_default().trim_start_matches(['/', ' ']);
            path.starts_with("../").then(|| path.to_owned())
        }
        _ => None,
    };
    tokens(script).into_iter().filter_map(outward).collect()
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token<'a> {
    Ident(&'a [u8]),
    /// The value of a plain or raw string; strings of bytes and C strings are no paths.
    Str(String),
    Punct(u8),
    /// A literal that is nothing of interest.
    Other,
}

struct Scanner<'a> {
    tokens: Vec<Token<'a>>,
    found: Vec<Reference>,
}

impl Scanner<'_> {
    fn run(mut self) -> Vec<Reference> {
        // Inline modules that are open, each with the depth of braces at which it began.
        let mut inline: Vec<(String, usize)> = Vec::new();
        let mut depth = 0_usize;
        for at in 0..self.tokens.len() {
            match &self.tokens[at] {
                Token::Punct(b'{') => depth += 1,
                Token::Punct(b'}') => {
                    depth = depth.saturating_sub(1);
                    if inline.last().is_some_and(|(_, began)| *began == depth) {
                        inline.pop();
                    }
                }
                Token::Punct(b'#') => {
                    let names: Vec<String> = inline.iter().map(|(name, _)| name.clone()).collect();
                    self.path_attribute(at + 1, &names);
                }
                Token::Ident(b"include") => self.include(at + 1, true),
                Token::Ident(b"include_str" | b"include_bytes") => self.include(at + 1, false),
                Token::Ident(b"mod") => {
                    let Some(Token::Ident(name)) = self.tokens.get(at + 1) else { continue };
                    let name = String::from_utf8_lossy(name).into_owned();
                    match self.tokens.get(at + 2) {
                        Some(Token::Punct(b'{')) => inline.push((name, depth)),
                        Some(Token::Punct(b';')) => {
                            let inline = inline.iter().map(|(name, _)| name.clone()).collect();
                            self.found.push(Reference::Module { inline, name });
                        }
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        self.found
    }

    fn is_punct(&self, at: usize, wanted: &[u8]) -> bool {
        matches!(self.tokens.get(at), Some(Token::Punct(byte)) if wanted.contains(byte))
    }

    fn is_ident(&self, at: usize, wanted: &[u8]) -> bool {
        matches!(self.tokens.get(at), Some(Token::Ident(name)) if *name == wanted)
    }

    /// `! ( "literal" )` or `! ( concat ! ( .. ) )`, with any kind of brackets.
    fn include(&mut self, at: usize, is_source: bool) {
        if !self.is_punct(at, b"!") || !self.is_punct(at + 1, b"([{") {
            return;
        }
        let named = match self.tokens.get(at + 2) {
            Some(Token::Str(path)) => Some((path.clone(), From::Source)),
            Some(Token::Ident(b"concat")) => self.concat(at + 3),
            _ => None,
        };
        self.found.extend(named.map(|(path, from)| Reference::Include { path, from, is_source }));
    }

    /// `! ( [env!("CARGO_MANIFEST_DIR"),] "a", "b" )`.
    fn concat(&self, at: usize) -> Option<(String, From)> {
        if !self.is_punct(at, b"!") || !self.is_punct(at + 1, b"([{") {
            return None;
        }
        let mut at = at + 2;
        let of_manifest = self.is_ident(at, b"env");
        if of_manifest {
            let names_manifest =
                matches!(self.tokens.get(at + 3), Some(Token::Str(name)) if name == "CARGO_MANIFEST_DIR");
            if !self.is_punct(at + 1, b"!") || !names_manifest {
                return None;
            }
            at += 5;
        }
        let mut path = String::new();
        loop {
            match self.tokens.get(at)? {
                Token::Str(part) => path.push_str(part),
                Token::Punct(b',') => {}
                Token::Punct(b')' | b']' | b'}') => break,
                _ => return None,
            }
            at += 1;
        }
        match path.strip_prefix('/') {
            Some(below) if of_manifest => Some((below.to_owned(), From::Manifest)),
            // Without a slash the literal continues the directory's name.
            None if of_manifest => None,
            _ => Some((path, From::Source)),
        }
    }

    /// `path = "literal"` anywhere between the brackets of an attribute; `cfg_attr` has it inside.
    fn path_attribute(&mut self, at: usize, inline: &[String]) {
        let mut at = if self.is_punct(at, b"!") { at + 1 } else { at };
        if !self.is_punct(at, b"[") {
            return;
        }
        let mut open = 0_usize;
        while let Some(token) = self.tokens.get(at) {
            match token {
                Token::Punct(b'[') => open += 1,
                Token::Punct(b']') => {
                    open -= 1;
                    if open == 0 {
                        return;
                    }
                }
                Token::Ident(b"path") if self.is_punct(at + 1, b"=") => {
                    if let Some(Token::Str(path)) = self.tokens.get(at + 2) {
                        let (inline, path) = (inline.to_vec(), path.clone());
                        self.found.push(Reference::Path { inline, path });
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }
}

fn tokens(source: &[u8]) -> Vec<Token<'_>> {
    let mut lexer = Lexer { source, at: 0 };
    // A byte order mark and a line for the shell may come first; `#![` is an attribute.
    if source.starts_with(b"\xef\xbb\xbf") {
        lexer.at = 3;
    }
    if lexer.rest().starts_with(b"#!") && !lexer.rest()[2..].trim_ascii_start().starts_with(b"[") {
        lexer.skip_line();
    }
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next() {
        tokens.push(token);
    }
    tokens
}

struct Lexer<'a> {
    source: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.source[self.at.min(self.source.len())..]
    }

    fn skip_line(&mut self) {
        let rest = self.rest();
        self.at += rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    }

    /// Comments nest.
    fn skip_block_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            match self.rest() {
                [b'/', b'*', ..] => (depth, self.at) = (depth + 1, self.at + 2),
                [b'*', b'/', ..] => {
                    (depth, self.at) = (depth - 1, self.at + 2);
                    if depth == 0 {
                        return;
                    }
                }
                [_, ..] => self.at += 1,
                [] => return,
            }
        }
    }

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            match self.rest() {
                [] => return None,
                [b'/', b'/', ..] => self.skip_line(),
                [b'/', b'*', ..] => self.skip_block_comment(),
                [byte, ..] if byte.is_ascii_whitespace() => self.at += 1,
                [b'"', ..] => {
                    self.at += 1;
                    return Some(Token::Str(self.string()));
                }
                [b'\'', ..] => return Some(self.quote()),
                [byte, ..] if is_ident(*byte) => return Some(self.word()),
                [byte, ..] => {
                    self.at += 1;
                    return Some(Token::Punct(*byte));
                }
            }
        }
    }

    /// The value of a string after its opening quote.
    fn string(&mut self) -> String {
        let mut value = Vec::new();
        loop {
            match self.rest() {
                [] => break,
                [b'"', ..] => {
                    self.at += 1;
                    break;
                }
                [b'\\', escaped, ..] => {
                    let escaped = *escaped;
                    self.at += 2;
                    self.escape(escaped, &mut value);
                }
                [byte, ..] => {
                    value.push(*byte);
                    self.at += 1;
                }
            }
        }
        String::from_utf8_lossy(&value).into_owned()
    }

    fn escape(&mut self, escaped: u8, value: &mut Vec<u8>) {
        match escaped {
            b'n' => value.push(b'\n'),
            b'r' => value.push(b'\r'),
            b't' => value.push(b'\t'),
            b'0' => value.push(0),
            // A line that continues: its end and the space that follows are not part of the value.
            b'\n' | b'\r' => self.at += self.rest().iter().take_while(|byte| byte.is_ascii_whitespace()).count(),
            b'x' => {
                let digits = self.rest().get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
                value.extend(digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()));
                self.at += 2;
            }
            b'u' => {
                let rest = self.rest();
                let end = rest.iter().position(|&byte| byte == b'}').unwrap_or(0);
                let digits: String =
                    rest[..end].iter().filter(|byte| byte.is_ascii_hexdigit()).map(|&byte| char::from(byte)).collect();
                let character = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                value.extend(character.map(String::from).unwrap_or_default().bytes());
                self.at += if end > 0 { end + 1 } else { 0 };
            }
            other => value.push(other),
        }
    }

    /// A character or a lifetime.
    fn quote(&mut self) -> Token<'a> {
        let rest = &self.rest()[1..];
        let length = match rest {
            [b'\\', ..] => {
                // An escaped quote is the only quote that does not end the literal.
                let end = rest.iter().skip(2).position(|&byte| byte == b'\'');
                end.map(|end| end + 3)
            }
            [first, ..] => {
                let width = match first {
                    0..0x80 => 1,
                    0x80..0xe0 => 2,
                    0xe0..0xf0 => 3,
                    0xf0.. => 4,
                };
                (rest.get(width) == Some(&b'\'')).then_some(width + 1)
            }
            [] => None,
        };
        match length {
            Some(length) => self.at += 1 + length,
            None => self.at += 1 + rest.iter().take_while(|byte| is_ident(**byte)).count(),
        }
        Token::Other
    }

    /// An identifier, a number, or a string with a prefix.
    fn word(&mut self) -> Token<'a> {
        let rest = self.rest();
        let word = &rest[..rest.iter().take_while(|byte| is_ident(**byte)).count()];
        let after = &rest[word.len()..];
        match (word, after) {
            (b"r" | b"br" | b"cr", [b'"' | b'#', ..]) => {
                let hashes = after.iter().take_while(|&&byte| byte == b'#').count();
                if after.get(hashes) == Some(&b'"') {
                    self.at += word.len() + hashes + 1;
                    let value = self.raw_string(hashes);
                    return if word == b"r" { Token::Str(value) } else { Token::Other };
                }
                // `r#name`.
                if word == b"r" && hashes == 1 {
                    self.at += 2;
                    let name = self.rest();
                    let name = &name[..name.iter().take_while(|byte| is_ident(**byte)).count()];
                    self.at += name.len();
                    return Token::Ident(name);
                }
                self.at += word.len();
                Token::Ident(word)
            }
            (b"b" | b"c", [b'"', ..]) => {
                self.at += word.len() + 1;
                self.string();
                Token::Other
            }
            (b"b", [b'\'', ..]) => {
                self.at += 1;
                self.quote()
            }
            _ => {
                self.at += word.len();
                if word[0].is_ascii_digit() { Token::Other } else { Token::Ident(word) }
            }
        }
    }

    fn raw_string(&mut self, hashes: usize) -> String {
        let rest = self.rest();
        let ends = |at: &usize| {
            rest[*at] == b'"'
                && rest[at + 1..].len() >= hashes
                && rest[at + 1..][..hashes].iter().all(|&byte| byte == b'#')
        };
        let end = (0..rest.len()).find(ends);
        self.at += end.map_or(rest.len(), |end| end + 1 + hashes);
        String::from_utf8_lossy(&rest[..end.unwrap_or(rest.len())]).into_owned()
    }
}

fn is_ident(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(source: &str, expected: &[&str]) {
        let found: Vec<String> = all_references(source.as_bytes())
            .into_iter()
            .map(|reference| match reference {
                Reference::Include { path, from: From::Source, is_source: false } => path,
                Reference::Include { path, from: From::Source, is_source: true } => format!("source:{path}"),
                Reference::Include { path, .. } => format!("manifest:{path}"),
                Reference::Path { inline, path } => format!("path:{}:{path}", inline.join("::")),
                Reference::Module { inline, name } => format!("mod:{}:{name}", inline.join("::")),
            })
            .collect();
        assert_eq!(found, expected, "{source}");
    }

    #[test]
    fn literal_includes_are_found() {
        check(r#"const A: &str = include_str!("../a.txt");"#, &["../a.txt"]);
        check(r#"let b = std::include_bytes ! [ "b.bin" , ];"#, &["b.bin"]);
        check(r##"include! { r#"c "quoted".rs"# }"##, &["source:c \"quoted\".rs"]);
        check(r#"#![doc = include_str!("../README.md")]"#, &["../README.md"]);
        check(
            r#"include_str!("tab\there\u{e9}\x41\\ \
                    joined")"#,
            &["tab\thereéA\\ joined"],
        );
        check(r#"include_str!(concat!("a/", "b"))"#, &["a/b"]);
        check(r#"include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../a", "/b"))"#, &["manifest:../a/b"]);
    }

    #[test]
    fn what_is_not_literal_or_not_code_is_passed_over() {
        check(r#"include!(concat!(env!("OUT_DIR"), "/generated.rs"));"#, &[]);
        check(r#"include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "-other/x"))"#, &[]);
        check("macro_rules! m { ($p:expr) => { include_str!($p) } }", &[]);
        check(r#"// include_str!("a")"#, &[]);
        check(r#"/* /* include_str!("a") */ include_str!("b") */ include_str!("c")"#, &["c"]);
        check(r#"let s = "include_str!(\"a\")"; include_str!("b")"#, &["b"]);
        check(r###"let s = r##"include_str!("a") "# "##; include_str!("b")"###, &["b"]);
        check(r#"let s = b"\"include_str!(\"a\")"; let c = c"x\""; include_str!("b")"#, &["b"]);
        check(r#"let include_str = "a"; path = "b""#, &[]);
        check(r#"include_str!(b"a")"#, &[]);
    }

    #[test]
    fn quotes_are_characters_or_lifetimes() {
        check(r#"let q = '"'; include_str!("a")"#, &["a"]);
        check(r#"let q = '\''; include_str!("a")"#, &["a"]);
        check(r#"let q = '\\'; include_str!("a")"#, &["a"]);
        check(r#"let q = b'"'; include_str!("a")"#, &["a"]);
        check(r#"let q = 'é'; fn f<'a>(x: &'a str) {} include_str!("a")"#, &["a"]);
        check(r#"let q = '\u{1F600}'; 'outer: loop {} include_str!("a")"#, &["a"]);
    }

    #[test]
    fn paths_of_modules_are_found_where_attributes_stand() {
        check(r#"#[path = "../x.rs"] mod x;"#, &["path::../x.rs", "mod::x"]);
        check(r#"#[cfg_attr(unix, path = "unix.rs")] mod sys;"#, &["path::unix.rs", "mod::sys"]);
        check(
            r#"mod a { mod b { #[path = "c.rs"] mod c; } fn f() { if x {} } mod d; } mod e;"#,
            &["path:a::b:c.rs", "mod:a::b:c", "mod:a:d", "mod::e"],
        );
        check(r#"#[serde(default)] struct S { path: &'static str } mod r#type;"#, &["mod::type"]);
    }

    #[test]
    fn paths_of_build_scripts_that_lead_out_are_found() {
        let script = r#"
            // "../comment"
            compile(&["../proto/a.proto", "src/own.proto", "..", "..."], &["./../x"]);
            println!("cargo::rerun-if-changed=../proto");
            read(concat!(env!("CARGO_MANIFEST_DIR"), "/../data/b.txt"));
        "#;
        assert_eq!(outward_paths(script.as_bytes()), ["../proto/a.proto", "../proto", "../data/b.txt"]);
    }

    #[test]
    fn a_line_for_the_shell_is_no_attribute() {
        check("#!/usr/bin/env -S cargo \"\ninclude_str!(\"a\")", &["a"]);
        check("#![path = \"b\"]\n", &["path::b"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_the_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            all_references(&bytes);
        }

        #[test]
        fn any_likely_text_is_read_to_the_end(text in "([a-z ]|\"|'|#|r|b|c|\\\\|/\\*|\\*/|//|\\n|\\{|\\}|\\[|\\]|!|include_str!|concat!|env!|mod |path ?=|é|😀|\\(|\\)|;|,|u\\{){0,60}") {
            all_references(text.as_bytes());
        }
    }
}
