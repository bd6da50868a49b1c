//! OpenAI's words, and what others make of them.

use serde_json::{Map, Value, json};

use crate::vendors::{Ability, Choice, Dialect, Said, events, halves, pieces};

/// A vendor that speaks more or less as OpenAI does.
pub struct OpenAi {
    thoughts: Thoughts,
    counts: Counts,
    /// Its word for a natural end.
    stop: &'static str,
    calls: Calls,
    filter: Filter,
    /// A comment between events.
    comment: &'static str,
    error: fn(u16, &str) -> Value,
}

#[derive(PartialEq)]
enum Thoughts {
    Unsaid,
    In(&'static str),
    /// As parts of the content.
    Parts,
}

#[derive(PartialEq)]
enum Counts {
    /// In a chunk of their own.
    Alone,
    /// On the last chunk of the answer.
    OnTheEnd,
    /// There, and within this member, too, or only.
    Within(&'static str),
    /// On the last chunk, and what was cached under this name.
    Cached(&'static str),
}

#[derive(PartialEq)]
enum Calls {
    /// In pieces, with an index.
    Pieces,
    /// In one piece, without index and type.
    Whole,
}

#[derive(PartialEq)]
enum Filter {
    Silent,
    /// The first event is about the prompt, and others about the answer come when they like.
    Asynchronous,
}

pub const PLAIN: OpenAi = OpenAi {
    thoughts: Thoughts::Unsaid,
    counts: Counts::Alone,
    stop: "stop",
    calls: Calls::Pieces,
    filter: Filter::Silent,
    comment: "",
    error: |status, text| json!({"error": {"message": text, "type": kind(status), "param": null, "code": null}}),
};
pub const AZURE: OpenAi = OpenAi {
    filter: Filter::Asynchronous,
    error: |status, text| json!({"error": {"code": status.to_string(), "message": text}}),
    ..PLAIN
};
pub const MISTRAL: OpenAi = OpenAi {
    thoughts: Thoughts::Parts,
    counts: Counts::OnTheEnd,
    calls: Calls::Whole,
    error: |status, text| match status {
        422 => json!({"object": "error", "message": {"detail": [{"loc": ["body"], "msg": text}]}}),
        _ => json!({"message": text, "request_id": "r-1"}),
    },
    ..PLAIN
};
pub const GROQ: OpenAi = OpenAi {
    thoughts: Thoughts::In("reasoning"),
    counts: Counts::Within("x_groq"),
    error: |status, text| json!({"error": {"message": text, "type": kind(status)}}),
    ..PLAIN
};
pub const DEEPSEEK: OpenAi = OpenAi {
    thoughts: Thoughts::In("reasoning_content"),
    counts: Counts::Cached("prompt_cache_hit_tokens"),
    comment: ": keep-alive\n\n\n",
    ..PLAIN
};
pub const XAI: OpenAi = OpenAi { thoughts: Thoughts::In("reasoning_content"), counts: Counts::OnTheEnd, ..PLAIN };
pub const TOGETHER: OpenAi =
    OpenAi { thoughts: Thoughts::In("reasoning"), counts: Counts::OnTheEnd, stop: "eos", ..PLAIN };
pub const OPENROUTER: OpenAi = OpenAi {
    thoughts: Thoughts::In("reasoning"),
    comment: ": OPENROUTER PROCESSING\n\n",
    error: |status, text| json!({"error": {"message": text, "code": status}}),
    ..PLAIN
};
pub const OLLAMA: OpenAi = OpenAi {
    thoughts: Thoughts::In("reasoning"),
    error: |status, text| match status {
        404 => json!({"error": text}),
        _ => json!({"error": {"message": text, "type": "BadRequestError", "param": null, "code": status}}),
    },
    ..PLAIN
};

fn kind(status: u16) -> &'static str {
    if status < 500 { "invalid_request_error" } else { "server_error" }
}

impl Dialect for OpenAi {
    fn can(&self, what: Ability) -> bool {
        what != Ability::Reasoning || self.thoughts != Thoughts::Unsaid
    }

    fn whole(&self, said: &Said) -> Value {
        let choices = said.choices.iter().enumerate().map(|(index, choice)| {
            let mut message = self.piece(choice.reasoning, choice.text, Form::Whole);
            message.insert("role".into(), json!("assistant"));
            if !choice.refusal.is_empty() {
                message.insert("refusal".into(), json!(choice.refusal));
            }
            if !choice.calls.is_empty() {
                let calls = choice.calls.iter().enumerate().map(|(i, call)| self.call(index, i, call));
                message.insert("tool_calls".into(), calls.collect());
            }
            let mut choice = json!({"index": index, "message": message, "finish_reason": self.finish(choice)});
            if self.filter == Filter::Asynchronous {
                choice["content_filter_results"] = json!({"hate": {"filtered": false, "severity": "safe"}});
            }
            choice
        });
        let mut whole = json!({"id": "a-1", "object": "chat.completion", "created": 7, "model": "m-1",
            "choices": choices.collect::<Vec<_>>(), "x_new": {"kept": true}});
        self.count(&mut whole, said);
        whole
    }

