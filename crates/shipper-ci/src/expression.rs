//! Texts in expressions of GitHub Actions (GitHub documentation, "Evaluate expressions in workflows and actions").

/// A text where expressions are evaluated: as it is, or as an expression that has it as its value.
pub(crate) fn literal(text: &str) -> String {
    if text.contains("${{") { format!("${{{{ {} }}}}", quoted(text)) } else { text.to_owned() }
}

/// A text inside of an expression: single quotes, doubled within.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A secret of the repository, for a place where expressions are evaluated.
pub(crate) fn secret(name: &str) -> String {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_plain && name.bytes().next().is_some_and(|first| !first.is_ascii_digit()) {
        format!("${{{{ secrets.{name} }}}}")
    } else {
        format!("${{{{ secrets[{}] }}}}", quoted(name))
    }
}

/// A name in a filter of branches or tags, in which some characters are patterns.
pub(crate) fn in_filter(name: &str) -> String {
    name.chars()
        .flat_map(|c| matches!(c, '*' | '+' | '?' | '!' | '[' | ']' | '\\').then_some('\\').into_iter().chain([c]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_evaluated() {
        assert_eq!(literal("a'b}}"), "a'b}}");
        assert_eq!(literal("${{ secrets.X }}' }}"), "${{ '${{ secrets.X }}'' }}' }}");
        assert_eq!(secret("NPM_TOKEN"), "${{ secrets.NPM_TOKEN }}");
        assert_eq!(secret("A }} ${{ github.token"), "${{ secrets['A }} ${{ github.token'] }}");
        assert_eq!(secret("1'"), "${{ secrets['1'''] }}");
        assert_eq!(in_filter("c++/!x"), "c\\+\\+/\\!x");
    }
}
