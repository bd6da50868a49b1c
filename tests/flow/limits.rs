//! Limits and budgets, told as scripts: who is refused and for how long, what Redis is asked and told, and what is left
//! when a request is over. All buckets here fill by one a second, so seconds are requests and tokens.

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use std::time::Duration;

use serde_json::{Value, json};
use weir::limit::{self, Claim, Ledger, Rules};
use weir::redis::{Command, Naming, Reply};
use weir::store::Store;
use weir::unit::NanoUsd;

use crate::stage::{Client, Message, Stage, ask, chunk, completion, error, now, pass_seconds, redis};

const CHAT: &str = "/v1/chat/completions";

/// Ten requests and a hundred tokens.
fn limits() -> Value {
    json!({"limits": {"requests": {"rate": "60/min", "burst": 10}, "tokens": {"rate": "60/min", "burst": 100}}})
}

fn requests(burst: u64) -> Value {
    json!({"limits": {"requests": {"rate": "60/min", "burst": burst}}})
}

const JSON: &str = "application/json";

/// A request whose prompt is estimated at 5 tokens and whose answer has 20 at most.
fn asks<'s>(stage: &'s mut Stage, key: &str, model: &str, more: &str) -> Client<'s> {
    let body = ask(model, &[r#","max_tokens":20"#, more].concat());
    let mut client = stage.arrive("POST", CHAT, &[("x-api-key", key)], &body);
    client.send(body);
    client
}

/// A whole answer of fifty tokens.
fn fifty() -> Vec<u8> {
    let body = String::from_utf8(completion("hi")).unwrap();
    let usage = r#","usage":{"prompt_tokens":30,"completion_tokens":20}}"#;
    [body.strip_suffix('}').unwrap(), usage].concat().into_bytes()
}

/// The route of a request that goes out; what refuses it otherwise.
fn goes_to(stage: &mut Stage, model: &str) -> Result<String, String> {
    let client = asks(stage, "all", model, "");
    match client.answered() {
        None => Ok(client.route().to_owned()),
        Some((429, text)) => Err(text.to_owned()),
        other => panic!("{other:?}"),
    }
}

/// What this Envoy would still let a party such as `key:all` use: requests and tokens.
fn left(stage: &Stage, party: &str) -> (u64, u64) {
    let (config, (role, name)) = (&stage.config, party.split_once(':').unwrap());
    let rules = match role {
        "key" => config.keys.iter().find(|key| key.name == name).map(|key| &key.rules),
        "model" => config.models.iter().find(|model| model.name == name).map(|model| &model.rules),
        _ => config.vendors.iter().find(|vendor| vendor.name == name).map(|vendor| &vendor.rules),
    };
    let rules = Rules { concurrent: None, ..Rules::clone(rules.unwrap()) };
    let record = stage.store.load(&["limit/", party].concat()).0;
    let nothing = Claim { tokens: 0, usd: NanoUsd(0), lease: Duration::ZERO };
    let decision = limit::take(&rules, &mut Ledger::parse(record.as_deref()), now(), &nothing);
    let (requests, tokens) = (decision.requests.map_or(0, |s| s.remaining), decision.tokens.map_or(0, |s| s.remaining));
    (requests + u64::from(decision.denied.is_empty()), tokens)
}

/// Commands in brief: what, whom, and how many requests and tokens.
fn brief(commands: Vec<Command>) -> Vec<String> {
    let brief = |command: Command| {
        let words: Vec<_> = command.words(Naming::Digest).map(|word| std::str::from_utf8(word).unwrap()).collect();
        let subject = words[3].strip_prefix("weir:{").and_then(|rest| rest.strip_suffix('}')).unwrap();
        let numbers: Vec<i64> = words[6].split(' ').map(|number| number.parse().unwrap()).collect();
        let (verb, requests, tokens) = match numbers.len() {
            21 => (if numbers[2] == 1 { "charge" } else { "take" }, numbers[4], numbers[7]),
            11 => ("settle", numbers[2], numbers[4]),
            _ => panic!("{numbers:?}"),
        };
        format!("{verb} {subject} {} {}", requests / 1_000_000, tokens / 1_000_000)
    };
    commands.into_iter().map(brief).collect()
}

/// Redis admits a claim on [`limits`], of which so many requests and tokens are used then.
fn admits(requests: i64, tokens: i64) -> Reply {
    says(3, requests, tokens)
}

/// Redis refuses a claim on [`limits`], of which so many are used already.
fn refuses(requests: i64, tokens: i64) -> Reply {
    says(-1, requests, tokens)
}

/// Redis's clock is an hour ahead of this Envoy's.
fn says(charged: i64, requests: i64, tokens: i64) -> Reply {
    let now = i64::try_from(now().as_micros()).unwrap() + 3_600_000_000;
    let used = |seconds: i64| now + seconds * 1_000_000;
    let numbers = [now, now, charged, 1, used(requests), used(tokens), 0, 0, 0, 0, 0, 0];
    Reply::Bulk(numbers.map(|number| number.to_string()).join(" ").into_bytes())
}

/// How long to wait, in seconds and milliseconds, and whether an SDK shall.
fn wait(answer: &Message) -> (&str, &str, &str) {
    (answer.header("retry-after"), answer.header("retry-after-ms"), answer.header("x-should-retry"))
}

#[test]
fn an_answer_is_charged_for_what_it_came_to() {
    let streams = r#","stream":true"#;
    let counts: fn(&mut Client<'_>) = |client| drop(client.vendor_replies(200, JSON, &fifty()));
    let fails = |client: &mut Client<'_>| {
        client.vendor_fails(500, JSON, &error("no"));
        client.envoy_answers(500);
    };
    let begins = |client: &mut Client<'_>| {
        client.vendor_streams();
        client.piece(&chunk("12345678", "null"), false).unwrap();
    };
    let breaks = |client: &mut Client<'_>| {
        client.vendor_streams();
        client.piece(&chunk("12345678", "null"), false).unwrap();
        client.piece(b"data: rubbish\n\n", true).unwrap();
    };
    for (end, more, play, tokens) in [
        ("the vendor counts", "", counts, 50),
        ("nobody counts", "", |client| drop(client.vendor_replies(200, JSON, &completion("hi"))), 6),
        ("the vendor fails", "", fails, 0),
        ("the client leaves before the answer", "", |_| {}, 5),
        ("the client leaves in the middle", streams, begins, 7),
        ("the stream breaks", streams, breaks, 7),
    ] {
        let mut stage = Stage::with(&[("/keys/0", limits()), ("/models/1", limits())]);
        let mut client = asks(&mut stage, "all", "lone", more);
        client.attempt("first");
        play(&mut client);
        client.leaves();
        for party in ["key:all", "model:lone"] {
            assert_eq!(left(&stage, party), (9, 100 - tokens), "{end}");
        }
    }
}

