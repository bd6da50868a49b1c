//! The published keys of the cache: `docs/cache-key-vectors.json`, a list of requests and their keys.
//!
//! A case is a request to a `model` of the configuration in a `scope`, with the normalisations `normal`; where the
//! spelling matters, `request_text` is its exact text. It is a chat request, unless `task` says `embeddings`. `same_as` and `differs_from` name another case. Cases that are
//! not the same by these names must all differ. `WEIR_BLESS=1 cargo test --test cache_key` writes the keys that the
//! code makes now; if one changes, so must the version in `src/cache/key.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic; clippy takes the functions that tests share for traffic's"
)]

use std::collections::HashMap;
use std::fs;

use serde_json::{Value, json};
use weir::cache::{Normal, key};
use weir::chat::{Request, Task};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cache-key-vectors.json");

#[test]
fn every_key_is_as_published() {
    let text = fs::read_to_string(VECTORS).unwrap();
    let mut cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    for case in &mut cases {
        case["key"] = json!(key_of(case));
    }
    // One case a line, so that a change is a readable diff.
    let lines: Vec<String> = cases.iter().map(|case| format!("  {}", spaced(case))).collect();
    let made = format!("[\n{}\n]\n", lines.join(",\n"));
    if std::env::var_os("WEIR_BLESS").is_some() {
        fs::write(VECTORS, &made).unwrap();
    } else {
        let wrong: Vec<_> = made.lines().zip(text.lines()).filter(|(made, kept)| made != kept).collect();
        assert!(made == text, "the published keys are not what is made now: {wrong:#?}");
    }
}

#[test]
fn keys_are_the_same_where_they_should_be_and_nowhere_else() {
    let cases: Vec<Value> = serde_json::from_str(&fs::read_to_string(VECTORS).unwrap()).unwrap();
    let by_name: HashMap<&str, &Value> = cases.iter().map(|case| (case["name"].as_str().unwrap(), case)).collect();
    assert_eq!(by_name.len(), cases.len(), "each case has its own name");
    let mut seen: HashMap<String, &str> = HashMap::new();
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let relative = |how: &str| case[how].as_str().map(|other| key_of(by_name[other]));
        let key = key_of(case);
        assert!(relative("differs_from") != Some(key.clone()), "{name}");
        match relative("same_as") {
            Some(other) => assert!(key == other, "{name}"),
            None => assert_eq!(seen.insert(key, name), None, "{name}"),
        }
    }
}

fn key_of(case: &Value) -> String {
    let text = case["request_text"].as_str().map_or_else(|| case["request"].to_string(), str::to_owned);
    let task = if case["task"] == "embeddings" { Task::Embeddings } else { Task::Chat };
    let request = Request::read(task, text.into_bytes()).map_err(|refusal| refusal.message).unwrap();
    key(case["scope"].as_str().unwrap(), case["model"].as_str().unwrap(), &request, normal(&case["normal"])).hex()
}

fn normal(names: &Value) -> Normal {
    let on = |name: &str| names.as_array().is_some_and(|names| names.iter().any(|one| one == name));
    Normal { nfc: on("nfc"), trailing_space: on("trailing_space"), line_ends: on("line_ends") }
}

/// A case in one line that is pleasant to read, in ASCII, since some cases differ by what cannot be seen.
fn spaced(case: &Value) -> String {
    let members = case.as_object().unwrap().iter().map(|(name, value)| format!("\"{name}\": {value}"));
    let line = format!("{{{}}}", members.collect::<Vec<_>>().join(", "));
    line.chars().map(|c| if c.is_ascii() { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) }).collect()
}
