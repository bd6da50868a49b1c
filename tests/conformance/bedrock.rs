//! Bedrock's words, in Amazon's frames.

use serde_json::{Value, json};

use crate::vendors::{Ability, Choice, Dialect, Said, halves, pieces};

pub struct Bedrock;

impl Dialect for Bedrock {
    fn can(&self, what: Ability) -> bool {
        !matches!(what, Ability::SeveralChoices | Ability::Refusal | Ability::ReasoningTokens)
    }

    fn whole(&self, said: &Said) -> Value {
        let choice = &said.choices[0];
        let blocks = blocks(choice).into_iter().map(|block| match block {
            Block::Text(text) => json!({"text": text}),
            Block::Thought(text) => json!({"reasoningContent": {"reasoningText": {"text": text, "signature": "c2ln"}}}),
            Block::Call(id, name, input) => json!({"toolUse": {"toolUseId": id, "name": name, "input": input}}),
        });
        json!({"output": {"message": {"role": "assistant", "content": blocks.collect::<Vec<_>>()}},
            "stopReason": reason(choice), "usage": usage(said), "metrics": {"latencyMs": 7}})
    }

    fn stream(&self, said: &Said) -> Vec<u8> {
        let choice = &said.choices[0];
        let mut events = vec![("messageStart", json!({"role": "assistant"}))];
        for (index, block) in blocks(choice).into_iter().enumerate() {
            events.extend(
                block.begins().map(|start| {
                    ("contentBlockStart", json!({"start": {"toolUse": start}, "contentBlockIndex": index}))
                }),
            );
            events.extend(
                block.comes().into_iter().map(|delta| {
                    ("contentBlockDelta", json!({"delta": delta, "contentBlockIndex": index, "p": "abc"}))
                }),
            );
            events.push(("contentBlockStop", json!({"contentBlockIndex": index})));
        }
        events.push(("messageStop", json!({"stopReason": reason(choice)})));
        events.push(("metadata", json!({"usage": usage(said), "metrics": {"latencyMs": 7}})));
        events.into_iter().flat_map(|(name, payload)| frame(name, &payload)).collect()
    }

    fn error(&self, _: u16, text: &str) -> Value {
        json!({"message": text})
    }
}

/// A part of an answer.
enum Block<'c> {
    Thought(&'c str),
    Text(&'c str),
    Call(String, &'c str, &'c Value),
}

impl Block<'_> {
    /// Only a tool's use is announced.
    fn begins(&self) -> Option<Value> {
        match self {
            Block::Call(id, name, _) => Some(json!({"toolUseId": id, "name": name})),
            Block::Text(_) | Block::Thought(_) => None,
        }
    }

    fn comes(&self) -> Vec<Value> {
        match self {
            Block::Text(text) => pieces(text).into_iter().map(|piece| json!({"text": piece})).collect(),
            Block::Thought(text) => pieces(text)
                .into_iter()
                .map(|piece| json!({"reasoningContent": {"text": piece}}))
                .chain([json!({"reasoningContent": {"signature": "c2ln"}})])
                .collect(),
            // Without arguments there is no piece.
            Block::Call(_, _, input) if input.as_object().is_some_and(|input| input.is_empty()) => Vec::new(),
            Block::Call(_, _, input) => {
                halves(&input.to_string()).map(|half| json!({"toolUse": {"input": half}})).into()
            }
        }
    }
}

fn blocks(choice: &Choice) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    if !choice.reasoning.is_empty() {
        blocks.push(Block::Thought(choice.reasoning));
    }
    if !choice.text.is_empty() {
        blocks.push(Block::Text(choice.text));
    }
    let calls = choice.calls.iter().enumerate();
    blocks.extend(calls.map(|(i, (name, input))| Block::Call(format!("tooluse_{i}"), name, input)));
    blocks
}

fn reason(choice: &Choice) -> &'static str {
    match choice.finish {
        "length" => "max_tokens",
        "tool_calls" => "tool_use",
        "content_filter" => "guardrail_intervened",
        _ => "end_turn",
    }
}

/// What the cache gave is not in the count of the prompt, and nothing counts the thoughts apart.
fn usage(said: &Said) -> Value {
    let tokens = said.tokens;
    json!({"inputTokens": tokens.prompt - tokens.cached, "cacheReadInputTokens": tokens.cached,
        "outputTokens": tokens.completion, "totalTokens": tokens.prompt + tokens.completion})
}

/// An event in a frame, with both of its sums.
fn frame(name: &str, payload: &Value) -> Vec<u8> {
    let payload = payload.to_string();
    let mut headers = Vec::new();
    for (header, value) in [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")] {
        headers.push(header.len() as u8);
        headers.extend(header.as_bytes());
        headers.push(7);
        headers.extend((value.len() as u16).to_be_bytes());
        headers.extend(value.as_bytes());
    }
    let total = 12 + headers.len() + payload.len() + 4;
    let mut frame = [(total as u32).to_be_bytes(), (headers.len() as u32).to_be_bytes()].concat();
    frame.extend(crc(&frame).to_be_bytes());
    frame.extend(headers);
    frame.extend(payload.as_bytes());
    frame.extend(crc(&frame).to_be_bytes());
    frame
}

/// CRC-32 of IEEE 802.3, bit by bit: another one than the decoder's.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 })
    })
}
