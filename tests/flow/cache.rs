//! Kept answers and identical requests, told as scripts: what only the order of events shows.

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use std::rc::Rc;
use std::time::Duration;

use serde_json::json;
use weir::cache::{self, Entry, Normal};
use weir::chat::Request;
use weir::flow::Effect;
use weir::flow::flight::{self, Leader, Lease, News};
use weir::redis::{Command, Naming, Reply};

use crate::stage::{Client, Stage, ask, chunk, completion, error, now, redis};

const CHAT: &str = "/v1/chat/completions";
const JSON: &str = "application/json";
/// Another stream that asks the same, and how long it waits.
const NEXT: u32 = 7;
const LONG: Duration = Duration::from_secs(3_000_000_000);

/// Those who keep answers, and a key with limits.
fn keeping(more: Vec<(&'static str, serde_json::Value)>) -> Stage {
    let limits = json!({"limits": {"requests": {"rate": "60/min", "burst": 10}}});
    Stage::with(&[vec![("", json!({"cache": {}})), ("/keys/0", limits)], more].concat())
}

/// By what the answer to `ask("lone", "")` is kept.
fn key(stage: &Stage) -> cache::Key {
    let digest = stage.config.keys[0].sha256.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let request = Request::parse(ask("lone", "")).unwrap();
    cache::key(&format!("key:{digest}"), "lone", &request, Normal::default())
}

fn entry() -> Entry {
    let (vendor, model, ttl) = ("first".to_owned(), "lone".to_owned(), Duration::from_secs(60));
    Entry { answer: completion("kept"), vendor, model, cost: 3, stored: now(), ttl }
}

fn asks(stage: &mut Stage) -> Client<'_> {
    let body = ask("lone", "");
    let mut client = stage.arrive("POST", CHAT, &[], &body);
    client.send(body);
    client
}

/// A client that waits for another stream of its worker.
fn follows(stage: &mut Stage) -> Client<'_> {
    let key = key(stage);
    stage.flights.depart(key, Leader::Here);
    let mut client = asks(stage);
    assert_eq!(client.asks().len(), 0, "it asks nobody");
    assert_eq!(client.answered(), None);
    client
}

/// A client that leads, and another one behind it.
fn leads(stage: &mut Stage, to: impl FnOnce(&mut Client<'_>)) -> Vec<(u32, News)> {
    let key = key(stage);
    let mut client = asks(stage);
    client.followed_by(&key, NEXT, LONG);
    to(&mut client);
    client.leaves();
    client.news()
}

/// The subjects of commands, of those that are about kept answers their first key.
fn subjects(commands: &[Command]) -> Vec<String> {
    let subject = |command: &Command| {
        let words: Vec<_> =
            command.words(Naming::Digest).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let name = if words[0] == "EVALSHA" { &words[3] } else { &words[1] };
        format!("{} {}", words[0], name.split('{').next().unwrap())
    };
    commands.iter().map(subject).collect()
}

/// Redis admits a claim on ten requests, of which one is used then.
fn admitted() -> Reply {
    let now = i64::try_from(now().as_micros()).unwrap();
    let numbers = [now, now, 1, 1, now + 1_000_000, 0, 0, 0, 0, 0, 0, 0];
    Reply::Bulk(numbers.map(|number| number.to_string()).join(" ").into_bytes())
}

const MINE: Reply = Reply::Integer(1);
const TAKEN: Reply = Reply::Nil;

fn nothing() -> Reply {
    Reply::Bulk(Vec::new())
}

fn is_lead(news: &[(u32, News)]) -> bool {
    matches!(news, [(NEXT, News::Lead(_))])
}

#[test]
fn who_follows_hears_the_answer() {
    let mut stage = keeping(Vec::new());
    let mut client = follows(&mut stage);
    assert!(!client.hears(News::Answer(Rc::new(entry()))));
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("x-weir-cache"), answer.header("age")), (200, "coalesced", "0"));
    assert_eq!(answer.body, completion("kept"));
}

fn lease(key: cache::Key) -> Lease {
    Lease { key, holder: 5, recorded: true, until: now() + LONG }
}

#[test]
fn who_follows_goes_out_when_it_is_its_turn_or_time() {
    let lead = |stage: &Stage| News::Lead(lease(key(stage)));
    for news in [lead, |_: &Stage| News::Alone] {
        let mut stage = keeping(Vec::new());
        let news = news(&stage);
        let mut client = follows(&mut stage);
        assert!(client.hears(news) && client.route() == "first");
        client.attempt("first");
        assert_eq!(client.vendor_replies(200, JSON, &completion("hi")).header("x-weir-cache"), "miss");
    }
}

#[test]
fn who_leads_later_looks_once_more() {
    let mut stage = keeping(Vec::new());
    let mut client = asks(&mut stage);
    client.attempt("first");
    client.vendor_replies(200, JSON, &completion("hi"));
    client.leaves();
    // The answer came between the look at the cache and the lease.
    let key = key(&stage);
    let kept = std::mem::take(&mut stage.store);
    let mut client = follows(&mut stage);
    client.has_store(kept);
    assert!(!client.hears(News::Lead(lease(key))));
    assert_eq!(client.answer().header("x-weir-cache"), "coalesced");
}

