//! Dockerfiles through the real `docker buildx`, on engines of two versions with both image stores.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "tests stop where something is wrong")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use shipper_build::{
    BuildError, BuildLog, Builder, BuilderChoice, Buildx, BuiltLayout, DockerfileRequest, Environment, Exit, Network,
    Step,
};
use shipper_oci::{Platform, Repository, Selector};
use shipper_testkit::{DockerEngine, DockerRegistry, ImageStore, Skopeo, Suite, Umoci, need, tool};

/// A log that remembers lines and steps in their order.
#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

impl BuildLog for Recorder {
    fn line(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }

    fn step(&self, step: &Step) {
        let text = match step {
            Step::Instruction { name, number, total } => format!("{number}/{total} {name}"),
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(text);
    }
}

fn environment(engine: &DockerEngine) -> Environment {
    let mut environment = Environment::of_process();
    for (name, value) in engine.variables() {
        environment.set(name, value);
    }
    environment
}

struct Fixture {
    dir: tempfile::TempDir,
    request: DockerfileRequest,
}

impl Fixture {
    /// A context with busybox as `/bin/sh` and these files.
    fn new(environment: Environment, dockerfile: &str, files: &[(&str, &str)]) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let stage = dir.path().join("stage");
        fs::create_dir(&stage).unwrap();
        fs::copy(tool("busybox").expect("busybox is installed with runc"), stage.join("busybox")).unwrap();
        for (name, text) in files {
            fs::write(stage.join(name), text).unwrap();
        }
        let request = DockerfileRequest {
            stage,
            dockerfile: dir.path().join("Dockerfile"),
            work: dir.path().join("work"),
            target: None,
            args: BTreeMap::new(),
            platform: Platform::host(),
            labels: [("dev.shipper.key".to_owned(), "k1".to_owned())].into(),
            annotations: [("dev.shipper.key".to_owned(), "k1".to_owned())].into(),
            named: BTreeMap::new(),
            bases: BTreeMap::new(),
            network: Some(Network::Host),
            secrets: BTreeMap::new(),
            ssh: Vec::new(),
            cache_from: Vec::new(),
            inline_cache: false,
            environment,
        };
        fs::write(&request.dockerfile, dockerfile).unwrap();
        Fixture { dir, request }
    }

    async fn build(&self) -> Result<(BuiltLayout, Vec<String>), BuildError> {
        let builder = Builder::detect(BuilderChoice::Buildx, &self.request.environment).await?;
        let log = Recorder::default();
        let built = builder.build(&self.request, &log).await?;
        Ok((built, log.0.into_inner().unwrap()))
    }
}

const SHELL: &str = "FROM scratch\nCOPY busybox /bin/sh\nSHELL [\"/bin/sh\", \"-c\"]\n";

