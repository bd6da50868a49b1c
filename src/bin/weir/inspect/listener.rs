//! Where requests come in, and the routes that they take.

use serde_json::Value;
use weir::config::{Config, Problems};
use weir::flow::vendor::RETRY;
use weir::flow::{DELIVERY, ROUTE, STREAM};

use super::node::Node;
use super::plugin::Plugin;

/// A vendor, and the cluster that the routes have for it.
pub struct Led<'v> {
    pub vendor: &'v str,
    pub cluster: Node<'v>,
}

/// Checks every connection manager that has the gateway's filter; gives the vendors that its routes lead to.
pub fn managers<'v>(root: &Node<'v>, config: &Config, problems: &mut Problems) -> Vec<Led<'v>> {
    let listeners = root.at("static_resources.listeners");
    let mut led: Vec<Led<'v>> = Vec::new();
    let mut found = false;
    for listener in listeners.items() {
        let buffer = listener.at("per_connection_buffer_limit_bytes").value.as_u64().unwrap_or(ENVOYS_BUFFER);
        for manager in listener.all().iter().filter(|node| node.is_a("HttpConnectionManager")) {
            let manager = manager.at("typed_config");
            if filters(&manager, problems) {
                found |= !listener.at("internal_listener").is_there();
                settings(&manager, problems);
                led.extend(routes(&manager, buffer, config, problems));
            }
        }
    }
    if !found {
        problems.note(&listeners.path, "none that clients can reach has the filter in its role gateway");
    }
    led
}

/// Whether the gateway's filter is there, and if so, before the router.
fn filters(manager: &Node<'_>, problems: &mut Problems) -> bool {
    let filters = manager.at("http_filters").items();
    let gateway = |filter: &Node<'_>| Plugin::of(filter).is_some_and(|plugin| plugin.role() == "gateway");
    let Some(place) = filters.iter().position(gateway) else { return false };
    let router = filters.iter().position(|filter| filter.is_a("Router"));
    if router.is_some_and(|router| router < place) {
        problems
            .note(&manager.at("http_filters").path, "has the router before the filter: requests would go out unseen");
    }
    true
}

fn settings(manager: &Node<'_>, problems: &mut Problems) {
    let idle = manager.at("stream_idle_timeout");
    if idle.seconds() == Some(0.0) {
        problems.note(&idle.path, "must not be 0s: a request that nobody will answer would hang for ever");
    }
    let replies = manager.at("local_reply_config");
    if !replies.is_there() {
        problems.note(&replies.path, "missing: Envoy's own errors would be plain text");
    }
}

fn routes<'v>(manager: &Node<'v>, buffer: u64, config: &Config, problems: &mut Problems) -> Vec<Led<'v>> {
    let table = manager.at("route_config");
    let (mut led, mut streams, mut answers) = (Vec::new(), false, false);
    for host in table.at("virtual_hosts").items() {
        for route in host.at("routes").items() {
            admin(&route, problems);
            let specifier =
                route.at("route.inline_cluster_specifier_plugin.extension.typed_config.cluster_matcher.matcher_tree");
            if specifier.is_there() {
                let limit = |node: &Node<'_>| node.at("request_body_buffer_limit").value.as_u64();
                room(&route, limit(&route).or(limit(&host)).unwrap_or(0).max(buffer), config, problems);
                attempts(&route.at("route"), config, problems);
                if is_for_streams(&route) {
                    streams = true;
                } else {
                    answers = true;
                    patience(&route.at("route.retry_policy"), config, problems);
                }
                led.extend(to_vendors(&specifier, problems));
            }
        }
    }
    if table.is_there() && led.is_empty() {
        problems.note(&table.path, "no route asks the filter for a vendor's cluster (inline_cluster_specifier_plugin)");
    } else if table.is_there() && !streams {
        let said =
            format!("no route is for streams alone (filter_state wasm.{DELIVERY}): silent ones would be waited for");
        problems.note(&table.path, said);
    } else if table.is_there() && !answers {
        problems.note(&table.path, "no route is for answers that do not stream: they would go nowhere");
    }
    led
}

