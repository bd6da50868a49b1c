//! Clients of Anthropic's Messages: the way of every other request, but for the words at its beginning and its end.

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use serde_json::{Value, json};

use crate::stage::{Stage, completion, error};

const PATH: &str = "/v1/messages";
const JSON: &str = "application/json";

/// A request for a model, with more members.
fn say(model: &str, more: &str) -> Vec<u8> {
    format!(r#"{{"model":"{model}","max_tokens":9,"messages":[{{"role":"user","content":"hi"}}]{more}}}"#).into_bytes()
}

/// One event of a vendor's stream in OpenAI's format.
fn chunk(choice: &str) -> Vec<u8> {
    format!("data: {{\"id\":\"c\",\"model\":\"m\",\"choices\":[{{\"index\":0,{choice}}}]}}\n\n").into_bytes()
}

/// The names of the events that a client got, and all the text in them.
fn heard(bytes: &[u8]) -> (Vec<String>, String) {
    let text = std::str::from_utf8(bytes).unwrap();
    let names = text.lines().filter_map(|line| line.strip_prefix("event: ")).map(str::to_owned).collect();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: ")).map(parsed);
    (names, data.filter_map(|data: Value| Some(data["delta"]["text"].as_str()?.to_owned())).collect())
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// A stage whose first vendor is Anthropic.
fn with_anthropic() -> Stage {
    Stage::with(&[("/vendors/0", json!({"kind": "anthropic", "url": "http://first.test"}))])
}

#[test]
fn a_whole_answer_is_a_message() {
    let mut stage = Stage::new();
    let body = say("both", r#","system":"Be brief.","stop_sequences":["END"],"top_k":3"#);
    let mut client = stage.client_with(PATH, &[("anthropic-version", "2023-06-01")], body);
    let sent = client.attempt("first");
    assert_eq!((sent.header(":path"), sent.header("anthropic-version")), ("/v1/chat/completions", ""));
    let system = r#"{"role":"system","content":"Be brief."}"#;
    let expected = format!(
        r#"{{"model":"both","messages":[{system},{{"role":"user","content":"hi"}}],"max_completion_tokens":9,"stop":["END"]}}"#
    );
    assert_eq!(std::str::from_utf8(&sent.body), Ok(&*expected));
    let answer = client.vendor_replies(200, JSON, &completion("Hello."));
    let message = parsed(answer.text());
    assert_eq!((&message["type"], &message["stop_reason"]), (&json!("message"), &json!("end_turn")));
    assert_eq!(message["content"], json!([{"type": "text", "text": "Hello."}]));
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    assert_eq!(answer.header("x-weir-dropped-params"), "top_k");
    assert_eq!(client.leaves(), ["POST /v1/messages 200 first both"]);
    assert!(stage.exchanges.is_empty());
}

#[test]
fn a_stop_sequence_goes_from_anthropic_to_anthropics_client() {
    let mut stage = with_anthropic();
    let mut client = stage.client(PATH, say("lone", r#","stop_sequences":["END"],"top_k":3"#));
    let sent = parsed(client.attempt("first").text());
    assert_eq!((&sent["stop_sequences"], &sent["top_k"]), (&json!(["END"]), &json!(3)));
    let said = r#"{"type":"message","id":"msg_1","model":"m","content":[{"type":"text","text":"One"}],
        "stop_reason":"stop_sequence","stop_sequence":"END","usage":{"input_tokens":3,"output_tokens":1}}"#;
    let message = parsed(client.vendor_replies(200, JSON, said.as_bytes()).text());
    assert_eq!((&message["stop_reason"], &message["stop_sequence"]), (&json!("stop_sequence"), &json!("END")));
    assert_eq!((&message["id"], &message["usage"]["input_tokens"]), (&json!("msg_1"), &json!(3)));
}

#[test]
fn a_stream_is_the_events_of_a_message() {
    let mut stage = Stage::new();
    let mut client = stage.client(PATH, say("both", r#","stream":true"#));
    let sent = parsed(client.attempt("first").text());
    assert_eq!(sent["stream_options"], json!({"include_usage": true}), "its last events tell the tokens");
    client.vendor_streams();
    assert_eq!(
        client.piece(&chunk(r#""delta":{"role":"assistant","content":""}"#), false),
        None,
        "nothing is said yet"
    );
    let begun = client.piece(&chunk(r#""delta":{"content":"Hel"}"#), false).unwrap();
    assert_eq!(
        heard(&begun),
        (["message_start", "content_block_start", "content_block_delta"].map(str::to_owned).to_vec(), "Hel".to_owned())
    );
    let more = [&*chunk(r#""delta":{"content":"lo"}"#), &chunk(r#""delta":{},"finish_reason":"length""#)].concat();
    // A client gets no half events, wherever a piece is cut.
    let (one, other) = more.split_at(more.len() / 3);
    let told = [client.piece(one, false).unwrap(), client.piece(other, false).unwrap()].concat();
    assert_eq!(heard(&told), (vec!["content_block_delta".to_owned()], "lo".to_owned()));
    let last = client.piece(b"data: [DONE]\n\n", true).unwrap();
    let (names, _) = heard(&last);
    assert_eq!(names, ["content_block_stop", "message_delta", "message_stop"]);
    assert!(String::from_utf8(last).unwrap().contains(r#""stop_reason":"max_tokens""#));
    assert_eq!(client.leaves(), ["POST /v1/messages 200 first both"]);
}

#[test]
fn a_stream_that_breaks_off_has_an_error_and_no_end() {
    let mut stage = Stage::new();
    let mut client = stage.client(PATH, say("both", r#","stream":true"#));
    client.attempt("first");
    client.vendor_streams();
    client.piece(&chunk(r#""delta":{"content":"Hel"}"#), false).unwrap();
    let (names, _) = heard(&client.piece(b"", true).unwrap());
    assert_eq!(names, ["error"]);
}

#[test]
fn the_next_vendor_is_told_in_its_own_words() {
    let mut stage = with_anthropic();
    let budget = r#","thinking":{"type":"enabled","budget_tokens":1024}"#;
    let body = String::from_utf8(say("both", budget)).unwrap().replace("\"max_tokens\":9", "\"max_tokens\":2000");
    let mut client = stage.client(PATH, body.into_bytes());
    let sent = parsed(client.attempt("first").text());
    assert_eq!((&sent["max_tokens"], &sent["messages"][0]["role"]), (&json!(2000), &json!("user")));
    let overloaded = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    assert!(client.vendor_fails(529, JSON, overloaded.as_bytes()), "the next is tried");
    let sent = parsed(client.attempt("second").text());
    assert_eq!((&sent["thinking"], &sent["reasoning_effort"]), (&Value::Null, &json!("low")));
    let answer = client.vendor_replies(200, JSON, &completion("Hello."));
    assert_eq!(parsed(answer.text())["content"][0]["text"], "Hello.");
    assert_eq!(answer.header("x-weir-attempts"), "first:529,second:ok");
    assert_eq!(client.leaves(), ["POST /v1/messages 200 second both"]);
}

#[test]
fn errors_have_anthropics_shape() {
    let mut stage = Stage::new();
    let mut client = stage.client_with(PATH, &[("x-request-id", "r-1")], say("both", ""));
    client.attempt("first");
    assert!(client.vendor_fails(500, "text/html", b"<html>"));
    client.attempt("second");
    client.vendor_fails(429, JSON, &error("slow down"));
    let answer = client.envoy_answers(429);
    assert_eq!(
        (answer.status, parsed(answer.text())),
        (
            429,
            json!({"type": "error", "error": {"type": "rate_limit_error", "message": "second: slow down"}, "request_id": "r-1"})
        )
    );
    client.leaves();
    for (body, status, word) in [
        (say("both", r#","container":"c""#), 400, "invalid_request_error"),
        (say("nonesuch", ""), 404, "not_found_error"),
        (vec![b' '; 2000], 413, "request_too_large"),
    ] {
        let answer = stage.refused("POST", PATH, &[], body);
        assert_eq!((answer.status, &parsed(answer.text())["error"]["type"]), (status, &json!(word)));
    }
}
