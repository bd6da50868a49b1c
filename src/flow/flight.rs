//! Requests that are on their way, and identical ones that wait for what they get.
//!
//! The first request of a key *leads*: it goes to the vendor. Those that come while it is on its way *follow*: they are
//! held, and get its answer. If it fails, the first of them takes over. What is on its way at another worker is known by
//! its [lease](crate::cache::lease), and its answer by the shared cache: whoever follows it looks at both, whenever time
//! has passed ([`Flights::look`]). Nobody waits longer than its own deadline; then it goes alone.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use crate::cache::{Entry, Key, lease};
use crate::flow::pool::Share;
use crate::flow::{Effect, World, kept};
use crate::redis::{Command, Script};

/// A stream's number among Envoy's contexts.
pub type Stream = u32;

/// What a stream that waits is told.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// The answer is here.
    Answer(Rc<Entry>),
    /// Whoever led has failed: it is this one's turn, with this lease.
    Lead(Lease),
    /// It has waited for long enough: it goes alone.
    Alone,
    /// Time has passed: it may ask Redis again.
    Look,
    /// It is its turn in the [pool](crate::flow::pool) of its kind.
    Turn,
    /// Its share of what came of a call that was made for many.
    Share(Rc<Share>),
}

/// The right to ask the vendor in the name of all that ask the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// What they ask.
    pub key: Key,
    /// Who holds it, among all workers and gateways.
    pub holder: u64,
    /// Whether there was room for it among those of this Envoy.
    pub recorded: bool,
    /// Until when.
    pub until: Duration,
}

impl Lease {
    /// Takes it, if nobody else on this Envoy has it.
    pub fn take(key: Key, until: Duration, world: &World<'_>) -> Option<Lease> {
        let holder = (world.random)();
        let claim = lease::take(world.store, &key, holder, world.now(), until);
        let recorded = claim == lease::Claim::Mine;
        (claim != lease::Claim::Taken).then_some(Lease { key, holder, recorded, until })
    }

    /// Gives it back.
    pub fn release(&self, world: &World<'_>) {
        if self.recorded {
            lease::release(world.store, &self.key, self.holder, world.now(), self.until);
        }
    }
}

/// The flights of one worker.
#[derive(Debug, Default)]
pub struct Flights {
    flights: HashMap<Key, Flight>,
    /// Those that lead here and wait for another gateway.
    looking: Vec<Stream>,
}

#[derive(Debug)]
struct Flight {
    leader: Leader,
    followers: VecDeque<Follower>,
}

/// Who leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leader {
    /// A stream of this worker.
    Here,
    /// Another worker's.
    Elsewhere,
}

#[derive(Debug)]
struct Follower {
    stream: Stream,
    until: Duration,
}

impl Flights {
    fn is_idle(&self) -> bool {
        self.flights.is_empty() && self.looking.is_empty()
    }

    /// Whether somebody is known to be at it.
    pub fn has(&self, key: &Key) -> bool {
        self.flights.contains_key(key)
    }

    /// Somebody is at it now.
    pub fn depart(&mut self, key: Key, leader: Leader) {
        self.flights.insert(key, Flight { leader, followers: VecDeque::new() });
    }

    /// One more that waits for it.
    pub fn follow(&mut self, key: &Key, stream: Stream, until: Duration) {
        if let Some(flight) = self.flights.get_mut(key) {
            flight.followers.push_back(Follower { stream, until });
        }
    }

    /// A follower does not wait any more.
    pub fn leave(&mut self, key: &Key, stream: Stream) {
        if let Some(flight) = self.flights.get_mut(key) {
            flight.followers.retain(|follower| follower.stream != stream);
            if flight.leader == Leader::Elsewhere && flight.followers.is_empty() {
                self.flights.remove(key);
            }
        }
    }

    /// The answer is here: those who waited for it.
    pub fn land(&mut self, key: &Key) -> Vec<Stream> {
        let followers = self.flights.remove(key).map(|flight| flight.followers).unwrap_or_default();
        followers.into_iter().map(|follower| follower.stream).collect()
    }

    /// Whoever led has failed: the one that leads now. Nobody does if nobody waits.
    pub fn succeed(&mut self, key: &Key) -> Option<Stream> {
        let flight = self.flights.get_mut(key)?;
        let next = flight.followers.pop_front();
        flight.leader = Leader::Here;
        if next.is_none() {
            self.flights.remove(key);
        }
        next.map(|follower| follower.stream)
    }

