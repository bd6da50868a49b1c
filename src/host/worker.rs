//! What all roles of one VM share: the configuration, the exchanges, the metrics that are already defined.

use std::cell::{OnceCell, RefCell};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;

use crate::auth;
use crate::config::Config;
use crate::flow::batch::Shelf;
use crate::flow::books::Books;
use crate::flow::exchange::Exchanges;
use crate::flow::flight::{Flights, Stream};
use crate::flow::load::Spare;
use crate::flow::pool::Pools;
use crate::flow::{Head, World, kept, party, report};
use crate::hash::OwnKeys;
use crate::history::{self, History};
use crate::host::redis;
use crate::metric::{Counter, Histogram};
use crate::store::Store;

/// The filter state key that carries the number of an exchange; Envoy prefixes it with `wasm.`.
pub const EXCHANGE: &str = "exchange";

thread_local! {
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

/// The state of one VM.
pub struct Worker {
    /// What new streams begin with.
    config: Rc<Config>,
    exchanges: Exchanges,
    books: Books,
    spare: Spare,
    flights: Flights,
    pools: Pools,
    shelf: Shelf,
    history: History,
    keys: auth::Memory,
    statistics: Statistics,
}

/// Envoy's numbers of the statistics that this VM has used.
#[derive(Default)]
struct Statistics {
    counters: OwnKeys<Counter, u32>,
    histograms: OwnKeys<Histogram, u32>,
}

/// Each is defined once per VM.
fn number<S: Clone + Eq + Hash>(
    known: &mut OwnKeys<S, u32>,
    statistic: &S,
    define: impl FnOnce() -> Option<u32>,
) -> Option<u32> {
    if let Some(number) = known.get(statistic) {
        return Some(*number);
    }
    let number = define()?;
    known.insert(statistic.clone(), number);
    Some(number)
}

/// Installs the configuration for streams to come. Those that are on their way go on with theirs; what is remembered of
/// keys is forgotten, because what they may use is told in places of the configuration.
pub fn configure(config: Rc<Config>) {
    party::prepare(&config, &SharedData);
    kept::prepare(&config, &SharedData);
    report::prepare(&config, &SharedData);
    history::prepare(&SharedData, clock());
    WORKER.with_borrow_mut(|slot| match slot {
        Some(worker) => (worker.config, worker.keys) = (config, auth::Memory::default()),
        None => {
            let exchanges = Exchanges::new(clock().as_nanos() as u64);
            let (books, spare, flights, pools, shelf, history, keys, statistics) = Default::default();
            *slot = Some(Worker { config, exchanges, books, spare, flights, pools, shelf, history, keys, statistics });
        }
    });
}

/// Runs `step` with what it may look at, under the configuration with which the stream began, or the present one;
/// `None` before there is any.
pub fn with_world<R>(
    stream: Stream,
    began: Option<&Rc<Config>>,
    head: fn() -> Head,
    step: impl FnOnce(&mut World<'_>) -> R,
) -> Option<R> {
    WORKER.with_borrow_mut(|slot| {
        let Worker { config: present, exchanges, books, spare, flights, pools, shelf, history, keys, .. } =
            slot.as_mut()?;
        let (store, moment) = (&SharedData, OnceCell::new());
        let config = began.unwrap_or(present);
        let mut apart = None;
        let keys = if Rc::ptr_eq(config, present) { keys } else { apart.insert(auth::Memory::default()) };
        Some(step(&mut World {
            config,
            exchanges,
            flights,
            stream,
            keys,
            store,
            books,
            spare,
            pools,
            shelf,
            history,
            redis: redis::presence,
            random,
            moment,
            clock,
            head,
            exchange,
            flags,
        }))
    })
}

/// Adds to a counter.
pub fn count(counter: &Counter, more: u64) {
    if more == 0 {
        return;
    }
    let define = || hostcalls::define_metric(MetricType::Counter, &counter.name()).ok();
    if let Some(number) = statistics(|known| number(&mut known.counters, counter, define)) {
        let _ = hostcalls::increment_metric(number, i64::try_from(more).unwrap_or(i64::MAX));
    }
}

/// Notes how long something took; Envoy is told microseconds.
pub fn observe(histogram: &Histogram, took: Duration) {
    let define = || hostcalls::define_metric(MetricType::Histogram, &histogram.name()).ok();
    if let Some(number) = statistics(|known| number(&mut known.histograms, histogram, define)) {
        let _ = hostcalls::record_metric(number, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
}

fn statistics<T>(work: impl FnOnce(&mut Statistics) -> Option<T>) -> Option<T> {
    WORKER.with_borrow_mut(|slot| work(&mut slot.as_mut()?.statistics))
}

/// The number of the current stream's exchange, if it has one.
fn exchange() -> Option<u64> {
    let bytes = hostcalls::get_property(vec![EXCHANGE]).ok().flatten()?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// Envoy's response flags of the current stream.
fn flags() -> u64 {
    let bytes = hostcalls::get_property(vec!["response", "flags"]).ok().flatten();
    bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// The time since the Unix epoch.
pub fn clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Envoy's shared data, which all workers see.
struct SharedData;

impl Store for SharedData {
    fn load(&self, name: &str) -> (Option<Vec<u8>>, Option<u32>) {
        hostcalls::get_shared_data(name).unwrap_or_default()
    }

    fn save(&self, name: &str, record: &[u8], stamp: Option<u32>) -> bool {
        hostcalls::set_shared_data(name, Some(record), stamp).is_ok()
    }
}

/// A random number. The standard library seeds each hasher with random keys, which on this target are Envoy's.
pub fn random() -> u64 {
    RandomState::new().hash_one(0)
}
