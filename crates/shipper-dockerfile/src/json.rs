//! The JSON that Dockerfiles contain: the exec form, and an object with a `syntax` member.
//!
//! Follows Go's `encoding/json` as BuildKit uses it: what is not valid JSON is taken for shell words, so the border
//! between the two is part of the format. Nesting is bounded, input of any shape gives a value or `None`.

/// Deeper nesting is treated as "not JSON".
const MAX_DEPTH: usize = 64;

/// A value, as far as anyone asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Json {
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
    Other,
}

/// The value that `text` is; `None` if it is not one valid JSON value with nothing around it but white space.
pub(crate) fn parse(text: &str) -> Option<Json> {
    let mut reader = Reader { rest: text };
    let value = reader.value(0)?;
    reader.space();
    reader.rest.is_empty().then_some(value)
}

/// The result of reading an exec form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StringArray {
    Strings(Vec<String>),
    /// A JSON array with other things than strings, which BuildKit refuses.
    OtherValues,
    NotJson,
}

/// Reads `text` as an array of strings.
pub(crate) fn string_array(text: &str) -> StringArray {
    let text = text.trim_start();
    let Some(Json::Array(values)) = text.starts_with('[').then(|| parse(text)).flatten() else {
        return StringArray::NotJson;
    };
    let strings: Option<Vec<String>> =
        values.into_iter().map(|value| if let Json::String(text) = value { Some(text) } else { None }).collect();
    strings.map_or(StringArray::OtherValues, StringArray::Strings)
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn eat(&mut self, token: &str) -> bool {
        let after = self.rest.strip_prefix(token);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.space();
        match self.rest.chars().next()? {
            '"' => self.string().map(Json::String),
            '[' => self.array(depth),
            '{' => self.object(depth),
            '-' | '0'..='9' => self.number(),
            _ => (self.eat("true") || self.eat("false") || self.eat("null")).then_some(Json::Other),
        }
    }

    fn array(&mut self, depth: usize) -> Option<Json> {
        let mut values = Vec::new();
        self.rest = &self.rest[1..];
        self.space();
        if self.eat("]") {
            return Some(Json::Array(values));
        }
        loop {
            values.push(self.value(depth + 1)?);
            self.space();
            if self.eat("]") {
                return Some(Json::Array(values));
            }
            if !self.eat(",") {
                return None;
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        let mut members = Vec::new();
        self.rest = &self.rest[1..];
        self.space();
        if self.eat("}") {
            return Some(Json::Object(members));
        }
        loop {
            self.space();
            let name = if self.rest.starts_with('"') { self.string()? } else { return None };
            self.space();
            if !self.eat(":") {
                return None;
            }
            members.push((name, self.value(depth + 1)?));
            self.space();
            if self.eat("}") {
                return Some(Json::Object(members));
            }
            if !self.eat(",") {
                return None;
            }
        }
    }

    fn number(&mut self) -> Option<Json> {
        self.eat("-");
        if !self.eat("0") {
            self.digits()?;
        }
        if self.eat(".") {
            self.digits()?;
        }
        if self.eat("e") || self.eat("E") {
            let _signed = self.eat("+") || self.eat("-");
            self.digits()?;
        }
        Some(Json::Other)
    }

    fn digits(&mut self) -> Option<()> {
        let after = self.rest.trim_start_matches(|rune: char| rune.is_ascii_digit());
        let found = after.len() < self.rest.len();
        self.rest = after;
        found.then_some(())
    }

    fn string(&mut self) -> Option<String> {
        let mut out = String::new();
        let mut runes = self.rest.char_indices().skip(1);
        while let Some((at, rune)) = runes.next() {
            match rune {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Some(out);
                }
                '\\' => match runes.next()?.1 {
                    plain @ ('"' | '\\' | '/') => out.push(plain),
                    'b' => out.push('\u{8}'),
                    'f' => out.push('\u{c}'),
                    'n' => out.push('\n'),
                    'r' => out.push('\r'),
                    't' => out.push('\t'),
                    'u' => {
                        let unit = hex_unit(&self.rest[at + 2..])?;
                        runes.nth(3)?;
                        let low = self.rest.get(at + 6..).and_then(|rest| rest.strip_prefix("\\u")).and_then(hex_unit);
                        let pair = low.map(|low| char::decode_utf16([unit, low]).next());
                        if let Some(Some(Ok(rune))) = pair
                            && rune.len_utf16() == 2
                        {
                            out.push(rune);
                            runes.nth(5)?;
                        } else {
                            // A surrogate without its partner becomes U+FFFD, as in Go.
                            out.push(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER));
                        }
                    }
                    _ => return None,
                },
                control if control < ' ' => return None,
                other => out.push(other),
            }
        }
        None
    }
}

fn hex_unit(text: &str) -> Option<u16> {
    let digits = text.get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::{Json, StringArray, parse, string_array};

    #[test]
    fn the_exec_form_is_an_array_of_strings() {
        let check = |text: &str, expected: &[&str]| {
            let expected = StringArray::Strings(expected.iter().map(|text| (*text).to_owned()).collect());
            assert_eq!(string_array(text), expected, "{text}");
        };
        check(r#"[]"#, &[]);
        check(r#" ["a b", "c"]"#, &["a b", "c"]);
        check(r#"["\u0061\n\/\"\\"]"#, &["a\n/\"\\"]);
        check(
            r#"["\ud83d\ude00", "\ud83d", "\ud83dx", "\ud83d\u0061"]"#,
            &["😀", "\u{fffd}", "\u{fffd}x", "\u{fffd}a"],
        );
    }

    #[test]
    fn what_is_not_valid_json_is_left_to_the_shell_form() {
        for text in
            ["", "[", "[\"a]", "['a']", "[\"a\",]", "[\"a\"] x", "[\"\\x\"]", "[\"\u{1}\"]", "[\"\\u12\"]", "{}"]
        {
            assert_eq!(string_array(text), StringArray::NotJson, "{text}");
        }
        assert_eq!(string_array(&"[".repeat(100_000)), StringArray::NotJson);
    }

    #[test]
    fn other_values_in_an_array_are_told_apart() {
        for text in ["[1]", "[\"a\", null]", "[[\"a\"]]", "[{\"a\": -1.5e+3}]", "[true, false, 0]"] {
            assert_eq!(string_array(text), StringArray::OtherValues, "{text}");
        }
        for text in ["[01]", "[1.]", "[-]", "[1e]", "[nul]"] {
            assert_eq!(string_array(text), StringArray::NotJson, "{text}");
        }
    }

    #[test]
    fn objects_keep_their_members() {
        let expected = Json::Object(vec![("a".to_owned(), Json::String("b".to_owned()))]);
        assert_eq!(parse(" { \"a\" : \"b\" } "), Some(expected));
    }
}
