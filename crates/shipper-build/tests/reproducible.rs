//! One promise, in a process of its own because it changes the umask: the same inputs give the same bytes.

#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![expect(clippy::unwrap_used, reason = "tests stop where something is wrong")]

#[expect(dead_code, reason = "shared with other tests")]
mod support;

use std::fs;

use support::Place;

/// Two crates, a procedural macro, a build script that writes code, a crate of a registry, debug information, panics
/// with source locations: everything that puts paths into a binary.
fn workspace(place: &Place) -> (String, String) {
    let (version, checksum) = locked("itoa");
    place.put(
        "Cargo.toml",
        &format!(
            "[workspace]\nmembers = [\"greet\", \"answer\"]\n[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\
             [dependencies]\ngreet = {{ path = \"greet\" }}\nanswer = {{ path = \"answer\" }}\nitoa = \"={version}\"\n\
             [profile.release]\ndebug = true\n"
        ),
    );
    place.put(
        "Cargo.lock",
        &format!(
            "version = 4\n\n[[package]]\nname = \"answer\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\n\
             dependencies = [\n \"answer\",\n \"greet\",\n \"itoa\",\n]\n\n[[package]]\nname = \"greet\"\nversion = \"0.1.0\"\n\n\
             [[package]]\nname = \"itoa\"\nversion = \"{version}\"\n\
             source = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{checksum}\"\n"
        ),
    );
    place.put(
        "build.rs",
        "fn main() { let out = std::env::var(\"OUT_DIR\").unwrap();\n\
         std::fs::write(format!(\"{out}/made.rs\"), \"pub fn made() -> u8 { std::env::args().count().try_into().unwrap() }\").unwrap(); }\n",
    );
    place.put(
        "src/main.rs",
        "mod made { include!(concat!(env!(\"OUT_DIR\"), \"/made.rs\")); }\n\
         fn main() { println!(\"{} {} {}\", greet::greet(&[1]), made::made(), itoa::Buffer::new().format(answer::answer!())); }\n",
    );
    place.put("greet/Cargo.toml", "[package]\nname = \"greet\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    place.put(
        "greet/src/lib.rs",
        "pub fn greet(names: &[u8]) -> String { let map: std::collections::HashMap<_, _> = names.iter().map(|n| (n, n)).collect();\n\
         format!(\"hello {} from {}\", map[&names[0]], file!()) }\n",
    );
    place.put(
        "answer/Cargo.toml",
        "[package]\nname = \"answer\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[lib]\nproc-macro = true\n",
    );
    place.put(
        "answer/src/lib.rs",
        "#[proc_macro]\npub fn answer(_: proc_macro::TokenStream) -> proc_macro::TokenStream { \"42u8\".parse().unwrap() }\n",
    );
    ("itoa".to_owned(), version)
}

/// Version and checksum of a package in this workspace's own lock file: it is downloaded already.
fn locked(name: &str) -> (String, String) {
    let lock = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock")).unwrap();
    let package = lock.split("[[package]]").find(|package| package.contains(&format!("name = \"{name}\"\n"))).unwrap();
    let field = |key: &str| {
        let line = package.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim_start_matches(" = ").trim_matches('"').to_owned()
    };
    (field("version"), field("checksum"))
}

#[tokio::test]
async fn directory_user_umask_and_locale_do_not_count() {
    let build = async |variables: &[(&str, &str)], umask: u32| {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
        let mut place = Place::new();
        for (name, value) in variables {
            place.environment.set(*name, *value);
        }
        let itoa = workspace(&place);
        let image = place.build_with(|recipe| recipe.locked = vec![itoa]).await.unwrap();
        assert!(!place.lines().contains("warning"), "{}", place.lines());
        let log = fs::read_to_string(place.dir().join("work/cargo.log")).unwrap();
        assert!(!log.contains(" fetch "), "nothing had to be downloaded: {log}");
        (image.manifest.digest().clone(), image)
    };
    let home = tempfile::tempdir().unwrap();
    let cargo_home = shipper_build::Environment::of_process().cargo_home().unwrap();
    let rustup_home = shipper_build::Environment::of_process().rustup_home().unwrap();
    let (one, _) = build(&[], 0o022).await;
    let elsewhere = [
        ("HOME", home.path().to_str().unwrap()),
        ("CARGO_HOME", cargo_home.to_str().unwrap()),
        ("RUSTUP_HOME", rustup_home.to_str().unwrap()),
        ("TZ", "Asia/Tokyo"),
        ("LANG", "tr_TR.UTF-8"),
        ("RUSTFLAGS", "-C opt-level=0"),
        ("SOURCE_DATE_EPOCH", "1234567890"),
    ];
    let (two, image) = build(&elsewhere, 0o077).await;
    assert_eq!(one, two);
    assert_eq!(image.layers.len(), 2, "system files and the binary");
}
