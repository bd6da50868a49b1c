//! The filter: one module, one virtual machine, a role per place where it is loaded.

use serde_json::{Value, json};
use weir::config::Written;

use super::{capability, extension};

/// What all roles share, to the byte: Envoy runs one virtual machine per worker for all of them only then. So `weir.yaml`
/// is not in it, and another one takes no other machine: Envoy gives it to the gateway role of the one that runs.
pub struct Machine {
    vm_config: Value,
    gateway: String,
}

impl Machine {
    /// The machine that runs the module at this path with this configuration.
    pub fn new(module: &str, written: &Written) -> Machine {
        Machine {
            vm_config: json!({
                "vm_id": "weir",
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": module}},
            }),
            gateway: format!("{{\"role\": \"gateway\", \"config\": {}}}", configuration(written)),
        }
    }

    /// The filter of the listener where clients connect.
    pub fn gateway(&self) -> Value {
        self.filter(&self.gateway)
    }

    /// The upstream filter of a vendor's cluster.
    pub fn vendor(&self, name: &str) -> Value {
        self.filter(&json!({"role": "vendor", "vendor": name}).to_string())
    }

    /// The filter that answers as the echo vendor.
    pub fn echo(&self) -> Value {
        self.filter(&json!({"role": "echo"}).to_string())
    }

    /// The filter on the way to Redis.
    pub fn bridge(&self) -> Value {
        self.filter(&json!({"role": "bridge"}).to_string())
    }

    fn filter(&self, configuration: &str) -> Value {
        extension(
            GATEWAY,
            "envoy.extensions.filters.http.wasm.v3.Wasm",
            json!({"config": {
                "name": "weir",
                "configuration": string(configuration),
                "failure_policy": "FAIL_RELOAD",
                "reload_config": {"backoff": {"base_interval": RELOAD}},
                "allow_on_headers_stop_iteration": true,
                "vm_config": self.vm_config,
                "capability_restriction_config": capability::restriction(),
            }}),
        )
    }
}

/// `weir.yaml` for the filter, as JSON with a line per vendor, model and key. Where credentials are kept is none of its
/// business, nor how clients come in.
fn configuration(written: &Written) -> String {
    let mut written = written.clone();
    for vendor in &mut written.vendors {
        (vendor.credential, vendor.ca_file) = (None, None);
    }
    (written.tls, written.trusted_proxies) = (None, Vec::new());
    if let Some(redis) = &mut written.redis {
        (redis.username, redis.password, redis.ca_file, redis.socket) = (None, None, None, None);
    }
    let sections = match json!(written) {
        Value::Object(sections) => sections,
        _ => Default::default(),
    };
    let lines: Vec<String> =
        sections.iter().map(|(name, section)| format!("{}: {}", json!(name), lines(section))).collect();
    format!("{{\n{}\n}}", lines.join(",\n"))
}

fn lines(section: &Value) -> String {
    match section {
        Value::Array(items) if !items.is_empty() => {
            let items: Vec<String> = items.iter().map(|item| format!("  {item}")).collect();
            format!("[\n{}\n]", items.join(",\n"))
        }
        other => other.to_string(),
    }
}

fn string(text: &str) -> Value {
    json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text})
}

/// After a trap the next virtual machine is up within this time and its jitter; Envoy's own second would be long.
const RELOAD: &str = "0.1s";

/// The name of the filter.
pub const GATEWAY: &str = "envoy.filters.http.wasm";
