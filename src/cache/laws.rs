//! What holds whatever is asked and kept, tried on random requests and records.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy takes the functions that tests share for traffic's"
)]

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::chat::Request;

fn key_of(text: &str) -> Key {
    key("tenant:acme", "m", &Request::parse(text.as_bytes().to_vec()).unwrap(), Normal::default())
}

/// Any JSON, not too deep.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e6..1e6_f64).prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("\\PC{0,4}", inner, 0..4).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// A request with two fields that nobody documented and a conversation.
fn requests() -> impl Strategy<Value = Value> {
    let message =
        ("\\PC{0,12}", values()).prop_map(|(text, more)| json!({"role": "user", "content": text, "more": more}));
    (prop::collection::vec(message, 1..4), values(), values(), 0.0..2.0_f64).prop_map(|(messages, x, y, temperature)| {
        json!({"model": "m", "messages": messages, "x": {"x": x}, "tools": [y], "temperature": temperature})
    })
}

/// The value in another spelling: members from the last to the first, white space everywhere, all strings escaped.
fn respelled(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(" ,\r\n");
    match value {
        Value::Array(items) => format!("[ {}\t]", list(items.iter().map(respelled).collect())),
        Value::Object(members) => {
            let members = members.iter().rev().map(|(name, value)| format!("{} : {}", escaped(name), respelled(value)));
            format!("{{\n{} }}", list(members.collect()))
        }
        Value::String(text) => escaped(text),
        Value::Number(number) if number.is_i64() => format!("{number}.00E+0"),
        Value::Number(number) if !number.to_string().contains('e') => format!("{number}0e-0"),
        _ => value.to_string(),
    }
}

fn escaped(text: &str) -> String {
    let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
    format!("\"{units}\"")
}

/// The paths of all values that hold no others, and of empty arrays and objects.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(i, item)| leaves(item, &format!("{path}/{i}"), found));
        }
        Value::Object(members) if !members.is_empty() => members.iter().for_each(|(name, value)| {
            let name = name.replace('~', "~0").replace('/', "~1");
            leaves(value, &format!("{path}/{name}"), found);
        }),
        _ => found.push(path.to_owned()),
    }
}

/// Another value, of the same type where a request would be refused otherwise.
fn other(value: &Value) -> Value {
    match value {
        Value::Null => json!(0),
        Value::Bool(yes) => json!(!yes),
        Value::Number(number) if number.is_i64() => json!(number.as_i64().unwrap() ^ 1),
        Value::Number(number) => json!(number.as_f64().unwrap() / 2.0 + 0.001),
        Value::String(text) => json!(format!("{text}~")),
        Value::Array(_) => json!([0]),
        Value::Object(_) => Value::Object(Map::from_iter([("0".to_owned(), json!(0))])),
    }
}

fn entries() -> impl Strategy<Value = Entry> {
    let bytes = prop::collection::vec(any::<u8>(), 0..64);
    (bytes, "\\PC{0,8}", "\\PC{0,8}", any::<u64>(), any::<u64>(), any::<u64>()).prop_map(
        |(answer, vendor, model, cost, stored, ttl)| {
            let (stored, ttl) = (Duration::from_millis(stored), Duration::from_millis(ttl));
            Entry { answer, vendor, model, cost, stored, ttl }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spelling_makes_no_other_key(request in requests()) {
        prop_assert_eq!(key_of(&request.to_string()), key_of(&respelled(&request)));
    }

    #[test]
    fn every_leaf_makes_another_key(request in requests()) {
        let before = key_of(&request.to_string());
        let mut paths = Vec::new();
        leaves(&request, "", &mut paths);
        let counts = |path: &&String| *path != "/model" && !path.ends_with("/role");
        for path in paths.iter().filter(counts) {
            let mut changed = request.clone();
            let leaf = changed.pointer_mut(path).unwrap();
            *leaf = other(leaf);
            prop_assert_ne!(before, key_of(&changed.to_string()), "{}", path);
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_kept(entry in entries()) {
        let key = key_of(r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#);
        prop_assert_eq!(Entry::decode(&key, &entry.encode(&key)), Some(entry));
    }

    #[test]
    fn a_record_that_is_not_whole_is_none(
        entry in entries(),
        flip in 1..=255_u8,
        rubbish in prop::collection::vec(any::<u8>(), 0..256),
    ) {
        let key = key_of(r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#);
        let record = entry.encode(&key);
        for at in 0..record.len() {
            prop_assert_eq!(Entry::decode(&key, &record[..at]), None);
            let mut changed = record.clone();
            changed[at] ^= flip;
            prop_assert_eq!(Entry::decode(&key, &changed), None);
        }
        prop_assert_eq!(Entry::decode(&key, &[&record[..], &[flip]].concat()), None);
        prop_assert_eq!(Entry::decode(&key, &rubbish), None);
    }

    #[test]
    fn normal_text_stays_as_it_is(
        text in "[ea\u{301}\u{e9} \t\r\n]{0,12}",
        nfc: bool,
        trailing_space: bool,
        line_ends: bool,
    ) {
        let normal = Normal { nfc, trailing_space, line_ends };
        let once = normal.apply(&text).into_owned();
        prop_assert_eq!(normal.apply(&once), once.as_str());
    }
}
