//! What an image platform means for a Rust build: target triple, linker, and the ELF header of the result.
//!
//! Sources: the rustc book, "Platform Support"; System V ABI, "ELF Header" (`e_machine`); Debian's cross compilers.

use shipper_oci::Platform;

use crate::environment::Environment;
use crate::error::BuildError;

/// How the binaries of a Cargo package are linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkMode {
    /// Against glibc, statically: needs nothing installed beyond the compiler, runs from scratch. Name resolution of
    /// glibc works without plug-ins from glibc 2.34 on.
    Static,
    /// Against musl, statically: smaller; needs the target's standard library, and no cross compiler for another machine
    /// unless a package compiles C code.
    Musl,
    /// Against glibc, dynamically. In an image from scratch the interpreter and the shared libraries are copied from the
    /// machine that builds; on a base image the base provides them.
    Dynamic,
}

impl LinkMode {
    /// The name in configuration files: `static`, `musl` or `dynamic`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            LinkMode::Static => "static",
            LinkMode::Musl => "musl",
            LinkMode::Dynamic => "dynamic",
        }
    }
}

/// A processor architecture in the words of images, Rust, ELF and Debian.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Architecture and, where it matters, variant of the image platform.
    platform: (&'static str, Option<&'static str>),
    rust: &'static str,
    /// What follows `gnu` and `musl` in the target.
    abi: &'static str,
    /// `e_machine`.
    pub(crate) elf: u16,
    pub(crate) bits: u8,
    pub(crate) little_endian: bool,
    /// Prefix of the GNU tools for it.
    gnu: &'static str,
    has_musl: bool,
}

const fn machine(
    platform: (&'static str, Option<&'static str>),
    rust: &'static str,
    abi: &'static str,
    elf: (u16, u8, bool),
    gnu: &'static str,
    has_musl: bool,
) -> Machine {
    Machine { platform, rust, abi, elf: elf.0, bits: elf.1, little_endian: elf.2, gnu, has_musl }
}

const MACHINES: &[Machine] = &[
    machine(("amd64", None), "x86_64", "", (62, 64, true), "x86_64-linux-gnu", true),
    machine(("arm64", None), "aarch64", "", (183, 64, true), "aarch64-linux-gnu", true),
    machine(("arm", Some("v7")), "armv7", "eabihf", (40, 32, true), "arm-linux-gnueabihf", true),
    machine(("arm", Some("v6")), "arm", "eabihf", (40, 32, true), "arm-linux-gnueabihf", true),
    machine(("386", None), "i686", "", (3, 32, true), "i686-linux-gnu", true),
    machine(("ppc64le", None), "powerpc64le", "", (21, 64, true), "powerpc64le-linux-gnu", true),
    machine(("s390x", None), "s390x", "", (22, 64, false), "s390x-linux-gnu", false),
    machine(("riscv64", None), "riscv64gc", "", (243, 64, true), "riscv64-linux-gnu", true),
    machine(("loong64", None), "loongarch64", "", (258, 64, true), "loongarch64-linux-gnu", true),
];

/// The platforms that images are assembled for, sorted.
///
/// ```
/// assert!(shipper_build::assembled_platforms().iter().any(|platform| platform == "linux/arm64"));
/// ```
#[must_use]
pub fn assembled_platforms() -> Vec<String> {
    let name = |machine: &Machine| {
        let (architecture, variant) = machine.platform;
        ["linux", architecture].into_iter().chain(variant).collect::<Vec<_>>().join("/")
    };
    let mut all: Vec<String> = MACHINES.iter().map(name).collect();
    all.sort();
    all
}

/// Whether images are assembled for a platform; the variant of `linux/arm` may be left away.
#[must_use]
pub fn is_assembled(platform: &Platform) -> bool {
    Machine::of(platform).is_ok()
}

