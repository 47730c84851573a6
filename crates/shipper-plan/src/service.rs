//! A service with everything resolved and checked: what the engine works with.

use std::collections::BTreeMap;

use crate::config::{
    CargoConfig, CompressionConfig, Config, ContextConfig, LinkConfig, NetworkConfig, SecretConfig, ServiceConfig,
};
use crate::error::Error;
use crate::secret;
use crate::settings::{Settings, is_name};

/// One service of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its repository, relative to the registry.
    pub repository: String,
    /// How its image comes about.
    pub recipe: Recipe,
    /// What assembled layers are put on; for Dockerfiles the Dockerfile says so.
    pub base: Base,
    /// Names that `FROM` or `base` may use, and the services they mean.
    pub needs: BTreeMap<String, String>,
    /// Platforms, sorted, no duplicates, at least one.
    pub platforms: Vec<String>,
    /// What the image's configuration says.
    pub image: ImageOptions,
    /// Commands that must succeed before a build, as argument lists, none empty.
    pub check: Vec<Vec<String>>,
    /// Patterns of files that count in addition.
    pub inputs: Vec<String>,
    /// Patterns of files that do not count.
    pub exclude: Vec<String>,
    /// Free text in the key.
    pub salt: Option<String>,
}

/// How an image comes about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipe {
    /// Layers written by shipper itself: a program, files, or both.
    Assemble {
        /// A Cargo package that is compiled.
        cargo: Option<CargoRecipe>,
        /// Prebuilt programs by platform; empty or one for each platform of the service.
        binary: BTreeMap<String, String>,
        /// Paths in the project by absolute path in the image.
        files: BTreeMap<String, String>,
    },
    /// A Dockerfile for a real builder.
    Dockerfile(DockerfileRecipe),
}

/// How a Cargo package is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CargoRecipe {
    /// Package name.
    pub package: String,
    /// Binaries in the order given; empty: the package's default.
    pub bins: Vec<String>,
    /// Profile name.
    pub profile: String,
    /// Features, sorted, no duplicates.
    pub features: Vec<String>,
    /// Whether default features are left out.
    pub no_default_features: bool,
    /// How the program is linked.
    pub link: LinkConfig,
    /// Additional compiler flags, in their order.
    pub rustflags: Vec<String>,
    /// Environment of the compilation.
    pub env: BTreeMap<String, String>,
}

/// What a Dockerfile build is given besides its context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerfileRecipe {
    /// The Dockerfile, relative to the project.
    pub dockerfile: String,
    /// The context directory, relative to the project; `.` is the project itself.
    pub context: String,
    /// The Cargo package whose closure is all that the context has; paths in it are relative to the project.
    pub closure: Option<String>,
    /// Named contexts that are directories, relative to the project.
    pub contexts: BTreeMap<String, String>,
    /// Target stage.
    pub target: Option<String>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// The network of `RUN` steps.
    pub network: Option<NetworkConfig>,
    /// Secrets by id.
    pub secrets: BTreeMap<String, SecretConfig>,
    /// SSH agents and keys: `ID` or `ID=SOCKET-OR-KEY`.
    pub ssh: Vec<String>,
}

/// What assembled layers are put on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// An image of an OCI layout on disk.
    Layout {
        /// The layout's directory, relative to the project.
        directory: String,
        /// Tag in the layout.
        tag: String,
    },
    /// A registry reference, resolved through `shipper.lock`.
    Registry(String),
    /// The image of another service.
    Service(String),
}

/// What the image's configuration says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageOptions {
    /// `user[:group]`; absent: the default of the recipe.
    pub user: Option<String>,
    /// TCP ports, sorted, no duplicates.
    pub expose: Vec<u16>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Entrypoint; absent: the program.
    pub entrypoint: Option<Vec<String>>,
    /// Default arguments.
    pub cmd: Option<Vec<String>>,
    /// Working directory.
    pub workdir: Option<String>,
    /// Labels that the user sets.
    pub labels: BTreeMap<String, String>,
    /// Whether root certificates are in the image.
    pub ca_certificates: bool,
    /// Compression of layers; absent: gzip.
    pub compression: Option<CompressionConfig>,
}

