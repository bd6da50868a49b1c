//! What is counted, measured and shown on `/metrics`.
//!
//! Counters and histograms are Envoy's statistics, which all workers add to and which outlive a worker that is torn
//! down. Envoy's statistics have no labels, no unit and no description: `weir render` gives Envoy one regular expression
//! per label, which finds `;;label=value` in a name and takes it out, and the [`page`] that Envoy makes of them is
//! rewritten. Gauges are read from records when the page is asked for, never kept in Envoy: what a crashed worker
//! had under way would stand there for ever.
//!
//! Every label has values from the configuration or from a list in the code, and `other` or `none` beyond, since a
//! statistic lives as long as Envoy does. The one list of metrics is the [`table`].

pub mod page;
pub mod table;

use std::rc::Rc;

use crate::config::OnRedisFailure;
use crate::limit::Mode;
pub use table::{LABELS, METRICS, Metric};

/// Something to count.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Counter {
    /// A request that is over.
    Request(Labels),
    /// A request that got an error: its endpoint, and the reason.
    Refused(&'static str, &'static str),
    /// An attempt that is over, by a word for how.
    Attempt(Target, &'static str),
    /// The same, if another vendor was tried after it.
    Failover(Target, &'static str),
    /// Tokens, by a word for which.
    Tokens(Target, &'static str),
    /// Billionths of a dollar.
    Cost(Target),
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
    /// What kept answers would have cost, in billionths of a dollar: at the vendor that gave them once.
    Saved(Target),
    /// A vendor's answer whose usage it did not tell.
    Unmetered {
        /// The vendor.
        vendor: Rc<str>,
    },
    /// A call to Redis, and whether it came to something.
    RedisBatch(bool),
    /// A question that Redis was not asked.
    RedisSkipped,
    /// Something that Redis was to be told and never was.
    RedisDropped,
}

impl Counter {
    /// Writes the counter's name in Envoy in the place of what is in `out`.
    pub fn write(&self, out: &mut String) {
        let at = |metric: &Metric, target: &Target, word: &str, out: &mut String| {
            write(metric, &[&target.vendor, &target.model, word], out);
        };
        match self {
            Counter::Request(Labels { method, endpoint, status, vendor, model }) => {
                write(&table::REQUESTS, &[method, endpoint, &status.to_string(), vendor, model], out);
            }
            Counter::Refused(endpoint, reason) => write(&table::REFUSED, &[endpoint, reason], out),
            Counter::Attempt(target, outcome) => at(&table::ATTEMPTS, target, outcome, out),
            Counter::Failover(target, outcome) => at(&table::FAILOVERS, target, outcome, out),
            Counter::Tokens(target, kind) => at(&table::TOKENS, target, kind, out),
            Counter::Cost(Target { vendor, model }) => write(&table::COST, &[vendor, model], out),
            Counter::Saved(Target { vendor, model }) => write(&table::SAVED, &[vendor, model], out),
            Counter::Limited { limit, role, name, mode } => {
                let mode = match mode {
                    Mode::Enforce => "enforce",
                    Mode::Observe => "observe",
                };
                write(&table::LIMITED, &[role, name, limit, mode], out);
            }
            Counter::Fallback(policy) => {
                let policy = match policy {
                    OnRedisFailure::Local => "local",
                    OnRedisFailure::Deny => "deny",
                    OnRedisFailure::Allow => "allow",
                };
                write(&table::FALLBACK, &[policy], out);
            }
            Counter::Cache(header) => write(&table::CACHE, &looked(header), out),
            Counter::Degraded(rung) => write(&table::DEGRADED, &[rung.word()], out),
            Counter::Unmetered { vendor } => write(&table::UNMETERED, &[vendor], out),
            Counter::RedisBatch(ok) => write(&table::REDIS_BATCHES, &[if *ok { "ok" } else { "failed" }], out),
            Counter::RedisSkipped => write(&table::REDIS_SKIPPED, &[], out),
            Counter::RedisDropped => write(&table::REDIS_DROPPED, &[], out),
        }
    }

    /// The counter's name in Envoy.
    pub fn name(&self) -> String {
        let mut name = String::new();
        self.write(&mut name);
        name
    }
}

/// How long something took.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Histogram {
    /// A request.
    Duration {
        /// Where it came in.
        endpoint: &'static str,
        /// Who answered it.
        target: Target,
    },
    /// The first token of a stream.
    FirstToken(Target),
    /// The gateway's own part of a request.
    Overhead {
        /// Where it came in.
        endpoint: &'static str,
    },
}

impl Histogram {
    /// Writes the histogram's name in Envoy in the place of what is in `out`.
    pub fn write(&self, out: &mut String) {
        match self {
            Histogram::Duration { endpoint, target: Target { vendor, model } } => {
                write(&table::DURATION, &[endpoint, vendor, model], out);
            }
            Histogram::FirstToken(Target { vendor, model }) => write(&table::FIRST_TOKEN, &[vendor, model], out),
            Histogram::Overhead { endpoint } => write(&table::OVERHEAD, &[endpoint], out),
        }
    }

    /// The histogram's name in Envoy.
    pub fn name(&self) -> String {
        let mut name = String::new();
        self.write(&mut name);
        name
    }
}

/// Who was asked, and for what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// The vendor.
    pub vendor: Rc<str>,
    /// The model that the client asked for.
    pub model: Rc<str>,
}

