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
