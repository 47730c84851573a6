//! What statements are about: an image by its digest.

use serde::{Deserialize, Serialize};

use crate::component::hex;
use crate::purl::{Ecosystem, purl};
use crate::{Error, Result};

/// An image, named by the digest of its manifest or index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// A name for people; verification ignores it.
    pub name: String,
    /// Digest of the manifest, `sha256:` and 64 hexadecimal digits.
    digest: String,
}

impl Subject {
    /// An image with this digest.
    ///
    /// # Errors
    /// [`Error::Document`] for a digest that is not SHA-256 in lower-case hexadecimal.
    pub fn new(name: impl Into<String>, digest: &str) -> Result<Self> {
        let good = |hex: &str| {
            hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        };
        if digest.strip_prefix("sha256:").is_some_and(good) {
            return Ok(Self { name: name.into(), digest: digest.to_owned() });
        }
        let reason = "it is not `sha256:` and 64 hexadecimal digits".to_owned();
        Err(Error::Document { what: "a digest", reason })
    }

    /// The digest with its algorithm.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The digits of the digest.
    #[must_use]
    pub fn hex(&self) -> &str {
        self.digest.strip_prefix("sha256:").unwrap_or_default()
    }

    /// The image's package URL.
    #[must_use]
    pub fn purl(&self) -> String {
        purl(Ecosystem::Oci, &self.name, Some(&self.digest), &[])
    }
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&sha256_bytes(bytes))
}

/// SHA-256.
pub(crate) fn sha256_bytes(bytes: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().to_vec()
}

/// Seconds since the Unix epoch as SPDX and CycloneDX write times, in UTC. Up to the year 9999; later is that year's end.
pub(crate) fn time(seconds: u64) -> String {
    let seconds = seconds.min(253_402_300_799);
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(time(u64::MAX), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn a_subject_has_a_whole_digest() {
        assert!(Subject::new("api", &format!("sha256:{}", "a".repeat(64))).is_ok());
        for bad in ["", "sha256:", "sha512:aa", &format!("sha256:{}", "A".repeat(64)), &"a".repeat(64)] {
            assert!(Subject::new("api", bad).is_err(), "{bad}");
        }
    }
}
