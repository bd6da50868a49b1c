//! The listener where clients connect, and the one where the gateway calls itself.
//!
//! No socket leads to the second. What arrives there is a request of a batch, or one that is made for many, and all that
//! holds for a client's request holds for it, so the two have the same filters.

use std::time::Duration;

use serde_json::{Value, json};
use weir::config::{Config, Routing};
use weir::flow::call::INNER;

use super::plugin::Machine;
use super::vendor::unlimited;
use super::{NOTE, extension, inside, joined, local_reply, route, router, seconds, socket, watch};

/// Both listeners.
pub fn listeners(config: &Config, machine: &Machine) -> [Value; 2] {
    let chains = json!([{"filters": [manager(config, machine)]}]);
    let address = socket(&config.listen.ip().to_string(), config.listen.port());
    [
        json!({"name": "weir", "address": address, "filter_chains": chains}),
        json!({"name": INNER, "internal_listener": {}, "metadata": watch::inner(), "filter_chains": chains}),
    ]
}

/// The cluster that leads to the second.
pub fn inner_cluster() -> Value {
    json!({
        "name": INNER,
        "connect_timeout": "1s",
        "circuit_breakers": unlimited(),
        "load_assignment": {"cluster_name": INNER, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": inside(INNER)}}]}]},
    })
}

/// The filter, then the router.
fn manager(config: &Config, machine: &Machine) -> Value {
    let manager = json!({
        "stat_prefix": "weir",
        "server_name": "weir",
        "generate_request_id": true,
        "preserve_external_request_id": true,
        "always_set_request_id_in_response": true,
        "use_remote_address": true,
        "internal_address_config": everybody(),
        "normalize_path": true,
        "merge_slashes": true,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "request_headers_timeout": "10s",
        "request_timeout": "120s",
        "stream_idle_timeout": seconds(silence(&config.routing)),
        "delayed_close_timeout": "0.1s",
        "local_reply_config": local_reply::as_json(),
        "route_config": {"virtual_hosts": [route::virtual_host(config)]},
        "http_filters": [machine.gateway(), router()],
    });
    extension(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        joined(manager, joined(watch::access_log(config), watch::tracing(config))),
    )
}

/// From strangers Envoy silently drops the `x-envoy-*` headers that steer its router. The filter wants to refuse them
/// aloud, so everybody counts as internal; the filter is what makes that safe.
fn everybody() -> Value {
    json!({
        NOTE: "So that forged x-envoy-* headers reach the filter, which refuses them, instead of vanishing.",
        "cidr_ranges": [
            {"address_prefix": "0.0.0.0", "prefix_len": 0},
            {"address_prefix": "::", "prefix_len": 0},
        ],
    })
}

/// How long a stream may be silent where nothing better is known: the last resort against one that nobody will ever
/// answer, for example after a trap in the filter.
fn silence(routing: &Routing) -> Duration {
    route::silence(routing).max(PATIENCE)
}

/// Two minutes without a byte is what common clients and proxies bear, too.
const PATIENCE: Duration = Duration::from_secs(120);
