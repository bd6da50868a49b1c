//! The same configuration as patches to what Istio gives its proxies.
//!
//! Weir does not move into a listener of Istio's: it adds its own, with its clusters, and so depends on nothing that
//! Istio names or orders. What an Envoy of one's own keeps among the secrets of its bootstrap configuration is here
//! read from files of a ConfigMap, since patches to the bootstrap configuration only take effect where they were
//! switched on. The statistics' labels are the one thing that is left for such a patch.

use std::fmt;
use std::path::Path;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use weir::config::Admin;

use super::{joined, whole, yaml};
use crate::site::Site;

/// Which proxies are patched.
#[derive(Args, Debug, Default)]
pub struct Mesh {
    /// For Istio: a gateway that others connect to, or the sidecar of an application that calls it
    #[arg(long, value_enum)]
    place: Option<Place>,
    /// For Istio: a label of the pods, KEY=VALUE; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    selector: Vec<(String, String)>,
    /// For Istio: the namespace of the pods
    #[arg(long)]
    namespace: Option<String>,
}

/// Where the gateway is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Place {
    /// In a gateway of the mesh.
    Gateway,
    /// Beside an application.
    Sidecar,
}

impl Mesh {
    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.place.is_none() && self.selector.is_empty() && self.namespace.is_none()
    }

    fn labels(&self, place: Place) -> Result<Map<String, Value>, String> {
        let said = self.selector.iter().map(|(key, value)| (key.clone(), json!(value)));
        match place {
            _ if !self.selector.is_empty() => Ok(said.collect()),
            Place::Gateway => Ok(Map::from_iter([("istio".to_owned(), json!("ingressgateway"))])),
            Place::Sidecar => {
                Err("which sidecars? Name a label of their pods, for example --selector app=web".to_owned())
            }
        }
    }

    fn namespace(&self, place: Place) -> &str {
        let usual = if place == Place::Gateway { "istio-system" } else { "default" };
        self.namespace.as_deref().unwrap_or(usual)
    }
}

impl fmt::Display for Place {
    /// As Istio calls the context of such a proxy's configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Place::Gateway => "GATEWAY",
            Place::Sidecar => "SIDECAR_OUTBOUND",
        })
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("must be KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// The resources to apply; `module` is the path of `weir.wasm` in the proxy's container.
pub fn istio(mut site: Site, module: &str, mesh: &Mesh) -> Result<String, String> {
    let place = mesh.place.unwrap_or(Place::Gateway);
    let labels = mesh.labels(place)?;
    settle_in(&mut site, place)?;
    let envoy = whole(&site, module)?;
    let resources = |kind: &str| envoy.pointer(&format!("/static_resources/{kind}")).and_then(Value::as_array);
    let secrets: Vec<(&str, &Value)> = resources("secrets")
        .into_iter()
        .flatten()
        .filter_map(|secret| Some((secret.get("name")?.as_str()?, secret)))
        .collect();
    let names: Vec<&str> = secrets.iter().map(|(name, _)| *name).collect();
    let add = |apply_to: &str, value: &Value| {
        json!({
            "applyTo": apply_to,
            "match": {"context": place.to_string()},
            "patch": {"operation": "ADD", "value": discovering(value, &names)},
        })
    };
    let clusters = resources("clusters").into_iter().flatten().map(|cluster| add("CLUSTER", cluster));
    let listeners = resources("listeners").into_iter().flatten().map(|listener| add("LISTENER", listener));
    let labelled = json!({
        "applyTo": "BOOTSTRAP",
        "patch": {"operation": "MERGE", "value": {"stats_config": envoy.get("stats_config")}},
    });
    let about = json!({"name": NAME, "namespace": mesh.namespace(place)});
    let filter = json!({
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": about,
        "spec": {
            "workloadSelector": {"labels": labels},
            "configPatches": clusters.chain(listeners).chain([labelled]).collect::<Vec<Value>>(),
        },
    });
    let map = (!secrets.is_empty()).then(|| {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": about,
            "data": Map::from_iter(secrets.iter().map(|(name, secret)| (format!("{name}.yaml"), file(secret)))),
        })
    });
    let documents: Vec<String> = map.iter().chain([&filter]).map(yaml::write).collect();
    Ok([HEAD, &documents.join("---\n")].concat())
}

