//! Announcements: how a run that is about to name an image of a key learns of others that are, in a registry that has no
//! compare-and-swap.
//!
//! A run writes `c-<key>-<time>-<random>` and then lists the tags. Of two runs the one that announced later sees the other:
//! at least one of any two contenders knows. Who sees nobody goes on at once. Who sees somebody waits for that run's image;
//! where several see each other, or a run that announced is gone, they go on one after the other, the first that announced
//! first.
//!
//! Invariants: an announcement is a manifest of its own, so that removing it can remove nothing else; the clock decides only
//! when an announcement is too old to be waited for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use shipper_hash::BuildKey;
use shipper_oci::{Digest, Repository, Result, Selector, Tag};

use crate::names::{ANNOUNCEMENT, KEY, tag};

/// Annotation of an announcement: the digest of the image that its run has built.
const IMAGE: &str = "dev.shipper.image";

/// How long others are waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// How long the first of several waits for one that may have seen nobody; each further one waits as long again. Longer
    /// than a run needs from its look at the announcements to its name.
    pub(crate) grace: Duration,
    /// Between two looks.
    pub(crate) pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { grace: Duration::from_secs(3), pause: Duration::from_millis(200) }
    }
}

/// Announcements that differ so much in time are not of runs at the same time.
const LEASE: u64 = 10 * 60 * 1000;

/// An announcement of this run.
#[derive(Debug)]
pub(crate) struct Claim {
    repository: Repository,
    /// `c-<key>-`.
    prefix: String,
    name: Tag,
    time: u64,
    manifest: Digest,
    image: Digest,
}

impl Claim {
    /// Announces that this run has built `image` for `key`. The empty blob must be there.
    ///
    /// # Errors
    /// As for writing a manifest.
    pub(crate) async fn announce(repository: &Repository, key: &BuildKey, image: &Digest) -> Result<Self> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let time = u64::try_from(time).unwrap_or(u64::MAX);
        let prefix = key.identity_tag().replacen("h-", "c-", 1) + "-";
        let name = tag(&format!("{prefix}{time:013}-{:08x}", fastrand::u32(..)));
        let annotations = [(KEY, key.to_string()), (IMAGE, image.to_string()), ("dev.shipper.claim", name.to_string())];
        let annotations = annotations.map(|(name, value)| (name.to_owned(), value)).into();
        let artifact = shipper_oci::artifact(ANNOUNCEMENT, &[], None, &annotations)?;
        repository.put_manifest(&artifact.manifest, Some(&name)).await?;
        let manifest = artifact.manifest.digest().clone();
        Ok(Self { repository: repository.clone(), prefix, name, time, manifest, image: image.clone() })
    }

    /// How many runs have announced another image before this one, and how many at all; `None` where there are none.
    ///
    /// # Errors
    /// Where the tags can not be listed, or an announcement can not be read.
    pub(crate) async fn rank(&self) -> Result<Option<u32>> {
        let (mut before, mut others) = (0, 0);
        for name in self.repository.tags().await? {
            let Some(time) = name.as_str().strip_prefix(&self.prefix).and_then(|rest| rest.split_once('-')) else {
                continue;
            };
            let is_now = time.0.parse::<u64>().is_ok_and(|time| time.abs_diff(self.time) < LEASE);
            if name == self.name || !is_now {
                continue;
            }
            // One that is gone again has done or given up; one that has built the same bytes is no rival.
            let Some(other) = self.repository.manifest(&Selector::Tag(name.clone())).await? else { continue };
            if other.annotations().get(IMAGE).is_some_and(|image| *image == self.image.to_string()) {
                continue;
            }
            others += 1;
            before += u32::from(name.as_str() < self.name.as_str());
        }
        Ok((others > 0).then_some(before))
    }

    /// Takes the announcement back. Registries that delete nothing keep it; it is not waited for after ten minutes, and
    /// the retention of `c-*` removes it.
    pub(crate) async fn withdraw(self) {
        let _ = self.repository.delete_manifest(&self.manifest).await;
    }
}
