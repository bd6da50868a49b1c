//! The echo vendor: a listener inside this Envoy that no socket leads to.
//!
//! To the router it is a vendor like any other, with a cluster, the filter's vendor role and a connection of its own, so
//! what a demo or a benchmark sees is the whole path of a request.

use serde_json::{Value, json};
use weir::config::Config;

use super::plugin::Machine;
use super::{extension, inside, router};

/// The name of the internal listener.
pub const LISTENER: &str = "weir_echo";

/// The listener. The filter answers; only what it does not know falls through to the 404.
pub fn listener(config: &Config, machine: &Machine) -> Value {
    let manager = extension(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        json!({
            "stat_prefix": LISTENER,
            "route_config": {"virtual_hosts": [{
                "name": "echo",
                "domains": ["*"],
                "request_body_buffer_limit": super::route::buffer(config),
                "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 404}}],
            }]},
            "http_filters": [machine.echo(), router()],
        }),
    );
    json!({"name": LISTENER, "internal_listener": {}, "filter_chains": [{"filters": [manager]}]})
}

/// The address of the listener.
pub fn address() -> Value {
    inside(LISTENER)
}
