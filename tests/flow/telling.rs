//! What others are told of a request that is over: counters, times, its line in the access log, its trace.

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use serde_json::{Value, json};

use crate::stage::{Stage, ask, chunk, completion, error, flagged, pass_seconds};

const CHAT: &str = "/v1/chat/completions";
const JSON: &str = "application/json";
const USAGE: &str = r#","usage":{"prompt_tokens":1000,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":400},"completion_tokens_details":{"reasoning_tokens":7}}}"#;

/// A whole answer with its usage.
fn counted() -> Vec<u8> {
    let body = String::from_utf8(completion("hi")).unwrap();
    [body.strip_suffix('}').unwrap(), USAGE].concat().into_bytes()
}

/// Envoy's response flags: the vendor closed its connection, was silent for too long; the client closed its own.
const GONE: u64 = 1 << 23;
const LATE: u64 = 1 << 2;
const LEFT: u64 = 1 << 14;

#[test]
fn an_answer_is_told_with_all_that_it_took() {
    let mut stage =
        Stage::with(&[("", json!({"tenants": [{"name": "acme"}]})), ("/keys/0", json!({"tenant": "acme"}))]);
    let headers = [("x-request-id", "r-1")];
    let mut client = stage.client_with(CHAT, &headers, ask("priced", ""));
    client.attempt("first");
    pass_seconds(2);
    client.vendor_replies(200, JSON, &counted());
    client.leaves();
    assert_eq!(
        client.line(),
        json!({
            "time": 0, "status": 200, "request_id": "r-1", "method": "POST", "endpoint": CHAT, "key": "all",
            "tenant": "acme", "model": "priced", "vendor": "first", "served": "priced", "attempts": "first:ok",
            "tokens_input": 1000, "tokens_output": 20, "tokens_cached_input": 400,
            "tokens_reasoning": 7, "cost_usd": 0.0018, "overhead_ms": 0.0, "vendor_ms": 2000.0,
        })
    );
    assert_eq!(
        stage.counted,
        [
            "api_gateway_attempts_total;;vendor=first;;model=priced;;outcome=ok",
            "api_gateway_tokens_total;;vendor=first;;model=priced;;kind=input 1000",
            "api_gateway_tokens_total;;vendor=first;;model=priced;;kind=output 20",
            "api_gateway_tokens_total;;vendor=first;;model=priced;;kind=cached_input 400",
            "api_gateway_tokens_total;;vendor=first;;model=priced;;kind=reasoning 7",
            "api_gateway_cost_nanousd_total;;vendor=first;;model=priced 1800000",
        ]
    );
    assert_eq!(
        stage.observed,
        [
            "api_gateway_request_duration_us;;vendor=first;;model=priced;;endpoint=/v1/chat/completions 2000000",
            "api_gateway_overhead_us;;endpoint=/v1/chat/completions 0",
        ]
    );
}

#[test]
fn a_failover_is_counted_at_who_failed() {
    let mut stage = Stage::new();
    let mut client = stage.client(CHAT, ask("both", ""));
    client.attempt("first");
    assert!(client.vendor_fails(429, JSON, &error("slow down")));
    client.attempt("second");
    client.vendor_replies(200, JSON, &counted());
    client.leaves();
    assert_eq!(client.line()["attempts"], "first:429,second:ok");
    assert_eq!(client.line()["served"], "deployed");
    assert_eq!(stage.counted("failovers"), ["api_gateway_failovers_total;;vendor=first;;model=both;;outcome=429"]);
    assert_eq!(
        stage.counted("attempts"),
        [
            "api_gateway_attempts_total;;vendor=first;;model=both;;outcome=429",
            "api_gateway_attempts_total;;vendor=second;;model=both;;outcome=ok",
        ]
    );
}

