//! The record, the score and the choice, on numbers that can be checked by hand.

use std::time::Duration;

use super::*;
use crate::test;
use crate::unit::NanoUsd;

const NOW: Duration = Duration::from_secs(1_800_000_000);
const SECOND: Duration = Duration::from_secs(1);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn attempt(record: Record, began: Duration, now: Duration, ending: Ending) -> Record {
    let record = record.apply(&Event::Began { tokens: 100 }, began);
    record.apply(&Event::Ended { began, ending }, now)
}

fn answer(first_token: u64) -> Ending {
    let (first_token, per_token) = (ms(first_token), Some(ms(10)));
    Ending::Answered(Answered { first_token, per_token, tokens: 100, cost: NanoUsd(1000) })
}

/// After so many answers, one every 100 ms until `NOW`, whose first token takes so many milliseconds.
fn answered(first_token: u64, times: u32) -> Record {
    (0..times).rev().fold(Record::default(), |record, ago| {
        let now = NOW - ms(100) * ago;
        attempt(record, now - ms(1), now, answer(first_token))
    })
}

fn failed(record: Record, times: u32) -> Record {
    (0..times).fold(record, |record, _| attempt(record, NOW, NOW, Ending::Failed(Fault::Error)))
}

fn ask(draw: u64) -> Ask {
    Ask { now: NOW, prompt: 100, answer: 100, weights: Weights::default(), preferred: None, draw }
}

fn candidates<'r>(records: &'r [Record], costs: &[u64]) -> Vec<Candidate<'r>> {
    records.iter().zip(costs).map(|(record, cost)| Candidate { record, cost: Some(NanoUsd(*cost)) }).collect()
}