    /// A stream leads here, and waits for what another gateway gets.
    pub fn look_again(&mut self, stream: Stream) {
        self.looking.push(stream);
    }

    /// Time has passed: who is to be told what. `answer` looks a kept answer up, and `take` takes the lease of a worker
    /// that has given it back without one.
    pub fn look(
        &mut self,
        now: Duration,
        answer: impl Fn(&Key) -> Option<Rc<Entry>>,
        take: impl Fn(&Key) -> Option<Lease>,
    ) -> Vec<(Stream, News)> {
        let mut news: Vec<_> =
            std::mem::take(&mut self.looking).into_iter().map(|stream| (stream, News::Look)).collect();
        let elsewhere = self.flights.iter().filter(|(_, flight)| flight.leader == Leader::Elsewhere);
        let elsewhere: Vec<Key> = elsewhere.map(|(key, _)| *key).collect();
        for key in elsewhere {
            if let Some(entry) = answer(&key) {
                news.extend(self.land(&key).into_iter().map(|stream| (stream, News::Answer(Rc::clone(&entry)))));
            } else if let Some(lease) = take(&key) {
                news.extend(self.succeed(&key).map(|stream| (stream, News::Lead(lease))));
            }
        }
        news.extend(self.overdue(now).into_iter().map(|stream| (stream, News::Alone)));
        news
    }

    fn overdue(&mut self, now: Duration) -> Vec<Stream> {
        let mut overdue = Vec::new();
        self.flights.retain(|_, flight| {
            flight.followers.retain(|follower| {
                let waits = now < follower.until;
                overdue.extend((!waits).then_some(follower.stream));
                waits
            });
            flight.leader == Leader::Here || !flight.followers.is_empty()
        });
        overdue
    }
}

/// News for a stream that is over: it may have been its turn.
pub fn unheard(news: News, world: &mut World<'_>) -> Vec<Effect> {
    match news {
        News::Lead(lead) => hand_over(lead, world),
        // Whoever leaves a pool passes its turn on itself.
        News::Answer(_) | News::Alone | News::Look | News::Turn | News::Share(_) => Vec::new(),
    }
}

/// Whoever leads has the answer: all that follow get it, and the lease is free.
pub fn land(lead: Lease, entry: Rc<Entry>, world: &mut World<'_>) -> Vec<Effect> {
    let followers = world.flights.land(&lead.key);
    let mut effects = free(lead, world);
    effects.extend((!followers.is_empty()).then_some(Effect::Wake(followers, News::Answer(entry))));
    effects
}

/// Whoever leads has no answer: the next one takes over, or the lease is free.
pub fn hand_over(lead: Lease, world: &mut World<'_>) -> Vec<Effect> {
    match world.flights.succeed(&lead.key) {
        Some(next) => vec![Effect::Wake(vec![next], News::Lead(lead))],
        None => free(lead, world),
    }
}

/// Claims a flight among all gateways, for as long; to be read as `Nil` if another one has it.
pub fn claim(lead: &Lease, lasts: Duration) -> Command {
    let lasts = lasts.as_millis().max(1).to_string();
    Command::script(&CLAIM, &[&place(&lead.key)], [lead.holder(), lasts])
}

fn free(lead: Lease, world: &World<'_>) -> Vec<Effect> {
    lead.release(world);
    let tells = world.config.redis.is_some();
    let release = || Command::script(&RELEASE, &[&place(&lead.key)], [lead.holder()]);
    tells.then(|| Effect::Tell(vec![release()])).into_iter().collect()
}

/// The same hash tag as the answer's, so that one node has both, and its clients see them in the order of their changes.
fn place(key: &Key) -> String {
    ["weir:lease:{", &key.hex(), "}"].concat()
}

impl Lease {
    fn holder(&self) -> String {
        format!("{:016x}", self.holder)
    }
}

/// What Redis is asked may be asked twice, and whoever takes over asks for what it has got: its own lease is nobody else's.
static CLAIM: Script = Script::new(
    "if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) or redis.call('GET', KEYS[1]) == ARGV[1] then
        return 1
    end",
);
/// It may be another's by now: who waits for it in vain gives it back, too, and what Redis is told may come late.
static RELEASE: Script = Script::new(
    "if redis.call('GET', KEYS[1]) == ARGV[1] then
        return redis.call('DEL', KEYS[1])
    end",
);

