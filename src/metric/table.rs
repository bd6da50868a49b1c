//! The one list of all metrics: whatever else names one - the page, Envoy's configuration, the documentation's test -
//! takes it from here.

/// A metric.
#[derive(Debug, PartialEq)]
pub struct Metric {
    /// Its name on the page.
    pub name: &'static str,
    /// Its name in Envoy, which only counts in whole numbers; a gauge has none there.
    pub inside: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What Envoy's numbers mean.
    pub unit: Unit,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it is about, in a line.
    pub help: &'static str,
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It counts how many are at most each of these, in Envoy's numbers.
    Histogram(&'static [u64]),
    /// It is read at the moment somebody asks.
    Gauge,
}

/// What one is, in Envoy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// One of what is counted.
    One,
    /// A billionth of a dollar.
    NanoUsd,
    /// A millionth of a second.
    Micros,
}

impl Kind {
    /// Prometheus's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Histogram(_) => "histogram",
            Kind::Gauge => "gauge",
        }
    }
}

/// A counter that is called the same in Envoy.
const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, inside: name, kind: Kind::Counter, unit: Unit::One, labels, help }
}

const fn dollars([name, inside]: [&'static str; 2], labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, inside, kind: Kind::Counter, unit: Unit::NanoUsd, labels, help }
}

const fn seconds(
    [name, inside]: [&'static str; 2],
    buckets: &'static [u64],
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, inside, kind: Kind::Histogram(buckets), unit: Unit::Micros, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, inside: "", kind: Kind::Gauge, unit: Unit::One, labels, help }
}

/// Requests.
pub static REQUESTS: Metric = counter(
    "api_gateway_requests_total",
    &["method", "endpoint", "status", "vendor", "model"],
    "Requests that are over, by what the client got; 499 if it left before.",
);
/// Attempts.
pub static ATTEMPTS: Metric =
    counter("api_gateway_attempts_total", &["vendor", "model", "outcome"], "Attempts at vendors, by how they ended.");
/// Failovers.
pub static FAILOVERS: Metric = counter(
    "api_gateway_failovers_total",
    &["vendor", "model", "outcome"],
    "Attempts after which another vendor was tried.",
);
/// Tokens.
pub static TOKENS: Metric = counter(
    "api_gateway_tokens_total",
    &["vendor", "model", "kind"],
    "Tokens of answers and of what was asked; cached_input and cache_write are parts of input, reasoning of output.",
);
/// Money spent.
pub static COST: Metric = dollars(
    ["api_gateway_cost_usd_total", "api_gateway_cost_nanousd_total"],
    &["vendor", "model"],
    "What answers cost, in dollars.",
);
/// Money not spent.
pub static SAVED: Metric = dollars(
    ["api_gateway_saved_usd_total", "api_gateway_saved_nanousd_total"],
    &["vendor", "model"],
    "What fresh kept answers would have cost, in dollars.",
);
/// Kept answers.
pub static CACHE: Metric = counter(
    "api_gateway_cache_total",
    &["result", "level", "reason"],
    "Requests by what came of looking for a kept answer.",
);
/// Refusals.
pub static REFUSED: Metric =
    counter("api_gateway_refused_total", &["endpoint", "reason"], "Requests that got an error, by why.");
/// Limits.
pub static LIMITED: Metric = counter(
    "api_gateway_limited_total",
    &["role", "of", "limit", "mode"],
    "Requests that a limit refused, or would have refused if it were enforced.",
);
/// Limits without Redis.
pub static FALLBACK: Metric =
    counter("api_gateway_limits_fallback_total", &["policy"], "Limits that Redis should have decided and did not.");
/// The ladder.
pub static DEGRADED: Metric =
    counter("api_gateway_degraded_total", &["rung"], "Requests that no vendor answered, by what they got instead.");
/// Answers without usage.
pub static UNMETERED: Metric =
    counter("api_gateway_unmetered_total", &["vendor"], "Answers whose tokens were estimated.");
/// Calls to Redis.
pub static REDIS_BATCHES: Metric =
    counter("api_gateway_redis_batches_total", &["result"], "Calls to Redis, each of many commands.");
/// Questions without Redis.
pub static REDIS_SKIPPED: Metric = counter(
    "api_gateway_redis_skipped_total",
    &[],
    "Questions that Redis was not asked, because it was absent or too many waited.",
);
/// What Redis never heard.
pub static REDIS_DROPPED: Metric =
    counter("api_gateway_redis_dropped_total", &[], "What Redis was to be told and was not.");
/// How long requests take.
pub static DURATION: Metric = seconds(
    ["api_gateway_request_duration_seconds", "api_gateway_request_duration_us"],
    // A kept answer takes some milliseconds, a long answer of a reasoning model ten minutes.
    &[
        5_000,
        10_000,
        25_000,
        50_000,
        100_000,
        250_000,
        500_000,
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        20_000_000,
        30_000_000,
        60_000_000,
        120_000_000,
        300_000_000,
        600_000_000,
    ],
    &["endpoint", "vendor", "model"],
    "From a request's headers to the end of its answer.",
);
/// How long first tokens take.
pub static FIRST_TOKEN: Metric = seconds(
    ["api_gateway_first_token_seconds", "api_gateway_first_token_us"],
    // Most models begin within a second or three; routing.first_token_timeout is 20 s unless somebody says otherwise.
    &[
        50_000, 100_000, 200_000, 350_000, 500_000, 750_000, 1_000_000, 1_500_000, 2_000_000, 3_000_000, 5_000_000,
        8_000_000, 13_000_000, 20_000_000, 30_000_000, 60_000_000,
    ],
    &["vendor", "model"],
    "Of streams: from the attempt to the first event that says something.",
);
/// How long the gateway itself takes.
pub static OVERHEAD: Metric = seconds(
    ["api_gateway_overhead_seconds", "api_gateway_overhead_us"],
    // Fractions of a millisecond without Redis, some milliseconds with it; more is a machine that is too small.
    &[
        50, 100, 200, 300, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000,
        500_000, 1_000_000,
    ],
    &["endpoint"],
    "Time that was the gateway's own: neither a vendor's nor the client's.",
);
/// Requests in flight.
pub static IN_FLIGHT: Metric =
    gauge("api_gateway_in_flight", &[], "Requests under way, as limits.in_flight counts them.");
/// Budgets.
pub static BUDGET: Metric = gauge(
    "api_gateway_budget_used_ratio",
    &["role", "of", "window"],
    "Which part of a budget is used up in this hour, day or month; claims of requests under way included.",
);
/// Breakers.
pub static BREAKER: Metric = gauge(
    "api_gateway_breaker_state",
    &["vendor", "model"],
    "0 closed, 1 half-open, 2 open; model is its name at the vendor.",
);
/// Success.
pub static SUCCESS: Metric = gauge(
    "api_gateway_vendor_success_ratio",
    &["vendor", "model"],
    "Which part of attempts is expected to be answered; model is its name at the vendor.",
);
/// The version.
pub static BUILD: Metric = gauge("api_gateway_build_info", &["version"], "Always 1.");

/// Every metric, in the order of the documentation.
pub static METRICS: [&Metric; 23] = [
    &REQUESTS,
    &DURATION,
    &OVERHEAD,
    &REFUSED,
    &ATTEMPTS,
    &FAILOVERS,
    &FIRST_TOKEN,
    &TOKENS,
    &COST,
    &UNMETERED,
    &CACHE,
    &DEGRADED,
    &SAVED,
    &LIMITED,
    &FALLBACK,
    &REDIS_BATCHES,
    &REDIS_SKIPPED,
    &REDIS_DROPPED,
    &IN_FLIGHT,
    &BUDGET,
    &BREAKER,
    &SUCCESS,
    &BUILD,
];

/// Every label of what Envoy counts, in the order in which it shows them; first those of requests. Gauges, which are
/// none of Envoy's, have others besides.
pub const LABELS: [&str; 16] = [
    "method", "endpoint", "status", "vendor", "model", "role", "of", "limit", "mode", "policy", "result", "level",
    "reason", "rung", "kind", "outcome",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    #[test]
    fn every_label_that_envoy_shows_is_listed_in_this_order() {
        for metric in METRICS.iter().filter(|metric| metric.kind != Kind::Gauge) {
            let places: Vec<_> =
                metric.labels.iter().map(|label| LABELS.iter().position(|known| known == label)).collect();
            assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{}", metric.name);
        }
        for label in LABELS {
            assert!(METRICS.iter().any(|metric| metric.labels.contains(&label)), "{label} is nobody's");
        }
    }

    #[test]
    fn buckets_ascend() {
        for metric in METRICS {
            let Kind::Histogram(buckets) = metric.kind else { continue };
            assert!(buckets.is_sorted_by(|a, b| a < b), "{}", metric.name);
        }
    }

    #[test]
    fn names_are_told_apart() {
        let mut names: Vec<&str> = METRICS.iter().flat_map(|metric| [metric.name, metric.inside]).collect();
        names.sort_unstable();
        names.dedup();
        let renamed = METRICS.iter().filter(|metric| metric.unit != Unit::One).count();
        assert_eq!(names.len(), METRICS.len() + renamed + 1, "a gauge has no name in Envoy");
    }
}
