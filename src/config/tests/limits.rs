//! What may be written about limits, budgets and tenants, and what may not.

use std::time::Duration;

use serde_json::{Value, json};

use super::{good, mistake, problems};
use crate::config::{Form, OnRedisFailure, Permission, parse_json};
use crate::limit::{Bucket, Mode, Rule, Rules};
use crate::test;
use crate::unit::{NanoUsd, Rate};

fn enforced<T>(bound: T) -> Option<Rule<T>> {
    Some(Rule { bound, mode: Mode::Enforce })
}

fn observed<T>(bound: T) -> Option<Rule<T>> {
    Some(Rule { bound, mode: Mode::Observe })
}

fn per(count: u64, seconds: u64, burst: u64) -> Bucket {
    Bucket { rate: Rate { count, per: Duration::from_secs(seconds) }, burst }
}

#[test]
fn limits_are_ready_to_use() {
    let mut written = good();
    written["tenants"] = json!([{"name": "acme", "limits": {"concurrent": {"max": 5, "mode": "observe"}}}]);
    written["keys"][0]["tenant"] = json!("acme");
    written["keys"][0]["vendors"] = json!(["echo", "openai"]);
    written["keys"][0]["expires"] = json!("2027-01-31T00:00:00Z");
    written["keys"][0]["limits"] = json!({
        "requests": {"rate": "60/min", "burst": 10},
        "tokens": {"rate": "100000/day", "mode": "observe"},
        "concurrent": 7,
    });
    written["keys"][0]["budget_usd"] = json!({"hour": 0.25, "month": 100});
    written["keys"][1]["budget_usd"] = json!({"day": 5, "mode": "observe"});
    written["models"][0]["limits"] = json!({"requests": {"rate": "5/s"}});
    written["vendors"][0]["limits"] = json!({"requests": {"rate": "1000/h", "mode": "enforce"}});
    let config = parse_json(written.to_string().as_bytes()).unwrap();

    let key = &config.keys[0];
    let rules = Rules {
        requests: enforced(per(60, 60, 10)),
        tokens: observed(per(100_000, 86_400, 100_000)),
        concurrent: enforced(7),
        hour: enforced(NanoUsd(250_000_000)),
        day: None,
        month: enforced(NanoUsd(100_000_000_000)),
    };
    assert_eq!(*key.rules, rules);
    assert_eq!((key.tenant, key.vendors.clone()), (Some(0), Permission::Only(vec![2, 0])));
    assert_eq!(key.expires, Some(Duration::from_secs(1_801_353_600)));
    assert_eq!((key.enabled, key.admin), (true, false));
    assert_eq!(*config.tenants[0].rules, Rules { concurrent: observed(5), ..Rules::default() });
    assert_eq!(*config.keys[1].rules, Rules { day: observed(NanoUsd(5_000_000_000)), ..Rules::default() });
    assert_eq!(config.models[0].rules.requests, enforced(per(5, 1, 5)));
    assert_eq!(config.vendors[0].rules.requests, enforced(per(1000, 3600, 1000)));
    assert!(config.models[1].rules.is_empty());
}

#[test]
fn the_gateway_as_a_whole_has_limits() {
    let limits = parse_json(good().to_string().as_bytes()).unwrap().limits;
    assert_eq!(
        (limits.in_flight.concurrent.map(|rule| rule.bound), limits.assumed_output_tokens, limits.gateways),
        (Some(1000), 1000, 1)
    );
    assert_eq!(limits.on_redis_failure, OnRedisFailure::Local);

    let mut written = good();
    written["redis"] = json!({"urls": ["redis://h"]});
    written["limits"] = json!({"gateways": 3, "on_redis_failure": "deny", "in_flight": 10, "assumed_output_tokens": 9});
    let limits = parse_json(written.to_string().as_bytes()).unwrap().limits;
    assert_eq!(
        (limits.in_flight.concurrent.map(|rule| rule.bound), limits.assumed_output_tokens, limits.gateways),
        (Some(10), 9, 3)
    );
    assert_eq!(limits.on_redis_failure, OnRedisFailure::Deny);
}

