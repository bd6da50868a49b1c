//! The scripts in Redis against the sums in Rust: a real Redis, which runs on its own clock, and a ledger that is told
//! the time by Redis's answers, must decide alike whatever happens.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic; clippy takes the functions that tests share for traffic's"
)]
#![cfg(not(target_family = "wasm"))]

#[path = "limits/random.rs"]
mod random;
#[path = "limits/server.rs"]
mod server;

use std::time::Duration;

use random::Random;
use server::Server;
use weir::limit::{
    self, Bound, Bucket, Claim, Decision, Denial, Ledger, Mode, Receipt, Rule, Rules, Settlement, Wait, global,
};
use weir::redis::{Command, Naming, Reply, resp};
use weir::unit::{NanoUsd, Rate};

const SUBJECT: &str = "key:team-a";
const USED: &str = "weir:{key:team-a}";
const HELD: &str = "weir:{key:team-a}:held";

#[test]
fn redis_decides_like_a_ledger() {
    let mut redis = Server::start();
    for seed in 1..=60_u64 {
        redis.call(&["FLUSHALL"]);
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let rules = random.rules();
        let mut ledger = Ledger::default();
        let mut open: Vec<(String, Receipt)> = Vec::new();
        for step in 0..100 {
            let at = format!("seed {seed}, step {step}, {rules:?}");
            match random.below(8) {
                0 if random.below(4) == 0 => std::thread::sleep(Duration::from_millis(random.below(4))),
                0 | 1 if !open.is_empty() => {
                    let (id, receipt) = open.swap_remove(random.below(open.len() as u64) as usize);
                    settle_in_both(&mut redis, &mut ledger, &rules, &id, &receipt, &random.settlement(), &at);
                }
                2 => {
                    let (id, claim) = (format!("forced-{step}"), random.claim());
                    let [charge, settle] = global::charge(SUBJECT, &id, &rules, &claim);
                    let decided = redis.decide(&charge, &rules, &claim);
                    limit::charge(&rules, &mut ledger, decided.receipt.at, &claim);
                    assert!(matches!(redis.send(&settle), Reply::Integer(1..)), "{at}");
                    assert_eq!(decided.denied, [], "{at}");
                }
                3 if !open.is_empty() => {
                    let (id, receipt) = &open[random.below(open.len() as u64) as usize];
                    let again =
                        redis.decide(&global::take(SUBJECT, id, &rules, &receipt.claim), &rules, &receipt.claim);
                    assert_eq!((again.denied.len(), again.receipt.charged), (0, receipt.charged), "{at}");
                    let rounded = receipt.at - again.receipt.at;
                    assert!(rounded < Duration::from_micros(64), "{at}: {rounded:?}");
                }
                _ => {
                    let (id, claim) = (format!("asked-{step}"), random.claim());
                    let decided = redis.decide(&global::take(SUBJECT, &id, &rules, &claim), &rules, &claim);
                    let mut here = limit::take(&rules, &mut ledger, decided.receipt.at, &claim);
                    here.receipt.ample = false;
                    assert_eq!(decided, here, "{at}");
                    if decided.denied.is_empty() {
                        open.push((id, decided.receipt));
                    }
                }
            }
            same_numbers(&mut redis, &rules, &ledger, &at);
        }
    }
}

fn settle_in_both(
    redis: &mut Server,
    ledger: &mut Ledger,
    rules: &Rules,
    id: &str,
    receipt: &Receipt,
    settlement: &Settlement,
    at: &str,
) {
    let command = global::settle(SUBJECT, id, rules, receipt, settlement);
    let Reply::Integer(now @ 1..) = redis.send(&command) else { panic!("{at}: not settled") };
    limit::settle(rules, ledger, Duration::from_micros(now.try_into().unwrap()), receipt, settlement);
    same_numbers(redis, rules, ledger, at);
    assert_eq!(redis.send(&command), Reply::Integer(0), "{at}: settled twice");
}

/// What Redis keeps is what the ledger keeps, number for number, as far as it is limited.
fn same_numbers(redis: &mut Server, rules: &Rules, ledger: &Ledger, at: &str) {
    let record = ledger.render();
    let words: Vec<u64> = record[1..].chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    let windows = words.len() - 6;
    let hash = redis.call(&["HMGET", USED, "r", "t", "h", "d", "m"]);
    let Reply::Array(kept) = hash else { panic!("{hash:?}") };
    let wanted = [
        rules.requests.map(|_| words[0]),
        rules.tokens.map(|_| words[1]),
        rules.hour.map(|_| words[windows + 1]),
        rules.day.map(|_| words[windows + 3]),
        rules.month.map(|_| words[windows + 5]),
    ];
    for (kept, wanted) in kept.iter().zip(wanted) {
        let kept = match kept {
            Reply::Bulk(digits) => String::from_utf8_lossy(digits).parse().unwrap(),
            _ => 0,
        };
        assert_eq!(kept, wanted.unwrap_or(kept), "{at}");
    }
}

