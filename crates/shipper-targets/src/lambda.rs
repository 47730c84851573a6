//! Functions of AWS Lambda that are images.
//!
//! Sources: Lambda API reference, `GetFunction`, `UpdateFunctionCode`, `PublishVersion`, `UpdateAlias`, `CreateAlias`; Lambda
//! developer guide, "Function states" (an update or a version is usable when it is no longer in progress or pending).
//!
//! Invariants: an alias moves only to a version that Lambda says is active and that has the image; the code of the version is
//! that which this update made, by its checksum; what somebody else changes meanwhile is waited for.

use std::time::Duration;

use serde_json::{Value, json};
use shipper_aws::{Api, Call, Session};
use tokio::time::{Instant, sleep};

use crate::{Brought, Error, is_same_image};

/// The first pause between two looks; it grows to the longest.
const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(3);

/// A function, and the alias by which it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LambdaFunction {
    /// Name or ARN of the function.
    pub function: String,
    /// Name of the alias. It is made where it is not there.
    pub alias: String,
}

/// What an alias of a function runs.
#[derive(Debug, Clone, PartialEq)]
pub struct RunningFunction {
    /// The platform of the function, as `linux/arm64`.
    pub platform: String,
    /// The image of the alias by its digest; of the code that is not published, where there is no alias.
    pub image: String,
    /// The version that the alias names.
    pub version: Option<String>,
    /// Whether the alias sends some of its calls to another version.
    pub is_split: bool,
    /// The image of the code that is not published.
    unpublished: String,
    /// Whether the last update of that code failed.
    is_broken: bool,
}

impl RunningFunction {
    /// Whether every call of the alias gets this image.
    #[must_use]
    pub fn runs(&self, image: &str) -> bool {
        self.version.is_some() && !self.is_split && is_same_image(&self.image, image)
    }
}

/// AWS Lambda in the region of a session.
#[derive(Debug, Clone)]
pub struct Lambda {
    pub(crate) api: Api,
}

/// How long something may take, and how it is called in errors.
struct Limit<'a> {
    function: &'a str,
    deadline: Instant,
    after: Duration,
}

impl Lambda {
    /// Nothing is read or sent.
    #[must_use]
    pub fn new(session: &Session) -> Self {
        Self { api: Api::new(session, shipper_aws::Service { id: "LAMBDA", name: "lambda", target: "" }) }
    }

    /// What an alias of a function runs.
    ///
    /// # Errors
    /// [`Error::Absent`], [`Error::NoImage`]; [`Error::Aws`] where it could not be told.
    pub async fn look(&self, at: &LambdaFunction) -> Result<RunningFunction, Error> {
        let LambdaFunction { function, alias } = at;
        let absent = || Error::Absent { what: format!("function `{function}`") };
        let latest = self.get("lambda:GetFunction", &path(function, "")).await?.ok_or_else(absent)?;
        let configuration = &latest["Configuration"];
        if configuration["PackageType"] != "Image" {
            return Err(Error::NoImage { function: function.clone() });
        }
        let architecture = match configuration["Architectures"][0].as_str() {
            Some("arm64") => "arm64",
            _ => "amd64",
        };
        let unpublished = image_of(&latest)?;
        let named = self.get("lambda:GetAlias", &path(function, &format!("/aliases/{alias}"))).await?;
        let version = named.as_ref().and_then(|named| named["FunctionVersion"].as_str()).map(str::to_owned);
        let weights = named.as_ref().and_then(|named| named["RoutingConfig"]["AdditionalVersionWeights"].as_object());
        let image = match &version {
            None => unpublished.clone(),
            Some(version) => {
                let missing = || Error::Absent { what: format!("version {version} of function `{function}`") };
                self.image_of_version(function, version).await?.ok_or_else(missing)?
            }
        };
        Ok(RunningFunction {
            platform: format!("linux/{architecture}"),
            image,
            version,
            is_split: weights.is_some_and(|weights| !weights.is_empty()),
            unpublished,
            is_broken: configuration["LastUpdateStatus"] == "Failed",
        })
    }

