//! Who is calling, told as scripts: what Redis is asked, what it says, what the client gets.

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use std::rc::Rc;
use std::time::Duration;

use weir::auth::{self, Recalled};
use weir::config::Key;
use weir::redis::Reply;

use crate::stage::{Client, Stage, ask, pass_seconds};

const CHAT: &str = "/v1/chat/completions";
const STORED: &[(&str, &str)] = &[("x-api-key", "stored")];
/// `GET weir:key:` and the SHA-256 of `stored`.
const QUESTION: &str = "GET weir:key:87b04e58961f9a99d853d4046a0b5b793e7c3e4bbd21f5aca8fb17c20cdb1d8b";

fn says(json: &str) -> Option<Vec<Reply>> {
    Some(vec![Reply::Bulk(json.as_bytes().to_vec())])
}

fn a_key() -> Option<Vec<Reply>> {
    says(r#"{"name":"team-b"}"#)
}

fn error(text: &str) -> Option<Vec<Reply>> {
    Some(vec![Reply::Error(text.to_owned())])
}

/// A stage on which the key `stored` was found just now.
fn acquainted() -> Stage {
    let mut stage = Stage::with_redis();
    stage.arrive("GET", "/v1/models", STORED, b"").redis_says(a_key());
    stage
}

fn status(client: &Client<'_>) -> Option<u16> {
    client.answered().map(|(status, _)| status)
}

#[test]
fn redis_answers_before_the_body_is_here() {
    let mut stage = Stage::with_redis();
    let mut client = stage.arrive("POST", CHAT, STORED, &ask("both", ""));
    assert!(client.asked().starts_with("GET weir:key:"));
    client.sends_so_far(10);
    assert!(!client.redis_says(a_key()), "the body is still on its way");
    client.sends_so_far(20);
    client.send(ask("both", ""));
    assert_eq!(client.route(), "first");
    client.attempt("first");
    assert_eq!(client.leaves(), ["POST /v1/chat/completions 499 first both"]);
}

#[test]
fn redis_answers_when_the_body_is_here() {
    let mut stage = Stage::with_redis();
    let mut client = stage.arrive("POST", CHAT, STORED, &ask("both", ""));
    client.send(ask("both", ""));
    assert_eq!((client.route(), client.answered()), ("", None), "nothing goes anywhere before the key is known");
    assert!(client.redis_says(a_key()), "the request goes on");
    assert_eq!(client.route(), "first");
    client.attempt("first");
}

#[test]
fn the_digest_is_what_redis_is_asked_for() {
    let mut stage = Stage::with_redis();
    let mut client = stage.arrive("GET", "/v1/models", STORED, b"");
    assert_eq!(client.asked(), QUESTION);
    assert_eq!(client.leaves(), ["GET /v1/models 499 none none"], "who leaves while it is looked up is counted");
}

#[test]
fn keys_of_the_file_are_not_looked_up() {
    let mut stage = Stage::with_redis();
    let mut client = stage.arrive("GET", "/v1/models", &[], b"");
    assert_eq!((client.asked().as_str(), status(&client)), ("", Some(200)));
    let mut client = stage.arrive("POST", CHAT, &[], &ask("both", ""));
    client.send(ask("both", ""));
    assert_eq!((client.asked().as_str(), client.route()), ("", "first"));
}

#[test]
fn without_redis_nothing_is_looked_up() {
    let mut stage = Stage::new();
    let mut client = stage.arrive("GET", "/v1/models", STORED, b"");
    assert_eq!((client.asked().as_str(), status(&client)), ("", Some(401)));
}

#[test]
fn a_stored_key_has_its_permissions() {
    let limited = || says(r#"{"name":"team-b","models":["lone"]}"#);
    let mut stage = Stage::with_redis();
    let mut client = stage.arrive("GET", "/v1/models", STORED, b"");
    client.redis_says(limited());
    let (_, models) = client.answered().unwrap();
    assert!(models.contains(r#""id":"lone""#) && !models.contains("both"), "{models}");
    let mut client = stage.arrive("POST", CHAT, STORED, &ask("both", ""));
    client.send(ask("both", ""));
    assert_eq!((client.asked().as_str(), status(&client)), ("", Some(403)), "remembered");
    assert_eq!(client.leaves(), ["POST /v1/chat/completions 403 none both"]);
}

#[test]
fn what_is_no_key_is_refused() {
    for (reply, warning) in [
        (Some(vec![Reply::Nil]), None),
        (says("{}"), Some("87b04e58.. in Redis is refused: name: missing")),
        (says("[]"), Some("87b04e58.. in Redis is refused: must be a JSON object")),
        (says(r#"{"name":"a","models":["x"],"y\n":1}"#), Some("models[0]: there is no model \"x\"")),
        (error("WRONGTYPE no string"), Some("87b04e58.. in Redis is refused: WRONGTYPE no string")),
        (Some(vec![Reply::Integer(1)]), Some("not a string")),
    ] {
        let mut stage = Stage::with_redis();
        let mut client = stage.arrive("POST", CHAT, STORED, &ask("both", ""));
        client.send(ask("both", ""));
        assert!(!client.redis_says(reply.clone()));
        let (status, text) = client.answered().unwrap();
        assert_eq!(status, 401, "{reply:?}");
        assert!(text.contains("this API key is not known"));
        let logged = client.logged();
        assert_eq!(logged.len(), usize::from(warning.is_some()));
        assert!(logged.iter().all(|line| line.contains(warning.unwrap()) && !line.contains('\n')), "{logged:?}");
        let mut again = stage.arrive("POST", CHAT, STORED, &ask("both", ""));
        assert_eq!((again.asked().as_str(), again.answered().unwrap().0), ("", 401), "remembered, and not told again");
        assert!(again.logged().is_empty());
    }
}

#[test]
fn an_absent_redis_is_not_the_keys_fault() {
    for reply in [None, error("upstream failure"), error("LOADING Redis is loading the dataset in memory")] {
        let mut stage = Stage::with_redis();
        let mut client = stage.arrive("POST", "/api/chat/completions", STORED, &ask("both", ""));
        client.redis_says(reply.clone());
        assert_eq!(client.answer().header("retry-after"), "1");
        let expected = r#"{"error":"the gateway cannot look this API key up at the moment, try again"}"#;
        assert_eq!(client.answered(), Some((503, expected)), "{reply:?}");
        assert!(client.logged().is_empty());
        let mut again = stage.arrive("GET", "/v1/models", STORED, b"");
        assert_eq!(again.asked(), QUESTION, "nothing was learned");
    }
}

#[test]
fn a_key_that_was_good_outlives_an_outage() {
    let mut stage = acquainted();
    for _ in 0..3 {
        pass_seconds(3600);
        let mut client = stage.arrive("GET", "/v1/models", STORED, b"");
        assert_eq!(client.asked(), QUESTION);
        client.redis_says(None);
        assert_eq!(status(&client), Some(200));
    }
    let mut client = stage.arrive("GET", "/v1/models", STORED, b"");
    client.redis_says(Some(vec![Reply::Nil]));
    assert_eq!(status(&client), Some(401), "Redis has the last word");
    pass_seconds(3600);
    let mut client = stage.arrive("GET", "/v1/models", STORED, b"");
    client.redis_says(None);
    assert_eq!(status(&client), Some(503), "and what it revoked does not come back");
}

#[test]
fn an_answer_is_good_for_two_seconds() {
    let mut stage = acquainted();
    for (seconds, question) in [(1, ""), (1, QUESTION)] {
        pass_seconds(seconds);
        assert_eq!(stage.arrive("GET", "/v1/models", STORED, b"").asked(), question);
    }
}

#[test]
fn whatever_is_wrong_with_the_request_is_said_after_the_key_is_known() {
    let gzip = [("x-api-key", "stored"), ("content-encoding", "gzip")];
    let huge = [("x-api-key", "stored"), ("content-length", "99999999999")];
    let large = [("x-api-key", "stored"), ("content-length", "2000")];
    for (headers, body, expected) in [
        (STORED, Vec::new(), 400),
        (STORED, vec![b' '; 2000], 413),
        (&gzip, ask("both", ""), 415),
        (&huge, ask("both", ""), 413),
        (&large, vec![b' '; 2000], 413),
    ] {
        for reply in [a_key(), Some(vec![Reply::Nil]), None] {
            let expected = if reply == a_key() { expected } else { reply.as_ref().map_or(503, |_| 401) };
            let mut stage = Stage::with_redis();
            let mut client = stage.arrive("POST", CHAT, headers, &body);
            if !body.is_empty() {
                client.send(body.clone());
            }
            assert_eq!(client.answered(), None);
            client.redis_says(reply.clone());
            assert_eq!(status(&client), Some(expected), "{headers:?} {reply:?}");
            let mut stage = Stage::with_redis();
            let mut client = stage.arrive("POST", CHAT, headers, &body);
            client.redis_says(reply);
            if client.answered().is_none() {
                client.send(body.clone());
            }
            assert_eq!(status(&client), Some(expected), "the body comes last");
        }
    }
}

#[test]
fn envoy_may_give_up_on_a_request_that_is_looked_up() {
    let mut stage = Stage::with_redis();
    let mut client = stage.arrive("POST", CHAT, STORED, &ask("both", ""));
    assert_eq!(client.envoy_answers(408).status, 408);
    assert!(client.redis_says(a_key()), "nobody is there any more");
    assert_eq!(client.leaves(), ["POST /v1/chat/completions 408 none none"]);
}

#[test]
fn a_key_has_its_time_wherever_it_is_kept() {
    let now = Duration::from_secs(1_704_110_400);
    for (change, says) in [
        ((|key| key.enabled = false) as fn(&mut Key), "this API key is disabled"),
        (|key| key.expires = Some(Duration::ZERO), "this API key expired"),
    ] {
        for headers in [&[][..], STORED] {
            let mut stage = acquainted();
            stage.change_key(change);
            let Recalled::Key(mut stored) = stage.keys.recall(&auth::digest("stored"), now) else { panic!() };
            change(Rc::make_mut(&mut stored));
            stage.keys.learn(auth::digest("stored"), Some(&stored), now);
            let client = stage.arrive("POST", CHAT, headers, &ask("both", ""));
            let (status, text) = client.answered().unwrap();
            assert!(status == 401 && text.contains(says), "{status} {text}");
        }
    }
    let mut stage = acquainted();
    pass_seconds(10);
    stage.change_key(|key| key.expires = Some(Duration::from_secs(1_704_110_411)));
    assert_eq!(status(&stage.arrive("GET", "/v1/models", &[], b"")), Some(200));
    pass_seconds(1);
    assert_eq!(status(&stage.arrive("GET", "/v1/models", &[], b"")), Some(401));
}

#[test]
fn an_outage_does_not_prolong_a_key() {
    let mut stage = acquainted();
    let now = Duration::from_secs(1_704_110_400);
    let Recalled::Key(mut stored) = stage.keys.recall(&auth::digest("stored"), now) else { panic!() };
    Rc::make_mut(&mut stored).expires = Some(now + Duration::from_secs(60));
    stage.keys.learn(auth::digest("stored"), Some(&stored), now);
    for (seconds, expected) in [(59, 200), (1, 401)] {
        pass_seconds(seconds);
        let mut client = stage.arrive("GET", "/v1/models", STORED, b"");
        client.redis_says(None);
        assert_eq!(status(&client), Some(expected));
    }
}
