//! Batches: what is called when, what the client gets for what came back.

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use weir::flow::Head;
use weir::flow::call::{Call, Returned};
use weir::limit::{Mode, Rule, Rules};
use weir::redis::Reply;

use crate::stage::{Client, Stage, ask, pass_seconds};

const BATCH: &str = "/api/chat/completions/batch";

/// A list of these.
fn list(items: &[&str]) -> Vec<u8> {
    ["[", &items.join(","), "]"].concat().into_bytes()
}

/// So many requests that differ.
fn different(count: usize) -> Vec<u8> {
    let items: Vec<_> = (0..count).map(|number| format!("{{\"n\":{number}}}")).collect();
    list(&items.iter().map(String::as_str).collect::<Vec<_>>())
}

fn numbers(calls: &[Call]) -> Vec<usize> {
    calls.iter().map(|call| call.number).collect()
}

fn returned(status: u16, body: &str) -> Option<Returned> {
    Some(Returned { status, head: Head::default(), body: body.as_bytes().to_vec() })
}

fn shelf(stage: &Stage) -> String {
    format!("{:?}", stage.shelf)
}

/// Every call that is made, now and when one comes back, comes back with its number; how many there were.
fn echo_all(client: &mut Client<'_>) -> usize {
    let mut made = 0;
    let mut under_way = client.calls();
    while let Some(call) = under_way.pop() {
        made += 1;
        client.call_returns(call.number, returned(200, &call.number.to_string()));
        under_way.extend(client.calls());
    }
    made
}

