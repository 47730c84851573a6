//! Dockerfiles through the real `buildah`, as root and without a network.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "tests stop where something is wrong")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use shipper_build::{BuildError, BuildLog, BuiltLayout, DockerfileRequest, Environment, Exit, Step, buildah};
use shipper_oci::{
    BlobSource, Compression, Image, ImageBuilder, LayerBuilder, LayerOptions, LayerSource, Platform, Store,
};
use shipper_testkit::{DockerRegistry, Skip, Skopeo, need, require_tool, run, tool};
use tempfile::TempDir;

const KEY: &str = "dev.shipper.key";

/// A log that remembers.
#[derive(Default)]
struct Recorder {
    lines: Mutex<Vec<String>>,
    steps: Mutex<Vec<Step>>,
}

impl BuildLog for Recorder {
    fn line(&self, line: &str) {
        self.lines.lock().unwrap().push(line.to_owned());
    }

    fn step(&self, step: &Step) {
        self.steps.lock().unwrap().push(step.clone());
    }
}

impl Recorder {
    fn has_line(&self, wanted: &str) -> bool {
        self.lines.lock().unwrap().iter().any(|line| line == wanted)
    }

    /// `STEP` lines as `n/m name`; a step from the cache has `*` before it.
    fn steps(&self) -> Vec<String> {
        let mut shown: Vec<String> = Vec::new();
        for step in &*self.steps.lock().unwrap() {
            match step {
                Step::Instruction { name, number, total } => shown.push(format!("{number}/{total} {name}")),
                Step::Cached => shown.last_mut().unwrap().insert(0, '*'),
                other => panic!("unexpected {other:?}"),
            }
        }
        shown
    }
}

/// A stage, a work directory and a request that uses them.
struct Fixture {
    dir: TempDir,
    request: DockerfileRequest,
}

