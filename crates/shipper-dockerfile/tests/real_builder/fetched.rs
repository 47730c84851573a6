//! A frontend that BuildKit fetches, and what only such a one knows.
//!
//! `SHIPPER_TEST_FRONTEND` names its image, `docker/dockerfile:1` or one that knows as much: no builder that the tests
//! start has `COPY --parents` built in, and which registries a machine reaches is not for the tests to say.

use shipper_testkit::{DockerEngine, ImageStore, Skip, Suite, need};

use crate::{CONSTRUCTS, Construct, reads_what_buildkit_reads};

fn frontend() -> Result<String, Skip> {
    let absent = || Skip::new("fetched-frontend", "SHIPPER_TEST_FRONTEND is not set: it names the image to be fetched");
    std::env::var("SHIPPER_TEST_FRONTEND").map_err(|_| absent())
}

const PARENTS: &[Construct] = &[
    ("FROM scratch\nCOPY --parents a/x.rs b/a/x /\n", &[], &["a/x.rs", "b/a/x"], &["a/y.md", "c.md"]),
    ("FROM scratch\nCOPY --parents a/./b/z.rs /\n", &[], &["a/b/z.rs"], &["a/x.rs", "a/b/c/w"]),
    ("FROM scratch\nCOPY --parents a/b /\n", &[], &["a/b/z.rs", "a/b/c/w"], &["a/x.rs", "ab/x.rs"]),
    ("FROM scratch\nCOPY --parents ./a/*.rs /\n", &[], &["a/x.rs"], &["a/y.md", "ab/x.rs"]),
    ("FROM scratch\nCOPY --parents */x.rs /\n", &[], &["a/x.rs", "ab/x.rs"], &["a/y.md", "d.rs"]),
    // More than is read counts: everything below the directory before `**`.
    ("FROM scratch\nCOPY --parents a/**/z.rs /\n", &[], &["a/b/z.rs"], &["d.rs", "ab/x.rs"]),
    ("FROM scratch\nARG D=a\nCOPY --parents ${D}/y.md /\n", &[("D", "b/../a")], &["a/y.md"], &["a/x.rs"]),
    ("FROM scratch\nCOPY --parents --exclude=*.md a ab /\n", &[], &["a/x.rs", "a/b/z.rs", "ab/x.rs"], &["c.md"]),
    ("FROM scratch AS s\nCOPY a /a\nFROM scratch\nCOPY --parents --from=s a/x.rs /\n", &[], &["a/x.rs"], &["c.md"]),
];

#[test]
fn parents_are_kept_of_what_the_analysis_names() {
    let image = need!(frontend());
    let engine = need!(DockerEngine::start(Suite::Stable, ImageStore::Containerd));
    reads_what_buildkit_reads(&engine, PARENTS, Some(&image));
}

#[test]
fn a_frontend_that_is_fetched_reads_what_the_builders_own_reads() {
    let image = need!(frontend());
    let engine = need!(DockerEngine::start(Suite::Stable, ImageStore::Containerd));
    reads_what_buildkit_reads(&engine, CONSTRUCTS, Some(&image));
}
