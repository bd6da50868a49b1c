//! The command line as a person meets it.

#![allow(clippy::unwrap_used)] // The helpers of a test are as exempt as the test.

use std::path::Path;
use std::process::{Command, Output};
use std::{env, fs, process};

use sha2::{Digest, Sha256};

fn weir(arguments: &[&str]) -> Output {
    let root = env!("CARGO_MANIFEST_DIR");
    Command::new(env!("CARGO_BIN_EXE_weir")).args(arguments).current_dir(root).env_clear().output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Writes a configuration, does something with it, removes it.
fn with_config<T>(name: &str, yaml: &str, then: impl FnOnce(&Path) -> T) -> T {
    let path = env::temp_dir().join(format!("weir-test-{}-{name}.yaml", process::id()));
    fs::write(&path, yaml).unwrap();
    let result = then(&path);
    fs::remove_file(path).unwrap();
    result
}

#[test]
fn check_praises_the_shipped_configuration() {
    let output = weir(&["check"]);
    assert_eq!(
        text(&output.stdout),
        "weir.yaml is good: 4 vendors, 8 models, 1 key\n\
         would be left out: openai (set OPENAI_API_KEY)\n\
         would be left out: azure (set AZURE_OPENAI_API_KEY)\n\
         would be left out: claude (set ANTHROPIC_API_KEY)\n"
    );
    assert!(output.status.success());
}

#[test]
fn check_reads_an_envoy_configuration_too() {
    let output = weir(&["check", "--envoy", "envoy/envoy.yaml"]);
    assert!(text(&output.stdout).ends_with("\nenvoy/envoy.yaml fits\n"), "{}", text(&output.stderr));
    let shipped = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/envoy/envoy.yaml")).unwrap();
    let dead = shipped.replace("refresh_cluster_on_retry: true", "refresh_cluster_on_retry: false");
    let output = with_config("envoy", &dead, |path| weir(&["check", "--envoy", path.to_str().unwrap()]));
    let said = text(&output.stderr);
    let said_of = |route: usize| {
        let problem = "retry_policy.refresh_cluster_on_retry: must be true, or every retry goes to the same vendor";
        said.lines().filter(|line| line.ends_with(&format!("routes[{route}].route.{problem}"))).count()
    };
    assert_eq!((said.lines().count(), said_of(1), said_of(2)), (4, 2, 2), "{said}");
    let output = with_config("no-envoy", "a: [", |path| weir(&["check", "--envoy", path.to_str().unwrap()]));
    assert!(text(&output.stderr).contains("is neither YAML nor JSON"), "{}", text(&output.stderr));
}

#[test]
fn what_is_for_a_mesh_is_refused_elsewhere() {
    let output = weir(&["render", "--for", "envoy", "--place", "sidecar"]);
    assert_eq!(text(&output.stderr), "--place, --selector and --namespace are for Istio: add --for istio\n");
    let output = weir(&["render", "--for", "istio"]);
    assert!(text(&output.stderr).starts_with("listen: nobody outside the gateway's pod can reach 127.0.0.1:3000"));
    let output = weir(&["render", "--for", "istio", "--place", "sidecar", "--selector", "app=shop"]);
    assert!(text(&output.stdout).contains("\nkind: EnvoyFilter\n"), "{}", text(&output.stderr));
}

#[test]
fn the_configuration_of_the_container_is_good() {
    let output = weir(&["check", "--config", "docker/weir.yaml"]);
    assert!(text(&output.stdout).starts_with("docker/weir.yaml is good"), "{}", text(&output.stderr));
}

#[test]
fn the_schema_knows_every_field_and_no_other() {
    let schema: serde_json::Value = serde_json::from_slice(&weir(&["schema"]).stdout).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["listen"]["default"], "127.0.0.1:3000");
    assert_eq!(schema["$defs"]["Routing"]["properties"]["total_timeout"]["default"], "10m");
}

#[test]
fn check_names_every_mistake() {
    let yaml = "vendors: [{name: a, kind: b}]\nmodels: [{name: m, serve: [{vendor: c}]}]\n";
    let output = with_config("bad", yaml, |path| weir(&["check", "--config", path.to_str().unwrap()]));
    let kinds: Vec<&str> = weir::vendor::FORMATS.iter().map(|format| format.kind()).collect();
    let wrong = [
        format!("vendors[0].kind: unknown kind \"b\", one of {}\n", kinds.join(", ")),
        "vendors[0].url: missing\n".to_owned(),
        "models[0].serve[0].vendor: there is no vendor \"c\", only a\n".to_owned(),
    ];
    assert_eq!(text(&output.stderr), wrong.concat());
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_gateway_that_could_not_answer_is_not_started() {
    let yaml = "vendors: [{name: a, kind: openai, url: 'https://h', credential: {env: NO_SUCH}}]\n\
                models: [{name: m, serve: [{vendor: a}]}]\n";
    let output = with_config("alone", yaml, |path| weir(&["run", "--config", path.to_str().unwrap()]));
    assert!(text(&output.stderr).starts_with("no vendor has a credential and there is no echo vendor"));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_key_is_random_and_fits_its_digest() {
    let fields = |output: Output| {
        let shown = text(&output.stdout);
        let field = |name: &str| shown.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        (field("key:"), field("sha256:"))
    };
    let (key, digest) = fields(weir(&["key"]));
    assert_eq!(key.len(), "weir_".len() + 43);
    assert_eq!(digest, Sha256::digest(&key).iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    assert_ne!(key, fields(weir(&["key"])).0);
}
