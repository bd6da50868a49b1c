//! Routing that learns, told as scripts: what attempts teach, and who may see it.

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use serde_json::{Value, json};

use crate::stage::{Client, Message, Stage, ask, completion, error, pass_seconds};

const CHAT: &str = "/v1/chat/completions";
const JSON: &str = "application/json";

/// Two vendors that are alike, but the second is much dearer.
fn learning() -> Stage {
    let price = |usd: u32| json!({"input": usd, "output": usd});
    let serve = json!([{"vendor": "first", "price": price(1)}, {"vendor": "second", "price": price(9)}]);
    let weights = json!({"weights": {"cost": 1, "success": 1, "latency": 1}});
    Stage::with(&[("/routing", weights), ("/models/0", json!({"serve": serve})), ("/keys/0", json!({"admin": true}))])
}

/// A request, until the first vendor has it; which one that is.
fn goes_out(stage: &mut Stage) -> (Client<'_>, String) {
    says(stage, "hi")
}

fn says<'s>(stage: &'s mut Stage, text: &str) -> (Client<'s>, String) {
    let body = json!({"model": "both", "messages": [{"role": "user", "content": text}]});
    let client = stage.client(CHAT, body.to_string().into_bytes());
    let vendor = client.route().to_owned();
    (client, vendor)
}