impl Config {
    /// All services, resolved and checked, by name.
    ///
    /// `host` is the platform used where a service names none, such as `linux/amd64`.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the dotted key, [`Error::NoSuchService`] for a need that does not exist.
    pub fn services(&self, settings: &Settings, host: &str) -> Result<BTreeMap<String, Service>, Error> {
        let mut services = BTreeMap::new();
        for (name, config) in &self.service {
            let service = resolve(name, config, settings, host)?;
            for need in service.needs.values() {
                if !self.service.contains_key(need) {
                    return Err(Error::NoSuchService {
                        name: need.clone(),
                        known: self.service.keys().cloned().collect(),
                    });
                }
            }
            services.insert(name.clone(), service);
        }
        let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
        for service in services.values() {
            if let Some(other) = owners.insert(&service.repository, &service.name) {
                return Err(Error::invalid(
                    format!("service.{}.repository", service.name),
                    format!("`{}` is the repository of `{other}` as well", service.repository),
                ));
            }
        }
        Ok(services)
    }
}

fn resolve(name: &str, config: &ServiceConfig, settings: &Settings, host: &str) -> Result<Service, Error> {
    let key = |field: &str| format!("service.{name}.{field}");
    if !is_name(name) {
        return Err(Error::invalid_with(
            format!("service.{name}"),
            "this is no name",
            "use lower-case letters, digits and single `.`, `_`, `-` between them",
        ));
    }
    let recipe = recipe(config, &key)?;
    if let Some(unusable) = config.needs.keys().find(|alias| !is_alias(alias)) {
        return Err(Error::invalid_with(
            key("needs"),
            format!("`{unusable}` is no name that `FROM` could use"),
            "use letters, digits, `.`, `_`, `-`, and `/` and `:` between them",
        ));
    }
    check_image(config, &key)?;
    let mut platforms = config.platforms.clone();
    if platforms.is_empty() {
        match &recipe {
            Recipe::Assemble { binary, .. } if !binary.is_empty() => platforms.extend(binary.keys().cloned()),
            _ => platforms.push(host.to_owned()),
        }
    }
    platforms.sort();
    platforms.dedup();
    for platform in &platforms {
        check_platform(platform, &key("platforms"))?;
    }
    if let Recipe::Assemble { binary, .. } = &recipe
        && !binary.is_empty()
        && let Some(missing) = platforms.iter().find(|platform| !binary.contains_key(*platform))
    {
        return Err(Error::invalid(key("binary"), format!("there is no program for `{missing}`")));
    }
    if let Some(empty) = config.check.iter().position(Vec::is_empty) {
        return Err(Error::invalid(key("check"), format!("command {} is empty", empty + 1)));
    }
    let mut expose = config.expose.clone();
    expose.sort_unstable();
    expose.dedup();
    Ok(Service {
        name: name.to_owned(),
        repository: config.repository.clone().unwrap_or_else(|| settings.repository_of(name)),
        base: base(config, &key)?,
        recipe,
        needs: config.needs.clone(),
        platforms,
        image: ImageOptions {
            user: config.user.clone(),
            expose,
            env: config.env.clone(),
            entrypoint: config.entrypoint.clone(),
            cmd: config.cmd.clone(),
            workdir: config.workdir.clone(),
            labels: config.labels.clone(),
            ca_certificates: config.ca_certificates,
            compression: config.compression,
        },
        check: config.check.clone(),
        inputs: config.inputs.clone(),
        exclude: config.exclude.clone(),
        salt: config.salt.clone(),
    })
}

/// Whether `FROM` or `base` can use the name: an image's name without a digest (distribution/reference, `reference`).
fn is_alias(name: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    name.split(['/', ':'])
        .all(|part| part.bytes().all(inside) && part.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric))
}

/// Whether a builder takes `id` as the id of a secret or agent without quoting it.
fn is_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// What an image's configuration can hold, and what everybody may read.
fn check_image(config: &ServiceConfig, key: &dyn Fn(&str) -> String) -> Result<(), Error> {
    for (field, values) in [("args", &config.args), ("env", &config.env), ("labels", &config.labels)] {
        for (name, value) in values {
            if let Some(look) = secret::look(name, value) {
                return Err(Error::invalid_with(
                    key(field),
                    format!("`{name}` {look}, and an image tells it to everybody who has it"),
                    "give it to a step by `secrets`, or to the program where it runs; rename it if it is none",
                ));
            }
        }
    }
    for (name, value) in &config.env {
        // What `execve(2)` can hand over, and a shell can name.
        let is_odd = |character: char| character == '=' || character.is_whitespace() || character.is_control();
        if name.is_empty() || name.contains(is_odd) {
            return Err(Error::invalid_with(
                key("env"),
                format!("`{}` can not be a variable", name.escape_default()),
                "names have no spaces and no `=`",
            ));
        }
        if value.contains('\0') {
            let problem = format!("the value of `{name}` has a NUL character, which no variable can hold");
            return Err(Error::invalid(key("env"), problem));
        }
    }
    if let Some(user) = &config.user
        && (user.split(':').count() > 2
            || user.split(':').any(|part| part.is_empty() || part.contains(char::is_whitespace)))
    {
        return Err(Error::invalid_with(
            key("user"),
            format!("`{}` is no user", user.escape_default()),
            "write `user` or `user:group`, names or numbers",
        ));
    }
    if let Some(directory) = config.workdir.as_deref().filter(|directory| !directory.starts_with('/')) {
        return Err(Error::invalid_with(
            key("workdir"),
            format!("`{directory}` is no absolute path in the image"),
            format!("write `/{directory}`"),
        ));
    }
    Ok(())
}

