//! What a request has used, told at every moment of its life.

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use weir::flow::exchange::Source;

use crate::stage::{Stage, ask, chunk, completion, error};

const USAGE: &str =
    r#","usage":{"prompt_tokens":1000,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":400}}}"#;

/// A whole answer with its usage.
fn counted() -> Vec<u8> {
    let body = String::from_utf8(completion("hi")).unwrap();
    [body.strip_suffix('}').unwrap(), USAGE].concat().into_bytes()
}

#[test]
fn a_whole_answer_says_what_it_cost() {
    for (model, body, tag, spent) in [
        ("priced", counted(), "0.0018", (1000, 20, Source::Vendor)),
        ("priced", completion("hi"), "", (5, 1, Source::Estimate)),
        ("lone", counted(), "", (1000, 20, Source::Vendor)),
    ] {
        let mut stage = Stage::new();
        let mut client = stage.client("/v1/chat/completions", ask(model, ""));
        client.attempt("first");
        assert_eq!(client.spent(), None, "nobody has answered yet");
        let answer = client.vendor_replies(200, "application/json", &body);
        assert_eq!((answer.status, answer.header("x-weir-cost-usd")), (200, tag), "{model}");
        assert_eq!(client.spent(), Some(spent));
    }
}

#[test]
fn a_stream_knows_what_it_has_used_so_far() {
    let mut stage = Stage::new();
    let mut client = stage.client("/v1/chat/completions", ask("priced", r#","stream":true"#));
    let sent = client.attempt("first");
    assert!(sent.text().starts_with(r#"{"stream_options":{"include_usage":true},"model":"#), "{}", sent.text());
    client.vendor_streams();
    assert_eq!(client.piece(b": soon\n\n", false), None);
    assert_eq!(client.spent(), None);
    client.piece(&chunk("12345678", "null"), false).unwrap();
    assert_eq!(client.answer().header("x-weir-cost-usd"), "", "the headers go before anybody has counted");
    assert_eq!(client.spent(), Some((5, 2, Source::Estimate)));
    client.piece(&chunk("9", "\"stop\""), false).unwrap();
    assert_eq!(client.spent(), Some((5, 3, Source::Estimate)));
    let usage = [r#"data: {"choices":[]"#, USAGE, "\n\n"].concat();
    assert_eq!(client.piece(usage.as_bytes(), false).unwrap(), b"", "the client did not ask for it");
    assert_eq!(client.spent(), Some((1000, 20, Source::Vendor)));
    client.piece(b"data: [DONE]\n\n", true).unwrap();
    assert_eq!(client.spent(), Some((1000, 20, Source::Vendor)));
}

#[test]
fn a_client_that_asks_gets_the_usage() {
    let body = ask("priced", r#","stream":true,"stream_options":{"include_usage":true}"#);
    let mut stage = Stage::new();
    let mut client = stage.client("/v1/chat/completions", body.clone());
    assert_eq!(client.attempt("first").body, body);
    client.vendor_streams();
    client.piece(&chunk("a", "\"stop\""), false).unwrap();
    let usage = [r#"data: {"choices":[]"#, USAGE, "\n\n"].concat();
    assert_eq!(client.piece(usage.as_bytes(), false).unwrap(), usage.as_bytes());
}

#[test]
fn a_broken_stream_has_used_what_came() {
    let mut stage = Stage::new();
    let mut client = stage.client("/v1/chat/completions", ask("priced", r#","stream":true"#));
    client.attempt("first");
    client.vendor_streams();
    client.piece(&chunk("12345678", "null"), false).unwrap();
    client.piece(b"data: rubbish\n\n", false).unwrap();
    assert_eq!(client.spent(), Some((5, 2, Source::Estimate)));
}

#[test]
fn a_refusal_costs_nothing() {
    let mut stage = Stage::new();
    let mut client = stage.client("/v1/chat/completions", ask("priced", ""));
    client.attempt("first");
    client.vendor_fails(500, "application/json", &error("no"));
    assert_eq!(client.spent(), None);
    assert_eq!(client.envoy_answers(500).header("x-weir-cost-usd"), "");
}