impl Machine {
    /// The machine of an image platform.
    ///
    /// # Errors
    /// [`BuildError::Unsupported`] for another operating system than Linux and for architectures without a Rust target.
    pub(crate) fn of(platform: &Platform) -> Result<&'static Machine, BuildError> {
        let unsupported = || BuildError::Unsupported { what: format!("assembling images for {platform}") };
        if platform.os != "linux" {
            return Err(unsupported());
        }
        let variant = match (platform.architecture.as_str(), platform.variant.as_deref()) {
            ("arm", None | Some("")) => Some("v7"),
            ("arm", variant) => variant,
            _ => None,
        };
        let wanted = (platform.architecture.as_str(), variant);
        MACHINES.iter().find(|machine| machine.platform == wanted).ok_or_else(unsupported)
    }

    /// `e_machine` in words, for messages.
    pub(crate) fn name_of(elf: u16) -> String {
        let known = MACHINES.iter().find(|machine| machine.elf == elf);
        known.map_or_else(|| format!("machine {elf}"), |machine| machine.platform.0.to_owned())
    }

    /// The Rust target.
    ///
    /// # Errors
    /// [`BuildError::Unsupported`] where there is no musl.
    pub(crate) fn target(&self, link: LinkMode) -> Result<String, BuildError> {
        let Machine { rust, abi, .. } = self;
        match link {
            LinkMode::Static | LinkMode::Dynamic => Ok(format!("{rust}-unknown-linux-gnu{abi}")),
            LinkMode::Musl if self.has_musl => Ok(format!("{rust}-unknown-linux-musl{abi}")),
            LinkMode::Musl => {
                Err(BuildError::Unsupported { what: format!("linking with musl for {}", self.platform.0) })
            }
        }
    }

    /// Names of the directories below `/lib` where Debian keeps libraries of this machine.
    pub(crate) fn multiarch(&self) -> Vec<&'static str> {
        match self.gnu {
            "i686-linux-gnu" => vec!["i386-linux-gnu"],
            gnu => vec![gnu],
        }
    }

    /// Whether a compiler for `host` (a target triple) builds for this machine without a linker of its own.
    pub(crate) fn is_native(&self, host: &str) -> bool {
        host.split('-').next() == Some(self.rust) && host.contains("-linux-")
    }

    /// The linker for a machine that is not the one that builds.
    ///
    /// # Errors
    /// [`BuildError::LinkerMissing`] when it is not on `PATH`.
    pub(crate) fn cross_linker(&self, target: &str, environment: &Environment) -> Result<String, BuildError> {
        let linker = format!("{}-gcc", self.gnu);
        match environment.find_program(&linker) {
            Some(_) => Ok(linker),
            None => Err(BuildError::LinkerMissing {
                target: target.to_owned(),
                install: format!(
                    "install a cross compiler, `apt-get install gcc-{}` on Debian, or set `target.{target}.linker` in \
                     .cargo/config.toml",
                    self.gnu.replace('_', "-")
                ),
                linker,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_have_their_rust_targets() {
        let check = |platform: &str, link: LinkMode, expected: Option<&str>| {
            let target = Machine::of(&platform.parse().unwrap()).and_then(|machine| machine.target(link)).ok();
            assert_eq!(target.as_deref(), expected, "{platform} {link:?}");
        };
        check("linux/amd64", LinkMode::Static, Some("x86_64-unknown-linux-gnu"));
        check("linux/amd64/v3", LinkMode::Dynamic, Some("x86_64-unknown-linux-gnu"));
        check("linux/arm64/v8", LinkMode::Musl, Some("aarch64-unknown-linux-musl"));
        check("linux/arm", LinkMode::Static, Some("armv7-unknown-linux-gnueabihf"));
        check("linux/arm/v6", LinkMode::Musl, Some("arm-unknown-linux-musleabihf"));
        check("linux/arm/v5", LinkMode::Musl, None);
        check("linux/s390x", LinkMode::Musl, None);
        check("windows/amd64", LinkMode::Static, None);
        check("linux/mips", LinkMode::Static, None);
    }

    #[test]
    fn a_missing_cross_linker_says_what_to_install() {
        let arm = Machine::of(&"linux/arm64".parse().unwrap()).unwrap();
        assert!(!arm.is_native("x86_64-unknown-linux-gnu") && arm.is_native("aarch64-unknown-linux-gnu"));
        assert!(!arm.is_native("aarch64-apple-darwin"), "macOS links no Linux programs by itself");
        let error = arm.cross_linker("aarch64-unknown-linux-gnu", &Environment::new()).unwrap_err();
        assert!(error.hint().unwrap().contains("gcc-aarch64-linux-gnu"), "{error:?}");
        let amd = Machine::of(&"linux/amd64".parse().unwrap()).unwrap();
        let error = amd.cross_linker("x86_64-unknown-linux-gnu", &Environment::new()).unwrap_err();
        assert!(error.hint().unwrap().contains("gcc-x86-64-linux-gnu"), "{error:?}");
    }
}
