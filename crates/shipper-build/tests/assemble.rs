//! Images from real compilations, judged by skopeo, umoci and by running what is in them.

#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![expect(clippy::unwrap_used, reason = "tests stop where something is wrong")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use shipper_build::{AssembleRequest, BuildError, CargoRecipe, Environment, Exit, LinkMode, NoLog, Step, assemble};
use shipper_oci::{Image, Platform};
use shipper_testkit::{GitRepo, Skopeo, Umoci, need, require_tool, skip};
use support::Place;

const HELLO: &str = "fn main() { println!(\"hello {}\", std::env::args().count()); }";

fn config(image: &Image) -> serde_json::Value {
    serde_json::from_slice(&image.config_bytes).unwrap()
}

/// Paths in the layers of an image, lowest layer first.
fn paths(image: &Image) -> Vec<Vec<String>> {
    let list = |path: &Path| {
        let output = Command::new("tar").arg("-tzf").arg(path).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    };
    image.layers.iter().map(|layer| list(&layer.path)).collect()
}

#[tokio::test]
async fn a_static_image_runs() {
    let (skopeo, umoci, openssl) = (need!(Skopeo::find()), need!(Umoci::find()), need!(require_tool("openssl")));
    let place = Place::with_app(HELLO);
    let recipe = place.recipe().await;
    let mut request = AssembleRequest { cargo: Some(recipe), ..place.request() };
    request.image.labels.insert("dev.shipper.key".into(), "k".into());
    request.image.ca_certificates = true;
    request.image.expose = vec![8080];
    let image = assemble(&request, &place.log).await.unwrap();
    let layout = place.store(&image, "v1").await;
    let reference = format!("oci:{}:v1", layout.display());
    assert_eq!(skopeo.digest(&reference), image.manifest.digest().to_string());
    let seen = skopeo.config(&reference);
    assert_eq!(seen["config"]["Entrypoint"], json!(["/usr/local/bin/app"]));
    assert_eq!(seen["config"]["User"], "65532:65532");
    assert_eq!(seen["config"]["Env"], json!(["SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"]));
    assert_eq!(skopeo.inspect(&reference)["Labels"]["dev.shipper.key"], "k");

    let bundle = place.dir().join("bundle");
    let root = umoci.unpack(&layout, "v1", &bundle);
    let output = Command::new(root.join("usr/local/bin/app")).arg("x").output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "hello 2\n");
    assert!(fs::read_to_string(root.join("etc/passwd")).unwrap().contains("nonroot:x:65532"));
    assert!(fs::metadata(root.join("etc/ssl/certs/ca-certificates.crt")).unwrap().len() > 100_000);
    // The bundle is one that OpenSSL reads.
    let certificates = Command::new(openssl)
        .args(["crl2pkcs7", "-nocrl", "-certfile"])
        .arg(root.join("etc/ssl/certs/ca-certificates.crt"))
        .output()
        .unwrap();
    assert!(certificates.status.success(), "{}", String::from_utf8_lossy(&certificates.stderr));
}

/// The targets of musl and of other machines are in no minimal toolchain.
#[tokio::test]
async fn a_musl_image_runs() {
    let place = Place::with_app(HELLO);
    let image = match place.build_with(|recipe| recipe.link = LinkMode::Musl).await {
        Err(BuildError::TargetMissing { target, .. }) => skip!("rust-std-musl", &format!("{target} is not installed")),
        built => built.unwrap(),
    };
    assert_eq!(image.layers.len(), 2);
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let binary = place.dir().join("work/target").join(target).join("release/app");
    assert_eq!(Command::new(binary).output().unwrap().stdout, b"hello 1\n");
}

#[tokio::test]
async fn a_musl_image_for_another_machine_needs_no_cross_compiler() {
    let place = Place::with_app(HELLO);
    let other = if cfg!(target_arch = "aarch64") { "linux/amd64" } else { "linux/arm64" };
    let recipe = CargoRecipe { link: LinkMode::Musl, ..place.recipe().await };
    let mut request = AssembleRequest { cargo: Some(recipe), platform: other.parse().unwrap(), ..place.request() };
    // Nothing but the compiler.
    let rustc = request.environment.find_program("rustc").unwrap();
    request.environment.set("PATH", rustc.parent().unwrap());
    let image = match assemble(&request, &NoLog).await {
        Err(BuildError::TargetMissing { target, .. }) => skip!("rust-std-musl", &format!("{target} is not installed")),
        built => built.unwrap(),
    };
    assert_eq!(image.platform.to_string(), other);
}

