//! What must be in a rendered configuration, and what must not.

use serde_json::{Value, json};
use weir::config::{self, Secret};

use super::{Layout, Parts, envoy, whole};
use crate::site::Site;

const YAML: &str = "
listen: 0.0.0.0:8080
admin: unix:/run/weir/admin.sock
vendors:
- {name: openai, kind: openai, url: 'https://api.openai.com/v1', ca_file: /ca.pem, credential: {env: OPENAI}}
- {name: claude, kind: anthropic, url: 'http://[::1]:8443', credential: {file: /run/claude}}
- {name: azure, kind: azure, url: 'https://10.0.0.1', ca_file: /ca.pem, credential: {env: ABSENT}}
- {name: echo, kind: echo}
models:
- {name: m, serve: [{vendor: openai}, {vendor: claude}, {vendor: azure}]}
routing: {attempts: 5, first_token_timeout: 90s, total_timeout: 5m, batch_timeout: 400s}
limits: {body_bytes: 40MiB}
";

fn site() -> Site {
    Site::new(config::yaml(YAML).unwrap(), |secret| *secret != Secret::Env("ABSENT".to_owned())).unwrap()
}

/// The values of every member of this name, wherever it stands.
fn all<'v>(value: &'v Value, key: &str) -> Vec<&'v Value> {
    match value {
        Value::Object(members) => {
            let here = members.get(key).into_iter();
            here.chain(members.values().flat_map(|member| all(member, key))).collect()
        }
        Value::Array(items) => items.iter().flat_map(|item| all(item, key)).collect(),
        _ => Vec::new(),
    }
}

/// What the gateway role is given.
fn configuration(rendered: &Value) -> String {
    let texts = all(rendered, "configuration").into_iter().filter_map(|text| text["value"].as_str());
    let mut roles = texts.map(|text| serde_json::from_str::<Value>(text).unwrap());
    let gateway = roles.find(|role| role["role"] == "gateway").unwrap();
    gateway["config"].to_string()
}

