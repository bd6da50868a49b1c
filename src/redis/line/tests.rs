//! A line with a clock that the test sets.

use super::*;
use crate::redis::Script;
use crate::test;

const NOW: Duration = Duration::from_secs(1_000);

fn get(key: &str) -> Vec<Command> {
    vec![Command::new(&[b"GET", key.as_bytes()])]
}

fn after(milliseconds: u64) -> Duration {
    NOW + Duration::from_millis(milliseconds)
}

fn answer(replies: &str) -> Ending {
    Ending::Answer([replies.as_bytes(), b"+OK\r\n"].concat())
}

/// The arguments of the commands of a call.
fn said(call: Option<Vec<u8>>) -> String {
    let call = call.expect("a call");
    let text = String::from_utf8(call.strip_suffix(resp::QUIT).expect("it ends with QUIT").to_vec()).unwrap();
    let words: Vec<&str> = text.split("\r\n").filter(|word| !word.starts_with(['$', '*'])).collect();
    words.join(" ").replace("GET ", "").trim().to_owned()
}

/// A line on which a call failed at `NOW`.
fn broken() -> Line {
    let mut line = Line::default();
    assert!(line.ask(1, get("a"), NOW));
    line.next(NOW).unwrap();
    let outcome = line.ended(Ending::Silence, NOW);
    assert_eq!(outcome.answers, [(1, None)]);
    assert_eq!(outcome.turn, Some(Turn::Absent("no answer in time".to_owned())));
    line
}

#[test]
fn what_gathers_during_a_call_is_the_next_call() {
    let mut line = Line::default();
    assert_eq!(line.next(NOW), None);
    assert!(line.ask(1, get("a"), NOW));
    assert_eq!(said(line.next(NOW)), "a");
    assert!(line.ask(2, [get("b"), get("c")].concat(), NOW));
    assert_eq!(line.tell(get("d")), 0);
    assert!(line.ask(3, get("e"), NOW));
    assert!(!line.is_due(NOW), "one call at a time");
    assert_eq!(line.next(NOW), None);
    let outcome = line.ended(answer("$1\r\nA\r\n"), NOW);
    assert!(outcome.ok);
    assert_eq!(outcome.answers, [(1, Some(vec![Reply::Bulk(b"A".to_vec())]))]);
    assert_eq!(said(line.next(NOW)), "b c d e", "in the order in which it came");
    let outcome = line.ended(answer(":1\r\n$-1\r\n:2\r\n-ERR e\r\n"), NOW);
    let expected = [(2, Some(vec![Reply::Integer(1), Reply::Nil])), (3, Some(vec![Reply::Error("ERR e".to_owned())]))];
    assert_eq!(outcome, Outcome { answers: expected.to_vec(), ok: true, ..Outcome::default() });
    assert_eq!(line.next(NOW), None);
}

#[test]
fn who_left_asks_nothing() {
    let mut line = Line::default();
    assert!(line.ask(1, get("a"), NOW) && line.ask(2, get("b"), NOW));
    line.forget(1);
    assert_eq!(said(line.next(NOW)), "b");
    line.forget(2);
    assert_eq!(line.ended(answer(":1\r\n"), NOW).answers.len(), 1, "the host knows that nobody is there");
    assert_eq!((line.asks.commands, line.asks.bytes), (0, 0));
}

#[test]
fn a_call_that_failed_answers_everybody_with_nothing() {
    for (ending, reason) in [
        (Ending::Silence, "no answer in time"),
        (Ending::Status(504), "no answer in time"),
        (Ending::Status(503), "Envoy answers 503 in its place"),
        (Ending::Unsent, "Envoy has no way to it"),
        (Ending::Answer(b"HTTP".to_vec()), "an answer that is not Redis's (Kind)"),
        (Ending::Answer(Vec::new()), "0 replies to 2 commands"),
        (Ending::Answer(b":1\r\n+OK\r\n".to_vec()), "2 replies to 2 commands"),
        (Ending::Answer(b":1\r\n:2\r\n".to_vec()), "2 replies to 2 commands"),
        (answer(":1\r\n:2\r\n:3\r\n"), "4 replies to 2 commands"),
        (Ending::Answer(b":1\r\n:2\r\n+OK\r\n:3".to_vec()), "3 replies to 2 commands"),
    ] {
        let mut line = Line::default();
        assert!(line.ask(1, get("a"), NOW));
        assert_eq!(line.tell(get("b")), 0);
        line.next(NOW).unwrap();
        assert!(line.ask(2, get("c"), NOW));
        let outcome = line.ended(ending, NOW);
        let expected = Outcome {
            answers: vec![(1, None), (2, None)],
            ok: false,
            skipped: 1,
            dropped: 0,
            turn: Some(Turn::Absent(reason.to_owned())),
        };
        assert_eq!(outcome, expected);
        assert!(!line.is_due(after(499)));
        assert_eq!(said(line.next(after(500))), "b", "what was told is told again");
    }
}