#[test]
fn the_headers_say_what_is_left_while_the_request_is_out() {
    let mut stage = Stage::with(&[("/keys/0", limits()), ("/models/1", requests(3))]);
    let mut client = asks(&mut stage, "all", "lone", "");
    client.attempt("first");
    let answer = client.vendor_replies(200, JSON, &fifty());
    for (what, shown) in [("requests", ["3", "2", "1s"]), ("tokens", ["100", "75", "25s"])] {
        let header = |name: &str| answer.header(&format!("x-ratelimit-{name}-{what}")).to_owned();
        assert_eq!(["limit", "remaining", "reset"].map(header), shown, "of each the scarcest");
    }
}

#[test]
fn who_is_refused_comes_back_exactly_when_it_may() {
    for (limits, seconds, says) in [
        (
            json!({"limits": {"requests": {"rate": "6/min", "burst": 2}}}),
            10,
            "its limit of 6/min for requests (burst 2)",
        ),
        (
            json!({"limits": {"tokens": {"rate": "60/min", "burst": 60}}}),
            15,
            "its limit of 60/min for tokens (burst 60)",
        ),
        (json!({"budget_usd": {"hour": 0.0005}}), 3600, "its budget of 0.0005 USD per hour"),
        (json!({"budget_usd": {"day": 0.0005}}), 12 * 3600, "its budget of 0.0005 USD per day"),
        (json!({"budget_usd": {"month": 0.0005}}), (30 * 24 + 12) * 3600, "its budget of 0.0005 USD per month"),
    ] {
        let mut stage = Stage::with(&[("/keys/1", json!({"models": ["priced"]})), ("/keys/1", limits)]);
        for _ in 0..2 {
            assert_eq!(asks(&mut stage, "limited", "priced", "").answered(), None, "{says}");
        }
        for (passed, left) in [(0, seconds), (seconds - 1, 1)] {
            pass_seconds(passed);
            let client = asks(&mut stage, "limited", "priced", "");
            let answer = client.answer();
            assert!(answer.status == 429 && answer.text().contains(says), "{}", answer.text());
            let again = if left <= 60 { "true" } else { "false" };
            assert_eq!(wait(answer), (&*left.to_string(), &*(left * 1000).to_string(), again), "{says}");
        }
        pass_seconds(1);
        assert_eq!(asks(&mut stage, "limited", "priced", "").answered(), None, "{says}");
    }
}

