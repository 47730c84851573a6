//! Manifests about a manifest: signatures, SBOMs, provenance, each naming its subject.
//!
//! Source: OCI distribution specification 1.1, "Listing Referrers" and "Referrers Tag Schema": a registry with the API
//! keeps the list itself and says so (`OCI-Subject`) when a referrer is stored; for all others the client keeps an index
//! under the tag `<algorithm>-<hex>` of the subject. In a layout that is an entry of `index.json`; manifests without a tag that
//! name a subject count as well, because oras writes no list there.
//!
//! Invariants: the list is sorted by digest, without duplicates, and filtered here whatever the registry says it filtered;
//! a referrer counts as stored only when a list that was read afterwards names it. No registry can compare and swap, so
//! two writers of the tag may take each other's entry away: each looks again after a pause and adds its own once more.

use std::collections::BTreeMap;
use std::time::Instant;

use reqwest::Method;
use reqwest::header::{ACCEPT, HeaderValue, LINK};

use crate::client::{Ask, Envelope};
use crate::registry::{Registry, Seen, Stored, next_link};
use crate::store::{Target, blocking};
use crate::{
    Descriptor, Digest, Error, ImageIndex, MAX_MANIFEST_BYTES, Manifest, Repository, Result, Selector, Tag, media_type,
};

/// Most pages of a list.
const MAX_PAGES: usize = 1_000;

/// Most times that an entry is added to the fallback index before giving up.
const TRIES: u32 = 12;

/// The tag under which the referrers of `subject` are listed where the registry has no API: each part cut as the
/// specification says, so that the longest digest gives a tag.
pub(crate) fn fallback_tag(subject: &Digest) -> Tag {
    let hex: String = subject.hex().chars().take(64).collect();
    format!("{}-{hex}", subject.algorithm().as_str()).parse().expect("because a digest has only characters of a tag")
}

/// Whether a tag is one of [`fallback_tag`].
pub(crate) fn is_fallback_tag(tag: &str) -> bool {
    let hex = |text: &str| text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    tag.split_once('-').is_some_and(|(algorithm, rest)| matches!(algorithm, "sha256" | "sha512") && hex(rest))
}

/// A manifest as an entry of a list of referrers: with its artifact type, else the media type of its configuration.
pub(crate) fn entry(manifest: &Manifest) -> Descriptor {
    let mut entry = manifest.descriptor();
    let of_config = || manifest.as_image().map(|image| image.config.media_type.as_str());
    entry.artifact_type = manifest.artifact_type().or_else(of_config).map(str::to_owned);
    entry.annotations.clone_from(manifest.annotations());
    entry
}

/// The index `list` with `entry` in it; `None` when it is in already.
pub(crate) fn merged(list: Option<&Manifest>, entry: &Descriptor) -> Result<Option<Manifest>> {
    let mut entries = list.and_then(Manifest::as_index).map(|index| index.manifests.clone()).unwrap_or_default();
    if entries.iter().any(|known| known.digest == entry.digest) {
        return Ok(None);
    }
    entries.push(entry.clone());
    Manifest::index(&ImageIndex::new(entries)).map(Some)
}

fn listed(entries: Vec<Descriptor>, artifact_type: Option<&str>) -> Vec<Descriptor> {
    let wanted = entries
        .into_iter()
        .filter(|entry| artifact_type.is_none_or(|wanted| entry.artifact_type.as_deref() == Some(wanted)));
    let unique: BTreeMap<Digest, Descriptor> = wanted.map(|entry| (entry.digest.clone(), entry)).collect();
    unique.into_values().collect()
}

/// The lists of several subjects of one repository: that a registry keeps none is learnt from the first answer. The first
/// subject must be there, for registries may say of a missing one what they say of a missing API.
pub(crate) struct Lists<'a> {
    repository: &'a Repository,
    may_have_api: bool,
    /// Referrers of a layout that no list names, each behind its subject; read once.
    untagged: Option<Vec<(Digest, Descriptor)>>,
}

