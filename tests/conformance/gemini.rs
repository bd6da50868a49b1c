//! Gemini's words.

use serde_json::{Value, json};

use crate::vendors::{Ability, Choice, Dialect, Said, events, pieces};

pub struct Gemini;

impl Dialect for Gemini {
    fn can(&self, _: Ability) -> bool {
        true
    }

    fn whole(&self, said: &Said) -> Value {
        let candidates = said.choices.iter().enumerate().map(|(index, choice)| {
            json!({"content": {"role": "model", "parts": parts(choice)}, "finishReason": reason(choice),
                "finishMessage": choice.refusal, "index": index, "safetyRatings": []})
        });
        let candidates: Vec<Value> = candidates.collect();
        json!({"candidates": candidates, "usageMetadata": usage(said), "modelVersion": "gemini-x", "responseId": "r-1"})
    }

    /// A call comes whole, and before the chunk with the reason to stop.
    fn stream(&self, said: &Said) -> Vec<u8> {
        let mut chunks = Vec::new();
        for (index, choice) in said.choices.iter().enumerate() {
            for part in parts(choice) {
                let split = if part.get("functionCall").is_some() { vec![part] } else { split(&part) };
                chunks.extend(split.into_iter().map(|part| {
                    json!({"candidates": [{"content":
                    {"role": "model", "parts": [part]}, "index": index}]})
                }));
            }
        }
        for (index, choice) in said.choices.iter().enumerate() {
            chunks.push(json!({"candidates": [{"content": {"role": "model", "parts": [{"text": ""}]},
                "finishReason": reason(choice), "finishMessage": choice.refusal, "index": index}]}));
        }
        for chunk in &mut chunks {
            chunk["usageMetadata"] = usage(said);
            chunk["modelVersion"] = json!("gemini-x");
            chunk["responseId"] = json!("r-1");
        }
        events(&chunks)
    }

    fn error(&self, status: u16, text: &str) -> Value {
        let word = match status {
            400 | 422 => "INVALID_ARGUMENT",
            401 => "UNAUTHENTICATED",
            402 | 429 => "RESOURCE_EXHAUSTED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            503 => "UNAVAILABLE",
            504 => "DEADLINE_EXCEEDED",
            _ => "INTERNAL",
        };
        json!({"error": {"code": status, "message": text, "status": word}})
    }
}

fn parts(choice: &Choice) -> Vec<Value> {
    let mut parts = Vec::new();
    if !choice.reasoning.is_empty() {
        parts.push(json!({"text": choice.reasoning, "thought": true}));
    }
    if !choice.text.is_empty() {
        parts.push(json!({"text": choice.text}));
    }
    parts.extend(choice.calls.iter().map(|(name, args)| json!({"functionCall": {"name": name, "args": args}})));
    parts
}

fn split(part: &Value) -> Vec<Value> {
    let text = part["text"].as_str().unwrap();
    let piece = |piece: String| {
        let mut part = part.clone();
        part["text"] = json!(piece);
        part
    };
    pieces(text).into_iter().map(piece).collect()
}

/// `STOP` also where functions are called.
fn reason(choice: &Choice) -> &'static str {
    match choice.finish {
        "length" => "MAX_TOKENS",
        "content_filter" => "SAFETY",
        _ => "STOP",
    }
}

/// The count of the answer leaves the thoughts out.
fn usage(said: &Said) -> Value {
    let tokens = said.tokens;
    json!({"promptTokenCount": tokens.prompt, "cachedContentTokenCount": tokens.cached,
        "candidatesTokenCount": tokens.completion - tokens.reasoning, "thoughtsTokenCount": tokens.reasoning,
        "totalTokenCount": tokens.prompt + tokens.completion})
}