#[test]
fn names_every_mistake_about_limits() {
    let requests = |bucket: Value| json!({"requests": bucket});
    let not_a_rate = "expected a rate such as 5/s, 60/min, 1000/h or 5000/day";
    let a_budget = "must be more than 0 and at most 1000000 dollars";
    for (pointer, value, problem) in [
        ("limits", json!({}), "limits: limits nothing: name requests, tokens or concurrent"),
        ("limits", requests(json!({})), "limits.requests.rate: missing; for example 60/min"),
        ("limits", requests(json!({"rate": "0/min"})), "limits.requests.rate: must be between 1 and 1000000000"),
        ("limits", requests(json!({"rate": "1000000001/s"})), "limits.requests.rate: must be between 1 and 1000000000"),
        (
            "limits",
            requests(json!({"rate": "-1/s"})),
            &format!("limits.requests.rate: invalid value: string \"-1/s\", {not_a_rate}"),
        ),
        (
            "limits",
            requests(json!({"rate": "99999999999999999999/s"})),
            &format!("limits.requests.rate: invalid value: string \"99999999999999999999/s\", {not_a_rate}"),
        ),
        (
            "limits",
            requests(json!({"rate": "60/m"})),
            &format!("limits.requests.rate: invalid value: string \"60/m\", {not_a_rate}"),
        ),
        (
            "limits",
            requests(json!({"rate": 60})),
            &format!("limits.requests.rate: invalid type: integer `60`, {not_a_rate}"),
        ),
        (
            "limits",
            json!({"tokens": {"rate": "60/min", "burst": 0}}),
            "limits.tokens.burst: must be between 1 and 1000000000",
        ),
        (
            "limits",
            json!({"tokens": {"rate": "1/day", "burst": 1_000_000_000}}),
            "limits.tokens.burst: takes 1000000000 days to fill at 1/day; must be at most 31",
        ),
        (
            "limits",
            requests(json!({"rate": "1/s", "mode": "warn"})),
            "limits.requests.mode: unknown variant `warn`, expected `enforce` or `observe`",
        ),
        ("limits", requests(json!({"rate": "1/s", "bursts": 1})), "limits.requests.bursts: unknown key"),
        ("limits", json!({"concurrent": 0}), "limits.concurrent: must be between 1 and 1000000"),
        ("limits", json!({"concurrent": 1_000_001}), "limits.concurrent: must be between 1 and 1000000"),
        ("limits", json!({"concurrent": {"mode": "observe"}}), "limits.concurrent: must be between 1 and 1000000"),
        (
            "limits",
            json!({"concurrent": -1}),
            "limits.concurrent: invalid value: integer `-1`, expected a number such as 5, or {max: 5, mode: observe}",
        ),
        ("limits", json!({"concurrent": {"max": 1, "wait": 1}}), "limits.concurrent.wait: unknown key"),
        ("budget_usd", json!({}), "budget_usd: limits nothing: name hour, day or month"),
        ("budget_usd", json!({"mode": "observe"}), "budget_usd: limits nothing: name hour, day or month"),
        ("budget_usd", json!({"hour": 0}), &format!("budget_usd.hour: {a_budget}")),
        ("budget_usd", json!({"day": -5}), &format!("budget_usd.day: {a_budget}")),
        ("budget_usd", json!({"month": 1e-10}), &format!("budget_usd.month: {a_budget}")),
        ("budget_usd", json!({"month": 1_000_000.01}), &format!("budget_usd.month: {a_budget}")),
        ("budget_usd", json!({"day": "5"}), "budget_usd.day: invalid type: string \"5\", expected f64"),
        (
            "budget_usd",
            json!({"week": 5}),
            "budget_usd.week: unknown key\nbudget_usd: limits nothing: name hour, day or month",
        ),
    ] {
        let expected: Vec<String> = problem.lines().map(|line| format!("keys[0].{line}")).collect();
        let shown = mistake(&format!("/keys/0/{pointer}"), value);
        let shown: Vec<&str> = shown.lines().map(|line| line.split(" at line").next().unwrap()).collect();
        assert_eq!(shown, expected);
    }
}

