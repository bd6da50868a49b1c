//! Anthropic's words.

use serde_json::{Value, json};

use crate::vendors::{Ability, Choice, Dialect, Said, halves, pieces};

pub struct Anthropic;

impl Dialect for Anthropic {
    fn can(&self, what: Ability) -> bool {
        what != Ability::SeveralChoices
    }

    fn whole(&self, said: &Said) -> Value {
        let choice = &said.choices[0];
        let content: Vec<Value> = blocks(choice).into_iter().map(|block| block.whole).collect();
        let (stop, details) = stop(choice);
        json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": content,
            "stop_reason": stop, "stop_sequence": null, "stop_details": details, "usage": usage(said)})
    }

    fn stream(&self, said: &Said) -> Vec<u8> {
        let choice = &said.choices[0];
        let mut bytes = Vec::new();
        let mut tell = |kind: &str, mut event: Value| {
            event["type"] = json!(kind);
            // Recorded streams have spaces behind the object.
            bytes.extend(format!("event: {kind}\ndata: {event}    \n\n").into_bytes());
        };
        tell("ping", json!({}));
        tell(
            "message_start",
            json!({"message": {"id": "msg_1", "type": "message", "role": "assistant",
            "model": "claude-x", "content": [], "stop_reason": null,
            "usage": {"input_tokens": 1, "output_tokens": 1}}}),
        );
        for (index, block) in blocks(choice).into_iter().enumerate() {
            tell("content_block_start", json!({"index": index, "content_block": block.start}));
            tell("ping", json!({}));
            for delta in block.deltas {
                tell("content_block_delta", json!({"index": index, "delta": delta}));
            }
            tell("content_block_delta", json!({"index": index, "delta": {"type": "new_delta", "x": 1}}));
            tell("content_block_stop", json!({"index": index}));
        }
        tell("new_event", json!({"y": 2}));
        let (stop, details) = stop(choice);
        tell(
            "message_delta",
            json!({"delta": {"stop_reason": stop, "stop_sequence": null, "stop_details": details},
            "usage": usage(said)}),
        );
        tell("message_stop", json!({}));
        bytes
    }

    fn error(&self, status: u16, text: &str) -> Value {
        let kind = match status {
            400 | 422 => "invalid_request_error",
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            504 => "timeout_error",
            529 => "overloaded_error",
            _ => "api_error",
        };
        json!({"type": "error", "error": {"type": kind, "message": text}, "request_id": "req_1"})
    }
}

/// A block of content: whole, and as it begins and goes on in a stream.
struct Block {
    whole: Value,
    start: Value,
    deltas: Vec<Value>,
}

fn blocks(choice: &Choice) -> Vec<Block> {
    let mut blocks = Vec::new();
    if !choice.reasoning.is_empty() {
        let deltas =
            pieces(choice.reasoning).iter().map(|p| json!({"type": "thinking_delta", "thinking": p})).collect();
        blocks.push(Block {
            whole: json!({"type": "thinking", "thinking": choice.reasoning, "signature": "c2ln"}),
            start: json!({"type": "thinking", "thinking": "", "signature": ""}),
            deltas,
        });
    }
    if !choice.text.is_empty() {
        blocks.push(Block {
            whole: json!({"type": "text", "text": choice.text}),
            start: json!({"type": "text", "text": ""}),
            deltas: pieces(choice.text).iter().map(|p| json!({"type": "text_delta", "text": p})).collect(),
        });
    }
    // Something newer than the gateway stands between them.
    let unknown = json!({"type": "new_block", "z": []});
    blocks.push(Block { whole: unknown.clone(), start: unknown, deltas: Vec::new() });
    for (number, (name, input)) in choice.calls.iter().enumerate() {
        let (id, text) = (format!("toolu_{number}"), input.to_string());
        // Without arguments nothing comes but an empty piece.
        let half = if input == &json!({}) { ["", ""] } else { halves(&text) };
        blocks.push(Block {
            whole: json!({"type": "tool_use", "id": id, "name": name, "input": input}),
            start: json!({"type": "tool_use", "id": id, "name": name, "input": {}}),
            deltas: half.iter().map(|p| json!({"type": "input_json_delta", "partial_json": p})).collect(),
        });
    }
    blocks
}

fn stop(choice: &Choice) -> (&'static str, Value) {
    match choice.finish {
        "length" => ("max_tokens", Value::Null),
        "tool_calls" => ("tool_use", Value::Null),
        "content_filter" => ("refusal", json!({"type": "refusal", "category": null, "explanation": choice.refusal})),
        _ => ("end_turn", Value::Null),
    }
}

fn usage(said: &Said) -> Value {
    let tokens = said.tokens;
    json!({"input_tokens": tokens.prompt - tokens.cached, "cache_read_input_tokens": tokens.cached,
        "cache_creation_input_tokens": 0, "output_tokens": tokens.completion,
        "output_tokens_details": {"thinking_tokens": tokens.reasoning}})
}
