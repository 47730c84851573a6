//! Everything that can stop a run or a service, with the exit code it means and a hint where something can be done.

mod answer;

use std::path::PathBuf;

use shipper_report::ExitCode;

/// Why a run, or one service of it, can not go on. Texts fit after "cannot ".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration is wrong, or asks for what does not exist.
    #[error(transparent)]
    Plan(#[from] shipper_plan::Error),
    /// The facts of the run can not be used.
    #[error("use {what}: {problem}")]
    Facts {
        /// A flag, or the file.
        what: String,
        /// What is wrong.
        problem: String,
    },
    /// A file of the project can not be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file or directory of shipper can not be written.
    #[error("write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// There is no record of a run.
    #[error("{}", match run {
        Some(run) => format!("find run `{run}` in {}", directory.display()),
        None => format!("find a run in {}", directory.display()),
    })]
    NoRun {
        /// What was asked for; the last run if nothing.
        run: Option<String>,
        /// Where records lie.
        directory: PathBuf,
    },
    /// More than one run's name begins so.
    #[error("tell which run `{run}` means: {several} begin so")]
    SeveralRuns {
        /// What was asked for.
        run: String,
        /// How many there are.
        several: usize,
    },
    /// A file is there already and would be overwritten.
    #[error("write {}: it exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A context can not be hashed.
    #[error("hash the context of `{service}`")]
    Context {
        /// The service.
        service: String,
        /// What is wrong with it.
        #[source]
        source: shipper_hash::Error,
    },
    /// The history of a commit can not be read.
    #[error("read the history of {revision}")]
    History {
        /// The newest commit, as it was named.
        revision: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No commit says what it would have built.
    #[error("audit: no commit could be compared with an earlier one; of the newest: {problem}")]
    NoAudit {
        /// Why the newest one could not.
        problem: String,
        /// Whether the clone is shallow.
        is_cut: bool,
    },
    /// The project's files can not be listed.
    #[error("list the files of the project")]
    Tree(#[source] shipper_hash::Error),
    /// A context can not be staged, or changed while it was.
    #[error("stage the context of `{service}`")]
    Stage {
        /// The service.
        service: String,
        /// What is wrong.
        #[source]
        source: shipper_hash::Error,
    },
    /// A path that the service names has no files.
    #[error("find `{path}` of `{service}`: {problem}")]
    NoInput {
        /// The service.
        service: String,
        /// The path, relative to the project.
        path: String,
        /// What was found instead.
        problem: &'static str,
        /// What to write, where anything helps.
        hint: Option<String>,
    },
    /// A binary is asked for that the package does not have.
    #[error("find binary `{bin}` in package `{package}` of `{service}`")]
    NoBinary {
        /// The service.
        service: String,
        /// The package.
        package: String,
        /// The binary; empty where none could be chosen.
        bin: String,
        /// The binaries there are.
        known: Vec<String>,
    },
    /// A directory is to be hashed, and there is none.
    #[error("find the directory {}", path.display())]
    NoDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// What a builder would be sent was asked of a service that no builder builds.
    #[error("tell what a builder would be sent of `{service}`: it has no Dockerfile")]
    NoDockerfile {
        /// The service.
        service: String,
    },
    /// A Dockerfile or its ignore file does not parse.
    #[error("read {path} of `{service}`: {problem}")]
    Dockerfile {
        /// The service.
        service: String,
        /// The file, relative to the project.
        path: String,
        /// Line and problem.
        problem: String,
    },
    /// `shipper.lock` can not be used.
    #[error("use {}: {problem}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// `--locked` was given and the lock has no entry.
    #[error("build with `--locked`: `{reference}` has no digest for {platform} in shipper.lock")]
    NotLocked {
        /// The base reference.
        reference: String,
        /// The platform.
        platform: String,
    },
    /// An entry of `shipper.lock` can not be used, or is not there.
    #[error("look up `{reference}` of shipper.lock: {problem}")]
    Locked {
        /// The entry.
        reference: String,
        /// What is wrong with it.
        problem: String,
        /// What can be done.
        hint: Option<String>,
    },
    /// A base image is named by something that is no name.
    #[error("use `{reference}` as base image of `{service}`")]
    BaseName {
        /// The service.
        service: String,
        /// The reference as written.
        reference: String,
        /// Which rule it breaks.
        #[source]
        source: Box<shipper_oci::Error>,
    },
    /// There is no such base image, or none for the platform.
    #[error("resolve the base image `{reference}` of `{service}`: {problem}")]
    BaseAbsent {
        /// The service.
        service: String,
        /// The reference as written.
        reference: String,
        /// What is wrong.
        problem: String,
    },
    /// A base image is asked for in a way that can not be served.
    #[error("use the base image `{reference}` of `{service}`: {problem}")]
    BaseUnusable {
        /// The service.
        service: String,
        /// The reference as written.
        reference: String,
        /// What is wrong.
        problem: String,
    },
    /// A registry or layout does not do or tell what is needed.
    #[error("{action}")]
    Store {
        /// What was tried, as it fits after "cannot ".
        action: String,
        /// What happened.
        #[source]
        source: shipper_oci::Error,
    },
    /// Pushing failed.
    #[error("push `{service}` to {target}")]
    Push {
        /// The service.
        service: String,
        /// Registry and repository.
        target: String,
        /// What happened.
        #[source]
        source: Box<shipper_oci::Error>,
    },
    /// An identity names other bytes already.
    #[error("write {tag} of `{service}`: it names {existing}, this build gave {built}")]
    Identity {
        /// The service.
        service: String,
        /// The identity tag.
        tag: String,
        /// Digest in the registry.
        existing: String,
        /// Digest built here.
        built: String,
        /// Whether what is in the registry says that it was built from the same inputs.
        same_inputs: bool,
    },
    /// A name that never moves is on another image.
    #[error("name `{service}` by {tag}: it names {existing}, this run has {wanted}")]
    Anchor {
        /// The service.
        service: String,
        /// The name.
        tag: String,
        /// Digest that it names.
        existing: String,
        /// Digest that it would have named.
        wanted: String,
    },
    /// A name was moved by other runs each time it was looked at.
    #[error("name `{service}` by {tag}: other runs move it without end")]
    Restless {
        /// The service.
        service: String,
        /// The name.
        tag: String,
    },
    /// Building failed.
    #[error("build `{service}`")]
    Build {
        /// The service.
        service: String,
        /// What happened.
        #[source]
        source: Box<shipper_build::BuildError>,
    },
    /// A builder's toolchain could not be identified, or a builder is missing.
    #[error("plan `{service}`")]
    Toolchain {
        /// The service.
        service: String,
        /// What happened.
        #[source]
        source: Box<shipper_build::BuildError>,
    },
    /// A check command failed.
    #[error("check `{service}`: `{}` {problem}", argv.join(" "))]
    Check {
        /// The service.
        service: String,
        /// The command.
        argv: Vec<String>,
        /// `exited with 1`, or why it did not start.
        problem: String,
        /// The last lines it printed.
        tail: Vec<String>,
    },
    /// A destination that is a digest: content is put under a name.
    #[error("write to {destination}: a destination is named by a tag, not by a digest")]
    Destination {
        /// As written.
        destination: String,
    },
    /// A document that was passed is not what it should be, or says what can not be done.
    #[error("use {}", path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the place.
        #[source]
        source: shipper_ecr::Error,
    },
    /// A file of stack outputs, or an output of a stack, can not be used.
    #[cfg(feature = "aws")]
    #[error("use {what}")]
    Outputs {
        /// The file, or the stack.
        what: String,
        /// What is wrong, with the place.
        #[source]
        source: shipper_cfn::Error,
    },
    /// AWS gave no answer.
    #[cfg(feature = "aws")]
    #[error("{action}")]
    Aws {
        /// What was tried, as it fits after "cannot ".
        action: String,
        /// What happened.
        #[source]
        source: shipper_aws::Error,
    },
    /// This build of shipper can not talk to AWS.
    #[cfg(not(feature = "aws"))]
    #[error("{action}: this build of shipper leaves AWS out")]
    WithoutAws {
        /// What was to be done, as it fits after "cannot ".
        action: String,
    },
    /// Something is neither the name nor the URI of a repository.
    #[error("use `{text}` as repository")]
    RepositoryName {
        /// As written.
        text: String,
    },
    /// The families of tags give no lifecycle policy.
    #[error(transparent)]
    Retention(shipper_ecr::RetentionError),
    /// A list of what is in use can not be read.
    #[error("use {} as list of what is in use: {problem}", path.display())]
    InUseFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the place.
        problem: String,
    },
    /// A plan of `gc` can not be read.
    #[error("use {} as plan: {problem}", path.display())]
    GcFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the place.
        problem: String,
    },
    /// What is in use would be deleted.
    #[error("go on: {image} is in use ({reference}): {why}")]
    InUse {
        /// Digest of the image.
        image: String,
        /// What says that it is in use.
        reference: String,
        /// What would delete it.
        why: String,
    },
    /// A text that is to name an image in use names none.
    #[error("use `{text}` of {origin} as an image in use: {problem}")]
    InUseReference {
        /// Where it was found.
        origin: String,
        /// The text.
        text: String,
        /// What is wrong.
        problem: String,
    },
    /// The command that says which images run did not say so.
    #[error("ask what is in use: `{command}` {problem}")]
    InUseCommand {
        /// Program and arguments.
        command: String,
        /// What happened, as it fits after the command line.
        problem: String,
        /// The last lines of its standard error.
        tail: Vec<String>,
    },
    /// A service of AWS did not say which images it uses.
    #[cfg(feature = "aws")]
    #[error("ask what {service} uses")]
    InUseService {
        /// The service.
        service: &'static str,
        /// What happened.
        #[source]
        source: Box<shipper_targets::Error>,
    },
    /// An image of a plan is not what it was when the plan was made.
    #[error("carry out the plan: {image} {change} since it was made")]
    PlanOutdated {
        /// Digest of the image.
        image: String,
        /// What changed.
        change: &'static str,
    },
    /// ECR's preview of a policy says something else than the simulation.
    #[error("trust the simulation: of {image} it says that {ours}, and ECR {theirs}")]
    Disagreement {
        /// Digest of the image.
        image: String,
        /// What the simulation says.
        ours: String,
        /// What ECR says.
        theirs: String,
    },
    /// What was written is not what is there afterwards.
    #[error("keep the policy of `{repository}`: another one is there after it was written")]
    NotKept {
        /// The repository.
        repository: String,
    },
    /// The registry is not one of ECR.
    #[error("ensure repositories in `{registry}`: it is not a registry of ECR")]
    NoEcrRegistry {
        /// As configured.
        registry: String,
    },
    /// Neither the registry nor the caller says in which account and region.
    #[cfg(feature = "aws")]
    #[error("tell what a role needs for `{registry}`: it is not a registry of ECR")]
    NoScope {
        /// As configured.
        registry: String,
    },
    /// A trust that would be wider than it looks.
    #[cfg(feature = "aws")]
    #[error(transparent)]
    Trust(shipper_aws::NoTrust),
    /// A repository differs in what can not be changed.
    #[cfg(feature = "aws")]
    #[error(transparent)]
    Drift(shipper_ecr::Drift),
    /// The stack that tells where images go has no repository yet.
    #[error("push to the repository of {registry}: {reason}")]
    NotReady {
        /// The stack.
        registry: String,
        /// Why not.
        reason: String,
    },
    /// It can not be told whether the stack has a repository.
    #[error("tell whether {registry} has a repository: {reason}")]
    NoVerdict {
        /// The stack.
        registry: String,
        /// What happened.
        reason: String,
        /// What can be done.
        hint: Option<String>,
    },
    /// A guard was started without anything to look at.
    #[error("tell whether an image can be pushed: no repository, stack or outputs file is named")]
    NothingToLookAt,
    /// A time that is none.
    #[error("use the time `{text}`")]
    Time {
        /// As written.
        text: String,
        /// What is wrong.
        #[source]
        source: jiff::Error,
    },
    /// A place that images can be read from or written to, but not what was asked.
    #[error("use `{place}`: {problem}")]
    Place {
        /// As written.
        place: String,
        /// What it is not for.
        problem: &'static str,
    },
    /// An image was shipped but not loaded into the container engine.
    #[error("load `{service}` into the container engine")]
    Load {
        /// The service.
        service: String,
        /// What happened.
        #[source]
        source: Box<shipper_oci::Error>,
    },
    /// An image was not copied.
    #[error("copy {from} to {to}")]
    Copy {
        /// The source, as written.
        from: String,
        /// The destination, as written.
        to: String,
        /// What happened.
        #[source]
        source: Box<shipper_oci::Error>,
    },
    /// A name is on another image than the one that is promoted.
    #[error("promote {from} to {to}: it names {existing}, not {wanted}")]
    Promoted {
        /// The source, as written.
        from: String,
        /// The destination, as written.
        to: String,
        /// Digest that the destination names.
        existing: String,
        /// Digest that is promoted.
        wanted: String,
    },
    /// After a promotion the two sides are not the same.
    #[error("promote {from} to {to}: afterwards {difference}")]
    Unequal {
        /// The source, as written.
        from: String,
        /// The destination, as written.
        to: String,
        /// Which part differs, and how.
        difference: String,
    },
    /// Trusted and untrusted runs would write to one repository.
    #[error("keep pull requests apart: {repository} is a repository of trusted runs too")]
    TrustOverlap {
        /// The repository.
        repository: String,
    },
    /// A reference names nothing.
    #[error("find {reference}")]
    NoImage {
        /// As written.
        reference: String,
    },
    /// What an image was made of is not known.
    #[error("compare with {reference}: {problem}")]
    NoInputs {
        /// The image.
        reference: String,
        /// Why not.
        problem: String,
    },
    /// An index has no image for a platform.
    #[error("choose an image of {reference}: it has none for {platform}")]
    Platform {
        /// As written.
        reference: String,
        /// The platform.
        platform: String,
    },
    /// A lock file in a context can not be read, so that nobody could say what the image is made of.
    #[error("list what `{service}` is made of: {path}")]
    LockFile {
        /// The service.
        service: String,
        /// The file, relative to its context.
        path: String,
        /// What is wrong with it.
        #[source]
        source: shipper_attest::Error,
    },
    /// A statement about an image can not be written.
    #[error("attest `{service}`")]
    Attest {
        /// The service.
        service: String,
        /// What is wrong.
        #[source]
        source: shipper_attest::Error,
    },
    /// A key can not be used.
    #[error("use `{key}`")]
    Key {
        /// As it was named.
        key: String,
        /// What is wrong.
        #[source]
        source: shipper_attest::Error,
    },
    /// There is no key where one was said to be.
    #[error("use the key of the environment variable {name}: it is not set")]
    NoKey {
        /// The variable.
        name: String,
    },
    /// An image can not be signed.
    #[error("sign {reference}")]
    Sign {
        /// As written.
        reference: String,
        /// What is wrong.
        #[source]
        source: shipper_attest::Error,
    },
    /// A record, a pin or an image of a deployment.
    #[error(transparent)]
    Deploy(#[from] shipper_deploy::Error),
    /// A run that anybody can start would deploy to an environment for trusted runs.
    #[error("deploy to `{environment}`: a pull request's run is not trusted")]
    Untrusted {
        /// The environment.
        environment: String,
    },
    /// An environment is not there and nothing sets it up.
    #[error("deploy to `{environment}`: it is not ready: {reason}")]
    NoBootstrap {
        /// The environment.
        environment: String,
        /// What is not there.
        reason: String,
    },
    /// Images of runs that are not trusted are not brought to an environment of trusted ones.
    #[error("deploy to `{environment}`: what runs in `{from}` may be of a run that is not trusted")]
    UntrustedSource {
        /// Where it would be deployed to.
        environment: String,
        /// Where it runs.
        from: String,
    },
    /// An image that is deployed by its name has no signature of a trusted key.
    #[error("deploy {reference}: {why}")]
    Unsigned {
        /// The image by its digest.
        reference: String,
        /// What was found, and why it does not count.
        why: String,
    },
    /// Nothing was observed to run in an environment.
    #[error("find what runs in `{environment}`: nothing runs in `{environment}`")]
    NothingRuns {
        /// The environment.
        environment: String,
    },
    /// An environment has no command that removes it.
    #[error("remove `{environment}`: nothing says how")]
    NoRemove {
        /// The environment.
        environment: String,
    },
    /// An environment is not there after it was set up.
    #[error("deploy to `{environment}`: after its bootstrap it is not ready: {reason}")]
    StillNotReady {
        /// The environment.
        environment: String,
        /// What is not there.
        reason: String,
        /// The record that says so.
        record: Option<String>,
    },
    /// Images of a release, or names of them, are not there.
    #[error("tell what is released: {} not shipped", services.join(", "))]
    NotReleased {
        /// Their services.
        services: Vec<String>,
    },
    /// A release does not have its notes.
    #[error("write the notes of {release}")]
    Release {
        /// Repository and tag.
        release: String,
        /// Why not.
        #[source]
        source: crate::ReleaseError,
    },
    /// A run is about no tag, and so about no release.
    #[error("tell which release this is: the run is about no tag")]
    NoRelease,
    /// A text has no place for notes of a release.
    #[error("put notes into {place}")]
    Notes {
        /// The text.
        place: String,
        /// What is wrong with its marks.
        #[source]
        source: shipper_report::NotesFault,
    },
    /// Images that must be there are not.
    #[error("deploy without building: {} not built", services.join(", "))]
    NotBuilt {
        /// Their services.
        services: Vec<String>,
    },
    /// Images of a deployment could not be built; each failure was told.
    #[error("deploy: {failed} of its services could not be built or pushed")]
    Ship {
        /// How many.
        failed: usize,
        /// What the process returns.
        code: ExitCode,
    },
    /// The files of a step can not be hashed.
    #[error("hash the inputs of `{step}`")]
    Inputs {
        /// The step.
        step: String,
        /// What is wrong.
        #[source]
        source: shipper_hash::Error,
    },
    /// A step needs an image that the environment does not have.
    #[error("deploy without an image of `{service}`, which `{step}` needs")]
    NoImageOf {
        /// The service.
        service: String,
        /// The step.
        step: String,
    },
    /// A command of a deployment failed.
    #[error("deploy: `{step}` {problem}")]
    Step {
        /// The step.
        step: String,
        /// What happened, as it fits after the name.
        problem: String,
        /// The last lines that it wrote.
        tail: Vec<String>,
        /// The record that says so.
        record: Option<String>,
    },
    /// The runtime of a program that has none could not be started.
    #[error("start threads")]
    Runtime {
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// An image has vulnerabilities that its environment does not admit.
    #[error("deploy {image}: {problem}")]
    Gate {
        /// The image.
        image: String,
        /// What was found.
        problem: String,
        /// The last lines of the command that found it.
        tail: Vec<String>,
    },
    /// Nobody knows which vulnerabilities an image has.
    #[error("tell which vulnerabilities {image} has: {problem}")]
    GateUnknown {
        /// The image.
        image: String,
        /// What happened.
        problem: String,
        /// The last lines of the command that was to find it out.
        tail: Vec<String>,
    },
    /// An image has nothing for the platform of a target.
    #[error("deploy {image} to `{step}`: it has nothing for {platform}")]
    NoPlatform {
        /// The step.
        step: String,
        /// The image.
        image: String,
        /// The target's platform.
        platform: String,
        /// The platforms that the image has.
        known: Vec<String>,
    },
    /// A target that is no command does not run its image, or nobody knows.
    #[cfg(feature = "aws")]
    #[error("deploy to `{step}`")]
    Target {
        /// The step.
        step: String,
        /// What happened.
        #[source]
        source: Box<shipper_targets::Error>,
        /// The record that says so.
        record: Option<String>,
    },
    /// A check says neither yes nor no.
    #[error("tell what `{step}` runs: its check {problem}")]
    CheckUnknown {
        /// The step.
        step: String,
        /// What happened.
        problem: String,
        /// The last lines that it wrote.
        tail: Vec<String>,
    },
    /// A deployment was asked to stop while a step ran.
    #[error("finish `{step}`: interrupted")]
    Interrupted {
        /// The step.
        step: String,
        /// The record that says so.
        record: String,
    },
    /// There is nothing to go back to.
    #[error("go back in `{environment}`: {records} has no deployment before that was observed with other images")]
    NothingBefore {
        /// The environment.
        environment: String,
        /// Where the records are.
        records: String,
    },
    /// A name means no deployment that was observed, or several.
    #[error("go back in `{environment}` to `{name}`: it names no deployment, or several, that was observed")]
    NoSuchRecord {
        /// The environment.
        environment: String,
        /// As it was written.
        name: String,
    },
    /// Other deployments were faster, again and again.
    #[error("deploy to `{environment}`: others were faster")]
    Contended {
        /// The environment.
        environment: String,
    },
    /// Something that it is built on failed.
    #[error("build `{service}`: `{need}` failed")]
    Need {
        /// The service.
        service: String,
        /// What it is built on.
        need: String,
    },
}
