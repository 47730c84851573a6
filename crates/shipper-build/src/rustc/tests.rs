use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::*;

/// A machine with a scripted compiler that counts how often it is asked.
struct Machine {
    dir: tempfile::TempDir,
    environment: Environment,
}

impl Machine {
    fn new() -> Machine {
        let dir = tempfile::tempdir().unwrap();
        let path = format!("{}/bin:/usr/bin:/bin", dir.path().display());
        let mut environment: Environment =
            [("PATH", path), ("HOME", dir.path().display().to_string())].into_iter().collect();
        // What a user may have set must not reach the compiler.
        environment.set("RUSTUP_TOOLCHAIN", "from-the-shell");
        environment.set("CARGO_BUILD_RUSTC", "evil");
        let machine = Machine { dir, environment };
        fs::create_dir_all(machine.path(".rustup")).unwrap();
        fs::write(machine.path(".rustup/settings.toml"), "default = 1").unwrap();
        machine.install("1.90.0", "aaaa");
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Puts the same compiler on `PATH` and into the sysroot.
    fn install(&self, release: &str, commit: &str) {
        let script = format!(
            "#!/bin/sh\necho \"$RUSTUP_TOOLCHAIN/$RUSTUP_AUTO_INSTALL/$CARGO_BUILD_RUSTC/$PWD\" >> {0}/asked\n\
             [ \"$RUSTUP_TOOLCHAIN\" = none ] && {{ echo \"error: toolchain 'none' is not installed\" >&2; exit 1; }}\n\
             if [ \"$1\" = --print ]; then echo {0}/sysroot; else\n\
             printf 'rustc {release} (x)\\nbinary: rustc\\ncommit-hash: {commit}\\nhost: x86_64-unknown-linux-gnu\\nrelease: {release}\\n'; fi\n",
            self.dir.path().display()
        );
        for dir in ["bin", "sysroot/bin"] {
            fs::create_dir_all(self.path(dir)).unwrap();
            // A new file, as an update makes it.
            let path = self.path(dir).join("rustc");
            let _ = fs::remove_file(&path);
            fs::write(&path, &script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let cargo = self.path("sysroot/bin/cargo");
        fs::write(&cargo, "").unwrap();
    }

    fn asked(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("asked")).unwrap_or_default();
        let _ = fs::remove_file(self.path("asked"));
        text.lines().map(str::to_owned).collect()
    }

    async fn identity(&self, channel: Option<&str>, cache: Option<&Path>) -> Result<RustcIdentity, BuildError> {
        let file = channel.map(|channel| ToolchainFile::parse("rust-toolchain", channel.as_bytes()).unwrap());
        rustc_identity(file.as_ref(), &self.environment, cache).await
    }
}

#[tokio::test]
async fn an_exact_channel_is_known_without_a_compiler() {
    let machine = Machine::new();
    for channel in ["1.95.0", "nightly-2026-01-01"] {
        let identity = machine.identity(Some(channel), None).await.unwrap();
        assert_eq!(identity.to_string(), format!("channel {channel}"));
    }
    assert!(machine.asked().is_empty());
}

#[tokio::test]
async fn another_channel_is_what_its_compiler_says() {
    let machine = Machine::new();
    let identity = machine.identity(None, None).await.unwrap();
    assert_eq!(identity.to_string(), "release: 1.90.0\ncommit-hash: aaaa");
    assert_eq!(machine.asked(), ["/0///"], "neither the shell's toolchain nor downloads, in the root directory");
    let identity = machine.identity(Some("stable"), None).await.unwrap();
    assert_eq!((identity.channel(), &*identity.to_string()), (Some("stable"), "release: 1.90.0\ncommit-hash: aaaa"));
    assert_eq!(machine.asked(), ["stable/0///"]);
}

#[tokio::test]
async fn a_cached_answer_lasts_until_something_changes() {
    let machine = Machine::new();
    let cache = machine.path("cache/rustc.json");
    let calls = async |what: &str, expected: usize, release: &str| {
        let identity = machine.identity(Some("stable"), Some(&cache)).await.unwrap();
        assert!(identity.to_string().contains(release), "{what}: {identity}");
        assert_eq!(machine.asked().len(), expected, "{what}");
    };
    calls("first", 2, "1.90.0").await;
    calls("again", 0, "1.90.0").await;
    machine.install("1.91.0", "bbbb");
    calls("compiler replaced", 2, "1.91.0").await;
    calls("again", 0, "1.91.0").await;
    fs::write(machine.path(".rustup/settings.toml"), "default = 22").unwrap();
    calls("settings changed", 2, "1.91.0").await;
    fs::remove_file(machine.path(".rustup/settings.toml")).unwrap();
    calls("settings gone", 2, "1.91.0").await;
    calls("still gone", 0, "1.91.0").await;
    for broken in ["", "{", "{\"format\":2,\"entries\":[]}", "[]"] {
        fs::write(&cache, broken).unwrap();
        calls("broken cache", 2, "1.91.0").await;
    }
    machine.identity(None, Some(&cache)).await.unwrap();
    machine.asked();
    calls("channels are kept apart", 0, "1.91.0").await;
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_only_costs_time() {
    let machine = Machine::new();
    fs::write(machine.path("file"), "").unwrap();
    let identity = machine.identity(None, Some(&machine.path("file/cache.json"))).await.unwrap();
    assert!(identity.to_string().contains("1.90.0"));
}

#[tokio::test]
async fn a_missing_toolchain_says_so() {
    let machine = Machine::new();
    let error = machine.identity(Some("none"), None).await.unwrap_err();
    assert_eq!(error.to_string(), "rustc of toolchain none does not run: error: toolchain 'none' is not installed");
    assert_eq!(error.hint().unwrap(), "`rustup toolchain install none` installs it");
    let error = rustc_identity(None, &Environment::new(), None).await.unwrap_err();
    assert!(matches!(&error, BuildError::EngineMissing { what, .. } if what == "`rustc`"), "{error}");
}

#[tokio::test]
async fn the_installed_compiler_must_be_the_one_in_the_key() {
    let machine = Machine::new();
    let resolved = machine.identity(None, None).await.unwrap();
    let installed = Installed::find(&resolved, &machine.environment).await.unwrap();
    assert_eq!(installed.cargo, machine.path("sysroot/bin/cargo"));
    assert!(!installed.has_target("x"));
    let check = async |channel: &str, fits: bool| {
        let identity = machine.identity(Some(channel), None).await.unwrap();
        let found = Installed::find(&identity, &machine.environment).await;
        assert_eq!(found.is_ok(), fits, "{channel}");
    };
    check("1.90.0", true).await;
    check("1.95.0", false).await;
    check("nightly-2026-01-01", false).await;
    check("stable-2026-01-01", true).await;
    machine.install("1.91.0", "bbbb");
    let error = Installed::find(&resolved, &machine.environment).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "rustc is 1.91.0 (bbbb), but the key was computed for release: 1.90.0, commit-hash: aaaa"
    );
}

/// The compiler that compiles this test.
#[tokio::test]
async fn the_real_compiler_has_an_identity() {
    let environment = Environment::of_process();
    let file = std::env::var("RUSTUP_TOOLCHAIN").ok().map(|name| ToolchainFile::parse("t", name.as_bytes()).unwrap());
    let identity = rustc_identity(file.as_ref(), &environment, None).await.unwrap();
    let installed = Installed::find(&identity, &environment).await.unwrap();
    assert!(installed.has_target(&installed.version.host) && installed.cargo.is_file());
}
