//! A project: where it is, what its configuration says, and which private directories belong to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use shipper_build::{assembled_platforms, is_assembled, is_group_of_scratch, is_user_of_scratch};
use shipper_hash::{FileDigest, Tree, TreeOptions, Untracked};
use shipper_oci::{ClientOptions, Platform, Proxies};
use shipper_plan::{Base, Config, Discovered, Overrides, Recipe, Service, Settings, UntrackedConfig};
use shipper_tag::Policy;

use crate::Error;
use crate::amazon::Logins;
use crate::discover::discovered;

/// Name of the configuration file.
pub const CONFIG_FILE: &str = "shipper.toml";

/// Where and how a project is opened.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The directory to look in; the project is this directory or the nearest one above with a `shipper.toml`.
    pub directory: PathBuf,
    /// A configuration file elsewhere; the project is still `directory`.
    pub config: Option<PathBuf>,
    /// Values of flags.
    pub overrides: Overrides,
    /// The process environment.
    pub environment: BTreeMap<String, String>,
    /// Read every file, whatever the stat cache says.
    pub paranoid: bool,
}

/// An opened project.
#[derive(Debug, Clone)]
pub struct Project {
    /// Its directory, absolute.
    pub root: PathBuf,
    /// The configuration file; absent where services were discovered.
    pub config_path: Option<PathBuf>,
    /// The configuration as written or discovered.
    pub config: Config,
    /// Project-wide values.
    pub settings: Settings,
    /// Which names images get.
    pub policy: Policy,
    /// Services by name.
    pub services: BTreeMap<String, Service>,
    /// The process environment that the project was opened with.
    pub environment: BTreeMap<String, String>,
    /// Private directories.
    pub directories: Directories,
    /// What registries are shown: one login for each, whatever is asked of it.
    pub(crate) logins: Logins,
    pub(crate) paranoid: bool,
    /// What stands for the compiler of a toolchain that is no exact one.
    pub(crate) compilers: Compilers,
}

/// What stands in a key for a compiler that the repository does not name exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compilers {
    /// What is installed.
    Installed,
    /// What the toolchain file says: nothing is asked, and nothing can be built.
    AsWritten,
}

/// Directories that belong to shipper, all of which may be deleted at any time.
#[derive(Debug, Clone)]
pub struct Directories {
    /// `.shipper` in the project: run records, embedded images.
    pub local: PathBuf,
    /// The user's cache for this project: stages, target directories, stat cache.
    pub cache: PathBuf,
}

impl Directories {
    /// The directories of the project that `options.directory` lies in, whatever its configuration says.
    ///
    /// # Errors
    /// [`Error::Read`] where the directory can not be read.
    pub fn of(options: &Options) -> Result<Self, Error> {
        let (root, _) = located(options)?;
        Ok(Self::new(&root, &options.environment))
    }

    fn new(root: &Path, environment: &BTreeMap<String, String>) -> Self {
        let user = match environment.get("SHIPPER_CACHE_DIR").filter(|dir| !dir.is_empty()) {
            Some(dir) => Some(PathBuf::from(dir)),
            None => user_cache(environment).map(|cache| cache.join("shipper")),
        };
        let local = root.join(".shipper");
        // Without a home directory the cache lies in the project; `.shipper` is never part of a context.
        let user = user.unwrap_or_else(|| local.join("cache"));
        let id = FileDigest::of(root.as_os_str().as_encoded_bytes()).to_string();
        let name = root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let readable: String = name.chars().filter(char::is_ascii_alphanumeric).take(20).collect();
        Self { cache: user.join(format!("{readable}-{}", &id[..16])), local }
    }

    /// The stat cache.
    #[must_use]
    pub fn stat_cache(&self) -> PathBuf {
        self.cache.join("files.v1")
    }

    /// Where a service is staged and built: a directory that one run at a time may use.
    #[must_use]
    pub fn service(&self, service: &str, platform: &str) -> PathBuf {
        self.cache.join("services").join(service).join(platform.replace('/', "-"))
    }
}

/// Where a user's caches lie (XDG Base Directory Specification, "XDG_CACHE_HOME"; `Library/Caches` on macOS,
/// `LOCALAPPDATA` on Windows); `None` without a home directory.
fn user_cache(environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    let absolute = |name: &str| environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if cfg!(windows) {
        return absolute("LOCALAPPDATA");
    }
    let below_home = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
    absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(below_home)))
}