/// The rows that every engine must give, in one test an engine: starting one takes longer than a build.
async fn builds(suite: Suite) {
    let umoci = need!(Umoci::find());
    let engine = need!(DockerEngine::start(suite, ImageStore::Containerd));
    let environment = environment(&engine);

    // Exactly the stage: its own ignore file is a file like any other.
    let dockerfile = format!("{SHELL}RUN echo made > /made; echo said\nCOPY . /ctx\n");
    let files = [("a.txt", "a"), (".dockerignore", "a.txt\n"), ("Dockerfile", "FROM nothing\n")];
    let fixture = Fixture::new(environment.clone(), &dockerfile, &files);
    let (built, told) = fixture.build().await.unwrap();
    let rootfs = umoci.unpack(&built.layout, &built.tag, &fixture.dir.path().join("bundle"));
    let mut names: Vec<String> = fs::read_dir(rootfs.join("ctx"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [".dockerignore", "Dockerfile", "a.txt", "busybox"]);
    assert_eq!(fs::read_to_string(rootfs.join("made")).unwrap(), "made\n");
    assert!(told.iter().any(|line| line == "2/3 RUN echo made > /made; echo said"), "{told:?}");
    assert!(told.iter().any(|line| line == "said"), "{told:?}");
    assert_eq!(built.manifest.annotations()["dev.shipper.key"], "k1");
    assert_eq!(built.manifest.annotations().len(), 1);
    let config = Repository::layout(&built.layout).blob(&built.manifest.as_image().unwrap().config).await.unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["config"]["Labels"]["dev.shipper.key"], "k1");
    assert_eq!(config["created"], "1970-01-01T00:00:00Z");

    // From the cache, and with nothing of the cache: the same bytes.
    let digest = built.manifest.digest().clone();
    let run =
        |built: &BuiltLayout| built.steps.iter().find(|step| step.instruction.starts_with("RUN")).unwrap().clone();
    assert!(!run(&built).cached && run(&built).duration > Duration::ZERO, "{:?}", built.steps);
    assert_eq!(built.layers.len(), 3);
    let (again, told) = fixture.build().await.unwrap();
    assert!(run(&again).cached, "{:?}", again.steps);
    assert_eq!(*again.manifest.digest(), digest);
    assert!(told.iter().any(|line| line == "Cached") && !told.iter().any(|line| line == "said"), "{told:?}");
    shipper_testkit::run(&mut engine.docker(&["buildx", "prune", "--all", "--force"]));
    let (anew, told) = fixture.build().await.unwrap();
    assert_eq!(*anew.manifest.digest(), digest, "the times of a new build are in the image");
    assert!(told.iter().any(|line| line == "said"), "{told:?}");

    // A step that fails: its own exit code, the cause last, a log that people can read.
    let fixture = Fixture::new(environment.clone(), &format!("{SHELL}RUN echo before; exit 7\n"), &[]);
    let error = fixture.build().await.unwrap_err();
    let BuildError::EngineFailed { at, exit, tail, log, .. } = &error else { panic!("{error}") };
    assert_eq!(at.as_ref().and_then(|at| at.line), Some(4), "{at:?}");
    assert_eq!(*exit, Exit::Code(7));
    assert!(tail.iter().any(|line| line == "before") && tail.last().unwrap().contains("exit code: 7"), "{tail:?}");
    let log = fs::read_to_string(log.as_ref().unwrap()).unwrap();
    assert!(log.contains("RUN echo before") && !log.contains("\"vertexes\""), "{log}");

    // Arguments, target, and an argument that sets the times itself.
    let dockerfile = format!("{SHELL}ARG A=0\nRUN echo $A > /a\nFROM scratch AS other\nCOPY nothing /\n");
    let mut fixture = Fixture::new(environment.clone(), &dockerfile.replacen("scratch", "scratch AS one", 1), &[]);
    fixture.request.target = Some("one".to_owned());
    fixture.request.args =
        [("A".to_owned(), "x y".to_owned()), ("SOURCE_DATE_EPOCH".to_owned(), "60".to_owned())].into();
    let (built, _) = fixture.build().await.unwrap();
    let rootfs = umoci.unpack(&built.layout, &built.tag, &fixture.dir.path().join("bundle"));
    assert_eq!(fs::read_to_string(rootfs.join("a")).unwrap(), "x y\n");

    cancelled(&engine).await;
    bases(&engine, &umoci).await;
}

