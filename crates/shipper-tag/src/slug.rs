//! Slugs: names of branches as parts of tags.
//!
//! A branch may be called `feature/a`, `#12` or anything that git allows; a tag may not. Replacing what is not allowed
//! makes different branches equal, and then one branch's image is moved or deleted for another's. [`SlugMode::Safe`]
//! keeps names apart; the other modes are those of tools that users come from.

use serde::{Deserialize, Serialize};

use crate::tag::is_tag_byte;

/// How a name becomes a part of a tag.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlugMode {
    /// Lower-case letters, digits and single dashes; a name that is not so already gets a suffix made of its hash, so
    /// that two names never share a slug.
    #[default]
    Safe,
    /// As GitLab's `CI_COMMIT_REF_SLUG`: lower case, everything but letters and digits is `-`, at most 63 bytes, no
    /// dash at the ends. Names collide. Source: GitLab's reference of predefined variables.
    Gitlab,
    /// As docker/metadata-action: each run of what a tag may not contain is one `-`. Names collide, and what comes out
    /// need not be a tag. Source: facts observed of version 6.2.
    DockerMetadata,
}

/// Characters of a suffix after its first: RFC 4648 base32 in lower case.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// First character of a suffix: a digit, so that a branch that ends in a word is not taken for a slug.
const DIGITS: &[u8; 6] = b"234567";
/// Characters of a suffix: 37.5 bits. Among 100,000 names that share their readable part, two collide once in 40 tries.
const SUFFIX: usize = 8;