fn recipe(config: &ServiceConfig, key: &dyn Fn(&str) -> String) -> Result<Recipe, Error> {
    let assembled = config.cargo.is_some() || !config.binary.is_empty() || !config.files.is_empty();
    let Some(dockerfile) = &config.dockerfile else {
        for (field, given) in [
            ("context", config.context.is_some()),
            ("contexts", !config.contexts.is_empty()),
            ("target", config.target.is_some()),
            ("network", config.network.is_some()),
            ("secrets", !config.secrets.is_empty()),
            ("ssh", !config.ssh.is_empty()),
            ("args", !config.args.is_empty()),
        ] {
            if given {
                return Err(Error::invalid_with(
                    key(field),
                    "there is no Dockerfile",
                    "add `dockerfile = \"Dockerfile\"`",
                ));
            }
        }
        if !assembled {
            return Err(Error::invalid_with(
                key("").trim_end_matches('.'),
                "the service says nothing that could be built",
                "give it `cargo`, `binary`, `files` or `dockerfile`",
            ));
        }
        if config.cargo.is_some() && !config.binary.is_empty() {
            return Err(Error::invalid(key("binary"), "the program comes from `cargo` already"));
        }
        let mut files = BTreeMap::new();
        for (target, source) in &config.files {
            if !target.starts_with('/') || target.split('/').any(|part| part == "..") {
                return Err(Error::invalid_with(
                    key("files"),
                    format!("`{target}` is no absolute path in the image"),
                    "write image paths on the left: `\"/srv/www\" = \"web/public\"`",
                ));
            }
            files.insert(target.clone(), inside(source, &key("files"))?);
        }
        let mut binary = BTreeMap::new();
        for (platform, path) in &config.binary {
            check_platform(platform, &key("binary"))?;
            binary.insert(platform.clone(), inside(path, &key("binary"))?);
        }
        return Ok(Recipe::Assemble { cargo: config.cargo.as_ref().map(cargo_recipe), binary, files });
    };
    if assembled {
        return Err(Error::invalid_with(
            key("dockerfile"),
            "a Dockerfile stands alone",
            "make it a service of its own and name it in `needs`",
        ));
    }
    for (field, given, instruction) in [
        ("base", config.base.is_some(), "FROM"),
        ("user", config.user.is_some(), "USER"),
        ("expose", !config.expose.is_empty(), "EXPOSE"),
        ("env", !config.env.is_empty(), "ENV"),
        ("entrypoint", config.entrypoint.is_some(), "ENTRYPOINT"),
        ("cmd", config.cmd.is_some(), "CMD"),
        ("workdir", config.workdir.is_some(), "WORKDIR"),
        ("ca-certificates", config.ca_certificates, "COPY"),
        ("compression", config.compression.is_some(), "COPY"),
    ] {
        if given {
            return Err(Error::invalid_with(
                key(field),
                "the Dockerfile decides this",
                format!("use `{instruction}` in the Dockerfile"),
            ));
        }
    }
    let ids = config.secrets.keys().map(|id| ("secrets", id.as_str()));
    let agents = config.ssh.iter().map(|one| ("ssh", one.split('=').next().unwrap_or_default()));
    if let Some((field, id)) = ids.chain(agents).find(|(_, id)| !is_id(id)) {
        return Err(Error::invalid_with(
            key(field),
            format!("`{id}` is no id"),
            "use letters, digits, `_`, `.` and `-`, as in `RUN --mount=type=secret,id=..`",
        ));
    }
    Ok(Recipe::Dockerfile(DockerfileRecipe {
        dockerfile: inside(dockerfile, &key("dockerfile"))?,
        context: match &config.context {
            Some(ContextConfig::Directory(directory)) => inside(directory, &key("context"))?,
            Some(ContextConfig::Closure(_)) | None => ".".to_owned(),
        },
        closure: match &config.context {
            Some(ContextConfig::Closure(closure)) => Some(closure.cargo.clone()),
            Some(ContextConfig::Directory(_)) | None => None,
        },
        contexts: contexts(config, key)?,
        target: config.target.clone(),
        network: config.network,
        secrets: config.secrets.clone(),
        ssh: config.ssh.clone(),
        args: config.args.clone(),
    }))
}

