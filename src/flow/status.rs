//! `GET /api/status`: everything that the gateway knows of itself, for admins, as one JSON document.
//!
//! `docs/api.md` describes its members. All of it is read from records that the workers share, so it does not matter
//! which of them is asked. Nothing in it grows with what clients send: names are those of the configuration, and of the
//! last refusals there are only so many, each cut to a length.

use std::time::Duration;

use crate::account;
use crate::cache::l1::L1;
use crate::cache::{Rule, Scope};
use crate::config::{Config, Hop};
use crate::flow::endpoint::{self, timestamp};
use crate::flow::exchange::vendor_name;
use crate::flow::party::{self, GATEWAY, Party};
use crate::flow::{Reply, World, report, selection};
use crate::history::{self, Counts, HOURS, MINUTES, Span};
use crate::json::Writer;
use crate::limit::{Bound, Ledger, Mode, Use};
use crate::redis::Presence;
use crate::unit::NanoUsd;

/// The page.
pub fn page(world: &World<'_>) -> Reply {
    let mut reply = endpoint::page(|w| {
        w.key("version").string(env!("CARGO_PKG_VERSION"));
        times(w, world);
        w.key("configuration").object(|w| configuration(w, world.config));
        w.key("in_flight").object(|w| in_flight(w, world));
        w.key("vendors").array(|w| vendors(w, world));
        w.key("limits").object(|w| limits(w, world));
        w.key("cache").object(|w| cache(w, world));
        w.key("redis").object(|w| redis(w, world));
        w.key("history").object(|w| sums(w, world));
        w.key("refusals").array(|w| refusals(w, world));
    });
    reply.headers.push(("cache-control", "no-store".into()));
    reply
}

fn times(w: &mut Writer, world: &World<'_>) {
    let began = history::began(world.store);
    w.key("now").string(&timestamp(world.now()));
    w.key("started").string_or_null(began.map(timestamp).as_deref());
    match began {
        Some(began) => w.key("uptime_seconds").number(world.now().saturating_sub(began).as_secs()),
        None => w.key("uptime_seconds").null(),
    }
}

fn configuration(w: &mut Writer, config: &Config) {
    w.key("listen").string(&config.listen.to_string());
    for (name, count) in [
        ("vendors", config.vendors.len()),
        ("models", config.models.len()),
        ("keys", config.keys.len()),
        ("tenants", config.tenants.len()),
        ("body_bytes", config.limits.body_bytes),
        ("attempts", config.routing.attempts),
    ] {
        w.key(name).number(count as u64);
    }
    for (name, time) in [
        ("first_token_timeout_ms", config.routing.first_token_timeout),
        ("answer_timeout_ms", config.routing.answer_timeout),
        ("idle_timeout_ms", config.routing.idle_timeout),
        ("total_timeout_ms", config.routing.total_timeout),
    ] {
        w.key(name).number(millis(time));
    }
    w.key("weights").object(|w| {
        let weights = config.routing.weights;
        for (name, weight) in [("cost", weights.cost), ("success", weights.success), ("latency", weights.latency)] {
            w.key(name).raw(&weight.to_string());
        }
    });
}

fn in_flight(w: &mut Writer, world: &World<'_>) {
    let ledger = Ledger::parse(world.store.load(GATEWAY).0.as_deref());
    let places = world.config.limits.in_flight.uses(&ledger, world.now());
    let (used, of) = places.first().map_or((0, 0), |places| (places.used, places.of));
    w.key("requests").number(used);
    w.key("of").number(of);
}

fn vendors(w: &mut Writer, world: &World<'_>) {
    let mut known: Vec<&Hop> = Vec::new();
    for hop in world.config.models.iter().flat_map(|model| &model.serve) {
        if !known.iter().any(|other| same(other, hop)) {
            known.push(hop);
        }
    }
    for hop in known {
        w.object(|w| {
            w.key("vendor").string(vendor_name(world.config, hop));
            w.key("model").string(&hop.model);
            w.key("kind").string_or_null(world.config.vendors.get(hop.vendor).map(|vendor| vendor.format.kind()));
            w.key("serves").array(|w| {
                let models = world.config.models.iter();
                let served = models.filter(|model| model.serve.iter().any(|other| same(other, hop)));
                served.for_each(|model| w.string(&model.name));
            });
            selection::view(w, &report::known(hop, world.config, world.store), world);
        });
    }
}

fn same(one: &Hop, other: &Hop) -> bool {
    one.vendor == other.vendor && one.model == other.model
}

/// Those that are used most come first, and are all that is told of many.
fn limits(w: &mut Writer, world: &World<'_>) {
    let here = world.config.redis.is_none();
    let mut all: Vec<(Party, Use)> = Vec::new();
    for party in party::everybody(world.config) {
        let record = if here { world.store.load(&party.record()).0 } else { None };
        let uses = party.rules.uses(&Ledger::parse(record.as_deref()), world.now());
        all.extend(uses.into_iter().map(|one| (party.clone(), one)));
    }
    let part = |one: &Use| one.used as f64 / one.of.max(1) as f64;
    all.sort_by(|(_, one), (_, other)| part(other).total_cmp(&part(one)));
    w.key("kept_in").string(if here { "gateway" } else { "redis" });
    w.key("count").number(all.len() as u64);
    w.key("uses").array(|w| {
        for (party, one) in all.iter().take(MOST_LIMITS) {
            w.object(|w| limit(w, party, one, here));
        }
    });
}

