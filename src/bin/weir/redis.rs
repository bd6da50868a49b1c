//! The Redis of a configuration, as the command line reaches it: directly, since Envoy may not be running.

use std::fs;
use std::time::Duration;

use redis::cluster::ClusterClientBuilder;
use redis::{
    Client, Cmd, ConnectionAddr, ConnectionInfo, ConnectionLike, ErrorKind, FromRedisValue, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, RedisResult, TlsCertificates,
};
use weir::config::{self, Endpoint, Secret};

/// A connection.
pub struct Redis {
    connection: Box<dyn ConnectionLike>,
    /// Where it leads, for errors.
    address: String,
}

impl Redis {
    /// Connects, and tries the password.
    pub fn open(redis: &config::Redis) -> Result<Redis, String> {
        let address = redis.nodes.iter().map(shown).collect::<Vec<_>>().join(", ");
        let password = redis.password.as_ref().map(secret).transpose()?;
        let settings = settings(redis.username.as_deref(), password.as_deref());
        let nodes: Result<Vec<ConnectionInfo>, RedisError> = redis
            .nodes
            .iter()
            .map(|node| Ok(place(node).into_connection_info()?.set_redis_settings(settings.clone())))
            .collect();
        let authorities = redis.ca_file.as_deref().map(read).transpose()?;
        let connection = nodes.and_then(|nodes| connect(nodes, authorities, redis.cluster));
        let connection = connection.map_err(|error| explained(&error, &address))?;
        let mut redis = Redis { connection, address };
        redis.ask::<()>(&redis::cmd("PING"))?;
        Ok(redis)
    }

    /// Sends a command; errors say what to do.
    pub fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, String> {
        command.query(&mut *self.connection).map_err(|error| explained(&error, &self.address))
    }
}

/// A secret's value; the line end that editors leave in a file is not a part of it.
pub fn secret(secret: &Secret) -> Result<String, String> {
    match secret {
        Secret::Env(name) => {
            std::env::var(name).map_err(|_| format!("redis.password: the environment variable {name} is not set"))
        }
        Secret::File(path) => {
            let text = fs::read_to_string(path).map_err(|error| format!("redis.password: cannot read {path}: {error}"));
            text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
        }
    }
}

fn connect(
    nodes: Vec<ConnectionInfo>,
    authorities: Option<Vec<u8>>,
    cluster: bool,
) -> RedisResult<Box<dyn ConnectionLike>> {
    let certificates = authorities.map(|pem| TlsCertificates { client_tls: None, root_cert: Some(pem) });
    if cluster {
        let builder = ClusterClientBuilder::new(nodes).connection_timeout(PATIENCE).response_timeout(PATIENCE);
        let builder = match certificates {
            Some(certificates) => builder.certs(certificates),
            None => builder,
        };
        return Ok(Box::new(builder.build()?.get_connection()?));
    }
    let node = nodes.into_iter().next().ok_or((ErrorKind::InvalidClientConfig, "no node"))?;
    let client = match certificates {
        Some(certificates) => Client::build_with_tls(node, certificates)?,
        None => Client::open(node)?,
    };
    let connection = client.get_connection_with_timeout(PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    Ok(Box::new(connection))
}

fn place(node: &Endpoint) -> ConnectionAddr {
    match node.tls {
        true => ConnectionAddr::TcpTls { host: node.host.clone(), port: node.port, insecure: false, tls_params: None },
        false => ConnectionAddr::Tcp(node.host.clone(), node.port),
    }
}

fn settings(username: Option<&str>, password: Option<&str>) -> RedisConnectionInfo {
    let settings = RedisConnectionInfo::default();
    let settings = username.into_iter().fold(settings, |settings, name| settings.set_username(name));
    password.into_iter().fold(settings, |settings, password| settings.set_password(password))
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("redis.ca_file: cannot read {path}: {error}"))
}

/// How a node is called in `weir.yaml`.
fn shown(node: &Endpoint) -> String {
    let host = if node.host.contains(':') { format!("[{}]", node.host) } else { node.host.clone() };
    format!("{}://{host}:{}", if node.tls { "rediss" } else { "redis" }, node.port)
}

fn explained(error: &RedisError, address: &str) -> String {
    match (error.kind(), error.code()) {
        (ErrorKind::AuthenticationFailed, _) | (_, Some("WRONGPASS")) => {
            format!("the Redis at {address} refuses the password: check redis.password and redis.username")
        }
        (_, Some("NOAUTH")) => format!("the Redis at {address} wants a password: set redis.password"),
        (_, Some("NOPERM")) => format!(
            "the Redis at {address} does not let this user do that: it needs HSETNX, HDEL, HGETALL, SET, GET and DEL \
             on weir:*"
        ),
        (ErrorKind::Io, _) => {
            format!("cannot reach the Redis at {address}: {error}. Is it running, and redis.urls right?")
        }
        _ => format!("the Redis at {address} says: {error}"),
    }
}

/// A person waits for this; the gateway's own `redis.timeout` is for requests.
const PATIENCE: Duration = Duration::from_secs(5);
