//! Where requests go, and when they are tried again.
//!
//! The filter writes the name of the next vendor into filter state; the router matches it against the clusters on the
//! first attempt and again on every retry. So the order of vendors is the filter's alone, no header of a client can
//! touch it, and a route has one line per vendor. The vendor role of the filter also decides what is worth
//! another attempt: it marks the reply with [`RETRY`]. What it cannot mark, because there is no reply, is a refused
//! connection, and for a request that has more than one vendor the filter adds a reset or silence.

use std::time::Duration;

use serde_json::{Map, Value, json};
use weir::config::{Config, Routing};
use weir::flow::call::INNER;
use weir::flow::endpoint::BATCH;
use weir::flow::vendor::{MAX_REPLY, RETRY};
use weir::flow::{DELIVERY, ROUTE, STREAM};

use super::{admin, door, extension, joined, seconds, vendor};

/// All routes, to vendors of these names.
pub fn table(config: &Config, vendors: &[String]) -> Value {
    json!({"name": TABLE, "virtual_hosts": [virtual_host(config, vendors)]})
}

/// The only virtual host.
fn virtual_host(config: &Config, vendors: &[String]) -> Value {
    let host = json!({
        "name": "weir",
        "domains": ["*"],
        "request_body_buffer_limit": buffer(config),
        "routes": [
            metrics(),
            streams(config, vendors),
            answers(config, vendors),
            batches(&config.routing),
            nowhere(config),
        ],
    });
    joined(host, door::policy(config))
}

/// The filter knows every other path; what it does not answer, nobody does. Envoy heeds browsers only along routes that
/// lead to a cluster: for them this one leads to a cluster that nobody names.
fn nowhere(config: &Config) -> Value {
    let end = match config.cors {
        None => {
            json!({"direct_response": {"status": 404, "body": {"inline_string": "nothing is served under this path"}}})
        }
        Some(_) => json!({"route": {"cluster_header": NOBODY, "cluster_not_found_response_code": "NOT_FOUND"}}),
    };
    joined(json!({"match": {"prefix": "/"}}), end)
}

/// The filter takes no header of this kind from a client.
const NOBODY: &str = "x-weir-nobody";

/// How much of a request or a reply Envoy holds, for another attempt or for the filter to read it whole. It is above what
/// the filter takes, so that it is the filter that refuses.
pub fn buffer(config: &Config) -> usize {
    config.limits.body_bytes.max(MAX_REPLY) + (1 << 20)
}

/// Exactly this path: whoever reaches another one of the admin interface can stop Envoy. The query is the filter's.
fn metrics() -> Value {
    json!({
        "match": {"path": "/metrics"},
        "route": {
            "cluster": admin::CLUSTER,
            "prefix_rewrite": "/stats/prometheus",
            "timeout": "5s",
        },
    })
}

/// The filter answers these. They need a route because only that can tell how long a stream may be silent; what would
/// go along it arrives at a path that nobody serves, and not at this one again.
fn batches(routing: &Routing) -> Value {
    let timeout = seconds(routing.batch_timeout.saturating_add(MARGIN));
    json!({
        "match": {"path": BATCH},
        "route": {"cluster": INNER, "prefix_rewrite": "/", "timeout": timeout, "idle_timeout": timeout},
    })
}

/// What the filter has found to ask for a stream: a vendor that keeps it waiting for its first word is not worth waiting
/// for.
fn streams(config: &Config, vendors: &[String]) -> Value {
    let routing = &config.routing;
    let delivery = json!([{"key": format!("wasm.{DELIVERY}"), "string_match": {"exact": STREAM}}]);
    let silence = json!({"per_try_idle_timeout": seconds(routing.idle_timeout)});
    json!({
        "match": {"safe_regex": {"regex": TASKS}, "filter_state": delivery},
        "route": to_vendors(routing.first_token_timeout, silence, routing, vendors),
    })
}

/// All others, of whose answers nothing comes before all of it does, and every request until the filter sends it out. Who
/// waits for what somebody else has asked for is never sent out, and may have to wait as long.
fn answers(config: &Config, vendors: &[String]) -> Value {
    let routing = &config.routing;
    json!({
        "match": {"safe_regex": {"regex": TASKS}},
        "route": to_vendors(routing.answer_timeout, json!({}), routing, vendors),
    })
}

/// To vendors that may each take so long; `bounds` are the retry policy's own.
fn to_vendors(patience: Duration, bounds: Value, routing: &Routing, vendors: &[String]) -> Value {
    let retries = json!({
        "retry_on": "retriable-headers,connect-failure",
        "retriable_headers": [{"name": RETRY, "present_match": true}],
        "num_retries": routing.attempts.saturating_sub(1),
        "refresh_cluster_on_retry": true,
        "per_try_timeout": seconds(patience),
        // The next vendor is another machine: there is nothing to wait for.
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.010s"},
    });
    json!({
        "inline_cluster_specifier_plugin": {"extension": by_filter_state(vendors)},
        "timeout": seconds(routing.total_timeout),
        // The attempt's own idle timeout does not outlive the attempt's timeout.
        "idle_timeout": seconds(silence(patience, routing)),
        "retry_policy": joined(retries, bounds),
    })
}

/// How long nothing may come for the client: as long as a vendor's stream may be silent, or while every vendor in turn
/// takes all the time that it has.
pub fn silence(patience: Duration, routing: &Routing) -> Duration {
    let attempts = u32::try_from(routing.attempts).unwrap_or(u32::MAX);
    let waiting = patience.saturating_mul(attempts).min(routing.total_timeout);
    waiting.max(routing.idle_timeout).saturating_add(MARGIN)
}

/// So that the timeout that knows what happened is always the first to strike.
const MARGIN: Duration = Duration::from_secs(1);

fn by_filter_state(vendors: &[String]) -> Value {
    let input = extension(
        "route",
        "envoy.extensions.matching.common_inputs.network.v3.FilterStateInput",
        json!({"key": format!("wasm.{ROUTE}")}),
    );
    let clusters: Map<String, Value> =
        vendors.iter().map(|vendor| (vendor.clone(), json!({"action": to_cluster(vendor)}))).collect();
    extension(
        "envoy.router.cluster_specifier_plugin.matcher",
        "envoy.extensions.router.cluster_specifiers.matcher.v3.MatcherClusterSpecifier",
        json!({"cluster_matcher": {"matcher_tree": {"input": input, "exact_match_map": {"map": clusters}}}}),
    )
}

fn to_cluster(name: &str) -> Value {
    extension(
        "cluster",
        "envoy.extensions.router.cluster_specifiers.matcher.v3.ClusterAction",
        json!({"cluster": vendor::cluster_name(name)}),
    )
}

/// The name of the routes.
pub const TABLE: &str = "weir";

/// The paths that vendors answer.
const TASKS: &str = "/((api|v1)/(chat/completions|embeddings)|v1/messages)";
