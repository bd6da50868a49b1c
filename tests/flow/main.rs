//! The roles, told as scripts of events: what the client sends, which vendor gets what, what the client gets.

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(test)]
mod batch;
#[cfg(test)]
mod cache;
#[cfg(test)]
mod cost;
#[cfg(test)]
mod embeddings;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod routing;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod status;
#[cfg(test)]
mod telling;
#[cfg(test)]
mod waits;

use stage::{Stage, ask, chunk, completion, error};

#[test]
fn the_first_vendor_answers() {
    let mut stage = Stage::new();
    let mut client = stage.client("/v1/chat/completions", ask("both", ""));
    assert_eq!(client.route(), "first");
    let sent = client.attempt("first");
    assert_eq!(sent.header(":path"), "/v1/chat/completions");
    assert_eq!(sent.header(":authority"), "first.test");
    assert_eq!(sent.body, ask("both", ""));
    let answer = client.vendor_replies(200, "application/json", &completion("hi"));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, completion("hi"));
    assert_eq!(answer.header("x-weir-attempts"), "first:ok");
    assert_eq!(answer.header("x-weir-vendor"), "first");
    assert_eq!(answer.header("content-length"), completion("hi").len().to_string());
    assert_eq!(client.leaves(), ["POST /v1/chat/completions 200 first both"]);
}

#[test]
fn nothing_of_the_client_reaches_a_vendor_but_its_body() {
    let mut stage = Stage::new();
    let headers =
        [("cookie", "c=1"), ("x-forwarded-for", "10.0.0.1"), ("x-request-id", "r-1"), ("openai-organization", "o")];
    let mut client = stage.client_with("/v1/chat/completions", &headers, ask("both", ""));
    let sent = client.attempt("first");
    let mut names: Vec<_> = sent.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names.join(" "),
        ":authority :method :path :scheme accept accept-encoding content-length content-type user-agent x-request-id"
    );
}

