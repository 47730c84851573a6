//! Is there a `docker buildx` that can be used? Asked once a run.

use std::path::PathBuf;
use std::time::Duration;

use super::Buildx;
use crate::environment::Environment;
use crate::error::BuildError;
use crate::process::{Captured, Process};

/// How long a daemon on this machine may take to accept a connection.
const PATIENCE: Duration = Duration::from_millis(100);
/// The most that is read of an answer, in bytes.
const LIMIT: usize = 1 << 20;

/// What the client must see beyond the machine's variables: where the daemon, its credentials and the builder are.
const CLIENT: &[&str] = &[
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "DOCKER_TLS",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "DOCKER_API_VERSION",
    "BUILDX_BUILDER",
    "BUILDX_CONFIG",
    "SSH_AUTH_SOCK",
    "XDG_RUNTIME_DIR",
];

const INSTALL: &str = "install Docker Engine and its plug-in buildx, or buildah";

pub(super) async fn detect(environment: &Environment) -> Result<Buildx, BuildError> {
    let missing = |what: &str| BuildError::EngineMissing { what: format!("`{what}`"), install: INSTALL.to_owned() };
    let docker = environment.find_program("docker").ok_or_else(|| missing("docker"))?;
    if let Some(address) = local_socket(environment) {
        reach(&address).await?;
    }
    let mut visible = environment.machine_and_network();
    visible.extend(environment.pick(|name| CLIENT.contains(&name)));
    // buildx would start git in the context, and write what it says into labels and provenance.
    visible.set("BUILDX_GIT_INFO", "false");
    visible.set("BUILDX_METADATA_PROVENANCE", "disabled");
    visible.set("DOCKER_CLI_HINTS", "false");
    let buildx = Buildx { docker, environment: visible };
    let ask = async |args: &[&str]| -> Result<Captured, BuildError> {
        Process::new(&buildx.docker, "/", buildx.environment.clone()).args(args).capture(LIMIT).await
    };
    if !ask(&["buildx", "version"]).await?.status.success() {
        return Err(missing("docker buildx"));
    }
    let inspected = ask(&["buildx", "inspect"]).await?;
    if !inspected.status.success() {
        return Err(unreachable("the current builder", &inspected.tail));
    }
    // Every other driver runs a BuildKit of its own, which has all exporters.
    if field(&inspected.stdout, "Driver:") == Some("docker") {
        let info = ask(&["info", "--format", "{{json .DriverStatus}}"]).await?;
        if !info.status.success() {
            return Err(unreachable("the Docker engine", &info.tail));
        }
        // Pairs of name and value (docker info, "DriverStatus").
        if !info.stdout.contains("io.containerd.snapshotter") {
            return Err(BuildError::EngineLimited {
                engine: "docker buildx".to_owned(),
                what: "the engine's image store hands out no OCI layouts".to_owned(),
                cure: "set `\"features\": {\"containerd-snapshotter\": true}` in the engine's daemon.json, or use \
                       another driver: `docker buildx create --use`"
                    .to_owned(),
            });
        }
    }
    Ok(buildx)
}

fn unreachable(what: &str, tail: &[String]) -> BuildError {
    let problem = tail.iter().rev().find(|line| !line.trim().is_empty()).cloned().unwrap_or_default();
    BuildError::EngineUnreachable { what: what.to_owned(), problem }
}

/// The value behind a name at the beginning of a line, as `docker buildx inspect` prints it.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// The engine's socket, where it is known to be one on this machine: `DOCKER_HOST`, else the default one if no context
/// and no builder is chosen.
fn local_socket(environment: &Environment) -> Option<PathBuf> {
    let text = |name| environment.get(name).and_then(|value| value.to_str()).filter(|value| !value.is_empty());
    if text("BUILDX_BUILDER").is_some() || text("DOCKER_CONTEXT").is_some() {
        return None;
    }
    match text("DOCKER_HOST") {
        Some(host) => host.strip_prefix("unix://").map(PathBuf::from),
        None => {
            let config = match text("DOCKER_CONFIG") {
                Some(directory) => PathBuf::from(directory),
                None => environment.home()?.join(".docker"),
            };
            let chosen = std::fs::read_to_string(config.join("config.json")).is_ok_and(|text| {
                serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|config| !config["currentContext"].is_null())
            });
            let builder = config.join("buildx").join("current").exists();
            (!chosen && !builder && cfg!(unix)).then(|| PathBuf::from("/var/run/docker.sock"))
        }
    }
}

/// Connects to the socket, which a dead daemon's client would take much longer to find out.
#[cfg(unix)]
async fn reach(socket: &std::path::Path) -> Result<(), BuildError> {
    let unreachable = |problem: String| BuildError::EngineUnreachable {
        what: format!("the Docker engine at {}", socket.display()),
        problem,
    };
    match tokio::time::timeout(PATIENCE, tokio::net::UnixStream::connect(socket)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(unreachable(error.to_string())),
        Err(_) => Err(unreachable(format!("no answer within {} ms", PATIENCE.as_millis()))),
    }
}

#[cfg(not(unix))]
async fn reach(_: &std::path::Path) -> Result<(), BuildError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_socket_is_tried_only_where_nothing_else_is_chosen() {
        let home = tempfile::tempdir().unwrap();
        let check = |variables: &[(&str, &str)], expected: Option<&str>| {
            let mut environment: Environment = variables.iter().copied().collect();
            environment.set("HOME", home.path());
            assert_eq!(local_socket(&environment), expected.map(PathBuf::from), "{variables:?}");
        };
        check(&[], Some("/var/run/docker.sock"));
        check(&[("DOCKER_HOST", "unix:///run/x.sock")], Some("/run/x.sock"));
        check(&[("DOCKER_HOST", "tcp://10.0.0.1:2376")], None);
        check(&[("DOCKER_CONTEXT", "far")], None);
        check(&[("BUILDX_BUILDER", "fleet")], None);
        std::fs::create_dir(home.path().join(".docker")).unwrap();
        std::fs::write(home.path().join(".docker/config.json"), r#"{"currentContext":"far"}"#).unwrap();
        check(&[], None);
    }

    #[test]
    fn fields_are_read_by_their_name() {
        let text = "Name:          default\nDriver:        docker\n\nNodes:\nName: x\n";
        assert_eq!(field(text, "Driver:"), Some("docker"));
        assert_eq!(field(text, "Endpoint:"), None);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_dead_daemon_is_found_out_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("docker.sock");
        let error = reach(&socket).await.expect_err("nothing there");
        assert!(
            matches!(&error, BuildError::EngineUnreachable { what, .. } if what.contains("docker.sock")),
            "{error}"
        );
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        assert!(matches!(reach(&socket).await, Err(BuildError::EngineUnreachable { .. })), "nobody listens");
    }
}
