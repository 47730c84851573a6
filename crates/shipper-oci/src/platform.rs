//! Platforms: operating system, architecture and variant, in the words of the Go tool chain (`linux/arm64/v8`).
//!
//! Source: OCI image specification, image index, "platform"; variants as containerd normalises them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// What a machine must be to run an image. Compare with [`Platform::matches`], which knows that `arm64` means `arm64/v8`.
///
/// ```
/// use shipper_oci::Platform;
/// let platform: Platform = "linux/arm64/v8".parse()?;
/// assert!(platform.matches(&"linux/arm64".parse()?));
/// # Ok::<(), shipper_oci::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// Processor architecture: `amd64`, `arm64`, `arm`, ..
    pub architecture: String,
    /// Operating system: `linux`, `windows`, ..
    pub os: String,
    /// Variant of the architecture: `v7`, `v8`, ..
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// The platform of an image that runs on this machine: always `linux` (containers), with the architecture of the
    /// running program.
    #[must_use]
    pub fn host() -> Platform {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "x86" => "386",
            "aarch64" => "arm64",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            "loongarch64" => "loong64",
            other => other,
        };
        let variant = (architecture == "arm").then(|| "v7".to_owned());
        Platform { architecture: architecture.to_owned(), os: "linux".to_owned(), variant }
    }

    /// Whether an image for `other` is an image for this platform: equal after `arm64` is read as `arm64/v8` and `arm`
    /// as `arm/v7` (the defaults of containerd's platform matching).
    #[must_use]
    pub fn matches(&self, other: &Platform) -> bool {
        self.os == other.os
            && self.architecture == other.architecture
            && self.effective_variant() == other.effective_variant()
    }

    fn effective_variant(&self) -> Option<&str> {
        match (self.architecture.as_str(), self.variant.as_deref()) {
            (_, Some("")) | ("amd64", Some("v1")) => None,
            ("arm64", None) => Some("v8"),
            ("arm", None) => Some("v7"),
            (_, variant) => variant,
        }
    }
}

impl FromStr for Platform {
    type Err = Error;

    /// `os/architecture[/variant]`; lower-case letters, digits, `_`, `.` and `-` in each part.
    fn from_str(input: &str) -> Result<Platform, Error> {
        let invalid = |reason| Error::invalid("platform", input, reason);
        let parts: Vec<&str> = input.split('/').collect();
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'.' | b'-');
        if parts.iter().any(|part| part.is_empty() || part.len() > 64 || !part.bytes().all(allowed)) {
            return Err(invalid("each part needs 1 to 64 lower-case letters, digits, `_`, `.` or `-`"));
        }
        let (os, architecture, variant) = match parts[..] {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant)),
            _ => return Err(invalid("it is not `os/architecture` or `os/architecture/variant`, as in `linux/amd64`")),
        };
        // The names that `uname -m` and rustc print; taking them literally would make images that no machine matches.
        match architecture {
            "x86_64" => return Err(invalid("write `amd64` for x86_64")),
            "aarch64" => return Err(invalid("write `arm64` for aarch64")),
            _ => {}
        }
        Ok(Platform { architecture: architecture.to_owned(), os: os.to_owned(), variant: variant.map(str::to_owned) })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) if !variant.is_empty() => write!(f, "/{variant}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_parse_and_print_alike() {
        for good in ["linux/amd64", "linux/arm64/v8", "linux/arm/v7", "unknown/unknown", "windows/amd64"] {
            assert_eq!(good.parse::<Platform>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "linux",
            "linux/",
            "/amd64",
            "linux/amd64/v1/x",
            "Linux/amd64",
            "linux/x86_64",
            "linux/aarch64",
            "linux/a b",
        ] {
            assert!(bad.parse::<Platform>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn default_variants_match_themselves_written_out() {
        let check = |left: &str, right: &str| left.parse::<Platform>().unwrap().matches(&right.parse().unwrap());
        assert!(check("linux/arm64", "linux/arm64/v8"));
        assert!(check("linux/arm", "linux/arm/v7"));
        assert!(check("linux/amd64", "linux/amd64/v1"));
        assert!(!check("linux/arm/v6", "linux/arm"));
        assert!(!check("linux/amd64", "linux/amd64/v3"));
        assert!(!check("linux/amd64", "windows/amd64"));
    }

    #[test]
    fn the_host_platform_is_a_valid_linux_platform() {
        let host = Platform::host();
        assert_eq!(host.os, "linux");
        assert_eq!(host.to_string().parse::<Platform>().unwrap(), host);
    }
}
