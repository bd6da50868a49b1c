//! Kept answers: in the memory of this Envoy (level 1), and in Redis (level 2).
//!
//! A request that may be answered from what is kept has a [`Memo`]; any other has a reason why not. What cannot be read -
//! of another version, cut short, put there by somebody else - is not there.

use std::time::Duration;

use crate::cache::l1::L1;
use crate::cache::{self, Entry, Only, Rule, Scope, deterministic, keepable};
use crate::chat::Request;
use crate::config::{self, Config, Model};
use crate::flow::exchange::{Spent, vendor_name};
use crate::flow::{Effect, Head, World};
use crate::json::Doc;
use crate::redis::{Command, Reply};
use crate::store::Store;
use crate::unit::hex;

/// A request, as far as kept answers are concerned.
#[derive(Debug, Clone, Copy)]
pub struct Memo {
    /// By what its answer is kept.
    pub key: cache::Key,
    /// What holds for it.
    pub rule: Rule,
    /// Whether a kept answer will do.
    pub reads: bool,
    /// How old it may be.
    max_age: Duration,
}

/// What a client wants: its `cache-control`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Control {
    no_cache: bool,
    no_store: bool,
    max_age: Option<Duration>,
}

impl Control {
    /// What the headers say; what is not known is not minded.
    pub fn of(head: &Head) -> Control {
        let mut control = Control::default();
        for directive in head.values("cache-control").flat_map(|value| value.split(',')) {
            let directive = directive.trim().to_ascii_lowercase();
            match directive.split_once('=') {
                None if directive == "no-cache" => control.no_cache = true,
                None if directive == "no-store" => control.no_store = true,
                Some(("max-age", age)) => {
                    control.max_age = age.trim_matches('"').parse().ok().map(Duration::from_secs).or(control.max_age);
                }
                _ => {}
            }
        }
        control
    }
}

impl Memo {
    /// The memo of a request. Otherwise why it has none, as `x-weir-cache` says it, if the gateway keeps any answers at all.
    pub fn new(
        control: Control,
        key: &config::Key,
        model: &Model,
        request: &Request,
        config: &Config,
    ) -> Result<Memo, Option<&'static str>> {
        let gateway = config.cache.as_ref().ok_or(None)?.rules;
        let rule = key.cache.or(model.cache).or(gateway).rule().ok_or("bypass;off")?;
        if control.no_store {
            return Err(Some("bypass;no-store"));
        }
        if request.root().given("web_search_options").is_some() {
            return Err(Some("bypass;web-search"));
        }
        if rule.only == Only::Deterministic && !deterministic(request) {
            return Err(Some("bypass;not-deterministic"));
        }
        let scope = scope(&rule, key, config);
        Ok(Memo {
            key: cache::key(&scope, &model.name, request, rule.normal),
            rule,
            reads: !control.no_cache && control.max_age != Some(Duration::ZERO),
            max_age: control.max_age.unwrap_or(Duration::MAX),
        })
    }

    /// Whether a kept answer will do.
    pub fn welcomes(&self, entry: &Entry, now: Duration) -> bool {
        let age = entry.age(now);
        self.reads && entry.fresh(now) && age < self.rule.ttl && age <= self.max_age
    }

    /// Whether it will do where there is no other.
    pub fn tolerates(&self, entry: &Entry, now: Duration) -> bool {
        entry.fresh(now) || entry.stale(now, self.rule.stale)
    }
}

/// Who shares answers. Names are not enough: a key that is kept in Redis may have the name of another.
fn scope(rule: &Rule, key: &config::Key, config: &Config) -> String {
    let tenant = key.tenant.and_then(|tenant| config.tenants.get(tenant));
    match (rule.scope, tenant) {
        (Scope::Shared, _) => "shared".to_owned(),
        (Scope::Tenant, Some(tenant)) => ["tenant:", &tenant.name].concat(),
        (Scope::Tenant | Scope::Key, _) => ["key:", &hex(&key.sha256)].concat(),
    }
}

/// Makes the records that all of this is kept in.
pub fn prepare(config: &Config, store: &dyn Store) {
    if let Some(cache) = &config.cache {
        L1::new(cache.l1_bytes as u64).prepare(store);
        cache::lease::prepare(store);
    }
}

/// What this Envoy keeps under a key.
pub fn here(key: &cache::Key, world: &World<'_>) -> Option<Entry> {
    let cache = world.config.cache.as_ref()?;
    let record = L1::new(cache.l1_bytes as u64).lookup(world.store, key.bytes(), world.now())?;
    Entry::read(key, &record)
}

/// Keeps an entry here.
pub fn keep_here(memo: &Memo, entry: &Entry, world: &World<'_>) {
    put_here(memo, entry, &entry.encode(&memo.key), world);
}

/// Keeps an entry, here and in Redis.
pub fn keep(memo: &Memo, entry: &Entry, world: &World<'_>) -> Option<Command> {
    let record = entry.encode(&memo.key);
    put_here(memo, entry, &record, world);
    let most = world.config.cache.as_ref()?.entry_bytes;
    let lasts = (entry.ttl + memo.rule.stale).as_millis().to_string();
    let command = || Command::new(&[b"SET", place(&memo.key).as_bytes(), &record, b"PX", lasts.as_bytes()]);
    (world.config.redis.is_some() && record.len() <= most).then(command)
}

fn put_here(memo: &Memo, entry: &Entry, record: &[u8], world: &World<'_>) {
    let Some(cache) = world.config.cache.as_ref().filter(|cache| record.len() <= cache.entry_bytes) else { return };
    let expires = entry.stored.saturating_add(entry.ttl).saturating_add(memo.rule.stale);
    // What is too large for it is not kept here.
    let _ = L1::new(cache.l1_bytes as u64).insert(world.store, memo.key.bytes(), record, expires, world.now());
}

/// What asks Redis for it. Of more than this gateway would keep only so much that it cannot be read: an answer of
/// Redis's that is too large would be none for all who ask at the same time.
pub fn question(key: &cache::Key, config: &Config) -> Command {
    let most = config.cache.as_ref().map_or(0, |cache| cache.entry_bytes).to_string();
    Command::new(&[b"GETRANGE", place(key).as_bytes(), b"0", most.as_bytes()])
}

/// What Redis says.
pub fn heard(memo: &Memo, reply: &Reply) -> Option<Entry> {
    match reply {
        Reply::Bulk(record) => Entry::decode(&memo.key, record),
        _ => None,
    }
}

fn place(key: &cache::Key) -> String {
    ["weir:cache:{", &key.hex(), "}"].concat()
}

/// The answer that an exchange came to, if it is whole and one that may be kept.
pub fn entry(exchange: u64, memo: &Memo, world: &mut World<'_>) -> Option<Entry> {
    let now = world.now();
    let exchange = world.exchanges.get(exchange)?;
    let cost = exchange.spent().as_ref().and_then(Spent::cost).unwrap_or_default().0;
    let answer = exchange.copied()?;
    let doc = Doc::parse(answer).ok()?;
    keepable(exchange.request.task(), &doc).ok()?;
    let hop = &exchange.last()?.hop;
    Some(Entry {
        vendor: vendor_name(world.config, hop).to_owned(),
        model: hop.model.clone(),
        cost,
        stored: Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX)),
        ttl: memo.rule.ttl,
        answer: doc.into_text().into_bytes(),
    })
}

/// Tells Redis, if there is something to tell.
pub fn told(commands: impl IntoIterator<Item = Command>) -> Option<Effect> {
    let commands: Vec<Command> = commands.into_iter().collect();
    (!commands.is_empty()).then_some(Effect::Tell(commands))
}
