//! `shipper report`: what was recorded, for people.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use shipper_testkit::{need, require_tool};

use crate::support::{Project, Ran, text};

/// Measures two frames of the page they are in, wide and narrow, with everything opened: what is cut, and what lies over
/// something else.
const MEASURE: &str = include_str!("report/measure.js");

#[test]
fn a_report_tells_what_the_record_says() {
    let project = Project::two_services();
    project.ship();
    project.repo.write("docs/index.md", "other\n");
    let events = project.run(["ship", "--json"]).ok().events();
    let finished = events.iter().find(|event| event["event"] == "action-finished").expect("docs was built");
    let phases: Vec<&str> =
        finished["phases"].as_array().expect("phases").iter().filter_map(|phase| phase["phase"].as_str()).collect();
    assert_eq!(phases, ["stage", "build", "push"]);

    let report = project.run(["report", "--json"]).ok().json();
    assert_eq!((&report["run"], &report["whole"]), (&events[0]["run"], &json!(true)));
    assert_eq!(report["project"], "demo");
    let totals = &report["totals"];
    assert_eq!((&totals["built"], &totals["reused"], &totals["failed"]), (&json!(1), &json!(1), &json!(0)));
    assert_eq!(totals["blobs"], finished["blobs"]);
    assert_eq!(totals["blobs"]["uploaded-bytes"], finished["uploaded"]);
    let last = &events[events.len() - 1];
    assert_eq!((&totals["duration-ms"], &totals["saved-ms"]), (&last["duration-ms"], &last["saved-ms"]));
    assert_eq!(report["critical-path"], json!(["docs"]));
    assert_eq!(report["history"].as_array().map(Vec::len), Some(2));

    let written = project.path().join(".shipper/report.html");
    let render = || {
        project.run(["report"]).ok().says("report.html");
        fs::read(&written).expect("a report")
    };
    let first = render();
    assert_eq!(first, render());
    let page = String::from_utf8(first).expect("text");
    assert!(page.contains("1 input changed: docs/index.md") && page.contains(&text(&finished["digest"])), "{page}");
    for remote in ["src=", "href=", "url(", "@import"] {
        assert!(!page.contains(remote), "the page asks for something: {remote}");
    }
    assert!(project.run(["report", "--format", "svg"]).ok().stdout.starts_with("<svg "));
    assert!(project.run(["report", "--format", "md"]).ok().stdout.contains("| docs | built |"));
    let trace = project.run(["report", "--format", "chrome-trace"]).ok().json();
    assert!(trace["traceEvents"].as_array().is_some_and(|events| events.iter().any(|event| event["name"] == "build")));

    // The first run, by the beginning of its name.
    let earlier = text(&report["history"][0]["run"]);
    let named = project.run(["report", "--json", &earlier]).ok().json();
    assert_eq!((&named["run"], &named["totals"]["built"]), (&json!(earlier), &json!(2)));
    project.run(["report", "--json", "2"]).exits(2).says("2 begin so");
    project.run(["report", "1999"]).exits(2).says("cannot find run `1999`");
}

#[test]
fn without_a_run_there_is_nothing_to_report() {
    let project = Project::two_services();
    project.run(["report"]).exits(2).says("`shipper ship` records each run");
    project.run(["report", "nowhere.jsonl"]).exits(2).says("cannot read");
}

#[test]
fn a_truncated_record_is_shown_and_said_so_even_with_a_broken_configuration() {
    let project = Project::two_services();
    let record = project.run(["ship", "--json"]).ok().stdout;
    project.repo.write("shipper.toml", "[broken");
    let cut = record.find("\"event\":\"run-finished\"").expect("an end");
    project.repo.write("cut.jsonl", &record[..cut]);
    let report = project.run(["report", "--json", "cut.jsonl"]).ok().says("it has no end").json();
    assert_eq!((&report["whole"], &report["totals"]["built"]), (&json!(false), &json!(2)));
    assert_eq!(report["unreadable"], 1);
    project
        .run(["report", "cut.jsonl", "-o", "-"])
        .ok()
        .stdout
        .find("The record is not whole")
        .expect("told in the page");
}