#[test]
fn has_every_vendor_that_is_there() {
    let rendered = whole(&site(), "/weir.wasm").unwrap();
    let names: Vec<&Value> =
        rendered["static_resources"]["clusters"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
    assert_eq!(names, ["vendor_openai", "vendor_claude", "vendor_echo", "weir_inner", "weir_admin"]);
    let map = all(&rendered, "exact_match_map")[0]["map"].as_object().unwrap();
    assert_eq!(map.keys().collect::<Vec<_>>(), ["openai", "claude", "echo"]);
}

#[test]
fn puts_each_credential_where_its_vendor_wants_it() {
    let rendered = whole(&site(), "/weir.wasm").unwrap();
    assert_eq!(
        rendered["static_resources"]["secrets"],
        json!([
            {"name": "vendor_openai", "generic_secret": {"secret": {"environment_variable": "OPENAI"}}},
            {"name": "vendor_claude", "generic_secret": {"secret": {"filename": "/run/claude"}}},
        ])
    );
    let places: Vec<(&Value, &Value)> =
        all(&rendered, "header").into_iter().zip(all(&rendered, "header_value_prefix")).collect();
    assert_eq!(places, [(&json!("authorization"), &json!("Bearer ")), (&json!("x-api-key"), &json!(""))]);
}

#[test]
fn signs_behind_the_filter_what_is_to_be_signed() {
    let signed = |aws: &str| {
        let vendor = format!("{{name: v, kind: bedrock, region: eu-central-1, ca_file: /ca, credential: {{{aws}}}}}");
        let yaml = format!("vendors: [{vendor}]\nmodels: [{{name: m, serve: [{{vendor: v}}]}}]\n");
        let site = Site::new(config::yaml(&yaml).unwrap(), |_| true).unwrap();
        let rendered = whole(&site, "/weir.wasm").unwrap();
        // The filter must take what it is given, though it is told of no credential.
        config::parse_json(configuration(&rendered).as_bytes()).unwrap();
        let filters =
            all(&rendered, "http_filters").into_iter().find(|list| list.to_string().contains("upstream_codec"));
        let filters = filters.unwrap().as_array().unwrap().clone();
        let kinds: Vec<String> = filters.iter().map(|filter| filter["name"].as_str().unwrap().to_owned()).collect();
        (kinds[1].clone(), filters[1]["typed_config"].clone(), kinds.len())
    };
    let file = json!({"filename": "/run/aws/keys", "watched_directory": {"path": "/run/aws"}});
    for (aws, keys) in [
        ("aws: found", Value::Null),
        ("aws: environment", json!({"custom_credential_provider_chain": true, "environment_credential_provider": {}})),
        (
            "aws: /run/aws/keys",
            json!({
                "custom_credential_provider_chain": true,
                "credentials_file_provider": {"credentials_data_source": file},
            }),
        ),
    ] {
        let (name, signer, filters) = signed(aws);
        assert_eq!((name.as_str(), filters), ("envoy.filters.http.aws_request_signing", 3));
        assert_eq!((&signer["service_name"], &signer["region"]), (&json!("bedrock"), &json!("eu-central-1")));
        assert_eq!(signer.get("credential_provider").unwrap_or(&Value::Null), &keys, "{aws}");
    }
    assert_eq!(signed("env: KEY").0, "envoy.filters.http.credential_injector");
}

#[test]
fn gives_the_filter_its_configuration_and_no_secret() {
    let rendered = whole(&site(), "/weir.wasm").unwrap();
    let machines = all(&rendered, "vm_config");
    assert_eq!(machines.len(), 6, "gateway, twice, echo and three vendors");
    assert!(machines.iter().all(|machine| *machine == machines[0]));
    let restrictions = all(&rendered, "capability_restriction_config");
    assert_eq!(restrictions.len(), machines.len());
    assert!(restrictions.iter().all(|restriction| **restriction == super::capability::restriction()));
    let text = configuration(&rendered);
    for word in ["OPENAI", "/run/claude", "ca.pem", "azure"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    let config = config::parse_json(text.as_bytes()).unwrap();
    assert_eq!((config.vendors.len(), config.models[0].serve.len()), (3, 2));
    assert_eq!(config.routing, site().config.routing);
}

#[test]
fn verifies_whom_it_talks_to() {
    let rendered = whole(&site(), "/weir.wasm").unwrap();
    let sockets = all(&rendered, "transport_socket");
    assert_eq!(sockets.len(), 1);
    assert_eq!(sockets[0]["typed_config"]["sni"], "api.openai.com");
    let validation = all(sockets[0], "validation_context")[0];
    let expected = json!({
        "trusted_ca": {"filename": "/ca.pem"},
        "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "api.openai.com"}}],
    });
    assert_eq!(*validation, expected);
}

#[test]
fn carries_the_numbers_over() {
    let rendered = whole(&site(), "/weir.wasm").unwrap();
    for (key, value) in [
        ("num_retries", json!(4)),
        ("per_try_timeout", json!("90s")),
        ("per_try_idle_timeout", json!("60s")),
        ("stream_idle_timeout", json!("301s")),
        ("request_body_buffer_limit", json!(41 << 20)),
        ("max_ejection_percent", json!(50)),
        ("max_request_headers_kb", json!(60)),
        ("headers_with_underscores_action", json!("DROP_HEADER")),
        ("max_ejection_time", json!("1s")),
        ("pipe", json!({"path": "/run/weir/admin.sock"})),
    ] {
        assert_eq!(all(&rendered, key)[0], &value, "{key}");
    }
}

#[test]
fn has_more_patience_with_whole_answers_than_with_streams() {
    let limits = |routing: &str| {
        let rendered = with_door(&format!("routing: {{{routing}}}\n"));
        let routes = all(&rendered, "routes")[0].as_array().unwrap().clone();
        let to_vendors = routes.iter().filter(|route| route["match"].get("safe_regex").is_some());
        let limits = to_vendors.map(|route| {
            let (policy, silence) = (&route["route"]["retry_policy"], &route["route"]["idle_timeout"]);
            let text = |value: Option<&Value>| value.map_or("none", |value| value.as_str().unwrap()).to_owned();
            let [attempt, idle] = ["per_try_timeout", "per_try_idle_timeout"].map(|limit| text(policy.get(limit)));
            (route["match"].get("filter_state").cloned(), [attempt, idle, text(Some(silence))].join(" "))
        });
        (limits.collect::<Vec<_>>(), all(&rendered, "stream_idle_timeout")[0].clone())
    };
    let streams = json!([{"key": "wasm.delivery", "string_match": {"exact": "stream"}}]);
    for (routing, stream, answer, listener) in [
        ("", "20s 60s 61s", "120s none 361s", "361s"),
        ("total_timeout: 40s", "20s 60s 61s", "40s none 61s", "120s"),
        ("attempts: 1, answer_timeout: 5m", "20s 60s 61s", "300s none 301s", "301s"),
        ("first_token_timeout: 90s, answer_timeout: 3s, idle_timeout: 2s", "90s 2s 271s", "3s none 10s", "271s"),
    ] {
        // The first that fits is taken.
        let expected = vec![(Some(streams.clone()), stream.to_owned()), (None, answer.to_owned())];
        assert_eq!(limits(routing), (expected, json!(listener)), "{routing}");
    }
}

#[test]
fn calls_itself_where_no_socket_leads() {
    let rendered = whole(&site(), "/weir.wasm").unwrap();
    let listeners = rendered["static_resources"]["listeners"].as_array().unwrap();
    let [outer, inner] = ["weir", "weir_inner"].map(|name| listeners.iter().find(|l| l["name"] == name).unwrap());
    assert_eq!((inner.get("address"), &inner["internal_listener"]), (None, &json!({})));
    assert_eq!(inner["filter_chains"], outer["filter_chains"]);
    assert_eq!(rendered["bootstrap_extensions"].as_array().unwrap().len(), 1);
    let written = envoy(&site(), "/weir.wasm").unwrap();
    assert_eq!(written.matches("filters: *filters").count(), 1, "and nobody can edit one of the two");
    let routes = all(outer, "routes")[0].as_array().unwrap();
    let batches = routes.iter().find(|route| route["match"]["path"] == "/api/chat/completions/batch").unwrap();
    assert_eq!(batches["route"]["idle_timeout"], "401s", "it is silent until its end");
}

fn with(more: &str) -> Value {
    whole(&Site::new(config::yaml(&[YAML, more].concat()).unwrap(), |_| true).unwrap(), "/weir.wasm").unwrap()
}

#[test]
fn writes_a_line_for_each_request_unless_told_not_to() {
    let rendered = with("");
    let line = all(&rendered, "inline_string").into_iter().filter_map(Value::as_str).find(|line| line.starts_with('{'));
    assert!(line.unwrap().ends_with("%METADATA(LISTENER:weir:log)%%FILTER_STATE(wasm.log:PLAIN)%}\n"));
    assert!(all(&with("log: {access: false}"), "access_log").is_empty());
}

#[test]
fn sends_traces_where_they_are_wanted() {
    assert!(all(&with(""), "tracing").is_empty());
    for (otlp, key, cluster) in [
        (
            "http://collector:4317",
            "grpc_service",
            json!({"envoy_grpc": {"cluster_name": "weir_otlp", "authority": "collector:4317"}, "timeout": "1s"}),
        ),
        (
            "http://collector:4318/v1/traces",
            "http_service",
            json!({"http_uri": {"uri": "http://collector:4318/v1/traces", "cluster": "weir_otlp", "timeout": "1s"}}),
        ),
    ] {
        let rendered = with(&format!("tracing: {{otlp: '{otlp}', sample: 0.25}}"));
        assert_eq!(all(&rendered, key)[0], &cluster);
        assert_eq!(all(&rendered, "random_sampling")[0], &json!({"value": 25.0}));
        let names: Vec<&Value> = all(&rendered, "clusters")[0].as_array().unwrap().iter().map(|c| &c["name"]).collect();
        assert!(names.contains(&&json!("weir_otlp")));
    }
}

#[test]
fn is_read_back_as_it_was_meant() {
    fn without_notes(value: Value) -> Value {
        match value {
            Value::Object(members) => members
                .into_iter()
                .filter(|(key, _)| key != super::NOTE)
                .map(|(key, member)| (key, without_notes(member)))
                .collect(),
            Value::Array(items) => items.into_iter().map(without_notes).collect(),
            scalar => scalar,
        }
    }
    let read: Value = serde_saphyr::from_str(&envoy(&site(), "/weir.wasm").unwrap()).unwrap();
    assert_eq!(read, without_notes(whole(&site(), "/weir.wasm").unwrap()));
}

/// The rendered configuration with these lines at the top of the file.
fn with_door(lines: &str) -> Value {
    let yaml = [lines, "vendors: [{name: e, kind: echo}]\nmodels: [{name: m, serve: [{vendor: e}]}]\n"].concat();
    whole(&Site::new(config::yaml(&yaml).unwrap(), |_| true).unwrap(), "/weir.wasm").unwrap()
}

/// The filter chains of a listener.
fn chains<'v>(rendered: &'v Value, name: &str) -> &'v Vec<Value> {
    let listeners = rendered["static_resources"]["listeners"].as_array().unwrap();
    listeners.iter().find(|listener| listener["name"] == name).unwrap()["filter_chains"].as_array().unwrap()
}

