//! Package URLs (package-url/purl-spec, `PURL-SPECIFICATION.rst` and `PURL-TYPES.rst`).

use std::fmt::Write as _;

/// Where packages come from: the types of package URLs that are written here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Ecosystem {
    /// Crates of Rust.
    Cargo,
    /// Packages of npm, pnpm and yarn.
    Npm,
    /// Python packages.
    Pypi,
    /// Images.
    Oci,
}

impl Ecosystem {
    /// The type in a package URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cargo => "cargo",
            Self::Npm => "npm",
            Self::Pypi => "pypi",
            Self::Oci => "oci",
        }
    }
}

/// The package URL of `name` (with `/` between scope and name) in `version`; `qualifiers` sorted by name.
///
/// ```
/// use shipper_attest::{Ecosystem, purl};
/// assert_eq!(purl(Ecosystem::Npm, "@types/node", Some("20.1.0"), &[]), "pkg:npm/%40types/node@20.1.0");
/// ```
#[must_use]
pub fn purl(ecosystem: Ecosystem, name: &str, version: Option<&str>, qualifiers: &[(&str, &str)]) -> String {
    let mut text = format!("pkg:{}", ecosystem.as_str());
    for part in name.split('/') {
        text.push('/');
        encode(part, &mut text);
    }
    if let Some(version) = version {
        text.push('@');
        encode(version, &mut text);
    }
    for (position, (name, value)) in qualifiers.iter().enumerate() {
        text.push(if position == 0 { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        encode(value, &mut text);
    }
    text
}

/// Everything but letters, digits, `.`, `-`, `_`, `~` and `:` becomes percent signs and digits.
fn encode(part: &str, text: &mut String) {
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plain_is_encoded() {
        let git = purl(Ecosystem::Cargo, "a", Some("1.0.0+b"), &[("vcs_url", "git+https://x/y@c0ffee")]);
        assert_eq!(git, "pkg:cargo/a@1.0.0%2Bb?vcs_url=git%2Bhttps:%2F%2Fx%2Fy%40c0ffee");
        assert_eq!(purl(Ecosystem::Pypi, "a?b#c", None, &[]), "pkg:pypi/a%3Fb%23c");
    }
}
