//! `GET /metrics`: what Envoy's admin interface is asked, and what becomes of its answer.

use crate::config::{Config, Hop};
use crate::flow::exchange::vendor_name;
use crate::flow::party::{self, GATEWAY};
use crate::flow::{Effect, Reply, World, content, report};
use crate::limit::{Ledger, Rule};
use crate::metric::page::{Others, Reading, page as rewrite};
use crate::metric::{Metric, table};
use crate::route::Phase;
use crate::unit::NanoUsd;

/// What a client's query asks for besides Weir's own metrics.
pub fn others(query: &str) -> Others {
    if query.split('&').any(|part| part == "envoy=true") { Others::Kept } else { Others::Dropped }
}

/// Makes a client's request one for Envoy's statistics; the route exchanges the path and carries the query along. The
/// client's own query goes, which would reach the admin interface, and so do its key and what it would accept: Envoy also
/// knows forms that are no text.
pub fn request(others: Others) -> Vec<Effect> {
    let path = match others {
        Others::Dropped => "/metrics?usedonly&filter=^wasmcustom",
        Others::Kept => "/metrics?usedonly",
    };
    let gone = ["accept", "accept-encoding", "authorization", "x-api-key"];
    let gone = gone.map(|name| Effect::RequestHeader(name.into(), None));
    [Effect::RequestHeader(":path".into(), Some(path.into()))].into_iter().chain(gone).collect()
}

/// The page.
pub fn page(others: Others, envoy: &[u8], world: &World<'_>) -> Reply {
    let body = rewrite(envoy, others, &readings(world));
    Reply { status: 200, headers: content("text/plain; version=0.0.4; charset=utf-8"), body }
}

/// Every gauge at this moment.
fn readings(world: &World<'_>) -> Vec<Reading> {
    let in_flight = ledger(GATEWAY, world).in_flight(world.now());
    let mut readings = vec![reading(&table::IN_FLIGHT, &[], in_flight as f64)];
    // Where Redis keeps the budgets, this gateway does not know how much of them is used.
    if world.config.redis.is_none() {
        readings.extend(budgets(world));
    }
    let hops = hops(world.config);
    let views: Vec<_> =
        hops.iter().map(|hop| (hop, report::known(hop, world.config, world.store).view(world.now()))).collect();
    let labels = |hop: &Hop| [vendor_name(world.config, hop).to_owned(), hop.model.clone()];
    readings.extend(views.iter().map(|(hop, view)| Reading {
        gauge: &table::BREAKER,
        labels: labels(hop).to_vec(),
        value: breaker(view.phase),
    }));
    readings.extend(views.iter().map(|(hop, view)| Reading {
        gauge: &table::SUCCESS,
        labels: labels(hop).to_vec(),
        value: rounded(view.success),
    }));
    readings.push(reading(&table::BUILD, &[env!("CARGO_PKG_VERSION")], 1.0));
    readings
}

fn reading(gauge: &'static Metric, labels: &[&str], value: f64) -> Reading {
    Reading { gauge, labels: labels.iter().map(|label| (*label).to_owned()).collect(), value }
}

fn breaker(phase: Phase) -> f64 {
    match phase {
        Phase::Closed | Phase::Warming(_) => 0.0,
        Phase::Ready | Phase::Probing => 1.0,
        Phase::Open(..) => 2.0,
    }
}

fn budgets(world: &World<'_>) -> Vec<Reading> {
    let mut readings = Vec::new();
    for (role, name, rules) in party::configured(world.config) {
        let budgets = [rules.hour, rules.day, rules.month];
        if budgets.iter().all(Option::is_none) {
            continue;
        }
        let spent = ledger(&party::configured_record(role, name), world).spent(world.now());
        for ((window, budget), NanoUsd(spent)) in ["hour", "day", "month"].into_iter().zip(budgets).zip(spent) {
            let Some(Rule { bound: NanoUsd(budget), .. }) = budget else { continue };
            let ratio = spent as f64 / budget.max(1) as f64;
            readings.push(reading(&table::BUDGET, &[role, name, window], rounded(ratio)));
        }
    }
    readings
}

/// What is beyond a millionth is of no use to anybody.
fn rounded(ratio: f64) -> f64 {
    (ratio * 1e6).round() / 1e6
}

fn ledger(name: &str, world: &World<'_>) -> Ledger {
    Ledger::parse(world.store.load(name).0.as_deref())
}

/// Every model at every vendor, once.
pub fn hops(config: &Config) -> Vec<&Hop> {
    let mut hops: Vec<&Hop> = Vec::new();
    for hop in config.models.iter().flat_map(|model| &model.serve) {
        if !hops.iter().any(|other| other.vendor == hop.vendor && other.model == hop.model) {
            hops.push(hop);
        }
    }
    hops
}