#[test]
fn shows_clients_a_certificate_that_can_be_replaced() {
    let tls = "tls: {cert_file: /tls/cert.pem, key_file: /tls/key.pem}\n";
    let certificate = json!({
        "certificate_chain": {"filename": "/tls/cert.pem"},
        "private_key": {"filename": "/tls/key.pem"},
        "watched_directory": {"path": "/tls"},
    });
    let rendered = with_door(tls);
    let [secret] = rendered["static_resources"]["secrets"].as_array().unwrap().as_slice() else { panic!("{rendered}") };
    assert_eq!((&secret["name"], &secret["tls_certificate"]), (&json!("weir_listener"), &certificate));
    assert_eq!(all(&rendered, "tls_certificate_sds_secret_configs"), [&json!([{"name": "weir_listener"}])]);
    assert_eq!(all(&rendered, "alpn_protocols"), [&json!(["h2", "http/1.1"])]);
    assert_eq!(all(chains(&rendered, "weir_inner").first().unwrap(), "transport_socket").len(), 0);
    let written =
        config::yaml(&[tls, "vendors: [{name: e, kind: echo}]\nmodels: [{name: m, serve: [{vendor: e}]}]"].concat());
    let site = Site::new(written.unwrap(), |_| true).unwrap();
    let parts = Parts::new(&site, "/weir.wasm", &Layout::Files("/scratch".into())).unwrap();
    let documents = parts.documents("v1");
    let file = |name: &str| {
        let document = documents.iter().find(|document| document.name == name).unwrap();
        serde_saphyr::from_str::<Value>(&document.text).unwrap()
    };
    let secret = file("secret_weir_listener.yaml");
    assert_eq!(secret["resources"][0]["tls_certificate"], certificate);
    let listeners = file("listeners.yaml");
    let [reference] = all(&listeners, "tls_certificate_sds_secret_configs")[..] else { panic!("{listeners}") };
    assert_eq!(all(reference, "path"), [&json!("/scratch/secret_weir_listener.yaml")]);
}

