use super::*;
use crate::{chrome_trace, html, json, markdown, svg};

fn line(ms: u64, event: &str) -> String {
    format!("{{\"time\":\"2026-11-20T09:00:00.000Z\",\"elapsed-ms\":{ms},{event}}}\n")
}

fn planned(service: &str, needs: &str) -> String {
    format!(
        "{{\"service\":\"{service}\",\"action\":\"build\",\"key\":\"00\",\"tag\":\"h-00\",\"context\":\"ctx1-00\",\
         \"platforms\":[],\"image\":null,\"reasons\":[{{\"code\":\"never-built\"}}],\"needs\":[{needs}],\"estimate-ms\":null}}"
    )
}

fn finished(service: &str, duration_ms: u64, outcome: &str) -> String {
    format!(
        "\"event\":\"action-finished\",\"service\":\"{service}\",\"action\":\"build\",\"outcome\":\"{outcome}\",\"size\":7,\
         \"uploaded\":5,\"blobs\":{{\"reused\":1,\"reused-bytes\":2,\"mounted\":0,\"mounted-bytes\":0,\"uploaded\":1,\
         \"uploaded-bytes\":5}},\"duration-ms\":{duration_ms}"
    )
}

/// `base`, then `api` on it; `worker` beside them; `late` where `worker` made room.
fn record() -> String {
    let services = [planned("base", ""), planned("api", "\"base\""), planned("worker", ""), planned("late", "")];
    [
        line(
            0,
            "\"event\":\"run-started\",\"format\":\"1.0\",\"version\":\"0.1.0\",\"run\":\"r1\",\"command\":\"ship\",\
             \"project\":\"shop\",\"commit\":null,\"branch\":\"main\"",
        ),
        line(10, &format!("\"event\":\"plan-ready\",\"services\":[{}]", services.join(","))),
        line(11, "\"event\":\"action-started\",\"service\":\"base\",\"action\":\"build\""),
        line(11, "\"event\":\"action-started\",\"service\":\"worker\",\"action\":\"build\""),
        line(1011, &finished("base", 1000, "ok")),
        line(1012, "\"event\":\"action-started\",\"service\":\"api\",\"action\":\"build\""),
        line(2011, &finished("worker", 2000, "ok")),
        line(2012, "\"event\":\"action-started\",\"service\":\"late\",\"action\":\"build\""),
        line(3012, &finished("api", 2000, "failed")),
        line(5012, &finished("late", 3000, "ok")),
        line(
            5013,
            "\"event\":\"run-finished\",\"outcome\":\"failed\",\"exit-code\":4,\"images\":{},\"duration-ms\":5013,\"saved-ms\":0",
        ),
    ]
    .concat()
}

fn names(run: &Run) -> Vec<&str> {
    run.critical_path().into_iter().map(|at| run.services[at].service.as_str()).collect()
}

#[test]
fn totals_and_times_are_those_of_the_record() {
    let run = Run::parse(&record());
    assert!(run.is_whole(), "{:?}", run.damage());
    let totals = run.totals();
    assert_eq!((totals.built, totals.failed, totals.duration_ms), (3, 1, 5013));
    assert_eq!((totals.blobs.uploaded_bytes, totals.blobs.reused_bytes), (20, 8));
    let api = run.services.iter().find(|service| service.service == "api").expect("api");
    assert_eq!((api.start_ms, api.end_ms()), (Some(1012), Some(3012)));
}

#[test]
fn the_critical_path_goes_back_over_needs_and_over_what_made_room() {
    let run = Run::parse(&record());
    assert_eq!(names(&run), ["worker", "late"]);
    // Without the last one, the longest chain is that of what is built on another.
    let shorter: String =
        record().lines().filter(|line| !line.contains("late")).map(|line| format!("{line}\n")).collect();
    assert_eq!(names(&Run::parse(&shorter)), ["base", "api"]);
}

#[test]
fn a_record_cut_anywhere_is_shown_as_far_as_it_goes() {
    let whole = record();
    for cut in 0..whole.len() {
        let run = Run::parse(&whole[..cut]);
        assert!(run.services.len() <= 4);
        // Only the line end is missing.
        assert_eq!(run.damage().is_some(), cut + 1 < whole.len(), "{cut}");
    }
    let half = Run::parse(&whole[..whole.len() / 2]);
    assert!(html(&half, &[half.summary("r1")]).contains("The record is not whole"));
}

#[test]
fn nothing_that_a_record_says_is_markup_or_ends_the_rendering() {
    let hostile = "</script><script>alert(1)</script><img src=x>";
    let text =
        record().replace("worker", hostile).replace("\"elapsed-ms\":2011", "\"elapsed-ms\":18446744073709551615");
    let text = text
        .replace("\"duration-ms\":2000", "\"duration-ms\":18446744073709551615")
        .replace("\"uploaded-bytes\":5", "\"uploaded-bytes\":18446744073709551615");
    let run = Run::parse(&text);
    let history = vec![run.summary("r1"); 3];
    let page = html(&run, &history);
    assert_eq!(page.matches("<script").count(), 1, "only the data");
    assert!(page.contains("<script type=\"application/json\""));
    for rendered in [page, svg(&run), markdown(&run)] {
        assert!(!rendered.contains("<img") && !rendered.contains("<script>"), "{rendered}");
    }
    for document in [json(&run, &history), chrome_trace(&run)] {
        serde_json::from_str::<serde_json::Value>(&document).expect("JSON");
    }
}

#[test]
fn the_same_record_gives_the_same_bytes() {
    let rendered = || {
        let run = Run::parse(&record());
        [html(&run, &[run.summary("r1")]), svg(&run), markdown(&run), chrome_trace(&run)]
    };
    assert_eq!(rendered(), rendered());
    assert!(
        rendered()[2]
            .starts_with("## shop: failed\n\n`main` · **3 built, 1 failed** in 5.0s, 20 B uploaded\n\n| Service |"),
        "{}",
        rendered()[2]
    );
}