fn limit(w: &mut Writer, party: &Party, one: &Use, here: bool) {
    let money = matches!(one.bound, Bound::Hour | Bound::Day | Bound::Month);
    let amount = |amount: u64| if money { account::dollars(NanoUsd(amount)) } else { amount.to_string() };
    let rate = match one.bound {
        Bound::Requests => party.rules.requests.map(|rule| rule.bound.rate.to_string()),
        Bound::Tokens => party.rules.tokens.map(|rule| rule.bound.rate.to_string()),
        _ => None,
    };
    w.key("role").string(party.role.word());
    w.key("of").string(party.name());
    w.key("limit").string(one.bound.name());
    w.key("mode").string(match one.mode {
        Mode::Enforce => "enforce",
        Mode::Observe => "observe",
    });
    w.key("unit").string(if money { "usd" } else { "count" });
    w.key("rate").string_or_null(rate.as_deref());
    w.key("bound").raw(&amount(one.of));
    match here {
        true => w.key("used").raw(&amount(one.used)),
        false => w.key("used").null(),
    }
    let resets = one.resets.filter(|_| here || money);
    w.key("resets").string_or_null(resets.map(timestamp).as_deref());
}

fn cache(w: &mut Writer, world: &World<'_>) {
    let rule = world.config.cache.as_ref().and_then(|cache| Some((cache, cache.rules.rule()?)));
    w.key("enabled").bool(rule.is_some());
    let Some((cache, Rule { ttl, stale, scope, .. })) = rule else { return };
    w.key("ttl_seconds").number(ttl.as_secs());
    w.key("stale_seconds").number(stale.as_secs());
    w.key("scope").string(match scope {
        Scope::Key => "key",
        Scope::Tenant => "tenant",
        Scope::Shared => "shared",
    });
    w.key("in_redis").bool(world.config.redis.is_some());
    let usage = L1::new(cache.l1_bytes as u64).usage(world.store, world.now());
    w.key("l1").object(|w| {
        w.key("entries").number(usage.entries);
        w.key("bytes").number(usage.bytes);
        w.key("max_bytes").number(usage.room);
        w.key("exact").bool(usage.exact);
    });
}

fn redis(w: &mut Writer, world: &World<'_>) {
    w.key("configured").bool(world.config.redis.is_some());
    if let Some(redis) = &world.config.redis {
        w.key("cluster").bool(redis.cluster);
        w.key("answers").bool((world.redis)() == Presence::Answers);
    }
}

fn sums(w: &mut Writer, world: &World<'_>) {
    let [minutes, hours] = [MINUTES, HOURS].map(|span| span.read(world.store, world.now()));
    let last = |count: usize| minutes.iter().rev().take(count);
    let since_midnight = usize::try_from(HOURS.number(world.now()) % HOURS_OF_A_DAY + 1).unwrap_or(1);
    w.key("last_5_minutes").object(|w| sum(w, last(5)));
    w.key("last_hour").object(|w| sum(w, last(60)));
    w.key("today").object(|w| sum(w, hours.iter().rev().take(since_midnight)));
    w.key("minutes").object(|w| series(w, MINUTES, &minutes, world.now()));
    w.key("hours").object(|w| series(w, HOURS, &hours, world.now()));
}

fn sum<'c>(w: &mut Writer, all: impl Iterator<Item = &'c Counts>) {
    let mut sum = Counts::default();
    all.for_each(|counts| sum.add(counts));
    COLUMNS.iter().for_each(|(name, value)| w.key(name).raw(&value(&sum)));
}

/// A list for each member, the oldest minute or hour first, and the one under way last.
fn series(w: &mut Writer, span: Span, counts: &[Counts], now: Duration) {
    let first = span.number(now).saturating_sub(span.steps - 1) * span.step;
    w.key("from").string(&timestamp(Duration::from_secs(first)));
    w.key("step_seconds").number(span.step);
    for (name, value) in COLUMNS {
        w.key(name).array(|w| counts.iter().for_each(|counts| w.raw(&value(counts))));
    }
}

type Column = (&'static str, fn(&Counts) -> String);

/// What is told of sums.
const COLUMNS: [Column; 11] = [
    ("requests", |counts| counts.requests.to_string()),
    ("errors", |counts| counts.errors.to_string()),
    ("limited", |counts| counts.limited.to_string()),
    ("rejected", |counts| counts.rejected.to_string()),
    ("left", |counts| counts.left.to_string()),
    ("cache_hits", |counts| counts.hits.to_string()),
    ("input_tokens", |counts| counts.input.to_string()),
    ("output_tokens", |counts| counts.output.to_string()),
    ("cost_usd", |counts| account::dollars(counts.cost)),
    ("p50_ms", |counts| quantile(counts, 0.5)),
    ("p95_ms", |counts| quantile(counts, 0.95)),
];

fn quantile(counts: &Counts, part: f64) -> String {
    let quantile = counts.latencies.quantile(part);
    quantile.map_or_else(|| "null".to_owned(), |time| selection::decimal(time.as_secs_f64() * 1e3))
}

fn refusals(w: &mut Writer, world: &World<'_>) {
    for refusal in history::refusals(world.store).latest() {
        w.object(|w| {
            w.key("at").string(&timestamp(refusal.at));
            w.key("since").string(&timestamp(refusal.since));
            w.key("times").number(refusal.times.into());
            w.key("endpoint").string(&refusal.endpoint);
            w.key("status").number(refusal.status.into());
            w.key("reason").string(&refusal.reason);
            w.key("key").string_or_null(Some(refusal.key.as_str()).filter(|key| !key.is_empty()));
            w.key("model").string(&refusal.model);
            w.key("attempts").string(&refusal.attempts);
        });
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// More than a page shows; a configuration may have a limit for each of thousands of keys.
const MOST_LIMITS: usize = 200;
const HOURS_OF_A_DAY: u64 = 24;