/// The fixture, or why the test must be skipped. Rootless buildah needs subordinate user ids, which is the machine's matter.
fn fixture(dockerfile: &str, files: &[(&str, &str)]) -> Result<Fixture, Skip> {
    require_tool("buildah")?;
    if !rustix::process::geteuid().is_root() {
        return Err(Skip::new("buildah", "the tests of buildah need root"));
    }
    let dir = tempfile::tempdir().unwrap();
    let stage = dir.path().join("stage");
    fs::create_dir(&stage).unwrap();
    for (name, text) in files {
        let path = stage.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let request = DockerfileRequest {
        stage,
        dockerfile: dir.path().join("Dockerfile"),
        work: dir.path().join("work"),
        target: None,
        args: BTreeMap::new(),
        platform: Platform::host(),
        labels: [(KEY.to_owned(), "k1".to_owned())].into(),
        annotations: [(KEY.to_owned(), "k1".to_owned())].into(),
        named: BTreeMap::new(),
        bases: BTreeMap::new(),
        network: None,
        secrets: BTreeMap::new(),
        ssh: Vec::new(),
        cache_from: Vec::new(),
        inline_cache: false,
        environment: Environment::of_process(),
    };
    let fixture = Fixture { dir, request };
    fixture.dockerfile(dockerfile);
    Ok(fixture)
}

impl Fixture {
    fn dockerfile(&self, text: &str) {
        fs::write(&self.request.dockerfile, text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn build(&self) -> (BuiltLayout, Recorder) {
        let log = Recorder::default();
        match buildah(&self.request, &log).await {
            Ok(built) => (built, log),
            Err(error) => panic!("{error}\n{}", error.tail().join("\n")),
        }
    }

    async fn fail(&self) -> BuildError {
        buildah(&self.request, &Recorder::default()).await.expect_err("must fail")
    }

    /// Lets `FROM base` and `FROM` of other names find busybox, as an image of our own.
    async fn busybox_as(&mut self, name: &str) -> PathBuf {
        let layout = self.path("base");
        busybox_layout(&layout).await;
        self.request.named.insert(name.to_owned(), format!("oci:{}:v1", layout.display()));
        layout
    }
}

async fn busybox_layout(layout: &Path) {
    let busybox = tool("busybox").unwrap();
    let mut layer = LayerBuilder::new("busybox");
    layer.add_file("/bin/busybox", LayerSource::Path(busybox), 0o755).unwrap();
    for applet in ["sh", "cat", "stat", "sleep", "setsid", "echo", "test", "ls"] {
        layer.add_symlink(format!("/bin/{applet}"), "busybox").unwrap();
    }
    let blobs = tempfile::tempdir().unwrap();
    let layer = layer.write(&LayerOptions::new(Compression::Gzip, 0), blobs.path()).unwrap();
    // What is built on this image must not be taken for this image.
    let image = ImageBuilder::new(Platform::host()).layer(layer).env("PATH", "/bin").annotation(KEY, "of the base");
    store(&image.build().unwrap(), layout).await;
}

async fn store(image: &Image, layout: &Path) {
    let (parent, name) = (layout.parent().unwrap(), layout.file_name().unwrap().to_str().unwrap());
    let repository = Store::layout(parent).repository(&name.parse().unwrap());
    for layer in &image.layers {
        repository.push_blob(&layer.descriptor, BlobSource::File(layer.path.clone())).await.unwrap();
    }
    repository.push_blob(&image.config, BlobSource::Bytes(image.config_bytes.clone().into())).await.unwrap();
    repository.put_manifest(&image.manifest, Some(&"v1".parse().unwrap())).await.unwrap();
}

fn blob(built: &BuiltLayout, digest: &shipper_oci::Digest) -> PathBuf {
    built.layout.join("blobs").join("sha256").join(digest.hex())
}

fn config(built: &BuiltLayout) -> Value {
    let image = built.manifest.as_image().unwrap();
    serde_json::from_slice(&fs::read(blob(built, &image.config.digest)).unwrap()).unwrap()
}

/// Paths of all layers with type, mode, time and owner left out; sorted.
fn files(built: &BuiltLayout) -> Vec<String> {
    let mut paths = Vec::new();
    for layer in &built.manifest.as_image().unwrap().layers {
        let listed = run(Command::new("tar").arg("-tzf").arg(blob(built, &layer.digest)));
        paths.extend(String::from_utf8(listed.stdout).unwrap().lines().map(str::to_owned));
    }
    paths.retain(|path| !path.ends_with('/'));
    paths.sort();
    paths
}

/// The content of a file in the topmost layer that has it.
fn content(built: &BuiltLayout, path: &str) -> String {
    for layer in built.manifest.as_image().unwrap().layers.iter().rev() {
        let output = Command::new("tar").arg("-xzOf").arg(blob(built, &layer.digest)).arg(path).output().unwrap();
        if output.status.success() {
            return String::from_utf8(output.stdout).unwrap();
        }
    }
    panic!("no {path} in the image");
}

#[tokio::test]
async fn files_are_copied_into_an_image_from_scratch() {
    let mut fixture =
        need!(fixture("FROM scratch\nCOPY a /a\nCOPY d /d/\nCMD [\"/a\"]\n", &[("a", "A"), ("d/b", "B")]));
    let label = "two words, \"quotes\", a $dollar,\na line and a \\";
    fixture.request.labels.insert("text".to_owned(), label.to_owned());
    let (built, log) = fixture.build().await;
    assert_eq!(files(&built), ["a", "d/b"]);
    assert_eq!(content(&built, "a"), "A");
    let config = config(&built);
    assert_eq!(config["config"]["Labels"], serde_json::json!({ KEY: "k1", "text": label }));
    assert_eq!(config["config"]["Cmd"], serde_json::json!(["/a"]));
    assert_eq!(*built.manifest.annotations(), fixture.request.annotations);
    assert_eq!(log.steps()[..4], ["1/6 FROM scratch", "2/6 COPY a /a", "3/6 COPY d /d/", "4/6 CMD [\"/a\"]"]);
    // The layout is what the request's caller copies to a registry: complete, with the tag.
    let repository = Store::layout(&fixture.request.work).repository(&"out".parse().unwrap());
    let tag: shipper_oci::Tag = built.tag.parse().unwrap();
    let tagged = repository.manifest(&shipper_oci::Selector::Tag(tag)).await.unwrap().unwrap();
    assert_eq!(tagged.digest(), built.manifest.digest());
}

#[tokio::test]
async fn only_the_target_and_what_it_needs_are_built() {
    let dockerfile = "ARG FROM=first\nFROM scratch AS first\nCOPY a /a\nFROM scratch AS unused\nCOPY missing /\n\
                      FROM ${FROM} AS wanted\nARG WHO=nobody\nENV WHO=$WHO\nCOPY --from=first /a /b\n\
                      FROM scratch\nCOPY a /last\n";
    let mut fixture = need!(fixture(dockerfile, &[("a", "A")]));
    fixture.request.target = Some("wanted".to_owned());
    fixture.request.args = [("WHO".to_owned(), "a b,c=d".to_owned())].into();
    let (built, _) = fixture.build().await;
    assert_eq!(files(&built), ["a", "b"]);
    let environment = config(&built)["config"]["Env"].to_string();
    assert!(environment.contains("\"WHO=a b,c=d\""), "{environment}");
}

#[tokio::test]
async fn steps_run_on_an_image_of_our_own_and_are_cached() {
    need!(require_tool("busybox"));
    let dockerfile = "ARG ON=base\nFROM $ON AS made\nRUN echo one > /one\nFROM base\nCOPY --from=made /one /\n\
                      COPY --from=base /bin/busybox /b\nCOPY a /a\nRUN cat /one /a > /both\n";
    let mut fixture = need!(fixture(dockerfile, &[("a", "A\n")]));
    let layout = fixture.busybox_as("base").await;
    let (first, log) = fixture.build().await;
    assert_eq!(content(&first, "both"), "one\nA\n");
    assert!(log.steps().iter().all(|step| !step.starts_with('*')), "{:?}", log.steps());
    assert_eq!(*first.manifest.annotations(), fixture.request.annotations, "none of the base's");
    let text = config(&first).to_string();
    assert!(!text.contains(layout.to_str().unwrap()) && !text.contains("named/"), "a path is in {text}");

    let (again, log) = fixture.build().await;
    assert_eq!(again.manifest.digest(), first.manifest.digest());
    assert!(log.steps().contains(&"*5/6 RUN cat /one /a > /both".to_owned()), "{:?}", log.steps());

    fs::write(fixture.request.stage.join("a"), "B\n").unwrap();
    let (changed, log) = fixture.build().await;
    assert_eq!(content(&changed, "both"), "one\nB\n");
    assert!(log.steps().contains(&"*2/2 RUN echo one > /one".to_owned()), "{:?}", log.steps());
    assert!(log.steps().contains(&"5/6 RUN cat /one /a > /both".to_owned()), "{:?}", log.steps());
}

/// Zero times in the middle of a build make `make` and `cargo` believe that nothing changed.
#[tokio::test]
async fn files_have_their_times_while_steps_run() {
    need!(require_tool("busybox"));
    let dockerfile = "FROM base\nCOPY a /a\nRUN stat -c %Y /a > /then\nRUN stat -c %Y /a /then > /times\n";
    let mut fixture = need!(fixture(dockerfile, &[("a", "A")]));
    fixture.busybox_as("base").await;
    // The same steps without `RUN` are built first, with zero times, and must not serve as a cache.
    fixture.dockerfile("FROM base\nCOPY a /a\n");
    fixture.build().await;
    fixture.dockerfile(dockerfile);
    let (built, _) = fixture.build().await;
    let times = content(&built, "times");
    let times: Vec<u64> = times.lines().map(|line| line.parse().unwrap()).collect();
    assert!(times.len() == 2 && times.iter().all(|time| *time > 1_600_000_000), "{times:?}");
}

#[tokio::test]
async fn a_failing_step_is_reported_with_its_exit_code_and_last_lines() {
    need!(require_tool("busybox"));
    let mut fixture =
        need!(fixture("FROM base\nRUN i=0; while test $i -lt 60; do echo l$i; i=$((i+1)); done; exit 7\n", &[]));
    fixture.busybox_as("base").await;
    let error = fixture.fail().await;
    let BuildError::EngineFailed { engine, step, at, exit, tail, log } = &error else { panic!("{error:?}") };
    assert_eq!((engine.as_str(), *step, *exit), ("buildah", "build", Exit::Code(7)));
    assert!(at.as_ref().is_some_and(|at| at.instruction.starts_with("RUN i=0; ")), "{at:?}");
    assert!(!error.is_unknown());
    assert_eq!(tail.len(), 40);
    assert!(tail.last().unwrap().starts_with("Error: building at STEP \"RUN i=0; "), "{tail:?}");
    assert!(tail.contains(&"l59".to_owned()), "{tail:?}");
    assert!(error.to_string().contains("building at STEP"), "{error}");
    let everything = fs::read_to_string(log.as_ref().unwrap()).unwrap();
    assert!(everything.contains("\nl0\n") && everything.contains("build --signature-policy"), "{everything}");
    assert_eq!(mounts_below(fixture.dir.path()), Vec::<String>::new());
}

/// Inputs, not places and times, decide about an image into which files are only copied.
#[tokio::test]
async fn copied_images_are_the_same_everywhere() {
    let dockerfile = "FROM scratch AS one\nCOPY a d /one/\nFROM scratch\nCOPY --from=one /one /two\nCOPY . /all\n";
    let inputs = [("a", "A"), ("d/b", "B"), ("d/c", "C")];
    let mut digests = Vec::new();
    for hours in [1, 1000] {
        let fixture = need!(fixture(dockerfile, &inputs));
        let then = SystemTime::now() - Duration::from_secs(hours * 3600);
        for (name, _) in inputs {
            fs::File::open(fixture.request.stage.join(name)).unwrap().set_modified(then).unwrap();
        }
        let cold = fixture.build().await.0.manifest;
        let cached = fixture.build().await.0.manifest;
        assert_eq!(cold.digest(), cached.digest());
        digests.push(cold.digest().clone());
    }
    assert_eq!(digests[0], digests[1]);
}

#[tokio::test]
async fn ignore_files_in_the_stage_are_files_like_any_other() {
    let names = [".containerignore", ".dockerignore", "Dockerfile.dockerignore", "a"];
    let ignoring: Vec<_> = names.iter().map(|name| (*name, "**\n")).collect();
    let mut fixture = need!(fixture("FROM scratch\nCOPY . /\nCOPY --from=more . /more/\n", &ignoring));
    let more = fixture.path("more");
    fs::create_dir(&more).unwrap();
    fs::write(more.join(".dockerignore"), "**\n").unwrap();
    fixture.request.named.insert("more".to_owned(), more.to_str().unwrap().to_owned());
    // Beside the Dockerfile too, where buildah looks if no ignore file is named.
    fs::write(fixture.path("Dockerfile.dockerignore"), "**\n").unwrap();
    let (built, _) = fixture.build().await;
    let mut expected = names.map(str::to_owned).to_vec();
    expected.push("more/.dockerignore".to_owned());
    assert_eq!(files(&built), expected);
}

/// buildah 1.28 would take the layers, and with them the platform, of the first build.
#[tokio::test]
async fn each_platform_gets_an_image_of_its_own() {
    let mut fixture = need!(fixture("FROM scratch\nCOPY a /a\n", &[("a", "A")]));
    for platform in ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/amd64"] {
        fixture.request.platform = platform.parse().unwrap();
        let (built, _) = fixture.build().await;
        let config = config(&built);
        assert_eq!(config["architecture"].as_str(), platform.split('/').nth(1), "{platform}");
    }
}

#[tokio::test]
async fn a_cancelled_build_leaves_no_process_and_no_mount() {
    need!(require_tool("busybox"));
    // Nobody else sleeps this long; one of the two leaves its process group, as a daemon does.
    let time = 700_000 + std::process::id();
    let dockerfile = format!("FROM base\nRUN setsid sleep {time} & echo begun; sleep {time}\n");
    let mut fixture = need!(fixture(&dockerfile, &[]));
    fixture.busybox_as("base").await;
    let log = Recorder::default();
    let begun = async {
        while !(log.has_line("begun") && processes(&time.to_string()) >= 2) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        ended = buildah(&fixture.request, &log) => panic!("ended: {ended:?}"),
        () = begun => {}
        () = tokio::time::sleep(Duration::from_secs(120)) => panic!("did not begin"),
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while processes(&time.to_string()) > 0 || processes(fixture.dir.path().to_str().unwrap()) > 0 {
        assert!(Instant::now() < deadline, "something still runs");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(mounts_below(fixture.dir.path()), Vec::<String>::new());
    // The work directory is as good as before, and what was left in it is gone.
    fixture.dockerfile("FROM base\nRUN echo done > /done\n");
    let (built, _) = fixture.build().await;
    assert_eq!(content(&built, "done"), "done\n");
    let containers = fs::read_dir(&fixture.request.work).unwrap().filter_map(|storage| {
        fs::read_to_string(storage.unwrap().path().join("overlay-containers/containers.json")).ok()
    });
    assert!(containers.into_iter().all(|json| json.trim() == "[]"), "containers are left");
}

/// Live processes with this text in their command line.
fn processes(text: &str) -> usize {
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    processes.filter(|line| String::from_utf8_lossy(line).contains(text)).count()
}

fn mounts_below(dir: &Path) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    mounts.lines().filter(|line| line.contains(dir.to_str().unwrap())).map(str::to_owned).collect()
}

#[tokio::test]
async fn bases_come_by_their_locked_digest_and_no_other_way() {
    need!(require_tool("busybox"));
    let registry = need!(DockerRegistry::start());
    let skopeo = need!(Skopeo::find());
    let mut fixture = need!(fixture("", &[("a", "A")]));
    let layout = fixture.busybox_as("local").await;
    fixture.request.named.clear();
    let base = format!("{}/team/base:v1", registry.host());
    skopeo.copy(&format!("oci:{}:v1", layout.display()), &format!("docker://{base}"));
    let locked = skopeo.digest(&format!("docker://{base}"));
    // The tag moves on to something that is no busybox.
    fixture.dockerfile("FROM scratch\nCOPY a /a\n");
    let other = fixture.build().await.0;
    skopeo.copy(&format!("oci:{}:{}", other.layout.display(), other.tag), &format!("docker://{base}"));

    let dockerfile =
        format!("ARG BASE={base}\nFROM ${{BASE}}\nCOPY --from={base} /bin/busybox /b\nRUN echo ran > /ran\n");
    fixture.dockerfile(&dockerfile);
    fixture.request.bases = [(base.clone(), locked.clone())].into();
    let (built, _) = fixture.build().await;
    assert_eq!(content(&built, "ran"), "ran\n");

    fixture.request.bases = [(base.clone(), format!("sha256:{:064}", 1))].into();
    let error = fixture.fail().await;
    assert!(matches!(&error, BuildError::EngineFailed { step: "pull", .. }), "{error:?}");

    // Not locked: it must not be fetched, even though the registry has it.
    let unlocked = format!("{}/team/base:unlocked", registry.host());
    skopeo.copy(&format!("oci:{}:v1", layout.display()), &format!("docker://{unlocked}"));
    fixture.request.bases = [(base, locked)].into();
    fixture.dockerfile(&format!("FROM {unlocked}\nRUN echo ran\n"));
    registry.clear_log();
    let error = fixture.fail().await;
    assert!(matches!(&error, BuildError::BaseMissing { reference, .. } if *reference == unlocked), "{error:?}");
    fixture.dockerfile(&format!("FROM scratch\nCOPY --from={unlocked} /a /a\n"));
    let error = fixture.fail().await;
    assert!(matches!(&error, BuildError::BaseMissing { reference, .. } if *reference == unlocked), "{error:?}");
    registry.log().assert_count("GET", "unlocked", 0);
}

/// `ONBUILD RUN` of a base runs although the Dockerfile says nothing of it.
#[tokio::test]
async fn triggers_of_a_base_run_with_real_times() {
    let busybox = need!(require_tool("busybox"));
    let registry = need!(DockerRegistry::start());
    let dockerfile = "FROM scratch\nCOPY busybox /bin/sh\nCOPY busybox /bin/stat\n\
                      ONBUILD COPY a /a\nONBUILD RUN stat -c %Y /a > /then\n";
    let mut fixture = need!(fixture(dockerfile, &[("a", "A")]));
    fs::copy(busybox, fixture.request.stage.join("busybox")).unwrap();
    // Triggers exist only in Docker's format, which shipper's own images do not have.
    let image = format!("{}/triggers:v1", registry.host());
    let buildah_itself = || {
        let mut command = Command::new("buildah");
        command.env("TMPDIR", fixture.dir.path()).arg("--root").arg(fixture.path("root"));
        command.arg("--runroot").arg(fixture.path("run")).args(["--storage-driver", "vfs"]);
        command
    };
    let mut build = buildah_itself();
    build.args(["build", "--format", "docker", "--isolation", "chroot", "--tag", &image]);
    run(build.arg("--file").arg(&fixture.request.dockerfile).arg(&fixture.request.stage));
    let mut push = buildah_itself();
    push.args(["push", "--tls-verify=false", "--digestfile"]).arg(fixture.path("digest")).arg(&image);
    run(push.arg(format!("docker://{image}")));

    fixture.dockerfile(&format!("FROM {image}\nCOPY a /b\n"));
    fixture.request.bases = [(image, fs::read_to_string(fixture.path("digest")).unwrap())].into();
    let (built, _) = fixture.build().await;
    let then: u64 = content(&built, "then").trim().parse().unwrap();
    assert!(then > 1_600_000_000, "{then}");
}

#[tokio::test]
async fn builds_in_one_work_directory_take_turns() {
    let first = need!(fixture("FROM scratch\nCOPY a /a\n", &[("a", "A")]));
    let mut second = need!(fixture("FROM scratch\nCOPY b /b\n", &[("b", "B")]));
    second.request.work.clone_from(&first.request.work);
    let (log, other) = (Recorder::default(), Recorder::default());
    let both = tokio::join!(buildah(&first.request, &log), buildah(&second.request, &other));
    let (one, two) = (both.0.unwrap(), both.1.unwrap());
    assert_ne!(one.manifest.digest(), two.manifest.digest());
}

/// Whatever is mounted in a directory of temporary files must survive its removal.
#[tokio::test]
async fn what_is_mounted_in_the_work_directory_is_not_removed() {
    let fixture = need!(fixture("FROM scratch\nCOPY a /a\n", &[("a", "A")]));
    let (precious, mounted) = (fixture.path("precious"), fixture.request.work.join("tmp/left over"));
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), "").unwrap();
    fs::create_dir_all(&mounted).unwrap();
    if !Command::new("mount").arg("--bind").arg(&precious).arg(&mounted).status().unwrap().success() {
        shipper_testkit::skip!("buildah", "bind mounts are not allowed here");
    }
    let error = fixture.fail().await;
    run(Command::new("umount").arg(&mounted));
    assert!(matches!(&error, BuildError::Io { action: "remove", .. }), "{error:?}");
    assert!(precious.join("file").exists());
    fixture.build().await;
}

/// A `buildah` of our own in front of the real one.
fn with_script(fixture: &mut Fixture, script: &str) {
    let bin = fixture.path("bin");
    fs::create_dir_all(&bin).unwrap();
    let program = bin.join("buildah");
    fs::write(&program, format!("#!/bin/sh\nreal={}\n{script}", require_tool("buildah").unwrap().display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = fixture.request.environment.get("PATH").unwrap().to_owned();
    let dirs = std::iter::once(bin).chain(std::env::split_paths(&path));
    fixture.request.environment.set("PATH", std::env::join_paths(dirs).unwrap());
}

#[tokio::test]
async fn without_overlay_mounts_layers_are_copied() {
    need!(require_tool("busybox"));
    let mut fixture = need!(fixture("FROM base\nCOPY a /a\nRUN cat /a > /c\n", &[("a", "A")]));
    fixture.busybox_as("base").await;
    let script = "case \"$*\" in *'--storage-driver overlay'*) echo 'Error: kernel does not support overlay fs' >&2; exit 125;; \
                  esac\nexec \"$real\" \"$@\"\n";
    with_script(&mut fixture, script);
    let (built, _) = fixture.build().await;
    assert_eq!(content(&built, "c"), "A");
}

#[tokio::test]
async fn an_option_that_buildah_does_not_know_is_named() {
    let mut fixture = need!(fixture("FROM scratch\nCOPY a /a\n", &[("a", "A")]));
    let script = "case \"$*\" in *identity-label*) echo 'Error: unknown flag: --identity-label' >&2; exit 125;; esac\n\
                  exec \"$real\" \"$@\"\n";
    with_script(&mut fixture, script);
    let error = fixture.fail().await;
    assert_eq!(error.to_string(), "`--identity-label` of the installed buildah is not supported");
}

#[tokio::test]
async fn without_buildah_the_error_says_what_works_without() {
    let mut fixture = need!(fixture("FROM scratch\nCOPY a /a\n", &[("a", "A")]));
    fixture.request.environment.set("PATH", fixture.dir.path());
    let error = fixture.fail().await;
    assert!(matches!(&error, BuildError::EngineMissing { what, .. } if what == "`buildah`"), "{error:?}");
    let hint = error.hint().unwrap();
    assert!(hint.contains("apt-get install buildah") && hint.contains("`cargo` or `files`"), "{hint}");
}

#[tokio::test]
async fn malformed_names_stop_the_build_before_it_begins() {
    let fixture = need!(fixture("FROM scratch\nCOPY a /a\n", &[("a", "A")]));
    let check = async |change: &dyn Fn(&mut DockerfileRequest), expected: &str| {
        let mut request = fixture.request.clone();
        change(&mut request);
        let error = buildah(&request, &Recorder::default()).await.expect_err("must fail");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!request.work.exists());
    };
    let named = |name: &'static str, value: &'static str| {
        move |request: &mut DockerfileRequest| drop(request.named.insert(name.to_owned(), value.to_owned()))
    };
    check(&named("base", "oci:/layout"), "without a tag").await;
    check(&named("base", "oci:/layout:no tag"), "tag").await;
    check(&named("a b", "oci:/layout:v1"), "a b").await;
    check(&|request| drop(request.bases.insert("debian".to_owned(), "sha256:1".to_owned())), "sha256:1").await;
    check(&|request| request.dockerfile.push("none"), "none").await;
}