#[test]
fn names_every_mistake_about_tenants_and_keys() {
    let mut config = good();
    config["tenants"] = json!([
        {"name": "acme"},
        {"name": "acme", "limits": {"concurrent": 0}, "budget_usd": {"day": 0}},
        {"name": "a b"},
    ]);
    config["keys"][0] = json!({
        "name": "team-a",
        "sha256": "a1".repeat(31),
        "tenant": "umbrella",
        "vendors": ["echo", "azur", "echo"],
        "models": ["gpt-4", "gpt-4"],
        "expires": "2027-01-31",
    });
    config["keys"][1]["vendors"] = json!([]);
    config["keys"][1]["expires"] = json!("1969-01-31T00:00:00Z");
    config["models"][0]["limits"] = json!({"requests": {"rate": "0/s"}});
    config["vendors"][2]["limits"] = json!({});
    config["limits"] =
        json!({"in_flight": 0, "assumed_output_tokens": 1_000_001, "gateways": 1001, "on_redis_failure": "allow"});
    let expected = "\
        vendors[2].limits: limits nothing: name requests, tokens or concurrent
models[0].limits.requests.rate: must be between 1 and 1000000000
tenants[1].name: is the name of tenants[0] too
tenants[2].name: must be 1 to 64 letters, digits or any of ._-
tenants[1].limits.concurrent: must be between 1 and 1000000
tenants[1].budget_usd.day: must be more than 0 and at most 1000000 dollars
keys[0].sha256: must be 64 hex digits; `weir key` makes a key and prints them
keys[0].tenant: there is no tenant \"umbrella\", only acme, acme, a b
keys[0].models[1]: is listed twice
keys[0].vendors[1]: there is no vendor \"azur\", only openai, azure, echo
keys[0].vendors[2]: is listed twice
keys[0].expires: must be a moment in UTC, for example 2027-01-31T00:00:00Z
keys[1].vendors: allows nothing; leave it out to allow every vendor
keys[1].expires: must be a moment in UTC, for example 2027-01-31T00:00:00Z
limits.in_flight: must be between 1 and 1000000
limits.assumed_output_tokens: must be between 1 and 1000000
limits.gateways: must be between 1 and 1000
limits.gateways: means nothing without redis
limits.on_redis_failure: means nothing without redis";
    assert_eq!(problems(&config, Form::File), expected);
}

#[test]
fn only_the_rendered_form_may_leave_a_key_without_vendors() {
    let mut config = good();
    config["keys"][0]["vendors"] = json!([]);
    assert_eq!(problems(&config, Form::Rendered), "");
}

#[cfg(not(target_family = "wasm"))]
#[test]
fn limits_are_written_as_yaml_and_travel_as_json() {
    let text = "
vendors: [{name: echo, kind: echo}]
models: [{name: m, serve: [{vendor: echo}]}]
tenants: [{name: acme, limits: {concurrent: 5}, budget_usd: {month: 1000.5}}]
keys:
- name: k
  sha256: a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1
  tenant: acme
  expires: 2027-01-31T00:00:00Z
  enabled: false
  admin: true
  limits: {requests: {rate: 60/min, burst: 10}, tokens: {rate: 100000/min}, concurrent: {max: 5, mode: observe}}
  budget_usd: {day: 5, mode: observe}
";
    let written = crate::config::yaml(text).unwrap();
    let (config, rendered) = (
        crate::config::parse_yaml(text).unwrap(),
        parse_json(serde_json::to_string(&written).unwrap().as_bytes()).unwrap(),
    );
    assert_eq!((&config.keys, &config.tenants), (&rendered.keys, &rendered.tenants));
    assert!(!config.keys[0].enabled && config.keys[0].admin);
    for (value, problem) in [
        ("{hour: .nan}", "keys[0].budget_usd.hour: must be more than 0 and at most 1000000 dollars"),
        ("{hour: .inf}", "keys[0].budget_usd.hour: must be more than 0 and at most 1000000 dollars"),
        ("{hour: 1e99}", "keys[0].budget_usd.hour: must be more than 0 and at most 1000000 dollars"),
        ("{hour: five}", "keys[0].budget_usd.hour: invalid floating point at line 13, column 22"),
    ] {
        let shown = crate::config::parse_yaml(&text.replace("{day: 5, mode: observe}", value)).unwrap_err();
        assert_eq!(shown.to_string(), problem);
    }
}
