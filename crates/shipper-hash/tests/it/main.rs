//! shipper-hash from outside: laws, real git, stages, caches.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(unix)]
mod archive;
#[cfg(unix)]
mod cache;
#[cfg(all(unix, feature = "git"))]
mod commit;
#[cfg(all(unix, feature = "git"))]
mod git;
#[cfg(all(unix, feature = "git"))]
mod ignore;
#[cfg(all(unix, feature = "git"))]
mod leaks;
mod manifest;
#[cfg(all(unix, feature = "git"))]
mod model;
#[cfg(unix)]
mod project;
#[cfg(unix)]
mod select;
#[cfg(unix)]
mod stage;
#[cfg(unix)]
mod tree;
mod vectors;

/// Says that a test could not do its work.
#[expect(clippy::print_stderr, reason = "a skip is reported on stderr")]
fn skip(what: &str) {
    eprintln!("SKIP {what}");
}

/// Says that a test could not do its work for lack of a tool; a failure where skipping is forbidden.
fn skip_for_lack_of_a_tool(what: &str) {
    assert!(std::env::var_os("SHIPPER_NO_SKIP").is_none(), "skipping is forbidden: {what}");
    skip(what);
}
