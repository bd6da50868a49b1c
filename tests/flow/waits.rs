//! Vendors that ask to be left alone, and requests that have no time left.

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use serde_json::json;
use weir::flow::DELIVERY;

use crate::stage::{Stage, ask, completion, error, pass_seconds};

const CHAT: &str = "/v1/chat/completions";
const JSON: &str = "application/json";

/// Two vendors that are alike, of which the first is cheaper.
fn learning() -> Stage {
    let price = |usd: u32| json!({"input": usd, "output": usd});
    let serve = json!([{"vendor": "first", "price": price(1)}, {"vendor": "second", "price": price(9)}]);
    let weights = json!({"weights": {"cost": 1, "success": 1, "latency": 1}});
    Stage::with(&[("/routing", weights), ("/models/0", json!({"serve": serve}))])
}

/// Where a request would go now.
fn goes_to(stage: &mut Stage) -> String {
    let mut client = stage.client(CHAT, ask("both", ""));
    let vendor = client.route().to_owned();
    client.leaves();
    vendor
}

/// The first vendor fails like this; the second answers, and the client notices nothing.
fn the_first_fails(stage: &mut Stage, status: &str, headers: &[(&str, &str)], body: &[u8]) {
    let mut client = stage.client(CHAT, ask("both", ""));
    client.attempt("first");
    assert!(client.vendor_says(&[&[(":status", status), ("content-type", JSON)], headers].concat(), body));
    client.attempt("second");
    let answer = client.vendor_replies(200, JSON, &completion("hi"));
    assert_eq!((answer.status, answer.header("x-weir-attempts")), (200, &*format!("first:{status},second:ok")));
    client.leaves();
}

#[test]
fn a_vendor_is_left_alone_for_as_long_as_it_asks() {
    let google =
        br#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"no","details":[{"retryDelay":"6.5s"}]}}"#;
    for (status, headers, body) in [
        ("429", &[("retry-after", "7")][..], &error("slow down")[..]),
        ("429", &[("retry-after", "6.5")], b""),
        ("429", &[("retry-after-ms", "6500"), ("retry-after", "60")], b""),
        ("429", &[("retry-after", "Mon, 01 Jan 2024 12:00:07 GMT")], b""),
        ("429", &[("retry-after", "Mon, 01 Jan 2024 11:00:07 GMT"), ("date", "Mon, 01 Jan 2024 11:00:00 GMT")], b""),
        ("429", &[], google),
        ("429", &[], &error("Please retry after 7 seconds.")),
        ("429", &[], &error("Rate limit reached. Please try again in 6.5s.")),
        ("503", &[("retry-after", "7")], b""),
        ("529", &[("retry-after", "7")], b""),
    ] {
        let mut stage = learning();
        assert_eq!(goes_to(&mut stage), "first");
        the_first_fails(&mut stage, status, headers, body);
        assert_eq!(goes_to(&mut stage), "second", "{status} {headers:?}");
        pass_seconds(6);
        assert_eq!(goes_to(&mut stage), "second", "{status} {headers:?}");
        pass_seconds(1);
        assert_eq!(goes_to(&mut stage), "first", "the time is over: {status} {headers:?}");
    }
}

#[test]
fn a_vendor_that_asks_for_too_much_is_asked_again_in_five_minutes() {
    let mut stage = learning();
    the_first_fails(&mut stage, "429", &[("retry-after", "86400")], b"");
    pass_seconds(299);
    assert_eq!(goes_to(&mut stage), "second");
    pass_seconds(1);
    assert_eq!(goes_to(&mut stage), "first");
}

#[test]
fn nobody_waits_and_the_client_is_told_when_the_first_will_have_room() {
    for (first, second, last, wait) in [
        (Some("3"), Some("9"), "429", "3"),
        (Some("9"), Some("3"), "429", "3"),
        (Some("9"), None, "429", "9"),
        (Some("9"), None, "503", "9"),
        (None, None, "429", ""),
        // Nothing says that it is of use to wait for this one.
        (Some("9"), None, "500", ""),
    ] {
        let mut stage = learning();
        for _ in 0..2 {
            let mut client = stage.client(CHAT, ask("both", ""));
            let order = if client.route() == "first" { ["first", "second"] } else { ["second", "first"] };
            for vendor in order {
                let (status, wait) = if vendor == "first" { ("429", first) } else { (last, second) };
                let wait = wait.map(|wait| ("retry-after", wait));
                client.attempt(vendor);
                let headers: Vec<_> = [(":status", status)].into_iter().chain(wait).collect();
                assert_eq!(client.vendor_says(&headers, b""), vendor == order[0], "both are tried, at once");
            }
            let answer = client.envoy_answers(502);
            if order[1] == "second" {
                assert_eq!(answer.header("retry-after"), wait, "{first:?} {second:?} {last}");
            }
            client.leaves();
        }
    }
}

/// `total_timeout` is over in less than any attempt takes.
#[test]
fn no_attempt_begins_that_could_only_be_cut_off() {
    let routing = || [("/routing", json!({"total_timeout": "30s", "first_token_timeout": "30s"}))];
    for (seconds, tries) in [(29, true), (30, false)] {
        let mut stage = Stage::with(&routing());
        let mut client = stage.client(CHAT, ask("both", ""));
        client.attempt("first");
        pass_seconds(seconds);
        assert_eq!(client.vendor_fails(500, JSON, &error("late")), tries);
        if !tries {
            let answer = client.envoy_answers(502);
            assert_eq!((answer.status, answer.header("x-weir-attempts")), (502, "first:500"));
        }
    }
    // Envoy itself goes on after silence.
    let mut stage = Stage::with(&routing());
    let mut client = stage.client(CHAT, ask("both", ""));
    client.attempt("first");
    pass_seconds(30);
    assert_eq!(client.attempt_refused("second"), 500);
    let answer = client.envoy_answers(500);
    assert_eq!((answer.status, answer.header("x-weir-attempts")), (504, "first:timeout"));
}

/// Envoy tells streams from others by their filter state, and goes on sooner after the silence of a stream.
#[test]
fn silence_is_a_timeout_after_as_long_as_the_vendor_had() {
    let routing =
        json!({"first_token_timeout": "10s", "idle_timeout": "20s", "answer_timeout": "100s", "total_timeout": "10m"});
    for (more, delivery, seconds, outcome) in [
        ("", None, 99, "timeout"),
        ("", None, 89, "unreachable"),
        (r#","stream":false"#, None, 20, "unreachable"),
        (r#","stream":true"#, Some("stream"), 10, "timeout"),
        (r#","stream":true"#, Some("stream"), 8, "unreachable"),
    ] {
        let mut stage = Stage::with(&[("/routing", routing.clone())]);
        let mut client = stage.client(CHAT, ask("both", more));
        assert_eq!(client.property(DELIVERY), delivery, "{more}");
        client.attempt("first");
        pass_seconds(seconds);
        client.attempt("second");
        let answer = client.vendor_replies(200, JSON, &completion("hi"));
        assert_eq!(answer.header("x-weir-attempts"), format!("first:{outcome},second:ok"), "{more} {seconds}");
    }
}
