//! Recorded streams, as the client reads them, folded into whole answers.

#![allow(clippy::unwrap_used, reason = "a test may panic; clippy takes the functions that tests share for traffic's")]

use std::fs;
use std::path::Path;

use serde_json::Value;
use weir::chat::Fold;
use weir::chat::tally::Counted;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

/// Streams, and the whole answers in which the same vendor says the same.
const PAIRS: &[(&str, &str)] = &[
    ("anthropic/text", "anthropic/text"),
    ("anthropic/text+usage", "anthropic/text"),
    ("anthropic/stop_sequence_named", "anthropic/stop_sequence_named"),
    ("anthropic/last_event_without_blank_line", "anthropic/text"),
    ("anthropic/tool_use_never_stopped", "anthropic/tool_use_without_input"),
];

#[test]
fn a_stream_is_an_answer_unless_it_failed() {
    let mut cases = 0;
    for vendor in fs::read_dir(format!("{GOLDEN}/streams")).unwrap() {
        for path in fs::read_dir(vendor.unwrap().path()).unwrap().map(|entry| entry.unwrap().path()) {
            if path.extension().is_some_and(|extension| extension == "txt") {
                let text = fs::read_to_string(&path).unwrap();
                let failed = text.contains("\n!! ") || text.starts_with("!! ");
                assert_eq!(folded(&path).is_none(), failed, "{}", path.display());
                cases += 1;
            }
        }
    }
    assert!(cases > 40, "the recorded streams are found");
}

#[test]
fn a_stream_is_the_answer_that_was_given_whole() {
    for (stream, reply) in PAIRS {
        let folded = folded(Path::new(&format!("{GOLDEN}/streams/{stream}.txt"))).unwrap();
        let reply: Value =
            serde_json::from_slice(&fs::read(format!("{GOLDEN}/replies/{reply}.json")).unwrap()).unwrap();
        let whole = if reply["client"].is_object() { &reply["client"] } else { &reply["vendor"] };
        assert_eq!(folded["choices"], whole["choices"], "{stream}");
        assert_eq!(folded["object"], whole["object"], "{stream}");
    }
}

/// Folds what the client reads: the text without what stands below it for the eye.
fn folded(path: &Path) -> Option<Value> {
    let text = fs::read_to_string(path).unwrap();
    let stream = text.split("\n:: ").next().unwrap_or_default();
    let whole = fold(&[stream.as_bytes()]);
    for cut in (0..stream.len()).step_by(17) {
        let (head, tail) = stream.as_bytes().split_at(cut);
        assert!(fold(&[head, tail]) == whole, "{}: other when cut at {cut}", path.display());
    }
    whole.map(|answer| serde_json::from_slice(&answer).unwrap())
}

fn fold(pieces: &[&[u8]]) -> Option<Vec<u8>> {
    let mut fold = Fold::new(1 << 20);
    pieces.iter().for_each(|piece| fold.feed(piece));
    fold.finish(Counted::Nothing)
}
