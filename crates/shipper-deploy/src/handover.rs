//! What a command is given: exact digests, in variables and in a file. No shell is between data and command.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde::Serialize;

use crate::Error;

/// An image as a deployer takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Given {
    /// `host/repository@sha256:..`.
    #[serde(rename = "image")]
    pub reference: String,
    /// `sha256:..`.
    pub digest: String,
    /// A tag of it, where one is known.
    pub tag: Option<String>,
}

/// The images of a deployment, ready to be handed over.
#[derive(Debug)]
pub struct Handover {
    variables: BTreeMap<String, String>,
    images: BTreeMap<String, Given>,
    environment: String,
    /// Lives as long as the commands that read it.
    _file: tempfile::NamedTempFile,
}

impl Handover {
    /// Writes the file that `SHIPPER_IMAGES_JSON` names, and makes the variables.
    ///
    /// # Errors
    /// Where the file can not be written.
    pub fn new(environment: &str, images: BTreeMap<String, Given>, commit: Option<&str>) -> std::io::Result<Self> {
        let mut file = tempfile::Builder::new().prefix("shipper-images-").suffix(".json").tempfile()?;
        file.write_all(&serde_json::to_vec(&images)?)?;
        file.flush()?;
        let mut variables = BTreeMap::from([("SHIPPER_ENV".to_owned(), environment.to_owned())]);
        variables.extend(commit.map(|commit| ("SHIPPER_GIT_SHA".to_owned(), commit.to_owned())));
        if !images.is_empty() {
            variables.insert("SHIPPER_IMAGES_JSON".to_owned(), file.path().to_string_lossy().into_owned());
        }
        for (service, image) in &images {
            let name = shipper_report::variable(service);
            variables.insert(format!("SHIPPER_IMAGE_{name}"), image.reference.clone());
            variables.insert(format!("SHIPPER_DIGEST_{name}"), image.digest.clone());
            variables.extend(image.tag.iter().map(|tag| (format!("SHIPPER_TAG_{name}"), tag.clone())));
        }
        Ok(Self { variables, images, environment: environment.to_owned(), _file: file })
    }

    /// The variables, sorted by name.
    #[must_use]
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// Whether there are no images: the deployer is to build by itself.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Replaces `{image:SERVICE}`, `{digest:SERVICE}`, `{tag:SERVICE}` and `{env}`. Everything else stays, other braces
    /// too.
    ///
    /// # Errors
    /// [`Error::Placeholder`] for a service without an image.
    pub fn expand(&self, text: &str) -> Result<String, Error> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((at, length, placeholder)) = next(rest) {
            expanded.push_str(&rest[..at]);
            let problem = |problem: String| Error::Placeholder { text: text.to_owned(), problem };
            match placeholder {
                Placeholder::Environment => expanded.push_str(&self.environment),
                Placeholder::Of(what, service) => {
                    let image = self.images.get(service);
                    let image = image.ok_or_else(|| problem(format!("there is no image of `{service}`")))?;
                    match what {
                        What::Image => expanded.push_str(&image.reference),
                        What::Digest => expanded.push_str(&image.digest),
                        What::Tag => {
                            let tag = image.tag.as_ref();
                            expanded.push_str(tag.ok_or_else(|| problem(format!("`{service}` has no tag")))?);
                        }
                    }
                }
            }
            rest = &rest[at + length..];
        }
        expanded.push_str(rest);
        Ok(expanded)
    }
}

/// The services that the placeholders of a text name, in their order.
pub fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let (at, length, placeholder) = next(rest)?;
            rest = &rest[at + length..];
            if let Placeholder::Of(_, service) = placeholder {
                return Some(service);
            }
        }
    })
}

enum Placeholder<'a> {
    Environment,
    Of(What, &'a str),
}

enum What {
    Image,
    Digest,
    Tag,
}

/// The first placeholder: where it begins, how long it is, what it means.
fn next(text: &str) -> Option<(usize, usize, Placeholder<'_>)> {
    let mut from = 0;
    loop {
        let at = from + text[from..].find('{')?;
        let inner = text[at + 1..].split_once('}').map(|(inner, _)| inner);
        let placeholder = inner.and_then(|inner| match inner.split_once(':') {
            None if inner == "env" => Some(Placeholder::Environment),
            Some(("image", service)) => Some(Placeholder::Of(What::Image, service)),
            Some(("digest", service)) => Some(Placeholder::Of(What::Digest, service)),
            Some(("tag", service)) => Some(Placeholder::Of(What::Tag, service)),
            _ => None,
        });
        match (placeholder, inner) {
            (Some(placeholder), Some(inner)) => return Some((at, inner.len() + 2, placeholder)),
            _ => from = at + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handover() -> Handover {
        let image = Given {
            reference: "localhost:5000/shop/web-ui@sha256:00".to_owned(),
            digest: "sha256:00".to_owned(),
            tag: None,
        };
        Handover::new("prod", BTreeMap::from([("web-ui".to_owned(), image)]), Some("abc")).expect("writes")
    }

    #[test]
    fn images_are_handed_over_by_digest_in_variables_and_a_file() {
        let handover = handover();
        let variables = handover.variables();
        assert_eq!(variables["SHIPPER_IMAGE_WEB_UI"], "localhost:5000/shop/web-ui@sha256:00");
        assert_eq!(variables["SHIPPER_DIGEST_WEB_UI"], "sha256:00");
        assert_eq!((variables["SHIPPER_ENV"].as_str(), variables["SHIPPER_GIT_SHA"].as_str()), ("prod", "abc"));
        assert!(!variables.contains_key("SHIPPER_TAG_WEB_UI"));
        let file = std::fs::read(&variables["SHIPPER_IMAGES_JSON"]).expect("is there");
        let file: serde_json::Value = serde_json::from_slice(&file).expect("JSON");
        assert_eq!(file["web-ui"]["digest"], "sha256:00");
    }

    #[test]
    fn placeholders_are_replaced_and_other_braces_stay() {
        let handover = handover();
        let check = |text: &str, expected: &str| assert_eq!(handover.expand(text).expect(text), expected);
        check("", "");
        check("{image:web-ui}", "localhost:5000/shop/web-ui@sha256:00");
        check("a{env}b{digest:web-ui}{", "aprodbsha256:00{");
        check(r#"{"a":{"b":"{env}"}} ${HOME} {}"#, r#"{"a":{"b":"prod"}} ${HOME} {}"#);
        check("{{env}}", "{prod}");
        for bad in ["{image:api}", "{tag:web-ui}", "{digest:}"] {
            assert!(matches!(handover.expand(bad), Err(Error::Placeholder { .. })), "{bad}");
        }
        assert_eq!(placeholders("{env}{image:a} {x:y} {tag:b}").collect::<Vec<_>>(), ["a", "b"]);
        proptest::proptest!(|(text in "[{}a-z:é]{0,40}")| { let _ = handover.expand(&text); });
    }
}
