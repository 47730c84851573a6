//! Services in names of environment variables: checked for clashes with the configuration, and written by deployments.

/// A service's name in a variable, as in `SHIPPER_IMAGE_WEB_UI`: capital letters, digits, and `_` for everything else.
///
/// ```
/// assert_eq!(shipper_report::variable("web-ui"), "WEB_UI");
/// ```
#[must_use]
pub fn variable(service: &str) -> String {
    service.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}
