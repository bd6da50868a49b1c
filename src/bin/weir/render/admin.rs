//! Envoy's admin interface, and the statistics that `/metrics` takes from it.

use serde_json::{Value, json};
use weir::config::Admin;
use weir::metric::table::Kind;
use weir::metric::{LABELS, METRICS};

use super::socket;

/// The cluster that leads back into this Envoy's own admin interface.
pub const CLUSTER: &str = "weir_admin";

/// Where the admin interface is.
pub fn address(admin: &Admin) -> Value {
    match admin {
        Admin::Loopback(address) => socket(&address.ip().to_string(), address.port()),
        Admin::Unix(path) => json!({"pipe": {"path": path}}),
    }
}

/// The cluster of the admin interface.
pub fn cluster(admin: &Admin) -> Value {
    json!({
        "name": CLUSTER,
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(admin)}}]}],
        },
    })
}

/// How the filter's names of metrics become labels: `requests_total;;vendor=openai;;method=POST`. And how finely Envoy tells
/// times apart.
pub fn statistics() -> Value {
    let tag = |name: &&str| json!({"tag_name": name, "regex": format!("(;;{name}=([^;]*))")});
    let buckets = METRICS.iter().filter_map(|metric| match metric.kind {
        Kind::Histogram(buckets) => {
            Some(json!({"match": {"prefix": format!("wasmcustom.{}", metric.inside)}, "buckets": buckets}))
        }
        Kind::Counter | Kind::Gauge => None,
    });
    json!({
        "stats_tags": LABELS.iter().map(tag).collect::<Vec<_>>(),
        "histogram_bucket_settings": buckets.collect::<Vec<_>>(),
    })
}
