//! What builds leave behind, and when it goes.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::{Project, text, tree};

/// The only project's directory of one service.
fn directory(project: &Project, service: &str) -> PathBuf {
    let mut found = std::fs::read_dir(project.cache()).expect("a cache").map(|entry| entry.expect("one").path());
    let cache = found.find(|path| path.join("services").is_dir()).expect("the project's");
    let platforms = std::fs::read_dir(cache.join("services").join(service)).expect("a service");
    platforms.map(|entry| entry.expect("one").path()).next().expect("a platform")
}

/// Sets the times of a directory and everything in it back.
fn age(directory: &std::path::Path, hours: u64) {
    let then = SystemTime::now() - Duration::from_secs(hours * 3600);
    let mut open = vec![directory.to_owned()];
    while let Some(path) = open.pop() {
        File::open(&path).and_then(|file| file.set_modified(then)).expect("sets the time");
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).expect("reads").map(|entry| entry.expect("one").path()));
        }
    }
}

fn pruned(project: &Project, arguments: &[&str]) -> Vec<(String, String)> {
    let document = project.run(["prune", "--json"].iter().chain(arguments)).ok().json();
    let list = document["pruned"]["directories"].as_array().expect("a list").clone();
    list.iter().map(|one: &Value| (text(&one["service"]), text(&one["why"]))).collect()
}

fn pair(service: &str, why: &str) -> (String, String) {
    (service.to_owned(), why.to_owned())
}

#[test]
fn what_was_long_unused_goes_only_when_asked_and_never_what_is_in_use() {
    let project = Project::two_services();
    project.ship();
    assert!(pruned(&project, &["--days", "0"]).is_empty(), "what was just used stays");
    let (docs, site) = (directory(&project, "docs"), directory(&project, "site"));
    age(&docs, 24 * 40);
    assert_eq!(pruned(&project, &[]), [pair("docs", "unused")]);
    assert!(docs.join("stage").is_dir(), "a dry run removes nothing");
    let images = tree(&project.path().join(".shipper/images"));

    // Another run has it.
    let lock = File::options().append(true).open(docs.join("lock")).expect("opens");
    lock.try_lock().expect("free");
    let document = project.run(["prune", "--apply", "--json"]).ok().json();
    assert_eq!(document["pruned"]["directories"][0]["kept"], "another run uses it");
    assert_eq!(document["freed-bytes"], 0);
    assert!(docs.join("stage").is_dir());
    drop(lock);

    project.run(["prune", "--apply"]).ok().says("Freed");
    assert_eq!(tree(&docs).into_keys().collect::<Vec<_>>(), ["lock"]);
    assert!(site.join("stage").is_dir(), "the other one was used");
    assert_eq!(tree(&project.path().join(".shipper/images")), images, "no image is touched");
    // It is only a cache.
    project.repo.write("docs/index.md", "changed");
    project.ship().says("1 built");
}

#[test]
fn bytes_are_bounded_from_the_longest_unused_on_and_unknown_services_go() {
    let project = Project::two_services();
    project.repo.write("docs/big", "x".repeat(2 << 20));
    project.repo.write("site/big", "x".repeat(2 << 20));
    project.ship();
    age(&directory(&project, "docs"), 2);
    age(&directory(&project, "site"), 3);
    assert!(pruned(&project, &["--max-mib", "100"]).is_empty());
    let one = pruned(&project, &["--max-mib", "3"]);
    assert_eq!(one, [pair("site", "too-many-bytes")]);
    project.repo.write("shipper.toml", "[project]\nname = 'demo'\n[service.docs]\nfiles = { '/srv' = 'docs' }\n");
    assert_eq!(pruned(&project, &[]), [pair("site", "unknown-service")]);
}
