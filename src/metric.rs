//! The names and labels of what is counted.
//!
//! Envoy's statistics have no labels; `weir render` gives Envoy one regular expression per label, which finds
//! `;;label=value` in a name and takes it out. The label `method` stands last in a name: Envoy's own expressions also
//! run, and one of them would read a response code out of a last label that ends in `_rq_503`.

use crate::config::OnRedisFailure;
use crate::limit::Mode;

/// Something to count.
#[derive(Debug, Clone, PartialEq)]
pub enum Counter {
    /// A request that is over.
    Request(Labels),
    /// A request that a limit refused, or would have refused.
    Limited {
        /// Which limit.
        limit: &'static str,
        /// Whose: a key's, a tenant's, a model's, a vendor's.
        role: &'static str,
        /// The name of whose.
        name: String,
        /// Whether it did refuse.
        mode: Mode,
    },
    /// A limit that Redis should have decided and did not.
    Fallback(OnRedisFailure),
    /// What came of looking for a kept answer: the value of the header `x-weir-cache`.
    Cache(&'static str),
    /// A request that no vendor answered, by what it got instead.
    Degraded(Rung),
    /// What kept answers would have cost, in billionths of a dollar.
    Saved {
        /// The vendor that gave them once.
        vendor: String,
        /// The model that was asked for.
        model: String,
    },
    /// A vendor's answer whose usage it did not tell.
    Unmetered {
        /// The vendor.
        vendor: String,
    },
}

impl Counter {
    /// The counter's name in Envoy.
    pub fn name(&self) -> String {
        match self {
            Counter::Request(labels) => labels.requests_total(),
            Counter::Limited { limit, role, name: of, mode } => {
                let mode = match mode {
                    Mode::Enforce => "enforce",
                    Mode::Observe => "observe",
                };
                name("api_gateway_limited_total", &[("of", of), ("role", role), ("limit", limit), ("mode", mode)])
            }
            Counter::Fallback(policy) => {
                let policy = match policy {
                    OnRedisFailure::Local => "local",
                    OnRedisFailure::Deny => "deny",
                    OnRedisFailure::Allow => "allow",
                };
                name("api_gateway_limits_fallback_total", &[("policy", policy)])
            }
            Counter::Cache(result) => name("api_gateway_cache_total", &[("result", result)]),
            Counter::Degraded(rung) => name("api_gateway_degraded_total", &[("rung", rung.word())]),
            Counter::Saved { vendor, model } => {
                name("api_gateway_saved_nanousd_total", &[("model", model), ("vendor", vendor)])
            }
            Counter::Unmetered { vendor } => name("api_gateway_unmetered_total", &[("vendor", vendor)]),
        }
    }
}

/// What a client gets that no vendor answers: the ladder from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rung {
    /// An answer that this Envoy keeps.
    L1,
    /// An answer that is kept in Redis.
    L2,
    /// The answer to an identical request.
    Merge,
    /// An answer that is no longer fresh.
    Stale,
    /// None.
    Error,
}

impl Rung {
    /// The word for it as a label.
    pub fn word(self) -> &'static str {
        match self {
            Rung::L1 => "l1",
            Rung::L2 => "l2",
            Rung::Merge => "merge",
            Rung::Stale => "stale",
            Rung::Error => "error",
        }
    }

    /// The word for it in `x-weir-cache`.
    pub fn header(self) -> &'static str {
        match self {
            Rung::L1 => "hit-l1",
            Rung::L2 => "hit-l2",
            Rung::Merge => "coalesced",
            Rung::Stale => "stale",
            Rung::Error => "miss",
        }
    }
}

/// Every label of every metric, in the order in which `/metrics` shows them; first those of requests.
pub const LABELS: [&str; 12] =
    ["method", "endpoint", "status", "vendor", "model", "role", "of", "limit", "mode", "policy", "result", "rung"];

/// What `api_gateway_requests_total` counts a request under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// One of [`METHODS`], else `other`.
    pub method: &'static str,
    /// A path of the public interface, else `other`.
    pub endpoint: &'static str,
    /// The status that the client got; 499 if it left before.
    pub status: u16,
    /// The vendor of the last attempt, `none` without one.
    pub vendor: String,
    /// The model that was asked for; `none` without one, `other` if no such model is configured.
    pub model: String,
}

/// The methods that a label may name.
pub const METHODS: [&str; 7] = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"];

impl Labels {
    /// Labels of a request of which nothing is known yet but its method and endpoint.
    pub fn new(method: &str, endpoint: &'static str) -> Labels {
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("other");
        Labels { method, endpoint, status: 0, vendor: "none".to_owned(), model: "none".to_owned() }
    }

    /// The counter's name in Envoy.
    pub fn requests_total(&self) -> String {
        let status = self.status.to_string();
        name(
            "api_gateway_requests_total",
            &[
                ("model", &self.model),
                ("vendor", &self.vendor),
                ("endpoint", self.endpoint),
                ("status", &status),
                ("method", self.method),
            ],
        )
    }
}

/// The counter of calls to Redis, each of which carries many commands.
pub fn redis_batches(ok: bool) -> String {
    name("api_gateway_redis_batches_total", &[("result", if ok { "ok" } else { "failed" })])
}

/// The counter of what was not asked because Redis was absent or too much waited for it.
pub fn redis_skipped() -> String {
    name("api_gateway_redis_skipped_total", &[])
}

/// The counter of what Redis was to be told and never was.
pub fn redis_dropped() -> String {
    name("api_gateway_redis_dropped_total", &[])
}

fn name(metric: &str, labels: &[(&str, &str)]) -> String {
    let mut name = String::with_capacity(160);
    name.push_str(metric);
    for (label, value) in labels {
        name.push_str(";;");
        name.push_str(label);
        name.push('=');
        for (i, part) in value.split(';').enumerate() {
            name.push_str(if i == 0 { "" } else { "_" });
            name.push_str(part);
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    #[test]
    fn puts_labels_into_the_name() {
        let labels =
            Labels { status: 200, vendor: "open;ai".into(), model: "gpt-4".into(), ..Labels::new("POST", "/x") };
        assert_eq!(
            labels.requests_total(),
            "api_gateway_requests_total;;model=gpt-4;;vendor=open_ai;;endpoint=/x;;status=200;;method=POST"
        );
        assert_eq!(Labels::new("BREW", "/x").method, "other");
    }
}
