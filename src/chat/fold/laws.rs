//! A stream that was made of a whole answer folds into that answer, wherever it is cut.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy takes the functions that tests share for traffic's"
)]

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::Fold;
use crate::chat::replay;
use crate::chat::tally::Counted;

const TEXT: &str = "\\PC{0,12}";

fn tool_calls() -> impl Strategy<Value = Value> {
    vec((TEXT, TEXT, TEXT), 1..4).prop_map(|calls| {
        let call = |(id, name, arguments)| {
            json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
        };
        calls.into_iter().map(call).collect()
    })
}

/// A message as the schema has it: no content beside tool calls is null.
fn messages() -> impl Strategy<Value = Value> {
    let calls = option::of(tool_calls());
    (option::of("\\PC{1,40}"), option::of("\\PC{1,12}"), option::of(TEXT), calls, vec(any::<u32>(), 0..3)).prop_map(
        |(content, refusal, reasoning, calls, annotations)| {
            let mut message = json!({"role": "assistant", "content": content, "refusal": refusal});
            message["annotations"] = annotations.iter().map(|start| json!({"start_index": start})).collect();
            if let Some(reasoning) = reasoning {
                message["reasoning_content"] = json!(reasoning);
            }
            if let Some(calls) = calls {
                message["tool_calls"] = calls;
            } else if message["content"].is_null() {
                message["function_call"] = json!({"name": "f", "arguments": "{}"});
            }
            message
        },
    )
}

fn choices() -> impl Strategy<Value = Value> {
    let finish = prop::sample::select(vec!["stop", "length", "tool_calls", "content_filter", "function_call"]);
    let logprobs = option::of(vec((TEXT, -20.0..0.0_f64), 0..4)).prop_map(|tokens| {
        tokens.map(|tokens| {
            let content: Vec<_> = tokens.iter().map(|(token, p)| json!({"token": token, "logprob": p})).collect();
            json!({"content": content, "refusal": null})
        })
    });
    (messages(), finish, logprobs).prop_map(|(message, finish, logprobs)| {
        json!({"message": message, "finish_reason": finish, "logprobs": logprobs, "x_vendor": {"a": [1]}})
    })
}

fn answers() -> impl Strategy<Value = Value> {
    let parts = (vec(choices(), 1..4), "\\PC{1,8}", 1..u64::MAX, option::of(any::<u32>()));
    parts.prop_map(|(mut choices, id, at, tokens)| {
        choices.iter_mut().enumerate().for_each(|(index, choice)| choice["index"] = json!(index));
        let mut answer = json!({"id": id, "object": "chat.completion", "created": at, "model": "m", "choices": choices,
            "system_fingerprint": null, "service_tier": "default", "x_list": [1, {"b": "\n"}]});
        if let Some(tokens) = tokens {
            answer["usage"] = json!({"prompt_tokens": tokens, "completion_tokens": 1});
        }
        answer
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_replay_folds_into_its_answer(answer in answers(), piece in 1..80_usize) {
        let text = answer.to_string();
        let stream = replay::events(text.as_bytes(), true).unwrap();
        let mut fold = Fold::new(1 << 20);
        stream.chunks(piece).for_each(|piece| fold.feed(piece));
        let folded = fold.finish(Counted::Nothing).unwrap();
        // serde_json reads a number with an error in the last place, but the same number always with the same.
        let read = |json: &[u8]| serde_json::from_slice::<Value>(json).unwrap();
        prop_assert_eq!(read(&folded), read(text.as_bytes()));
    }

    #[test]
    fn half_a_stream_is_no_answer(answer in answers(), cut: prop::sample::Index) {
        let stream = replay::events(answer.to_string().as_bytes(), false).unwrap();
        let mut fold = Fold::new(1 << 20);
        fold.feed(stream.get(..cut.index(stream.len() - "]\n\n".len())).unwrap());
        prop_assert_eq!(fold.finish(Counted::Nothing), None);
    }

    #[test]
    fn rubbish_does_no_harm(
        bytes in vec(any::<u8>(), 0..256),
        text in "(data:|[ \n{}\\[\\]\":,]|choices|delta|null|0)*",
    ) {
        for bytes in [bytes.as_slice(), text.as_bytes()] {
            let mut fold = Fold::new(1 << 10);
            fold.feed(bytes);
            fold.finish(Counted::Nothing);
        }
    }
}