#[test]
fn the_calendar_is_the_same() {
    let mut redis = Server::start();
    let script = include_str!("../src/limit/take.lua");
    let (_, rest) = script.split_once("-- The hour, the day and the month.").unwrap();
    let (calendar, _) = rest.split_once("\n\n").unwrap();
    let script = format!("local f,now=math.floor,ARGV[1]+0\n{calendar}\nreturn ids");
    let month = |id: u64| Rule { bound: NanoUsd(id), mode: Mode::Enforce };
    for day in 0..40_000 {
        let now = Duration::from_secs(day * 86_400 + day % 86_400);
        let micros = now.as_micros().to_string();
        let Reply::Array(current) = redis.call(&["EVAL", &script, "0", &micros]) else { panic!("no calendar") };
        let rules = Rules { hour: Some(month(1)), day: Some(month(1)), month: Some(month(1)), ..Rules::default() };
        let mut ledger = Ledger::default();
        limit::charge(&rules, &mut ledger, now, &claim(0, 1));
        let record = ledger.render();
        let words: Vec<i64> = record[1..].chunks(8).map(|word| i64::from_le_bytes(word.try_into().unwrap())).collect();
        let ids = [words.len() - 6, words.len() - 4, words.len() - 2].map(|i| Reply::Integer(words[i]));
        assert_eq!(current, ids, "day {day}");
    }
}

#[test]
fn leases_end_by_themselves_and_then_nothing_is_settled() {
    let mut redis = Server::start();
    let rules = Rules { concurrent: enforced(2), tokens: enforced(per_minute(1000)), ..Rules::default() };
    let short = Claim { lease: Duration::from_millis(300), ..claim(100, 0) };
    let receipt = redis.decide(&global::take(SUBJECT, "a", &rules, &short), &rules, &short).receipt;
    redis.decide(&global::take(SUBJECT, "b", &rules, &short), &rules, &short);
    let third = global::take(SUBJECT, "c", &rules, &short);
    let refused = redis.decide(&third, &rules, &short).denied;
    assert_eq!(refused, [Denial { bound: Bound::Concurrent, wait: Wait::Unknown }]);
    std::thread::sleep(Duration::from_millis(310));
    assert_eq!(redis.decide(&third, &rules, &short).denied, []);
    let settlement = Settlement { requests: 1, tokens: 0, usd: NanoUsd(0) };
    assert_eq!(redis.send(&global::settle(SUBJECT, "a", &rules, &receipt, &settlement)), Reply::Integer(0));
}

#[test]
fn a_claim_whose_answer_was_lost_can_be_settled() {
    let mut redis = Server::start();
    let rules = Rules { tokens: enforced(per_minute(1000)), day: enforced(NanoUsd(100)), ..Rules::default() };
    let lost = claim(900, 90);
    redis.send(&global::take(SUBJECT, "a", &rules, &lost));
    let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let settlement = Settlement { requests: 0, tokens: 0, usd: NanoUsd(0) };
    redis.send(&global::settle(
        SUBJECT,
        "a",
        &rules,
        &Receipt { at, claim: lost, charged: 0, ample: false },
        &settlement,
    ));
    let whole = claim(1000, 100);
    assert_eq!(redis.decide(&global::take(SUBJECT, "b", &rules, &whole), &rules, &whole).denied, []);
}

#[test]
fn only_the_window_that_was_charged_is_settled() {
    let mut redis = Server::start();
    let rules = Rules { hour: enforced(NanoUsd(100)), ..Rules::default() };
    let whole = claim(0, 100);
    let Receipt { at, .. } = redis.decide(&global::take(SUBJECT, "a", &rules, &whole), &rules, &whole).receipt;
    let an_hour_ago = Receipt { at: at - Duration::from_secs(3600), claim: whole, charged: 8, ample: false };
    let settlement = Settlement { requests: 0, tokens: 0, usd: NanoUsd(0) };
    redis.send(&global::settle(SUBJECT, "a", &rules, &an_hour_ago, &settlement));
    assert_eq!(redis.decide(&global::take(SUBJECT, "b", &rules, &whole), &rules, &whole).denied.len(), 1);
}

