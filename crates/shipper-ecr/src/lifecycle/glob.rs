//! Globs over tags.
//!
//! Source: ECR user guide, "Lifecycle policy parameters", `tagPatternList`: `*` stands for zero or more characters, and
//! the whole tag has to match.

/// A tag glob: `*` stands for any run of characters, everything else for itself.
///
/// Equal globs match the same tags: `a**` is `a*`.
///
/// ```
/// use shipper_ecr::TagGlob;
/// let glob = TagGlob::pattern("v*.*");
/// assert!(glob.matches("v1.2") && !glob.matches("v1") && !glob.matches("rev1.2"));
/// assert_eq!(TagGlob::prefix("pr-"), TagGlob::pattern("pr-*"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagGlob {
    /// The literals around and between the stars: the first is anchored at the start, the last at the end, and those
    /// between are not empty. One literal means that there is no star.
    literals: Vec<Box<str>>,
}

impl TagGlob {
    /// The tags that an entry of `tagPatternList` matches.
    #[must_use]
    pub fn pattern(text: &str) -> Self {
        let mut parts = text.split('*').peekable();
        let mut literals: Vec<Box<str>> = Vec::new();
        while let Some(part) = parts.next() {
            // `**` leaves an empty literal between two stars.
            let is_outer = literals.is_empty() || parts.peek().is_none();
            if is_outer || !part.is_empty() {
                literals.push(part.into());
            }
        }
        Self { literals }
    }

    /// The tags that an entry of `tagPrefixList` matches. A star in it stands for itself, and so matches no tag.
    #[must_use]
    pub fn prefix(text: &str) -> Self {
        Self { literals: vec![text.into(), "".into()] }
    }

    /// Whether the whole of `tag` matches.
    #[must_use]
    pub fn matches(&self, tag: &str) -> bool {
        match self.literals.as_slice() {
            [only] => **only == *tag,
            [first, middle @ .., last] => {
                let rest = tag.strip_prefix(&**first).and_then(|rest| rest.strip_suffix(&**last));
                let mut rest = rest.map(str::as_bytes);
                for literal in middle {
                    rest = rest.and_then(|rest| after(rest, literal.as_bytes()));
                }
                rest.is_some()
            }
            [] => false,
        }
    }

    /// Whether every tag that matches `self` matches `other` too.
    ///
    /// A star of `self` is given to `other` as a character that no literal holds: only a star can take it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        other.matches(&self.literals.join("\u{0}"))
    }
}

/// What follows the first `literal`, which is not empty. Both are so short that a search for its first byte is all the
/// preparation that pays.
fn after<'t>(text: &'t [u8], literal: &[u8]) -> Option<&'t [u8]> {
    let (first, others) = literal.split_first()?;
    let last = text.len().checked_sub(literal.len())?;
    let mut candidates = memchr::memchr_iter(*first, &text[..=last]);
    candidates.find(|&at| text[at + 1..].starts_with(others)).map(|at| &text[at + literal.len()..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, letter by letter.
    fn naive(glob: &[u8], tag: &[u8]) -> bool {
        match (glob, tag) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => naive(rest, tag) || (!tag.is_empty() && naive(glob, &tag[1..])),
            ([one, rest @ ..], [first, tail @ ..]) => one == first && naive(rest, tail),
            _ => false,
        }
    }

    #[test]
    fn anchored_at_both_ends() {
        let check =
            |glob: &str, tag: &str, expected| assert_eq!(TagGlob::pattern(glob).matches(tag), expected, "{glob} {tag}");
        check("prod*", "prod-1", true);
        check("prod*", "reprod", false);
        check("*prod*", "reprod", true);
        check("*", "anything", true);
        check("latest", "latest", true);
        check("latest", "latest-1", false);
        check("a*a", "a", false);
        check("a*b*b", "ab", false);
    }

    proptest! {
        #[test]
        fn matching_is_the_definition(glob in "[ab*]{0,7}", tag in "[ab]{0,8}") {
            prop_assert_eq!(TagGlob::pattern(&glob).matches(&tag), naive(glob.as_bytes(), tag.as_bytes()));
        }

        #[test]
        fn a_prefix_is_the_pattern_with_a_star(prefix in "[ab]{0,4}", tag in "[ab]{0,6}") {
            let glob = TagGlob::prefix(&prefix);
            prop_assert_eq!(&glob, &TagGlob::pattern(&format!("{prefix}*")));
            prop_assert_eq!(glob.matches(&tag), tag.starts_with(&prefix));
        }

        #[test]
        fn what_is_within_matches_no_more(a in "[ab*]{0,5}", b in "[ab*]{0,5}", tag in "[abc]{0,7}") {
            let (inner, outer) = (TagGlob::pattern(&a), TagGlob::pattern(&b));
            prop_assert!(!inner.is_within(&outer) || !inner.matches(&tag) || outer.matches(&tag), "{a} in {b}, {tag}");
        }
    }
}
