//! Every script of a pipeline, for bash with `-e` and `pipefail`.
//!
//! Invariant: they are constants. What differs between repositories and runs reaches them by variables, each of which is
//! quoted where it is used.

/// Installs a version of shipper.
pub(crate) const INSTALL_VERSION: &str =
    r#"cargo install --locked --root "$RUNNER_TEMP/shipper" --version "$SHIPPER_VERSION" cargo-shipper"#;
/// Installs shipper from sources in the project.
pub(crate) const INSTALL_SOURCE: &str =
    r#"cargo install --locked --root "$RUNNER_TEMP/shipper" --path "$SHIPPER_SOURCE/crates/cargo-shipper""#;
/// Lets the following steps find it. A file that came from another job can not be run yet.
pub(crate) const PATH: &str = r#"chmod +x "$RUNNER_TEMP/shipper/bin/shipper"
echo "$RUNNER_TEMP/shipper/bin" >> "$GITHUB_PATH""#;
/// Logs in to the registry.
pub(crate) const LOGIN: &str = r#"printf '%s' "$REGISTRY_PASSWORD" |
  docker login --username "$REGISTRY_USERNAME" --password-stdin "$REGISTRY""#;
/// Starts a builder that has all exporters.
pub(crate) const BUILDER: &str = "docker buildx create --use --driver docker-container";
/// Sets `due`, `bases`, `matrix` and `retag`.
pub(crate) const PLAN: &str = "shipper plan --format github";
/// Ships some services. They are separated by spaces, which no name has.
pub(crate) const SHIP: &str = r#"read -ra services <<< "$SERVICES"
shipper ship "${services[@]}""#;
/// Fails where a job before it did.
pub(crate) const VERDICT: &str = r#"echo "plan, bases, build: $RESULTS"
case " $RESULTS " in
  *" failure "* | *" cancelled "*) exit 1 ;;
esac"#;
/// Gives every image its names.
pub(crate) const FINISH: &str = "shipper ship";
/// Deploys what is there.
pub(crate) const DEPLOY: &str = r#"shipper deploy "$ENVIRONMENT" --no-build"#;
/// Tells the readers of a release which images it has.
pub(crate) const NOTES: &str = "shipper release-notes --github";

// GitLab runs the steps of a job in one shell, which need not be bash.

/// Keeps merge requests apart: all of them, or those of forks. What says so in the parent says so in its children.
pub(crate) const APART_GITLAB: &str = r#"if [ "${CI_PIPELINE_SOURCE-}" = merge_request_event ]; then
  if [ "$SHIPPER_APART" = all ] || [ "${CI_MERGE_REQUEST_SOURCE_PROJECT_ID-}" != "${CI_MERGE_REQUEST_PROJECT_ID-}" ]; then
    export SHIPPER_REGISTRY=oci:.shipper/images SHIPPER_UNTRUSTED=oci:.shipper/pulls
  fi
fi"#;
/// Installs a version of shipper, where the cache does not have it.
pub(crate) const INSTALL_GITLAB: &str = r#"[ -x .shipper/tools/bin/shipper ] ||
  cargo install --locked --root .shipper/tools --version "$SHIPPER_VERSION" cargo-shipper"#;
/// The same from sources in the project.
pub(crate) const INSTALL_SOURCE_GITLAB: &str = r#"[ -x .shipper/tools/bin/shipper ] ||
  cargo install --locked --root .shipper/tools --path "${SHIPPER_DIRECTORY:-.}/$SHIPPER_SOURCE/crates/cargo-shipper""#;
/// Lets the following steps find it.
pub(crate) const FIND_GITLAB: &str = r#"chmod +x .shipper/tools/bin/shipper
export PATH="$PWD/.shipper/tools/bin:$PATH""#;
/// Logs in to the registry by a file of this job, unless it is kept apart. An image need not have Docker for that.
pub(crate) const LOGIN_FILE: &str = r#"if [ -z "${SHIPPER_REGISTRY-}" ] && [ -n "${REGISTRY_PASSWORD-}" ]; then
  DOCKER_CONFIG="$(mktemp -d)"
  export DOCKER_CONFIG
  printf '{"auths":{"%s":{"auth":"%s"}}}' "$REGISTRY" "$(printf '%s:%s' "$REGISTRY_USERNAME" "$REGISTRY_PASSWORD" |
    base64 | tr -d '\n')" > "$DOCKER_CONFIG/config.json"
fi"#;
/// Shows AWS who the job is, unless it is kept apart.
pub(crate) const IDENTITY_GITLAB: &str = r#"if [ -z "${SHIPPER_REGISTRY-}" ]; then
  AWS_WEB_IDENTITY_TOKEN_FILE="$(mktemp)"
  export AWS_WEB_IDENTITY_TOKEN_FILE
  printf '%s' "$AWS_ID_TOKEN" > "$AWS_WEB_IDENTITY_TOKEN_FILE"
fi"#;
/// Starts a builder beside the engine of the job.
pub(crate) const BUILDER_CONTAINER: &str = r#"command -v docker > /dev/null || { apt-get update -q && apt-get install -qy docker-cli docker-buildx; }
docker context create shipper && docker buildx create --use --driver docker-container shipper"#;
/// Goes where the project is.
pub(crate) const ENTER: &str = r#"cd "$SHIPPER_DIRECTORY""#;
/// Writes the child pipeline.
pub(crate) const PLAN_GITLAB: &str = r#"shipper plan --format gitlab > "$CI_PROJECT_DIR/.shipper/jobs.yml""#;
/// Ships some services. They are separated by spaces, which no name has.
pub(crate) const SHIP_GITLAB: &str = r#"set -f
shipper ship $SERVICES ${SHIPPER_TRIGGER:+--trigger "$SHIPPER_TRIGGER"}"#;
/// Gives every image its names, unless the run is kept apart.
pub(crate) const FINISH_GITLAB: &str = r#"[ -n "${SHIPPER_REGISTRY-}" ] || shipper ship"#;
