//! Stands in for `native` in builds without the feature `aws`: no such target can be asked or changed.

use shipper_deploy::{Step, Target};

use super::execute::Effect;
use super::observe::Seen;
use super::wanted::Wanted;
use crate::Error;

fn without(step: &Step) -> Error {
    Error::WithoutAws { action: format!("ask what `{}` runs", step.name) }
}

/// Always [`Error::WithoutAws`].
#[expect(clippy::unused_async, reason = "with AWS it asks")]
pub(super) async fn look(step: &Step, _: &Target, _: Option<&Wanted<'_>>) -> Result<Seen, Error> {
    Err(without(step))
}

/// Always [`Error::WithoutAws`].
#[expect(clippy::unused_async, reason = "with AWS it changes something")]
pub(super) async fn bring(
    step: &Step,
    _: &Target,
    _: &Wanted<'_>,
    _: bool,
    _: &(dyn Fn(&str) + Sync),
) -> Result<Effect, Error> {
    Err(without(step))
}
