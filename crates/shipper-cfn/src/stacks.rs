//! Stacks as the API tells them.
//!
//! Source: CloudFormation API. A stack that does not exist is a `ValidationError` whose message says so, the same code
//! as for a malformed name; `DescribeStacks` without a name would list the whole account, so it always gets one;
//! `ListExports` has pages and no filter.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::Client;
use shipper_aws::{Error, Session};

use crate::StackState;

const DESCRIBE: &str = "cloudformation:DescribeStacks";
const EXPORTS: &str = "cloudformation:ListExports";

/// A stack with its outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: StackState,
    /// Its outputs by key.
    pub outputs: BTreeMap<String, String>,
}

/// The stacks of an account in a region.
#[derive(Debug, Clone)]
pub struct Stacks {
    client: Client,
}

impl Stacks {
    /// Those that a session leads to.
    #[must_use]
    pub fn new(session: &Session) -> Self {
        Self { client: Client::new(&aws_config::SdkConfig::from(session)) }
    }

    /// A stack by its name or id; `None` where AWS says that it does not exist.
    ///
    /// # Errors
    /// [`Error`] where AWS does not say.
    pub async fn describe(&self, name: &str) -> Result<Option<Stack>, Error> {
        let answer = match self.client.describe_stacks().stack_name(name).send().await {
            Ok(answer) => answer,
            Err(error) => {
                return match Error::from((DESCRIBE, error)) {
                    Error::Service { code, message, .. }
                        if code == "ValidationError" && message.contains("does not exist") =>
                    {
                        Ok(None)
                    }
                    other => Err(other),
                };
            }
        };
        let stack = answer.stacks().first().ok_or_else(|| malformed(DESCRIBE, "no stack in the answer"))?;
        let state = stack.stack_status().ok_or_else(|| malformed(DESCRIBE, "the stack has no state"))?;
        let outputs = stack.outputs().iter();
        Ok(Some(Stack {
            name: stack.stack_name().unwrap_or(name).to_owned(),
            state: StackState::new(state.as_str()),
            outputs: outputs
                .filter_map(|output| Some((output.output_key()?.to_owned(), output.output_value()?.to_owned())))
                .collect(),
        }))
    }

    /// The value of an export; `None` where no stack exports that name.
    ///
    /// # Errors
    /// [`Error`] where AWS does not say.
    pub async fn export(&self, name: &str) -> Result<Option<String>, Error> {
        /// More pages than an account may have exports.
        const MOST: usize = 1000;
        let mut token = None;
        for _ in 0..MOST {
            let answer = self.client.list_exports().set_next_token(token).send().await;
            let answer = answer.map_err(|error| Error::from((EXPORTS, error)))?;
            let found = answer.exports().iter().find(|export| export.name() == Some(name));
            if let Some(export) = found {
                return Ok(export.value().map(str::to_owned));
            }
            match answer.next_token() {
                Some(next) => token = Some(next.to_owned()),
                None => return Ok(None),
            }
        }
        Err(malformed(EXPORTS, "its pages have no end"))
    }
}

fn malformed(action: &'static str, message: &str) -> Error {
    Error::Service { action, code: "unknown".to_owned(), message: message.to_owned() }
}