/// What a client gets that no vendor answers: the ladder from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

/// `x-weir-cache` as labels: result, level, reason. Stale answers are only taken from this Envoy's own memory.
fn looked(header: &'static str) -> [&'static str; 3] {
    match header.split_once(';') {
        Some((result, reason)) => [result, "none", reason],
        None if header == Rung::L1.header() => ["hit", "l1", "none"],
        None if header == Rung::L2.header() => ["hit", "l2", "none"],
        None if header == Rung::Stale.header() => ["stale", "l1", "none"],
        None => [header, "none", "none"],
    }
}

/// What `api_gateway_requests_total` counts a request under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Labels {
    /// One of [`METHODS`], else `other`.
    pub method: &'static str,
    /// A path of the public interface, else `other`.
    pub endpoint: &'static str,
    /// The status that the client got; 499 if it left before.
    pub status: u16,
    /// The vendor of the last attempt, `none` without one.
    pub vendor: Rc<str>,
    /// The model that was asked for; `none` without one, `other` if no such model is configured.
    pub model: Rc<str>,
}

/// The methods that a label may name.
pub const METHODS: [&str; 7] = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"];

impl Labels {
    /// Labels of a request of which nothing is known yet but its method and endpoint.
    pub fn new(method: &str, endpoint: &'static str) -> Labels {
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("other");
        let none: Rc<str> = "none".into();
        Labels { method, endpoint, status: 0, vendor: Rc::clone(&none), model: none }
    }

    /// Who was asked last.
    pub fn target(&self) -> Target {
        Target { vendor: Rc::clone(&self.vendor), model: Rc::clone(&self.model) }
    }
}

/// The word for an attempt's outcome as a label. A vendor may answer with any status, so only those that mean something
/// have a label of their own.
pub fn outcome(word: &str) -> &'static str {
    const KNOWN: [&str; 24] = [
        "ok",
        "cancelled",
        "timeout",
        "unreachable",
        "bad_reply",
        "cut_off",
        "too_long",
        "error_event",
        "400",
        "401",
        "402",
        "403",
        "404",
        "408",
        "409",
        "413",
        "415",
        "422",
        "429",
        "500",
        "502",
        "503",
        "504",
        "529",
    ];
    KNOWN.into_iter().find(|known| *known == word).unwrap_or("other")
}

/// Writes a statistic's name in the place of what is in `out`: the metric and its labels. Those whose values are people's
/// choice come first: Envoy's own expressions also run, and one of them would read a response code out of a last label
/// that ends in `_rq_503`.
fn write(metric: &Metric, values: &[&str], out: &mut String) {
    const CHOSEN: [&str; 3] = ["vendor", "model", "of"];
    out.clear();
    out.push_str(metric.inside);
    for chosen in [true, false] {
        for (label, value) in metric.labels.iter().zip(values).filter(|(label, _)| CHOSEN.contains(label) == chosen) {
            out.push_str(";;");
            out.push_str(label);
            out.push('=');
            out.extend(value.chars().map(|c| if c == ';' { '_' } else { c }));
        }
    }
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
            Counter::Request(labels.clone()).name(),
            "api_gateway_requests_total;;vendor=open_ai;;model=gpt-4;;method=POST;;endpoint=/x;;status=200"
        );
        assert_eq!(
            Histogram::Duration { endpoint: "/x", target: labels.target() }.name(),
            "api_gateway_request_duration_us;;vendor=open_ai;;model=gpt-4;;endpoint=/x"
        );
        assert_eq!(Labels::new("BREW", "/x").method, "other");
    }

    #[test]
    fn a_header_says_what_came_of_looking() {
        for (header, labels) in [
            ("hit-l1", ["hit", "l1", "none"]),
            ("hit-l2", ["hit", "l2", "none"]),
            ("coalesced", ["coalesced", "none", "none"]),
            ("stale", ["stale", "l1", "none"]),
            ("miss", ["miss", "none", "none"]),
            ("bypass;no-store", ["bypass", "none", "no-store"]),
        ] {
            assert_eq!(looked(header), labels);
        }
    }

    #[test]
    fn a_vendor_cannot_make_labels() {
        for (word, label) in [("ok", "ok"), ("429", "429"), ("599", "other"), ("", "other")] {
            assert_eq!(outcome(word), label);
        }
    }
}