#[test]
fn what_no_time_heals_has_another_answer() {
    let mut stage = Stage::with(&[("/keys/0", json!({"limits": {"concurrent": 1}}))]);
    asks(&mut stage, "all", "lone", "");
    let refused = asks(&mut stage, "all", "lone", "");
    assert!(refused.answer().text().contains("its limit of 1 requests at once; try again when one of them has ended"));
    assert_eq!(wait(refused.answer()), ("1", "500", "true"), "about as long as a short answer takes");
    let mut stage = Stage::with(&[("/keys/0", json!({"limits": {"tokens": {"rate": "60/min", "burst": 24}}}))]);
    let refused = asks(&mut stage, "all", "lone", "");
    assert!(refused.answer().text().contains("may never use more than 24 tokens at once"));
    assert_eq!(wait(refused.answer()), ("", "", "false"));
}

#[test]
fn everybody_limits_for_itself() {
    let tenants = json!({"tenants": [{"name": "acme", "limits": requests(1)["limits"]}]});
    let acme = || json!({"tenant": "acme"});
    for (more, says, refused, passes) in [
        (vec![("/keys/0", requests(1))], r#"the key \"all\""#, ("all", "both"), &[("limited", "lone")][..]),
        (vec![("/models/1", requests(1))], r#"the model \"lone\""#, ("limited", "lone"), &[("all", "both")]),
        (vec![("/vendors/0", requests(1))], r#"the vendor \"first\""#, ("limited", "lone"), &[("all", "both")]),
        (
            vec![("", tenants), ("/keys/0", acme()), ("/keys/1", acme())],
            r#"the tenant \"acme\""#,
            ("limited", "lone"),
            &[],
        ),
    ] {
        let mut stage = Stage::with(&more);
        assert_eq!(asks(&mut stage, "all", "lone", "").answered(), None);
        let (key, model) = refused;
        let client = asks(&mut stage, key, model, "");
        let (status, text) = client.answered().unwrap();
        assert!(status == 429 && text.contains(says), "{text}");
        for (key, model) in passes {
            assert_eq!(asks(&mut stage, key, model, "").answered(), None, "{says}");
        }
    }
}

#[test]
fn who_admitted_in_vain_is_not_charged() {
    let mut stage = Stage::with(&[("/keys/0", limits()), ("/models/1", requests(1))]);
    assert_eq!(asks(&mut stage, "all", "lone", "").answered(), None);
    assert_eq!(left(&stage, "key:all"), (9, 75));
    assert_eq!(asks(&mut stage, "all", "lone", "").answered().unwrap().0, 429);
    assert_eq!(left(&stage, "key:all"), (9, 75), "the model refused it");
}

#[test]
fn a_vendor_whose_limit_is_full_is_passed_over() {
    let mut full = limits();
    full["limits"]["concurrent"] = json!(1);
    let mut stage = Stage::with(&[("/vendors/0", full), ("/vendors/1", requests(2))]);
    assert_eq!(goes_to(&mut stage, "both"), Ok("first".to_owned()));
    assert_eq!((left(&stage, "vendor:first"), left(&stage, "vendor:second").0), ((9, 75), 2), "one is charged");
    let mut client = asks(&mut stage, "all", "both", "");
    assert_eq!(client.route(), "second");
    client.attempt("second");
    assert!(!client.vendor_fails(500, JSON, &error("no")), "nobody is left to try");
    client.leaves();
    assert_eq!((left(&stage, "vendor:first"), left(&stage, "vendor:second").0), ((9, 75), 1), "the other is charged");
    assert_eq!(goes_to(&mut stage, "both"), Ok("second".to_owned()));
    assert!(goes_to(&mut stage, "both").unwrap_err().contains(r#"the vendor \"first\""#), "both are full");
}

#[test]
fn a_vendor_that_takes_over_is_charged_unasked() {
    for redis_decides in [false, true] {
        let mut more = vec![("/vendors/0", limits()), ("/vendors/1", limits())];
        more.extend(redis_decides.then(redis));
        let mut stage = Stage::with(&more);
        let mut client = asks(&mut stage, "all", "both", "");
        if redis_decides {
            assert_eq!(brief(client.asks()), ["take vendor:first 1 25", "take vendor:second 1 25"]);
            assert!(client.redis_says(Some(vec![admits(1, 25), admits(1, 25)])));
            assert_eq!(brief(client.tells()), ["settle vendor:second -1 -25"], "at once");
        }
        client.attempt("first");
        assert!(client.vendor_fails(503, JSON, &error("busy")));
        client.attempt("second");
        client.vendor_replies(200, JSON, &fifty());
        client.leaves();
        let told = brief(client.tells());
        match redis_decides {
            true => {
                let second = ["charge vendor:second 1 50", "settle vendor:second 0 0"];
                assert_eq!(told, [&second[..], &["settle vendor:first 0 -25"]].concat());
            }
            false => assert_eq!((left(&stage, "vendor:first"), left(&stage, "vendor:second")), ((9, 100), (9, 50))),
        }
    }
}

#[test]
fn redis_admits() {
    let mut stage = Stage::with(&[redis(), ("/keys/0", limits()), ("/models/1", limits())]);
    let mut client = asks(&mut stage, "all", "lone", "");
    assert_eq!(brief(client.asks()), ["take key:all 1 25", "take model:lone 1 25"]);
    assert_eq!((client.answered(), client.route()), (None, ""), "nothing goes anywhere before Redis has said so");
    assert!(client.redis_says(Some(vec![admits(4, 25), admits(1, 80)])));
    client.attempt("first");
    let answer = client.vendor_replies(200, JSON, &fifty());
    let header = |name: &str| answer.header(&["x-ratelimit-remaining-", name].concat()).to_owned();
    assert_eq!([header("requests"), header("tokens")], ["6", "20"]);
    assert!(client.tells().is_empty(), "not before it is over");
    client.leaves();
    assert_eq!(brief(client.tells()), ["settle key:all 0 25", "settle model:lone 0 25"]);
    assert_eq!(left(&stage, "key:all"), (10, 100), "this Envoy has no say");
}

#[test]
fn redis_refuses() {
    let mut stage = Stage::with(&[redis(), ("/keys/0", limits()), ("/models/1", limits())]);
    let mut client = asks(&mut stage, "all", "lone", "");
    assert!(!client.redis_says(Some(vec![admits(1, 25), refuses(3, 79)])));
    assert!(client.answer().text().contains(r#"the model \"lone\" has reached its limit of 60/min for tokens"#));
    assert_eq!(wait(client.answer()), ("4", "4000", "true"));
    assert_eq!(brief(client.tells()), ["settle key:all -1 -25"], "who admitted it in vain gets it back");
    assert_eq!(client.leaves(), ["POST /v1/chat/completions 429 none lone"]);
    assert!(client.tells().is_empty());
}

#[test]
fn redis_has_a_vendor_passed_over() {
    let mut stage = Stage::with(&[redis(), ("/vendors/0", limits()), ("/vendors/1", limits())]);
    let mut client = asks(&mut stage, "all", "both", "");
    assert!(client.redis_says(Some(vec![refuses(10, 0), admits(1, 25)])));
    assert_eq!(client.route(), "second");
    client.attempt("second");
    client.vendor_replies(200, JSON, &fifty());
    client.leaves();
    assert_eq!(brief(client.tells()), ["settle vendor:second 0 25"]);
}

/// What Redis may say that is no decision.
fn silences() -> [Option<Vec<Reply>>; 4] {
    let failure = || Reply::Error("upstream failure".to_owned());
    [None, Some(Vec::new()), Some(vec![failure(), failure()]), Some(vec![Reply::Nil, Reply::Integer(1)])]
}

fn without_redis(policy: &str) -> Stage {
    let policy = json!({"on_redis_failure": policy, "gateways": 2});
    Stage::with(&[redis(), ("/limits", policy), ("/keys/0", limits()), ("/models/1", limits())])
}

#[test]
fn without_redis_the_policy_decides() {
    // Of two gateways each fills half as fast, so that what is used here counts twice.
    for (policy, goes, remains) in [("local", true, (8, 0)), ("allow", true, (10, 100)), ("deny", false, (10, 100))] {
        for silence in silences() {
            let mut stage = without_redis(policy);
            let mut client = asks(&mut stage, "all", "lone", "");
            assert_eq!(client.redis_says(silence), goes, "{policy}");
            let doubtful = ["settle key:all -1 -25", "settle model:lone -1 -25"];
            assert_eq!(brief(client.tells()), doubtful, "Redis may have admitted it");
            if goes {
                client.attempt("first");
                client.vendor_replies(200, JSON, &fifty());
            } else {
                assert_eq!((client.answer().status, wait(client.answer())), (503, ("1", "1000", "true")));
                assert!(client.answer().text().contains("cannot be checked at the moment"));
            }
            client.leaves();
            assert!(client.tells().is_empty(), "it is settled where it was decided");
            assert_eq!((left(&stage, "key:all"), left(&stage, "model:lone")), (remains, remains), "{policy}");
            let fallback = format!("api_gateway_limits_fallback_total;;policy={policy}");
            assert_eq!(stage.counted("fallback"), [fallback.clone(), fallback]);
        }
    }
}

#[test]
fn without_redis_a_gateway_has_its_part() {
    let mut stage = without_redis("local");
    for _ in 0..2 {
        assert!(asks(&mut stage, "all", "lone", "").redis_says(None));
    }
    let mut client = asks(&mut stage, "all", "lone", "");
    assert!(!client.redis_says(None));
    assert_eq!(wait(client.answer()), ("50", "50000", "true"), "25 tokens at half the rate");
}

#[test]
fn a_node_that_is_silent_has_its_own_limits_in_doubt() {
    for (policy, told_at_once, told_after) in [
        ("local", &["settle model:lone -1 -25"][..], &["settle key:all 0 25"][..]),
        ("allow", &["settle model:lone -1 -25"], &["settle key:all 0 25"]),
        ("deny", &["settle model:lone -1 -25", "settle key:all -1 -25"], &[]),
    ] {
        let mut stage = without_redis(policy);
        let mut client = asks(&mut stage, "all", "lone", "");
        if client.redis_says(Some(vec![admits(1, 25), Reply::Error("no upstream host".to_owned())])) {
            assert_eq!(brief(client.tells()), told_at_once, "{policy}");
            client.attempt("first");
            client.vendor_replies(200, JSON, &fifty());
        } else {
            assert_eq!(client.answer().status, 503);
            assert_eq!(brief(client.tells()), told_at_once);
        }
        client.leaves();
        assert_eq!(brief(client.tells()), told_after, "{policy}");
    }
}

#[test]
fn a_client_that_leaves_while_redis_is_asked_holds_nothing() {
    for policy in ["local", "allow", "deny"] {
        let mut stage = without_redis(policy);
        let mut client = asks(&mut stage, "all", "lone", "");
        assert_eq!(client.leaves(), ["POST /v1/chat/completions 499 none lone"]);
        assert_eq!(brief(client.tells()), ["settle key:all -1 -25", "settle model:lone -1 -25"]);
        assert_eq!((left(&stage, "key:all"), left(&stage, "model:lone")), ((10, 100), (10, 100)), "{policy}");
        assert!(stage.exchanges.is_empty());
    }
}

#[test]
fn a_client_that_leaves_in_the_middle_is_charged_by_redis_for_what_came() {
    let mut stage = Stage::with(&[redis(), ("/keys/0", limits())]);
    let mut client = asks(&mut stage, "all", "lone", r#","stream":true"#);
    client.redis_says(Some(vec![admits(1, 25)]));
    client.attempt("first");
    client.vendor_streams();
    client.piece(&chunk("12345678", "null"), false).unwrap();
    client.leaves();
    assert_eq!(brief(client.tells()), ["settle key:all 0 -18"], "5 of the prompt, and 2");
}

#[test]
fn an_observed_limit_refuses_nobody_and_counts() {
    let observed = json!({"limits": {"requests": {"rate": "60/min", "burst": 1, "mode": "observe"}}});
    let counted = "api_gateway_limited_total;;of=all;;role=key;;limit=requests;;mode=observe";
    for redis_decides in [false, true] {
        let mut more = vec![("/keys/0", observed.clone())];
        more.extend(redis_decides.then(redis));
        let mut stage = Stage::with(&more);
        for charged in [1, 0, 0] {
            let mut client = asks(&mut stage, "all", "lone", "");
            if redis_decides {
                assert!(client.redis_says(Some(vec![says(charged, 1, 0)])));
            }
            client.attempt("first");
            let answer = client.vendor_replies(200, JSON, &fifty());
            assert_eq!((answer.status, answer.header("x-ratelimit-limit-requests")), (200, ""));
            client.leaves();
        }
        assert_eq!(stage.counted("limited"), [counted, counted]);
    }
}

#[test]
fn whoever_leaves_makes_room_for_another() {
    let body = ask("lone", "");
    let arrives: fn(&mut Client<'_>, &[u8]) = |_, _| {};
    for lives in [
        arrives,
        |client, _| client.sends_so_far(10),
        |client, _| client.send(b"{".to_vec()),
        |client, body| client.send(body.to_vec()),
        |client, body| {
            client.send(body.to_vec());
            client.redis_says(None);
        },
        |client, body| {
            client.send(body.to_vec());
            client.redis_says(None);
            client.attempt("first");
            client.vendor_replies(200, JSON, &fifty());
        },
    ] {
        let mut stage = Stage::with(&[redis(), ("/keys/0", limits()), ("/limits", json!({"in_flight": 1}))]);
        let mut client = stage.arrive("POST", CHAT, &[], &body);
        lives(&mut client, &body);
        client.leaves();
        assert_eq!(stage.arrive("POST", CHAT, &[], &body).answered(), None);
        let refused = stage.arrive("POST", CHAT, &[], &body);
        assert_eq!((refused.answer().status, wait(refused.answer())), (503, ("1", "1000", "true")));
    }
}

#[test]
fn a_vendor_that_takes_over_is_charged_for_each_attempt_and_keeps_no_place() {
    let mut stage = Stage::with(&[
        (
            "/models/0",
            json!({"serve": [{"vendor": "first"}, {"vendor": "second"}, {"vendor": "second", "model": "b"}]}),
        ),
        (
            "/vendors/1",
            json!({"limits": {
                "requests": {"rate": "60/min", "burst": 10}, "tokens": {"rate": "60/min", "burst": 100}, "concurrent": 1,
            }}),
        ),
    ]);
    let mut client = asks(&mut stage, "all", "both", "");
    for vendor in ["first", "second"] {
        client.attempt(vendor);
        assert!(client.vendor_fails(503, JSON, &error("busy")));
    }
    client.attempt("second");
    client.vendor_replies(200, JSON, &fifty());
    client.leaves();
    assert_eq!(left(&stage, "vendor:second"), (8, 50), "two attempts, one answer");
    let (serve, concurrent) = (json!({"serve": [{"vendor": "second"}]}), json!({"limits": {"concurrent": 1}}));
    let mut stage = Stage { store: stage.store, ..Stage::with(&[("/models/1", serve), ("/vendors/1", concurrent)]) };
    assert_eq!(goes_to(&mut stage, "lone"), Ok("second".to_owned()), "the place is free");
}

#[test]
fn a_vendor_is_asked_once_however_often_it_serves() {
    let serve = json!({"serve": [{"vendor": "first"}, {"vendor": "first", "model": "b"}]});
    let mut stage = Stage::with(&[redis(), ("/models/1", serve), ("/vendors/0", limits())]);
    let mut client = asks(&mut stage, "all", "lone", "");
    assert_eq!(brief(client.asks()), ["take vendor:first 1 25"]);
    client.redis_says(Some(vec![admits(1, 25)]));
    assert_eq!(client.tells().len(), 0, "nothing is spare");
}

#[test]
fn a_part_of_a_bucket_admits_what_the_whole_one_would() {
    let mut stage = without_redis("local");
    let body = ask("lone", "");
    let mut client = stage.arrive("POST", CHAT, &[], &body);
    client.send(body);
    client.asks();
    client.redis_says(None);
    assert_eq!(client.answered(), None);
}

#[test]
fn who_leaves_while_redis_is_asked_is_no_failure_of_redis() {
    let mut stage = without_redis("local");
    let mut client = asks(&mut stage, "all", "lone", "");
    client.leaves();
    let fallbacks = stage.counted.iter().filter(|name| name.contains("fallback")).count();
    assert_eq!(fallbacks, 0);
}

#[test]
fn a_vendor_that_is_passed_over_shows_in_no_header() {
    let mut stage = Stage::with(&[redis(), ("/keys/0", limits()), ("/vendors/0", limits()), ("/vendors/1", limits())]);
    let mut client = asks(&mut stage, "all", "both", "");
    client.redis_says(Some(vec![admits(1, 25), refuses(10, 100), admits(2, 30)]));
    client.attempt("second");
    let answer = client.vendor_replies(200, JSON, &fifty());
    let remaining =
        ["requests", "tokens"].map(|kind| answer.header(&format!("x-ratelimit-remaining-{kind}")).to_owned());
    assert_eq!(remaining, ["8", "70"]);
}
