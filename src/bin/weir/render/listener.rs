//! The listener where clients connect, and the one where the gateway calls itself.
//!
//! No socket leads to the second. What arrives there is a request of a batch, or one that is made for many, and all that
//! holds for a client's request holds for it, so the two have the same filters.

use std::time::Duration;

use serde_json::{Value, json};
use weir::config::{Config, Routing};
use weir::flow::call::INNER;

use super::door::{self, Peer};
use super::layout::Layout;
use super::plugin::Machine;
use super::vendor::unlimited;
use super::{extension, inside, joined, local_reply, route, router, seconds, socket, watch};

/// Both listeners.
pub fn listeners(config: &Config, machine: &Machine, layout: &Layout, routes: &Value) -> [Value; 2] {
    let manager = |peer| manager(config, layout.gateway(machine), layout.routes(routes), peer);
    let address = socket(&config.listen.ip().to_string(), config.listen.port());
    let inner = json!([{"filters": [manager(Peer::Client)]}]);
    [
        json!({"name": "weir", "address": address, "filter_chains": chains(config, layout, manager)}),
        json!({"name": INNER, "internal_listener": {}, "metadata": watch::inner(), "filter_chains": inner}),
    ]
}

/// How connections are served: those of clients, and those of trusted proxies.
fn chains<'c>(config: &'c Config, layout: &Layout, manager: impl Fn(Peer<'c>) -> Value) -> Vec<Value> {
    let tls = config.tls.as_ref().map(|_| {
        json!({
            "transport_socket": door::transport(layout),
            // Who does not finish the handshake has not sent a request that could be late.
            "transport_socket_connect_timeout": "10s",
        })
    });
    let chain = |peer| joined(json!({"filters": [manager(peer)]}), tls.clone().unwrap_or(json!({})));
    let mut chains = vec![chain(Peer::Client)];
    if !config.trusted_proxies.is_empty() {
        let here = json!({"filter_chain_match": door::from(&config.trusted_proxies)});
        chains.push(joined(here, chain(Peer::Proxy(&config.trusted_proxies))));
    }
    chains
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
fn manager(config: &Config, gateway: Value, routes: Value, peer: Peer<'_>) -> Value {
    let filters = [door::for_browsers(config), vec![gateway, router()]].concat();
    let settings = json!({
        "stat_prefix": "weir",
        "server_name": "weir",
        "generate_request_id": true,
        "preserve_external_request_id": true,
        "always_set_request_id_in_response": true,
        "normalize_path": true,
        "merge_slashes": true,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "request_headers_timeout": "10s",
        "request_timeout": "120s",
        "stream_idle_timeout": seconds(silence(&config.routing)),
        "delayed_close_timeout": "0.1s",
        "local_reply_config": local_reply::as_json(),
        "http_filters": filters,
    });
    extension(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        [settings, routes, door::origin(peer), door::bounds(), watch::access_log(config), watch::tracing(config)]
            .into_iter()
            .fold(json!({}), joined),
    )
}

/// How long a stream may be silent where nothing better is known: the last resort against one that nobody will ever
/// answer, for example after a trap in the filter.
fn silence(routing: &Routing) -> Duration {
    route::silence(routing.first_token_timeout.max(routing.answer_timeout), routing).max(PATIENCE)
}

/// Two minutes without a byte is what common clients and proxies bear, too.
const PATIENCE: Duration = Duration::from_secs(120);