impl<'a> Lists<'a> {
    pub(crate) fn of(repository: &'a Repository) -> Lists<'a> {
        Lists { repository, may_have_api: true, untagged: None }
    }

    /// As [`Repository::referrers`].
    pub(crate) async fn read(&mut self, subject: &Digest, artifact_type: Option<&str>) -> Result<Vec<Descriptor>> {
        let of_api = match &self.repository.target {
            Target::Registry(registry) if self.may_have_api => registry.referrers(subject, artifact_type).await?,
            Target::Registry(_) | Target::Layout(_) | Target::Refused => None,
        };
        self.may_have_api = of_api.is_some();
        let entries = match of_api {
            Some(entries) => entries,
            None => {
                let list = self.repository.manifest(&Selector::Tag(fallback_tag(subject))).await?;
                let mut entries =
                    list.as_ref().and_then(Manifest::as_index).map(|index| index.manifests.clone()).unwrap_or_default();
                if artifact_type.is_some() {
                    self.name_types(&mut entries).await?;
                }
                entries.extend(self.untagged(subject).await?);
                entries
            }
        };
        Ok(listed(entries, artifact_type))
    }

    /// What refers to `subject` in a layout and is in no list.
    async fn untagged(&mut self, subject: &Digest) -> Result<Vec<Descriptor>> {
        let Target::Layout(layout) = &self.repository.target else { return Ok(Vec::new()) };
        let all = match self.untagged.take() {
            Some(all) => all,
            None => {
                let layout = layout.clone();
                blocking(move || layout.untagged_referrers()).await?
            }
        };
        let found = all.iter().filter(|(of, _)| of == subject).map(|(_, entry)| entry.clone()).collect();
        self.untagged = Some(all);
        Ok(found)
    }

    /// Gives the artifact types that a list kept by clients does not tell: cosign and crane write the media type of the
    /// configuration there, also where the manifest has an artifact type. Of a manifest that is gone nothing is changed.
    async fn name_types(&self, entries: &mut [Descriptor]) -> Result<()> {
        let untold =
            |entry: &&mut Descriptor| entry.artifact_type.as_deref().is_none_or(|kind| kind == media_type::EMPTY);
        for told in entries.iter_mut().filter(untold) {
            if let Some(manifest) = self.repository.manifest(&Selector::Digest(told.digest.clone())).await? {
                told.artifact_type = entry(&manifest).artifact_type;
            }
        }
        Ok(())
    }
}

impl Repository {
    /// The manifests whose subject is `subject`, sorted by digest; only those of `artifact_type` where one is given. What
    /// the entries say about themselves is the registry's word: fetch and verify them before use.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # use std::collections::BTreeMap;
    /// use shipper_oci::{BlobSource, Descriptor, ImageManifest, Manifest, Store, artifact, media_type};
    /// # let dir = tempfile::tempdir()?;
    /// # let repository = Store::layout(dir.path()).repository(&"shop/api".parse()?);
    /// # let config = Descriptor::of(media_type::EMPTY, b"{}");
    /// # repository.push_blob(&config, BlobSource::Bytes("{}".into())).await?;
    /// # let image = Manifest::image(&ImageManifest::new(config, vec![]))?;
    /// # repository.put_manifest(&image, Some(&"v1".parse()?)).await?;
    /// let note = artifact("application/vnd.example.note", &[], Some(image.descriptor()), &BTreeMap::new())?;
    /// repository.put_referrer(&note.manifest).await?;
    /// let found = repository.referrers(image.digest(), Some("application/vnd.example.note")).await?;
    /// assert_eq!(found[0].digest, *note.manifest.digest());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Repository::manifest`]; [`Error::TooLarge`] for a list without end.
    pub async fn referrers(&self, subject: &Digest, artifact_type: Option<&str>) -> Result<Vec<Descriptor>> {
        Lists::of(self).read(subject, artifact_type).await
    }