/// What is different in a pod: the paths of authorities, and where Envoy's admin interface is.
fn settle_in(site: &mut Site, place: Place) -> Result<(), String> {
    let config = &mut site.config;
    match (place, config.listen.ip().is_loopback()) {
        (Place::Gateway, true) => {
            return Err(format!(
                "listen: nobody outside the gateway's pod can reach {}; take 0.0.0.0 and a port",
                config.listen
            ));
        }
        (Place::Sidecar, false) => {
            return Err(format!(
                "listen: everybody could reach {} past the mesh; take 127.0.0.1 and a port",
                config.listen
            ));
        }
        _ => {}
    }
    config.admin = Admin::Loopback(([127, 0, 0, 1], ADMIN).into());
    for vendor in &mut config.vendors {
        vendor.ca_file.get_or_insert_with(|| AUTHORITIES.to_owned());
    }
    if let Some(redis) = &mut config.redis {
        redis.ca_file.get_or_insert_with(|| AUTHORITIES.to_owned());
    }
    Ok(())
}

/// The value, with every reference to one of these secrets led to its file.
fn discovering(value: &Value, secrets: &[&str]) -> Value {
    match value {
        Value::Object(members) => {
            let name =
                members.get("name").and_then(Value::as_str).filter(|name| members.len() == 1 && secrets.contains(name));
            let led =
                Value::Object(members.iter().map(|(key, value)| (key.clone(), discovering(value, secrets))).collect());
            joined(led, name.map_or(json!({}), |name| json!({"sds_config": {
                "path_config_source": {"path": format!("{FOLDER}/{name}.yaml"), "watched_directory": {"path": FOLDER}},
                "resource_api_version": "V3",
            }})))
        }
        Value::Array(items) => items.iter().map(|item| discovering(item, secrets)).collect(),
        scalar => scalar.clone(),
    }
}

/// A secret as the file of a secret discovery service has it; what it says about starts does not hold here.
fn file(secret: &Value) -> Value {
    let mut resource = json!({"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"});
    if let (Value::Object(resource), Value::Object(secret)) = (&mut resource, secret) {
        resource.extend(
            secret.iter().filter(|(key, _)| *key != super::NOTE).map(|(key, value)| (key.clone(), value.clone())),
        );
    }
    if let Some(source) = resource.pointer_mut("/generic_secret/secret") {
        *source = joined(source.clone(), beside(source));
    }
    yaml::write(&json!({"resources": [resource]})).into()
}

/// The folder of a file: a mounted secret is replaced there as a whole.
fn beside(source: &Value) -> Value {
    let file = source.get("filename").and_then(Value::as_str);
    let folder = file.and_then(|file| Path::new(file).parent()?.to_str());
    folder.map_or(json!({}), |folder| json!({"watched_directory": {"path": folder}}))
}

const NAME: &str = "weir";
/// Where the ConfigMap must be mounted.
const FOLDER: &str = "/etc/weir/sds";
/// Where Istio has its proxies' admin interface, unless `proxyAdminPort` says otherwise.
const ADMIN: u16 = 15000;
/// Where the images of Istio's proxy keep the certificate authorities.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

const HEAD: &str = "\
# What `weir render --for istio` makes of weir.yaml: do not edit, edit that. There is no secret in here.
# What the pods need besides (the filter, this ConfigMap and the credentials as files) says docs/istio.md.
# It is large: kubectl apply --server-side -f FILE
";

#[cfg(test)]
mod tests {
    use weir::config;

    use super::*;

    const YAML: &str = "
vendors:
- {name: openai, kind: openai, url: 'https://api.openai.com/v1', credential: {file: /run/secrets/openai/key}}
- {name: claude, kind: anthropic, url: 'https://api.anthropic.com/v1', ca_file: /ca.pem, credential: {env: CLAUDE}}
models: [{name: m, serve: [{vendor: openai}, {vendor: claude}]}]
";