/// Time has passed, on this worker: who is to be told what.
pub fn look(world: &mut World<'_>) -> Vec<(Stream, News)> {
    let mut flights = std::mem::take(world.flights);
    let news = if flights.is_idle() { Vec::new() } else { flights_look(&mut flights, world) };
    *world.flights = flights;
    news
}

fn flights_look(flights: &mut Flights, world: &World<'_>) -> Vec<(Stream, News)> {
    let now = world.now();
    let merge = world.config.cache.as_ref().map_or(Duration::ZERO, |cache| cache.merge);
    let answer = |key: &Key| kept::here(key, world).filter(|entry| entry.fresh(now)).map(Rc::new);
    let take = |key: &Key| Lease::take(*key, now.saturating_add(merge), world);
    flights.look(now, answer, take)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{Normal, key};
    use crate::chat::Request;
    use crate::test;

    fn a_key() -> Key {
        let request = Request::parse(br#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#.to_vec()).unwrap();
        key("shared", "m", &request, Normal::default())
    }

    fn an_entry() -> Rc<Entry> {
        let (vendor, model, stored) = ("v".to_owned(), "m".to_owned(), Duration::ZERO);
        Rc::new(Entry { answer: b"{}".to_vec(), vendor, model, cost: 0, stored, ttl: Duration::from_secs(1) })
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn flight(leader: Leader) -> (Flights, Key) {
        let (mut flights, key) = (Flights::default(), a_key());
        flights.depart(key, leader);
        (1..=3).for_each(|stream| flights.follow(&key, stream, SECOND * stream));
        (flights, key)
    }

    fn nothing(flights: &mut Flights, now: Duration) -> Vec<(Stream, News)> {
        flights.look(now, |_| None, |_| None)
    }

    #[test]
    fn all_that_follow_get_the_answer() {
        let (mut flights, key) = flight(Leader::Here);
        flights.leave(&key, 2);
        assert_eq!(flights.land(&key), [1, 3]);
        assert!(!flights.has(&key));
        assert!(flights.land(&key).is_empty());
    }

    #[test]
    fn one_after_the_other_takes_over() {
        let (mut flights, key) = flight(Leader::Here);
        assert_eq!([1, 2, 3].map(|_| flights.succeed(&key)), [Some(1), Some(2), Some(3)]);
        assert!(flights.has(&key), "the last one is at it");
        assert_eq!(flights.succeed(&key), None);
        assert!(!flights.has(&key));
    }

    #[test]
    fn nobody_waits_for_longer_than_it_wants() {
        let (mut flights, key) = flight(Leader::Here);
        assert_eq!(nothing(&mut flights, SECOND / 2), []);
        assert_eq!(nothing(&mut flights, SECOND * 2), [(1, News::Alone), (2, News::Alone)]);
        assert_eq!(flights.land(&key), [3]);
    }

    #[test]
    fn what_another_worker_gets_is_looked_for() {
        let (mut flights, key) = flight(Leader::Elsewhere);
        assert_eq!(nothing(&mut flights, SECOND / 2), []);
        let found = flights.look(SECOND / 2, |_| Some(an_entry()), |_| None);
        assert_eq!(found, [1, 2, 3].map(|stream| (stream, News::Answer(an_entry()))));
        assert!(!flights.has(&key));
    }

    #[test]
    fn the_lease_of_another_worker_that_failed_is_taken_over() {
        let (mut flights, key) = flight(Leader::Elsewhere);
        let lease = Lease { key, holder: 7, recorded: true, until: SECOND };
        assert_eq!(flights.look(SECOND / 2, |_| None, |_| Some(lease)), [(1, News::Lead(lease))]);
        assert_eq!(nothing(&mut flights, SECOND / 2), [], "it leads here now");
        assert_eq!(flights.land(&key), [2, 3]);
    }

    #[test]
    fn a_flight_elsewhere_that_nobody_follows_is_forgotten() {
        let (mut flights, key) = flight(Leader::Elsewhere);
        (1..=3).for_each(|stream| flights.leave(&key, stream));
        assert!(!flights.has(&key));
        let (mut flights, key) = flight(Leader::Elsewhere);
        assert_eq!(nothing(&mut flights, SECOND * 9).len(), 3);
        assert!(!flights.has(&key));
    }

    #[test]
    fn who_looks_elsewhere_is_told_once() {
        let mut flights = Flights::default();
        flights.look_again(4);
        assert_eq!(nothing(&mut flights, SECOND), [(4, News::Look)]);
        assert_eq!(nothing(&mut flights, SECOND), []);
    }
}