    /// Stores a manifest that names a subject, so that [`Repository::referrers`] finds it. Its blobs must be there
    /// before; the subject may come later.
    ///
    /// # Errors
    /// [`Error::InvalidManifest`] for a manifest without subject; as [`Repository::put_manifest`].
    pub async fn put_referrer(&self, manifest: &Manifest) -> Result<()> {
        let Some(subject) = manifest.subject().map(|subject| subject.digest.clone()) else {
            let reason = "it names no subject".to_owned();
            return Err(Error::InvalidManifest { digest: manifest.digest().clone(), reason });
        };
        match &self.target {
            Target::Registry(registry) => {
                let stored = registry.send_manifest(manifest, &Selector::Digest(manifest.digest().clone())).await?;
                registry.list_referrer(&subject, manifest, stored).await
            }
            Target::Layout(layout) => {
                let (layout, manifest) = (layout.clone(), manifest.clone());
                blocking(move || layout.put_referrer(&fallback_tag(&subject), &manifest)).await
            }
            Target::Refused => Err(self.refused()),
        }
    }
}

impl Registry {
    /// The list that the registry keeps, over all pages; `None` when it keeps none.
    async fn referrers(&self, subject: &Digest, artifact_type: Option<&str>) -> Result<Option<Vec<Descriptor>>> {
        if !self.client.quirks().has_referrers {
            return Ok(None);
        }
        let mut url = self.client.url(&self.name, &format!("referrers/{subject}"))?;
        if let Some(artifact_type) = artifact_type {
            url.query_pairs_mut().append_pair("artifactType", artifact_type);
        }
        let what = format!("list the referrers of {}@{subject}", self.name);
        let mut entries = Vec::new();
        for _ in 0..MAX_PAGES {
            let ask = Ask::new(Method::GET, url.clone(), what.as_str(), &self.name, self.pull())
                .header(ACCEPT, HeaderValue::from_static(media_type::IMAGE_INDEX));
            let mut reply = self.client.ask(&ask).await?.reply;
            match reply.status.as_u16() {
                200 => {}
                // "If the registry does not support the referrers API, the response status code MUST be 404".
                404 | 405 | 501 if entries.is_empty() => return Ok(None),
                status => {
                    let envelope = Envelope::read(&mut reply).await;
                    if status == 400 && envelope.has_code(&["UNSUPPORTED"]) && entries.is_empty() {
                        return Ok(None);
                    }
                    return Err(envelope.error(self.client.host(), &Method::GET, &what, status));
                }
            }
            let next = reply.header(&LINK).and_then(next_link).map(str::to_owned);
            let body = reply.bytes(MAX_MANIFEST_BYTES).await?;
            let list = Manifest::parse(Some(media_type::IMAGE_INDEX), body)?;
            entries.extend(list.as_index().map(|index| index.manifests.clone()).unwrap_or_default());
            match next {
                None => return Ok(Some(entries)),
                Some(next) => url = self.client.own_url(&url, &next, "next page")?,
            }
        }
        Err(Error::TooLarge { what: format!("{what}: number of pages"), limit: MAX_PAGES as u64 })
    }

    /// Adds a stored referrer to the list, unless the registry said that it keeps the list itself.
    async fn list_referrer(&self, subject: &Digest, manifest: &Manifest, stored: Stored) -> Result<()> {
        if stored.subject.as_ref() == Some(subject) {
            return Ok(());
        }
        let tag = fallback_tag(subject);
        let selector = Selector::Tag(tag.clone());
        let entry = entry(manifest);
        let mut pause = std::time::Duration::ZERO;
        for _ in 0..TRIES {
            let began = Instant::now();
            let list = self.manifest(&selector).await?;
            let Some(mut index) = merged(list.as_ref(), &entry)? else {
                // It was there when it was read; another writer who read before us may still take it away.
                if !pause.is_zero() {
                    return Ok(());
                }
                pause = began.elapsed() * 3;
                tokio::time::sleep(pause).await;
                continue;
            };
            pause = std::time::Duration::ZERO;
            match self.put_manifest(&index, Some(&tag), Seen::InAnswer).await {
                Err(Error::Incomplete { .. }) => {
                    index = self.without_gone(&index).await?;
                    self.put_manifest(&index, Some(&tag), Seen::InAnswer).await?;
                }
                result => result?,
            }
        }
        Err(Error::Protocol {
            host: self.client.host().to_string(),
            what: format!("list the referrers of {}@{subject}", self.name),
            reason: format!("an entry was not kept in {TRIES} tries"),
        })
    }

    /// An index without the entries whose manifests are gone.
    async fn without_gone(&self, index: &Manifest) -> Result<Manifest> {
        let mut kept = Vec::new();
        for entry in index.as_index().map(|index| index.manifests.clone()).unwrap_or_default() {
            if self.has_manifest(&entry.digest).await? {
                kept.push(entry);
            }
        }
        Manifest::index(&ImageIndex::new(kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fallback_tag_is_that_of_the_specification() {
        let digest = Digest::of(b"x");
        assert_eq!(fallback_tag(&digest).as_str(), digest.as_str().replace(':', "-"));
        let long: Digest = format!("sha512:{}", "ab".repeat(64)).parse().unwrap();
        assert_eq!(fallback_tag(&long).as_str(), format!("sha512-{}", "ab".repeat(32)));
    }

    #[test]
    fn entries_are_merged_once_and_listed_in_order() {
        let of = |number: u8, kind: &str| {
            let mut entry = Descriptor::of(media_type::IMAGE_MANIFEST, &[number]);
            entry.artifact_type = Some(kind.to_owned());
            entry
        };
        let one = merged(None, &of(1, "a/b")).unwrap().unwrap();
        let two = merged(Some(&one), &of(2, "c/d")).unwrap().unwrap();
        assert!(merged(Some(&two), &of(1, "a/b")).unwrap().is_none());
        let entries = two.as_index().unwrap().manifests.clone();
        assert_eq!(listed(entries.clone(), Some("c/d")), [of(2, "c/d")]);
        let twice = [entries.clone(), entries].concat();
        let all = listed(twice, None);
        assert!(all.len() == 2 && all[0].digest < all[1].digest, "{all:?}");
    }
}
