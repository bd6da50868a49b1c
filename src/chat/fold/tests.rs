use serde_json::{Value, json};

use super::*;
use crate::chat::Usage;
use crate::test;

/// Folds chunks, each without what all have in common, and the end.
fn fold_within(most: usize, chunks: &[&str]) -> Option<Value> {
    let mut fold = Fold::new(most);
    for chunk in chunks {
        fold.feed(format!("data: {chunk}\n\n").as_bytes());
    }
    let usage = Usage { prompt: 3, completion: 4, ..Usage::default() };
    let answer = fold.finish(Counted::All(usage))?;
    assert!(Doc::parse(answer.clone()).is_ok(), "no member twice");
    Some(serde_json::from_slice(&answer).unwrap())
}

fn fold(chunks: &[&str]) -> Option<Value> {
    fold_within(1 << 20, chunks)
}

/// The only choice of an answer with these deltas.
fn choice(deltas: &[&str]) -> Value {
    let chunks = deltas.iter().map(|delta| format!(r#"{{"choices":[{{"index":0,"delta":{delta}}}]}}"#));
    let chunks: Vec<String> = chunks.chain([STOP.to_owned(), "[DONE]".to_owned()]).collect();
    let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
    fold(&chunks).unwrap()["choices"][0].clone()
}

const STOP: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;

#[test]
fn joins_what_comes_in_pieces() {
    let message = |deltas: &[&str]| choice(deltas)["message"].clone();
    for (deltas, expected) in [
        (
            &[r#"{"role":"assistant","content":"","x":null}"#, r#"{"content":"Hel"}"#, r#"{"content":"lo\n"}"#][..],
            json!({"role": "assistant", "content": "Hello\n", "refusal": null, "x": null}),
        ),
        (
            &[r#"{"content":""}"#, r#"{"refusal":"I "}"#, r#"{"refusal":"won't"}"#],
            json!({"role": "assistant", "content": null, "refusal": "I won't"}),
        ),
        (
            &[r#"{"reasoning_content":"a"}"#, r#"{"reasoning_content":"b","content":null}"#, r#"{"content":"c"}"#],
            json!({"role": "assistant", "content": "c", "refusal": null, "reasoning_content": "ab"}),
        ),
        (
            &[
                r#"{"thinking_blocks":[{"index":0,"type":"thinking","thinking":"a"}]}"#,
                r#"{"thinking_blocks":[{"index":0,"type":"thinking","thinking":"b"}]}"#,
                r#"{"thinking_blocks":[{"index":0,"type":"thinking","signature":"s"}]}"#,
                r#"{"thinking_blocks":[{"index":1,"type":"redacted_thinking","data":"d"}],"content":""}"#,
            ],
            json!({"role": "assistant", "content": "", "refusal": null, "thinking_blocks": [
                {"type": "thinking", "thinking": "ab", "signature": "s"}, {"type": "redacted_thinking", "data": "d"}]}),
        ),
        (&[r#"{"content":""}"#], json!({"role": "assistant", "content": "", "refusal": null})),
        (&["{}"], json!({"role": "assistant", "content": null, "refusal": null})),
        (
            &[
                r#"{"content":"","function_call":{"name":"f","arguments":""}}"#,
                r#"{"function_call":{"arguments":"{\"a\""}}"#,
                r#"{"function_call":{"arguments":":1}"}}"#,
            ],
            json!({"role": "assistant", "content": null, "refusal": null,
                "function_call": {"name": "f", "arguments": "{\"a\":1}"}}),
        ),
        (
            &[r#"{"content":"x","annotations":[{"a":1}],"x":1}"#, r#"{"annotations":[{"a":2}],"x":2,"y":null}"#],
            json!({"role": "assistant", "content": "x", "refusal": null, "annotations": [{"a": 1}, {"a": 2}],
                "x": 2, "y": null}),
        ),
    ] {
        assert_eq!(message(deltas), expected, "{deltas:?}");
    }
}

#[test]
fn tells_tool_calls_apart() {
    let calls = choice(&[
        r#"{"content":"","tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f"}}]}"#,
        r#"{"tool_calls":[{"index":1,"id":"b","type":"custom","custom":{"name":"g","input":"x"}}]}"#,
        r#"{"tool_calls":[{"index":0,"id":"","function":{"name":null,"arguments":"{\"a"}}]}"#,
        r#"{"tool_calls":[{"index":1,"custom":{"input":"y"}}]}"#,
        r#"{"tool_calls":[{"index":0,"function":{"arguments":"\":1}"}}]}"#,
        r#"{"tool_calls":[{"id":"c","type":"function","function":{"name":"h","arguments":"{}"}}]}"#,
    ])["message"]
        .clone();
    assert_eq!(
        calls,
        json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
            {"id": "b", "type": "custom", "custom": {"name": "g", "input": "xy"}},
            {"id": "c", "type": "function", "function": {"name": "h", "arguments": "{}"}},
        ]})
    );
}

#[test]
fn keeps_choices_apart_and_in_order() {
    let answer = fold(&[
        r#"{"choices":[{"index":1,"delta":{"content":"b"},"logprobs":{"content":[{"token":"b"}],"refusal":null}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"a"},"logprobs":null},{"index":1,"delta":{"content":"c"}}]}"#,
        r#"{"choices":[{"index":1,"delta":{},"logprobs":{"content":[{"token":"c"}]},"finish_reason":"length"}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop","content_filter_results":{"hate":1}}]}"#,
        "[DONE]",
    ]);
    let message = |content: &str| json!({"role": "assistant", "content": content, "refusal": null});
    assert_eq!(
        answer.unwrap()["choices"],
        json!([
            {"index": 0, "message": message("a"), "logprobs": null, "finish_reason": "stop",
                "content_filter_results": {"hate": 1}},
            {"index": 1, "message": message("bc"), "finish_reason": "length",
                "logprobs": {"content": [{"token": "b"}, {"token": "c"}], "refusal": null}},
        ])
    );
}

#[test]
fn takes_each_member_of_a_chunk_from_where_it_is_meant() {
    let mut answer = fold(&[
        r#"{"id":"","object":"","created":0,"model":"","choices":[],"prompt_filter_results":[7]}"#,
        r#"{"id":"a","created":5,"model":"m","choices":[],"service_tier":null,"usage":{"n":1},"obfuscation":"x"}"#,
        r#"{"id":"b","created":6,"model":"n","choices":[],"service_tier":"flex","system_fingerprint":"f"}"#,
        r#"{"choices":[],"usage":{"n":2}}"#,
        STOP,
        r#"{"id":"c","choices":[],"service_tier":null,"usage":null,"x":[1]}"#,
        "[DONE]",
    ])
    .unwrap();
    answer.as_object_mut().unwrap().remove("choices");
    assert_eq!(
        answer,
        json!({"id": "a", "object": "chat.completion", "created": 5, "model": "m", "system_fingerprint": "f",
            "service_tier": "flex", "usage": {"n": 2}, "prompt_filter_results": [7], "x": [1]})
    );
}

#[test]
fn has_the_usage_that_the_client_did_not_ask_for() {
    assert_eq!(fold(&[STOP, "[DONE]"]).unwrap()["usage"]["total_tokens"], 7);
    let not_yet = r#"{"choices":[],"usage":null}"#;
    assert_eq!(fold(&[not_yet, STOP, "[DONE]"]).unwrap()["usage"]["total_tokens"], 7);
    let said = r#"{"choices":[],"usage":{"total_tokens":1}}"#;
    assert_eq!(fold(&[STOP, said, "[DONE]"]).unwrap()["usage"]["total_tokens"], 1);
}

#[test]
fn a_stream_that_is_not_whole_is_no_answer() {
    let open = r#"{"choices":[{"index":1,"delta":{"content":"a"},"finish_reason":null}]}"#;
    for chunks in [
        &[][..],
        &["[DONE]"],
        &[STOP],
        &[open, "[DONE]"],
        &[STOP, open, "[DONE]"],
        &[STOP, r#"{"error":{"message":"x"}}"#, "[DONE]"],
        &[STOP, r#"{"error":{"message":"x"},"choices":[]}"#, "[DONE]"],
        &[STOP, "<html>", "[DONE]"],
        &[STOP, "{}", "[DONE]"],
        &[STOP, "\u{0}", "[DONE]"],
        &[r#"{"choices":[{"index":0,"delta":{"audio":{"data":"AA"}}}]}"#, STOP, "[DONE]"],
    ] {
        assert_eq!(fold(chunks), None, "{chunks:?}");
    }
    assert!(fold(&[STOP, "[DONE] ", "{\"error\":1}"]).is_some(), "what follows the end is not read");
}

#[test]
fn an_answer_is_bounded() {
    let piece = format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{}"}}}}]}}"#, "x".repeat(1000));
    let chunks: Vec<&str> = [&*piece; 10].into_iter().chain([STOP, "[DONE]"]).collect();
    assert!(fold_within(11_000, &chunks).is_some());
    assert!(fold_within(10_000, &chunks).is_none());
    let mut endless = Fold::new(1000);
    for index in 0..1000 {
        endless.feed(format!("data: {{\"choices\":[{{\"index\":{index},\"delta\":{{}}}}]}}\n\n").as_bytes());
    }
    assert!(matches!(endless.progress, Progress::Lost));
    let repeated = r#"{"choices":[],"usage":{"prompt_tokens":1}}"#;
    let chunks: Vec<&str> = [repeated; 1000].into_iter().chain([STOP, "[DONE]"]).collect();
    assert!(fold_within(2000, &chunks).is_some(), "what replaces something takes its room");
}
