use super::*;
use crate::chat::Task;
use crate::test;

const ALL: Most = Most { bytes: usize::MAX, tokens: u64::MAX };
const SECOND: Duration = Duration::from_secs(1);

fn kind(body: &str) -> Option<(Kind, String, u64)> {
    Kind::of("/v1/embeddings", &[7; 32], &Request::read(Task::Embeddings, body.as_bytes().to_vec()).unwrap())
}

fn a_kind() -> Kind {
    kind(r#"{"model":"m","input":"a","user":"u"}"#).unwrap().0
}

fn member(stream: Stream) -> Member {
    Member { stream: Some(stream), input: stream.to_string(), tokens: 10, until: SECOND * stream }
}

/// A pool whose first one is on its way, and in which these wait.
fn pool(streams: impl IntoIterator<Item = Stream>) -> (Pools, Kind) {
    let (pools, kind) = (Pools::default(), a_kind());
    assert_eq!(pools.join(&kind, member(0)), Joined::First);
    streams.into_iter().for_each(|stream| assert_eq!(pools.join(&kind, member(stream)), Joined::Waits));
    (pools, kind)
}

fn streams(members: &[Member]) -> Vec<Stream> {
    members.iter().filter_map(|member| member.stream).collect()
}

fn is_empty(pools: &Pools) -> bool {
    pools.0.borrow().pools.is_empty()
}

#[test]
fn a_kind_is_all_but_the_input() {
    let other = kind(r#"{"model":"m","input":"bcdefgh","user":"u"}"#).unwrap();
    assert_eq!((&other.0, other.1.as_str(), other.2), (&a_kind(), "\"bcdefgh\"", 2));
    assert_eq!(kind(r#"{"model":"m","input":[ "a" ],"user":"u"}"#).unwrap().0, a_kind(), "a list of one");
    let tokens = kind(r#"{"model":"m","input":[1,2],"user":"u"}"#).unwrap();
    assert_eq!((tokens.1.as_str(), tokens.2), ("[1,2]", 2));
    assert_eq!(kind(r#"{"model":"m","input":[[3]],"user":"u"}"#).unwrap().0, tokens.0);
    assert_ne!(tokens.0, a_kind(), "texts and tokens do not stand in one list");
    assert_ne!(kind(r#"{"model":"m","input":"a","user":"v"}"#).unwrap().0, a_kind());
    for body in [
        r#"{"model":"m","input":["a","b"]}"#.to_owned(),
        format!(r#"{{"model":"m","input":"{}"}}"#, "x".repeat(MOST_INPUT)),
        format!(r#"{{"model":"m","input":"a","user":"{}"}}"#, "x".repeat(MOST_AROUND)),
    ] {
        assert_eq!(kind(&body), None, "{body:.60}");
    }
}

#[test]
fn what_gathers_goes_as_one() {
    let (pools, kind) = pool([5, 6, 7]);
    assert_eq!(pools.over(&kind), Some(5));
    assert_eq!(pools.board(&kind, 6, ALL), Boarding::Nothing, "it is not its turn");
    let body = br#"{"model":"m","input":[5,6,7],"user":"u"}"#.to_vec();
    assert_eq!(pools.board(&kind, 5, ALL), Boarding::Call { number: 1, body, until: SECOND * 7 });
    assert_eq!(pools.join(&kind, member(8)), Joined::Waits);
    assert_eq!(pools.land(9), None);
    let (members, next) = pools.land(1).unwrap();
    assert_eq!((streams(&members), next), (vec![5, 6, 7], Some(8)));
    assert_eq!(pools.board(&kind, 8, ALL), Boarding::Alone);
    assert_eq!(pools.over(&kind), None);
    assert!(is_empty(&pools));
}

#[test]
fn only_so_many_go_together() {
    for (most, gone) in [
        (ALL, TOGETHER),
        (Most { tokens: 39, ..ALL }, 3),
        (Most { bytes: 47, ..ALL }, 3),
        (Most { bytes: 0, tokens: 0 }, 1),
    ] {
        let (pools, kind) = pool(100..200);
        assert_eq!(pools.over(&kind), Some(100));
        pools.board(&kind, 100, most);
        assert_eq!(pools.0.borrow().pools[&kind].waiting.len(), 100 - gone, "{most:?}");
    }
    let (pools, kind) = pool(0..1024);
    assert_eq!(pools.join(&kind, member(2000)), Joined::Full);
}

#[test]
fn who_leaves_is_forgotten() {
    let (pools, kind) = pool([5, 6, 7, 8]);
    assert_eq!(pools.leave(&kind, 6), None);
    assert_eq!(pools.over(&kind), Some(5));
    assert_eq!(pools.leave(&kind, 5), Some(7), "its turn is the next one's");
    assert!(matches!(pools.board(&kind, 7, ALL), Boarding::Call { number: 1, .. }));
    assert_eq!(pools.leave(&kind, 7), None, "the call goes on");
    let (members, next) = pools.land(1).unwrap();
    assert_eq!((members.len(), streams(&members), next), (2, vec![8], None));
    assert!(is_empty(&pools));
    let (pools, kind) = pool([5]);
    assert_eq!((pools.over(&kind), pools.leave(&kind, 5)), (Some(5), None));
    assert!(is_empty(&pools));
}

#[test]
fn nobody_waits_for_ever() {
    let (pools, kind) = pool([5, 6, 7, 9]);
    assert_eq!(pools.overdue(SECOND * 5), (vec![5], vec![]));
    assert_eq!(pools.over(&kind), Some(6));
    assert!(matches!(pools.board(&kind, 6, ALL), Boarding::Call { .. }));
    assert_eq!(pools.overdue(SECOND * 7), (vec![6, 7], vec![]));
    assert_eq!(pools.overdue(SECOND * 7), (vec![], vec![]));
    assert_eq!(pools.overdue(SECOND * 10), (vec![9], vec![1]), "the call is lost");
    assert_eq!(pools.land(1).map(|(members, next)| (streams(&members), next)), Some((vec![], None)));
    assert!(is_empty(&pools));
}