#[test]
fn a_stream_tells_when_it_first_said_something() {
    let mut stage = Stage::new();
    let mut client = stage.client(CHAT, ask("both", r#","stream":true"#));
    client.attempt("first");
    client.vendor_streams();
    pass_seconds(3);
    client.piece(&chunk("Hel", "null"), false).unwrap();
    pass_seconds(4);
    client.piece(&chunk("lo", "\"stop\""), false).unwrap();
    client.piece(b"data: [DONE]\n\n", true).unwrap();
    pass_seconds(60);
    client.leaves();
    let line = client.line();
    assert_eq!(
        (&line["streamed"], &line["first_token_ms"], &line["vendor_ms"]),
        (&json!(true), &json!(3000.0), &json!(7000.0))
    );
    assert_eq!(line["overhead_ms"], 0.0, "a client that reads slowly is none of the gateway's time");
    assert!(stage.observed.contains(&"api_gateway_first_token_us;;vendor=first;;model=both 3000000".to_owned()));
}

/// A stream that ends in its midst, as Envoy's flags say it did; its line.
fn broken(flags: u64) -> (Value, Vec<String>) {
    let mut stage = Stage::with(&[("/keys/0", json!({"admin": true}))]);
    let mut client = stage.client(CHAT, ask("both", r#","stream":true"#));
    client.attempt("first");
    client.vendor_streams();
    client.piece(&chunk("Hel", "null"), false).unwrap();
    flagged(flags);
    assert_eq!(client.leaves(), ["POST /v1/chat/completions 200 first both"]);
    let line = client.line();
    let status = stage.refused("GET", "/api/status", &[], Vec::new());
    let status: Value = serde_json::from_slice(&status.body).unwrap();
    let success = status["vendors"][0]["success_rate"].to_string();
    let mut told: Vec<String> = stage.counted("attempts").into_iter().map(str::to_owned).collect();
    told.extend(stage.counted("refused").into_iter().map(str::to_owned));
    told.push(success);
    (line, told)
}

#[test]
fn a_vendor_that_breaks_off_is_told_from_a_client_that_leaves() {
    for (flags, outcome, reason, success) in [
        (GONE, "cut_off", Some("cut_off"), "0.667"),
        (1 << 4, "cut_off", Some("cut_off"), "0.667"),
        (1 << 6, "cut_off", Some("cut_off"), "0.667"),
        (LATE, "timeout", Some("timeout"), "0.667"),
        (1 << 16, "timeout", Some("timeout"), "0.667"),
        (LEFT, "cancelled", None, "1"),
        (LEFT | GONE, "cancelled", None, "1"),
        (1 << 28, "cancelled", None, "1"),
        (0, "cancelled", None, "1"),
    ] {
        let (line, told) = broken(flags);
        assert_eq!(line["attempts"], format!("first:{outcome}"), "{flags:x}");
        assert_eq!(line["reason"].as_str(), reason);
        let mut expected = vec![format!("api_gateway_attempts_total;;vendor=first;;model=both;;outcome={outcome}")];
        expected.extend(
            reason.map(|reason| format!("api_gateway_refused_total;;endpoint=/v1/chat/completions;;reason={reason}")),
        );
        expected.push(success.to_owned());
        assert_eq!(told, expected);
    }
}

#[test]
fn a_refusal_is_told_with_its_reason() {
    for (body, key, status, reason, model) in [
        (ask("both", r#","temperature":9"#), "all", 400, "invalid", Value::Null),
        (ask("no \"such\"\n", ""), "all", 400, "malformed", Value::Null),
        (ask("nope", ""), "all", 404, "unknown_model", json!("nope")),
        (ask("both", ""), "limited", 403, "forbidden", json!("both")),
        (ask("both", ""), "nobody", 401, "unauthorized", Value::Null),
    ] {
        let mut stage = Stage::new();
        let mut client = stage.arrive("POST", CHAT, &[("x-api-key", key)], &body);
        if client.answered().is_none() {
            client.send(body);
        }
        client.leaves();
        let line = client.line();
        assert_eq!((&line["status"], &line["reason"], &line["model"]), (&json!(status), &json!(reason), &model));
        assert_eq!(line["key"].as_str(), Some(key).filter(|key| *key != "nobody"), "{line}");
        assert_eq!(
            stage.counted("refused"),
            [format!("api_gateway_refused_total;;endpoint=/v1/chat/completions;;reason={reason}")]
        );
    }
}

#[test]
fn what_a_client_writes_is_bounded_and_escaped() {
    let name = format!("\\\"\\u0000\\u2028{}", "x".repeat(400));
    let id = format!("\"}},\"forged\":\"{}", "y".repeat(400));
    let mut stage = Stage::new();
    let mut client = stage.arrive("POST", CHAT, &[("x-request-id", &id)], b"{");
    client.send(ask(&name, ""));
    client.leaves();
    let line = client.line();
    assert_eq!(line["model"].as_str().unwrap().chars().count(), 128);
    assert!(line["model"].as_str().unwrap().starts_with("\"\0\u{2028}xx"));
    assert!(line["request_id"].as_str().unwrap().starts_with("\"},\"forged\":\"yy"));
    assert_eq!((line["request_id"].as_str().unwrap().len(), &line["forged"]), (128, &Value::Null));
    assert!(!client.property("log").unwrap().contains('\n'));
}

#[test]
fn a_client_that_leaves_is_told_as_such() {
    let mut stage = Stage::new();
    let mut client = stage.client(CHAT, ask("both", ""));
    client.attempt("first");
    client.leaves();
    let line = client.line();
    assert_eq!(
        (&line["status"], &line["attempts"], &line["reason"]),
        (&json!(499), &json!("first:cancelled"), &Value::Null)
    );
}

#[test]
fn without_the_log_there_is_no_line() {
    let mut stage = Stage::with(&[("", json!({"log": {"access": false}}))]);
    let mut client = stage.client(CHAT, ask("both", ""));
    client.attempt("first");
    client.leaves();
    assert_eq!(client.property("log"), None);
}

#[test]
fn a_trace_is_told_what_is_known_in_time() {
    let mut stage = Stage::with(&[("", json!({"tracing": {"otlp": "http://collector:4317"}}))]);
    let mut client = stage.client(CHAT, ask("both", r#","stream":true"#));
    client.attempt("first");
    client.vendor_fails(500, JSON, b"");
    client.attempt("second");
    client.vendor_streams();
    client.piece(&chunk("Hel", "null"), false).unwrap();
    assert_eq!(client.property("input_tokens"), None);
    client.piece([r#"data: {"choices":[]"#, USAGE, "\n\n"].concat().as_bytes(), false).unwrap();
    client.piece(b"data: [DONE]\n\n", true).unwrap();
    for (name, value) in [
        ("operation", "chat"),
        ("model", "both"),
        ("provider", "azure.ai.openai"),
        ("vendor", "second"),
        ("served", "deployed"),
        ("attempts", "first:500,second:ok"),
        ("input_tokens", "1000"),
        ("output_tokens", "20"),
    ] {
        assert_eq!(client.property(name), Some(value), "{name}");
    }
}

#[test]
fn without_tracing_nothing_is_left_for_a_trace() {
    let mut stage = Stage::new();
    let mut client = stage.client(CHAT, ask("both", ""));
    client.attempt("first");
    client.vendor_replies(200, JSON, &counted());
    assert_eq!(client.property("operation"), None);
}

#[test]
fn the_page_needs_an_admin_where_the_file_says_so() {
    let closed = json!({"metrics": {"access": "admin"}});
    let mut stage = Stage::with(&[("", closed), ("/keys/1", json!({"admin": true}))]);
    for (key, status) in [("nobody", 401), ("all", 403)] {
        let answer = stage.refused("GET", "/metrics", &[("x-api-key", key)], Vec::new());
        assert_eq!(answer.status, status);
    }
    let mut client = stage.arrive("GET", "/metrics?envoy=true", &[("x-api-key", "limited")], b"");
    assert_eq!(client.answered(), None);
    client.leaves();
    assert_eq!(client.line()["key"], "limited");
}

#[test]
fn the_page_says_what_is_under_way_and_what_is_spent() {
    let budget = json!({"models": ["priced"], "budget_usd": {"hour": 0.5}});
    let mut stage = Stage::with(&[("/keys/0", budget)]);
    let mut client = stage.client(CHAT, ask("priced", ""));
    client.attempt("first");
    client.vendor_replies(200, JSON, &counted());
    let own = client.aside();
    assert!(page(&mut stage).contains("\napi_gateway_in_flight 1\n"));
    stage.back(own).leaves();
    stage.looks(|world| world.spare.give_back(world));
    let page = page(&mut stage);
    assert!(page.contains("\napi_gateway_in_flight 0\n"), "{page}");
    let spent = r#"api_gateway_budget_used_ratio{role="key",of="all",window="hour"} 0.0036"#;
    assert!(page.lines().any(|line| line == spent), "{page}");
}

fn page(stage: &mut Stage) -> String {
    stage.arrive("GET", "/metrics", &[], b"").envoy_tells(200, b"").text().to_owned()
}

#[test]
fn the_page_has_what_envoy_counts_and_what_records_say() {
    let budgets = json!({"budget_usd": {"day": 0.5, "month": 1}});
    let models = json!({"models": [{"name": "m", "serve": [{"vendor": "first"}], "price": {"input": 1, "output": 1}}]});
    let mut stage = Stage::with(&[("", models), ("/keys/0", budgets), ("/keys/1", json!({"models": ["m"]}))]);
    let envoy = b"# TYPE api_gateway_redis_skipped_total counter\napi_gateway_redis_skipped_total{} 3\nother{} 1\n";
    let mut client = stage.arrive("GET", "/metrics?x=y", &[], b"");
    let page = client.envoy_tells(200, envoy);
    assert_eq!(page.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let samples: Vec<&str> = page.text().lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        samples,
        [
            "api_gateway_redis_skipped_total 3",
            "api_gateway_in_flight 0",
            r#"api_gateway_budget_used_ratio{role="key",of="all",window="day"} 0"#,
            r#"api_gateway_budget_used_ratio{role="key",of="all",window="month"} 0"#,
            r#"api_gateway_breaker_state{vendor="first",model="m"} 0"#,
            r#"api_gateway_vendor_success_ratio{vendor="first",model="m"} 1"#,
            concat!("api_gateway_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ]
    );
    let failed = stage.arrive("GET", "/metrics", &[], b"").envoy_answers(503);
    assert_eq!((failed.status, failed.text().contains("admin interface")), (500, true));
    let mut client = stage.arrive("GET", "/metrics?envoy=true", &[], b"");
    assert!(client.envoy_tells(200, envoy).text().contains("\nother 1\n"));
}
