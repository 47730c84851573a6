//! Text from outside in HTML and SVG.

use std::fmt::{self, Write as _};

/// Text for element content and for attribute values in double quotes: markup is escaped, and characters that steer or
/// reorder what is shown are made visible.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\n' | '\t' => f.write_char(c)?,
                c if steers(c) => write!(f, "{}", c.escape_unicode())?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Control characters, and those that reorder text (Unicode Standard Annex 9, explicit directional formatting).
pub(super) fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::Escaped;

    #[test]
    fn nothing_from_outside_is_markup() {
        let escaped = Escaped("<a href=\"x\" title='y'>&\u{1b}\u{202e}\n").to_string();
        assert_eq!(escaped, "&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp;\\u{1b}\\u{202e}\n");
    }
}