#[test]
fn believes_proxies_and_nobody_else() {
    let rendered = with_door("trusted_proxies: [10.0.0.0/8, '::1']\n");
    let [clients, proxies] = chains(&rendered, "weir").as_slice() else { panic!("{rendered}") };
    let ranges = json!([{"address_prefix": "10.0.0.0", "prefix_len": 8}, {"address_prefix": "::1", "prefix_len": 128}]);
    assert_eq!(proxies["filter_chain_match"], json!({"source_prefix_ranges": ranges}));
    assert_eq!(all(proxies, "xff_trusted_cidrs"), [&json!({"cidrs": ranges})]);
    assert_eq!(
        [all(clients, "use_remote_address"), all(proxies, "use_remote_address")].concat(),
        [&json!(true), &json!(false)]
    );
    assert_eq!(
        all(clients, "original_ip_detection_extensions").len() + all(proxies, "internal_address_config").len(),
        0
    );
    for part in ["http_filters", "route_config", "local_reply_config"] {
        assert_eq!(all(clients, part), all(proxies, part), "they are served alike");
    }
    assert_eq!(chains(&with_door(""), "weir").len(), 1);
}

#[test]
fn heeds_browsers_before_it_asks_for_a_key() {
    let rendered = with_door("cors: {origins: ['https://app.example'], max_age: 5m}\n");
    let names: Vec<&Value> = all(&rendered, "http_filters")[0].as_array().unwrap().iter().map(|f| &f["name"]).collect();
    let expected = ["header_mutation", "cors", "wasm", "router"].map(|name| format!("envoy.filters.http.{name}"));
    assert_eq!(names, expected.iter().collect::<Vec<_>>());
    let policy = &all(&rendered, "typed_per_filter_config")[0]["envoy.filters.http.cors"];
    assert_eq!(policy["allow_origin_string_match"], json!([{"exact": "https://app.example"}]));
    assert_eq!((&policy["max_age"], policy.get("allow_credentials")), (&json!("300"), None));
    let routes = all(&chains(&rendered, "weir")[0], "routes")[0].as_array().unwrap();
    assert!(routes.iter().all(|route| route.get("direct_response").is_none()), "Envoy heeds no browser along those");
    assert!(all(&with_door(""), "typed_per_filter_config").is_empty());
}

#[test]
fn keeps_from_the_filter_how_clients_come_in() {
    let door = "tls: {cert_file: /tls/c, key_file: /tls/k}\ncors: {origins: ['*']}\ntrusted_proxies: [10.0.0.0/8]\n";
    let rendered = with_door(door);
    let configurations = all(&rendered, "configuration");
    let told = configurations.iter().filter_map(|value| value["value"].as_str()).collect::<String>();
    assert!(told.contains("cors"), "it marks late answers for browsers itself");
    assert!(!["/tls", "10.0.0.0"].iter().any(|word| told.contains(word)), "{told}");
}

