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