#[test]
fn redis_is_absent_for_a_while() {
    let mut line = broken();
    for (skipped, probe) in [(99, 100), (299, 300), (699, 700), (1_499, 1_500), (2_499, 2_500), (3_499, 3_500)] {
        assert!(!line.ask(2, get("b"), after(skipped)));
        assert!(line.ask(3, get("c"), after(probe)));
        assert_eq!(said(line.next(after(probe))), "c", "a probe");
        assert!(!line.ask(4, get("d"), after(probe)), "nobody else waits for the probe");
        let outcome = line.ended(Ending::Silence, after(probe));
        assert_eq!((outcome.answers, outcome.turn), (vec![(3, None)], None), "known already");
    }
    assert!(line.ask(5, get("e"), after(4_500)));
    line.next(after(4_500)).unwrap();
    assert_eq!(line.ended(answer("$-1\r\n"), after(4_500)).turn, Some(Turn::Back));
    assert!(line.ask(6, get("f"), after(4_500)));
    line.next(after(4_500)).unwrap();
    line.ended(Ending::Silence, after(5_000));
    assert!(line.ask(7, get("g"), after(5_100)), "the pauses begin anew");
}

#[test]
fn tells_alone_probe_too() {
    let mut line = broken();
    assert_eq!(line.tell(get("b")), 0);
    assert!(!line.is_due(after(99)));
    assert_eq!(said(line.next(after(100))), "b");
    assert_eq!(line.ended(Ending::Silence, after(150)).turn, None);
    assert!(!line.is_due(after(649)), "it rests");
    assert_eq!(said(line.next(after(650))), "b");
    assert_eq!(line.ended(answer(":1\r\n"), after(650)).turn, Some(Turn::Back));
    assert!(!line.is_due(after(10_000)));
}

#[test]
fn a_probe_is_small_and_prefers_what_is_new() {
    let mut line = Line::default();
    assert_eq!(line.tell(get("old").into_iter().cycle().take(100).collect()), 0);
    line.next(NOW).unwrap();
    line.ended(Ending::Silence, NOW);
    assert!(line.ask(1, get("new"), after(600)));
    let probe = said(line.next(after(600)));
    assert!(probe.starts_with("new old") && probe.split(' ').count() == PROBE, "{probe}");
    line.ended(answer(&":1\r\n".repeat(PROBE)), after(600));
    assert_eq!(said(line.next(after(600))).split(' ').count(), 100 + 1 - PROBE, "the rest follows at once");
}

#[test]
fn one_node_of_a_cluster_is_not_all_of_it() {
    let mut line = Line::default();
    line.leads_to(Other::Cluster);
    let call = |line: &mut Line, replies: &str, milliseconds| {
        assert!(line.ask(1, get("a"), after(milliseconds)));
        line.next(after(milliseconds)).unwrap();
        line.ended(answer(replies), after(milliseconds))
    };
    for milliseconds in (0..5_000).step_by(100) {
        let outcome = call(&mut line, "-upstream failure\r\n", milliseconds);
        assert!(!outcome.ok && outcome.turn.is_none());
        if milliseconds % 900 == 0 {
            assert!(call(&mut line, ":1\r\n", milliseconds).ok, "another node");
        }
    }
    assert!(call(&mut line, ":1\r\n", 5_000).ok);
    for milliseconds in [5_001, 5_500, 6_000] {
        assert_eq!(call(&mut line, "-upstream failure\r\n", milliseconds).turn, None);
    }
    let outcome = call(&mut line, "-upstream failure\r\n", 6_001);
    assert_eq!(outcome.turn, Some(Turn::Absent("it says \"upstream failure\"".to_owned())));
    for probe in [6_101, 6_201, 6_301] {
        assert_eq!(call(&mut line, "-upstream failure\r\n", probe).turn, None, "the pause stays short");
    }
    assert_eq!(call(&mut line, ":1\r\n", 6_401).turn, Some(Turn::Back));
    assert!(line.ask(1, get("a"), after(6_401)));
    line.next(after(6_401)).unwrap();
    assert!(line.ended(Ending::Silence, after(6_401)).turn.is_some(), "silence is the trouble of all");
}

#[test]
fn repetitions_are_no_evidence() {
    let mut line = Line::default();
    assert!(line.ask(1, get("a"), NOW));
    assert_eq!(line.tell(get("b")), 0);
    line.next(NOW).unwrap();
    assert!(line.ended(answer(":1\r\n-upstream failure\r\n"), NOW).ok);
    assert_eq!(said(line.next(after(500))), "b");
    let outcome = line.ended(answer("-upstream failure\r\n"), after(500));
    assert_eq!((outcome.ok, outcome.turn), (false, None));
    assert!(line.ask(2, get("c"), after(500)), "Redis is not absent");
}

