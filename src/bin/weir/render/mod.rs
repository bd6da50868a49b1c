//! The Envoy configuration that a `weir.yaml` stands for.
//!
//! Envoy does the network, the retries, the ejection of failing hosts, TLS, secrets and statistics; the filter does what
//! is about AI. This module knows how the two are wired together: the listeners with the filter before the router
//! ([`listener`]), the route that asks the filter on every attempt which vendor is next ([`route`]), a cluster for each
//! vendor with the filter once more behind the router ([`vendor`]), the vendor that is no vendor ([`echo`]), the way to
//! Redis ([`redis`]) and the admin interface with the statistics ([`admin`]).

mod admin;
mod echo;
mod listener;
mod local_reply;
mod plugin;
mod redis;
mod route;
mod tls;
mod vendor;
mod watch;
mod yaml;

use std::time::Duration;

use serde_json::{Value, json};

use crate::site::Site;
use plugin::Machine;
pub use yaml::NOTE;

/// The bootstrap configuration as YAML; `module` is the path of `weir.wasm` as Envoy finds it.
pub fn envoy(site: &Site, module: &str) -> Result<String, String> {
    Ok([HEAD, &yaml::write(&bootstrap(site, module)?)].concat())
}

fn bootstrap(site: &Site, module: &str) -> Result<Value, String> {
    let machine = Machine::new(module, &site.written);
    let config = &site.config;
    let mut listeners = listener::listeners(config, &machine).to_vec();
    if config.vendors.iter().any(|vendor| vendor.endpoint.is_none()) {
        listeners.push(echo::listener(config, &machine));
    }
    let vendors: Result<Vec<Value>, String> =
        config.vendors.iter().map(|vendor| vendor::cluster(vendor, &machine)).collect();
    let mut clusters: Vec<Value> = [vendors?, vec![listener::inner_cluster(), admin::cluster(&config.admin)]].concat();
    clusters.extend(watch::collector(config)?);
    if let Some(redis) = &config.redis {
        listeners.extend(redis::listeners(redis, &machine));
        clusters.extend(redis::clusters(redis)?);
    }
    let secrets: Vec<Value> = config.vendors.iter().filter_map(vendor::secret).collect();
    Ok(json!({
        "admin": {"address": admin::address(&config.admin)},
        "bootstrap_extensions": [internal_listeners()],
        "stats_config": admin::statistics(),
        "stats_flush_interval": "1s",
        "overload_manager": {"resource_monitors": [connections()]},
        "static_resources": {"listeners": listeners, "clusters": clusters, "secrets": secrets},
    }))
}

/// A bound on clients' connections; each costs some tens of kilobytes before it has asked anything.
fn connections() -> Value {
    extension(
        "envoy.resource_monitors.global_downstream_max_connections",
        "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        json!({"max_active_downstream_connections": 20_000}),
    )
}

/// What makes listeners possible that no socket leads to.
fn internal_listeners() -> Value {
    extension(
        "envoy.bootstrap.internal_listener",
        "envoy.extensions.bootstrap.internal_listener.v3.InternalListener",
        json!({}),
    )
}

/// The address of such a listener.
fn inside(listener: &str) -> Value {
    json!({"envoy_internal_address": {"server_listener_name": listener}})
}

/// An Envoy extension: its name, and its configuration with the type of it.
fn extension(name: &str, kind: &str, config: Value) -> Value {
    json!({"name": name, "typed_config": joined(json!({"@type": format!("type.googleapis.com/{kind}")}), config)})
}

/// The members of both objects.
fn joined(mut first: Value, second: Value) -> Value {
    if let (Value::Object(first), Value::Object(second)) = (&mut first, second) {
        first.extend(second);
    }
    first
}

/// The last HTTP filter of every listener. What Envoy would tell clients about its upstreams is not for them.
fn router() -> Value {
    extension(
        "envoy.filters.http.router",
        "envoy.extensions.filters.http.router.v3.Router",
        json!({"suppress_envoy_headers": true}),
    )
}

/// A duration as Envoy reads it.
fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs_f64())
}

fn socket(ip: &str, port: u16) -> Value {
    json!({"socket_address": {"address": ip, "port_value": port}})
}

const HEAD: &str = "\
# What `weir render --for envoy` makes of weir.yaml: do not edit, edit that.
# Vendors without a credential at the time of rendering are left out. There is no secret in here.
";

#[cfg(test)]
mod tests;