#[tokio::test]
async fn a_dynamic_image_brings_its_loader_and_libraries() {
    let umoci = need!(Umoci::find());
    if !rustix::process::geteuid().is_root() {
        skip!("root", "only root may change the root directory");
    }
    let place = Place::with_app(
        "use std::net::ToSocketAddrs;\nfn main() { println!(\"{:?}\", \"localhost:80\".to_socket_addrs().is_ok()); }",
    );
    let image = place.build_with(|recipe| recipe.link = LinkMode::Dynamic).await.unwrap();
    assert_eq!(image.layers.len(), 3);
    assert_eq!(image.layers[1].created_by, "shipper: shared libraries");
    let layout = place.store(&image, "v1").await;
    let root = umoci.unpack(&layout, "v1", &place.dir().join("bundle"));
    fs::write(root.join("etc/hosts"), "127.0.0.1 localhost\n").unwrap();
    let output = Command::new("chroot")
        .arg(root)
        .arg("/usr/local/bin/app")
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "true\n", "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_second_build_compiles_nothing_and_gives_the_same_image() {
    let place = Place::with_app(HELLO);
    let first = place.build().await.unwrap();
    let second = place.build().await.unwrap();
    assert_eq!(first.manifest, second.manifest);
    let summaries: Vec<Step> =
        place.log.steps.lock().unwrap().iter().filter(|step| matches!(step, Step::Compiled { .. })).cloned().collect();
    assert_eq!(summaries, [Step::Compiled { compiled: 1, fresh: 0 }, Step::Compiled { compiled: 0, fresh: 1 }]);
    let steps = place.log.steps.lock().unwrap().clone();
    let step = Step::Crate { name: "app".into(), version: "0.1.0".into(), fresh: false, done: 1, total: 1 };
    assert_eq!(steps[0], step);
    let layers = place.dir().join("work/layers").join(Platform::host().to_string().replace('/', "-"));
    assert_eq!(fs::read_dir(layers).unwrap().count(), 2, "no layer stays behind");
}

#[tokio::test]
async fn compiler_errors_arrive_with_their_last_lines_and_the_log() {
    let place = Place::with_app("fn main() { missing(); }");
    let error = place.build().await.unwrap_err();
    assert!(!error.is_unknown());
    let BuildError::CompileFailed { exit, tail, log } = &error else { panic!("{error}") };
    assert_eq!(*exit, Exit::Code(101));
    assert!(tail.iter().any(|line| line.contains("cannot find function `missing`")), "{tail:?}");
    assert!(tail.iter().all(|line| !line.contains("Compiling")));
    assert!(error.to_string().contains("cannot find function `missing`"), "{error}");
    let log = fs::read_to_string(log.as_ref().unwrap()).unwrap();
    assert!(log.contains("Compiling app v0.1.0") && log.contains("missing"), "{log}");
    assert!(place.lines().contains("cannot find function `missing`"));
}

