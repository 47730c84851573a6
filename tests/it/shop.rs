//! The main job on the example: three services become images, and the second run builds nothing.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use shipper_testkit::{Umoci, need, require_tool};

use crate::support::{Project, text};

/// A copy of `examples/shop` as a repository of its own.
fn shop() -> Project {
    let mut project = Project::new("");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shop");
    copy(&source, project.path());
    project.repo.commit("shop");
    project
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("the example is there").flatten() {
        let name = entry.file_name();
        if name == "target" || name == ".shipper" {
            continue;
        }
        let target = to.join(&name);
        if entry.path().is_dir() {
            std::fs::create_dir_all(&target).expect("creates");
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).expect("copies");
        }
    }
}

/// Ends a child when the test does.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn three_services_become_images_and_the_second_run_builds_nothing() {
    let umoci = need!(Umoci::find());
    let strace = need!(require_tool("strace"));
    let project = shop();
    let first = project.ship().says("+ build  api").says("never built").says("3 built");
    assert_eq!(first.stderr.matches("sha256:").count(), 3, "{}", first.stderr);

    let second = project.ship().says("nothing is due, 3 services are up to date");
    assert_eq!(second.stderr.lines().count(), 1, "{}", second.stderr);
    let started = project.programs_started(&strace, &["ship"]);
    assert_eq!(started.len(), 1, "no compiler, no other program: {started:?}");

    // The program taken out of the image runs and answers.
    let plan = project.plan();
    let api = plan["services"].as_array().expect("services").iter().find(|one| one["service"] == "api").expect("api");
    let to = tempfile::tempdir().expect("a directory");
    let rootfs = umoci.unpack(&project.layout("shop/api"), &text(&api["tag"]), &to.path().join("bundle"));
    let answer = ask(&program(&rootfs), "/health");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    // One byte of one service, then of the shared crate.
    let source = project.path().join("crates/api/src/main.rs");
    let mut text = std::fs::read_to_string(&source).expect("reads");
    text.push_str("// changed\n");
    std::fs::write(&source, text).expect("writes");
    let due = project.due();
    assert_eq!(
        due.iter().collect::<Vec<_>>(),
        [(&"api".to_owned(), &"inputs-changed crates/api/src/main.rs".to_owned())]
    );
    let shared = project.path().join("crates/catalog/src/lib.rs");
    let mut text = std::fs::read_to_string(&shared).expect("reads");
    text.push_str("// changed\n");
    std::fs::write(&shared, text).expect("writes");
    assert_eq!(project.due().keys().collect::<Vec<_>>(), ["api", "worker"]);
}

/// The only program in `/usr/local/bin` or `/app` of an unpacked image.
fn program(rootfs: &Path) -> PathBuf {
    let found = ["usr/local/bin", "app"].iter().filter_map(|dir| std::fs::read_dir(rootfs.join(dir)).ok());
    found.flatten().flatten().map(|entry| entry.path()).next().expect("a program in the image")
}

/// Starts the server on a free port and gets a path from it.
fn ask(program: &Path, path: &str) -> String {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let mut command = Command::new(program);
    command.env_clear().env("PORT", port.to_string()).stdout(Stdio::null()).stderr(Stdio::null());
    let _running = Running(command.spawn().expect("the program starts"));
    let began = Instant::now();
    loop {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("writes");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("reads");
            return answer;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "the server does not answer");
        std::thread::yield_now();
    }
}

#[test]
fn two_builds_from_different_places_give_the_same_digests() {
    let project = shop();
    let other = shop();
    let ship = |project: &Project| {
        let events = project.run(["ship", "api", "--json"]).ok().events();
        text(&events.last().expect("events")["images"]["api"]["digest"])
    };
    assert_eq!(ship(&project), ship(&other));
}
