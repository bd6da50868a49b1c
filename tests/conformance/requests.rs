//! The rows about requests: each vendor is told all that the client said, or the client is told what it is not.

use serde_json::{Value, json};
use weir::chat::Request;
use weir::json::Doc;
use weir::vendor::{Call, StreamUsage};

use crate::vendors::{VENDORS, Vendor};

/// A behaviour. What the vendor gets holds each of `words`, in whatever place and form; `a|b` is one of them.
struct Row {
    name: &'static str,
    body: Value,
    words: &'static [&'static str],
    /// Vendors that refuse it, and the field that they name.
    refused: &'static [(&'static str, &'static str)],
    /// Vendors that leave it out, because the answer is the same without it, and what they name, if they name anything.
    left_out: &'static str,
}

fn row(name: &'static str, fields: Value, words: &'static [&'static str]) -> Row {
    let mut body = json!({"model": "asked", "messages": [{"role": "user", "content": "Good morning"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    Row { name, body, words, refused: &[], left_out: "" }
}

fn rows() -> Vec<Row> {
    let user = |content: Value| json!({"messages": [{"role": "user", "content": content}]});
    let weather = json!({"type": "function", "function": {"name": "get_weather", "description": "Looks outside.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}});
    let clock = json!({"type": "function", "function": {"name": "clock"}});
    let called = |id: &str, city: &str| {
        json!({"id": id, "type": "function",
            "function": {"name": "get_weather", "arguments": json!({"city": city}).to_string()}})
    };
    let picture =
        |url: &str| user(json!([{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "See?"}]));
    let tools = |more: Value| {
        let mut fields = json!({"tools": [weather, clock]});
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fields
    };
    let schema = json!({"type": "json_schema", "json_schema": {"name": "v", "strict": true, "schema": {"type": "object",
        "properties": {"verdict": {"type": "string"}}, "required": ["verdict"], "additionalProperties": false}}});
    vec![
        row("chat", json!({}), &["Good morning"]),
        row(
            "parts",
            user(json!([{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}])),
            &["One.", "Two."],
        ),
        row(
            "system",
            json!({"messages": [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "Hi"}]}),
            &["Be terse.", "Hi"],
        ),
        row(
            "developer",
            json!({"messages": [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": "Hi"}]}),
            &["Be kind.", "Hi"],
        ),
        row(
            "several turns",
            json!({"messages": [{"role": "user", "content": "One?"}, {"role": "assistant",
            "content": "Two."}, {"role": "user", "content": "Three?"}]}),
            &["One?", "Two.", "Three?"],
        ),
        row(
            "other letters",
            user(json!("Gr\u{fc}\u{df}e \u{1f600} \"q\" \\ \n")),
            &["Gr\u{fc}\u{df}e \u{1f600} \"q\" \\ \n"],
        ),
        row("tools", tools(json!({})), &["get_weather", "Looks outside.", "city", "clock"]),
        row(
            "tool loop",
            tools(json!({"messages": [{"role": "user", "content": "Rain?"},
            {"role": "assistant", "content": null, "tool_calls": [called("call_1", "Bern")]},
            {"role": "tool", "tool_call_id": "call_1", "content": "It rains."}]})),
            &["Rain?", "Bern", "It rains."],
        ),
        row(
            "tool loop over two turns",
            tools(json!({"messages": [{"role": "user", "content": "Rain?"},
            {"role": "assistant", "content": "I look.", "tool_calls": [called("call_1", "Bern"), called("call_2", "Basel")]},
            {"role": "tool", "tool_call_id": "call_2", "content": "Dry."}, {"role": "tool", "tool_call_id": "call_1", "content": "Wet."},
            {"role": "assistant", "content": "Once more.", "tool_calls": [called("call_3", "Genf")]},
            {"role": "tool", "tool_call_id": "call_3", "content": [{"type": "text", "text": "Snow."}]},
            {"role": "user", "content": "So?"}]})),
            &["I look.", "Bern", "Basel", "Dry.", "Wet.", "Once more.", "Genf", "Snow.", "So?"],
        ),
        row("tool choice auto", tools(json!({"tool_choice": "auto"})), &["get_weather", "clock"]),
        Row {
            refused: &[("ollama", "tool_choice")],
            // Without tools there is nothing to choose from.
            left_out: "bedrock",
            ..row("tool choice none", tools(json!({"tool_choice": "none"})), &["none|NONE"])
        },
        Row {
            refused: &[("ollama", "tool_choice")],
            ..row(
                "tool choice required",
                tools(json!({"tool_choice": "required"})),
                &["get_weather", "required|any|ANY"],
            )
        },
        Row {
            refused: &[("ollama", "tool_choice")],
            ..row(
                "tool choice by name",
                tools(json!({"tool_choice": {"type": "function", "function": {"name": "clock"}}})),
                &["clock"],
            )
        },
        Row {
            refused: &[("bedrock gemini", "parallel_tool_calls"), ("ollama", "parallel_tool_calls")],
            ..row("one call at a time", tools(json!({"parallel_tool_calls": false})), &["parallel"])
        },
        Row {
            refused: &[("bedrock", "response_format")],
            ..row(
                "json object",
                json!({"response_format": {"type": "json_object"}, "messages": [{"role": "user", "content": "JSON!"}]}),
                &["json", "JSON!"],
            )
        },
        Row {
            refused: &[("deepseek", "response_format")],
            ..row("json schema", json!({"response_format": schema}), &["verdict"])
        },
        row("image by data", picture("data:image/png;base64,iVBORw0KGgo="), &["iVBORw0KGgo=", "image/png|png", "See?"]),
        Row {
            refused: &[("bedrock gemini", "messages[0].content[0]")],
            ..row("image by url", picture("https://example.com/a.png"), &["https://example.com/a.png", "See?"])
        },
        row(
            "document",
            user(json!([{"type": "file", "file": {"filename": "a.pdf",
            "file_data": "data:application/pdf;base64,JVBERi0xLjQ="}}, {"type": "text", "text": "Sum up."}])),
            &["JVBERi0xLjQ=", "application/pdf|pdf", "Sum up."],
        ),
        Row {
            refused: &[("anthropic bedrock gemini", "messages[0].content[0]")],
            ..row("a file elsewhere", user(json!([{"type": "file", "file": {"file_id": "file-1"}}])), &["file-1"])
        },
        Row {
            refused: &[("anthropic bedrock", "messages[0].content[0]")],
            ..row(
                "sound",
                user(json!([{"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}])),
                &["UklGRg=="],
            )
        },
        row("stop", json!({"stop": ["END-1", "END-2"]}), &["END-1", "END-2"]),
        row("one stop", json!({"stop": "END-1"}), &["END-1"]),
        row("temperature", json!({"temperature": 0.375}), &["0.375"]),
        Row {
            refused: &[("anthropic bedrock", "temperature")],
            ..row("high temperature", json!({"temperature": 1.625}), &["1.625"])
        },
        row("top_p", json!({"top_p": 0.875}), &["0.875"]),
        row("max_tokens", json!({"max_tokens": 7741}), &["7741"]),
        row("max_completion_tokens", json!({"max_completion_tokens": 7741}), &["7741"]),
        row("reasoning_effort", json!({"reasoning_effort": "high"}), &["reasoning_effort|thinking|thinkingConfig"]),
        Row { refused: &[("anthropic bedrock groq deepseek ollama", "n")], ..row("n", json!({"n": 7}), &["7"]) },
        Row {
            refused: &[("anthropic bedrock", "presence_penalty")],
            ..row("penalty", json!({"presence_penalty": 0.625}), &["0.625"])
        },
        Row {
            refused: &[("anthropic bedrock gemini mistral groq deepseek ollama", "logit_bias")],
            ..row("logit_bias", json!({"logit_bias": {"50256": -100}}), &["50256"])
        },
        Row {
            refused: &[("anthropic bedrock mistral groq together", "logprobs")],
            ..row("logprobs", json!({"logprobs": true}), &["logprobs|responseLogprobs"])
        },
        Row { left_out: "anthropic bedrock", ..row("seed", json!({"seed": 7741}), &["7741"]) },
        Row {
            left_out: "anthropic bedrock gemini mistral",
            ..row("user", json!({"user": "somebody-7"}), &["somebody-7"])
        },
        Row {
            left_out: "anthropic bedrock gemini mistral groq",
            ..row("metadata", json!({"metadata": {"a": "b-7741"}}), &["b-7741"])
        },
        Row {
            refused: &[("anthropic bedrock gemini mistral deepseek ollama", "functions")],
            ..row("functions", json!({"functions": [{"name": "clock", "parameters": {"type": "object"}}]}), &["clock"])
        },
        Row {
            refused: &[("anthropic bedrock gemini mistral groq deepseek ollama", "messages[1].role")],
            ..row(
                "a function's message",
                json!({"messages": [{"role": "user", "content": "Hi"},
                {"role": "function", "name": "clock", "content": "noon"}]}),
                &["noon", "clock"],
            )
        },
        Row {
            refused: &[("anthropic bedrock gemini", "tools[0].type")],
            ..row(
                "a tool that is no function",
                json!({"tools": [{"type": "custom", "custom": {"name": "sql"}}]}),
                &["sql"],
            )
        },
        Row {
            refused: &[("anthropic bedrock gemini mistral", "web_search_options")],
            ..row("web search", json!({"web_search_options": {}}), &["web_search_options"])
        },
        row(
            "nulls and defaults",
            json!({"n": 1, "temperature": null, "top_p": null, "presence_penalty": 0,
            "frequency_penalty": 0, "logprobs": false, "logit_bias": {}, "stop": null, "seed": null, "stream": false,
            "response_format": {"type": "text"}, "user": null, "max_tokens": null, "reasoning_effort": null,
            "functions": null, "function_call": null, "audio": null, "modalities": ["text"], "top_logprobs": null,
            "metadata": null, "parallel_tool_calls": null, "service_tier": null, "stream_options": null}),
            &["Good morning"],
        ),
    ]
}

#[test]
fn a_vendor_is_told_everything_or_the_client_is() {
    let mut cells = 0;
    for row in rows() {
        for vendor in VENDORS {
            cell(&row, vendor);
            cells += 1;
        }
    }
    assert!(cells > 500, "only {cells} cells");
}

fn cell(row: &Row, vendor: &Vendor) {
    let at = format!("{} x {}", row.name, vendor.name);
    let format = vendor.format();
    let received = row.body.to_string();
    let request =
        Request::parse(received.clone().into_bytes()).unwrap_or_else(|refusal| panic!("{at}: {}", refusal.message));
    let refused = row.refused.iter().find(|(vendors, _)| vendor.is_one_of(vendors)).map(|(_, field)| *field);
    let outcome = format.accepts(&request).err().map(|unsupported| unsupported.param);
    assert_eq!(outcome.as_deref(), refused, "{at}");
    if refused.is_some() {
        return;
    }
    let Vendor { model, base, api_version, .. } = *vendor;
    let call = Call { request: &request, model, base, api_version, stream_usage: StreamUsage::Asked };
    let outgoing = format.render(&call);
    let bytes = outgoing.body.apply(received.as_bytes()).into_owned();
    Doc::parse(bytes.clone()).unwrap_or_else(|e| panic!("{at}: no JSON: {e}"));
    let told: Value = serde_json::from_slice(&bytes).unwrap();
    let mut strings = Vec::new();
    flatten(&told, &mut strings);
    let left_out = vendor.is_one_of(row.left_out);
    for words in row.words {
        // One of several, where vendors have their own.
        let found = words.split('|').any(|word| strings.iter().any(|text| text.contains(word)));
        assert_eq!(found, !left_out, "{at}: {words:?} in {told}");
    }
    // Formats with a page of their own name what they leave out.
    if left_out && vendor.is_one_of("anthropic bedrock") && row.body.get(row.name).is_some() {
        assert_eq!(format.dropped(&call), [row.name], "{at}");
    }
}

/// All that a body says: names, texts, numbers; texts that are JSON themselves, too.
fn flatten(value: &Value, strings: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            strings.push(name.clone());
            flatten(value, strings);
        }),
        Value::Array(items) => items.iter().for_each(|item| flatten(item, strings)),
        Value::String(text) => strings.push(text.clone()),
        other => strings.push(other.to_string()),
    }
}
