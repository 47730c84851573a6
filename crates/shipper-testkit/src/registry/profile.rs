//! What differs between registries, as data: one row of [`Quirks`] for each [`Profile`].
//!
//! Invariant: handlers ask a quirk, never the profile, so that a new registry is a new row.

/// Which registry the stand-in behaves like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// The OCI distribution specification 1.1 as written: referrers API, `OCI-Subject`, paged tags, `Content-Range`
    /// checked, relative upload locations, a tag can be deleted.
    Spec,
    /// Docker Distribution 2.8.2 as packaged by Debian: no referrers API, tags are not paged, a manifest is refused
    /// to a client whose `Accept` does not name its type, `DELETE` of a tag is `DIGEST_INVALID`, `ETag` and 304,
    /// upload locations carry a state that changes with each `PATCH`. Compared with the real server by this crate's tests.
    Distribution,
    /// Amazon ECR: repositories are not created by a push and an upload to a missing one drops the connection,
    /// `PATCH` answers 201 and the bytes of a second `PATCH` are lost, blobs are served by redirect from a storage
    /// host, a tag of an immutable repository is refused even with equal bytes, a page holds at most 1000 tags.
    Ecr,
    /// GitHub's registry: 4 MiB for each `PATCH`, no referrers API although `subject` is stored, mounts only between
    /// repositories of one owner, blobs by redirect, manifests cannot be deleted.
    Ghcr,
}

/// What is done with a `PATCH` of an upload session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patch {
    /// Bytes are appended; `Content-Range` must continue where the last one ended.
    Checked,
    /// Bytes are appended; `Content-Range` is not looked at.
    Unchecked,
    /// Only the first counts (aws/containers-roadmap 2831); a first part under 5 MiB refuses a second one.
    FirstOnly,
    /// Appended, but no request may carry more bytes than this.
    AtMost(usize),
}

/// When `POST ?mount=..&from=..` gives 201 rather than a new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mount {
    /// Whenever the source repository holds the blob.
    Present,
    /// Only if the account has switched it on and a manifest of the source repository refers to the blob.
    Committed,
    /// Only between repositories with the same first path component.
    SameOwner,
}

/// The answer to `DELETE` of a manifest by tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeleteTag {
    Removes,
    DigestInvalid,
    Unsupported,
}

/// The answer to a path whose repository, tag or digest breaks the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadPath {
    /// An error envelope with `NAME_INVALID`, `TAG_INVALID` or `DIGEST_INVALID`, status 400.
    Envelope,
    /// 404 in plain text, because no route of the server matches.
    NoRoute,
    /// 400 without a body.
    Bare,
}

/// How a blob upload location is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// Path only.
    Relative,
    /// With scheme and host.
    Absolute,
    /// With scheme, host and a query that is only valid for the present offset.
    Stateful,
}

/// How a registry deviates; the doc of each field says what `true` or the larger value means.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quirks {
    /// A push creates its repository.
    pub(super) creates_repositories: bool,
    /// An upload to a missing repository ends in a closed connection instead of 404.
    pub(super) drops_missing: bool,
    pub(super) patch: Patch,
    /// Status of a `PATCH` that was taken.
    pub(super) patch_status: u16,
    /// `POST ?digest=` with a body completes the upload.
    pub(super) single_post: bool,
    pub(super) mount: Mount,
    /// The referrers API exists.
    pub(super) referrers: bool,
    pub(super) delete_tag: DeleteTag,
    /// `DELETE` of a manifest by digest works.
    pub(super) deletes_manifests: bool,
    /// Manifests and blobs carry `ETag`; a manifest answers 304 to `If-None-Match`.
    pub(super) etag: bool,
    /// A manifest is only given to a client whose `Accept` names its media type.
    pub(super) needs_accept: bool,
    /// `n` and `last` of a tag list are honoured.
    pub(super) pages_tags: bool,
    /// Largest `n` of a tag list; larger is an error.
    pub(super) largest_page: Option<usize>,
    /// A blob `GET` is answered by a redirect to the storage host.
    pub(super) redirects_blobs: bool,
    /// `Location` is sent with a stored manifest.
    pub(super) manifest_location: bool,
    pub(super) upload_location: Location,
    pub(super) bad_path: BadPath,
    /// Status and code of a manifest that cannot be parsed.
    pub(super) manifest_invalid: (u16, &'static str),
    /// Status of a manifest that names a missing blob or child.
    pub(super) missing_blob: u16,
    /// Status of a request whose credentials are good but not sufficient.
    pub(super) insufficient: u16,
    /// `Docker-Distribution-Api-Version` is sent.
    pub(super) api_version: bool,
}

impl Profile {
    pub(super) const fn quirks(self) -> Quirks {
        match self {
            Self::Spec => SPEC,
            Self::Distribution => DISTRIBUTION,
            Self::Ecr => ECR,
            Self::Ghcr => GHCR,
        }
    }
}

const SPEC: Quirks = Quirks {
    creates_repositories: true,
    drops_missing: false,
    patch: Patch::Checked,
    patch_status: 202,
    single_post: true,
    mount: Mount::Present,
    referrers: true,
    delete_tag: DeleteTag::Removes,
    deletes_manifests: true,
    etag: false,
    needs_accept: false,
    pages_tags: true,
    largest_page: None,
    redirects_blobs: false,
    manifest_location: true,
    upload_location: Location::Relative,
    bad_path: BadPath::Envelope,
    manifest_invalid: (400, "MANIFEST_INVALID"),
    missing_blob: 404,
    insufficient: 401,
    api_version: false,
};

const DISTRIBUTION: Quirks = Quirks {
    patch: Patch::Unchecked,
    single_post: false,
    referrers: false,
    delete_tag: DeleteTag::DigestInvalid,
    etag: true,
    needs_accept: true,
    pages_tags: false,
    upload_location: Location::Stateful,
    bad_path: BadPath::NoRoute,
    missing_blob: 400,
    api_version: true,
    ..SPEC
};

const ECR: Quirks = Quirks {
    creates_repositories: false,
    drops_missing: true,
    patch: Patch::FirstOnly,
    patch_status: 201,
    single_post: false,
    mount: Mount::Committed,
    largest_page: Some(1000),
    redirects_blobs: true,
    manifest_location: false,
    upload_location: Location::Absolute,
    bad_path: BadPath::Bare,
    manifest_invalid: (405, "UNSUPPORTED"),
    insufficient: 403,
    api_version: true,
    ..SPEC
};

const GHCR: Quirks = Quirks {
    patch: Patch::AtMost(4 << 20),
    single_post: false,
    mount: Mount::SameOwner,
    referrers: false,
    delete_tag: DeleteTag::Unsupported,
    deletes_manifests: false,
    redirects_blobs: true,
    insufficient: 403,
    api_version: true,
    ..SPEC
};
