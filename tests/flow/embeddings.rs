//! Embeddings: the way of a request for vectors, which is that of every other request.

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use serde_json::json;
use weir::flow::exchange::Source;

use crate::stage::{Stage, completion, error};

const PATH: &str = "/v1/embeddings";

/// A request for a model, with this input and more members.
fn embed(model: &str, input: &str, more: &str) -> Vec<u8> {
    format!(r#"{{"model":"{model}","input":{input}{more}}}"#).into_bytes()
}

/// A vendor's answer with one vector.
fn vector(usage: &str) -> Vec<u8> {
    let data = r#"[{"object":"embedding","index":0,"embedding":[0.5, -1e-3]}]"#;
    format!(r#"{{"object":"list","data":{data},"model":"m"{usage}}}"#).into_bytes()
}

const USAGE: &str = r#","usage":{"prompt_tokens":1000,"total_tokens":1000}"#;

#[test]
fn goes_from_vendor_to_vendor_and_back() {
    let mut stage = Stage::new();
    let body = embed("both", "[\"a\", \"b\"]", r#","encoding_format":"base64""#);
    let mut client = stage.client(PATH, body.clone());
    let sent = client.attempt("first");
    assert_eq!((sent.header(":path"), &sent.body), ("/v1/embeddings", &body));
    assert!(client.vendor_fails(429, "application/json", &error("slow down")));
    let sent = client.attempt("second");
    assert_eq!(sent.header(":path"), "/openai/deployments/deployed/embeddings?api-version=2024-10-21");
    let answer = client.vendor_replies(200, "application/json", &vector(USAGE));
    assert_eq!((answer.status, &answer.body), (200, &vector(USAGE)), "to the byte");
    assert_eq!(answer.header("x-weir-attempts"), "first:429,second:ok");
    assert_eq!(client.leaves(), ["POST /v1/embeddings 200 second both"]);
    assert!(stage.exchanges.is_empty());
}

#[test]
fn the_prompt_is_what_it_costs() {
    let mut stage = Stage::new();
    let mut client = stage.client("/api/embeddings", embed("priced", "[[1,2,3]]", ""));
    client.attempt("first");
    let answer = client.vendor_replies(200, "application/json", &vector(USAGE));
    assert_eq!(answer.header("x-weir-cost-usd"), "0.002");
    assert_eq!(client.spent(), Some((1000, 0, Source::Vendor)));
    client.leaves();
    let mut client = stage.client("/api/embeddings", embed("priced", "[[1,2,3]]", ""));
    client.attempt("first");
    let answer = client.vendor_replies(200, "application/json", &vector(""));
    assert_eq!(answer.header("x-weir-cost-usd"), "");
    assert_eq!(client.spent(), Some((3, 0, Source::Estimate)), "a token each");
}

#[test]
fn an_answer_to_something_else_is_none() {
    for body in [completion("hi"), b"{\"data\":[]}".to_vec(), b"{\"data\":[{\"embedding\":[]}]}".to_vec()] {
        let mut stage = Stage::new();
        let mut client = stage.client(PATH, embed("both", "\"a\"", ""));
        client.attempt("first");
        assert!(client.vendor_fails(200, "application/json", &body));
        client.attempt("second");
        let answer = client.vendor_replies(200, "application/json", &vector(USAGE));
        assert_eq!(answer.header("x-weir-attempts"), "first:bad_reply,second:ok");
    }
}

#[test]
fn a_vendor_without_embeddings_is_passed_over() {
    let vendors = json!([
        {"name": "claude", "kind": "anthropic", "url": "http://claude.test/v1"},
        {"name": "first", "kind": "openai", "url": "http://first.test/v1"},
    ]);
    let models = json!([
        {"name": "both", "serve": [{"vendor": "claude"}, {"vendor": "first"}]},
        {"name": "lone", "serve": [{"vendor": "claude"}]},
        {"name": "unserved", "serve": []},
    ]);
    let mut stage = Stage::with(&[("", json!({"vendors": vendors, "models": models}))]);
    assert_eq!(stage.client(PATH, embed("both", "\"a\"", "")).route(), "first");
    let answer = stage.refused("POST", PATH, &[], embed("lone", "\"a\"", ""));
    let says = r#"{"error":{"message":"embeddings are not supported by claude","type":"invalid_request_error","param":"model","code":"unsupported_endpoint"}}"#;
    assert_eq!((answer.status, answer.text()), (400, says));
}

#[test]
fn what_is_no_request_is_refused() {
    for (body, status, says) in [
        (Vec::new(), 400, "model and input"),
        (embed("both", "[]", ""), 400, "input: must not be empty"),
        (embed("both", "[[\"a\"]]", ""), 400, "input[0][0]: must be a token"),
        (embed("both", "\"a\"", r#","dimensions":0"#), 400, "dimensions: must be an integer"),
        (embed("both", "\"a\"", r#","stream":true"#), 400, "stream: must be false"),
        (crate::stage::ask("both", ""), 400, "input: is required"),
        (embed("nope", "\"a\"", ""), 404, "does not exist"),
    ] {
        let answer = Stage::new().refused("POST", PATH, &[], body);
        assert!(answer.status == status && answer.text().contains(says), "{} {}", answer.status, answer.text());
    }
    assert_eq!(Stage::new().refused("GET", PATH, &[], Vec::new()).status, 405);
    assert_eq!(Stage::new().refused("POST", PATH, &[("x-api-key", "limited")], embed("both", "\"a\"", "")).status, 403);
}

#[test]
fn a_kept_vector_is_given_again() {
    let mut stage = Stage::with(&[("", json!({"cache": {"only": "deterministic"}}))]);
    weir::flow::kept::prepare(&stage.config, &stage.store);
    let mut client = stage.client(PATH, embed("both", "\"a\"", ""));
    client.attempt("first");
    let answer = client.vendor_replies(200, "application/json", &vector(USAGE));
    assert_eq!(answer.header("x-weir-cache"), "miss");
    client.leaves();
    let same = embed("both", "[\"a\"]", r#","user":"u","encoding_format":"float""#);
    let answer = stage.refused("POST", "/api/embeddings", &[], same);
    assert_eq!((answer.status, answer.header("x-weir-cache"), &answer.body), (200, "hit-l1", &vector(USAGE)));
    let other = stage.client(PATH, embed("both", "\"a\"", r#","dimensions":2"#)).leaves();
    assert_eq!(other, ["POST /v1/embeddings 499 first both"]);
}