#[test]
fn each_request_becomes_a_request() {
    let mut stage = Stage::new();
    let first = String::from_utf8(ask("lone", r#","x-api-key":"of an item""#)).unwrap();
    let body = list(&[&first, r#" {"b": "ü\u00fc"} "#]);
    let headers = [(":authority", "weir.test"), ("x-request-id", "r"), ("cookie", "c"), ("user-agent", "u")];
    let mut client = stage.client_with(BATCH, &headers, body);
    let calls = client.calls();
    let bodies: Vec<_> = calls.iter().map(|call| std::str::from_utf8(&call.body).unwrap()).collect();
    assert_eq!(bodies, [first.as_str(), r#"{"b": "ü\u00fc"}"#], "to the byte");
    let headers: Vec<_> = calls[1].headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(
        headers.join(", "),
        ":method: POST, :path: /api/chat/completions, :authority: weir.test, content-type: application/json, \
         x-api-key: all, x-request-id: r-1"
    );
    assert_eq!((calls[0].cluster, calls[0].timeout.as_millis()), ("weir_inner", 600_050));
}

#[test]
fn answers_stand_in_the_order_of_the_requests() {
    let mut stage = Stage::new();
    let mut client = stage.client(BATCH, different(3));
    assert_eq!(numbers(&client.calls()), [0, 1, 2]);
    client.call_returns(2, returned(403, r#"{"error":"no"}"#));
    client.call_returns(0, returned(200, "{\"id\": 1.50}\n"));
    assert_eq!(client.answered(), None);
    client.call_returns(1, returned(200, "[]"));
    let expected =
        r#"[{"status":200,"body":{"id": 1.50}},{"status":200,"body":[]},{"status":403,"body":{"error":"no"}}]"#;
    assert_eq!(client.answered(), Some((200, expected)));
    assert_eq!(client.answer().header("content-type"), "application/json");
    assert_eq!(client.leaves(), ["POST /api/chat/completions/batch 200 none none"]);
    assert_eq!(shelf(&stage), "Shelf(Cell { value: 0 })");
}

#[test]
fn the_same_request_is_called_once() {
    let mut stage = Stage::new();
    let body = br#"{"requests":[{"a":1},{"b":2},{"a":1},{"a": 1},{"a":1}]}"#;
    let mut client = stage.client(BATCH, body.to_vec());
    assert_eq!(numbers(&client.calls()), [0, 1, 3], "the same is what is the same to the byte");
    client.call_returns(0, returned(200, "0"));
    client.call_returns(1, returned(200, "1"));
    client.call_returns(3, returned(200, "3"));
    let bodies: String =
        client.answered().unwrap().1.split("\"body\":").skip(1).filter_map(|rest| rest.get(..1)).collect();
    assert_eq!(bodies, "01030");
}

#[test]
fn what_is_wrong_with_one_is_its_own_affair() {
    let mut stage = Stage::new();
    let mut client = stage.client(BATCH, list(&["7", r#"{"stream":true}"#, r#"{"stream":false}"#, "[[]]", "null"]));
    assert_eq!(numbers(&client.calls()), [2]);
    client.call_returns(2, returned(200, "{}"));
    let no_object = r#"{"status":400,"body":{"error":"a chat request must be a JSON object"}}"#;
    let stream = r#"{"status":400,"body":{"error":"stream: must not be true in a batch"}}"#;
    let expected = list(&[no_object, stream, r#"{"status":200,"body":{}}"#, no_object, no_object]);
    assert_eq!(client.answer().body, expected);
    let answer = stage.refused("POST", BATCH, &[], list(&["7"]));
    assert_eq!((answer.status, answer.body), (200, list(&[no_object])), "and if it is the only one");
}

#[test]
fn what_is_no_batch_is_refused() {
    for (body, says) in [
        (b"".to_vec(), "the request has no body; send a list of chat requests"),
        (b"[]".to_vec(), "a batch must hold at least one chat request"),
        (list(&["{}"; 65]), "a batch may hold at most 64 chat requests, not 65"),
        (ask("lone", ""), "the body must be a list of chat requests"),
        (b"[{]".to_vec(), "not acceptable JSON"),
        (b"[{\"a\":1,\"a\":2}]".to_vec(), "duplicate key"),
    ] {
        let answer = Stage::new().refused("POST", BATCH, &[], body);
        assert!(answer.status == 400 && answer.text().contains(says), "{} {}", answer.status, answer.text());
    }
    let refused = |method, headers: &[(&str, &str)], body| Stage::new().refused(method, BATCH, headers, body).status;
    assert_eq!(refused("GET", &[], Vec::new()), 405);
    assert_eq!(refused("POST", &[("x-api-key", "wrong")], different(1)), 401);
    assert_eq!(refused("POST", &[], vec![b' '; 2000]), 413);
    assert_eq!(refused("POST", &[("content-encoding", "gzip")], different(1)), 415);
}

#[test]
fn only_so_many_are_under_way_at_once() {
    let mut stage = Stage::new();
    let mut client = stage.client(BATCH, different(18));
    assert_eq!(client.calls().len(), 16);
    client.call_returns(5, returned(200, "5"));
    assert_eq!(numbers(&client.calls()), [16]);
    client.call_returns(5, returned(200, "again"));
    assert!(client.calls().is_empty(), "what has come back does not come back");
    client.call_returns(16, returned(200, "16"));
    assert_eq!(numbers(&client.calls()), [17]);
}

#[test]
fn a_key_has_no_more_under_way_than_it_may() {
    for (mode, width) in [(Mode::Enforce, 2), (Mode::Observe, 16)] {
        let mut stage = Stage::new();
        let concurrent = Some(Rule { bound: 2, mode });
        stage.change_key(|key| key.rules = Rules { concurrent, ..Rules::default() }.into());
        let mut client = stage.client(BATCH, different(64));
        let calls = client.calls();
        assert_eq!(calls.len(), width);
        client.call_returns(0, returned(200, "0"));
        assert_eq!(client.calls().len(), 1);
    }
}

#[test]
fn at_the_deadline_nothing_more_is_called() {
    let mut stage = Stage::new();
    let mut client = stage.client(BATCH, different(20));
    client.calls();
    pass_seconds(599);
    client.call_returns(0, returned(200, "0"));
    let last = client.calls();
    assert_eq!((numbers(&last), last[0].timeout.as_millis()), (vec![16], 1050), "what is left of the time");
    pass_seconds(1);
    client.call_returns(1, None);
    assert!(client.calls().is_empty());
    client.call_returns(2, returned(504, "upstream request timeout"));
    client.call_returns(3, returned(504, r#"{"error":"openai took too long"}"#));
    (4..=16).for_each(|number| client.call_returns(number, None));
    let late = r#"{"status":504,"body":{"error":"no answer within 600 seconds (routing.batch_timeout)"}}"#;
    let mut expected = vec![late; 20];
    expected[0] = r#"{"status":200,"body":0}"#;
    expected[3] = r#"{"status":504,"body":{"error":"openai took too long"}}"#;
    assert_eq!(client.answer().text(), std::str::from_utf8(&list(&expected)).unwrap());
}

#[test]
fn a_call_that_envoy_gives_up_is_the_deadline() {
    let mut stage = Stage::new();
    let mut client = stage.client(BATCH, different(20));
    client.calls();
    client.call_returns(0, returned(504, "upstream request timeout"));
    assert!(client.calls().is_empty(), "Envoy's clock is ahead of ours");
    (1..16).for_each(|number| client.call_returns(number, returned(200, "1")));
    let statuses: Vec<_> =
        client.answer().text().split("\"status\":").skip(1).filter_map(|rest| rest.get(..3)).collect();
    assert_eq!(statuses, [vec!["504"], vec!["200"; 15], vec!["504"; 4]].concat());
}

#[test]
fn what_comes_back_and_is_no_answer_is_a_502() {
    for outcome in [None, returned(200, "<html>"), returned(200, ""), returned(503, "no healthy upstream")] {
        let mut stage = Stage::new();
        let mut client = stage.client(BATCH, different(1));
        client.call_returns(0, outcome);
        let lost = "the answer to this request was lost inside the gateway, or is too large";
        let expected = format!(r#"[{{"status":502,"body":{{"error":"{lost}"}}}}]"#);
        assert_eq!(client.answered(), Some((200, expected.as_str())));
    }
    let mut stage = Stage::new();
    let mut client = stage.client(BATCH, different(1));
    client.call_returns(0, Some(Returned { status: 200, head: Head::default(), body: b"\"\xff\"".to_vec() }));
    assert!(client.answered().unwrap().1.starts_with(r#"[{"status":502"#), "JSON is UTF-8");
}

#[test]
fn more_than_fits_is_exchanged_for_an_error() {
    let mut stage = Stage::new();
    let same = vec!["{}"; 40];
    let items: Vec<_> = (0..18).map(|number| format!("{{\"n\":{number}}}")).collect();
    let all: Vec<_> = same.into_iter().chain(items.iter().map(String::as_str)).collect();
    let mut client = stage.client(BATCH, list(&all));
    assert_eq!(client.calls().len(), 16);
    client.call_returns(0, returned(200, &format!("\"{}\"", "x".repeat(2 << 20))));
    assert!(client.calls().is_empty(), "nobody could have the answers");
    (40..55).for_each(|number| client.call_returns(number, returned(200, "1")));
    let statuses: Vec<_> =
        client.answered().unwrap().1.split("\"status\":").skip(1).filter_map(|rest| rest.get(..3)).collect();
    let expected = [vec!["502"; 40], vec!["200"; 15], vec!["502"; 3]].concat();
    assert_eq!(statuses, expected);
    client.leaves();
    assert_eq!(shelf(&stage), "Shelf(Cell { value: 0 })");
}

#[test]
fn a_client_that_leaves_takes_what_is_not_called_with_it() {
    let mut stage = Stage::new();
    let mut client = stage.client(BATCH, different(20));
    client.calls();
    client.call_returns(0, returned(200, "0"));
    assert_eq!(client.leaves(), ["POST /api/chat/completions/batch 499 none none"]);
    assert_eq!(numbers(&client.calls()), [16], "made before it left");
    assert_eq!(shelf(&stage), "Shelf(Cell { value: 0 })");
}

#[test]
fn envoy_may_give_up_on_a_batch() {
    let mut stage = Stage::new();
    let mut client = stage.client(BATCH, different(20));
    client.call_returns(0, returned(200, "0"));
    assert_eq!(client.envoy_answers(504).status, 504);
    client.calls();
    client.call_returns(1, returned(200, "1"));
    assert!(client.calls().is_empty());
    assert_eq!(client.leaves(), ["POST /api/chat/completions/batch 504 none none"]);
    assert_eq!(shelf(&stage), "Shelf(Cell { value: 0 })");
}

#[test]
fn whose_key_redis_knows_may_send_batches() {
    for body_first in [true, false] {
        let mut stage = Stage::with_redis();
        let mut client = stage.arrive("POST", BATCH, &[("x-api-key", "stored")], b"[..]");
        if body_first {
            client.send(different(2));
            assert!(client.calls().is_empty());
        }
        let known = Some(vec![Reply::Bulk(br#"{"name":"team-b"}"#.to_vec())]);
        assert!(!client.redis_says(known), "it is answered here");
        if !body_first {
            client.send(different(2));
        }
        assert_eq!(echo_all(&mut client), 2);
        assert_eq!(client.answered(), Some((200, r#"[{"status":200,"body":0},{"status":200,"body":1}]"#)));
    }
}

#[test]
fn all_sixty_four_are_answered() {
    let mut stage = Stage::new();
    let mut client = stage.client(BATCH, different(64));
    assert_eq!(echo_all(&mut client), 64);
    let expected: Vec<_> = (0..64).map(|number| format!(r#"{{"status":200,"body":{number}}}"#)).collect();
    assert_eq!(client.answer().text(), ["[", &expected.join(","), "]"].concat());
}
