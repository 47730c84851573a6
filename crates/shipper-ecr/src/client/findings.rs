//! What ECR's scanners found in an image.
//!
//! Source: ECR API reference, `DescribeImageScanFindings`, `ImageScanStatus` and `StartImageScan`.

use std::collections::BTreeMap;

use aws_sdk_ecr::types::{ImageIdentifier, ScanStatus};
use shipper_aws::Error as AwsError;

use super::{Ecr, has_code};

/// What is known of the vulnerabilities of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scan {
    /// It was scanned: how many findings there are of each severity, in ECR's words (`CRITICAL`, `HIGH`, `MEDIUM`, `LOW`,
    /// `INFORMATIONAL`, `UNDEFINED`).
    Done(BTreeMap<String, u64>),
    /// It is being scanned, or will be.
    Going,
    /// Nobody has scanned it.
    Absent,
    /// It can not be told, for this reason.
    Unknown(String),
}

impl Ecr {
    /// What is known of the vulnerabilities of an image, which is no index: ECR scans single images.
    ///
    /// # Errors
    /// [`AwsError`]; an image that does not exist included.
    pub async fn scan(&self, repository: &str, digest: &str) -> Result<Scan, AwsError> {
        let image = ImageIdentifier::builder().image_digest(digest).build();
        let request = self.client.describe_image_scan_findings().set_registry_id(self.registry_id());
        // Counts are of all findings, whatever the page holds.
        let request = request.repository_name(repository).image_id(image).max_results(1);
        let answer =
            match request.send().await.map_err(|error| AwsError::from(("ecr:DescribeImageScanFindings", error))) {
                Ok(answer) => answer,
                Err(error) if has_code(&error, "ScanNotFoundException") => return Ok(Scan::Absent),
                Err(error) => return Err(error),
            };
        let state = answer.image_scan_status();
        let counts = || {
            let found = answer.image_scan_findings().and_then(|found| found.finding_severity_counts());
            let counts = found.into_iter().flatten();
            counts.map(|(severity, count)| (severity.as_str().to_owned(), u64::try_from(*count).unwrap_or(0))).collect()
        };
        Ok(match state.and_then(|state| state.status()) {
            Some(ScanStatus::Complete | ScanStatus::Active) => Scan::Done(counts()),
            Some(ScanStatus::InProgress | ScanStatus::Pending) => Scan::Going,
            other => {
                let word = other.map_or("of no status", |status| status.as_str());
                let description = state.and_then(|state| state.description()).filter(|text| !text.is_empty());
                let description = description.map_or_else(String::new, |text| format!(": {text}"));
                Scan::Unknown(format!("its scan is {}{description}", word.to_lowercase().replace('_', " ")))
            }
        })
    }

    /// Asks ECR to scan an image.
    ///
    /// # Errors
    /// [`AwsError`].
    pub async fn start_scan(&self, repository: &str, digest: &str) -> Result<(), AwsError> {
        let image = ImageIdentifier::builder().image_digest(digest).build();
        let request = self.client.start_image_scan().set_registry_id(self.registry_id());
        let answer = request.repository_name(repository).image_id(image).send().await;
        answer.map(drop).map_err(|error| AwsError::from(("ecr:StartImageScan", error)))
    }
}
