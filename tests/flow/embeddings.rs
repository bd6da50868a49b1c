//! Embeddings: the way of a request for vectors, which is that of every other request.

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use serde_json::json;
use weir::flow::Head;
use weir::flow::call::Returned;
use weir::flow::exchange::Source;
use weir::flow::flight::News;

use crate::stage::{Client, Own, Stage, ask, completion, error, pass_seconds};

const PATH: &str = "/v1/embeddings";

/// A request for a model, with this input and more members.
fn embed(model: &str, input: &str, more: &str) -> Vec<u8> {
    format!(r#"{{"model":"{model}","input":{input}{more}}}"#).into_bytes()
}

/// A vendor's answer with one vector.
fn vector(usage: &str) -> Vec<u8> {
    let data = r#"[{"object":"embedding","index":0,"embedding":[0.5, -1e-3]}]"#;
    format!(r#"{{"object":"list","data":{data},"model":"m"{usage}}}"#).into_bytes()
}

const USAGE: &str = r#","usage":{"prompt_tokens":1000,"total_tokens":1000}"#;

#[test]
fn goes_from_vendor_to_vendor_and_back() {
    let mut stage = Stage::new();
    let body = embed("both", "[\"a\", \"b\"]", r#","encoding_format":"base64""#);
    let mut client = stage.client(PATH, body.clone());
    let sent = client.attempt("first");
    assert_eq!((sent.header(":path"), &sent.body), ("/v1/embeddings", &body));
    assert!(client.vendor_fails(429, "application/json", &error("slow down")));
    let sent = client.attempt("second");
    assert_eq!(sent.header(":path"), "/openai/deployments/deployed/embeddings?api-version=2024-10-21");
    let answer = client.vendor_replies(200, "application/json", &vector(USAGE));
    assert_eq!((answer.status, &answer.body), (200, &vector(USAGE)), "to the byte");
    assert_eq!(answer.header("x-weir-attempts"), "first:429,second:ok");
    assert_eq!(client.leaves(), ["POST /v1/embeddings 200 second both"]);
    assert!(stage.exchanges.is_empty());
}

#[test]
fn the_prompt_is_what_it_costs() {
    let mut stage = Stage::new();
    let mut client = stage.client("/api/embeddings", embed("priced", "[[1,2,3]]", ""));
    client.attempt("first");
    let answer = client.vendor_replies(200, "application/json", &vector(USAGE));
    assert_eq!(answer.header("x-weir-cost-usd"), "0.002");
    assert_eq!(client.spent(), Some((1000, 0, Source::Vendor)));
    client.leaves();
    let mut client = stage.client("/api/embeddings", embed("priced", "[[1,2,3]]", ""));
    client.attempt("first");
    let answer = client.vendor_replies(200, "application/json", &vector(""));
    assert_eq!(answer.header("x-weir-cost-usd"), "");
    assert_eq!(client.spent(), Some((3, 0, Source::Estimate)), "a token each");
}

#[test]
fn an_answer_to_something_else_is_none() {
    for body in [completion("hi"), b"{\"data\":[]}".to_vec(), b"{\"data\":[{\"embedding\":[]}]}".to_vec()] {
        let mut stage = Stage::new();
        let mut client = stage.client(PATH, embed("both", "\"a\"", ""));
        client.attempt("first");
        assert!(client.vendor_fails(200, "application/json", &body));
        client.attempt("second");
        let answer = client.vendor_replies(200, "application/json", &vector(USAGE));
        assert_eq!(answer.header("x-weir-attempts"), "first:bad_reply,second:ok");
    }
}

#[test]
fn a_vendor_without_embeddings_is_passed_over() {
    let vendors = json!([
        {"name": "claude", "kind": "anthropic", "url": "http://claude.test/v1"},
        {"name": "first", "kind": "openai", "url": "http://first.test/v1"},
    ]);
    let models = json!([
        {"name": "both", "serve": [{"vendor": "claude"}, {"vendor": "first"}]},
        {"name": "lone", "serve": [{"vendor": "claude"}]},
        {"name": "unserved", "serve": []},
    ]);
    let mut stage = Stage::with(&[("", json!({"vendors": vendors, "models": models}))]);
    assert_eq!(stage.client(PATH, embed("both", "\"a\"", "")).route(), "first");
    let answer = stage.refused("POST", PATH, &[], embed("lone", "\"a\"", ""));
    let says = r#"{"error":{"message":"embeddings are not supported by claude","type":"invalid_request_error","param":"model","code":"unsupported_endpoint"}}"#;
    assert_eq!((answer.status, answer.text()), (400, says));
}

#[test]
fn what_is_no_request_is_refused() {
    for (body, status, says) in [
        (Vec::new(), 400, "model and input"),
        (embed("both", "[]", ""), 400, "input: must not be empty"),
        (embed("both", "[[\"a\"]]", ""), 400, "input[0][0]: must be a token"),
        (embed("both", "\"a\"", r#","dimensions":0"#), 400, "dimensions: must be an integer"),
        (embed("both", "\"a\"", r#","stream":true"#), 400, "stream: must be false"),
        (crate::stage::ask("both", ""), 400, "input: is required"),
        (embed("nope", "\"a\"", ""), 404, "does not exist"),
    ] {
        let answer = Stage::new().refused("POST", PATH, &[], body);
        assert!(answer.status == status && answer.text().contains(says), "{} {}", answer.status, answer.text());
    }
    assert_eq!(Stage::new().refused("GET", PATH, &[], Vec::new()).status, 405);
    assert_eq!(Stage::new().refused("POST", PATH, &[("x-api-key", "limited")], embed("both", "\"a\"", "")).status, 403);
}

#[test]
fn a_kept_vector_is_given_again() {
    let mut stage = Stage::with(&[("", json!({"cache": {"only": "deterministic"}}))]);
    weir::flow::kept::prepare(&stage.config, &stage.store);
    let mut client = stage.client(PATH, embed("both", "\"a\"", ""));
    client.attempt("first");
    let answer = client.vendor_replies(200, "application/json", &vector(USAGE));
    assert_eq!(answer.header("x-weir-cache"), "miss");
    client.leaves();
    let same = embed("both", "[\"a\"]", r#","user":"u","encoding_format":"float""#);
    let answer = stage.refused("POST", "/api/embeddings", &[], same);
    assert_eq!((answer.status, answer.header("x-weir-cache"), &answer.body), (200, "hit-l1", &vector(USAGE)));
    let other = stage.client(PATH, embed("both", "\"a\"", r#","dimensions":2"#)).leaves();
    assert_eq!(other, ["POST /v1/embeddings 499 first both"]);
}

/// A worker that lets requests for one vector go together.
fn merging(more: serde_json::Value) -> Stage {
    let stage = Stage::with(&[("", json!({"embeddings": {"merge": true}})), ("", more)]);
    weir::flow::kept::prepare(&stage.config, &stage.store);
    stage
}

fn leader(stage: &mut Stage, model: &str) -> Own {
    let mut client = stage.client(PATH, embed(model, "\"first\"", ""));
    client.attempt("first");
    client.aside()
}

/// Clients whose requests wait.
fn waiting(stage: &mut Stage, model: &str, inputs: &[&str]) -> Vec<Own> {
    let client = |input: &&str| stage.client(PATH, embed(model, input, "")).aside();
    inputs.iter().map(client).collect()
}

/// The vendor answers the first one, whose end may be somebody's turn.
fn answered(stage: &mut Stage, own: Own) -> Vec<(u32, News)> {
    let mut client = stage.back(own);
    assert_eq!(client.vendor_replies(200, "application/json", &vector(USAGE)).status, 200);
    let news = std::mem::take(&mut stage.news);
    assert!(!matches!(&news[..], [(_, News::Share(_)), ..]));
    news
}

/// What came of a call for these, the last one first.
fn returned(vectors: &[&str], tokens: u64) -> Option<Returned> {
    let item = |(index, vector): (usize, &&str)| format!(r#"{{"index":{index},"embedding":[{vector}]}}"#);
    let data: Vec<_> = vectors.iter().enumerate().map(item).rev().collect();
    let usage = format!(r#"{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}"#);
    let body = format!(r#"{{"data":[{}],"usage":{usage}}}"#, data.join(","));
    let head = [("x-weir-vendor", "first"), ("x-weir-model", "priced"), ("x-weir-attempts", "first:ok"), ("date", "d")];
    let head = Head(head.map(|(name, value)| (name.to_owned(), value.into())).to_vec());
    Some(Returned { status: 200, head, body: body.into_bytes() })
}

/// Everybody is told its news; the numbers of those who were told nothing stay behind.
fn tell(stage: &mut Stage, clients: Vec<Own>, mut hears: impl FnMut(&mut Client<'_>)) -> Vec<Own> {
    let news = std::mem::take(&mut stage.news);
    let mut left = Vec::new();
    for own in clients {
        let mut client = stage.back(own);
        match news.iter().find(|(stream, _)| *stream == client.stream()) {
            Some((_, news)) => {
                client.hears(news.clone());
                hears(&mut client);
                left.push(client.aside());
            }
            None => left.push(client.aside()),
        }
    }
    left
}

#[test]
fn what_gathers_goes_as_one() {
    let mut stage = merging(json!({}));
    let first = leader(&mut stage, "priced");
    let clients = waiting(&mut stage, "priced", &["\"abcd\"", "[\"\\u0065fghijkl\"]", "\"m\""]);
    stage.news = answered(&mut stage, first);
    assert_eq!(stage.news, [(2, News::Turn)]);
    let clients = tell(&mut stage, clients, |client| assert!(client.answered().is_none()));
    let call = stage.errands.pop().unwrap();
    assert_eq!(call.body, embed("priced", r#"["abcd","\u0065fghijkl","m"]"#, ""));
    let headers: Vec<_> = call.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(
        headers.join(", "),
        ":method: POST, :path: /v1/embeddings, :authority: weir, content-type: application/json, x-api-key: all, \
         cache-control: no-store"
    );
    assert_eq!((call.cluster, call.timeout.as_secs(), stage.errands.len()), ("weir_inner", 600, 0));
    stage.errand_returns(call.number, returned(&["1", "2", "3"], 8));
    let mut answers = Vec::new();
    tell(&mut stage, clients, |client| {
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("x-weir-vendor"), answer.header("date")), (200, "first", ""));
        assert_eq!((answer.header("x-weir-merged"), answer.header("x-weir-attempts")), ("3", "first:ok"));
        answers.push((answer.text().to_owned(), answer.header("x-weir-cost-usd").to_owned()));
        assert_eq!(client.leaves(), ["POST /v1/embeddings 200 first priced"]);
    });
    let answer = |vector: &str, tokens: u64, cost: &str| {
        let usage = format!(r#"{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}"#);
        (format!(r#"{{"data":[{{"index":0,"embedding":[{vector}]}}],"usage":{usage}}}"#), cost.to_owned())
    };
    assert_eq!(answers, [answer("1", 2, "0.000004"), answer("2", 4, "0.000008"), answer("3", 2, "0.000004")]);
    let again = stage.client(PATH, embed("priced", "\"abcd\"", "")).leaves();
    assert_eq!(again, ["POST /v1/embeddings 499 first priced"], "nobody is on the way any more");
}

#[test]
fn requests_that_differ_do_not_wait_for_each_other() {
    let mut stage = merging(json!({}));
    leader(&mut stage, "priced");
    for body in [
        embed("both", "\"a\"", ""),
        embed("priced", "\"a\"", r#","dimensions":8"#),
        embed("priced", "[1]", ""),
        embed("priced", r#"["a","b"]"#, ""),
        ask("priced", ""),
    ] {
        let path = if body.windows(5).any(|word| word == b"input") { PATH } else { "/v1/chat/completions" };
        assert_eq!(stage.client(path, body).route(), "first");
    }
    let other = stage.client_with(PATH, &[("x-api-key", "limited")], embed("lone", "\"a\"", "")).aside();
    assert_eq!(stage.back(other).route(), "first");
    assert_eq!(stage.client("/api/embeddings", embed("priced", "\"a\"", "")).route(), "first", "errors differ there");
    assert_eq!(stage.client(PATH, embed("priced", "\"a\"", "")).route(), "", "this one waits");
    let mut apart = Stage::new();
    leader(&mut apart, "priced");
    assert_eq!(apart.client(PATH, embed("priced", "\"a\"", "")).route(), "first", "unless it is configured");
}

#[test]
fn one_that_is_alone_goes_alone() {
    let mut stage = merging(json!({}));
    let first = leader(&mut stage, "priced");
    let [own] = waiting(&mut stage, "priced", &["\"a\""]).try_into().ok().unwrap();
    stage.news = answered(&mut stage, first);
    let mut client = stage.back(own);
    assert!(client.hears(News::Turn), "it goes on");
    assert_eq!(client.attempt("first").body, embed("priced", "\"a\"", ""));
    let own = client.aside();
    let [mut next] = waiting(&mut stage, "priced", &["\"b\""]).try_into().ok().unwrap();
    stage.news.clear();
    stage.back(own).leaves();
    assert_eq!(stage.news, [(3, News::Turn)], "a client that leaves hands its turn on");
    let mut client = stage.back(next);
    assert!(client.hears(News::Turn));
    client.attempt("first");
    assert!(!client.vendor_fails(400, "application/json", &error("no")));
    assert_eq!(client.envoy_answers(400).status, 400);
    next = client.aside();
    drop(next);
    assert_eq!(stage.client(PATH, embed("priced", "\"c\"", "")).route(), "first", "and so does a failure");
}

#[test]
fn an_error_is_everybodys() {
    for (outcome, status, says) in [
        (None, 502, "lost inside the gateway"),
        (Some((504, "upstream request timeout")), 504, "routing.total_timeout"),
        (Some((200, r#"{"data":[{"embedding":[1]}]}"#)), 502, "lost inside the gateway"),
        (Some((429, r#"{"error":{"message":"Slow down."}}"#)), 429, "Slow down."),
    ] {
        let mut stage = merging(json!({}));
        let first = leader(&mut stage, "priced");
        let clients = waiting(&mut stage, "priced", &["\"a\"", "\"b\""]);
        stage.news = answered(&mut stage, first);
        let clients = tell(&mut stage, clients, |_| {});
        let head = Head(vec![("retry-after".to_owned(), b"7".to_vec())]);
        let outcome = outcome.map(|(status, body)| Returned { status, head, body: body.as_bytes().to_vec() });
        stage.errand_returns(1, outcome);
        let mut told = 0;
        tell(&mut stage, clients, |client| {
            let answer = client.answer();
            assert!(answer.status == status && answer.text().contains(says), "{} {}", answer.status, answer.text());
            assert_eq!(answer.header("retry-after") == "7", status == 429);
            told += 1;
        });
        assert_eq!(told, 2);
    }
}

#[test]
fn who_leaves_does_not_take_the_call_along() {
    let mut stage = merging(json!({}));
    let first = leader(&mut stage, "priced");
    let mut clients = waiting(&mut stage, "priced", &["\"a\"", "\"b\"", "\"c\""]);
    stage.news = answered(&mut stage, first);
    let gone = clients.remove(0);
    assert_eq!(stage.back(gone).leaves(), ["POST /v1/embeddings 499 none priced"]);
    assert_eq!(stage.news.pop(), Some((3, News::Turn)), "before its turn has begun");
    stage.news = vec![(3, News::Turn)];
    let mut clients = tell(&mut stage, clients, |_| {});
    let maker = clients.remove(0);
    stage.back(maker).leaves();
    let late = waiting(&mut stage, "priced", &["\"d\""]);
    stage.errand_returns(1, returned(&["1", "2"], 2));
    assert!(matches!(&stage.news[..], [(5, News::Turn), (4, News::Share(_))]), "{:?}", stage.news);
    clients.extend(late);
    let mut statuses = Vec::new();
    tell(&mut stage, clients, |client| statuses.push(client.answered().map(|(status, _)| status)));
    assert_eq!(statuses, [Some(200), None]);
}

#[test]
fn nobody_waits_for_longer_than_a_request_may_take() {
    let mut stage = merging(json!({}));
    leader(&mut stage, "priced");
    let clients = waiting(&mut stage, "priced", &["\"a\""]);
    pass_seconds(599);
    stage.looks_at_pools();
    assert_eq!(stage.news, []);
    pass_seconds(1);
    stage.looks_at_pools();
    tell(&mut stage, clients, |client| assert_eq!(client.answered().unwrap().0, 504));
}

#[test]
fn each_vector_is_kept_by_itself() {
    let mut stage = merging(json!({"cache": {"merge": "60s"}}));
    let first = leader(&mut stage, "priced");
    let clients = waiting(&mut stage, "priced", &["\"a\"", "\"b\"", "\"a\""]);
    stage.news = answered(&mut stage, first);
    let clients = tell(&mut stage, clients, |_| {});
    assert_eq!(stage.errands[0].body, embed("priced", r#"["a","b"]"#, ""), "the third follows the first");
    stage.errand_returns(1, returned(&["1", "2"], 2));
    let mut notes = Vec::new();
    let mut note = |client: &mut Client<'_>| notes.push(client.answer().header("x-weir-cache").to_owned());
    let clients = tell(&mut stage, clients, &mut note);
    tell(&mut stage, clients, &mut note);
    assert_eq!(notes, ["miss", "miss", "coalesced"]);
    let answer = stage.refused("POST", PATH, &[], embed("priced", "\"b\"", ""));
    assert_eq!(answer.header("x-weir-cache"), "hit-l1");
    assert!(answer.text().contains(r#""embedding":[2]"#), "{}", answer.text());
}
