//! What a release says of its images: a block of Markdown between two marks, in a text that is otherwise somebody else's.
//!
//! Invariants: outside of the marks no byte changes; the same block put in twice is in it once; a text whose marks are not one pair
//! is refused as it is.

use std::fmt;
use std::fmt::Write as _;

use serde::Serialize;

use crate::render::{code, short, text};
use crate::units;

/// The line before the block.
const BEGIN: &str = "<!-- shipper:images:begin v=1 -->";
/// The line behind it.
const END: &str = "<!-- shipper:images:end -->";
/// What every mark begins with, of whatever version.
const MARK: &str = "<!-- shipper:images:";

/// The images of a release.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ReleaseNotes {
    /// The tag of the release that sizes are compared with.
    pub since: Option<String>,
    /// The images, by service.
    pub images: Vec<ReleasedImage>,
}

/// An image of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ReleasedImage {
    /// Its service.
    pub service: String,
    /// `repository@digest`.
    pub reference: String,
    /// Names of this release, without the repository.
    pub tags: Vec<String>,
    /// What it is for each platform.
    pub platforms: Vec<ReleasedPlatform>,
    /// What became of it since the release that is compared with; `None` where nothing is compared.
    pub change: Option<ImageChange>,
}

/// An image for one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ReleasedPlatform {
    /// `os/architecture[/variant]`.
    pub platform: String,
    /// Digest of its manifest.
    pub digest: String,
    /// Config and layers, compressed, in bytes.
    pub size: u64,
}

/// What became of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "change")]
pub enum ImageChange {
    /// It was not in that release.
    New,
    /// It is the same.
    Unchanged,
    /// It is another one; that had this size, over all platforms, in bytes.
    Changed {
        /// The size.
        before: u64,
    },
}

impl ReleasedImage {
    /// Size over all platforms, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.platforms.iter().map(|platform| platform.size).sum()
    }
}

impl ReleaseNotes {
    /// The block, with its marks and a line end behind it.
    #[must_use]
    pub fn block(&self) -> String {
        let mut out = format!("{BEGIN}\n## Images\n\n");
        let since = self.since.as_deref().map(|since| format!("since {}", text(since)));
        let heading = since.as_deref().unwrap_or("");
        let _ = writeln!(out, "| Service | Tags | Platforms | Size | {heading} |\n|---|---|---|--:|---|");
        for image in &self.images {
            let tags: Vec<String> = image.tags.iter().map(|tag| code(tag)).collect();
            let platform = |one: &ReleasedPlatform| format!("{} {}", text(&one.platform), code(&short(&one.digest)));
            let platforms: Vec<String> = image.platforms.iter().map(platform).collect();
            let (tags, platforms, size) = (tags.join(" "), platforms.join("<br>"), units::bytes(image.size()));
            let service = text(&image.service);
            let _ = writeln!(out, "| {service} | {tags} | {platforms} | {size} | {} |", change(image));
        }
        out.push_str("\n```sh\n");
        for image in &self.images {
            let _ = writeln!(out, "docker pull {}", on_a_line(&image.reference));
        }
        out.push_str("```\n\nEach is what its tags name, whole, and made of what its key says:\n\n```sh\n");
        for image in &self.images {
            let _ = writeln!(out, "shipper verify {}", on_a_line(&image.reference));
        }
        let _ = write!(out, "```\n{END}\n");
        out
    }
}

fn change(image: &ReleasedImage) -> String {
    match image.change {
        None => String::new(),
        Some(ImageChange::New) => "new".to_owned(),
        Some(ImageChange::Unchanged) => "unchanged".to_owned(),
        Some(ImageChange::Changed { before }) => {
            let size = image.size();
            let sign = if size < before { '-' } else { '+' };
            format!("{sign}{}", units::bytes(size.abs_diff(before)))
        }
    }
}

/// A reference inside of a block of code, which ends at a line of its own.
fn on_a_line(reference: &str) -> String {
    reference.chars().filter(|c| !c.is_control() && *c != '`').collect()
}

/// Why a block can not be put into a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotesFault {
    /// There is more than one beginning or end.
    Several,
    /// A beginning without an end, an end without a beginning, or an end that comes first.
    Unpaired,
    /// A mark that this version did not write.
    Unknown,
}

impl fmt::Display for NotesFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Several => "it has more than one pair of marks",
            Self::Unpaired => "its marks are no pair",
            Self::Unknown => "it has a mark of another version",
        })
    }
}

impl std::error::Error for NotesFault {}