#[test]
fn foreign_and_absurd_values_are_bounded() {
    let mut redis = Server::start();
    let rules = Rules {
        requests: enforced(per_minute(10)),
        tokens: enforced(per_minute(1000)),
        hour: enforced(NanoUsd(100)),
        month: enforced(NanoUsd(100)),
        ..Rules::default()
    };
    let small = claim(1, 1);
    for (value, refused) in [
        ("", false),
        ("x", false),
        ("nan", false),
        ("-nan", false),
        ("-inf", false),
        ("-1", false),
        ("0x10", false),
        ("inf", true),
        ("1e300", true),
        ("9007199254740993", true),
        ("18446744073709551616", true),
    ] {
        for command in ["take", "charge", "settle"] {
            redis.call(&["FLUSHALL"]);
            redis.send(&global::take(SUBJECT, "first", &rules, &small));
            for field in ["r", "t", "H", "h", "M", "m"] {
                redis.call(&["HSET", USED, field, value]);
            }
            match command {
                "settle" => {
                    let receipt = Receipt { at: Duration::ZERO, claim: small, charged: 0, ample: false };
                    let settlement = Settlement { requests: 0, tokens: 5, usd: NanoUsd(2) };
                    let reply = redis.send(&global::settle(SUBJECT, "first", &rules, &receipt, &settlement));
                    assert!(matches!(reply, Reply::Integer(1..)), "{value}: {reply:?}");
                }
                "charge" => {
                    let forced = redis.decide(&global::charge(SUBJECT, "forced", &rules, &small)[0], &rules, &small);
                    assert_eq!(forced.denied, [], "{value}");
                }
                _ => {}
            }
            let decision = redis.decide(&global::take(SUBJECT, "second", &rules, &small), &rules, &small);
            assert_eq!(!decision.denied.is_empty(), refused, "{command} after {value:?}: {decision:?}");
            for standing in [decision.requests.unwrap(), decision.tokens.unwrap()] {
                assert!(standing.remaining <= standing.limit && standing.reset <= Duration::from_secs(120), "{value}");
            }
        }
    }
    redis.call(&["FLUSHALL"]);
    for score in ["inf", "-inf", "1e300", "-1e300", "9007199254740993"] {
        redis.call(&["ZADD", HELD, score, score]);
    }
    let rules = Rules { concurrent: enforced(1), ..Rules::default() };
    assert_eq!(redis.decide(&global::take(SUBJECT, "a", &rules, &small), &rules, &small).denied, []);
}

#[test]
fn after_a_clock_that_stepped_back_limits_recover() {
    let mut redis = Server::start();
    let fast = Bucket { rate: Rate { count: 1000, per: Duration::from_secs(1) }, burst: 10 };
    let rules = Rules { requests: enforced(fast), hour: enforced(NanoUsd(100)), ..Rules::default() };
    let small = claim(0, 1);
    let at = redis.decide(&global::take(SUBJECT, "a", &rules, &small), &rules, &small).receipt.at;
    let (a_day_ahead, hour) = ((at + Duration::from_secs(86_400)).as_micros().to_string(), at.as_secs() / 3600);
    redis.call(&["HSET", USED, "r", &a_day_ahead, "H", &(hour + 24).to_string()]);
    let refused = redis.decide(&global::take(SUBJECT, "b", &rules, &small), &rules, &small).denied;
    assert_eq!(refused, [Denial { bound: Bound::Requests, wait: Wait::For(Duration::from_millis(11)) }]);
    let Reply::Bulk(kept) = redis.call(&["HGET", USED, "H"]) else { panic!("no hour is kept") };
    let kept: u64 = String::from_utf8_lossy(&kept).parse().unwrap();
    assert!((hour + 1..=hour + 2).contains(&kept), "{kept} {hour}");
    std::thread::sleep(Duration::from_millis(11));
    assert_eq!(redis.decide(&global::take(SUBJECT, "b", &rules, &small), &rules, &small).denied, []);
}

