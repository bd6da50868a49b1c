//! A client of OpenAI's, as strict as the official ones and stricter: what it reads, or a panic that says what it minds.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::vendors::Choice;

/// What a client reads in a whole answer.
pub fn read(answer: &Value) -> Vec<Choice> {
    let choice = |(index, choice): (usize, &Value)| {
        let message = &choice["message"];
        assert_eq!((&choice["index"], &message["role"]), (&json!(index), &json!("assistant")));
        let calls = message["tool_calls"].as_array().into_iter().flatten();
        let mut read = Read::default();
        for (number, call) in calls.enumerate() {
            assert_eq!(call["type"], "function");
            read.call(number as u64, &call["id"], &call["function"]);
        }
        read.text.push_str(message["content"].as_str().unwrap_or_default());
        read.reasoning.push_str(message["reasoning_content"].as_str().unwrap_or_default());
        read.refusal.push_str(message["refusal"].as_str().unwrap_or_default());
        read.finished(choice["finish_reason"].as_str().unwrap())
    };
    answer["choices"].as_array().unwrap().iter().enumerate().map(choice).collect()
}

/// A choice, as far as it has been read.
#[derive(Default)]
struct Read {
    text: String,
    reasoning: String,
    refusal: String,
    /// By their index: id, name, arguments.
    calls: BTreeMap<u64, (String, String, String)>,
    finish: Option<String>,
}

impl Read {
    fn call(&mut self, index: u64, id: &Value, function: &Value) {
        let call = self.calls.entry(index).or_default();
        call.0.push_str(id.as_str().unwrap_or_default());
        call.1.push_str(function["name"].as_str().unwrap_or_default());
        call.2.push_str(function["arguments"].as_str().unwrap_or_default());
    }

    fn finished(self, finish: &str) -> Choice {
        let ids: Vec<&String> = self.calls.values().map(|(id, ..)| id).collect();
        assert!(ids.iter().all(|id| !id.is_empty()), "a call without an id");
        assert!(ids.iter().enumerate().all(|(i, id)| ids.iter().position(|other| other == id) == Some(i)), "{ids:?}");
        let calls = self.calls.values().map(|(_, name, arguments)| {
            (leaked(name), serde_json::from_str(arguments).unwrap_or_else(|e| panic!("{e}: {arguments}")))
        });
        Choice {
            calls: calls.collect(),
            text: leaked(&self.text),
            reasoning: leaked(&self.reasoning),
            refusal: leaked(&self.refusal),
            finish: leaked(finish),
        }
    }
}

/// The table's texts are literals; what is compared with them lives as long.
fn leaked(text: &str) -> &'static str {
    if text.is_empty() { "" } else { text.to_owned().leak() }
}

/// What a client reads in a stream.
pub struct Client {
    pub choices: Vec<Choice>,
    /// The count of tokens, if one came.
    pub usage: Option<Value>,
}

impl Client {
    pub fn read(stream: &str, at: &str) -> Client {
        let (mut read, mut usage, mut ids) = (BTreeMap::<u64, Read>::new(), None, Vec::new());
        let data: Vec<&str> = stream.split("\n\n").filter(|e| !e.is_empty() && !e.starts_with(':')).collect();
        let (last, chunks) = data.split_last().expect("a stream holds something");
        assert_eq!(*last, "data: [DONE]", "{at}");
        for chunk in chunks {
            let chunk: Value = serde_json::from_str(chunk.strip_prefix("data: ").expect(at)).expect(at);
            assert!(chunk.get("error").is_none(), "{at}");
            if chunk["id"] != "" {
                assert_eq!(chunk["object"], "chat.completion.chunk", "{at}");
                ids.push([&chunk["id"], &chunk["model"], &chunk["created"]].map(Value::to_string).concat());
            }
            if chunk["usage"].is_object() {
                assert!(usage.is_none(), "tokens twice: {at}");
                usage = Some(chunk["usage"].clone());
            }
            for choice in chunk["choices"].as_array().expect(at) {
                piece(&mut read, choice, at);
            }
        }
        assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}: {at}");
        let indices: Vec<u64> = read.keys().copied().collect();
        assert_eq!(indices, (0..read.len() as u64).collect::<Vec<_>>(), "{at}");
        let finished = |mut read: Read| {
            let finish = read.finish.take().expect("every choice ends");
            read.finished(&finish)
        };
        Client { choices: read.into_values().map(finished).collect(), usage }
    }
}

fn piece(read: &mut BTreeMap<u64, Read>, choice: &Value, at: &str) {
    let (index, delta) = (choice["index"].as_u64().expect(at), &choice["delta"]);
    let first = !read.contains_key(&index);
    assert_eq!(first, delta["role"] == "assistant", "one role, at first: {at}");
    let read = read.entry(index).or_default();
    for (text, member) in
        [(&mut read.text, "content"), (&mut read.reasoning, "reasoning_content"), (&mut read.refusal, "refusal")]
    {
        let more = delta[member].as_str().unwrap_or_default();
        assert!(more.is_empty() || read.finish.is_none(), "{member} after the end: {at}");
        text.push_str(more);
    }
    for call in delta["tool_calls"].as_array().into_iter().flatten() {
        let number = call["index"].as_u64().expect(at);
        let known = read.calls.contains_key(&number);
        assert_eq!(known, call["id"].is_null(), "id and type come first, and once: {at}");
        assert_eq!(known, call["type"].is_null(), "{at}");
        assert!(known || number == read.calls.len() as u64, "calls are counted from 0: {at}");
        read.call(number, &call["id"], &call["function"]);
    }
    if let Some(finish) = choice["finish_reason"].as_str() {
        assert!(read.finish.is_none(), "two ends of one choice: {at}");
        read.finish = Some(finish.to_owned());
    }
}
