//! In one file or in several.
//!
//! One file is what a person loads into an Envoy of their own. `weir run` takes several, one for each kind of thing that
//! Envoy can exchange while it runs: then another `weir.yaml` needs no other Envoy, and no connection notices. Who
//! answers which path, the filter's configuration and the clusters change apart from the listeners, since a listener
//! that changes sends its clients away.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::plugin::{GATEWAY, Machine};
use super::route::TABLE;
use super::{joined, yaml};

/// Where Envoy finds what may change.
pub enum Layout {
    /// In the same file: nothing changes.
    Whole,
    /// In files of this folder.
    Files(PathBuf),
}

/// A file of such a folder.
pub struct Document {
    /// Its name.
    pub name: String,
    /// How Envoy calls what watches it, in its statistics.
    pub watch: String,
    /// What is in it.
    pub text: String,
}

/// What stands in a file of its own. Envoy takes one secret from a file, and of the others all that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'k> {
    /// What the vendor behind this cluster wants to see.
    Secret(&'k str),
    /// The vendors, and the way to them.
    Clusters,
    /// Which path leads where.
    Routes,
    /// The filter of the listener, with its configuration.
    Filter,
    /// Where clients connect.
    Listeners,
}

impl Kind<'_> {
    fn file(self) -> String {
        match self {
            Kind::Secret(name) => format!("secret_{name}.yaml"),
            Kind::Clusters => "clusters.yaml".to_owned(),
            Kind::Routes => "routes.yaml".to_owned(),
            Kind::Filter => "filter.yaml".to_owned(),
            Kind::Listeners => "listeners.yaml".to_owned(),
        }
    }

    fn message(self) -> &'static str {
        match self {
            Kind::Secret(_) => "envoy.extensions.transport_sockets.tls.v3.Secret",
            Kind::Clusters => "envoy.config.cluster.v3.Cluster",
            Kind::Routes => "envoy.config.route.v3.RouteConfiguration",
            Kind::Filter => "envoy.config.core.v3.TypedExtensionConfig",
            Kind::Listeners => "envoy.config.listener.v3.Listener",
        }
    }

    fn watch(self) -> String {
        match self {
            Kind::Secret(name) => format!("sds.{name}"),
            Kind::Clusters => CLUSTERS.to_owned(),
            Kind::Routes => format!("http.{TABLE}.rds.{TABLE}"),
            Kind::Filter => format!("extension_config_discovery.http_filter.{GATEWAY}"),
            Kind::Listeners => "listener_manager.lds".to_owned(),
        }
    }

    /// The file with these things, in this version.
    pub fn document(self, version: &str, things: &[Value]) -> Document {
        let kind = json!({"@type": format!("type.googleapis.com/{}", self.message())});
        let things: Vec<Value> = things.iter().map(|thing| joined(kind.clone(), thing.clone())).collect();
        let text = yaml::write(&json!({"version_info": version, "resources": things}));
        Document { name: self.file(), watch: self.watch(), text }
    }
}

/// What watches the filter. The version of that is the version of the whole configuration: it comes last but for the
/// listeners, and the listeners seldom change.
pub fn filter_watch() -> String {
    Kind::Filter.watch()
}

/// What watches the clusters.
pub const CLUSTERS: &str = "cluster_manager.cds";

impl Layout {
    /// The routes of a listener.
    pub fn routes(&self, routes: &Value) -> Value {
        match self {
            Layout::Whole => json!({"route_config": routes}),
            Layout::Files(folder) => {
                json!({"rds": {"route_config_name": TABLE, "config_source": source(folder, Kind::Routes)}})
            }
        }
    }

    /// The filter of a listener.
    pub fn gateway(&self, machine: &Machine) -> Value {
        match self {
            Layout::Whole => machine.gateway(),
            Layout::Files(folder) => json!({
                "name": GATEWAY,
                "config_discovery": {
                    "config_source": source(folder, Kind::Filter),
                    "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"],
                },
            }),
        }
    }

    /// A reference to a secret.
    pub fn secret(&self, name: &str) -> Value {
        match self {
            Layout::Whole => json!({"name": name}),
            Layout::Files(folder) => json!({"name": name, "sds_config": source(folder, Kind::Secret(name))}),
        }
    }

    /// What the bootstrap configuration says of these things.
    pub fn resources(&self, listeners: &[Value], clusters: &[Value], secrets: &[Value]) -> Value {
        match self {
            Layout::Whole => {
                json!({"static_resources": {"listeners": listeners, "clusters": clusters, "secrets": secrets}})
            }
            Layout::Files(folder) => json!({
                "node": {"id": "weir", "cluster": "weir"},
                "dynamic_resources": {
                    "lds_config": source(folder, Kind::Listeners),
                    "cds_config": source(folder, Kind::Clusters),
                },
            }),
        }
    }
}

fn source(folder: &Path, kind: Kind<'_>) -> Value {
    json!({"path_config_source": {"path": folder.join(kind.file())}, "resource_api_version": "V3"})
}
