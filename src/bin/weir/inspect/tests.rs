//! What is printed is right, and every way to spoil it is found.

use serde_json::{Value, json};
use weir::config::{self, Config, Secret};

use super::problems;
use crate::render;
use crate::site::Site;

const YAML: &str = "
vendors:
- {name: openai, kind: openai, url: 'https://h/v1', ca_file: /ca, credential: {env: KEY}}
- {name: echo, kind: echo}
- {name: bedrock, kind: bedrock, region: r, ca_file: /ca, credential: {aws: found}}
models: [{name: m, serve: [{vendor: openai}, {vendor: echo}, {vendor: bedrock}]}]
redis: {urls: ['redis://127.0.0.1:7000']}
";

fn site(lines: &str) -> Site {
    Site::new(config::yaml(&[lines, YAML].concat()).unwrap(), |_: &Secret| true).unwrap()
}

fn printed(site: &Site) -> Value {
    serde_saphyr::from_str(&render::envoy(site, "/weir.wasm").unwrap()).unwrap()
}

#[test]
fn what_is_printed_fits() {
    for lines in [
        "",
        "cors: {origins: ['*']}\ntrusted_proxies: [10.0.0.0/8]\ntls: {cert_file: /c, key_file: /k}\n",
        "routing: {attempts: 1}\n",
    ] {
        let site = site(lines);
        assert_eq!(problems(&printed(&site), &site.config).to_string(), "", "{lines}");
    }
}

const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
const ROUTE: &str =
    "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/route_config/virtual_hosts/0/routes/1/route";
const SIGNED: &str = "/static_resources/clusters/2/typed_extension_protocol_options/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const UPSTREAM: &str = "/static_resources/clusters/0/typed_extension_protocol_options/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// What is found after a member was changed, or, with null, taken out.
fn found(mut envoy: Value, config: &Config, place: &str, value: Value) -> String {
    let (parent, member) = place.rsplit_once('/').unwrap();
    let parent = envoy.pointer_mut(parent).unwrap_or_else(|| panic!("{place}"));
    match (parent, value) {
        (Value::Object(members), Value::Null) => drop(members.remove(member)),
        (Value::Object(members), value) => drop(members.insert(member.to_owned(), value)),
        (Value::Array(items), Value::Null) => drop(items.remove(member.parse().unwrap())),
        (Value::Array(items), value) => items[member.parse::<usize>().unwrap()] = value,
        _ => panic!("{place}"),
    }
    problems(&envoy, config).to_string()
}

