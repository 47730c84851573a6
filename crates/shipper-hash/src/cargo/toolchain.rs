//! The toolchain file that rustup would obey.
//!
//! Source of the rules: the rustup book, "Overrides": the nearest `rust-toolchain` or `rust-toolchain.toml` in the working
//! directory or above counts; of two in one directory, the one without an extension.

use toml::Value;

use super::Toolchain;
use super::error::CargoError;
use super::manifest::parse_toml;
use super::paths;
use super::repo::Repo;
use crate::{Error, RelPath};

/// The file that decides in `directory`, and what it says; `None` if the tree has none.
pub(super) fn find<'a>(repo: &Repo<'a>, directory: &str) -> Result<Option<(&'a RelPath, Option<Toolchain>)>, Error> {
    for directory in paths::ancestors(directory) {
        for name in ["rust-toolchain", "rust-toolchain.toml"] {
            if let Some((path, bytes)) = repo.content(&paths::join(directory, name))? {
                let channel = channel(path, &bytes)?;
                return Ok(Some((path, channel.map(|channel| toolchain(channel, path)))));
            }
        }
    }
    Ok(None)
}

fn toolchain(channel: String, file: &RelPath) -> Toolchain {
    Toolchain { exact: is_exact(&channel), channel, file: file.clone() }
}

/// The channel; `None` where the file only lists components.
fn channel(path: &RelPath, bytes: &[u8]) -> Result<Option<String>, CargoError> {
    // The old form is the name of the channel and nothing else.
    if !path.as_bytes().ends_with(b".toml")
        && let Ok(text) = std::str::from_utf8(bytes)
        && let [line] = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().as_slice()
        && !line.contains(['[', '='])
    {
        return Ok(Some((*line).to_owned()));
    }
    let table = parse_toml(path, bytes)?;
    let invalid = |key: &str, reason: &str| CargoError::Invalid {
        manifest: path.clone(),
        key: key.to_owned(),
        reason: reason.to_owned(),
    };
    let toolchain =
        table.get("toolchain").and_then(Value::as_table).ok_or_else(|| invalid("toolchain", "is not a table"))?;
    if toolchain.contains_key("path") {
        return Err(CargoError::ToolchainPath { path: path.clone() });
    }
    match toolchain.get("channel") {
        None => Ok(None),
        Some(Value::String(channel)) => Ok(Some(channel.clone())),
        Some(_) => Err(invalid("toolchain.channel", "is not a string")),
    }
}

/// Whether a channel names one compiler for ever: `1.95.0`, `nightly-2026-03-01`, with a host or without.
fn is_exact(channel: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut words = channel.splitn(2, '-');
    let (first, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match first {
        "nightly" | "beta" | "stable" => {
            let date: Vec<&str> = rest.splitn(4, '-').take(3).collect();
            date.iter().map(|part| part.len()).eq([4, 2, 2]) && date.into_iter().all(is_number)
        }
        // `1.95.0-beta` moves, `1.95.0-beta.3` does not.
        version => {
            let parts: Vec<&str> = version.split('.').collect();
            let moves = rest == "beta" || rest.starts_with("beta-");
            parts.len() == 3 && parts.into_iter().all(is_number) && !moves
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_exact_if_it_names_one_compiler() {
        for (channel, exact) in [
            ("1.95.0", true),
            ("1.95.0-x86_64-unknown-linux-gnu", true),
            ("1.95.0-beta.3", true),
            ("1.95.0-beta", false),
            ("1.95.0-beta-x86_64-unknown-linux-gnu", false),
            ("1.95", false),
            ("stable", false),
            ("nightly", false),
            ("nightly-2026-03-01", true),
            ("nightly-2026-03-01-x86_64-unknown-linux-gnu", true),
            ("stable-x86_64-unknown-linux-gnu", false),
            ("my-own", false),
            ("", false),
        ] {
            assert_eq!(is_exact(channel), exact, "{channel}");
        }
    }

    #[test]
    fn both_forms_of_the_file_are_read() {
        for (name, text, expected) in [
            ("rust-toolchain", "1.95.0\n", Some("1.95.0")),
            ("rust-toolchain", "[toolchain]\nchannel = \"stable\"", Some("stable")),
            ("rust-toolchain.toml", "[toolchain]\nchannel = \"1.95\"", Some("1.95")),
            ("rust-toolchain.toml", "[toolchain]\ncomponents = []", None),
        ] {
            let path = RelPath::try_from(name).unwrap();
            assert_eq!(channel(&path, text.as_bytes()).unwrap().as_deref(), expected, "{text}");
        }
        let path = RelPath::try_from("rust-toolchain.toml").unwrap();
        assert!(matches!(channel(&path, b"[toolchain]\npath = '/opt'"), Err(CargoError::ToolchainPath { .. })));
        assert!(matches!(channel(&path, b"1.95.0"), Err(CargoError::Toml { line: 1, .. })));
        assert!(matches!(channel(&path, b"channel = '1'"), Err(CargoError::Invalid { .. })));
    }
}