/// The text with the block in the place of the one that it has, else behind everything, after an empty line.
///
/// # Errors
/// [`NotesFault`] where its marks are not one pair.
pub fn with_notes(body: &str, block: &str) -> Result<String, NotesFault> {
    let (begins, ends) = (body.matches(BEGIN).count(), body.matches(END).count());
    if body.matches(MARK).count() != begins + ends {
        return Err(NotesFault::Unknown);
    }
    match (begins, ends) {
        (0, 0) => {
            let newline = if body.contains("\r\n") { "\r\n" } else { "\n" };
            let between = match body {
                "" => String::new(),
                body if body.ends_with("\n\n") || body.ends_with("\n\r\n") => String::new(),
                body if body.ends_with('\n') => newline.to_owned(),
                _ => newline.repeat(2),
            };
            Ok(format!("{body}{between}{block}"))
        }
        (1, 1) => {
            let begin = body.find(BEGIN).unwrap_or_default();
            let end = body.find(END).unwrap_or_default();
            if end < begin {
                return Err(NotesFault::Unpaired);
            }
            // The line end behind the block belongs to the text.
            Ok(format!("{}{}{}", &body[..begin], block.trim_end_matches('\n'), &body[end + END.len()..]))
        }
        (0 | 1, 0 | 1) => Err(NotesFault::Unpaired),
        _ => Err(NotesFault::Several),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes() -> ReleaseNotes {
        let platform = |platform: &str, size| ReleasedPlatform {
            platform: platform.to_owned(),
            digest: format!("sha256:{}", "ab".repeat(32)),
            size,
        };
        let image = |service: &str, platforms, change| ReleasedImage {
            service: service.to_owned(),
            reference: format!("ghcr.io/acme/{service}@sha256:{}", "ab".repeat(32)),
            tags: vec!["v1.2.0".to_owned(), "latest".to_owned()],
            platforms,
            change,
        };
        let both = vec![platform("linux/amd64", 2_097_152), platform("linux/arm64", 1_048_576)];
        ReleaseNotes {
            since: Some("v1.1.0".to_owned()),
            images: vec![
                image("api", both, Some(ImageChange::Changed { before: 2_097_152 })),
                image("docs", vec![platform("linux/amd64", 10)], Some(ImageChange::Unchanged)),
                image("web", vec![platform("linux/amd64", 10)], Some(ImageChange::New)),
            ],
        }
    }

    #[test]
    fn a_release_names_its_images() {
        insta::assert_snapshot!(notes().block());
    }

    #[test]
    fn names_are_no_markup() {
        let mut notes = notes();
        notes.images[0].service = "a|b<!-- shipper:images:end -->".to_owned();
        notes.images[0].tags = vec!["`x|".to_owned()];
        notes.images[0].reference = "a\n```\n# b".to_owned();
        notes.since = Some("v1 | <b>".to_owned());
        let block = notes.block();
        assert_eq!(
            (block.matches(BEGIN).count(), block.matches(END).count(), block.matches("```\n").count()),
            (1, 1, 2)
        );
        assert!(block.lines().all(|line| !line.starts_with("# b")), "{block}");
    }

    #[test]
    fn what_is_not_the_block_stays_byte_for_byte() {
        let block = notes().block();
        let other = ReleaseNotes::default().block();
        for body in ["", "a", "a\n", "a\n\n", "a\r\nb\r\n", "\u{feff}é \t", "a <!-- other --> b\r\n\r\n"] {
            let first = with_notes(body, &block).expect("has no marks");
            assert!(first.starts_with(body), "{body:?}");
            assert_eq!(with_notes(&first, &block).as_deref(), Ok(first.as_str()), "{body:?}");
            let edited = format!("{first}\r\nafter \r\n");
            let replaced = with_notes(&edited, &other).expect("has marks");
            assert!(replaced.starts_with(body) && replaced.ends_with("\n\r\nafter \r\n"), "{replaced:?}");
            assert_eq!(with_notes(&replaced, &block).as_deref(), Ok(edited.as_str()));
        }
    }

    #[test]
    fn marks_that_are_no_pair_are_refused() {
        let check = |body: String, expected| assert_eq!(with_notes(&body, "x"), Err(expected), "{body}");
        check(BEGIN.to_owned(), NotesFault::Unpaired);
        check(END.to_owned(), NotesFault::Unpaired);
        check(format!("{END}{BEGIN}"), NotesFault::Unpaired);
        check(format!("{BEGIN}{END}{BEGIN}"), NotesFault::Several);
        check(format!("{BEGIN}{BEGIN}{END}{END}"), NotesFault::Several);
        check(format!("{BEGIN}{END}<!-- shipper:images:begin v=2 -->"), NotesFault::Unknown);
    }
}