#[tokio::test]
async fn names_that_do_not_exist_are_errors_that_list_those_that_do() {
    let place = Place::with_app(HELLO);
    let check = async |change: fn(&mut CargoRecipe), expected: &str| {
        let error = place.build_with(change).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(|recipe| recipe.package = "none".into(), "no package `none` in the build context; there is app").await;
    check(|recipe| recipe.bins = vec!["none".into()], "no binary `none`; there is app").await;
    check(|recipe| recipe.workspace_root = "sub".into(), "no sub/Cargo.toml").await;
    check(|recipe| recipe.workspace_root = "../..".into(), "Cargo.toml").await;
    check(|recipe| _ = recipe.env.insert("RUSTFLAGS".into(), String::new()), "RUSTFLAGS may not be set").await;
    check(|recipe| recipe.features = vec!["none".into()], "none").await;
    check(|recipe| recipe.profile = "none".into(), "none").await;
}

#[tokio::test]
async fn several_binaries_need_a_first_one() {
    let place = Place::with_app(HELLO);
    place.put("src/bin/other.rs", HELLO);
    let error = place.build().await.unwrap_err();
    assert!(matches!(&error, BuildError::EntrypointUnclear { known } if known == &["app", "other"]), "{error}");
    let image = place.build_with(|recipe| recipe.bins = vec!["other".into(), "app".into()]).await.unwrap();
    assert_eq!(config(&image)["config"]["Entrypoint"], json!(["/usr/local/bin/other"]));
    assert!(paths(&image)[1].ends_with(&["usr/local/bin/app".into(), "usr/local/bin/other".into()]));
    place.put(
        "Cargo.toml",
        "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\ndefault-run = \"app\"\n",
    );
    let image = place.build().await.unwrap();
    assert_eq!(config(&image)["config"]["Entrypoint"], json!(["/usr/local/bin/app"]));
}

/// A configuration above the stage and in the user's Cargo home, and variables of the caller, stay outside; the
/// repository's own configuration and the recipe count.
#[tokio::test]
async fn only_the_repository_and_the_recipe_configure_the_build() {
    let mut place = Place::with_app(
        "#[cfg(poison)]\ncompile_error!(\"poisoned\");\n#[cfg(not(all(own, more)))]\ncompile_error!(\"own flags are lost\");\n\
         fn main() { println!(\"{} {} {}\", env!(\"RECIPE\"), env!(\"PROJECT\"), option_env!(\"CALLER\").is_none()); }",
    );
    let poison = "[build]\nrustflags = [\"--cfg\", \"poison\"]\nrustc-wrapper = \"/nonexistent\"\n";
    fs::create_dir(place.dir().join(".cargo")).unwrap();
    fs::write(place.dir().join(".cargo/config.toml"), poison).unwrap();
    let home = place.dir().join("home");
    fs::create_dir_all(home.join(".cargo")).unwrap();
    fs::write(home.join(".cargo/config.toml"), poison).unwrap();
    for (name, value) in
        [("RUSTFLAGS", "--cfg poison"), ("CALLER", "x"), ("CARGO_ENCODED_RUSTFLAGS", "--cfg\x1fpoison")]
    {
        place.environment.set(name, value);
    }
    place.environment.set("CARGO_HOME", home.join(".cargo"));
    place.environment.set("RUSTUP_HOME", Environment::of_process().rustup_home().unwrap());
    for flags in ["[\"--cfg\", \"own\"]", "\"--cfg own\""] {
        for table in ["build", "target.'cfg(unix)'"] {
            place.put(".cargo/config.toml", &format!("[{table}]\nrustflags = {flags}\n[env]\nPROJECT = \"p\"\n"));
            let image = place
                .build_with(|recipe| {
                    recipe.env.insert("RECIPE".into(), "r".into());
                    recipe.rustflags = vec!["--cfg=more".into()];
                })
                .await
                .unwrap_or_else(|error| panic!("{flags} {table}: {error} {}", error.tail().join("\n")));
            let binary = place.dir().join("work/target").join(env_target()).join("release/app");
            let output = Command::new(binary).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), "r p true\n");
            assert_eq!(image.layers.len(), 2);
        }
    }
}

fn env_target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

#[tokio::test]
async fn a_package_that_the_lock_file_does_not_pin_stops_the_build() {
    let place = Place::with_app(HELLO);
    let mut repository = GitRepo::new();
    repository.write("Cargo.toml", "[package]\nname = \"dep\"\nversion = \"1.2.3\"\nedition = \"2021\"\n");
    repository.write("src/lib.rs", "pub fn f() -> u8 { 7 }\n");
    repository.commit("dep");
    let url = format!("file://{}", repository.path().display());
    place.put(
        "Cargo.toml",
        &format!("[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\ndep = {{ git = \"{url}\" }}\n"),
    );
    place.put("src/main.rs", "fn main() { println!(\"{}\", dep::f()); }");
    let revision = repository.head();
    place.put(
        "Cargo.lock",
        &format!(
            "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\n \"dep\",\n]\n\n\
             [[package]]\nname = \"dep\"\nversion = \"1.2.3\"\nsource = \"git+{url}#{revision}\"\n"
        ),
    );
    let mut place = place;
    place.environment.set("RUSTUP_HOME", Environment::of_process().rustup_home().unwrap());
    place.environment.set("CARGO_HOME", place.dir().join("user-cargo-home"));
    let error = place.build().await.unwrap_err();
    assert!(
        matches!(&error, BuildError::NotInLock { packages } if packages == &[("dep".to_owned(), "1.2.3".to_owned())]),
        "{error}"
    );
    assert!(place.log.steps.lock().unwrap().contains(&Step::Fetching), "it had to be downloaded once");
    place.log.steps.lock().unwrap().clear();
    let image = place.build_with(|recipe| recipe.locked = vec![("dep".into(), "1.2.3".into())]).await.unwrap();
    assert!(!place.log.steps.lock().unwrap().contains(&Step::Fetching), "and not again");
    assert_eq!(image.layers.len(), 2);
    assert!(!place.lines().contains("contains the path"), "{}", place.lines());
}

#[tokio::test]
async fn a_path_dependency_outside_the_stage_is_refused() {
    let place = Place::with_app(HELLO);
    let outside = place.dir().join("outside");
    fs::create_dir_all(outside.join("src")).unwrap();
    fs::write(outside.join("Cargo.toml"), "[package]\nname = \"outside\"\nversion = \"0.1.0\"\n").unwrap();
    fs::write(outside.join("src/lib.rs"), "").unwrap();
    place.put("Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\noutside = { path = \"../outside\" }\n");
    let error = place.build().await.unwrap_err();
    assert!(matches!(&error, BuildError::OutsideStage { package, .. } if package == "outside"), "{error}");
}

