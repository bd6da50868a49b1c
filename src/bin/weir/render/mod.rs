//! The Envoy configuration that a `weir.yaml` stands for.
//!
//! Envoy does the network, the retries, the ejection of failing hosts, TLS, secrets and statistics; the filter does what
//! is about AI. This module knows how the two are wired together: the listeners with the filter before the router
//! ([`listener`]) and how clients come through it ([`door`]), the route that asks the filter on every attempt which vendor is next ([`route`]), a cluster for each
//! vendor with the filter once more behind the router ([`vendor`]), the vendor that is no vendor ([`echo`]), the way to
//! Redis ([`redis`]) and the admin interface with the statistics ([`admin`]). [`istio`] puts the same into a mesh.

mod admin;
pub mod capability;
mod door;
mod echo;
mod istio;
mod layout;
mod listener;
mod local_reply;
mod plugin;
mod redis;
mod route;
mod tls;
mod vendor;
mod watch;
mod yaml;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::site::Site;
pub use admin::CLUSTER as ADMIN;
pub use istio::{Mesh, istio};
use layout::Kind;
pub use layout::{CLUSTERS, Document, Layout, filter_watch};
use plugin::Machine;
pub use yaml::NOTE;

/// The bootstrap configuration as YAML, all in one; `module` is the path of `weir.wasm` as Envoy finds it.
pub fn envoy(site: &Site, module: &str) -> Result<String, String> {
    Ok([HEAD, &yaml::write(&whole(site, module)?)].concat())
}

fn whole(site: &Site, module: &str) -> Result<Value, String> {
    Ok(bootstrap(site, &Parts::new(site, module, &Layout::Whole)?, &Layout::Whole))
}

/// The bootstrap configuration of an Envoy that takes everything else from this folder.
pub fn dynamic(site: &Site, parts: &Parts, folder: &Path) -> String {
    yaml::write(&bootstrap(site, parts, &Layout::Files(folder.to_owned())))
}

/// What Envoy is given, besides what it needs to start.
#[derive(Default)]
pub struct Parts {
    vendors: Vec<String>,
    listeners: Vec<Value>,
    clusters: Vec<Value>,
    secrets: Vec<Value>,
    routes: Value,
    filter: Value,
}

impl Parts {
    /// All of it.
    pub fn new(site: &Site, module: &str, layout: &Layout) -> Result<Parts, String> {
        Parts::beside(&Parts::default(), site, module, layout)
    }

    /// All of it, and what requests that are on their way may still need of `old`: the vendors that went.
    pub fn beside(old: &Parts, site: &Site, module: &str, layout: &Layout) -> Result<Parts, String> {
        let machine = Machine::new(module, &site.written);
        let config = &site.config;
        let gone: Vec<String> = old.vendors.iter().filter(|old| config.vendor(old).is_none()).cloned().collect();
        let present = config.vendors.iter().map(|vendor| vendor.name.clone());
        let vendors: Vec<String> = present.chain(gone.iter().cloned()).collect();
        let routes = route::table(config, &vendors);
        let mut listeners = listener::listeners(config, &machine, layout, &routes).to_vec();
        if config.vendors.iter().any(|vendor| vendor.endpoint.is_none()) {
            listeners.push(echo::listener(config, &machine));
        }
        let theirs: Result<Vec<Value>, String> =
            config.vendors.iter().map(|vendor| vendor::cluster(vendor, &machine, layout)).collect();
        let mut clusters = [theirs?, vec![listener::inner_cluster(), admin::cluster(&config.admin)]].concat();
        clusters.extend(watch::collector(config)?);
        if let Some(redis) = &config.redis {
            listeners.extend(redis::listeners(redis, &machine));
            clusters.extend(redis::clusters(redis)?);
        }
        let mut secrets: Vec<Value> =
            config.vendors.iter().filter_map(|vendor| vendor::secret(vendor, layout)).collect();
        clusters.extend(of(&gone, &old.clusters));
        secrets.extend(of(&gone, &old.secrets));
        secrets.extend(config.tls.as_ref().map(|tls| door::secret(tls, layout)));
        Ok(Parts { vendors, listeners, clusters, secrets, routes, filter: machine.gateway() })
    }

    /// The vendors, those that went included.
    pub fn vendors(&self) -> &[String] {
        &self.vendors
    }

    /// The same without these vendors.
    pub fn without(&self, vendors: &[String]) -> Parts {
        let rest: Vec<String> = self.vendors.iter().filter(|vendor| !vendors.contains(vendor)).cloned().collect();
        Parts {
            clusters: of(&rest, &self.clusters),
            secrets: of(&rest, &self.secrets),
            vendors: rest,
            ..Parts::default()
        }
    }

    /// The files of [`Layout::Files`], in the order in which Envoy has to be given them: what is referred to comes before
    /// what refers to it.
    pub fn documents(&self, version: &str) -> Vec<Document> {
        let one = |kind: Kind<'_>, thing: &Value| kind.document(version, std::slice::from_ref(thing));
        let secret = |secret: &Value| one(Kind::Secret(secret["name"].as_str().unwrap_or_default()), secret);
        let rest = [
            Kind::Clusters.document(version, &self.clusters),
            one(Kind::Routes, &self.routes),
            one(Kind::Filter, &self.filter),
            Kind::Listeners.document(version, &self.listeners),
        ];
        self.secrets.iter().map(secret).chain(rest).collect()
    }
}

/// Those that belong to these vendors.
fn of(vendors: &[String], things: &[Value]) -> Vec<Value> {
    let names: Vec<String> = vendors.iter().map(|vendor| vendor::cluster_name(vendor)).collect();
    things.iter().filter(|thing| names.iter().any(|name| thing["name"] == name.as_str())).cloned().collect()
}

fn bootstrap(site: &Site, parts: &Parts, layout: &Layout) -> Value {
    let common = json!({
        "admin": {"address": admin::address(&site.config.admin)},
        "bootstrap_extensions": [internal_listeners()],
        "stats_config": admin::statistics(),
        "stats_flush_interval": "1s",
        "overload_manager": {"resource_monitors": [connections()]},
    });
    joined(common, layout.resources(&parts.listeners, &parts.clusters, &parts.secrets))
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