/// The slug of a name, at most `most` bytes long.
///
/// In [`SlugMode::Safe`] it is a part of a valid tag wherever it stands, is not empty, and two different names have two
/// different slugs up to collisions of the suffix. `most` is raised to the length of a suffix where it is smaller.
///
/// ```
/// use shipper_tag::{SlugMode, slug};
/// assert_eq!(slug("feature-a", SlugMode::Safe, 100), "feature-a");
/// assert_eq!(slug("feature/a", SlugMode::Safe, 100), "feature-a-3jm2xtc2");
/// assert_eq!(slug("feature/a", SlugMode::Gitlab, 100), "feature-a");
/// ```
#[must_use]
pub fn slug(name: &str, mode: SlugMode, most: usize) -> String {
    match mode {
        SlugMode::Safe => safe(name, most.max(SUFFIX)),
        SlugMode::Gitlab => {
            let dashed: String = name.to_lowercase().chars().map(|c| if is_plain(c) { c } else { '-' }).collect();
            let cut: String = dashed.chars().take(most.min(63)).collect();
            cut.trim_matches('-').to_owned()
        }
        SlugMode::DockerMetadata => {
            let mut out = String::new();
            let mut replaced = false;
            for c in name.chars() {
                if u8::try_from(c).is_ok_and(is_tag_byte) {
                    out.push(c);
                    replaced = false;
                } else if !replaced {
                    out.push('-');
                    replaced = true;
                }
            }
            out
        }
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn safe(name: &str, most: usize) -> String {
    let mut readable = String::new();
    for c in name.chars().map(|c| c.to_ascii_lowercase()) {
        if is_plain(c) {
            readable.push(c);
        } else if !readable.is_empty() && !readable.ends_with('-') {
            readable.push('-');
        }
    }
    if readable == name && !name.is_empty() && name.len() <= most && !ends_in_suffix(name) && !name.ends_with('-') {
        return readable;
    }
    // A dash stands between both.
    readable.truncate(most.saturating_sub(SUFFIX + 1));
    let readable = readable.trim_end_matches('-');
    let suffix = suffix(name);
    if readable.is_empty() { suffix } else { format!("{readable}-{suffix}") }
}

/// Whether a name looks like a slug with a suffix; such a name gets a suffix of its own, or it could be another's slug.
fn ends_in_suffix(name: &str) -> bool {
    let bytes = name.as_bytes();
    let Some((before, end)) = bytes.len().checked_sub(SUFFIX).map(|at| bytes.split_at(at)) else { return false };
    let (first, rest) = (end[0], &end[1..]);
    before.last().is_none_or(|last| *last == b'-')
        && DIGITS.contains(&first)
        && rest.iter().all(|byte| BASE32.contains(byte))
}

fn suffix(name: &str) -> String {
    let hash = blake3::hash(name.as_bytes());
    let bytes = hash.as_bytes();
    let mut out = String::with_capacity(SUFFIX);
    out.push(char::from(DIGITS[usize::from(bytes[0]) % DIGITS.len()]));
    out.extend(bytes[1..SUFFIX].iter().map(|byte| char::from(BASE32[usize::from(byte & 31)])));
    out
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::Tag;

    #[test]
    fn plain_names_stay_and_others_get_a_suffix() {
        let check = |name: &str, readable: &str, suffixed: bool| {
            let slug = slug(name, SlugMode::Safe, 100);
            let expected = if suffixed && readable.is_empty() {
                suffix(name)
            } else if suffixed {
                format!("{readable}-{}", suffix(name))
            } else {
                readable.to_owned()
            };
            assert_eq!(slug, expected, "{name:?}");
        };
        check("main", "main", false);
        check("fix-button", "fix-button", false);
        check("release-20260101", "release-20260101", false);
        check("feature/a", "feature-a", true);
        check("feature//a", "feature-a", true);
        check("feature--a", "feature-a", true);
        check("Feature-a", "feature-a", true);
        check("#123-fix", "123-fix", true);
        check(".hidden", "hidden", true);
        check("v1.2", "v1-2", true);
        check("日本語", "", true);
        check("", "", true);
        check("a-", "a", true);
        check("a-2abcdefg", "a-2abcdefg", true);
        check("2abcdefg", "2abcdefg", true);
        check("a2abcdefg", "a2abcdefg", false);
        check(&"x".repeat(101), &"x".repeat(91), true);
    }

    #[test]
    fn other_tools_slugs_are_as_they_make_them() {
        let check = |mode, name: &str, expected: &str| assert_eq!(slug(name, mode, 200), expected, "{name:?}");
        check(SlugMode::Gitlab, "Feature/A", "feature-a");
        check(SlugMode::Gitlab, "-x-", "x");
        check(SlugMode::Gitlab, "a//b", "a--b");
        check(SlugMode::Gitlab, &"x".repeat(70), &"x".repeat(63));
        check(SlugMode::DockerMetadata, "Feature/A", "Feature-A");
        check(SlugMode::DockerMetadata, "#123-fix", "-123-fix");
        check(SlugMode::DockerMetadata, "日本語", "-");
        check(SlugMode::DockerMetadata, ".hidden", ".hidden");
        check(SlugMode::DockerMetadata, "a//b", "a-b");
    }

    /// Names drawn from an alphabet in which almost everything is equal once it is replaced.
    fn hostile(count: usize) -> Vec<String> {
        const ALPHABET: [&str; 16] =
            ["a", "A", "b", "-", "--", "/", "//", ".", "_", "#", "+", "é", "e\u{301}", "語", "2", " "];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap()
        };
        let mut names = Vec::with_capacity(count);
        while names.len() < count {
            let length = 1 + next() % 12;
            let mut name: String = (0..length).map(|_| ALPHABET[next() % ALPHABET.len()]).collect();
            match next() % 8 {
                // A slug as a name.
                0 => name = slug(&name, SlugMode::Safe, 100),
                // Longer than a tag.
                1 => name = name.repeat(40),
                _ => {}
            }
            names.push(name);
        }
        names
    }

    #[test]
    fn a_hundred_thousand_hostile_names_keep_apart_where_other_tools_mix_them() {
        let names = hostile(150_000);
        let collisions = |mode| {
            let mut seen: HashMap<String, &str> = HashMap::new();
            let mut mixed = 0;
            let mut distinct = 0;
            for name in &names {
                match seen.insert(slug(name, mode, 100), name) {
                    Some(other) if other != name => mixed += 1,
                    Some(_) => {}
                    None => distinct += 1,
                }
            }
            (mixed, distinct)
        };
        let (mixed, distinct) = collisions(SlugMode::Safe);
        assert_eq!(mixed, 0);
        assert!(distinct > 100_000, "{distinct} different names");
        assert!(collisions(SlugMode::Gitlab).0 > 10_000);
        assert!(collisions(SlugMode::DockerMetadata).0 > 10_000);
        for name in &names {
            let slug = slug(name, SlugMode::Safe, 100);
            assert!(slug.len() <= 100 && slug.parse::<Tag>().is_ok(), "{name:?}: {slug}");
        }
    }

    #[test]
    fn any_name_gives_a_part_of_a_tag_within_the_limit() {
        proptest::proptest!(|(name in ".{0,200}", most in 0_usize..130)| {
            let slug = slug(&name, SlugMode::Safe, most);
            proptest::prop_assert!(slug.parse::<Tag>().is_ok() && slug.len() <= most.max(SUFFIX), "{}", slug);
        });
    }
}
