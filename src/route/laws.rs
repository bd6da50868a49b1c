//! What holds whatever is known, asked and drawn, tried on random records.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::unit::NanoUsd;

/// Bytes of any length, or of a record's whose numbers are anything.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        any::<u64>(),
        any::<f64>().prop_map(f64::to_bits),
        (0.0..1e4_f64).prop_map(f64::to_bits),
        instants().prop_map(|at| at.as_micros() as u64),
        0..9_u64,
    ];
    let words = size_of::<Bytes>() / 8;
    let of_length = prop::collection::vec(word, words..=words)
        .prop_map(|words| [1].into_iter().chain(words.into_iter().flat_map(u64::to_le_bytes)).collect());
    prop_oneof![1 => prop::collection::vec(any::<u8>(), 0..300), 4 => of_length]
}

fn instants() -> impl Strategy<Value = Duration> {
    let near = (0..7_200_000_u64).prop_map(|ms| Duration::from_secs(1_800_000_000) + Duration::from_millis(ms));
    let far = (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos));
    prop_oneof![4 => near, 1 => far, 1 => Just(Duration::ZERO)]
}

fn lengths() -> impl Strategy<Value = Duration> {
    prop_oneof![4 => (0..60_000_u64).prop_map(Duration::from_millis), 1 => any::<u64>().prop_map(Duration::from_secs)]
}

fn endings() -> impl Strategy<Value = Ending> {
    let answer = (lengths(), prop::option::of(lengths()), 0..5000_u64, any::<u64>());
    let answered = answer.prop_map(|(first_token, per_token, tokens, cost)| {
        Ending::Answered(Answered { first_token, per_token, tokens, cost: NanoUsd(cost) })
    });
    let faults = [Fault::Unreachable, Fault::Timeout, Fault::Error, Fault::Broken, Fault::Denied];
    prop_oneof![
        4 => answered,
        4 => prop::sample::select(faults.to_vec()).prop_map(Ending::Failed),
        1 => Just(Ending::Cancelled),
        1 => prop::option::of(lengths()).prop_map(|retry_after| Ending::Throttled { retry_after }),
        1 => Just(Ending::OutOfQuota),
    ]
}

fn quotas() -> impl Strategy<Value = Option<Quota>> {
    prop::option::of((any::<u64>(), any::<u64>(), lengths()).prop_map(|(remaining, limit, reset)| Quota {
        remaining,
        limit,
        reset,
    }))
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => any::<u64>().prop_map(|tokens| Event::Began { tokens }),
        4 => (instants(), endings()).prop_map(|(began, ending)| Event::Ended { began, ending }),
        1 => (quotas(), quotas()).prop_map(|(requests, tokens)| Event::Told(Headroom { requests, tokens })),
    ]
}

/// Any bytes, and any events upon them.
fn records() -> impl Strategy<Value = Record> {
    (bytes(), prop::collection::vec((events(), instants()), 0..12)).prop_map(|(bytes, events)| {
        events.iter().fold(Record::parse(Some(&bytes)), |record, (event, now)| record.apply(event, *now))
    })
}

fn costs() -> impl Strategy<Value = Option<NanoUsd>> {
    let cost = prop_oneof![Just(0), 1..10_000_000_u64, any::<u64>(), Just(u64::MAX)];
    prop::option::weighted(0.8, cost.prop_map(NanoUsd))
}

fn weights() -> impl Strategy<Value = Weights> {
    let weight = || prop_oneof![4 => 0.0..10.0_f64, 1 => any::<f64>(), 1 => Just(0.0), 1 => Just(f64::INFINITY)];
    (weight(), weight(), weight()).prop_map(|(cost, success, latency)| Weights { cost, success, latency })
}

fn asks() -> impl Strategy<Value = Ask> {
    let tokens = || prop_oneof![4 => 0..10_000_u64, 1 => any::<u64>()];
    (instants(), tokens(), tokens(), weights(), prop::option::of(0..20_usize), any::<u64>()).prop_map(
        |(now, prompt, answer, weights, preferred, draw)| Ask { now, prompt, answer, weights, preferred, draw },
    )
}

