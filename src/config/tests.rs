//! One good configuration, and every mistake that can be made in it.

mod cache;
mod door;
mod limits;

use serde_json::{Value, json};

use super::{Config, Endpoint, Form, Permission, Secret, SingleVectors, checked, parse_json, read};
use crate::account::Price;
use crate::account::table::rates;
use crate::test;
use crate::vendor::FORMATS;

fn good() -> Value {
    json!({
        "vendors": [
            {"name": "openai", "kind": "openai", "url": "https://api.openai.com/v1", "credential": {"env": "KEY"}},
            {"name": "azure", "kind": "azure", "url": "https://r.example.com", "credential": {"file": "/run/azure"}},
            {"name": "echo", "kind": "echo"},
        ],
        "models": [
            {"name": "gpt-4", "serve": [{"vendor": "openai"}, {"vendor": "azure", "model": "mine"}]},
            {"name": "meta/llama:free@eu", "serve": [{"vendor": "echo"}]},
        ],
        "keys": [
            {"name": "team-a", "sha256": "A1".repeat(32), "models": ["meta/llama:free@eu"]},
            {"name": "team-b", "sha256": "b2".repeat(32)},
        ],
    })
}

/// What is wrong with the good configuration after `value` is put at `pointer`.
fn mistake(pointer: &str, value: Value) -> String {
    let mut config = good();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    match config.pointer_mut(parent).unwrap() {
        Value::Array(list) => list[field.parse::<usize>().unwrap()] = value,
        object => object[field] = value,
    }
    problems(&config, Form::File)
}

fn problems(config: &Value, form: Form) -> String {
    let checked = read::json(config.to_string().as_bytes()).and_then(|reading| checked(&reading, form));
    checked.err().map(|problems| problems.to_string()).unwrap_or_default()
}

#[test]
fn a_good_configuration_is_ready_to_use() {
    let config: Config = parse_json(good().to_string().as_bytes()).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:3000");
    let (_, model) = config.model("gpt-4").unwrap();
    let hops: Vec<_> = model.serve.iter().map(|hop| (hop.vendor, hop.model.as_str())).collect();
    assert_eq!(hops, [(0, "gpt-4"), (1, "mine")]);
    assert_eq!(config.keys[0].sha256, [0xa1; 32]);
    assert_eq!(config.keys[0].models, Permission::Only(vec![1]));
    assert_eq!(config.keys[1].models, Permission::All);
    assert_eq!((config.routing.attempts, config.routing.total_timeout.as_secs()), (3, 600));
    assert_eq!(config.routing.batch_timeout, config.routing.total_timeout);
    assert_eq!(config.limits.body_bytes, 8 << 20);
}

#[test]
fn a_whole_answer_has_two_minutes_unless_there_is_less_time() {
    for (routing, seconds) in [
        (json!({}), 120),
        (json!({"total_timeout": "30s"}), 30),
        (json!({"answer_timeout": "5m"}), 300),
        (json!({"total_timeout": "30s", "answer_timeout": "30s"}), 30),
    ] {
        let mut config = good();
        config["routing"] = routing;
        let config: Config = parse_json(config.to_string().as_bytes()).unwrap();
        assert_eq!(config.routing.answer_timeout.as_secs(), seconds);
    }
}

#[test]
fn vectors_are_made_together_where_that_is_wanted() {
    for (section, single_vectors) in [
        (json!(null), SingleVectors::Apart),
        (json!({}), SingleVectors::Apart),
        (json!({"merge": true}), SingleVectors::Together),
    ] {
        let config =
            Value::from_iter(good().as_object().cloned().into_iter().flatten().chain([("embeddings".into(), section)]));
        assert_eq!(parse_json(config.to_string().as_bytes()).unwrap().single_vectors, single_vectors);
    }
    assert!(mistake("/embeddings", json!({"merge": "yes"})).contains("embeddings.merge"));
    assert!(mistake("/embeddings", json!({"size": 64})).contains("embeddings.size"));
}