    /// Brings an alias, of which `running` is what it runs, to an image, which has to be one of the function's platform and no index. `told` gets a line for each
    /// stage.
    ///
    /// # Errors
    /// [`Error::Ended`], [`Error::Slow`]; [`Error::Aws`] for what was refused or could not be told.
    pub async fn bring(
        &self,
        at: &LambdaFunction,
        running: RunningFunction,
        image: &str,
        limit: Duration,
        told: &(dyn Fn(&str) + Sync),
    ) -> Result<Brought, Error> {
        let function = &at.function;
        let limit = Limit { function, deadline: Instant::now() + limit, after: limit };
        if running.runs(image) {
            told(&format!("`{}` runs {image} (version {})", at.alias, running.version.unwrap_or_default()));
            return Ok(Brought::Unchanged);
        }
        if running.is_broken || !is_same_image(&running.unpublished, image) {
            let wanted = json!({"ImageUri": image});
            let call = Call {
                action: "lambda:UpdateFunctionCode",
                method: "PUT",
                path: &path(function, "/code"),
                body: Some(&wanted),
            };
            self.change(call, &limit).await?;
            told(&format!("{function} gets {image}"));
        }
        let code = self.settled(&limit, "", "LastUpdateStatus", told).await?;
        let wanted = json!({"CodeSha256": code["CodeSha256"]});
        let publish = Call {
            action: "lambda:PublishVersion",
            method: "POST",
            path: &path(function, "/versions"),
            body: Some(&wanted),
        };
        let published = self.change(publish, &limit).await?;
        let version = published["Version"].as_str();
        let version = version.ok_or(Error::Answer { action: publish.action, field: "Version" })?;
        told(&format!("version {version} has it"));
        self.settled(&limit, &format!("?Qualifier={version}"), "State", told).await?;
        let wanted = json!({"FunctionVersion": version, "RoutingConfig": {"AdditionalVersionWeights": {}}});
        let (action, method, rest, wanted) = match running.version {
            Some(_) => ("lambda:UpdateAlias", "PUT", format!("/aliases/{}", at.alias), wanted),
            None => (
                "lambda:CreateAlias",
                "POST",
                "/aliases".to_owned(),
                json!({"Name": at.alias, "FunctionVersion": version}),
            ),
        };
        self.change(Call { action, method, path: &path(function, &rest), body: Some(&wanted) }, &limit).await?;
        let before = running.version.map_or_else(String::new, |before| format!("{before} -> "));
        told(&format!("`{}`: version {before}{version}", at.alias));
        Ok(Brought::Done)
    }

    /// The image of a version; `None` where there is no such version.
    pub(crate) async fn image_of_version(&self, function: &str, version: &str) -> Result<Option<String>, Error> {
        // The code that is not published is what is described where no version is named.
        let qualifier = if version == "$LATEST" { String::new() } else { format!("?Qualifier={version}") };
        self.get("lambda:GetFunction", &path(function, &qualifier)).await?.as_ref().map(image_of).transpose()
    }

    /// The document at a path; `None` where Lambda says that there is none.
    async fn get(&self, action: &'static str, path: &str) -> Result<Option<Value>, Error> {
        match self.api.call(Call { action, method: "GET", path, body: None }).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a call that changes something, again as long as another change is under way.
    async fn change(&self, call: Call<'_>, limit: &Limit<'_>) -> Result<Value, Error> {
        let mut pause = SHORTEST;
        loop {
            match self.api.call(call).await {
                Err(error) if error.code() == Some("ResourceConflictException") => {
                    limit.pause(&mut pause, || "another change of it is under way".to_owned()).await?;
                }
                answer => return Ok(answer?),
            }
        }
    }

    /// The configuration of a function or of a version of it, when `field` is neither in progress nor pending.
    async fn settled(
        &self,
        limit: &Limit<'_>,
        qualifier: &str,
        field: &'static str,
        told: &(dyn Fn(&str) + Sync),
    ) -> Result<Value, Error> {
        const ACTION: &str = "lambda:GetFunctionConfiguration";
        let (path, mut pause, mut said) =
            (path(limit.function, &format!("/configuration{qualifier}")), SHORTEST, String::new());
        loop {
            let looked = self.get(ACTION, &path).await;
            let found = match looked {
                Err(Error::Aws(error)) if error.may_pass() => json!({(field): format!("unknown: cannot {error}")}),
                looked => {
                    let absent = || Error::Absent { what: format!("function `{}`", limit.function) };
                    looked?.ok_or_else(absent)?
                }
            };
            let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
            let state = text(field);
            match state.as_str() {
                "Successful" | "Active" | "Inactive" => return Ok(found),
                "Failed" => {
                    let reason = [text(&format!("{field}ReasonCode")), text(&format!("{field}Reason"))];
                    let reason: Vec<String> = reason.into_iter().filter(|part| !part.is_empty()).collect();
                    let reason =
                        if reason.is_empty() { "Lambda gives no reason".to_owned() } else { reason.join(": ") };
                    return Err(Error::Ended {
                        service: limit.function.to_owned(),
                        status: "failed".to_owned(),
                        reason,
                    });
                }
                _ => {}
            }
            if state != said {
                told(&state);
                said.clone_from(&state);
            }
            limit.pause(&mut pause, || state.clone()).await?;
        }
    }
}

impl Limit<'_> {
    /// Waits a little, unless the time would be over then.
    async fn pause(&self, pause: &mut Duration, status: impl Fn() -> String) -> Result<(), Error> {
        if Instant::now() + *pause >= self.deadline {
            return Err(Error::Slow {
                service: self.function.to_owned(),
                status: status(),
                after: self.after,
                deployment: None,
            });
        }
        sleep(*pause).await;
        *pause = pause.mul_f64(1.5).min(LONGEST);
        Ok(())
    }
}

/// The path of a function, and what follows. Names and ARNs have no character that needs an escape but the colon.
fn path(function: &str, rest: &str) -> String {
    format!("/2015-03-31/functions/{}{rest}", function.replace(':', "%3A"))
}

/// The image in an answer of `GetFunction`: what the tag meant when it was given, where it was a tag.
fn image_of(answer: &Value) -> Result<String, Error> {
    let code = &answer["Code"];
    let image = code["ResolvedImageUri"].as_str().or_else(|| code["ImageUri"].as_str());
    image.map(str::to_owned).ok_or(Error::Answer { action: "lambda:GetFunction", field: "ResolvedImageUri" })
}
