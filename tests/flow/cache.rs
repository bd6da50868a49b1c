//! Kept answers and identical requests, told as scripts: what only the order of events shows.

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use serde_json::json;

use crate::stage::{Stage, ask, chunk};

const CHAT: &str = "/v1/chat/completions";

#[test]
fn a_stream_whose_usage_nobody_asked_for_is_kept() {
    let mut stage = Stage::with(&[("", json!({"cache": {}}))]);
    let mut client = stage.client(CHAT, ask("lone", r#","stream":true"#));
    client.attempt("first");
    client.vendor_streams();
    // OpenAI says that there is no usage yet, in every chunk but the last.
    let unmetered = |chunk: Vec<u8>| [&chunk[..chunk.len() - 3], b",\"usage\":null}\n\n"].concat();
    client.piece(&unmetered(chunk("hi", "null")), false);
    client.piece(&unmetered(chunk("", "\"stop\"")), false);
    client.piece(b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n", false);
    client.piece(b"data: [DONE]\n\n", true);
    client.leaves();
    let answer = stage.refused("POST", CHAT, &[], ask("lone", ""));
    assert_eq!((answer.status, answer.header("x-weir-cache")), (200, "hit-l1"));
}
