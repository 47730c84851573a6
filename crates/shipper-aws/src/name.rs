//! Accounts, regions, and the names of ECR registries and repositories.
//!
//! Sources: ECR user guide, "Amazon ECR private registry" and "Making requests over IPv6" (dual-stack hosts), AWS
//! General Reference (FIPS hosts, partitions), AWS service reference (ARNs of repositories).

use std::fmt;
use std::str::FromStr;

/// A text that names no ECR registry or repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("use `{text}` as {expected}")]
pub struct NotEcr {
    /// As written.
    pub text: String,
    /// What was expected.
    pub expected: &'static str,
}

/// Number of an AWS account: twelve digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(Box<str>);

impl AccountId {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AccountId {
    type Err = NotEcr;

    fn from_str(text: &str) -> Result<Self, NotEcr> {
        let is_account = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
        let wrong = || NotEcr { text: text.to_owned(), expected: "an account of twelve digits" };
        is_account.then(|| Self(text.into())).ok_or_else(wrong)
    }
}

/// Name of an AWS region, such as `eu-west-1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(Box<str>);

impl Region {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Region {
    type Err = NotEcr;

    fn from_str(text: &str) -> Result<Self, NotEcr> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_region = (1..=40).contains(&text.len())
            && text.bytes().all(is_plain)
            && text.contains('-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        let wrong = || NotEcr { text: text.to_owned(), expected: "a region" };
        is_region.then(|| Self(text.into())).ok_or_else(wrong)
    }
}

/// A private registry of Amazon ECR: one account in one region.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EcrRegistry {
    /// Its account.
    pub account: AccountId,
    /// Its region.
    pub region: Region,
    host: String,
}

/// What stands between account and region in a registry's host, and the domains that may follow.
const HOSTS: &[(&[&str], &[&str])] = &[
    (
        &["dkr.ecr", "dkr.ecr-fips"],
        &["amazonaws.com", "amazonaws.com.cn", "amazonaws.eu", "c2s.ic.gov", "sc2s.sgov.gov"],
    ),
    (&["dkr-ecr", "dkr-ecr-fips"], &["on.aws", "on.amazonwebservices.com.cn", "on.amazonwebservices.eu"]),
];

impl EcrRegistry {
    /// The host that images are pushed to.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl FromStr for EcrRegistry {
    type Err = NotEcr;

    /// Reads the host of a registry, with or without `https://` and a slash at its end.
    fn from_str(text: &str) -> Result<Self, NotEcr> {
        let wrong = || NotEcr { text: text.to_owned(), expected: "the host of an ECR registry" };
        let host = text.strip_prefix("https://").unwrap_or(text);
        let host = host.strip_suffix('/').unwrap_or(host);
        let (account, rest) = host.split_once('.').ok_or_else(wrong)?;
        let account = account.parse().map_err(|_| wrong())?;
        for (services, domains) in HOSTS {
            for service in *services {
                let Some(rest) = rest.strip_prefix(service).and_then(|rest| rest.strip_prefix('.')) else { continue };
                let Some((region, domain)) = rest.split_once('.') else { continue };
                if domains.contains(&domain) {
                    let region = region.parse().map_err(|_| wrong())?;
                    return Ok(Self { account, region, host: host.to_owned() });
                }
            }
        }
        Err(wrong())
    }
}

/// A repository of Amazon ECR.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EcrRepository {
    /// The registry that it is in.
    pub registry: EcrRegistry,
    /// Its name, such as `shop/api`.
    pub name: String,
}

impl fmt::Display for EcrRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry.host, self.name)
    }
}

impl FromStr for EcrRepository {
    type Err = NotEcr;

    /// Reads a repository URI (a tag or digest after it is left out) or the ARN of a repository.
    fn from_str(text: &str) -> Result<Self, NotEcr> {
        let wrong = || NotEcr { text: text.to_owned(), expected: "the URI or ARN of an ECR repository" };
        if let Some(arn) = text.strip_prefix("arn:") {
            let parts: Vec<&str> = arn.splitn(5, ':').collect();
            let [partition, "ecr", region, account, resource] = parts.as_slice() else { return Err(wrong()) };
            let name =
                resource.strip_prefix("repository/").filter(|name| is_repository_name(name)).ok_or_else(wrong)?;
            let domain = match *partition {
                "aws" | "aws-us-gov" => "amazonaws.com",
                "aws-cn" => "amazonaws.com.cn",
                "aws-eusc" => "amazonaws.eu",
                _ => return Err(wrong()),
            };
            let registry = format!("{account}.dkr.ecr.{region}.{domain}").parse().map_err(|_| wrong())?;
            return Ok(Self { registry, name: (*name).to_owned() });
        }
        let (host, path) = text.split_once('/').ok_or_else(wrong)?;
        let path = path.split_once('@').map_or(path, |(path, _)| path);
        let path = path.split_once(':').map_or(path, |(path, _)| path);
        let registry = host.parse().map_err(|_| wrong())?;
        if !is_repository_name(path) {
            return Err(wrong());
        }
        Ok(Self { registry, name: path.to_owned() })
    }
}

/// Whether `name` can be that of a repository: `repositoryName` of the ECR API, 2 to 256 characters, components of
/// lower-case letters and digits with single separators between them.
#[must_use]
pub fn is_repository_name(name: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let component = |part: &str| {
        let bytes = part.as_bytes();
        bytes.first().copied().is_some_and(alphanumeric)
            && bytes.last().copied().is_some_and(alphanumeric)
            && bytes.iter().all(|&byte| alphanumeric(byte) || matches!(byte, b'.' | b'_' | b'-'))
    };
    (2..=256).contains(&name.len()) && name.split('/').all(component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_every_kind_are_read() {
        let check = |text: &str, region: &str| {
            let registry: EcrRegistry = text.parse().expect("a registry");
            assert_eq!((registry.account.as_str(), registry.region.as_str()), ("123456789012", region), "{text}");
        };
        check("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1");
        check("https://123456789012.dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1");
        check("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1");
        check("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1");
        check("123456789012.dkr-ecr.us-east-1.on.aws", "us-east-1");
        check("123456789012.dkr-ecr-fips.us-east-1.on.aws", "us-east-1");
        for wrong in [
            "public.ecr.aws",
            "ghcr.io",
            "12345678901.dkr.ecr.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example",
            "123456789012.dkr.ecr.amazonaws.com",
            "123456789012.dkr.ecr.EU-WEST-1.amazonaws.com",
            "x123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-west-1.on.aws",
            "",
        ] {
            assert!(wrong.parse::<EcrRegistry>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn uris_and_arns_name_one_repository() {
        let expected: EcrRepository =
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/api".parse().expect("a repository");
        for text in [
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/api:latest",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/api:v1@sha256:00",
            "arn:aws:ecr:eu-west-1:123456789012:repository/shop/api",
        ] {
            assert_eq!(text.parse().as_ref(), Ok(&expected), "{text}");
        }
        for wrong in [
            "shop/api",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/Shop",
            "arn:aws:s3:::bucket",
            "arn:aws:ecr:eu-west-1:123456789012:registry/x",
            "my-bucket",
        ] {
            assert!(wrong.parse::<EcrRepository>().is_err(), "{wrong}");
        }
    }
}