/// Sends requests whose first attempt ends like this; how many went to the first vendor.
fn share(stage: &mut Stage, requests: usize, ends: fn(&mut Client<'_>)) -> usize {
    let mut first = 0;
    for _ in 0..requests {
        let (mut client, vendor) = goes_out(stage);
        first += usize::from(vendor == "first");
        client.attempt(&vendor);
        match vendor.as_str() {
            "first" => ends(&mut client),
            _ => drop(client.vendor_replies(200, JSON, &completion("hi"))),
        }
        client.leaves();
    }
    first
}

fn answers(client: &mut Client<'_>) {
    client.vendor_replies(200, JSON, &completion("hi"));
}

fn fails(client: &mut Client<'_>) {
    if client.vendor_fails(500, JSON, &error("no")) {
        client.attempt("second");
        client.vendor_replies(200, JSON, &completion("hi"));
    }
}

fn page(stage: &mut Stage, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> (u16, Value) {
    let Message { status, body, .. } = stage.refused(method, path, headers, body);
    (status, serde_json::from_slice(&body).unwrap())
}

#[test]
fn a_vendor_that_fails_is_left_and_found_again() {
    let mut stage = learning();
    assert_eq!(share(&mut stage, 10, answers), 10, "the cheaper one");
    assert!(share(&mut stage, 20, fails) < 8, "its breaker is open");
    assert_eq!(share(&mut stage, 10, answers), 0);
    let opens = page(&mut stage, "GET", "/api/status", &[], Vec::new()).1;
    assert_eq!((&opens["vendors"][0]["vendor"], &opens["vendors"][0]["breaker"]), (&json!("first"), &json!("open")));
    for _ in 0..60 {
        pass_seconds(1);
        share(&mut stage, 3, answers);
    }
    assert!(share(&mut stage, 10, answers) > 7, "it is back");
}

#[test]
fn what_a_client_cancels_or_gets_wrong_counts_for_nobody() {
    for ends in [
        |_: &mut Client<'_>| {},
        |client: &mut Client<'_>| {
            client.vendor_fails(400, JSON, &error("no"));
            client.envoy_answers(400);
        },
    ] {
        let mut stage = learning();
        assert_eq!(share(&mut stage, 30, ends), 30);
        let status = page(&mut stage, "GET", "/api/status", &[], Vec::new()).1;
        assert_eq!(status["vendors"][0]["breaker"], "closed");
        assert_eq!(status["vendors"][0]["in_flight"], 0);
    }
}

#[test]
fn a_limit_of_the_vendor_is_minded() {
    let mut stage = learning();
    let (mut client, vendor) = goes_out(&mut stage);
    client.attempt(&vendor);
    assert!(client.vendor_fails(429, JSON, &error("slow down")));
    client.leaves();
    assert_eq!(goes_out(&mut stage).1, "second", "one 429 is enough");
}

#[test]
fn an_admin_is_told_why() {
    let mut stage = learning();
    let dry = [("x-weir-explain", "dry-run")];
    let (status, why) = page(&mut stage, "POST", CHAT, &dry, ask("both", ""));
    assert_eq!((status, &why["reason"]), (200, &json!("best")));
    let names: Vec<_> = why["candidates"].as_array().unwrap().iter().map(|one| one["vendor"].clone()).collect();
    assert_eq!(names, ["first", "second"]);
    assert_eq!(why["candidates"][0]["cost"], 1);
    let mut client = stage.client_with(CHAT, &[("x-weir-explain", "1")], ask("both", ""));
    client.attempt("first");
    let answer = client.vendor_replies(200, JSON, &completion("hi"));
    let header: Value = serde_json::from_str(answer.header("x-weir-explain")).unwrap();
    assert_eq!(header["reason"], "best");
}

#[test]
fn nobody_else_is() {
    let mut stage = Stage::new();
    let explain = |value| [("x-weir-explain", value)];
    for (method, path, headers) in [
        ("GET", "/api/status", vec![]),
        ("POST", CHAT, explain("1").to_vec()),
        ("POST", CHAT, explain("dry-run").to_vec()),
    ] {
        let answer = stage.refused(method, path, &headers, ask("both", ""));
        assert!(answer.status == 403 && answer.text().contains("admin"), "{path}: {}", answer.text());
    }
    stage.change_key(|key| key.admin = true);
    let answer = stage.refused("POST", CHAT, &explain("yes"), ask("both", ""));
    assert!(answer.status == 400 && answer.text().contains("dry-run"));
}

#[test]
fn a_conversation_stays_where_it_was_while_that_is_nearly_as_good() {
    let price = |usd: u32| json!({"input": usd, "output": usd});
    let serve = json!([{"vendor": "first", "price": price(10)}, {"vendor": "second", "price": price(11)}]);
    for (affinity, pause, stays) in [("5m", 0, true), ("5m", 301, false), ("0s", 0, false)] {
        let routing = json!({"weights": {"cost": 1, "success": 1, "latency": 1}, "affinity": affinity});
        let mut stage = Stage::with(&[("/routing", routing), ("/models/0", json!({"serve": serve.clone()}))]);
        // The first vendor fails, so the second one answers, and is as good from then on.
        let (mut client, vendor) = says(&mut stage, "a conversation");
        client.attempt(&vendor);
        assert!(client.vendor_fails(429, JSON, &error("slow down")));
        client.attempt("second");
        client.vendor_replies(200, JSON, &completion("hi"));
        client.leaves();
        pass_seconds(60);
        share(&mut stage, 20, answers);
        pass_seconds(pause);
        let (mut client, vendor) = says(&mut stage, "a conversation");
        client.leaves();
        assert_eq!(vendor == "second", stays, "{affinity} {pause}");
    }
}

#[test]
fn a_prompt_goes_where_there_is_room_for_it() {
    let serve = json!([{"vendor": "first", "model": "gpt-4"}, {"vendor": "second", "model": "gpt-4-32k"}]);
    let mut stage = Stage::with(&[
        ("/limits", json!({"body_bytes": 1_000_000})),
        ("/vendors/0", json!({"url": "https://api.openai.com/v1"})),
        ("/models/0", json!({"serve": serve})),
    ]);
    for (characters, vendor) in [(4_000, "first"), (40_000, "second"), (400_000, "first")] {
        let (mut client, chosen) = says(&mut stage, &"x".repeat(characters));
        assert_eq!(chosen, vendor, "{characters}");
        client.leaves();
    }
}