#[test]
fn a_hop_has_its_own_price_or_the_models_or_the_tables() {
    let price = |input: f64, output: f64| Some(Price { rates: rates(input, output, None, None).unwrap(), long: None });
    let mut config = good();
    config["models"] = json!([
        {"name": "gpt-4", "serve": [{"vendor": "openai"}, {"vendor": "azure", "model": "mine"}, {"vendor": "echo"}]},
        {"name": "mine", "serve": [{"vendor": "openai"}, {"vendor": "azure", "model": "gpt-4-turbo"}]},
        {"name": "dear", "price": {"input": 7, "output": 8.5}, "serve": [
            {"vendor": "openai", "model": "gpt-4"}, {"vendor": "azure", "price": {"input": 1, "output": 2}},
            {"vendor": "echo"}, {"vendor": "echo", "model": "x", "price": {"input": 1, "output": 2}}]},
    ]);
    config["keys"] = json!([]);
    let config = parse_json(config.to_string().as_bytes()).unwrap();
    let prices = |name: &str| config.model(name).unwrap().1.serve.iter().map(|hop| hop.price).collect::<Vec<_>>();
    let free = Some(Price::FREE);
    assert_eq!(prices("gpt-4"), [price(30.0, 60.0), price(30.0, 60.0), free], "a deployment is called anything");
    assert_eq!(prices("mine"), [None, price(10.0, 30.0)]);
    assert_eq!(prices("dear"), [price(7.0, 8.5), price(1.0, 2.0), free, price(1.0, 2.0)]);
}

#[test]
fn a_vendor_is_at_home_unless_it_says_so() {
    let good = good();
    for (vendor, host, port, path) in [
        (json!({"kind": "mistral", "credential": {"env": "KEY"}}), "api.mistral.ai", 443, "/v1"),
        (json!({"kind": "deepseek", "credential": {"file": "/key"}}), "api.deepseek.com", 443, ""),
        (json!({"kind": "groq", "url": "http://proxy:8080/groq/"}), "proxy", 8080, "/groq"),
        (
            json!({"kind": "bedrock", "region": "eu-central-1", "credential": {"aws": "found"}}),
            "bedrock-runtime.eu-central-1.amazonaws.com",
            443,
            "",
        ),
        (
            json!({"kind": "bedrock", "url": "https://vpce.example.com", "credential": {"env": "KEY"}}),
            "vpce.example.com",
            443,
            "",
        ),
        // As the filter is told of vendors: without their credentials.
        (json!({"kind": "bedrock", "region": "us-east-1"}), "bedrock-runtime.us-east-1.amazonaws.com", 443, ""),
        (json!({"kind": "gemini"}), "generativelanguage.googleapis.com", 443, "/v1beta"),
        (json!({"kind": "ollama"}), "127.0.0.1", 11434, "/v1"),
        (json!({"kind": "vllm", "url": "http://gpu/v1", "credential": {"env": "KEY"}}), "gpu", 80, "/v1"),
    ] {
        let mut config = good.clone();
        config["vendors"][0] = vendor;
        config["vendors"][0]["name"] = json!("openai");
        let config = parse_json(config.to_string().as_bytes()).unwrap();
        let endpoint = config.vendors[0].endpoint.clone().unwrap();
        assert_eq!((endpoint.host.as_str(), endpoint.port, endpoint.path.as_str()), (host, port, path));
    }
}

#[test]
fn an_unknown_kind_is_told_the_known_ones() {
    let kinds: Vec<&str> = FORMATS.iter().map(|format| format.kind()).collect();
    let problem = format!("vendors[1].kind: unknown kind \"x\", one of {}", kinds.join(", "));
    assert_eq!(mistake("/vendors/1/kind", json!("x")), problem);
}

