//! Expressions of licences as SPDX knows them (SPDX 2.3, annex D).

use spdx::{Expression, ParseMode};

/// The expression in its strict form, or nothing where it is none. `MIT/Apache-2.0`, which old manifests say, is
/// `MIT OR Apache-2.0`; references to licences outside of the list would need their text and are left out.
pub(crate) fn normalise(text: &str) -> Option<String> {
    let text = text.trim();
    if text.is_empty() || text.len() > 500 || text.contains("LicenseRef") || text.contains("DocumentRef") {
        return None;
    }
    let spaced = text.replace('/', " OR ");
    // No guessing, as of `BSD`: what is not an expression says nothing.
    let strict = spaced.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    Expression::parse_mode(&strict, ParseMode::STRICT).is_ok().then_some(strict)
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn only_valid_expressions_stay() {
        let check = |text: &str, expected: Option<&str>| assert_eq!(normalise(text).as_deref(), expected, "{text}");
        check("MIT", Some("MIT"));
        check("MIT/Apache-2.0", Some("MIT OR Apache-2.0"));
        check("Apache-2.0 WITH LLVM-exception OR MIT", Some("Apache-2.0 WITH LLVM-exception OR MIT"));
        check("(MIT OR Apache-2.0) AND Unicode-3.0", Some("(MIT OR Apache-2.0) AND Unicode-3.0"));
        check("BSD", None);
        check("SEE LICENSE IN LICENSE.md", None);
        check("UNLICENSED", None);
        check("LicenseRef-own", None);
        check("MIT OR", None);
        check("", None);
    }
}
