//! The table as a page of the documentation.

use super::rows::{Builder, Key, PEERS, ROWS};

const HEAD: &str = "\
# Conformance: when a key changes

Each row is a change to a small repository. `shipper plan` must give another key exactly when the builder is given
something else: a key that stays too often skips wrongly, one that changes too often builds needlessly. The tests run
every row against the real command, and, where the column *BuildKit* says so, build the same work tree with
`docker buildx build` before and after and compare the images (paths, kinds, permissions, contents, link targets).

*key*: `new` or `same`. *BuildKit*: `agrees` if the image changes exactly when the key does; otherwise a note says why
not. Peers: `ok`, `STALE` (a rebuild is missed), `OVER` (a needless rebuild), `-` not examined. Their columns come from
reading their sources (CDK's content rows from running it) in the versions of autumn 2026; `*` marks a qualified result.

This page is written by `cargo xtask conformance`; the rows are in `tests/it/conformance/rows.rs`.

";

pub(super) fn render() -> String {
    let mut text = HEAD.to_owned();
    text += &format!("| change | key | BuildKit | {} |\n", PEERS.join(" | "));
    text += &format!("|---|---|---|{}\n", "---|".repeat(PEERS.len()));
    let mut notes = Vec::new();
    for row in ROWS {
        let key = if row.key == Key::Changes { "new" } else { "same" };
        let builder = match row.builder {
            Builder::Agrees => "agrees".to_owned(),
            Builder::Differs(why) => noted("differs", why, &mut notes),
            Builder::NotAsked(why) => noted("not asked", why, &mut notes),
        };
        text += &format!("| {} | {key} | {builder} | {} |\n", row.name, row.peers.join(" | "));
    }
    text += "\n";
    for (number, note) in notes.iter().enumerate() {
        text += &format!("{}. {note}\n", number + 1);
    }
    text
}

/// `word` with the number of the note `why`, which is added if it is new.
fn noted(word: &str, why: &'static str, notes: &mut Vec<&'static str>) -> String {
    let position = notes.iter().position(|note| *note == why).unwrap_or_else(|| {
        notes.push(why);
        notes.len() - 1
    });
    format!("{word} ({})", position + 1)
}