/// Whether nothing but streams takes this route.
fn is_for_streams(route: &Node<'_>) -> bool {
    let key = format!("wasm.{DELIVERY}");
    let is_stream = |state: &Node<'_>| state.at("key").text() == key && state.at("string_match.exact").text() == STREAM;
    route.at("match.filter_state").items().iter().any(is_stream)
}

/// Whether an answer that does not stream has its time: whoever cuts it off pays for it twice.
fn patience(policy: &Node<'_>, config: &Config, problems: &mut Problems) {
    let answer = config.routing.answer_timeout.as_secs_f64();
    for limit in ["per_try_timeout", "per_try_idle_timeout"].map(|field| policy.at(field)) {
        if limit.seconds().is_some_and(|seconds| seconds != 0.0 && seconds < answer) {
            problems.note(&limit.path, format!("must not be shorter than routing.answer_timeout, {answer}s"));
        }
    }
}

/// Whoever reaches the admin interface beyond its statistics can stop Envoy.
fn admin(route: &Node<'_>, problems: &mut Problems) {
    if route.at("route.cluster").text() == crate::render::ADMIN && !route.at("match.path").is_there() {
        problems
            .note(&route.at("match").path, "leads to more of the admin interface than its statistics; must be a path");
    }
}

fn room(route: &Node<'_>, limit: u64, config: &Config, problems: &mut Problems) {
    let body = config.limits.body_bytes;
    if usize::try_from(limit).is_ok_and(|limit| limit < body) {
        problems.note(
            &route.at("request_body_buffer_limit").path,
            format!("Envoy holds {limit} bytes of a body here or in the virtual host, and limits.body_bytes is {body}"),
        );
    }
}

fn attempts(route: &Node<'_>, config: &Config, problems: &mut Problems) {
    let timeout = route.at("timeout");
    let total = config.routing.total_timeout.as_secs_f64();
    if timeout.seconds().is_none_or(|seconds| seconds != 0.0 && seconds < total) {
        problems.note(&timeout.path, format!("must be routing.total_timeout, {total}s; without it Envoy's is 15s"));
    }
    let policy = route.at("retry_policy");
    let retries = policy.at("num_retries");
    let wanted = config.routing.attempts.saturating_sub(1);
    // Envoy's own default is one.
    if retries.value.as_u64().unwrap_or(1) != wanted as u64 || !policy.is_there() && wanted > 0 {
        problems.note(&retries.path, format!("must be {wanted}: routing.attempts is {}", config.routing.attempts));
    }
    if wanted == 0 {
        return;
    }
    let refreshed = policy.at("refresh_cluster_on_retry");
    if refreshed.value != &Value::Bool(true) {
        problems.note(&refreshed.path, "must be true, or every retry goes to the same vendor");
    }
    let causes = policy.at("retry_on");
    for cause in ["retriable-headers", "connect-failure"] {
        if !causes.text().split(',').any(|known| known.trim() == cause) {
            problems.note(&causes.path, format!("lacks {cause}: the next vendor would not be tried"));
        }
    }
    let headers = policy.at("retriable_headers");
    if !headers.items().iter().any(|header| header.name() == RETRY) {
        problems.note(&headers.path, format!("lacks {RETRY}, with which the filter asks for the next vendor"));
    }
}

fn to_vendors<'v>(tree: &Node<'v>, problems: &mut Problems) -> Vec<Led<'v>> {
    let (key, wanted) = (tree.at("input.typed_config.key"), format!("wasm.{ROUTE}"));
    if key.text() != wanted {
        problems.note(&key.path, format!("must be {wanted}, where the filter writes the next vendor"));
    }
    let map = tree.at("exact_match_map.map");
    let led = map.members().into_iter();
    led.map(|(vendor, entry)| Led { vendor, cluster: entry.at("action.typed_config.cluster") }).collect()
}

/// What Envoy holds unless it is told otherwise.
const ENVOYS_BUFFER: u64 = 1 << 20;