#[test]
fn what_a_vendor_is_not_told_is_named() {
    let named = |stage: &mut Stage, more: &str| {
        let mut client = stage.client("/v1/chat/completions", ask("both", more));
        client.attempt("first");
        let said = r#"{"type":"message","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn"}"#;
        client.vendor_replies(200, "application/json", said.as_bytes()).header("x-weir-dropped-params").to_owned()
    };
    let mut stage = Stage::with(&[(
        "/vendors/0",
        serde_json::json!({"name": "first", "kind": "anthropic", "url": "http://first.test"}),
    )]);
    assert_eq!(named(&mut stage, r#","seed":1,"a b":1,"a\r\nx":1,"a,b":1,"user":"u""#), "seed,user");
    assert_eq!(named(&mut stage, ""), "");
    let many: String = (0..36).map(|i| format!(r#","{i:0>30}":1"#)).collect();
    let list = named(&mut stage, &many);
    assert!((900..1000).contains(&list.len()) && list.starts_with("0000"), "{list}");
}

#[test]
fn the_next_vendor_answers_when_the_first_is_limited() {
    let mut stage = Stage::new();
    let mut client = stage.client("/v1/chat/completions", ask("both", ""));
    client.attempt("first");
    assert_eq!(client.route(), "second", "the plan's next vendor stands ready before the first one answers");
    assert!(client.vendor_fails(429, "application/json", &error("slow down")), "marked for a retry");
    let sent = client.attempt("second");
    assert_eq!(sent.header(":path"), "/openai/deployments/deployed/chat/completions?api-version=2024-10-21");
    let answer = client.vendor_replies(200, "application/json", &completion("hi"));
    assert_eq!(answer.header("x-weir-attempts"), "first:429,second:ok");
    assert_eq!(answer.header("x-weir-model"), "deployed");
    assert_eq!(client.leaves(), ["POST /v1/chat/completions 200 second both"]);
}

#[test]
fn a_request_ends_with_the_configuration_that_it_began_with() {
    let mut stage = Stage::new();
    let mut client = stage.client("/v1/chat/completions", ask("both", ""));
    client.attempt("first");
    let old = client.aside();
    // What stands second now stood first, under another url, and the model goes elsewhere.
    stage.reconfigure(&[(
        "",
        serde_json::json!({
            "vendors": [{"name": "second", "kind": "openai", "url": "http://other.test"}],
            "models": [
                {"name": "unserved", "serve": []},
                {"name": "lone", "serve": [{"vendor": "second"}]},
                {"name": "both", "serve": [{"vendor": "second"}]},
            ],
        }),
    )]);
    let mut new = stage.client("/v1/chat/completions", ask("both", ""));
    assert_eq!(new.attempt("second").header(":authority"), "other.test");
    let answer = new.vendor_replies(200, "application/json", &completion("new"));
    assert_eq!(answer.header("x-weir-attempts"), "second:ok");
    new.leaves();

    let mut client = stage.back(old);
    assert!(client.vendor_fails(503, "application/json", &error("busy")));
    let sent = client.attempt("second");
    assert_eq!(sent.header(":path"), "/openai/deployments/deployed/chat/completions?api-version=2024-10-21");
    assert_eq!(sent.header(":authority"), "second.test");
    let answer = client.vendor_replies(200, "application/json", &completion("old"));
    assert_eq!(answer.header("x-weir-attempts"), "first:503,second:ok");
    assert_eq!(client.leaves(), ["POST /v1/chat/completions 200 second both"]);
}

#[test]
fn the_last_failure_is_the_answer() {
    let mut stage = Stage::new();
    let mut client = stage.client("/api/chat/completions", ask("both", ""));
    client.attempt("first");
    client.vendor_fails(500, "text/html", b"<html>");
    client.attempt("second");
    assert!(!client.vendor_fails(429, "application/json", &error("slow down")), "nobody is left to try");
    let answer = client.envoy_answers(429);
    assert_eq!(answer.status, 429);
    assert_eq!(answer.text(), r#"{"error":"second: slow down"}"#);
    assert_eq!(answer.header("x-weir-attempts"), "first:500,second:429");
    assert_eq!(client.leaves(), ["POST /api/chat/completions 429 second both"]);
}

#[test]
fn a_refused_request_is_not_tried_again() {
    let mut stage = Stage::new();
    let mut client = stage.client("/v1/chat/completions", ask("both", ""));
    client.attempt("first");
    assert!(!client.vendor_fails(400, "application/json", &error("no such tool")));
    let answer = client.envoy_answers(400);
    assert_eq!((answer.status, answer.header("x-weir-attempts")), (400, "first:400"));
    assert!(answer.text().contains("first: no such tool"));
}

#[test]
fn silence_and_refused_connections_are_told_apart() {
    let mut stage = Stage::new();
    let mut client = stage.client("/v1/chat/completions", ask("both", ""));
    client.attempt("first");
    stage::pass_seconds(120);
    client.attempt("second");
    let answer = client.envoy_answers(503);
    assert_eq!((answer.status, answer.header("x-weir-attempts")), (503, "first:timeout,second:unreachable"));
}

#[test]
fn the_end_of_all_patience_is_a_timeout() {
    let mut stage = Stage::new();
    let mut client = stage.client("/v1/chat/completions", ask("both", ""));
    client.attempt("first");
    assert!(client.vendor_fails(503, "text/plain", b""));
    client.attempt("second");
    let answer = client.envoy_answers(504);
    assert_eq!((answer.status, answer.header("x-weir-attempts")), (504, "first:503,second:timeout"));
}

#[test]
fn replies_that_are_none_fail_the_attempt() {
    for (kind, body, outcome) in [
        ("text/html", &b"<html>"[..], "bad_reply"),
        ("application/json", b"", "bad_reply"),
        ("application/json", b"{}", "bad_reply"),
        ("application/json", b"{\"choices\":[]}", "bad_reply"),
        ("text/event-stream", b"data: {}\n\n", "bad_reply"),
    ] {
        let mut stage = Stage::new();
        let mut client = stage.client("/v1/chat/completions", ask("both", ""));
        client.attempt("first");
        assert!(client.vendor_fails(200, kind, body));
        client.attempt("second");
        let answer = client.vendor_replies(200, "application/json", &completion("hi"));
        assert_eq!(answer.header("x-weir-attempts"), format!("first:{outcome},second:ok"));
    }
}

#[test]
fn a_stream_is_held_until_it_says_something() {
    let mut stage = Stage::new();
    let mut client = stage.client("/v1/chat/completions", ask("both", r#","stream":true"#));
    client.attempt("first");
    client.vendor_streams();
    assert_eq!(client.piece(b": keep-alive\n\n", false), None);
    assert_eq!(client.piece(b"data: {\"choices\"", false), None);
    let rest = chunk("Hel", "null");
    let first = client.piece(&rest[b"data: {\"choices\"".len()..], false).expect("the first event opens the stream");
    assert_eq!(first, rest);
    let answer = client.answer();
    assert_eq!(answer.header("content-type"), "text/event-stream; charset=utf-8");
    assert_eq!(answer.header("x-weir-attempts"), "first:ok");
    assert_eq!(client.piece(&chunk("lo", "\"stop\""), false).unwrap(), chunk("lo", "\"stop\""));
    assert_eq!(client.piece(b"data: [DONE]\n\n", true).unwrap(), b"data: [DONE]\n\n");
    assert_eq!(client.leaves(), ["POST /v1/chat/completions 200 first both"]);
}

#[test]
fn a_role_does_not_open_a_stream() {
    let role = &b"data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"[..];
    for (seconds, opens) in [(0, &chunk("hi", "null")[..]), (0, &chunk("", "\"stop\"")), (2, b": ping\n\n")] {
        let mut stage = Stage::new();
        let mut client = stage.client("/v1/chat/completions", ask("both", r#","stream":true"#));
        client.attempt("first");
        client.vendor_streams();
        assert_eq!(client.piece(role, false), None);
        assert_eq!(client.piece(b": ping\n\n", false), None);
        stage::pass_seconds(seconds);
        let first = client.piece(opens, false).expect("this opens the stream");
        assert!(first.starts_with(role), "{}", String::from_utf8_lossy(&first));
        assert_eq!(client.answer().header("x-weir-attempts"), "first:ok");
    }
}

#[test]
fn what_is_held_of_a_stream_is_bounded() {
    let mut stage = Stage::new();
    let mut client = stage.client("/v1/chat/completions", ask("both", r#","stream":true"#));
    client.attempt("first");
    client.vendor_streams();
    let report = format!("data: {{\"choices\":[],\"prompt_filter_results\":\"{}\"}}\n\n", "x".repeat(1000));
    let held = (0..100).take_while(|_| client.piece(report.as_bytes(), false).is_none()).count();
    assert!((60..70).contains(&held), "{held}");
}

#[test]
fn an_error_before_the_first_content_fails_the_attempt() {
    for (events, outcome) in [
        (
            &b"data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\ndata: {\"error\":\"boom\"}\n\n"[..],
            "error_event",
        ),
        (b"data: {\"error\":{\"message\":\"boom\"}}\n\n", "error_event"),
        (b": ping\n\ndata: no json\n\n", "bad_reply"),
    ] {
        let mut stage = Stage::new();
        let mut client = stage.client("/v1/chat/completions", ask("both", r#","stream":true"#));
        client.attempt("first");
        client.vendor_streams();
        assert!(client.piece_fails(events, false));
        client.attempt("second");
        client.vendor_streams();
        client.piece(&chunk("hi", "\"stop\""), true).unwrap();
        assert_eq!(client.answer().header("x-weir-attempts"), format!("first:{outcome},second:ok"));
    }
}

#[test]
fn an_empty_stream_fails_the_attempt() {
    let mut stage = Stage::new();
    let mut client = stage.client("/v1/chat/completions", ask("both", r#","stream":true"#));
    client.attempt("first");
    client.vendor_streams();
    assert!(client.piece_fails(b"", true));
    client.attempt("second");
    assert!(!client.vendor_fails(503, "text/plain", b""));
    assert_eq!(client.envoy_answers(503).header("x-weir-attempts"), "first:cut_off,second:503");
}

#[test]
fn a_broken_stream_ends_with_an_error_and_without_done() {
    for breaks in [&b"data: {\"error\":\"boom\"}\n\n"[..], b"data: {\"choi", b"data: no json\n\n"] {
        let mut stage = Stage::new();
        let mut client = stage.client("/v1/chat/completions", ask("both", r#","stream":true"#));
        client.attempt("first");
        client.vendor_streams();
        client.piece(&chunk("Hel", "null"), false).unwrap();
        let last = client.piece(breaks, true).unwrap();
        let text = String::from_utf8(last).unwrap();
        assert!(text.starts_with("data: {\"error\":{\"message\":\"first"), "{text}");
        assert!(!text.contains("[DONE]"));
    }
}

#[test]
fn after_a_break_the_rest_is_swallowed() {
    let mut stage = Stage::new();
    let mut client = stage.client("/v1/chat/completions", ask("both", r#","stream":true"#));
    client.attempt("first");
    client.vendor_streams();
    client.piece(&chunk("Hel", "null"), false).unwrap();
    client.piece(b"data: rubbish\n\n", false).unwrap();
    assert_eq!(client.piece(b"data: [DONE]\n\n", true).unwrap(), b"");
}

#[test]
fn a_vendor_that_ignores_stream_is_replayed_as_one() {
    let mut stage = Stage::new();
    let mut client = stage.client("/v1/chat/completions", ask("both", r#","stream":true"#));
    client.attempt("first");
    let answer = client.vendor_replies(200, "application/json", &completion("hi"));
    assert_eq!(answer.header("content-type"), "text/event-stream; charset=utf-8");
    assert!(answer.text().contains(r#""delta":{"role":"assistant","content":"hi"}"#));
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
}

#[test]
fn a_vendor_gets_no_other_try_by_asking_for_it() {
    let mut stage = Stage::new();
    let mut client = stage.client("/v1/chat/completions", ask("both", ""));
    client.attempt("first");
    assert!(client.vendor_heads(&[(":status", "200"), ("content-encoding", "gzip")]));
    client.attempt("second");
    let marked = [(":status", "200"), ("content-encoding", "gzip"), ("x-weir-retry", "1")];
    assert!(!client.vendor_heads(&marked), "nobody is left to try");
}

#[test]
fn a_compressed_reply_fails_the_attempt() {
    let mut stage = Stage::new();
    let mut client = stage.client("/v1/chat/completions", ask("both", ""));
    client.attempt("first");
    assert!(client.vendor_heads(&[(":status", "200"), ("content-encoding", "gzip")]));
    client.attempt("second");
    client.vendor_replies(200, "application/json", &completion("hi"));
    assert_eq!(client.answer().header("x-weir-attempts"), "first:bad_reply,second:ok");
}

#[test]
fn bodies_are_bounded() {
    let mut stage = Stage::new();
    let mut client = stage.client("/v1/chat/completions", ask("both", ""));
    client.attempt("first");
    assert!(client.vendor_holds(200, weir::flow::vendor::MAX_REPLY + 1));
    client.attempt("second");
    assert!(!client.vendor_holds(500, 70_000));
    assert_eq!(client.envoy_answers(502).header("x-weir-attempts"), "first:too_long,second:too_long");
}

#[test]
fn a_client_that_leaves_settles_everything() {
    let mut stage = Stage::new();
    let mut client = stage.client("/v1/chat/completions", ask("both", ""));
    client.attempt("first");
    assert_eq!(client.leaves(), ["POST /v1/chat/completions 499 first both"]);
    assert!(stage.exchanges.is_empty());
}

#[test]
fn requests_are_refused_before_any_vendor() {
    let chat = "/v1/chat/completions";
    for (method, path, headers, body, status, says) in [
        ("POST", chat, &[][..], ask("nope", ""), 404, "does not exist"),
        ("POST", chat, &[("x-api-key", "other")], ask("both", ""), 401, "not known"),
        ("POST", chat, &[("x-api-key", "limited")], ask("both", ""), 403, "no permission"),
        ("POST", chat, &[], ask("unserved", ""), 503, "credential"),
        ("POST", chat, &[], b"".to_vec(), 400, "no body"),
        ("POST", chat, &[], b"{".to_vec(), 400, "unexpected end"),
        ("POST", chat, &[], vec![b' '; 2000], 413, "larger than 1500 bytes"),
        ("POST", chat, &[("content-encoding", "gzip")], ask("both", ""), 415, "gzip"),
        ("POST", chat, &[("x-weir-route", "second")], ask("both", ""), 400, "x-weir-route is internal"),
        ("POST", chat, &[("x-envoy-max-retries", "9")], ask("both", ""), 400, "x-envoy-max-retries is internal"),
        ("POST", chat, &[("authorization", "Bearer all")], ask("both", ""), 400, "more than one API key"),
        ("GET", chat, &[], b"".to_vec(), 405, "takes POST, not GET"),
        ("HEAD", "/health", &[], b"".to_vec(), 405, "takes GET, not HEAD"),
        ("POST", "/v1/completions", &[], ask("both", ""), 404, "nothing is served"),
    ] {
        let mut stage = Stage::new();
        let answer = stage.refused(method, path, headers, body);
        assert_eq!(answer.status, status, "{method} {path} {headers:?}: {}", answer.text());
        assert!(answer.text().contains(says), "{}", answer.text());
        let shape = if path.starts_with("/v1") { r#"{"error":{"message":"# } else { r#"{"error":""# };
        assert!(answer.text().starts_with(shape), "{}", answer.text());
        assert!(stage.exchanges.is_empty());
    }
}

#[test]
fn a_header_that_can_be_read_in_two_ways_is_refused() {
    for (name, value, says) in [
        ("x-odd", &b"\xff\xfe"[..], "the header x-odd is not valid UTF-8"),
        (":authority", b"weir,other", "the header host must name one host, and nothing else"),
        (":authority", b"somebody@weir", "the header host must name one host, and nothing else"),
    ] {
        let mut stage = Stage::new();
        let answer = stage.refused_raw("/api/chat/completions", name, value);
        assert_eq!((answer.status, answer.text()), (400, format!(r#"{{"error":"{says}"}}"#).as_str()));
    }
}

#[test]
fn a_body_that_envoy_gives_up_is_the_clients_fault() {
    for (envoys, status, says) in [
        (400, 400, "not what HTTP calls one"),
        (431, 400, "not what HTTP calls one"),
        (408, 408, "did not arrive in time"),
        (413, 413, "larger than 1500 bytes"),
        (503, 500, "could not send the request"),
    ] {
        let mut stage = Stage::new();
        let answer = stage.arrive("POST", "/v1/chat/completions", &[], b"{").envoy_answers(envoys);
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(answer.text().contains(says), "{}", answer.text());
    }
}

#[test]
fn pages_need_no_vendor() {
    let mut stage = Stage::new();
    let health = stage.refused("GET", "/health?verbose", &[], Vec::new());
    assert_eq!(health.text(), r#"{"status":"healthy","timestamp":"2024-01-01T12:00:00.000Z","version":"1.0.0"}"#);
    let models = stage.refused("GET", "/v1/models", &[("x-api-key", "limited")], Vec::new());
    assert_eq!(
        models.text(),
        r#"{"object":"list","data":[{"id":"lone","object":"model","created":0,"owned_by":"first"}]}"#
    );
}