/// The named contexts, each of which is one thing.
fn contexts(config: &ServiceConfig, key: &dyn Fn(&str) -> String) -> Result<BTreeMap<String, String>, Error> {
    let mut contexts = BTreeMap::new();
    for (name, directory) in &config.contexts {
        if !is_alias(name) {
            return Err(Error::invalid_with(
                key("contexts"),
                format!("`{name}` is no name that `--from` could use"),
                "use letters, digits, `.`, `_`, `-`, and `/` and `:` between them",
            ));
        }
        if config.needs.contains_key(name) {
            return Err(Error::invalid(key("contexts"), format!("`{name}` is a service in `needs` as well")));
        }
        contexts.insert(name.clone(), inside(directory, &key("contexts"))?);
    }
    Ok(contexts)
}

fn cargo_recipe(config: &CargoConfig) -> CargoRecipe {
    let mut features = config.features.clone();
    features.sort();
    features.dedup();
    CargoRecipe {
        package: config.package.clone(),
        bins: config.bin.as_ref().map(crate::config::OneOrMany::to_vec).unwrap_or_default(),
        profile: config.profile.clone().unwrap_or_else(|| "release".to_owned()),
        features,
        no_default_features: config.no_default_features,
        link: config.link.unwrap_or(LinkConfig::Static),
        rustflags: config.rustflags.clone(),
        env: config.env.clone(),
    }
}

fn base(config: &ServiceConfig, key: &dyn Fn(&str) -> String) -> Result<Base, Error> {
    let Some(base) = config.base.as_deref() else { return Ok(Base::Scratch) };
    if config.dockerfile.is_some() {
        return Err(Error::invalid(key("base"), "the Dockerfile says what it is built from"));
    }
    if base == "scratch" {
        return Ok(Base::Scratch);
    }
    if let Some(service) = config.needs.get(base) {
        return Ok(Base::Service(service.clone()));
    }
    let Some(layout) = base.strip_prefix("oci:") else { return Ok(Base::Registry(base.to_owned())) };
    match layout.rsplit_once(':') {
        Some((directory, tag)) if !tag.is_empty() && !tag.contains('/') => {
            Ok(Base::Layout { directory: inside(directory, &key("base"))?, tag: tag.to_owned() })
        }
        _ => Err(Error::invalid_with(key("base"), format!("`{base}` has no tag"), "write `oci:DIR:TAG`")),
    }
}

