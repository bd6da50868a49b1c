//! What an admin reads of the last hours, told as scripts: each request is in it once, and nothing that a client made up.

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use serde_json::{Value, json};

use crate::stage::{Stage, ask, completion, error, now, pass_seconds, redis};

const CHAT: &str = "/v1/chat/completions";
const JSON: &str = "application/json";

fn watched(more: &[(&'static str, Value)]) -> Stage {
    let limited =
        json!({"admin": true, "limits": {"requests": {"rate": "60/min", "burst": 4}}, "budget_usd": {"day": 5}});
    let price = json!({"price": {"input": 2, "output": 10}});
    let own =
        vec![("/keys/0", limited), ("/models/0", price.clone()), ("/models/1", price), ("", json!({"cache": {}}))];
    let mut stage = Stage::with(&[own, more.to_vec()].concat());
    stage.looks(|world| weir::history::prepare(world.store, world.now()));
    stage
}

/// What `/api/status` says once the worker has written what it has seen.
fn status(stage: &mut Stage) -> Value {
    pass_seconds(1);
    stage.looks(|world| {
        world.books.close(world.store, world.now());
        world.history.write(world.store, world.now());
    });
    let page = stage.refused("GET", "/api/status", &[], Vec::new());
    assert_eq!((page.status, page.header("cache-control")), (200, "no-store"));
    serde_json::from_slice(&page.body).unwrap()
}

/// An answer of 2,000 tokens for a prompt of 1,000.
fn answered(stage: &mut Stage, text: &str) {
    let usage = r#","usage":{"prompt_tokens":1000,"completion_tokens":2000}}"#;
    let body = [String::from_utf8(completion("hi")).unwrap().strip_suffix('}').unwrap(), usage].concat();
    let mut client = stage.client(CHAT, ask("priced", &format!(r#","user":"{text}""#)));
    client.attempt("first");
    pass_seconds(2);
    assert_eq!(client.vendor_replies(200, JSON, body.as_bytes()).status, 200);
    client.leaves();
}

fn refused(stage: &mut Stage, key: &str, model: &str) -> u16 {
    let body = ask(model, r#","temperature":0.5"#);
    let mut client = stage.arrive("POST", CHAT, &[("x-api-key", key)], &body);
    client.send(body);
    let status = client.answered().unwrap().0;
    client.leaves();
    status
}

#[test]
fn every_request_is_in_the_sums_once() {
    let mut stage = watched(&[]);
    answered(&mut stage, "one");
    let mut again = stage.arrive("POST", CHAT, &[], &ask("priced", r#","user":"one""#));
    again.send(ask("priced", r#","user":"one""#));
    assert_eq!(again.answer().header("x-weir-cache"), "hit-l1");
    again.leaves();
    let mut failing = stage.client(CHAT, ask("both", ""));
    failing.attempt("first");
    assert!(failing.vendor_fails(500, JSON, &error("no")));
    failing.attempt("second");
    failing.vendor_fails(503, JSON, &error("no"));
    failing.envoy_answers(503);
    failing.leaves();
    let status = status(&mut stage);
    let hour = &status["history"]["last_hour"];
    let expected = json!({"requests": 3, "errors": 1, "limited": 0, "rejected": 0, "left": 0, "cache_hits": 1,
        "input_tokens": 1000, "output_tokens": 2000, "cost_usd": 0.022});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&hour[name], value, "{name}");
        let minutes = status["history"]["minutes"][name].as_array().unwrap();
        assert_eq!(minutes.len(), 180);
        assert_eq!(minutes.iter().filter_map(Value::as_f64).sum::<f64>(), value.as_f64().unwrap(), "{name}");
    }
    assert_eq!(status["history"]["today"]["requests"], 3);
    assert_eq!(status["history"]["hours"]["requests"][47], 3);
    assert!(hour["p95_ms"].as_f64().unwrap() > 1000.0, "{hour}");
    let refusal = &status["refusals"][0];
    assert_eq!(
        (&refusal["reason"], &refusal["attempts"]),
        (&json!("upstream_unavailable"), &json!("first:500,second:503"))
    );
    assert_eq!((&refusal["key"], &refusal["model"], &refusal["status"]), (&json!("all"), &json!("both"), &json!(503)));
    assert_eq!(status["uptime_seconds"], 3);
}

#[test]
fn refusals_are_told_with_their_reason_and_nothing_that_was_made_up() {
    let mut stage = watched(&[]);
    for _ in 0..3 {
        assert_eq!(refused(&mut stage, "wrong", "both"), 401);
    }
    assert_eq!(refused(&mut stage, "limited", "both"), 403);
    assert_eq!(refused(&mut stage, "all", "made-up-by-a-client"), 404);
    for path in ["/made/up", "/made/up/too"] {
        let mut client = stage.arrive("GET", path, &[], b"");
        client.leaves();
    }
    let status = status(&mut stage);
    let rows: Vec<_> = status["refusals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            format!(
                "{} {} {} {} {} {}",
                row["status"], row["reason"], row["key"], row["model"], row["endpoint"], row["times"]
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            r#"404 "unknown_path" null "none" "other" 2"#,
            r#"404 "unknown_model" "all" "other" "/v1/chat/completions" 1"#,
            r#"403 "forbidden" "limited" "both" "/v1/chat/completions" 1"#,
            r#"401 "unauthorized" null "none" "/v1/chat/completions" 3"#,
        ]
    );
    assert_eq!(status["history"]["last_hour"]["rejected"], 5, "pages are in no sum");
    assert!(!status.to_string().contains("made"), "{status}");
}

#[test]
fn limits_say_what_is_used_of_them() {
    let mut stage = watched(&[]);
    answered(&mut stage, "a");
    let status = status(&mut stage);
    let day = now().as_secs() / 86_400 + 1;
    assert_eq!(status["limits"]["kept_in"], "gateway");
    let uses = status["limits"]["uses"].as_array().unwrap();
    let of = |limit: &str| uses.iter().find(|one| one["limit"] == limit).unwrap();
    let budget = of("budget_day");
    assert_eq!((&budget["role"], &budget["of"], &budget["unit"]), (&json!("key"), &json!("all"), &json!("usd")));
    assert_eq!((&budget["bound"], &budget["used"]), (&json!(5), &json!(0.022)));
    assert_eq!(
        budget["resets"],
        humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + std::time::Duration::from_secs(day * 86_400))
            .to_string()
    );
    assert_eq!((&of("requests")["bound"], &of("requests")["rate"]), (&json!(4), &json!("60/min")));
    assert_eq!(status["cache"]["l1"]["entries"], 1);
    assert_eq!(status["cache"]["scope"], "key");
    assert_eq!(status["redis"], json!({"configured": false}));
    assert_eq!((&status["vendors"][0]["vendor"], &status["vendors"][0]["kind"]), (&json!("first"), &json!("openai")));
}

#[test]
fn where_redis_counts_it_says_so() {
    let mut stage = watched(&[redis()]);
    let status = status(&mut stage);
    assert_eq!(status["redis"], json!({"configured": true, "cluster": false, "answers": true}));
    assert_eq!(status["limits"]["kept_in"], "redis");
    assert!(status["limits"]["uses"].as_array().unwrap().iter().all(|one| one["used"].is_null()));
}

#[test]
fn the_page_needs_no_key_and_has_a_policy() {
    let mut stage = Stage::new();
    let page = stage.refused("GET", "/dashboard", &[("x-api-key", "wrong")], Vec::new());
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").starts_with("default-src 'none'; script-src 'sha256-"));
    assert_eq!(stage.refused("POST", "/dashboard", &[], Vec::new()).status, 405);
}