impl Project {
    /// Opens the project that `options.directory` lies in.
    ///
    /// # Errors
    /// [`Error::Read`] where the directory or the configuration can not be read, [`Error::Plan`] where the
    /// configuration makes no sense.
    pub fn open(options: &Options) -> Result<Self, Error> {
        let (root, config_path) = located(options)?;
        let name = root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let directories = Directories::new(&root, &options.environment);
        let config = match &config_path {
            Some(path) => {
                let text =
                    crate::read::small_text(path).map_err(|source| Error::Read { path: path.clone(), source })?;
                Config::parse(&text, &path.display().to_string())?
            }
            None => shipper_plan::discover(&found(&root, &directories)?, &name),
        };
        let processors = std::thread::available_parallelism().map_or(1, |n| u16::try_from(n.get()).unwrap_or(u16::MAX));
        let settings = Settings::resolve(&config, &options.overrides, &options.environment, &name, processors)?;
        let services = services_of(&config, &settings)?;
        let policy = config.policy()?;
        let environment = options.environment.clone();
        let logins = Logins::new(&environment, config.profiles()?);
        Ok(Self {
            root,
            config_path,
            config,
            settings,
            policy,
            services,
            environment,
            directories,
            logins,
            paranoid: options.paranoid,
            compilers: Compilers::Installed,
        })
    }

    /// The project as a commit has it: what the configuration says *there*; flags do not count.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn at_commit(&self, tree: &Tree) -> Result<Self, Error> {
        let name = self.root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let failed = |source| Error::Read { path: self.root.join(CONFIG_FILE), source };
        let within =
            self.config_path.as_ref().map_or(Some(Path::new(CONFIG_FILE)), |path| path.strip_prefix(&self.root).ok());
        let config = match within.and_then(Path::to_str) {
            Some(path) => match crate::read::of_tree(tree, path) {
                Ok(bytes) => {
                    let text = String::from_utf8(bytes);
                    Config::parse(&text.map_err(|error| failed(std::io::Error::other(error)))?, path)?
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    shipper_plan::discover(&discovered(tree)?, &name)
                }
                Err(source) => return Err(failed(source)),
            },
            // A configuration that lies elsewhere is in no commit of this repository.
            None => self.config.clone(),
        };
        let overrides = Overrides::default();
        let processors = self.settings.concurrency.value;
        let settings = Settings::resolve(&config, &overrides, &self.environment, &name, processors)?;
        let services = services_of(&config, &settings)?;
        let policy = config.policy()?;
        Ok(Self { config, settings, policy, services, ..self.clone() })
    }

    /// Every setting as `(key, value, origin)`: project-wide values, then the services'.
    #[must_use]
    pub fn rows(&self) -> Vec<(String, String, String)> {
        let project =
            self.settings.rows().into_iter().map(|(key, value, origin)| (key.to_owned(), value, origin.to_string()));
        let mut rows: Vec<_> = project.collect();
        let written = if self.config_path.is_some() { "shipper.toml" } else { "discovered" };
        for (name, service) in &self.config.service {
            let Ok(serde_json::Value::Object(table)) = serde_json::to_value(service) else { continue };
            rows.extend(
                table
                    .into_iter()
                    .map(|(key, value)| (format!("service.{name}.{key}"), value.to_string(), written.to_owned())),
            );
        }
        rows
    }

    /// One listing of the project's files.
    ///
    /// # Errors
    /// [`Error::Tree`].
    pub fn tree(&self) -> Result<Tree, Error> {
        let untracked = match self.settings.untracked.value {
            UntrackedConfig::Include => Untracked::Include,
            UntrackedConfig::Ignore => Untracked::Ignore,
            UntrackedConfig::Deny => Untracked::Deny,
        };
        let options = TreeOptions { untracked, cache: Some(self.directories.stat_cache()), paranoid: self.paranoid };
        Tree::open(&self.root, &options).map_err(Error::Tree)
    }
}