#[test]
fn whoever_leads_hands_on_or_lands() {
    let leaves: fn(&mut Client<'_>) = |_| {};
    let fails = |client: &mut Client<'_>| {
        client.attempt("first");
        client.vendor_fails(503, JSON, &error("busy"));
        client.envoy_answers(503);
    };
    let breaks = |client: &mut Client<'_>| {
        client.attempt("first");
        client.vendor_fails(400, JSON, &error("no"));
        client.envoy_answers(400);
    };
    for (what, plays) in [("leaves", leaves), ("fails", fails), ("is refused", breaks)] {
        let news = leads(&mut keeping(Vec::new()), plays);
        assert!(is_lead(&news), "{what}: {news:?}");
    }
    let news = leads(&mut keeping(Vec::new()), |client| {
        client.attempt("first");
        client.vendor_replies(200, JSON, &completion("hi"));
    });
    assert!(matches!(&news[..], [(NEXT, News::Answer(entry))] if entry.answer == completion("hi")), "{news:?}");
}

#[test]
fn whoever_leaves_before_it_goes_out_hands_on() {
    let admitting: fn(&mut Client<'_>) = |client| assert_eq!(client.asks().len(), 3);
    let looking = |client: &mut Client<'_>| assert!(!client.redis_says(Some(vec![TAKEN, nothing(), admitted()])));
    let asking = |client: &mut Client<'_>| {
        client.redis_says(Some(vec![TAKEN, nothing(), admitted()]));
        client.asks();
        client.hears(News::Look);
        assert_eq!(client.asks().len(), 2);
    };
    for (state, plays) in [("admitting", admitting), ("looking", looking), ("asking again", asking)] {
        let news = leads(&mut keeping(vec![redis()]), plays);
        assert!(is_lead(&news), "{state}: {news:?}");
    }
}

#[test]
fn who_is_gone_when_it_is_its_turn_is_passed_over() {
    let mut stage = keeping(Vec::new());
    let key = key(&stage);
    stage.flights.depart(key, Leader::Here);
    stage.flights.follow(&key, NEXT, LONG);
    let effects = stage.looks(|world| flight::unheard(News::Lead(lease(key)), world));
    assert!(matches!(&effects[..], [Effect::Wake(streams, News::Lead(_))] if streams == &[NEXT]), "{effects:?}");
}

#[test]
fn what_redis_keeps_costs_nothing_of_the_limits() {
    let mut stage = keeping(vec![redis()]);
    let record = Reply::Bulk(entry().encode(&key(&stage)));
    let mut client = asks(&mut stage);
    assert_eq!(subjects(&client.asks()), ["EVALSHA weir:lease:", "GETRANGE weir:cache:", "EVALSHA weir:"]);
    assert!(!client.redis_says(Some(vec![MINE, record, admitted()])));
    assert_eq!(client.answer().header("x-weir-cache"), "hit-l2");
    let told = subjects(&client.tells());
    assert_eq!(told, ["EVALSHA weir:", "EVALSHA weir:lease:"], "the claim is withdrawn and the lease free");
}

#[test]
fn what_redis_keeps_makes_no_headers_of_its_own() {
    let mut stage = keeping(vec![redis()]);
    let forged = Entry { vendor: "a\r\nset-cookie: b".to_owned(), model: "c\r\n\r\nd".to_owned(), ..entry() };
    let record = Reply::Bulk(forged.encode(&key(&stage)));
    let mut client = asks(&mut stage);
    client.asks();
    client.redis_says(Some(vec![MINE, record, admitted()]));
    let answer = client.answer();
    assert_eq!((answer.header("x-weir-vendor"), answer.header("x-weir-model")), ("a??set-cookie: b", "c????d"));
}

#[test]
fn who_waits_for_another_gateway_holds_nothing_of_the_limits() {
    let mut stage = keeping(vec![redis()]);
    let record = Reply::Bulk(entry().encode(&key(&stage)));
    let mut client = asks(&mut stage);
    client.asks();
    assert!(!client.redis_says(Some(vec![TAKEN, nothing(), admitted()])));
    assert_eq!(subjects(&client.tells()), ["EVALSHA weir:"]);
    for _ in 0..2 {
        assert!(!client.hears(News::Look));
        assert_eq!(subjects(&client.asks()), ["EVALSHA weir:lease:", "GETRANGE weir:cache:"]);
        assert!(!client.redis_says(Some(vec![TAKEN, nothing()])));
    }
    client.hears(News::Look);
    client.redis_says(Some(vec![TAKEN, record]));
    assert_eq!(client.answer().header("x-weir-cache"), "hit-l2");
}

#[test]
fn when_the_other_gateway_gives_up_the_limits_are_asked_again() {
    for replies in [Some(vec![MINE, nothing()]), None] {
        let mut stage = keeping(vec![redis()]);
        let mut client = asks(&mut stage);
        client.redis_says(Some(vec![TAKEN, nothing(), admitted()]));
        client.hears(News::Look);
        client.asks();
        assert!(!client.redis_says(replies));
        assert_eq!(subjects(&client.asks()), ["EVALSHA weir:"]);
        assert!(client.redis_says(Some(vec![admitted()])));
        assert_eq!(client.route(), "first");
    }
}

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