#[test]
fn a_vendor_with_regions_is_told_what_is_missing() {
    let no_keys = "vendors[0].credential: missing: {env: NAME} or {file: /path} of a Bedrock API key, or \
                   {aws: environment}, {aws: found} or {aws: /path} to sign requests";
    let no_region = "vendors[0].region: missing: the AWS region, for example eu-central-1";
    let one = "vendors[0].credential: must be one of {env: NAME}, {file: /path} and {aws: ..}";
    let not_aws = "vendors[0].credential.aws: must be environment, found, or the absolute path of a file with the keys";
    let bad_region = "vendors[0].region: must be the name of an AWS region, for example eu-central-1";
    let only = "vendors[0].region: only the kinds bedrock take one";
    let only_aws = "vendors[0].credential.aws: only the kinds bedrock take it";
    let (key, found) = (json!({"env": "KEY"}), json!({"aws": "found"}));
    for (kind, url, region, credential, problem) in [
        ("bedrock", None, Some("eu-central-1"), Value::Null, no_keys.to_owned()),
        ("bedrock", Some("https://h"), None, Value::Null, no_keys.to_owned()),
        ("bedrock", None, None, key.clone(), no_region.to_owned()),
        ("bedrock", Some("https://h"), None, found.clone(), no_region.to_owned()),
        ("bedrock", None, None, Value::Null, format!("{no_region}\n{no_keys}")),
        ("bedrock", None, Some("r"), json!({"aws": "found", "env": "KEY"}), one.to_owned()),
        ("bedrock", None, Some("r"), json!({"aws": "profile"}), not_aws.to_owned()),
        ("bedrock", None, Some("r/../x"), key.clone(), bad_region.to_owned()),
        ("openai", Some("https://h"), Some("r"), key.clone(), only.to_owned()),
        ("openai", Some("https://h"), None, found, only_aws.to_owned()),
    ] {
        let vendor = json!({"name": "v", "kind": kind, "url": url, "region": region, "credential": credential});
        assert_eq!(of_vendor(vendor).err().as_deref(), Some(problem.as_str()), "{kind} {region:?} {credential}");
    }
}

/// A file with this vendor alone, or what is wrong with it.
fn of_vendor(vendor: Value) -> Result<Config, String> {
    let models = json!([{"name": "m", "serve": [{"vendor": "v"}]}]);
    let file = json!({"vendors": [vendor], "models": models}).to_string();
    checked(&read::json(file.as_bytes()).unwrap(), Form::File).map_err(|problems| problems.to_string())
}

#[test]
fn what_must_be_there_to_sign() {
    let secrets = |aws: &str| {
        let vendor = json!({"name": "v", "kind": "bedrock", "region": "r", "credential": {"aws": aws}});
        of_vendor(vendor).unwrap().vendors[0].secrets()
    };
    let variables = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| Secret::Env(name.to_owned()));
    assert_eq!(secrets("environment"), variables);
    assert_eq!(secrets("/run/aws"), [Secret::File("/run/aws".to_owned())]);
    assert_eq!(secrets("found"), []);
}

#[test]
fn every_home_is_an_address() {
    for format in FORMATS {
        let home = format.home();
        let url = home.url().map(str::to_owned).or_else(|| home.in_region("eu-central-1"));
        let home = url.map(|url| url.parse::<Endpoint>());
        assert!(home.is_none_or(|home| home.is_ok()), "{format:?}");
    }
}

#[test]
fn a_vendor_of_openais_format_has_its_own_prices() {
    let mut config = good();
    config["vendors"][0] = json!({"name": "openai", "kind": "mistral", "credential": {"env": "KEY"}});
    config["models"][0]["serve"] =
        json!([{"vendor": "openai", "model": "mistral-large-2512"}, {"vendor": "openai", "model": "gpt-4"}]);
    let config = parse_json(config.to_string().as_bytes()).unwrap();
    let prices: Vec<_> = config.model("gpt-4").unwrap().1.serve.iter().map(|hop| hop.price).collect();
    assert_eq!(prices, [rates(0.5, 1.5, Some(0.05), None).map(|rates| Price { rates, long: None }), None]);
}