#[test]
fn every_piece_that_is_missing_is_named() {
    let site = site("");
    let good = printed(&site);
    let manager = |rest: &str| [MANAGER, rest].concat();
    let route = |rest: &str| [ROUTE, rest].concat();
    let answers = |rest: &str| manager(&["/route_config/virtual_hosts/0/routes/2/route/retry_policy", rest].concat());
    let upstream = |rest: &str| [UPSTREAM, rest].concat();
    let wasm = "/typed_config/config";
    for (place, value, said) in [
        (
            "/bootstrap_extensions".to_owned(),
            Value::Null,
            "bootstrap_extensions: lacks envoy.bootstrap.internal_listener",
        ),
        ("/stats_config/stats_tags/0".to_owned(), Value::Null, "stats_config.stats_tags: lacks method:"),
        (
            "/admin/address/socket_address/address".to_owned(),
            json!("0.0.0.0"),
            "admin.address.socket_address.address: can be reached",
        ),
        (
            manager("/http_filters/0"),
            Value::Null,
            "static_resources.listeners: none that clients can reach has the filter",
        ),
        (manager("/stream_idle_timeout"), json!("0s"), "stream_idle_timeout: must not be 0s"),
        (manager("/local_reply_config"), Value::Null, "local_reply_config: missing"),
        (
            manager(&["/http_filters/0", wasm, "/failure_policy"].concat()),
            json!("FAIL_OPEN"),
            "failure_policy: lets everybody in",
        ),
        (
            manager(&["/http_filters/0", wasm, "/failure_policy"].concat()),
            Value::Null,
            "failure_policy: must be FAIL_RELOAD",
        ),
        (
            manager(
                &[
                    "/http_filters/0",
                    wasm,
                    "/capability_restriction_config/allowed_capabilities/proxy_on_request_headers",
                ]
                .concat(),
            ),
            Value::Null,
            "capability_restriction_config.allowed_capabilities: lacks proxy_on_request_headers",
        ),
        (
            upstream(&["/http_filters/0", wasm, "/allow_on_headers_stop_iteration"].concat()),
            json!(false),
            "allow_on_headers_stop_iteration: must be true, or every request hangs",
        ),
        (
            upstream(&["/http_filters/0", wasm, "/vm_config/vm_id"].concat()),
            json!("other"),
            "vm_config: differs from static_resources.listeners[0]",
        ),
        (
            manager("/route_config/virtual_hosts/0/request_body_buffer_limit"),
            json!(100_000),
            "request_body_buffer_limit: Envoy holds 1048576 bytes",
        ),
        (
            manager("/route_config/virtual_hosts/0/routes/0/match"),
            json!({"prefix": "/metrics"}),
            "routes[0].match: leads to more",
        ),
        (manager("/route_config/virtual_hosts/0/routes"), json!([]), "route_config: no route asks the filter"),
        (manager("/route_config/virtual_hosts/0/routes/1"), Value::Null, "route_config: no route is for streams alone"),
        (
            manager("/route_config/virtual_hosts/0/routes/1/match/filter_state/0/key"),
            json!("delivery"),
            "route_config: no route is for streams alone",
        ),
        (manager("/route_config/virtual_hosts/0/routes/2"), Value::Null, "no route is for answers that do not stream"),
        (
            answers("/per_try_timeout"),
            json!("20s"),
            "routes[2].route.retry_policy.per_try_timeout: must not be shorter than routing.answer_timeout, 120s",
        ),
        (answers("/per_try_idle_timeout"), json!("60s"), "per_try_idle_timeout: must not be shorter"),
        (route("/timeout"), Value::Null, "route.timeout: must be routing.total_timeout, 600s"),
        (route("/retry_policy"), Value::Null, "retry_policy.num_retries: must be 2"),
        (route("/retry_policy/num_retries"), json!(1), "retry_policy.num_retries: must be 2: routing.attempts is 3"),
        (
            route("/retry_policy/refresh_cluster_on_retry"),
            Value::Null,
            "retry_policy.refresh_cluster_on_retry: must be true, or every retry goes to the same vendor",
        ),
        (route("/retry_policy/retry_on"), json!("5xx,connect-failure"), "retry_on: lacks retriable-headers"),
        (route("/retry_policy/retriable_headers"), json!([]), "retriable_headers: lacks x-weir-retry"),
        (
            route(
                "/inline_cluster_specifier_plugin/extension/typed_config/cluster_matcher/matcher_tree/input/typed_config/key",
            ),
            json!("route"),
            "input.typed_config.key: must be wasm.route",
        ),
        (
            "/static_resources/clusters/0/name".to_owned(),
            json!("openai"),
            "cluster: there is no cluster \"vendor_openai\"",
        ),
        (
            ["/static_resources/clusters/0", "/typed_extension_protocol_options"].concat(),
            Value::Null,
            "clusters[0]: lacks the upstream filter",
        ),
        (upstream("/http_filters/0"), Value::Null, "http_filters: lacks the filter in its role vendor"),
        (upstream("/http_filters/1"), Value::Null, "http_filters: lacks envoy.filters.http.credential_injector"),
        (upstream("/http_filters/2"), Value::Null, "http_filters: must end with envoy.filters.http.upstream_codec"),
        (
            upstream(&["/http_filters/0", wasm, "/configuration/value"].concat()),
            json!("{\"role\":\"vendor\",\"vendor\":\"echo\"}"),
            "configuration: translates for \"echo\", and routes lead \"openai\" here",
        ),
        (
            "/static_resources/clusters/0/load_assignment/endpoints/1".to_owned(),
            Value::Null,
            "load_assignment.endpoints: lacks a closed host",
        ),
        ("/static_resources/secrets".to_owned(), Value::Null, "there is no secret \"vendor_openai\""),
        (
            [SIGNED, "/http_filters/1"].concat(),
            Value::Null,
            "http_filters: lacks envoy.filters.http.aws_request_signing",
        ),
        (
            [SIGNED, "/http_filters/1/typed_config/region"].concat(),
            json!("s"),
            "http_filters[1].typed_config.region: must be \"r\"",
        ),
        ("/static_resources/clusters/3".to_owned(), Value::Null, "static_resources.clusters: lacks weir_inner"),
        (
            "/static_resources/listeners/1".to_owned(),
            Value::Null,
            "server_listener_name: there is no internal listener \"weir_inner\"",
        ),
        (
            "/static_resources/listeners".to_owned(),
            json!([]),
            "static_resources.listeners: none that clients can reach has the filter",
        ),
    ] {
        let problems = found(good.clone(), &site.config, &place, value);
        assert!(problems.contains(said), "{place}: {problems:?} lacks {said:?}");
    }
}

#[test]
fn a_vendor_must_be_known() {
    let site = site("");
    let renamed = YAML.replace("openai, kind", "openly, kind").replace("vendor: openai", "vendor: openly");
    let other = Site::new(config::yaml(&renamed).unwrap(), |_| true).unwrap();
    let said = problems(&printed(&site), &other.config).to_string();
    assert!(said.contains("there is no vendor \"openai\" in the configuration of Weir"), "{said}");
}
