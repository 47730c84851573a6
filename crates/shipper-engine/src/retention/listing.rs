//! The images of a repository: what is in use, and what the repository's own policy does to each.
//!
//! Invariant: who asks for images by name gets what ECR says of those alone; that one of them is in use can only be told from
//! the whole listing, for indexes and signatures bring others into use.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;
use shipper_ecr::{Fate, ImageFacts, LifecyclePolicy, ListedImage, StorageClass, TagGlob, Verdict, simulate};

use super::in_use::{Found, InUse};
use super::{Target, time};
use crate::Error;

/// What is asked of [`list_images`].
#[derive(Debug, Clone, Default)]
pub struct ListingOptions {
    /// Relative paths lie here.
    pub directory: PathBuf,
    /// Name or URI of the repository.
    pub repository: String,
    /// Tags and digests; all images where there are none.
    pub names: Vec<String>,
    /// Patterns of tags, one of which an image must have; every image where there are none.
    pub tags: Vec<String>,
    /// At most so many, the newest.
    pub newest: Option<usize>,
    /// What is in use.
    pub in_use: InUse,
    /// The time at which the policy is evaluated; the clock's where it is absent.
    pub now: Option<String>,
}

/// The images of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageListing {
    /// The newest first.
    pub images: Vec<ImageEntry>,
    /// How many the repository has; `None` where images were asked for by name.
    pub total: Option<usize>,
    /// Names that were asked for, and are none's.
    pub missing: Vec<String>,
    /// References that are said to be in use, and are not there.
    pub unknown: Vec<String>,
    /// Why the repository's policy could not be evaluated.
    pub policy_problem: Option<String>,
}

/// An image of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImageEntry {
    /// `sha256:..`.
    pub digest: String,
    /// Its tags, in the order of ECR.
    pub tags: Vec<String>,
    /// When it was pushed, in RFC 3339.
    pub pushed_at: String,
    /// When it was last pulled, as far as ECR recorded it.
    pub pulled_at: Option<String>,
    /// Bytes of its layers, compressed; 0 for an index.
    pub size: u64,
    /// Media type of its manifest.
    pub media_type: String,
    /// Whether it is in the archive, and has to be restored before it can be pulled.
    pub archived: bool,
    /// What says that it is in use.
    pub in_use: Option<String>,
    /// What the repository's policy does to it; `None` where it has none, or images were asked for by name.
    pub policy: Option<ImageFate>,
}

/// What a policy does to an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImageFate {
    /// `keep`, `expire`, `archive`, or `uncertain` where the documentation can be read both ways.
    pub fate: &'static str,
    /// Priority of the rule that acts on it, or may.
    pub rule: Option<u32>,
    /// Which rules it is about, and which of them shields it.
    pub why: String,
}

/// Lists the images of a repository.
///
/// # Errors
/// [`Error::RepositoryName`], [`Error::Time`], those of [`InUse`]; [`Error::Aws`].
pub async fn list_images(options: &ListingOptions) -> Result<ImageListing, Error> {
    let now = time(options.now.as_deref())?;
    let target = Target::open(&options.repository, options.in_use.project.as_ref()).await?;
    let mut listing = if options.names.is_empty() {
        whole(&target, options, now).await?
    } else {
        let described = target.ecr.described(&target.name, &options.names).await;
        let described = described.map_err(target.failed("describe images of"))?;
        ImageListing {
            images: described.images.into_iter().map(|image| entry(image, None, None)).collect(),
            missing: described.missing,
            ..ImageListing::default()
        }
    };
    let patterns: Vec<TagGlob> = options.tags.iter().map(String::as_str).map(TagGlob::pattern).collect();
    let is_wanted = |image: &ImageEntry| {
        patterns.is_empty() || image.tags.iter().any(|tag| patterns.iter().any(|pattern| pattern.matches(tag)))
    };
    listing.images.retain(is_wanted);
    listing.images.sort_by(|a, b| (&b.pushed_at, &a.digest).cmp(&(&a.pushed_at, &b.digest)));
    listing.images.truncate(options.newest.unwrap_or(usize::MAX));
    Ok(listing)
}

/// All images, with what is in use and what the repository's policy does.
async fn whole(target: &Target, options: &ListingOptions, now: Timestamp) -> Result<ImageListing, Error> {
    let images = target.ecr.listing(&target.name).await.map_err(target.failed("list the images of"))?;
    let facts: Vec<ImageFacts> = images.iter().map(|image| image.facts.clone()).collect();
    let Found { mut used, unknown } = target.in_use(&options.in_use, &options.directory, &facts).await?;
    let text = target.ecr.lifecycle_policy(&target.name).await.map_err(target.failed("read the policy of"))?;
    let (verdicts, policy_problem) = match text.as_deref().map(LifecyclePolicy::parse) {
        Some(Ok(policy)) => (Some(simulate(&policy, &facts, now).verdicts), None),
        Some(Err(problem)) => (None, Some(problem.to_string())),
        None => (None, None),
    };
    let mut verdicts = verdicts.map(Vec::into_iter);
    let entries = images.into_iter().enumerate().map(|(at, image)| {
        let verdict = verdicts.as_mut().and_then(Iterator::next);
        entry(image, used.remove(&at), verdict.as_ref())
    });
    let entries: Vec<ImageEntry> = entries.collect();
    Ok(ImageListing { total: Some(entries.len()), images: entries, missing: Vec::new(), unknown, policy_problem })
}

fn entry(image: ListedImage, in_use: Option<String>, verdict: Option<&Verdict>) -> ImageEntry {
    let fate = |verdict: &Verdict| {
        let (fate, rule) = match verdict.fate {
            Fate::Keep => ("keep", None),
            Fate::Expire(rule) => ("expire", Some(rule)),
            Fate::Archive(rule) => ("archive", Some(rule)),
            Fate::Uncertain(rule) => ("uncertain", Some(rule)),
        };
        ImageFate { fate, rule, why: verdict.why.to_string() }
    };
    let ListedImage { facts, size, media_type } = image;
    // Whole seconds, as ECR tells them to people, so that texts sort as times do.
    let second = |time: Timestamp| Timestamp::from_second(time.as_second()).unwrap_or(time).to_string();
    ImageEntry {
        pushed_at: second(facts.pushed_at),
        pulled_at: facts.pulled_at.map(second),
        archived: facts.storage == StorageClass::Archive,
        digest: facts.digest,
        tags: facts.tags,
        size,
        media_type,
        in_use,
        policy: verdict.map(fate),
    }
}