/// How often each of three comes first in a thousand choices, and the reason that was given most lately for each.
fn firsts(candidates: &[Candidate<'_>], ask: &Ask) -> ([u32; 3], [Option<Reason>; 3]) {
    let (mut counts, mut reasons) = ([0; 3], [None; 3]);
    for draw in 0..1000 {
        let choice = choose(candidates, &Ask { draw, ..*ask });
        let first = choice.order().next().unwrap();
        counts[first] += 1;
        reasons[first] = Some(choice.reason);
    }
    (counts, reasons)
}

#[test]
fn is_read_as_it_was_written() {
    let told = Headroom { requests: Some(Quota { remaining: 3, limit: 9, reset: SECOND }), ..Headroom::default() };
    let record = failed(answered(500, 20), 7).apply(&Event::Told(told), NOW);
    let bytes = record.render();
    assert_eq!(bytes.len(), 1 + 8 * 30);
    assert_eq!(Record::parse(Some(&bytes)), record);
}

#[test]
fn what_cannot_be_read_is_a_new_one() {
    let bytes = answered(500, 20).render();
    let (short, long) = (&bytes[..bytes.len() - 1], [&bytes[..], &[0]].concat());
    let other = [&[bytes[0] + 1], &bytes[1..]].concat();
    for unreadable in [None, Some(&b""[..]), Some(short), Some(&long), Some(&other)] {
        assert_eq!(Record::parse(unreadable), Record::default());
    }
}

#[test]
fn the_mean_follows_and_a_surge_counts_at_once() {
    let record = answered(500, 50);
    let view = record.view(NOW);
    assert_eq!((view.first_token, view.per_token, view.tokens), (Some(ms(500)), Some(ms(10)), Some(100.0)));
    let (usual, _) = record.latency(100.0, decay::micros(NOW)).unwrap();
    assert!((usual - 1.5).abs() < 1e-9);
    let twice = attempt(record, NOW, NOW, answer(2000)).latency(100.0, decay::micros(NOW)).unwrap().0;
    assert!(twice < 1.6, "twice as long is chance: {twice}");
    let surging = attempt(record, NOW, NOW, answer(14_000));
    let at = |later: Duration| surging.faded(decay::micros(NOW + later)).latency(100.0, decay::micros(NOW)).unwrap().0;
    assert!(at(Duration::ZERO) > 2.9 * usual, "ten times as long is not: {}", at(Duration::ZERO));
    assert!(at(SECOND * 30) < 1.3 * usual, "and it passes: {}", at(SECOND * 30));
}

#[test]
fn an_answer_in_one_piece_is_split() {
    let whole =
        |first_token, tokens| Ending::Answered(Answered { first_token, per_token: None, tokens, cost: NanoUsd(0) });
    let record = attempt(Record::default(), NOW, NOW, whole(ms(1500), 100));
    let view = record.view(NOW);
    assert_eq!((view.first_token, view.per_token), (Some(ms(500)), Some(ms(10))));
    let slower = attempt(record, NOW, NOW, whole(ms(3000), 100)).view(NOW);
    assert_eq!((slower.first_token, slower.per_token), (Some(ms(750)), Some(ms(15))));
}

/// What an answer in one piece is taken to have taken for its first token is a share of the whole, and may round to more.
#[test]
fn the_longest_answers_can_be_read_again() {
    let day = Duration::from_secs(86_400);
    for usual in 1..500_u64 {
        let first =
            Answered { first_token: ms(usual * 7), per_token: Some(Duration::ZERO), tokens: 9, cost: NanoUsd(0) };
        let known = attempt(Record::default(), NOW, NOW, Ending::Answered(Answered { per_token: None, ..first }));
        let later = NOW + day;
        let long = Answered { first_token: day, per_token: None, tokens: usual % 3, ..first };
        let record = attempt(known, later, later, Ending::Answered(long));
        assert_eq!(Record::parse(Some(&record.render())), record, "{usual}");
    }
}

#[test]
fn requests_in_flight_are_forgotten_if_they_never_end() {
    let begun = |record: Record, _| record.apply(&Event::Began { tokens: 1 }, NOW);
    let record = (0..8).fold(Record::default(), begun);
    assert_eq!(record.view(NOW).in_flight, 8.0);
    let ended = Event::Ended { began: NOW, ending: Ending::Cancelled };
    let later = NOW + SECOND * 60;
    let none = (0..8).fold(record, |record, _| record.apply(&ended, later));
    assert!(none.view(later).in_flight < 1e-9);
    assert!(record.view(NOW + SECOND * 1200).in_flight < 0.01, "their worker was torn down");
}

#[test]
fn a_client_that_leaves_counts_for_nobody() {
    let record = answered(500, 20);
    assert_eq!(attempt(record, NOW, NOW, Ending::Cancelled).view(NOW), record.view(NOW));
}

#[test]
fn one_request_of_all_workers_probes() {
    let record = failed(Record::default(), 5);
    assert_eq!(record.admission(NOW), Admission::Shut);
    let later = NOW + breaker::FIRST;
    assert_eq!(record.admission(later), Admission::Probe);
    let probing = record.apply(&Event::Began { tokens: 1 }, later);
    assert_eq!(probing.admission(later), Admission::Shut);
    let back = probing.apply(&Event::Ended { began: later, ending: answer(100) }, later + SECOND);
    assert_eq!(back.admission(later + SECOND), Admission::Free);
}

#[test]
fn a_clock_that_jumps_changes_little_or_everything() {
    let record = answered(500, 20);
    let before = record.view(NOW - SECOND * 86_400);
    assert_eq!((before.success, before.first_token), (1.0, Some(ms(500))));
    let years = record.apply(&Event::Began { tokens: 1 }, NOW * 2).view(NOW * 2);
    assert!(years.success == 1.0 && years.in_flight == 1.0 && years.spend == NanoUsd(0));
    assert!(record.view(Duration::MAX).success == 1.0);
}

#[test]
fn what_is_spent_shows_per_hour() {
    let spent = answered(500, 20).view(NOW).spend;
    assert!((13_000..=13_863).contains(&spent.0), "20000 within a moment, at a half-life of an hour: {spent:?}");
}

#[test]
fn the_length_of_an_answer_is_learned() {
    assert_eq!(expected_tokens(&[], 4096, NOW), 300);
    assert_eq!(expected_tokens(&[], 50, NOW), 50);
    let learned = expected_tokens(&[answered(500, 100), Record::default()], 4096, NOW);
    assert!((100..105).contains(&learned), "{learned}");
}

#[test]
fn the_score_is_the_harmonic_mean_of_the_factors() {
    let records = [answered(500, 50), answered(2000, 50)];
    let [first, second, ..] = score(&candidates(&records, &[3000, 1000]), &ask(0));
    let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
    // The floor is 5 % of the means: of 2000 nano USD and of 2.25 s.
    assert!(near(first.cost, 1100.0 / 3100.0) && near(first.success, 1.0) && near(first.latency, 1.0), "{first:?}");
    assert!(near(second.cost, 1.0) && near(second.latency, 1.6125 / 3.1125), "{second:?}");
    assert!(near(first.score, 3.0 / (1.0 / first.cost + 1.0 + 1.0)));
    let weights = Weights { cost: 0.0, success: 0.0, latency: 2.0 };
    assert!(near(score(&candidates(&records, &[3000, 1000]), &Ask { weights, ..ask(0) })[1].score, second.latency));
}

#[test]
fn what_is_not_known_is_neutral() {
    let records = [answered(500, 50), Record::default(), answered(2000, 50)];
    let mut candidates = candidates(&records, &[1000, 0, 3000]);
    candidates[1].cost = None;
    let [_, unknown, ..] = score(&candidates, &ask(0));
    assert!((unknown.cost - 1100.0 / 2100.0).abs() < 1e-9, "as dear as the others on average: {unknown:?}");
    assert_eq!((unknown.success, unknown.latency), (1.0, 1.0), "and as fast as the best: {unknown:?}");
    let nothing = score(&[Candidate { record: &Record::default(), cost: None }; 2], &ask(0));
    assert_eq!(nothing[0].score, 1.0);
    let free = score(&self::candidates(&records, &[0, 0, 0]), &ask(0));
    assert_eq!(free[0].cost, 1.0);
}

#[test]
fn the_best_is_first_and_those_nearly_as_good_get_a_share() {
    let records = [answered(500, 50), answered(500, 50), answered(5000, 50)];
    let (counts, reasons) = firsts(&candidates(&records, &[1000, 1000, 1000]), &ask(0));
    assert!(counts[0].abs_diff(counts[1]) < 100 && counts[2] == 0, "{counts:?}");
    assert_eq!(reasons[..2], [Some(Reason::Best), Some(Reason::Shared)]);
    let (counts, _) = firsts(&candidates(&records, &[1000, 1150, 1000]), &ask(0));
    assert!((250..400).contains(&counts[1]), "{counts:?}");
}

#[test]
fn some_requests_are_for_learning() {
    let records = [answered(500, 50), answered(1900, 50)];
    let later = |ask: Ask| Ask { now: NOW + SECOND * 5, ..ask };
    let (counts, reasons) = firsts(&candidates(&records, &[1000, 900]), &later(ask(0)));
    assert!((1..=20).contains(&counts[1]) && reasons[1] == Some(Reason::Explored), "{counts:?} {reasons:?}");
    let (counts, _) = firsts(&candidates(&records, &[1000, 9000]), &later(ask(0)));
    assert_eq!(counts[1], 0, "it is too dear to win, however fast");
}

#[test]
fn a_conversation_stays_while_that_is_nearly_as_good() {
    let records = [answered(500, 50), answered(700, 50)];
    let ask = Ask { preferred: Some(1), ..ask(0) };
    let choice = choose(&candidates(&records, &[1000, 1000]), &ask);
    assert_eq!((choice.order().next(), choice.reason), (Some(1), Reason::Preferred));
    let choice = choose(&candidates(&records, &[1000, 3000]), &ask);
    assert_eq!((choice.order().next(), choice.reason), (Some(0), Reason::Best));
}

#[test]
fn open_ones_are_last_and_the_next_to_open_first_among_them() {
    let long = attempt(answered(100, 50), NOW, NOW, Ending::OutOfQuota);
    let records = [long, failed(Record::default(), 5), answered(5000, 50)];
    let choice = choose(&candidates(&records, &[1, 1, 1000]), &ask(0));
    assert_eq!(choice.order().collect::<Vec<_>>(), [2, 1, 0]);
    assert_eq!(choice.ranked()[2].phase, Phase::Open(breaker::QUOTA, Why::Quota));
    let choice = choose(&candidates(&records[..2], &[1, 1]), &ask(0));
    assert_eq!((choice.order().next(), choice.reason), (Some(1), Reason::AllOpen));
}

#[test]
fn one_that_may_be_back_is_probed_and_then_gets_a_growing_share() {
    let open = failed(answered(100, 50), 5);
    let records = [answered(3000, 50), open];
    let at = |now: Duration| Ask { now, ..ask(0) };
    let back = NOW + breaker::FIRST;
    let choice = choose(&candidates(&records, &[1000, 1000]), &at(back));
    assert_eq!((choice.order().next(), choice.reason), (Some(1), Reason::Probed));
    let warm = attempt(open, back, back, answer(100));
    // Long after the failures, so that only the slow start keeps it from being the best.
    let warm = (0..400).fold(warm, |record, _| attempt(record, back, back, answer(100)));
    let records = [records[0], warm];
    let share = |after: u32| firsts(&candidates(&records, &[1000, 1000]), &at(back + SECOND * after)).0[1];
    let [first, half, all] = [0, 5, 10].map(share);
    assert!((60..150).contains(&first) && (430..570).contains(&half) && all > 950, "{first} {half} {all}");
}

#[test]
fn without_weights_the_order_is_that_of_the_file() {
    let records = [answered(5000, 50), failed(Record::default(), 5), answered(500, 50)];
    let weights = Weights { cost: 0.0, success: -1.0, latency: f64::NAN };
    let choice = choose(&candidates(&records, &[9, 1, 1]), &Ask { weights, ..ask(0) });
    assert_eq!((choice.order().collect::<Vec<_>>(), choice.reason), (vec![0, 2, 1], Reason::Order));
}

#[test]
fn a_vendor_that_runs_out_of_room_is_spared() {
    let told = |remaining| {
        let quota = Some(Quota { remaining, limit: 100, reset: SECOND * 60 });
        Event::Told(Headroom { requests: quota, ..Headroom::default() })
    };
    let records = [answered(500, 50).apply(&told(5), NOW), answered(600, 50)];
    let choice = choose(&candidates(&records, &[1000, 1000]), &ask(0));
    assert_eq!(choice.order().next(), Some(1));
    let [scarce, ..] = score(&candidates(&records, &[1000, 1000]), &ask(0));
    assert_eq!(scarce.headroom, 0.2);
}

#[test]
fn a_crowd_that_is_larger_than_usual_slows_down() {
    let usual = answered(500, 50);
    let crowded = (0..92).fold(usual, |record, _| record.apply(&Event::Began { tokens: 1 }, NOW));
    let [alone, among, ..] = score(&candidates(&[usual, crowded], &[1000, 1000]), &ask(0));
    assert!((among.latency * 12.5 - alone.latency).abs() < 0.01, "a hundred where eight are normal: {among:?}");
}

#[test]
fn names_are_short_and_unlike() {
    use Reason::*;
    let reasons = [Only, Order, Best, Shared, Spared, Preferred, Explored, Probed, AllOpen].map(Reason::name);
    let whys = [Why::Consecutive, Why::Rate, Why::Throttled, Why::Quota, Why::Denied].map(Why::name);
    let names: std::collections::BTreeSet<_> = reasons.into_iter().chain(whys).collect();
    assert_eq!(names.len(), 14);
}

#[test]
fn more_candidates_than_fit_are_not_tried() {
    let record = Record::default();
    let choice = choose(&[Candidate { record: &record, cost: None }; 40], &ask(0));
    assert_eq!(choice.order().count(), MOST_CANDIDATES);
    assert_eq!(choose(&[], &ask(0)).ranked(), &[]);
}
