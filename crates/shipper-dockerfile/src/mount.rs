//! The value of `RUN --mount`: which of its keys decide about inputs.
//!
//! After `instructions/commands_runmount.go` of BuildKit: a comma-separated list of `key=value`, the type is `bind`
//! unless another is named, values other than `from` are expanded.

use crate::expand::{Expanded, Reason};

/// A mount whose values are expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mount {
    /// Reads `source` of the context.
    Context { source: Expanded },
    /// Reads nothing of the context: a cache, a secret, another stage or image.
    Elsewhere,
    /// The text cannot be read with certainty.
    Unclear,
}

/// What the mount comes from, which is never expanded: the text of `from`, if there is one.
pub(crate) fn origin(value: &str) -> Option<&str> {
    fields(value).rfind(|(key, _)| key == "from").map(|(_, from)| from).filter(|from| !from.is_empty())
}

/// Reads a mount, expanding its values with `expand`.
pub(crate) fn read(value: &str, expand: &dyn Fn(&str) -> Result<Expanded, Reason>) -> Result<Mount, Reason> {
    if value.contains('"') {
        return Ok(Mount::Unclear);
    }
    let mut source = Expanded::default();
    let mut is_bind = true;
    for (key, value) in fields(value) {
        match key.as_str() {
            "source" | "src" => source = expand(value)?,
            "type" => {
                let kind = expand(value)?;
                is_bind = match kind.text.to_ascii_lowercase().as_str() {
                    _ if kind.unknown.is_some() => return Ok(Mount::Unclear),
                    "bind" => true,
                    "cache" | "tmpfs" | "secret" | "ssh" => false,
                    _ => return Ok(Mount::Unclear),
                };
            }
            _ => {}
        }
    }
    Ok(if is_bind && origin(value).is_none() { Mount::Context { source } } else { Mount::Elsewhere })
}

/// The keys, in lower case, with their values.
fn fields(value: &str) -> impl DoubleEndedIterator<Item = (String, &str)> {
    let fields = value.split(',').map(|field| field.trim_matches('"')).filter_map(|field| field.split_once('='));
    fields.map(|(key, value)| (key.to_ascii_lowercase(), value))
}

#[cfg(test)]
mod tests {
    use super::{Mount, origin, read};
    use crate::expand::{Expanded, Lookup, Mode, expand};

    fn mount(value: &str) -> Mount {
        let lookup = |name: &str| match name {
            "dir" => Lookup::Set("src".to_owned()),
            "unset" => Lookup::Unset,
            _ => Lookup::Unknown,
        };
        read(value, &|word: &str| expand(word, Mode::new('\\'), &lookup)).unwrap()
    }

    #[test]
    fn a_bind_mount_reads_its_source_of_the_context() {
        let check = |value: &str, expected: &str| match mount(value) {
            Mount::Context { source: Expanded { text, unknown: None, .. } } => assert_eq!(text, expected, "{value}"),
            other => panic!("{value}: {other:?}"),
        };
        check("type=bind,target=/x", "");
        check("target=/x", "");
        check("", "");
        check("type=bind,source=a,target=/x", "a");
        check("SRC=a,dst=/x,TYPE=Bind,readwrite", "a");
        check("source=$dir/x", "src/x");
        check("source=a,from=", "a");
        check("type=${unset:-bind},src=a", "a");
    }

    #[test]
    fn other_mounts_do_not_read_the_context() {
        for value in [
            "type=cache,target=/x",
            "type=cache,from=a,source=b",
            "type=tmpfs",
            "type=secret,id=x",
            "type=ssh",
            "from=a",
        ] {
            assert_eq!(mount(value), Mount::Elsewhere, "{value}");
        }
        assert_eq!(origin("type=bind,from=builder,source=/x"), Some("builder"));
        assert_eq!(origin("from="), None);
        assert_eq!(origin("\"type=bind\",\"from=a\""), Some("a"));
        assert_eq!(origin("from=a,from="), None);
    }

    #[test]
    fn what_is_not_certain_is_said_to_be_unclear() {
        for value in ["type=$other", "type=new", "\"type=bind\",source=a"] {
            assert_eq!(mount(value), Mount::Unclear, "{value}");
        }
        assert!(matches!(mount("source=$other"), Mount::Context { source: Expanded { unknown: Some(_), .. } }));
    }
}
