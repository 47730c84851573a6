//! Lifecycle policies on a repository that is as full as ECR lets it be: no peer does this offline, so that there are figures
//! and budgets in the place of ratios.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

use super::{Bench, child};
use crate::process::say;

/// Images in a repository, and rules in a policy (ECR service quotas).
const IMAGES: u32 = 100_000;
const RULES: u32 = 50;

/// What one simulation may take.
const MOST_MILLISECONDS: u128 = 1000;
const MOST_MEBIBYTES: u64 = 200;

/// Prints what `ecr lifecycle simulate` takes with a policy of one rule, with one whose patterns are compared to their end and
/// match nothing, and with one whose patterns match much.
pub(super) fn run(bench: &Bench, below: &Path) -> anyhow::Result<()> {
    let directory = below.join("ecr");
    std::fs::create_dir_all(&directory)?;
    let write = |name: &str, text: String| {
        let path = directory.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write("images.json", images())?;
    write("one.json", policy(1, |_| "pr-*".to_owned()))?;
    write("none.json", policy(RULES, |rule| format!("*{:x}*{:x}*0*{rule:02}-", rule % 16, rule * 7 % 16)))?;
    write("many.json", policy(RULES, |rule| format!("*{:x}*{:x}*", rule % 16, rule / 16)))?;
    let budget = format!("at most {MOST_MILLISECONDS} ms, {MOST_MEBIBYTES} MiB");
    say(&format!("\n`shipper ecr lifecycle simulate`, {IMAGES} images ({budget})"));
    let policies =
        [("one rule", "one.json"), ("50 rules, none matches", "none.json"), ("50 rules, most match", "many.json")];
    for (title, file) in policies {
        let arguments = ["ecr", "lifecycle", "simulate", "--json", "--now", "2026-01-01T00:00:00Z"];
        let mut command = bench.shipper(&directory, &arguments);
        command.args(["--images", "images.json", "--policy", file]);
        let mut runs = (0..bench.rounds).map(|_| child::used(&command)).collect::<anyhow::Result<Vec<_>>>()?;
        runs.sort_by_key(|used| used.wall);
        let median = runs[runs.len() / 2];
        let memory = runs.iter().map(|used| used.memory).max().unwrap_or(0) >> 20;
        let (wall, cpu) = (median.wall.as_millis(), median.cpu.as_millis());
        let verdict = if wall <= MOST_MILLISECONDS && memory <= MOST_MEBIBYTES { "within" } else { "OVER" };
        say(&format!("  {title:<24} {wall:>5} ms  {cpu:>5} ms CPU  {memory:>4} MiB  {verdict}"));
    }
    Ok(())
}

/// What `aws ecr describe-images` prints of images that were pushed a minute apart.
fn images() -> String {
    let mut text = String::from("{\"imageDetails\":[\n");
    for at in 0..IMAGES {
        let comma = if at == 0 { "" } else { ",\n" };
        let _ = write!(
            text,
            "{comma}{{\"registryId\":\"123456789012\",\"repositoryName\":\"shop/api\",\"imageDigest\":\"sha256:{at:064x}\",\
             \"imageTags\":[\"pr-{}-{at:07x}\",\"h-{at:032x}\"],\"imageSizeInBytes\":52428800,\"imagePushedAt\":{},\
             \"imageManifestMediaType\":\"application/vnd.oci.image.manifest.v1+json\"}}",
            at % 3000,
            1_700_000_000 + u64::from(at) * 60
        );
    }
    text + "\n]}\n"
}

/// Rules that keep half of what they match.
fn policy(rules: u32, pattern: impl Fn(u32) -> String) -> String {
    let rule = |at: u32| {
        format!(
            "{{\"rulePriority\":{},\"selection\":{{\"tagStatus\":\"tagged\",\"tagPatternList\":[\"{}\"],\
             \"countType\":\"imageCountMoreThan\",\"countNumber\":{}}},\"action\":{{\"type\":\"expire\"}}}}",
            at + 1,
            pattern(at),
            IMAGES / 2
        )
    };
    format!("{{\"rules\":[{}]}}", (0..rules).map(rule).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_are_as_full_as_ecr_lets_them_be() {
        assert_eq!(images().matches("\"imageDigest\"").count(), 100_000);
        let text = policy(RULES, |rule| format!("*{rule}*"));
        assert_eq!(text.matches("\"rulePriority\"").count(), 50);
        assert!(text.len() <= 30_720, "{} bytes", text.len());
    }
}