#[test]
fn nothing_overlaps_or_is_cut_on_wide_and_narrow_screens() {
    let chromium = need!(require_tool("chromium"));
    let project = Project::two_services();
    project.ship();
    let long = "a-name-that-is-longer-than-any-narrow-screen-is-wide-and-has-no-place-to-break";
    let record = project.run(["ship", "--force", "--json"]).ok().stdout.replace("docs", long);
    let torn = &record[..record.len() - 30];
    for (at, text) in [record.as_str(), torn].into_iter().enumerate() {
        project.repo.write(format!(".shipper/runs/9{at}.jsonl"), text);
    }
    for run in ["90", "91"] {
        let page = project.run(["report", run, "-o", "-"]).ok().stdout;
        let frame = page.replace('&', "&amp;").replace('"', "&quot;");
        let frames: String = [1280, 390]
            .map(|width| {
                format!("<iframe width=\"{width}\" height=\"3000\" style=\"border:0\" srcdoc=\"{frame}\"></iframe>")
            })
            .concat();
        let html = format!("<!doctype html><meta charset=\"utf-8\"><body>{frames}<script>{MEASURE}</script>");
        project.repo.write("frames.html", html);
        let profile = tempfile::tempdir().expect("a directory");
        let mut browser = Command::new(&chromium);
        browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
        browser.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
        browser.arg(format!("--user-data-dir={}", profile.path().display()));
        browser.arg("--dump-dom").arg(format!("file://{}", project.path().join("frames.html").display()));
        let dumped = Ran::of(&browser.output().expect("chromium starts"));
        let found = dumped.stdout.split("MEASURED[").nth(1).and_then(|rest| rest.split("]MEASURED").next());
        let found = found.unwrap_or_else(|| panic!("no measurement in {dumped:?}"));
        let found: Value =
            serde_json::from_str(&found.replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&")).expect("JSON");
        for frame in found.as_array().expect("frames") {
            assert!(frame["boxes"].as_u64() > Some(40), "too little was measured: {frame}");
            assert_eq!(frame["problems"], json!([]), "run {run} at {} px", frame["width"]);
        }
        assert_eq!(found.as_array().map(Vec::len), Some(2));
    }
}

#[test]
fn figures_over_runs_are_counted_and_bounded() {
    let project = Project::two_services();
    project.run(["stats"]).exits(2).says("cannot find a run in").says("hint: `shipper ship` records each run");
    project.ship();
    project.ship();
    project.repo.write("docs/index.md", "other\n".repeat(100));
    project.ship();
    let stats = project.run(["stats", "--json"]).ok().json();
    assert_eq!((&stats["runs"], &stats["damaged"]), (&json!(3), &json!(0)));
    let [docs, site] = &stats["services"].as_array().expect("services")[..] else { panic!("{stats}") };
    assert_eq!((&docs["built"], &docs["reused"]), (&json!(2), &json!(1)));
    assert_eq!((&site["built"], &site["reused"], &site["hit-rate"]), (&json!(1), &json!(2), &json!(2.0 / 3.0)));
    assert!(docs["size"].as_u64() > docs["previous-size"].as_u64(), "{docs}");
    assert!(docs["build-p50-ms"].as_u64() <= docs["build-p95-ms"].as_u64(), "{docs}");
    // Two services, a line for the runs and one for the titles.
    let shown = project.run(["stats"]).ok().stdout;
    assert_eq!(shown.lines().count(), 4, "{shown}");
    assert!(shown.starts_with("3 runs, ") && shown.contains("hit rate"), "{shown}");
    let only = project.run(["stats", "--json", "--last", "1"]).ok().json();
    assert_eq!(only["runs"], 1);

    project.run(["stats", "--min-hit-rate", "30", "--max-build-p95", "600"]).ok();
    let beyond = project.run(["stats", "--json", "--min-hit-rate", "50"]).exits(1);
    let sentence = "docs: 33.3 % of its images were there, less than 50 %";
    assert_eq!(beyond.json()["exceeded"], json!([sentence]));
    beyond.says(sentence);
    project.run(["stats", "--max-size-growth", "0"]).exits(1).says("docs: the last image is");
    project.run(["stats", "--min-hit-rate", "101"]).exits(2);
    // A record that was cut is counted as far as it goes.
    let runs = project.path().join(".shipper/runs");
    let last = fs::read_dir(&runs).expect("runs").map(|entry| entry.expect("an entry").path()).max().expect("a run");
    let whole = fs::read(&last).expect("a record");
    fs::write(&last, &whole[..whole.len() / 2]).expect("writes");
    assert_eq!(project.run(["stats", "--json"]).ok().json()["damaged"], 1);
}