const REDIS: &str = "
listen: 127.0.0.1:8080
vendors: [{name: openai, kind: openai, url: 'http://127.0.0.1:1'}]
models: [{name: m, serve: [{vendor: openai}]}]
redis:
";

/// The rendered configuration with this `redis` section, and its cluster of Redis.
fn with_redis(section: &str) -> (Value, Value) {
    let yaml = [REDIS, section].concat();
    let rendered = whole(&Site::new(config::yaml(&yaml).unwrap(), |_| true).unwrap(), "/weir.wasm").unwrap();
    let clusters = rendered["static_resources"]["clusters"].as_array().unwrap();
    let cluster = clusters.iter().find(|cluster| cluster["name"] == "weir_redis").unwrap().clone();
    (rendered, cluster)
}

#[test]
fn leads_to_redis() {
    let (rendered, cluster) = with_redis("  {urls: ['redis://127.0.0.1:7000'], timeout: 80ms}");
    assert_eq!(cluster["type"], "STATIC");
    assert_eq!(cluster["wait_for_warm_on_init"], false, "Envoy starts without Redis");
    assert_eq!(all(&rendered, "op_timeout"), [&json!("0.08s")]);
    assert_eq!(all(&rendered, "enable_redirection"), [&json!(false)]);
    assert_eq!(cluster.get("transport_socket"), None);
    assert_eq!(cluster.get("typed_extension_protocol_options"), None);
    let names: Vec<&Value> = all(&rendered["static_resources"], "server_listener_name");
    assert_eq!(names, ["weir_inner", "weir_redis_bridge"]);
    let pipes = all(&rendered, "pipe");
    assert_eq!(pipes, [&json!({"path": "@weir-redis-8080"}), &json!({"path": "@weir-redis-8080"})]);
    assert!(!envoy(&site(), "/weir.wasm").unwrap().contains("weir_redis"), "nothing of it where there is none");
}

#[test]
fn keeps_the_socket_of_redis_to_its_owner() {
    let (rendered, _) = with_redis("  {urls: ['redis://h'], socket: /run/weir/redis.sock}");
    let path = "/run/weir/redis.sock";
    assert_eq!(all(&rendered, "pipe"), [&json!({"path": path, "mode": 0o600}), &json!({"path": path})]);
}

#[test]
fn knows_the_nodes_of_a_cluster() {
    let (rendered, cluster) = with_redis("  {urls: ['redis://a', 'redis://10.0.0.1:7001'], cluster: true}");
    assert_eq!((cluster.get("type"), &cluster["lb_policy"]), (None, &json!("CLUSTER_PROVIDED")));
    assert_eq!(cluster["cluster_type"]["name"], "envoy.clusters.redis");
    let hosts: Vec<&Value> = all(&cluster, "socket_address");
    let expected = [json!({"address": "a", "port_value": 6379}), json!({"address": "10.0.0.1", "port_value": 7001})];
    assert_eq!(hosts, expected.iter().collect::<Vec<_>>());
    assert_eq!(all(&rendered, "enable_redirection"), [&json!(true)]);
}

#[test]
fn redis_is_authenticated_to_and_verified() {
    let (rendered, cluster) = with_redis(
        "  {urls: ['rediss://a', 'rediss://10.0.0.1'], cluster: true, ca_file: /ca.pem, username: u, password: {env: PW}}",
    );
    let subjects = json!([
        {"san_type": "DNS", "matcher": {"exact": "a"}},
        {"san_type": "IP_ADDRESS", "matcher": {"exact": "10.0.0.1"}},
    ]);
    assert_eq!(all(&cluster, "match_typed_subject_alt_names"), [&subjects]);
    assert_eq!(all(&cluster, "trusted_ca"), [&json!({"filename": "/ca.pem"})]);
    assert_eq!(cluster["connect_timeout"], "0.25s");
    assert_eq!(all(&cluster, "auth_username"), [&json!({"inline_string": "u"})]);
    assert_eq!(all(&cluster, "auth_password"), [&json!({"environment_variable": "PW"})]);
    let text = configuration(&rendered);
    for word in ["PW", "ca.pem", "username", "socket"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    assert_eq!(config::parse_json(text.as_bytes()).unwrap().redis.unwrap().nodes.len(), 2);
    let (_, cluster) = with_redis("  {urls: ['redis://h'], password: {file: /pw}}");
    assert_eq!(all(&cluster, "auth_password"), [&json!({"filename": "/pw"})]);
    let dns = &cluster["cluster_type"]["name"];
    assert_eq!((dns.as_str(), all(&cluster, "auth_username").len()), (Some("envoy.cluster.dns"), 0));
}