/// What cannot be mapped away is said.
#[tokio::test]
async fn a_binary_that_contains_a_path_of_this_machine_is_reported() {
    let place = Place::with_app("fn main() { println!(env!(\"CARGO_MANIFEST_DIR\")); }");
    place.build().await.unwrap();
    assert!(place.lines().contains("warning: the binary `app` contains the path"), "{}", place.lines());
}

#[tokio::test]
async fn a_missing_target_says_what_to_install() {
    let place = Place::with_app(HELLO);
    let recipe = place.recipe().await;
    let other = if cfg!(target_arch = "s390x") { "linux/riscv64" } else { "linux/s390x" };
    let request = AssembleRequest { cargo: Some(recipe), platform: other.parse().unwrap(), ..place.request() };
    match assemble(&request, &NoLog).await.unwrap_err() {
        error @ BuildError::TargetMissing { .. } => {
            assert!(error.hint().unwrap().contains("rustup target add"), "{error}");
        }
        // Somebody has this target installed.
        BuildError::LinkerMissing { .. } => {}
        error => panic!("{error}"),
    }
}

/// Cancelling a build ends the compiler and everything it started.
#[tokio::test]
async fn dropping_the_build_kills_all_its_processes() {
    let place = Place::with_app(HELLO);
    let pids = place.dir().join("pids");
    place.put(
        "build.rs",
        &format!(
            "use std::process::{{Command, id}};\n\
             fn main() {{\n\
                 let child = Command::new(\"sleep\").arg(\"600\").spawn().unwrap();\n\
                 std::fs::write(\"written\", format!(\"{{}} {{}}\", id(), child.id())).unwrap();\n\
                 std::fs::rename(\"written\", {pids:?}).unwrap();\n\
                 std::thread::sleep(std::time::Duration::from_secs(600));\n\
             }}"
        ),
    );
    let recipe = place.recipe().await;
    let request = AssembleRequest { cargo: Some(recipe), ..place.request() };
    tokio::select! {
        result = assemble(&request, &NoLog) => panic!("{result:?}"),
        () = appears(&pids) => {}
    }
    let running: Vec<i32> = fs::read_to_string(&pids).unwrap().split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(running.len(), 2);
    for pid in running {
        gone(pid).await;
    }
}

async fn appears(path: &Path) {
    while !path.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a process has ended; an ended one that nobody waited for counts.
async fn gone(pid: i32) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if stat.is_empty() || stat.contains(") Z ") {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "process {pid} still runs: {stat}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_prebuilt_dynamic_binary_needs_a_base() {
    let place = Place::new();
    fs::copy(std::env::current_exe().unwrap(), place.stage().join("tool")).unwrap();
    place.put("web/index.html", "<p>");
    let mut request = AssembleRequest {
        binary: Some("tool".into()),
        files: vec![("/srv/www".into(), "web".into())],
        ..place.request()
    };
    let error = assemble(&request, &NoLog).await.unwrap_err();
    assert!(matches!(&error, BuildError::DynamicOnScratch { .. }) && error.hint().is_some(), "{error}");
    let base = assemble(&AssembleRequest { binary: None, ..request.clone() }, &NoLog).await.unwrap();
    assert_eq!(config(&base)["config"].get("Entrypoint"), None, "files start nothing");
    request.base = Some(shipper_oci::BaseImage::new(&base.manifest, &base.config_bytes).unwrap());
    request.work = place.dir().join("other");
    let image = assemble(&request, &NoLog).await.unwrap();
    assert_eq!(image.base_layers.len(), 2);
    assert_eq!(image.layers.len(), 2, "files and the binary; system files are the base's");
    assert_eq!(config(&image)["config"]["Entrypoint"], json!(["/usr/local/bin/tool"]));
    assert_eq!(config(&image)["config"]["User"], "65532:65532", "inherited");
    assert_eq!(paths(&image)[0], ["srv/", "srv/www/", "srv/www/index.html"]);
    request.platform = "linux/s390x".parse().unwrap();
    let error = assemble(&request, &NoLog).await.unwrap_err();
    assert!(matches!(&error, BuildError::Image(shipper_oci::Error::BasePlatform { .. })), "{error}");
    request.base = None;
    let error = assemble(&request, &NoLog).await.unwrap_err();
    assert!(matches!(&error, BuildError::WrongMachine { .. }), "{error}");
    request.binary = Some("../tool".into());
    let error = assemble(&request, &NoLog).await.unwrap_err();
    assert!(matches!(&error, BuildError::FileMissing { .. } | BuildError::FileRefused { .. }), "{error}");
}
