//! Outputs of stacks: in a file of the CDK, and as the API tells them.
//!
//! Source: aws-cdk command line, `--outputs-file`: an object of stack names, each an object of outputs, all values
//! texts. The file is written after a deployment, with the stacks of that deployment only; it names no account.

use std::collections::BTreeMap;

use serde_json::Value;
use shipper_aws::EcrRepository;

use crate::Error;

/// What `cdk deploy --outputs-file` wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutputsFile {
    stacks: BTreeMap<String, BTreeMap<String, String>>,
}

/// An output that names a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The output's key.
    pub key: String,
    /// The repository that its value names.
    pub repository: EcrRepository,
}

impl OutputsFile {
    /// Reads the text of such a file.
    ///
    /// # Errors
    /// [`Error::Syntax`] with the place.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let stacks: BTreeMap<String, BTreeMap<String, Value>> = serde_json::from_str(text).map_err(|error| {
            let place = format!(" at line {} column {}", error.line(), error.column());
            let message = error.to_string();
            let message = message.strip_suffix(&place).unwrap_or(&message).to_owned();
            Error::Syntax { line: error.line(), column: error.column(), message }
        })?;
        let texts = |outputs: BTreeMap<String, Value>| {
            let text = |value: Value| match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
            outputs.into_iter().map(|(key, value)| (key, text(value))).collect()
        };
        Ok(Self { stacks: stacks.into_iter().map(|(stack, outputs)| (stack, texts(outputs))).collect() })
    }

    /// The repository that an output of a stack names; `None` where the file has no such stack or output. Without
    /// `output`, the only one that names a repository.
    ///
    /// # Errors
    /// As [`choose`].
    pub fn output(&self, stack: &str, output: Option<&str>) -> Result<Option<Output>, Error> {
        self.stacks.get(stack).map_or(Ok(None), |outputs| choose(stack, outputs, output))
    }

    /// Names of the stacks in the file, sorted.
    pub fn stacks(&self) -> impl Iterator<Item = &str> {
        self.stacks.keys().map(String::as_str)
    }
}

/// The repository that an output names; `None` where there is no such output. Without `output`, the only one that names
/// a repository.
///
/// # Errors
/// [`Error::NotARepository`] for an output that is something else; [`Error::Ambiguous`] where none is named and not
/// exactly one names a repository, unless there are no outputs at all.
pub fn choose(stack: &str, outputs: &BTreeMap<String, String>, output: Option<&str>) -> Result<Option<Output>, Error> {
    if let Some(key) = output {
        let Some(value) = outputs.get(key) else { return Ok(None) };
        let repository = value.parse().map_err(|_| Error::NotARepository {
            stack: stack.to_owned(),
            output: key.to_owned(),
            value: value.chars().take(100).collect(),
        })?;
        return Ok(Some(Output { key: key.to_owned(), repository }));
    }
    let named = |(key, value): (&String, &String)| Some(Output { key: key.clone(), repository: value.parse().ok()? });
    let mut found: Vec<Output> = outputs.iter().filter_map(named).collect();
    // A stack may tell one repository twice, as URI and as ARN.
    found.dedup_by(|a, b| a.repository == b.repository);
    match found.len() {
        1 => Ok(found.pop()),
        0 if outputs.is_empty() => Ok(None),
        _ => Err(Error::Ambiguous {
            stack: stack.to_owned(),
            repositories: found.into_iter().map(|output| output.key).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/api";

    #[test]
    fn an_output_is_found_by_name_or_as_the_only_repository() {
        let file = OutputsFile::parse(&format!(
            r#"{{"A":{{"Bucket":"b","Uri":"{URI}","Arn":"arn:aws:ecr:eu-west-1:123456789012:repository/shop/api"}},
                "B":{{"One":"{URI}","Two":"{URI}2"}},"C":{{}},"D":{{"Bucket":"b","Count":3}}}}"#
        ))
        .expect("a file");
        let key =
            |stack: &str, output: Option<&str>| file.output(stack, output).map(|found| found.map(|found| found.key));
        assert_eq!(key("A", Some("Uri")), Ok(Some("Uri".to_owned())));
        assert_eq!(key("A", None), Ok(Some("Arn".to_owned())));
        assert_eq!(key("A", Some("Missing")), Ok(None));
        assert_eq!(key("Z", None), Ok(None));
        assert_eq!(key("C", None), Ok(None));
        assert!(matches!(key("A", Some("Bucket")), Err(Error::NotARepository { .. })));
        assert!(matches!(key("B", None), Err(Error::Ambiguous { repositories, .. }) if repositories == ["One", "Two"]));
        assert!(matches!(key("D", None), Err(Error::Ambiguous { repositories, .. }) if repositories.is_empty()));
    }

    #[test]
    fn a_file_that_is_none_is_refused_with_its_place() {
        let check = |text: &str, place: (usize, usize)| match OutputsFile::parse(text) {
            Err(Error::Syntax { line, column, .. }) => assert_eq!((line, column), place, "{text}"),
            other => panic!("{other:?}"),
        };
        check("", (1, 0));
        check("{\n\"A\": \"x\"}", (2, 8));
        check("[]", (1, 0));
        check("{\"A\":{\"B\":1}", (1, 12));
    }
}