#[test]
fn names_every_mistake_with_its_path() {
    for (pointer, value, problem) in [
        (
            "/listen",
            json!("localhost"),
            "listen: must be an IP address and a port, for example 127.0.0.1:3000 or 0.0.0.0:3000",
        ),
        ("/listen", json!("127.0.0.1:9901"), "admin: is the same address as listen"),
        ("/listen", json!("0.0.0.0:9901"), "admin: is the same address as listen"),
        (
            "/admin",
            json!("0.0.0.0:9901"),
            "admin: 0.0.0.0:9901 can be reached from elsewhere; must be a loopback address and a port, for example 127.0.0.1:9901, or unix:/path",
        ),
        ("/admin", json!("unix:weir.sock"), "admin: must name a Unix socket by an absolute path of at most 107 bytes"),
        (
            "/vendors/0/name",
            json!(""),
            "vendors[0].name: missing\nmodels[0].serve[0].vendor: there is no vendor \"openai\", only azure, echo",
        ),
        ("/vendors/0/url", Value::Null, "vendors[0].url: missing"),
        (
            "/vendors/0/url",
            json!("https://u:p@host"),
            "vendors[0].url: must hold no user and no password; a credential goes into `credential`",
        ),
        ("/vendors/0/api_version", json!("1"), "vendors[0].api_version: only the kind azure takes one"),
        (
            "/vendors/0",
            json!({"name": "openai", "kind": "openai", "url": "http://h", "ca_file": "/ca"}),
            "vendors[0].ca_file: only an https url takes one",
        ),
        (
            "/vendors/2/stream_usage",
            json!(false),
            "vendors[2].stream_usage: only the kinds openai, azure, groq, deepseek, xai, together, ollama, vllm take one",
        ),
        (
            "/vendors/0",
            json!({"name": "openai", "kind": "mistral", "credential": {"env": "KEY"}, "stream_usage": true}),
            "vendors[0].stream_usage: only the kinds openai, azure, groq, deepseek, xai, together, ollama, vllm take one",
        ),
        (
            "/vendors/0",
            json!({"name": "openai", "kind": "groq"}),
            "vendors[0].credential: missing: nobody is answered without one at https://api.groq.com/openai/v1",
        ),
        ("/models/0/price", json!({"input": 1}), "models[0].price.output: missing"),
        (
            "/models/0/serve/1/price",
            json!({"input": -1, "output": 0.0000001, "cached_input": 100001, "cache_write": 1}),
            "models[0].serve[1].price.input: must be dollars per million tokens, between 0 and 100000, with at most six decimals\n\
             models[0].serve[1].price.output: must be dollars per million tokens, between 0 and 100000, with at most six decimals\n\
             models[0].serve[1].price.cached_input: must be dollars per million tokens, between 0 and 100000, with at most six decimals",
        ),
        (
            "/models/0/serve/0/price",
            json!({"input": 1, "output": "2"}),
            "models[0].serve[0].price.output: invalid type: string \"2\", expected f64",
        ),
        ("/models/0/price", json!({"input": 1, "output": 2, "inputs": 3}), "models[0].price.inputs: unknown key"),
        (
            "/models/0/serve",
            json!([{"vendor": "echo"}, {"vendor": "echo", "price": {"input": 1, "output": 2}}]),
            "models[0].serve[1]: is listed twice",
        ),
        ("/vendors/0/credential", json!({}), "vendors[0].credential: must be {env: NAME} or {file: /path}"),
        (
            "/vendors/0/credential",
            json!({"env": "A", "file": "/b"}),
            "vendors[0].credential: must be {env: NAME} or {file: /path}",
        ),
        (
            "/vendors/0/credential",
            json!({"env": "sk-123"}),
            "vendors[0].credential: env must be the name of an environment variable",
        ),
        (
            "/vendors/0/credential",
            json!("sk-123"),
            "vendors[0].credential: must be {env: NAME} or {file: /path}; the secret itself does not belong into this file",
        ),
        ("/vendors/2/url", json!("http://h"), "vendors[2].url: the echo vendor is built in and takes none"),
        (
            "/vendors/2/credential",
            json!({"env": "A"}),
            "vendors[2].credential: the echo vendor is built in and takes none",
        ),
        (
            "/models",
            json!([]),
            "models: at least one is needed\nkeys[0].models[0]: there is no model \"meta/llama:free@eu\"",
        ),
        (
            "/models/1/name",
            json!("gpt-4"),
            "models[1].name: is the name of models[0] too\nkeys[0].models[0]: there is no model \"meta/llama:free@eu\", only gpt-4, gpt-4",
        ),
        ("/models/0/serve", json!([]), "models[0].serve: names nobody: at least one vendor must serve the model"),
        (
            "/models/0/serve",
            json!([{"vendor": "opanai"}]),
            "models[0].serve[0].vendor: there is no vendor \"opanai\", only openai, azure, echo",
        ),
        ("/models/0/serve", json!([{"vendor": "echo"}, {"vendor": "echo"}]), "models[0].serve[1]: is listed twice"),
        (
            "/models/0/serve/0/model",
            json!("a\nb"),
            "models[0].serve[0].model: must be 1 to 256 characters, none of them a control character",
        ),
        ("/keys/0/name", json!("a b"), "keys[0].name: must be 1 to 64 letters, digits or any of ._-"),
        (
            "/keys/0/sha256",
            json!("weir_secret"),
            "keys[0].sha256: must be 64 hex digits; `weir key` makes a key and prints them",
        ),
        ("/keys/0/sha256", json!("b2".repeat(32)), "keys[1].sha256: is the digest of keys[0] too"),
        ("/keys/0/models", json!([]), "keys[0].models: allows nothing; leave it out to allow every model"),
        (
            "/keys/0/models",
            json!(["gpt-5"]),
            "keys[0].models[0]: there is no model \"gpt-5\", only gpt-4, meta/llama:free@eu",
        ),
        ("/routing", json!({"attempts": 0}), "routing.attempts: must be between 1 and 10"),
        ("/routing", json!({"attempts": 11}), "routing.attempts: must be between 1 and 10"),
        ("/routing", json!({"idle_timeout": "0s"}), "routing.idle_timeout: must be between 1ms and 24h"),
        ("/routing", json!({"batch_timeout": "25h"}), "routing.batch_timeout: must be between 1ms and 24h"),
        (
            "/routing",
            json!({"total_timeout": "10s"}),
            "routing.first_token_timeout: must not be longer than routing.total_timeout",
        ),
        (
            "/routing",
            json!({"total_timeout": "1m", "answer_timeout": "61s"}),
            "routing.answer_timeout: must not be longer than routing.total_timeout",
        ),
        ("/routing", json!({"answer_timeout": "0s"}), "routing.answer_timeout: must be between 1ms and 24h"),
        (
            "/routing",
            json!({"total_timeout": 10}),
            "routing.total_timeout: invalid type: integer `10`, expected a duration such as 500ms, 20s, 10m or 1h",
        ),
        ("/limits", json!({"body_bytes": "1023"}), "limits.body_bytes: must be between 1KiB and 64MiB"),
        ("/limits", json!({"body_bytes": "65MiB"}), "limits.body_bytes: must be between 1KiB and 64MiB"),
    ] {
        let shown = mistake(pointer, value);
        let shown = shown.split(" at line").next().unwrap();
        assert_eq!(shown, problem, "{pointer}");
    }
}