    fn render(lines: &str, mesh: &Mesh) -> Result<Vec<Value>, String> {
        let site = Site::new(config::yaml(&[lines, YAML].concat()).unwrap(), |_| true).unwrap();
        let text = istio(site, "/etc/weir/filter/weir.wasm", mesh)?;
        Ok(text.split("---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect())
    }

    #[test]
    fn a_gateway_is_patched_with_a_listener_of_its_own() {
        let documents =
            render("listen: 0.0.0.0:3000\ntls: {cert_file: /t/c, key_file: /t/k}\n", &Mesh::default()).unwrap();
        let [map, filter] = documents.as_slice() else { panic!("{documents:?}") };
        assert_eq!(filter["metadata"], json!({"name": "weir", "namespace": "istio-system"}));
        assert_eq!(filter["spec"]["workloadSelector"]["labels"], json!({"istio": "ingressgateway"}));
        let patches = filter["spec"]["configPatches"].as_array().unwrap();
        let what: Vec<String> = patches
            .iter()
            .map(|patch| {
                let name = patch["patch"]["value"]["name"].as_str().unwrap_or_default();
                let context = patch["match"]["context"].as_str().unwrap_or_default();
                [patch["applyTo"].as_str().unwrap(), context, name].join(" ")
            })
            .collect();
        let expected = ["vendor_openai", "vendor_claude", "weir_inner", "weir_admin"]
            .map(|name| format!("CLUSTER GATEWAY {name}"));
        let listeners = ["weir", "weir_inner"].map(|name| format!("LISTENER GATEWAY {name}"));
        assert_eq!(what, [&expected[..], &listeners[..], &["BOOTSTRAP  ".to_owned()]].concat());
        let names: Vec<&String> = map["data"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["vendor_openai.yaml", "vendor_claude.yaml", "weir_listener.yaml"]);
        let key: Value = serde_saphyr::from_str(map["data"]["vendor_openai.yaml"].as_str().unwrap()).unwrap();
        let source =
            json!({"filename": "/run/secrets/openai/key", "watched_directory": {"path": "/run/secrets/openai"}});
        assert_eq!(key["resources"][0]["generic_secret"]["secret"], source);
        let text = filter.to_string();
        for name in ["vendor_openai", "vendor_claude", "weir_listener"] {
            let path =
                json!({"path": format!("/etc/weir/sds/{name}.yaml"), "watched_directory": {"path": "/etc/weir/sds"}});
            assert_eq!(text.matches(&path.to_string()).count(), 1, "{name}");
        }
        for word in [r#""port_value":15000"#, AUTHORITIES, "/ca.pem", "/etc/weir/filter/weir.wasm"] {
            assert!(text.contains(word), "{word}");
        }
    }

    #[test]
    fn a_sidecar_must_be_named_and_stay_at_home() {
        let mesh = |selector: &[(&str, &str)]| Mesh {
            place: Some(Place::Sidecar),
            selector: selector.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            namespace: Some("shop".to_owned()),
        };
        let documents = render("listen: 127.0.0.1:3000\n", &mesh(&[("app", "web")])).unwrap();
        let filter = documents.last().unwrap();
        assert_eq!(
            (&filter["metadata"]["namespace"], &filter["spec"]["workloadSelector"]["labels"]),
            (&json!("shop"), &json!({"app": "web"}))
        );
        assert!(filter.to_string().contains("SIDECAR_OUTBOUND"));
        for (lines, mesh, problem) in [
            ("listen: 127.0.0.1:3000\n", mesh(&[]), "which sidecars?"),
            ("listen: 0.0.0.0:3000\n", mesh(&[("app", "web")]), "listen: everybody could reach 0.0.0.0:3000"),
            (
                "listen: 127.0.0.1:3000\n",
                Mesh::default(),
                "listen: nobody outside the gateway's pod can reach 127.0.0.1:3000",
            ),
        ] {
            let said = render(lines, &mesh).unwrap_err();
            assert!(said.starts_with(problem), "{said}");
        }
        assert!(label("app").is_err() && label("=web").is_err());
    }
}