/// `path` without `./`, empty parts and a trailing `/`, if it stays inside the project.
fn inside(path: &str, key: &str) -> Result<String, Error> {
    let outside = path.starts_with('/') || path.split('/').any(|part| part == "..") || path.contains('\0');
    if path.is_empty() || outside {
        return Err(Error::invalid_with(
            key,
            format!("`{path}` is not inside the project"),
            "paths are relative to the project's directory",
        ));
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    Ok(if parts.is_empty() { ".".to_owned() } else { parts.join("/") })
}

/// `os/architecture[/variant]` with lower-case letters, digits, `.`, `_` and `-` (OCI image-spec, platform).
fn check_platform(platform: &str, key: &str) -> Result<(), Error> {
    let parts: Vec<&str> = platform.split('/').collect();
    let good = |part: &&str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
    };
    if (parts.len() == 2 || parts.len() == 3) && parts.iter().all(good) {
        return Ok(());
    }
    Err(Error::invalid_with(key, format!("`{platform}` is no platform"), "write it like `linux/arm64`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Overrides;

    fn services(text: &str) -> Result<BTreeMap<String, Service>, Error> {
        let config = Config::parse(text, "shipper.toml")?;
        let settings = Settings::resolve(&config, &Overrides::default(), &BTreeMap::new(), "shop", 2)?;
        config.services(&settings, "linux/amd64")
    }

    #[test]
    fn a_service_is_resolved_with_its_defaults() {
        let services =
            services("[service.api]\ncargo = { package = 'p', features = ['b', 'a', 'b'] }").expect("resolves");
        let api = &services["api"];
        assert_eq!(api.repository, "shop/api");
        assert_eq!(api.platforms, ["linux/amd64"]);
        let Recipe::Assemble { cargo: Some(cargo), .. } = &api.recipe else { panic!("{api:?}") };
        assert_eq!((cargo.profile.as_str(), cargo.link), ("release", LinkConfig::Static));
        assert_eq!(cargo.features, ["a", "b"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_key() {
        let check = |text: &str, expected: &str| {
            let error = services(text).expect_err(text);
            assert!(error.to_string().contains(expected), "{text}: {error}");
        };
        check("[service.api]", "`service.api`: the service says nothing");
        check("[service.a]\nfiles = { '/a' = 'b' }\nenv = { 'A B' = 'x' }", "`service.a.env`: `A B` can not be");
        check("[service.a]\nfiles = { '/a' = 'b' }\nenv = { '' = 'x' }", "`service.a.env`: `` can not be a variable");
        check("[service.a]\nfiles = { '/a' = 'b' }\nworkdir = 'srv'", "`service.a.workdir`: `srv` is no absolute path");
        check("[service.Api]\nfiles = { '/a' = 'b' }", "`service.Api`: this is no name");
        check("[service.a]\ndockerfile = 'd'\nargs = { NPM_TOKEN = 'x' }", "`NPM_TOKEN` is a credential by its name");
        check("[service.a]\nfiles = { '/a' = 'b' }\nenv = { DB_PASSWORD = 'x' }", "`service.a.env`: `DB_PASSWORD` is");
        check("[service.a]\nfiles = { 'a' = 'b' }", "no absolute path");
        check("[service.a]\nfiles = { '/a/../b' = 'b' }", "no absolute path");
        check("[service.a]\nfiles = { '/a' = '../b' }", "`../b` is not inside the project");
        check("[service.a]\nfiles = { '/a' = '/b' }", "`/b` is not inside the project");
        check("[service.a]\nfiles = { '/a' = 'b' }\nplatforms = ['amd64']", "`amd64` is no platform");
        check(
            "[service.a]\nbinary = { 'linux/amd64' = 'b' }\nplatforms = ['linux/arm64']",
            "no program for `linux/arm64`",
        );
        check("[service.a]\nbinary = { 'linux/amd64' = 'b' }\ncargo = { package = 'p' }", "comes from `cargo` already");
        check("[service.a]\ndockerfile = 'D'\nfiles = { '/a' = 'b' }", "stands alone");
        check("[service.a]\nfiles = { '/a' = 'b' }\ntarget = 't'", "`service.a.target`: there is no Dockerfile");
        check("[service.a]\nfiles = { '/a' = 'b' }\nssh = ['default']", "`service.a.ssh`: there is no Dockerfile");
        check("[service.a]\ndockerfile = 'D'\nsecrets = { 'a,b' = { env = 'X' } }", "`a,b` is no id");
        check("[service.a]\ndockerfile = 'D'\nssh = ['=/key']", "`` is no id");
        check("[service.a]\ndockerfile = 'D'\nuser = '1:1'", "`service.a.user`: the Dockerfile decides this");
        for name in ["/etc/x", "../../x", "a/../b", "", "a:"] {
            let needs = format!(
                "[service.a]\ndockerfile = 'D'\nneeds = {{ '{name}' = 'b' }}\n[service.b]\nfiles = {{ '/a' = 'b' }}"
            );
            check(&needs, "is no name that `FROM` could use");
        }
        check("[service.a]\nfiles = { '/a' = 'b' }\nbase = 'oci:dir'", "has no tag");
        check("[service.a]\nfiles = { '/a' = 'b' }\ncheck = [[]]", "command 1 is empty");
        check("[service.a]\nfiles = { '/a' = 'b' }\nneeds = { x = 'bb' }", "find service `bb`");
        check(
            "[service.a]\nfiles = { '/a' = 'b' }\n[service.b]\nfiles = { '/a' = 'b' }\nrepository = 'shop/a'",
            "is the repository of `a` as well",
        );
    }

    #[test]
    fn a_base_is_scratch_a_layout_a_reference_or_a_need() {
        let check = |line: &str, expected: Base| {
            let text = format!("[service.a]\nfiles = {{ '/a' = 'b' }}\n{line}\n[service.b]\nfiles = {{ '/a' = 'b' }}");
            assert_eq!(services(&text).expect("resolves")["a"].base, expected, "{line}");
        };
        check("", Base::Scratch);
        check("base = 'scratch'", Base::Scratch);
        check("base = 'nginx:1.29'", Base::Registry("nginx:1.29".to_owned()));
        check("base = 'base'\nneeds = { base = 'b' }", Base::Service("b".to_owned()));
        check("base = 'oci:./bases/x:1'", Base::Layout { directory: "bases/x".to_owned(), tag: "1".to_owned() });
    }
}
