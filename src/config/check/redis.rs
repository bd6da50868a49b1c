//! `redis`.

use std::net::SocketAddr;

use crate::config::problem::Problems;
use crate::config::{Redis, address, written};
use crate::unit::Span;

use super::vendor::secret;

/// The Redis, if it is right.
pub(super) fn redis(written: &written::Redis, listen: Option<SocketAddr>, problems: &mut Problems) -> Option<Redis> {
    if written.urls.is_empty() {
        problems.note("redis.urls", "at least one is needed, for example redis://127.0.0.1:6379");
    }
    if written.urls.len() > 1 && !written.cluster {
        problems.note("redis.urls", "names several nodes, which only a cluster has: set cluster: true");
    }
    let nodes: Vec<_> = written
        .urls
        .iter()
        .enumerate()
        .map(|(i, url)| problems.keep(format!("redis.urls[{i}]"), address::redis(url)))
        .collect();
    let nodes: Vec<_> = nodes.into_iter().collect::<Option<_>>()?;
    let tls = nodes.first().is_some_and(|node| node.tls);
    if nodes.iter().any(|node| node.tls != tls) {
        problems.note("redis.urls", "mixes redis:// and rediss://");
    }
    if written.ca_file.is_some() && !tls {
        problems.note("redis.ca_file", "only rediss:// takes one");
    }
    let password = written.password.as_ref().map(|password| problems.keep("redis.password", secret(password)));
    if written.username.is_some() && password.is_none() {
        problems.note("redis.username", "needs a password");
    }
    let Span(timeout) = written.timeout;
    if !(1..=10_000).contains(&timeout.as_millis()) {
        problems.note("redis.timeout", "must be between 1ms and 10s");
    }
    let socket = match &written.socket {
        Some(socket) => problems.keep("redis.socket", address::socket(socket)),
        None => listen.map(|listen| format!("@weir-redis-{}", listen.port())),
    };
    Some(Redis {
        nodes,
        cluster: written.cluster,
        username: written.username.clone(),
        password: password.flatten(),
        ca_file: written.ca_file.clone(),
        socket: socket?,
        timeout,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::config::parse_json;
    use crate::test;

    fn parse(redis: Value) -> Result<crate::config::Redis, String> {
        let echo = json!({
            "listen": "127.0.0.1:4000",
            "vendors": [{"name": "e", "kind": "echo"}],
            "models": [{"name": "m", "serve": [{"vendor": "e"}]}],
            "redis": redis,
        });
        let config = parse_json(echo.to_string().as_bytes()).map_err(|problems| problems.to_string())?;
        Ok(config.redis.expect("a Redis"))
    }

    #[test]
    fn has_defaults() {
        let redis = parse(json!({"urls": ["redis://h"]})).unwrap();
        assert_eq!((redis.nodes[0].port, redis.timeout.as_millis(), redis.cluster), (6379, 50, false));
        assert_eq!(redis.socket, "@weir-redis-4000", "two gateways on one machine do not meet");
        assert_eq!(parse(json!({"urls": ["redis://h"], "socket": "/run/r"})).unwrap().socket, "/run/r");
    }

    #[test]
    fn every_mistake_is_named() {
        for (redis, problem) in [
            (json!({}), "redis.urls: at least one is needed, for example redis://127.0.0.1:6379"),
            (
                json!({"urls": ["redis://a", "redis://b"]}),
                "redis.urls: names several nodes, which only a cluster has: set cluster: true",
            ),
            (json!({"urls": ["redis://a", "rediss://b"], "cluster": true}), "redis.urls: mixes redis:// and rediss://"),
            (json!({"urls": ["http://a"]}), "redis.urls[0]: must begin with redis:// or rediss://"),
            (
                json!({"urls": ["redis://:secret@a"]}),
                "redis.urls[0]: must hold no user and no password; those go into `username` and `password`",
            ),
            (
                json!({"urls": ["redis://a/1"]}),
                "redis.urls[0]: must be a host and a port and nothing else, for example redis://127.0.0.1:6379",
            ),
            (json!({"urls": ["redis://a"], "ca_file": "/ca"}), "redis.ca_file: only rediss:// takes one"),
            (json!({"urls": ["redis://a"], "username": "u"}), "redis.username: needs a password"),
            (json!({"urls": ["redis://a"], "password": {}}), "redis.password: must be {env: NAME} or {file: /path}"),
            (json!({"urls": ["redis://a"], "timeout": "11s"}), "redis.timeout: must be between 1ms and 10s"),
            (
                json!({"urls": ["redis://a"], "socket": "run/r"}),
                "redis.socket: must be an absolute path or @name, of at most 107 bytes",
            ),
            (
                json!({"urls": ["redis://a"], "socket": "@"}),
                "redis.socket: must be an absolute path or @name, of at most 107 bytes",
            ),
            (json!({"urls": ["redis://a"], "db": 1}), "redis.db: unknown key"),
        ] {
            assert_eq!(parse(redis.clone()).unwrap_err(), problem, "{redis}");
        }
        let shown = parse(json!({"urls": ["redis://a"], "password": "hunter2"})).unwrap_err();
        assert!(shown.starts_with("redis.password: ") && !shown.contains("hunter2"), "{shown}");
    }
}