/// The profiles of AWS by the host of the registry that they are for, as the configuration around `options.directory` says;
/// none where there is no configuration.
///
/// # Errors
/// [`Error::Read`], [`Error::Plan`].
pub(crate) fn profiles(options: &Options) -> Result<BTreeMap<String, String>, Error> {
    let Some(path) = located(options)?.1 else { return Ok(BTreeMap::new()) };
    let text = crate::read::small_text(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
    Ok(Config::parse(&text, &path.display().to_string())?.profiles()?)
}

/// As [`locate`], from what the caller said.
///
/// # Errors
/// [`Error::Read`] where the directory can not be read.
pub(crate) fn located(options: &Options) -> Result<(PathBuf, Option<PathBuf>), Error> {
    let directory = std::path::absolute(&options.directory)
        .and_then(|path| path.canonicalize())
        .map_err(|source| Error::Read { path: options.directory.clone(), source })?;
    Ok(locate(&directory, options.config.as_deref()))
}

/// The project's directory and its configuration file: the nearest one upwards, but not above the repository.
fn locate(directory: &Path, config: Option<&Path>) -> (PathBuf, Option<PathBuf>) {
    if let Some(config) = config {
        return (directory.to_owned(), Some(config.to_owned()));
    }
    for ancestor in directory.ancestors() {
        let candidate = ancestor.join(CONFIG_FILE);
        // A link to nothing, or a directory of that name, is an error when it is read: never a project without a file.
        if candidate.symlink_metadata().is_ok() {
            return (ancestor.to_owned(), Some(candidate));
        }
        if ancestor.join(".git").exists() {
            break;
        }
    }
    (directory.to_owned(), None)
}

/// The services of a configuration, as they can be run.
fn services_of(config: &Config, settings: &Settings) -> Result<BTreeMap<String, Service>, Error> {
    let services = config.services(settings, &Platform::host().to_string())?;
    for service in services.values() {
        if let Recipe::Assemble { files, .. } = &service.recipe {
            assembles(service)?;
            knows_its_user(service, files)?;
        }
    }
    Ok(services)
}

/// Whether images can be assembled for the platforms of a service.
fn assembles(service: &Service) -> Result<(), Error> {
    let unknown = service.platforms.iter().find(|name| !name.parse().is_ok_and(|platform| is_assembled(&platform)));
    let Some(platform) = unknown else { return Ok(()) };
    Err(shipper_plan::Error::Invalid {
        key: format!("service.{}.platforms", service.name),
        problem: format!("no image can be assembled for `{platform}`"),
        hint: Some(format!("the platforms are {}", assembled_platforms().join(", "))),
    }
    .into())
}

/// Whether an image from scratch knows the user that it runs as.
fn knows_its_user(service: &Service, files: &BTreeMap<String, String>) -> Result<(), Error> {
    let (Base::Scratch, Some(user)) = (&service.base, &service.image.user) else { return Ok(()) };
    let (user, group) = user.split_once(':').map_or((user.as_str(), None), |(user, group)| (user, Some(group)));
    // Who brings a file of users brings the users.
    let brings = |file: &str| files.keys().any(|path| Path::new(file).starts_with(path));
    let unknown = [
        (Some(user), is_user_of_scratch as fn(&str) -> bool, "user", "/etc/passwd"),
        (group, is_group_of_scratch, "group", "/etc/group"),
    ];
    for (name, is_known, what, file) in unknown {
        if let Some(name) = name.filter(|name| !is_known(name) && !brings(file)) {
            return Err(shipper_plan::Error::Invalid {
                key: format!("service.{}.user", service.name),
                problem: format!("an image from scratch does not know the {what} `{name}`"),
                hint: Some(format!("write numbers, such as `1000:1000`, or put an `{file}` into `files`")),
            }
            .into());
        }
    }
    Ok(())
}

fn found(root: &Path, directories: &Directories) -> Result<Discovered, Error> {
    let options = TreeOptions { cache: Some(directories.stat_cache()), ..TreeOptions::default() };
    discovered(&Tree::open(root, &options).map_err(Error::Tree)?)
}

/// The stat cache of a directory that need not be a project.
pub(crate) fn stat_cache_of(root: &Path, environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    let root = root.canonicalize().ok()?;
    Some(Directories::new(&root, environment).stat_cache())
}

/// Variable that names a PEM file with further certificate authorities for registries.
pub const CA_FILE: &str = "SHIPPER_CA_FILE";

/// How registries are spoken to, with these logins and the proxies and certificate authorities that the environment leads
/// to. The project can name none of these: whoever changes it must not decide whom the user believes.
pub(crate) fn client_options(
    environment: &BTreeMap<String, String>,
    logins: &Logins,
) -> shipper_oci::Result<ClientOptions> {
    let mut options = ClientOptions::default();
    options.credentials = logins.credentials();
    options.proxies = Proxies::from_variables(|name| environment.get(name).cloned());
    if let Some(path) = environment.get(CA_FILE).filter(|path| !path.is_empty()) {
        let failed = |reason| shipper_oci::Error::Options { reason };
        let pem = crate::read::small(Path::new(path));
        let pem =
            pem.map_err(|error| failed(format!("the certificate authorities of {path} cannot be read: {error}")))?;
        options.root_certificates.push(pem);
    }
    Ok(options)
}