type Entry = (Record, Option<NanoUsd>);

fn field() -> impl Strategy<Value = Vec<Entry>> {
    prop::collection::vec((records(), costs()), 0..20)
}

fn candidates(field: &[Entry]) -> Vec<Candidate<'_>> {
    field.iter().map(|(record, cost)| Candidate { record, cost: *cost }).collect()
}

fn scores(field: &[Entry], ask: &Ask) -> Vec<f64> {
    score(&candidates(field), ask).iter().map(|factors| factors.score).take(field.len()).collect()
}

/// Sums of doubles are not exact.
const ROUNDING: f64 = 1e-9;

proptest! {
    // A case makes up to twenty records of a dozen events each: a hundred cases take some seconds unoptimized.
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_choice_is_a_permutation_of_sound_numbers(field in field(), ask in asks()) {
        let choice = choose(&candidates(&field), &ask);
        let mut order: Vec<usize> = choice.order().collect();
        order.sort();
        prop_assert_eq!(order, (0..field.len().min(MOST_CANDIDATES)).collect::<Vec<_>>());
        for Ranked { factors, .. } in choice.ranked() {
            let Factors { cost, success, latency, headroom, score } = *factors;
            for factor in [cost, success, latency, headroom, score] {
                prop_assert!((0.0..=1.0).contains(&factor), "{factors:?}");
            }
        }
        prop_assert!(expected_tokens(field.iter().map(|(record, _)| record), 4096, ask.now) <= 4096);
    }

    #[test]
    fn an_open_one_is_never_before_one_that_can_be_used(field in field(), ask in asks()) {
        let choice = choose(&candidates(&field), &ask);
        let usable = |ranked: &Ranked| matches!(ranked.phase, Phase::Closed | Phase::Warming(_));
        let open = |ranked: &Ranked| matches!(ranked.phase, Phase::Open(..));
        let last_usable = choice.ranked().iter().rposition(usable);
        let first_open = choice.ranked().iter().position(open);
        prop_assert!(last_usable.zip(first_open).is_none_or(|(usable, open)| usable < open), "{choice:?}");
    }

    #[test]
    fn a_record_survives_its_bytes_and_nothing_is_open_for_ever(record in records(), now in instants()) {
        prop_assert_eq!(Record::parse(Some(&record.render())), record);
        let view = record.view(now);
        prop_assert!((0.0..=1.0).contains(&view.success) && view.in_flight >= 0.0, "{view:?}");
        if let Phase::Open(wait, _) = view.phase {
            prop_assert!(wait <= breaker::LONGEST);
        }
    }

    #[test]
    fn a_cheaper_clone_is_never_worse(
        mut field in field(), ask in asks(), one in any::<prop::sample::Index>(), cheaper in 0..=1_000_000_u64,
    ) {
        field.truncate(MOST_CANDIDATES - 1);
        prop_assume!(!field.is_empty());
        let (record, cost) = field[one.index(field.len())];
        let Some(NanoUsd(cost)) = cost else { return Ok(()) };
        field.push((record, Some(NanoUsd(cost.saturating_sub(cheaper)))));
        let scores = scores(&field, &ask);
        prop_assert!(scores[field.len() - 1] >= scores[one.index(field.len() - 1)]);
    }

    #[test]
    fn failures_never_raise_the_score(
        mut field in field(), ask in asks(), one in any::<prop::sample::Index>(), failures in 1..9_u32,
    ) {
        field.truncate(MOST_CANDIDATES);
        prop_assume!(!field.is_empty());
        let one = one.index(field.len());
        field[one].0 = field[one].0.apply(&Event::Told(Headroom::default()), ask.now);
        let before = scores(&field, &ask)[one];
        let failure = Event::Ended { began: ask.now, ending: Ending::Failed(Fault::Error) };
        field[one].0 = (0..failures).fold(field[one].0, |record, _| {
            record.apply(&Event::Began { tokens: 0 }, ask.now).apply(&failure, ask.now)
        });
        prop_assert!(scores(&field, &ask)[one] <= before + ROUNDING);
    }
}
