//! Names of deployments: `d-<environment>-<milliseconds since the Unix epoch>-<random>`.
//!
//! Invariant: the name of a deployment sorts behind those of all that it knew of, whatever the clock says.

use std::fmt;
use std::str::FromStr;

use shipper_oci::Tag;

use crate::Error;
use crate::record::State;

/// The name of one deployment. Sorted by environment, then in the order in which they followed each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    environment: String,
    time: u64,
    random: u32,
}

/// Largest time that thirteen digits hold: a day in the year 2286.
const LAST: u64 = 9_999_999_999_999;

impl RecordId {
    /// A name behind `last`, at `now` in milliseconds since the Unix epoch where the clock allows it.
    #[must_use]
    pub fn after(last: Option<&Self>, environment: &str, now: u64) -> Self {
        let time = last.map_or(now, |last| now.max(last.time + 1)).min(LAST);
        Self { environment: environment.to_owned(), time, random: fastrand::u32(..) }
    }

    /// The environment.
    #[must_use]
    pub fn environment(&self) -> &str {
        &self.environment
    }

    /// The tag that a state of the deployment has; the intent has the name itself.
    #[must_use]
    pub fn tag(&self, state: State) -> Tag {
        let name = match state {
            State::Intent => self.to_string(),
            state => format!("{self}.{}", state.word()),
        };
        name.parse().expect("because names of environments are checked to fit into a tag")
    }

    /// What a tag says, where it is one of a record.
    #[must_use]
    pub fn of_tag(tag: &str) -> Option<(Self, State)> {
        let (name, state) = match tag.split_once('.') {
            Some((name, word)) => (name, State::from_word(word).filter(|state| *state != State::Intent)?),
            None => (tag, State::Intent),
        };
        Some((name.parse().ok()?, state))
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d-{}-{:013}-{:08x}", self.environment, self.time, self.random)
    }
}

impl FromStr for RecordId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parsed = || {
            let (rest, random) = text.strip_prefix("d-")?.rsplit_once('-')?;
            let (environment, time) = rest.rsplit_once('-')?;
            let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
            let digits = time.len() == 13 && time.bytes().all(|byte| byte.is_ascii_digit());
            let hex = random.len() == 8 && random.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            if environment.is_empty() || environment.len() > 63 || !environment.chars().all(is_plain) || !digits || !hex
            {
                return None;
            }
            let random = u32::from_str_radix(random, 16).ok()?;
            Some(Self { environment: environment.to_owned(), time: time.parse().ok()?, random })
        };
        parsed().ok_or_else(|| Error::NoRecordName { text: text.to_owned() })
    }
}

impl serde::Serialize for RecordId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for RecordId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_sorts_behind_what_it_knew_of_whatever_the_clock_says() {
        let first = RecordId::after(None, "prod", 1_795_788_000_123);
        let day = 86_400_000;
        for clock in [1_795_788_000_123 - day, 1_795_788_000_123, 1_795_788_000_123 + day, 0, u64::MAX] {
            let second = RecordId::after(Some(&first), "prod", clock);
            assert!(second > first, "{second} {first}");
            assert!(second.to_string() > first.to_string());
        }
    }

    #[test]
    fn any_text_is_a_name_that_reads_back_or_none() {
        for bad in ["", "d-", "d-prod", "d-prod-1-2", "d-PROD-1795788000123-00000000", "d--1795788000123-00000000"] {
            assert!(bad.parse::<RecordId>().is_err(), "{bad}");
        }
        let id = RecordId::after(None, "pr-12_a", 5);
        for state in State::ALL {
            assert_eq!(RecordId::of_tag(id.tag(state).as_ref()), Some((id.clone(), state)));
        }
        assert_eq!(RecordId::of_tag(&format!("{id}.intent")), None);
        assert_eq!(RecordId::of_tag(&format!("{id}.later")), None);
        proptest::proptest!(|(text in ".{0,60}")| {
            if let Ok(id) = text.parse::<RecordId>() {
                proptest::prop_assert_eq!(id.to_string(), text);
            }
        });
    }
}