#[test]
fn names_have_a_form() {
    for (pointer, name, fine) in [
        ("/vendors/1/name", "a".repeat(65), false),
        ("/vendors/1/name", "a/b".to_owned(), false),
        ("/vendors/1/name", "\u{e9}".to_owned(), false),
        ("/models/0/name", "A/b:c@d._-9".to_owned(), true),
        ("/models/0/name", "a b".to_owned(), false),
        ("/keys/1/name", "k".repeat(64), true),
    ] {
        let path = pointer.trim_start_matches('/').replacen('/', "[", 1).replacen('/', "].", 1);
        assert_eq!(mistake(pointer, json!(name)).contains(&path), !fine, "{pointer} {name}");
    }
}

#[test]
fn finds_every_problem_at_once() {
    let config = json!({
        "listen": "nowhere", "cash": {}, "lisen": 1,
        "vendors": [{"name": "a", "kind": "echo", "price": 1}],
        "models": [{"name": "m", "serve": [{"vendor": "a", "weight": 2}]}],
        "routing": {"weights": {"cost": 1, "quality": 1}},
    });
    let unknown = "cash: unknown key\nlisen: unknown key\n\
                   listen: must be an IP address and a port, for example 127.0.0.1:3000 or 0.0.0.0:3000\n\
                   models[0].serve[0].weight: unknown key\nrouting.weights.quality: unknown key\nvendors[0].price: unknown key";
    let mut lines: Vec<String> = problems(&config, Form::File).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines.join("\n"), unknown);

    let config = json!({"listen": "", "vendors": [{}], "models": [{"serve": [{"vendor": "x"}]}], "keys": [{}]});
    let paths: Vec<String> =
        problems(&config, Form::File).lines().map(|line| line.split(": ").next().unwrap().to_owned()).collect();
    assert_eq!(
        paths,
        [
            "listen",
            "vendors[0].name",
            "vendors[0].kind",
            "vendors[0].url",
            "models[0].name",
            "models[0].serve[0].vendor",
            "keys[0].name",
            "keys[0].sha256",
        ]
    );
}