/// Dropping the future ends the client, and with its session the build.
async fn cancelled(engine: &DockerEngine) {
    let fixture = Fixture::new(environment(engine), &format!("{SHELL}RUN echo begun; while :; do :; done\n"), &[]);
    let builder = Builder::detect(BuilderChoice::Buildx, &fixture.request.environment).await.unwrap();
    let log = Recorder::default();
    let began = Instant::now();
    tokio::select! {
        ended = builder.build(&fixture.request, &log) => panic!("it ended: {:?}", ended.map(|built| built.layout)),
        () = async {
            while !log.0.lock().unwrap().iter().any(|line| line == "begun") {
                assert!(began.elapsed() < Duration::from_secs(60), "the step does not begin");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        } => {}
    }
    let busy = || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
            .any(|line| String::from_utf8_lossy(&line).contains("echo begun; while"))
    };
    while busy() {
        assert!(began.elapsed() < Duration::from_secs(90), "the step goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Locked bases by their digest, services by their image in a layout.
async fn bases(engine: &DockerEngine, umoci: &Umoci) {
    let registry = need!(DockerRegistry::start());
    let skopeo = need!(Skopeo::find());
    let busybox = tool("busybox").unwrap();
    let mut fixture = Fixture::new(environment(engine), "", &[]);
    let reference = format!("{}/base:1", registry.host());
    let push = |content: &str| {
        let dir = tempfile::tempdir_in(fixture.dir.path()).unwrap();
        fs::write(dir.path().join("content"), content).unwrap();
        let layout = dir.path().join("layout");
        let files = [(busybox.as_path(), "/bin/sh"), (&*dir.path().join("content"), "/content")];
        umoci.image(&layout, "1", &files);
        skopeo.copy(&format!("oci:{}:1", layout.display()), &format!("docker://{reference}"));
        dir.keep().join("layout")
    };
    let layout = push("locked");
    let locked = Repository::layout(&layout).manifest(&Selector::Tag("1".parse().unwrap())).await.unwrap().unwrap();
    push("moved");
    fs::write(
        &fixture.request.dockerfile,
        format!("FROM {reference}\nFROM {reference} AS b\nFROM mine\nCOPY --from=b /content /b\n"),
    )
    .unwrap();
    fixture.request.bases = [(reference.clone(), locked.digest().to_string())].into();
    fixture.request.named = [("mine".to_owned(), format!("oci:{}:1", layout.display()))].into();
    let (built, _) = fixture.build().await.unwrap();
    let rootfs = umoci.unpack(&built.layout, &built.tag, &fixture.dir.path().join("bundle"));
    assert_eq!(fs::read_to_string(rootfs.join("content")).unwrap(), "locked");
    assert_eq!(fs::read_to_string(rootfs.join("b")).unwrap(), "locked", "the tag has moved, the lock has not");

    let gone = format!("{}/gone:1", registry.host());
    fs::write(&fixture.request.dockerfile, format!("FROM {gone}\n")).unwrap();
    let error = fixture.build().await.unwrap_err();
    assert!(matches!(&error, BuildError::BaseMissing { reference, .. } if *reference == gone), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stable_engine_builds() {
    builds(Suite::Stable).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rolling_engine_builds() {
    builds(Suite::Rolling).await;
}

#[tokio::test]
async fn an_engine_with_the_old_image_store_says_how_to_switch() {
    let engine = need!(DockerEngine::start(Suite::Stable, ImageStore::Classic));
    let error = Buildx::detect(&environment(&engine)).await.expect_err("no OCI layouts");
    assert!(matches!(error, BuildError::EngineLimited { .. }), "{error}");
    assert!(error.hint().unwrap().contains("containerd-snapshotter"), "{:?}", error.hint());
}

#[tokio::test]
async fn without_a_daemon_the_choice_falls_on_what_works_and_costs_little() {
    let empty = Path::new("/nonexistent");
    let dir = tempfile::tempdir().unwrap();
    let program = |name: &str| {
        let path = dir.path().join(name);
        fs::write(&path, "#!/bin/sh\nexit 1\n").unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    let environment = |path: &Path| -> Environment {
        let socket = dir.path().join("no.sock");
        [("PATH", path.display().to_string()), ("DOCKER_HOST", format!("unix://{}", socket.display()))]
            .into_iter()
            .collect()
    };
    let nothing = Builder::detect(BuilderChoice::Auto, &environment(empty)).await.expect_err("nothing is installed");
    assert!(matches!(nothing, BuildError::EngineMissing { .. }), "{nothing}");
    assert!(nothing.hint().unwrap().contains("`cargo` or `files` need no builder"));
    program("docker");
    let dead = Builder::detect(BuilderChoice::Auto, &environment(dir.path())).await.expect_err("a dead daemon");
    assert!(matches!(dead, BuildError::EngineUnreachable { .. }), "{dead}");
    program("buildah");
    let began = Instant::now();
    let found = Builder::detect(BuilderChoice::Auto, &environment(dir.path())).await.unwrap();
    assert_eq!(found.name(), "buildah");
    // The client was never started: it would have been asked for its version.
    assert!(began.elapsed() < Duration::from_secs(5));
    let wished = Builder::detect(BuilderChoice::Buildx, &environment(dir.path())).await.expect_err("a dead daemon");
    assert!(matches!(wished, BuildError::EngineUnreachable { .. }), "{wished}");
}