#[test]
fn errors_of_absence_are_not_heard() {
    let mut line = Line::default();
    assert!(line.ask(1, get("a"), NOW));
    assert_eq!(line.tell([get("b"), get("c"), get("d")].concat()), 0);
    line.next(NOW).unwrap();
    assert_eq!(line.tell(get("e")), 0);
    let outcome =
        line.ended(answer("-upstream failure\r\n-LOADING x\r\n-ERR no\r\n*2\r\n:1\r\n-upstream failure\r\n"), NOW);
    assert!(outcome.ok, "Redis has judged one command");
    assert_eq!(outcome.answers, [(1, Some(vec![Reply::Error("upstream failure".to_owned())]))]);
    assert_eq!(said(line.next(after(500))), "e b d", "again, after what is new");
    let outcome = line.ended(answer("-upstream failure\r\n-upstream failure\r\n-LOADING x\r\n"), after(500));
    assert_eq!(outcome.turn, Some(Turn::Absent("it says \"upstream failure\"".to_owned())));
    assert_eq!(said(line.next(after(1_000))), "e b d");
}

#[test]
fn asks_of_an_absent_redis_get_its_errors() {
    let mut line = Line::default();
    assert!(line.ask(1, get("a"), NOW));
    line.next(NOW).unwrap();
    let outcome = line.ended(answer("-no upstream host\r\n"), NOW);
    assert_eq!(outcome.answers, [(1, Some(vec![Reply::Error("no upstream host".to_owned())]))]);
    assert!(!outcome.ok && !line.ask(1, get("a"), NOW));
}

#[test]
fn everything_is_bounded() {
    let mut line = Line::default();
    let many: Vec<Command> = get("x").into_iter().cycle().take(MOST_GATHERED).collect();
    assert_eq!(line.tell(many.clone()), 0);
    assert_eq!(line.tell(get("y")), 1);
    assert!(line.ask(1, many, NOW), "tells take no room from asks");
    assert!(!line.ask(2, get("y"), NOW));
    assert_eq!(said(line.next(NOW)).split(' ').count(), MOST_AT_ONCE);
    assert_eq!(line.tell(get("y")), 0);
    let outcome = line.ended(Ending::Silence, NOW);
    assert_eq!((outcome.dropped, outcome.skipped), (1, 1), "the oldest tell made room for a new one");

    let mut line = Line::default();
    let large = vec![Command::new(&[&[b'x'; 3 << 20]])];
    assert!(line.ask(1, large.clone(), NOW) && line.ask(2, large.clone(), NOW) && !line.ask(3, large, NOW));
    line.next(NOW).unwrap();
    assert!(line.ended(answer(":1\r\n"), NOW).ok, "one of them is a call");
}

#[test]
fn what_is_never_heard_is_given_up() {
    let mut line = Line::default();
    assert_eq!(line.tell(get("a")), 0);
    let mut now = NOW;
    for _ in 0..TRIES {
        line.next(now).unwrap();
        let dropped = line.ended(Ending::Silence, now).dropped;
        assert_eq!(dropped == 1, line.again.is_empty());
        now += Duration::from_secs(1);
    }
    assert_eq!(line.next(now), None);
}

#[test]
fn a_call_can_run_too_long() {
    let mut line = Line::default();
    assert!(line.ask(1, get("a"), NOW));
    line.next(NOW).unwrap();
    let patience = Duration::from_millis(75);
    assert!(!line.runs_longer_than(patience, after(75)) && line.runs_longer_than(patience, after(76)));
    line.ended(Ending::Silence, after(76));
    assert_eq!(line.ended(answer(":1\r\n"), after(77)), Outcome::default(), "its answer comes too late");
}

static SCRIPT: Script = Script::new("return 1");

fn run(key: &str) -> Vec<Command> {
    vec![Command::script(&SCRIPT, &[key], [])]
}

#[test]
fn a_script_that_is_not_known_is_spelled_out_at_once() {
    let (digest, mut line) = (SCRIPT.digest(), Line::default());
    assert!(line.ask(1, [run("a"), get("b")].concat(), NOW) && line.ask(2, get("c"), NOW));
    assert_eq!(line.tell(run("d")), 0);
    assert_eq!(said(line.next(NOW)), format!("EVALSHA {digest} 1 a b c EVALSHA {digest} 1 d"));
    assert!(line.ask(3, get("e"), NOW));
    let outcome = line.ended(answer("-NOSCRIPT No matching script\r\n:1\r\n:2\r\n-NOSCRIPT\r\n"), NOW);
    assert_eq!(outcome, Outcome { answers: vec![(2, Some(vec![Reply::Integer(2)]))], ok: true, ..Outcome::default() });
    assert_eq!(said(line.next(NOW)), "EVAL return 1 1 a b EVAL return 1 1 d e");
    let outcome = line.ended(answer(":1\r\n:2\r\n-NOSCRIPT\r\n:3\r\n"), NOW);
    let expected = [(1, Some(vec![Reply::Integer(1), Reply::Integer(2)])), (3, Some(vec![Reply::Integer(3)]))];
    assert_eq!(outcome.answers, expected);
    assert_eq!(line.next(NOW), None, "nobody is asked a third time");
    assert_eq!((line.asks.commands, line.asks.bytes, line.tells.commands, line.tells.bytes), (0, 0, 0, 0));
}
