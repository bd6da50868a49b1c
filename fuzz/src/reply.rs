//! Whole replies of vendors, and their errors.

use std::time::Duration;

use serde_json::Value as Tree;
use weir::chat::request::Delivery;
use weir::chat::{Request, Task, replay};
use weir::refusal::{Refusal, Surface};
use weir::vendor::{Asked, Failure, Fault, Format, Wanted, Whole};

use super::messages;
use super::stream::FINISHES;

/// What a client reads of this reply is one of OpenAI's, or an error that says so.
pub(crate) fn of(kinds: &[&str], bytes: &[u8]) {
    for kind in kinds {
        let format = weir::vendor::format(kind).unwrap_or_else(|| panic!("no format is called {kind}"));
        understood(format, Task::Chat, format.reply(bytes, &asked(Task::Chat)));
        for wanted in WANTED.iter().filter(|_| format.offers(Task::Embeddings)) {
            let request = Request::read(Task::Embeddings, wanted.as_bytes().to_vec());
            let request = request.unwrap_or_else(|refusal| panic!("{}", refusal.message));
            let wanted = Wanted { request: &request, tokens: 5 };
            understood(format, Task::Embeddings, format.vectors(bytes, &asked(Task::Embeddings), &wanted));
        }
    }
}

/// What vectors are asked for: one, and several in the other encoding.
const WANTED: [&str; 2] =
    [r#"{"model":"m","input":"a"}"#, r#"{"model":"m","input":["a","b"],"encoding_format":"base64"}"#];

fn asked(task: Task) -> Asked {
    Asked { task, model: "m".to_owned(), id: "r".to_owned(), created: 1, delivery: Delivery::Whole }
}

fn understood(format: &dyn Format, task: Task, reply: Result<Whole<'_>, Fault>) {
    let whole = match reply {
        Ok(whole) => whole,
        Err(fault) => return told(&Failure::from_fault(format.kind(), fault).refusal),
    };
    match serde_json::from_slice(&whole.body) {
        Ok(read) => {
            well_formed(format, task, &read, &whole.body);
            messages::answered(&whole.body);
        }
        // A number beyond a double is JSON, and relayed as it came; and so is half a surrogate in a text that is passed over.
        Err(e) if e.to_string().contains("out of range") || e.to_string().contains("surrogate") => {
            assert!(std::str::from_utf8(&whole.body).is_ok(), "{}: a reply is no text", format.kind());
        }
        Err(e) => panic!("{}: a reply is no JSON: {e}", format.kind()),
    }
}

fn well_formed(format: &dyn Format, task: Task, read: &Tree, body: &[u8]) {
    let kind = format.kind();
    let list = if task == Task::Chat { "choices" } else { "data" };
    let items = read[list].as_array().unwrap_or_else(|| panic!("{kind}: {list} is no list"));
    assert!(!items.is_empty(), "{kind}: {list} is empty");
    // OpenAI's own words are relayed as they are.
    if task == Task::Chat && !["openai", "azure"].contains(&kind) {
        let known = |choice: &Tree| match &choice["finish_reason"] {
            Tree::Null => true,
            reason => reason.as_str().is_some_and(|reason| FINISHES.contains(&reason)),
        };
        assert!(items.iter().all(known), "{kind}: an end that clients do not know");
    }
    if ["anthropic", "bedrock", "gemini"].contains(&kind) && task == Task::Chat {
        written(kind, read, items);
        assert!(replay::events(body, true).is_some(), "{kind}: an answer that cannot be told as a stream");
    }
}

/// What a reply is that Weir itself has written.
fn written(kind: &str, read: &Tree, choices: &[Tree]) {
    assert_eq!(read["object"], "chat.completion");
    assert!(read["id"].is_string() && read["model"].is_string() && read["created"] == 1, "{kind}: {read}");
    let mut ids: Vec<&Tree> = Vec::new();
    for choice in choices {
        let message = &choice["message"];
        assert!(message["role"] == "assistant" && choice["finish_reason"].is_string(), "{kind}: {choice}");
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            assert!(call["id"].is_string() && call["type"] == "function", "{kind}: {call}");
            assert!(call["function"]["name"].is_string() && call["function"]["arguments"].is_string());
            ids.push(&call["id"]);
        }
    }
    if let Some(usage) = read["usage"].as_object() {
        let number = |name: &str| usage[name].as_u64().unwrap_or_else(|| panic!("{kind}: {name} in {usage:?}"));
        let (prompt, completion) = (number("prompt_tokens"), number("completion_tokens"));
        assert_eq!(number("total_tokens"), prompt + completion, "{kind}: a wrong sum");
        assert!(usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap_or(0) <= prompt);
        assert!(usage["completion_tokens_details"]["reasoning_tokens"].as_u64().unwrap_or(0) <= completion);
    }
}

/// An error of a vendor, with each status: a client reads JSON that says what is wrong, and no page of the web.
pub(crate) fn error(bytes: &[u8]) {
    for status in [400, 401, 402, 403, 404, 408, 409, 413, 418, 422, 424, 429, 498, 499, 500, 502, 503, 504, 529, 599] {
        let failure = Failure::from_status("vendor", status, Some(Duration::from_secs(3)), bytes);
        told(&failure.refusal);
        if matches!(status, 401 | 403) {
            assert!(!failure.refusal.message.is_empty());
        }
    }
}

fn told(refusal: &Refusal) {
    assert!((400..600).contains(&refusal.status), "a refusal with {}", refusal.status);
    for path in ["/v1/chat/completions", "/api/chat/completions"] {
        let body: Tree = serde_json::from_slice(&refusal.body(Surface::of(path), "")).expect("a refusal is JSON");
        let message = if body["error"].is_object() { &body["error"]["message"] } else { &body["error"] };
        assert!(message.as_str().is_some_and(|text| !text.is_empty()), "a refusal without words: {body}");
    }
}
