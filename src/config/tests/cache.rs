//! What may be written about kept answers, and what may not.

use std::time::Duration;

use serde_json::json;

use super::{good, problems};
use crate::cache::{Normal, Only, Rule, Rules, Scope};
use crate::config::{Form, parse_json};
use crate::test;

#[test]
fn nothing_is_kept_unless_it_is_asked_for() {
    let config = parse_json(good().to_string().as_bytes()).unwrap();
    assert_eq!((config.cache, config.models[0].cache), (None, Rules::default()));
}

#[test]
fn a_key_has_the_last_word_and_a_model_the_one_before() {
    let mut written = good();
    written["cache"] =
        json!({"scope": "shared", "stale": "1h", "normalise": ["nfc", "line_ends"], "l1": {"max_bytes": "8MiB"}});
    written["models"][0]["cache"] = json!({"ttl": "1m", "stale": "0s", "only": "deterministic"});
    written["keys"][0]["cache"] = json!({"ttl": "30s", "scope": "tenant"});
    written["keys"][1]["cache"] = json!({"enabled": false});
    let config = parse_json(written.to_string().as_bytes()).unwrap();
    let cache = config.cache.unwrap();
    assert_eq!((cache.l1_bytes, cache.entry_bytes, cache.merge), (8 << 20, 256 << 10, Duration::from_secs(60)));
    let rule = |key: usize| config.keys[key].cache.or(config.models[0].cache).or(cache.rules).rule();
    let expected = Rule {
        ttl: Duration::from_secs(30),
        stale: Duration::ZERO,
        scope: Scope::Tenant,
        only: Only::Deterministic,
        normal: Normal { nfc: true, trailing_space: false, line_ends: true },
    };
    assert_eq!((rule(0), rule(1)), (Some(expected), None));
    let plain = cache.rules.rule().unwrap();
    assert_eq!((plain.ttl, plain.only), (Duration::from_secs(600), Only::All));
}

#[test]
fn mistakes_are_named() {
    let mut written = good();
    written["models"][0]["cache"] = json!({"ttl": "1m"});
    written["keys"][1]["cache"] = json!({"ttl": "1m"});
    assert_eq!(
        problems(&written, Form::File),
        "models[0].cache: means nothing without the section cache\n\
         keys[1].cache: means nothing without the section cache"
    );
    written["cache"] =
        json!({"ttl": "0s", "stale": "744h", "merge": "11m", "entry_bytes": 1, "l1": {"max_bytes": 10, "slots": 1}});
    written["models"][0]["cache"] = json!({"ttl": "100ms", "l1": {}});
    let mut lines: Vec<String> = problems(&written, Form::File).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "cache.entry_bytes: must be between 1KiB and 16MiB",
            "cache.l1.max_bytes: must be between 1MiB and 1GiB",
            "cache.l1.slots: unknown key",
            "cache.merge: must be at most 10m",
            "cache.stale: must be between 0ms and 720h",
            "cache.ttl: must be between 1s and 720h",
            "models[0].cache.l1: unknown key",
            "models[0].cache.ttl: must be between 1s and 720h",
        ]
    );
}
