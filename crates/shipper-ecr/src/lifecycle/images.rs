//! The images of a repository, as the evaluator needs them.
//!
//! Source: `ImageDetail` of the ECR API, as `aws ecr describe-images` prints it.

use std::collections::HashSet;
use std::fmt;

use jiff::Timestamp;
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, de};

use super::model::StorageClass;
use crate::error::{Error, Syntax};

/// Which images an image index refers to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Children {
    /// It is not an index.
    #[default]
    None,
    /// It is an index whose content was not read.
    Unknown,
    /// The digests in the index.
    Known(Vec<String>),
}

/// An image, index or artifact in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFacts {
    /// `sha256:..`.
    pub digest: String,
    /// Its tags, in the order of the listing.
    pub tags: Vec<String>,
    /// When it was pushed.
    pub pushed_at: Timestamp,
    /// When it was last pulled, to the day or so; absent where it never was.
    pub pulled_at: Option<Timestamp>,
    /// When it was last moved to the archive.
    pub archived_at: Option<Timestamp>,
    /// When it was last restored from the archive.
    pub activated_at: Option<Timestamp>,
    /// Where it is kept.
    pub storage: StorageClass,
    /// What it refers to.
    pub children: Children,
    /// The image that it is a signature, SBOM or attestation of.
    pub subject: Option<String>,
}

/// Media types of image indexes (OCI image-spec; Docker image manifest V2 schema 2).
const INDEX_TYPES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

/// Whether a manifest of this media type is an index.
pub(crate) fn is_index(media_type: &str) -> bool {
    INDEX_TYPES.contains(&media_type)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with `imageDetails`")]
struct Listing {
    image_details: Vec<Detail>,
    #[serde(alias = "NextToken")]
    next_token: Option<String>,
}

/// Keys that are not read are left to AWS: it adds some every year.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    image_digest: String,
    #[serde(default)]
    image_tags: Vec<String>,
    image_pushed_at: Time,
    last_recorded_pull_time: Option<Time>,
    last_archived_at: Option<Time>,
    last_activated_at: Option<Time>,
    image_status: Option<Status>,
    #[serde(default)]
    image_manifest_media_type: String,
    subject_manifest_digest: Option<String>,
    repository_name: Option<String>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "UPPERCASE")]
enum Status {
    Active,
    Archived,
    /// On its way back: in the archive until it has arrived.
    Activating,
}

/// RFC 3339, or seconds since the Unix epoch as the first version of the AWS command line prints them.
struct Time(Timestamp);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as 2026-01-31T12:00:00Z, or seconds since 1970")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                text.parse().map(Time).map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Time, E> {
                let milliseconds = (seconds * 1000.0).round();
                if !(-1e15..=1e15).contains(&milliseconds) {
                    return Err(E::invalid_value(de::Unexpected::Float(seconds), &self));
                }
                #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
                let milliseconds = milliseconds as i64;
                let time = Timestamp::from_millisecond(milliseconds);
                time.map(Time).map_err(|_| E::invalid_value(de::Unexpected::Float(seconds), &self))
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Time, E> {
                let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
                time.map(Time).ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(seconds), &self))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

const LISTING_HINT: &str = "pass what `aws ecr describe-images --repository-name NAME --output json` prints";

impl ImageFacts {
    /// Reads the output of `aws ecr describe-images`: an object with `imageDetails`.
    ///
    /// Such a listing does not say which images an index refers to.
    ///
    /// # Errors
    /// [`Error::Syntax`] with line and column for anything else; [`Error::Listing`] for one page of several, for two
    /// repositories in one listing, and for an image that is listed twice.
    pub fn parse_describe_images(text: &str) -> Result<Vec<Self>, Error> {
        let listing: Listing =
            serde_json::from_str(text).map_err(|error| Error::Syntax(Syntax::new(&error, LISTING_HINT)))?;
        if listing.next_token.is_some() {
            return Err(Error::Listing {
                problem: "it is one page of several (`nextToken`)".to_owned(),
                hint: "leave `--max-items`, `--max-results` and `--no-paginate` out",
            });
        }
        let mut repository = None;
        let mut images = Vec::with_capacity(listing.image_details.len());
        for detail in listing.image_details {
            if let Some(name) = &detail.repository_name {
                let first = repository.get_or_insert_with(|| name.clone());
                if first != name {
                    return Err(Error::Listing {
                        problem: format!("it holds images of `{first}` and of `{name}`"),
                        hint: "a policy is evaluated in each repository by itself; pass one listing at a time",
                    });
                }
            }
            images.push(detail.image());
        }
        let mut seen = HashSet::with_capacity(images.len());
        if let Some(twice) = images.iter().find(|image| !seen.insert(image.digest.as_str())) {
            return Err(Error::Listing { problem: format!("it lists {} twice", twice.digest), hint: LISTING_HINT });
        }
        Ok(images)
    }

    /// The time that ranks images of one storage class (ECR user guide, "Lifecycle policies": pushed, restored or
    /// transitioned).
    pub(super) fn rank_time(&self) -> Timestamp {
        match self.storage {
            StorageClass::Archive => self.archived_at.unwrap_or(self.pushed_at),
            StorageClass::Standard => self.activated_at.unwrap_or(self.pushed_at),
        }
    }

    /// The time that `sinceImagePulled` measures from: the last pull; the restoration where it was not pulled since;
    /// the push where it never was.
    pub(super) fn pull_time(&self) -> Timestamp {
        self.pulled_at.into_iter().chain(self.activated_at).max().unwrap_or(self.pushed_at)
    }
}

impl Detail {
    fn image(self) -> ImageFacts {
        ImageFacts {
            children: if is_index(&self.image_manifest_media_type) { Children::Unknown } else { Children::None },
            digest: self.image_digest,
            tags: self.image_tags,
            pushed_at: self.image_pushed_at.0,
            pulled_at: self.last_recorded_pull_time.map(|time| time.0),
            archived_at: self.last_archived_at.map(|time| time.0),
            activated_at: self.last_activated_at.map(|time| time.0),
            storage: match self.image_status {
                Some(Status::Archived | Status::Activating) => StorageClass::Archive,
                Some(Status::Active) | None => StorageClass::Standard,
            },
            subject: self.subject_manifest_digest,
        }
    }
}
