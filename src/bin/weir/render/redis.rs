//! The way from the filter to Redis: three steps inside Envoy, because the filter can only make HTTP calls.
//!
//! The filter posts a pipeline of commands to the internal listener [`BRIDGE`]. There the router treats it as a CONNECT:
//! the bytes of the body go on as they are, to a Unix socket, behind which Envoy's Redis proxy reads them as commands. The
//! proxy knows the nodes, keeps their connections open, authenticates, and answers for a node that does not. The
//! filter's role `bridge` (`src/flow/bridge.rs`) keeps the POST open until the replies are there.
//!
//! Whoever can connect to that socket has Redis without a password, so it is a file of its owner's (`weir run` puts it
//! into a folder that nobody else can enter), or what the configuration names.

use std::time::Duration;

use serde_json::{Value, json};
use weir::config::{Redis, Secret};
use weir::redis::BRIDGE;

use super::plugin::Machine;
use super::{extension, inside, joined, router, seconds, socket, tls};

/// The internal listener that takes pipelines, and the proxy that takes commands.
pub fn listeners(redis: &Redis, machine: &Machine) -> [Value; 2] {
    let manager = extension(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        json!({
            "stat_prefix": BRIDGE,
            "codec_type": "HTTP1",
            "delayed_close_timeout": "0s",
            "upgrade_configs": [{"upgrade_type": "CONNECT"}],
            "route_config": {"virtual_hosts": [{
                "name": "redis",
                "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "route": {
                    "cluster": PROXY,
                    "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {"allow_post": true}}],
                }}],
            }]},
            "http_filters": [machine.bridge(), router()],
        }),
    );
    let proxy = extension(
        "envoy.filters.network.redis_proxy",
        "envoy.extensions.filters.network.redis_proxy.v3.RedisProxy",
        json!({
            "stat_prefix": PROXY,
            "settings": {
                "op_timeout": seconds(redis.timeout),
                "enable_redirection": redis.cluster,
                // Names of keys have their cluster slot between braces.
                "enable_hashtagging": true,
            },
            "prefix_routes": {"catch_all_route": {"cluster": REDIS}},
        }),
    );
    [
        json!({"name": BRIDGE, "internal_listener": {}, "filter_chains": [{"filters": [manager]}]}),
        json!({"name": PROXY, "address": pipe(&redis.socket, Side::Server), "filter_chains": [{"filters": [proxy]}]}),
    ]
}

/// The clusters that lead to these two, and the one of Redis itself.
pub fn clusters(redis: &Redis) -> Result<[Value; 3], String> {
    Ok([
        single(BRIDGE, inside(BRIDGE)),
        single(PROXY, pipe(&redis.socket, Side::Client)),
        joined(nodes(redis), joined(transport(redis)?, authentication(redis))),
    ])
}

/// Which end of a socket.
enum Side {
    Server,
    Client,
}

fn pipe(path: &str, side: Side) -> Value {
    match side {
        // 0600 in decimal; a name without a file has no mode.
        Side::Server if path.starts_with('/') => json!({"pipe": {"path": path, "mode": 384}}),
        Side::Server | Side::Client => json!({"pipe": {"path": path}}),
    }
}

fn single(name: &str, address: Value) -> Value {
    json!({
        "name": name,
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
    })
}

fn nodes(redis: &Redis) -> Value {
    let hosts: Vec<Value> =
        redis.nodes.iter().map(|node| json!({"endpoint": {"address": socket(&node.host, node.port)}})).collect();
    let by_name = redis.nodes.iter().any(|node| node.ip().is_none());
    let discovery = match (redis.cluster, by_name) {
        (true, _) => json!({"lb_policy": "CLUSTER_PROVIDED", "cluster_type": topology()}),
        (false, true) => json!({"cluster_type": names()}),
        (false, false) => json!({"type": "STATIC"}),
    };
    let common = json!({
        "connect_timeout": seconds(connect_timeout(redis)),
        // Requests are served while Redis is absent, so its absence must not keep Envoy from listening either.
        "wait_for_warm_on_init": false,
        "dns_lookup_family": "V4_PREFERRED",
        "load_assignment": {"cluster_name": REDIS, "endpoints": [{"lb_endpoints": hosts}]},
    });
    joined(json!({"name": REDIS}), joined(discovery, common))
}

/// A Redis that comes back under another address is found within a second.
fn names() -> Value {
    extension(
        "envoy.cluster.dns",
        "envoy.extensions.clusters.dns.v3.DnsCluster",
        json!({"dns_refresh_rate": "1s", "dns_lookup_family": "V4_PREFERRED"}),
    )
}

/// Within a second Envoy finds out by itself that another node has taken over, and at once if a node says so.
fn topology() -> Value {
    extension(
        "envoy.clusters.redis",
        "envoy.extensions.clusters.redis.v3.RedisClusterConfig",
        json!({
            "cluster_refresh_rate": "1s",
            "cluster_refresh_timeout": "0.5s",
            "redirect_refresh_interval": "0.1s",
            "redirect_refresh_threshold": 1,
            "failure_refresh_threshold": 1,
        }),
    )
}

/// A node to which there is no way must not keep the filter waiting for longer than one that is silent; for the
/// handshakes of TLS that would be too short.
fn connect_timeout(redis: &Redis) -> Duration {
    let tls = redis.nodes.iter().any(|node| node.tls);
    if tls { redis.timeout.saturating_mul(4).max(TLS_HANDSHAKE) } else { redis.timeout }
}

fn transport(redis: &Redis) -> Result<Value, String> {
    match redis.nodes.iter().any(|node| node.tls) {
        true => Ok(json!({"transport_socket": tls::to(&redis.nodes, redis.ca_file.as_deref())?})),
        false => Ok(json!({})),
    }
}

/// Envoy reads the password itself, when it starts.
fn authentication(redis: &Redis) -> Value {
    let source = match &redis.password {
        None => return json!({}),
        Some(Secret::Env(name)) => json!({"environment_variable": name}),
        Some(Secret::File(path)) => json!({"filename": path}),
    };
    let username = redis.username.as_ref().map_or(json!({}), |name| json!({"auth_username": {"inline_string": name}}));
    let kind =
        json!({"@type": "type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProtocolOptions"});
    let options = joined(joined(kind, username), json!({"auth_password": source}));
    json!({"typed_extension_protocol_options": {"envoy.filters.network.redis_proxy": options}})
}

const PROXY: &str = "weir_redis_proxy";
const REDIS: &str = "weir_redis";
/// Two round trips and the arithmetic of both sides.
const TLS_HANDSHAKE: Duration = Duration::from_millis(250);