#[test]
fn what_is_no_answer_is_none() {
    let mut redis = Server::start();
    let rules = Rules { requests: enforced(per_minute(10)), ..Rules::default() };
    let claim = claim(1, 1);
    for key in [USED, HELD] {
        redis.call(&["SET", key, "something else"]);
        let reply = redis.send(&global::take(SUBJECT, "a", &rules, &claim));
        assert!(matches!(&reply, Reply::Error(text) if text.contains("WRONGTYPE")), "{reply:?}");
        assert_eq!(global::decision(&rules, &claim, &reply), None);
        redis.call(&["DEL", key]);
    }
    let good = redis.send(&global::take(SUBJECT, "a", &rules, &claim));
    assert!(global::decision(&rules, &claim, &good).is_some());
    let Reply::Bulk(good) = good else { panic!("{good:?}") };
    let numbers: Vec<String> = String::from_utf8(good).unwrap().split_whitespace().map(str::to_owned).collect();
    let without = |i: usize, instead: Option<&str>| {
        let mut numbers = numbers.clone();
        numbers.splice(i..=i, instead.map(str::to_owned));
        global::decision(&rules, &claim, &Reply::Bulk(numbers.join(" ").into_bytes()))
    };
    for i in 0..numbers.len() {
        for instead in ["", "nan", "1e3", "0.5", "1 2", "\u{ff}", "9223372036854775808", "-9223372036854775808", "-2"] {
            assert_eq!(without(i, Some(instead)), None, "{i} {instead:?}");
        }
        assert_eq!(without(i, None), None, "{i}");
    }
    assert_eq!(without(2, Some("-1")), None, "a refusal that nothing explains");
    for reply in [Reply::Nil, Reply::Text("OK".to_owned()), Reply::Integer(1), Reply::Array(Vec::new())] {
        assert_eq!(global::decision(&rules, &claim, &reply), None);
    }
}

#[test]
fn idle_subjects_vanish() {
    let mut redis = Server::start();
    let (hours, days) = (3_600_000, 86_400_000);
    let month = Rules { month: enforced(NanoUsd(100)), ..Rules::default() };
    let day = Rules { day: enforced(NanoUsd(100)), ..Rules::default() };
    let slow = Bucket { rate: Rate { count: 1, per: Duration::from_secs(86_400) }, burst: 10 };
    let slow = Rules { tokens: enforced(slow), ..Rules::default() };
    let small = claim(1, 1);
    for (rules, least, most) in [
        (month, 39 * days, 41 * days),
        (day, 2 * days, 3 * days),
        (slow, 20 * days, 21 * days),
        (Rules { concurrent: enforced(1), ..Rules::default() }, 2 * hours, 3 * hours),
    ] {
        redis.call(&["FLUSHALL"]);
        let receipt = redis.decide(&global::take(SUBJECT, "a", &rules, &small), &rules, &small).receipt;
        let mut expires = |key| match redis.call(&["PTTL", key]) {
            Reply::Integer(millis) => assert!((least..=most).contains(&millis), "{key} {millis} {rules:?}"),
            other => panic!("{other:?}"),
        };
        expires(USED);
        expires(HELD);
        redis.call(&["DEL", USED]);
        let settlement = Settlement { requests: 0, tokens: 9, usd: NanoUsd(9) };
        redis.send(&global::settle(SUBJECT, "a", &rules, &receipt, &settlement));
        assert_ne!(redis.call(&["PTTL", USED]), Reply::Integer(-1), "nothing is kept for ever");
    }
}

#[test]
fn a_claim_is_short() {
    let random = Random(7).rules();
    let rules = Rules { month: enforced(NanoUsd(1_000_000_000_000_000)), ..random };
    let id = "0123456789abcdef0123456789abcdef";
    let taken = global::take(SUBJECT, id, &rules, &claim(100_000, 1_000_000_000));
    let receipt = Receipt { at: Duration::ZERO, claim: claim(100_000, 1_000_000_000), charged: 63, ample: false };
    let settlement = Settlement { requests: 0, tokens: 0, usd: NanoUsd(0) };
    let settled = global::settle(SUBJECT, id, &rules, &receipt, &settlement);
    let bytes = |command: &Command| resp::size(command, Naming::Digest);
    assert!(bytes(&taken) < 700 && bytes(&settled) < 500, "{} {}", bytes(&taken), bytes(&settled));
}

impl Server {
    fn decide(&mut self, command: &Command, rules: &Rules, claim: &Claim) -> Decision {
        let reply = self.send(command);
        global::decision(rules, claim, &reply).unwrap_or_else(|| panic!("no decision in {reply:?}"))
    }
}

fn enforced<T>(bound: T) -> Option<Rule<T>> {
    Some(Rule { bound, mode: Mode::Enforce })
}

fn per_minute(count: u64) -> Bucket {
    Bucket { rate: Rate { count, per: Duration::from_secs(60) }, burst: count }
}

fn claim(tokens: u64, usd: u64) -> Claim {
    Claim { tokens, usd: NanoUsd(usd), lease: Duration::from_secs(600) }
}