#[test]
fn only_the_rendered_form_may_leave_a_model_unserved() {
    let mut config = good();
    config["models"][0]["serve"] = json!([]);
    assert_eq!(problems(&config, Form::Rendered), "");
    assert_ne!(problems(&config, Form::File), "");
}

#[test]
fn the_demo_key_works_on_this_machine_alone() {
    let mut config = good();
    config["keys"][0]["sha256"] = json!("37a721706adc5240e60def713f9817d6800983f74ab6c89c32f41c244b29e03f");
    for (listen, fine) in [("127.0.0.1:3000", true), ("[::1]:3000", true), ("0.0.0.0:3000", false)] {
        config["listen"] = json!(listen);
        let shown = problems(&config, Form::Rendered);
        assert_eq!(shown.is_empty(), fine, "{listen}");
        assert!(fine || shown.starts_with("keys[0].sha256: this is the demo key") && shown.contains("`weir key`"));
        config["demo_key"] = json!("anywhere");
        assert_eq!(problems(&config, Form::Rendered), "", "{listen}");
        config["demo_key"] = json!("loopback");
    }
    config["demo_key"] = json!("everywhere");
    assert!(problems(&config, Form::File).starts_with("demo_key: unknown variant"));
}

#[cfg(not(target_family = "wasm"))]
#[test]
fn yaml_mistakes_have_a_line_and_a_column() {
    for (text, problem) in [
        ("vendors: [", "vendors: unclosed bracket '[' at line 1, column 10"),
        (
            "vendors:\n  - {name: a, kind: echo}\n - b",
            "while parsing a block mapping, did not find expected key at line 3, column 2",
        ),
        ("vendors:\n- name: [a]\n", "vendors[0].name: expected string scalar at line 2, column 9"),
        ("routing: {attempts: -1}", "routing.attempts: invalid u64 at line 1, column 21"),
        ("listen: a\nlisten: b\n", "duplicate mapping key `listen` is not allowed here at line 2, column 1"),
        ("--- {}\n--- {}\n", "only single YAML document expected but multiple found at line 2, column 5"),
        ("", "vendors: at least one is needed\nmodels: at least one is needed"),
    ] {
        assert_eq!(super::parse_yaml(text).unwrap_err().to_string(), problem, "{text}");
    }
}

#[cfg(not(target_family = "wasm"))]
#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    for text in [
        "vendors: [{name: a, kind: openai, url: 'https://h', credential: sk-123}]",
        "vendors: [{name: a, kind: openai, url: 'https://h', credential: [sk-123]}]",
        "vendors: [{name: a, kind: openai, url: 'https://h', credential: {env: sk-123}}]",
        "vendors: [{name: a, kind: openai, url: 'https://u:sk-123@h'}]",
        "vendors: [{name: a, kind: openai, url: 'https://h?key=sk-123'}]",
        "keys: [{name: a, sha256: sk-123}]",
        "keys: [{name: a, key: sk-123}]",
    ] {
        let problems = super::parse_yaml(text).unwrap_err().to_string();
        assert!(!problems.contains("sk-123"), "{problems}");
    }
}

#[cfg(not(target_family = "wasm"))]
#[test]
fn the_shipped_configuration_is_good() {
    let config = super::parse_yaml(include_str!("../../weir.yaml")).unwrap();
    assert_eq!((config.vendors.len(), config.models.len(), config.keys.len()), (4, 8, 1));
}
