//! Which Rust toolchain a repository asks for: `rust-toolchain.toml` or `rust-toolchain`, read without running anything.
//!
//! Invariant: a [`ToolchainFile`] never names a compiler by path, so that what runs is always one that the user
//! installed.
//!
//! Source: the rustup book, "Overrides", section "The toolchain file".

use serde::Deserialize;

use crate::error::{BuildError, ToolchainProblem};

/// The toolchain file of a repository.
///
/// ```
/// use shipper_build::ToolchainFile;
/// let file = ToolchainFile::parse("rust-toolchain.toml", b"[toolchain]\nchannel = \"1.95.0\"\n")?;
/// assert_eq!((file.channel(), file.is_exact()), (Some("1.95.0"), true));
/// # Ok::<(), shipper_build::BuildError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolchainFile {
    channel: Option<String>,
}

#[derive(Deserialize)]
struct Document {
    toolchain: Table,
}

#[derive(Deserialize)]
struct Table {
    channel: Option<String>,
    path: Option<toml::Value>,
}

impl ToolchainFile {
    /// Reads a toolchain file; `path` is only for messages. A file that is one line without `=` is the old form.
    ///
    /// # Errors
    /// [`BuildError::ToolchainFile`] when the file has neither form, names a compiler by path, or names something that is
    /// not a toolchain name (ASCII letters, digits, `.`, `_` and `-`).
    pub fn parse(path: &str, bytes: &[u8]) -> Result<ToolchainFile, BuildError> {
        let refuse = |problem| BuildError::ToolchainFile { path: path.to_owned(), problem };
        let text = std::str::from_utf8(bytes)
            .map_err(|_| refuse(ToolchainProblem::Syntax("the file is not UTF-8 text".to_owned())))?;
        let channel = match one_line(text) {
            Some(channel) if !path.ends_with(".toml") => Some(channel.to_owned()),
            _ => {
                let document: Document = toml::from_str(text)
                    .map_err(|error| refuse(ToolchainProblem::Syntax(one_line_of(error.message()))))?;
                if document.toolchain.path.is_some() {
                    return Err(refuse(ToolchainProblem::Path));
                }
                document.toolchain.channel
            }
        };
        if let Some(channel) = channel.as_deref().filter(|channel| !is_toolchain_name(channel)) {
            // rustup takes RUSTUP_TOOLCHAIN as a path when it looks like one.
            let is_path = channel.contains(['/', '\\']);
            let shown = channel.chars().take(60).flat_map(char::escape_debug).collect();
            return Err(refuse(if is_path { ToolchainProblem::Path } else { ToolchainProblem::Channel(shown) }));
        }
        Ok(ToolchainFile { channel })
    }

    /// The channel, such as `1.95.0`, `stable` or `nightly-2026-01-01`; `None` when the file only lists components.
    #[must_use]
    pub fn channel(&self) -> Option<&str> {
        self.channel.as_deref()
    }

    /// Whether the channel is one compiler for ever: a full version, or a dated channel.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.channel().is_some_and(is_exact)
    }
}

/// The old form: the file is a channel and nothing else.
fn one_line(text: &str) -> Option<&str> {
    let line = text.trim();
    (!line.is_empty() && !line.contains(['\n', '=', '['])).then_some(line)
}

fn one_line_of(message: &str) -> String {
    message.lines().next().unwrap_or("not TOML").to_owned()
}

fn is_toolchain_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    name.bytes().all(allowed) && name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.len() <= 100
}

/// `1.95.0`, `nightly-2026-01-01`, `beta-2026-01-01`, `stable-2026-01-01`. Not `1.95`, which moves with each point release.
fn is_exact(channel: &str) -> bool {
    is_version(channel)
        || ["nightly-", "beta-", "stable-"].iter().filter_map(|prefix| channel.strip_prefix(prefix)).any(is_date)
}

/// `<number>.<number>.<number>`.
pub(crate) fn is_version(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() == 3 && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_date(text: &str) -> bool {
    text.len() == 10
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_forms_of_the_file_are_read() {
        let check = |path: &str, text: &str, channel: Option<&str>, exact: bool| {
            let file = ToolchainFile::parse(path, text.as_bytes()).unwrap();
            assert_eq!((file.channel(), file.is_exact()), (channel, exact), "{text:?}");
        };
        check(
            "rust-toolchain.toml",
            "[toolchain]\nchannel = \"1.95.0\"\ncomponents = [\"clippy\"]\n",
            Some("1.95.0"),
            true,
        );
        check("rust-toolchain.toml", "[toolchain]\nprofile = \"minimal\"\n", None, false);
        check("rust-toolchain", "nightly-2026-01-01\n", Some("nightly-2026-01-01"), true);
        check("sub/rust-toolchain", "[toolchain]\nchannel = \"stable\"\n", Some("stable"), false);
        check("rust-toolchain", "1.95", Some("1.95"), false);
        check("rust-toolchain", "nightly-2026-1-1", Some("nightly-2026-1-1"), false);
        check("rust-toolchain", "1.95.0-x86_64-unknown-linux-gnu", Some("1.95.0-x86_64-unknown-linux-gnu"), false);
    }

    #[test]
    fn a_compiler_named_by_path_is_refused() {
        let check = |text: &str, expected: &str| {
            let error = ToolchainFile::parse("rust-toolchain.toml", text.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            error.hint()
        };
        let hint = check("[toolchain]\npath = \"./evil\"\n", "`path` toolchains are refused");
        assert!(hint.unwrap().contains("channel"));
        check("[toolchain]\nchannel = \"/tmp/evil\"\n", "`path` toolchains are refused");
        check("[toolchain]\nchannel = \"..\"\n", "is not the name of a toolchain");
        check("[toolchain]\nchannel = \"+x\"\n", "is not the name of a toolchain");
        check("[toolchain]\nchannel = 1\n", "rust-toolchain.toml: ");
        check("channel = \"stable\"\n", "rust-toolchain.toml: ");
        check("stable\n", "rust-toolchain.toml: ");
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_fail(bytes: Vec<u8>) {
            if let Ok(file) = ToolchainFile::parse("rust-toolchain", &bytes) {
                prop_assert!(file.channel().is_none_or(|channel| !channel.contains(['/', '\\', '\0'])));
            }
        }
    }
}