    fn stream(&self, said: &Said) -> Vec<u8> {
        let mut chunks = Vec::new();
        if self.filter == Filter::Asynchronous {
            chunks.push(json!({"choices": [], "created": 0, "id": "", "model": "", "object": "",
                "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]}));
        }
        for index in 0..said.choices.len() {
            chunks.push(chunk(index, json!({"role": "assistant", "content": "", "refusal": null}), Value::Null));
        }
        // The choices of an answer come interleaved.
        let deltas: Vec<Vec<Value>> =
            said.choices.iter().enumerate().map(|(index, choice)| self.deltas(index, choice)).collect();
        for step in 0..deltas.iter().map(Vec::len).max().unwrap_or(0) {
            for (index, deltas) in deltas.iter().enumerate() {
                chunks.extend(deltas.get(step).map(|delta| chunk(index, delta.clone(), Value::Null)));
            }
        }
        for (index, choice) in said.choices.iter().enumerate() {
            chunks.push(chunk(index, json!({}), json!(self.finish(choice))));
        }
        if self.filter == Filter::Asynchronous {
            chunks.push(json!({"id": "", "object": "", "created": 0, "model": "", "choices": [{"index": 0,
                "finish_reason": null, "content_filter_results": {}, "content_filter_offsets":
                {"check_offset": 0, "start_offset": 0, "end_offset": 9}}]}));
        }
        if self.counts == Counts::Alone {
            chunks.push(
                json!({"id": "a-1", "object": "chat.completion.chunk", "created": 7, "model": "m-1", "choices": []}),
            );
        }
        self.count(chunks.last_mut().unwrap(), said);
        let mut bytes = Vec::new();
        for chunk in chunks {
            bytes.extend(self.comment.bytes());
            bytes.extend(events(&[chunk]));
        }
        bytes.extend(b"data: [DONE]\n\n");
        bytes
    }

    fn error(&self, status: u16, text: &str) -> Value {
        (self.error)(status, text)
    }
}

/// A whole message has a null where a piece of one has nothing.
#[derive(PartialEq)]
enum Form {
    Whole,
    Piece,
}

impl OpenAi {
    fn finish(&self, choice: &Choice) -> &'static str {
        if choice.finish == "stop" { self.stop } else { choice.finish }
    }

    fn piece(&self, reasoning: &str, text: &str, form: Form) -> Map<String, Value> {
        let mut piece = Map::new();
        match self.thoughts {
            Thoughts::Parts if !reasoning.is_empty() => {
                let mut parts = vec![json!({"type": "thinking", "thinking": [{"type": "text", "text": reasoning}]})];
                if !text.is_empty() {
                    parts.push(json!({"type": "text", "text": text}));
                }
                piece.insert("content".into(), json!(parts));
                return piece;
            }
            Thoughts::In(member) if !reasoning.is_empty() => {
                piece.insert(member.into(), json!(reasoning));
            }
            _ => {}
        }
        match (text, form) {
            ("", Form::Piece) => {}
            ("", Form::Whole) => drop(piece.insert("content".into(), Value::Null)),
            _ => drop(piece.insert("content".into(), json!(text))),
        }
        piece
    }

    fn call(&self, choice: usize, number: usize, (name, arguments): &(&'static str, Value)) -> Value {
        let function = json!({"name": name, "arguments": arguments.to_string()});
        match self.calls {
            Calls::Pieces => json!({"id": format!("call_{choice}_{number}"), "type": "function", "function": function}),
            Calls::Whole => json!({"id": format!("Ab{choice}{number}56789"), "function": function}),
        }
    }

    fn deltas(&self, index: usize, choice: &Choice) -> Vec<Value> {
        let mut deltas: Vec<Value> = Vec::new();
        deltas.extend(pieces(choice.reasoning).iter().map(|piece| Value::Object(self.piece(piece, "", Form::Piece))));
        deltas.extend(pieces(choice.text).iter().map(|piece| Value::Object(self.piece("", piece, Form::Piece))));
        deltas.extend(pieces(choice.refusal).iter().map(|piece| json!({"refusal": piece})));
        for (number, call) in choice.calls.iter().enumerate() {
            let mut whole = self.call(index, number, call);
            if self.calls == Calls::Whole {
                deltas.push(json!({"tool_calls": [whole]}));
                continue;
            }
            let arguments = call.1.to_string();
            whole["index"] = json!(number);
            whole["function"]["arguments"] = json!("");
            deltas.push(json!({"tool_calls": [whole]}));
            for piece in halves(&arguments) {
                deltas.push(json!({"tool_calls": [{"index": number, "function": {"arguments": piece}}]}));
            }
        }
        deltas
    }

    fn count(&self, last: &mut Value, said: &Said) {
        let tokens = said.tokens;
        let mut usage = json!({"prompt_tokens": tokens.prompt, "completion_tokens": tokens.completion,
            "total_tokens": tokens.prompt + tokens.completion,
            "completion_tokens_details": {"reasoning_tokens": tokens.reasoning}});
        match self.counts {
            Counts::Cached(name) => usage[name] = json!(tokens.cached),
            _ => usage["prompt_tokens_details"] = json!({"cached_tokens": tokens.cached}),
        }
        match self.counts {
            Counts::Within(member) => last[member] = json!({"id": "r-1", "usage": usage}),
            _ => last["usage"] = usage,
        }
    }
}

fn chunk(index: usize, delta: Value, finish: Value) -> Value {
    json!({"id": "a-1", "object": "chat.completion.chunk", "created": 7, "model": "m-1", "obfuscation": "xY3",
        "choices": [{"index": index, "delta": delta, "finish_reason": finish, "logprobs": null}]})
}
