//! `weir.yaml`, checked: what the rest of Weir works with.
//!
//! Configuration is parsed twice. `written` is a plain mirror of the file; `check` turns it into a [`Config`] or
//! into the list of everything that is wrong with it, each with its path. After that nothing can say "invalid
//! configuration": names are indices, digests are bytes, addresses are addresses. The command line and the filter use
//! the same code, the one on the file, the other on the JSON that `weir render` puts into Envoy's `vm_config`.

mod address;
mod check;
mod door;
pub mod problem;
mod read;
#[cfg(not(target_family = "wasm"))]
pub mod schema;
pub mod written;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use check::{Form, check};
pub use door::{Cidr, Cors, Origins, Tls};
pub use problem::Problems;
pub use written::Written;

use crate::account::Price;
use crate::cache;
use crate::limit::Rules;
use crate::route::Weights;
use crate::vendor::{Format, StreamUsage};

/// The whole configuration of a gateway.
#[derive(Debug)]
pub struct Config {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Envoy's own admin interface.
    pub admin: Admin,
    /// The certificate that clients see; `None` if they come without TLS.
    pub tls: Option<Tls>,
    /// Which pages of the web may ask; `None` if none may.
    pub cors: Option<Cors>,
    /// The proxies whose word is taken for where a client is.
    pub trusted_proxies: Vec<Cidr>,
    /// The vendors, in the order of the file.
    pub vendors: Vec<Vendor>,
    /// The models, in the order of the file.
    pub models: Vec<Model>,
    /// Who pays: groups of keys with limits of their own.
    pub tenants: Vec<Tenant>,
    /// The client keys.
    pub keys: Vec<Rc<Key>>,
    /// How vendors are tried.
    pub routing: Routing,
    /// Bounds on what clients may ask.
    pub limits: Limits,
    /// The Redis that this gateway shares with others; `None` if everything is local to this Envoy.
    pub redis: Option<Redis>,
    /// Which answers are kept; `None` if none is.
    pub cache: Option<Cache>,
    /// What becomes of requests for a single vector.
    pub single_vectors: SingleVectors,
    /// Whether there is a line for each request.
    pub access_log: AccessLog,
    /// Where traces go; `None` if there are none.
    pub tracing: Option<Tracing>,
    /// Who may read the metrics.
    pub metrics: Audience,
}

/// Whether there is a line for each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLog {
    /// There is.
    Written,
    /// There is not.
    Off,
}

/// Who may read a page.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Audience {
    /// Whoever can connect.
    #[default]
    Everybody,
    /// Keys with `admin: true`.
    Admin,
}

/// Where traces go.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracing {
    /// The collector; it has no path.
    pub endpoint: Endpoint,
    /// How it is spoken to.
    pub protocol: Otlp,
    /// Which part of the requests is traced, 0 to 1.
    pub sample: f64,
}

/// How OTLP is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Otlp {
    /// By gRPC.
    Grpc,
    /// By HTTP, to this path.
    Http(String),
}

/// What becomes of requests for a single vector, while another of their kind is on its way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SingleVectors {
    /// Each goes by itself.
    #[default]
    Apart,
    /// They gather, and go as one.
    Together,
}

/// What is kept of answers, and how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// What holds where models and keys say nothing else.
    pub rules: cache::Rules,
    /// How long a request waits for the answer to an identical one; not at all if nothing.
    pub merge: Duration,
    /// The largest record of an answer that is kept.
    pub entry_bytes: usize,
    /// How much this Envoy keeps in its memory.
    pub l1_bytes: usize,
}

/// Where Envoy's admin interface listens: never anywhere that another machine can reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admin {
    /// A loopback address.
    Loopback(SocketAddr),
    /// The path of a Unix socket.
    Unix(String),
}

/// A vendor.
#[derive(Debug)]
pub struct Vendor {
    /// Its name: in `serve`, in `x-weir-vendor`, in metric labels.
    pub name: String,
    /// Its wire format.
    pub format: &'static dyn Format,
    /// Where it is; `None` for the built-in echo vendor.
    pub endpoint: Option<Endpoint>,
    /// Where its credential is kept; `None` if it takes none, or only signed requests.
    pub credential: Option<Secret>,
    /// How its requests are signed; `None` if they are not.
    pub signing: Option<Signing>,
    /// Azure's `api-version`.
    pub api_version: Option<String>,
    /// A file with the certificate authorities to trust instead of the system's.
    pub ca_file: Option<String>,
    /// Whether it is asked to count the tokens of every stream.
    pub stream_usage: StreamUsage,
    /// What all requests to it together may use.
    pub rules: Rc<Rules>,
}

impl Vendor {
    /// What must be on the machine that asks it.
    pub fn secrets(&self) -> Vec<Secret> {
        let keys = match self.signing.as_ref().map(|signing| &signing.keys) {
            None | Some(AwsKeys::Found) => Vec::new(),
            Some(AwsKeys::Environment) => AWS_VARIABLES.map(|name| Secret::Env(name.to_owned())).to_vec(),
            Some(AwsKeys::File(path)) => vec![Secret::File(path.clone())],
        };
        self.credential.iter().cloned().chain(keys).collect()
    }
}

/// What Envoy reads the keys from; a session's token beside them is optional.
const AWS_VARIABLES: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];

/// How requests are signed, by Signature Version 4 of AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signing {
    /// The region that the signature is for.
    pub region: String,
    /// Where Envoy takes the keys from.
    pub keys: AwsKeys,
}

/// Where the keys are that requests are signed with. Like every secret they are only ever read by Envoy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AwsKeys {
    /// In environment variables of the Envoy process.
    Environment,
    /// In a file, in the format of the AWS tools.
    File(String),
    /// Wherever Envoy looks for them: its environment, the file of the AWS tools, the role of the container, the pod or
    /// the machine.
    Found,
}

/// A vendor's `url`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether the scheme is https.
    pub tls: bool,
    /// A name or an address; an IPv6 address has no brackets here.
    pub host: String,
    /// The port, 443 or 80 where the url names none.
    pub port: u16,
    /// The path, without a slash at its end: `/v1` or empty.
    pub path: String,
}

impl Endpoint {
    /// What stands in the `host` header: the port only where it is not the scheme's own.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

/// Where a secret is kept. The secret itself is only ever read by Envoy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// An environment variable of the Envoy process.
    Env(String),
    /// A file.
    File(String),
}

/// A model that clients can ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// What of its answers is kept, where that differs.
    pub cache: cache::Rules,
    /// What makes a vendor the better one for it, where that differs.
    pub weights: Option<Weights>,
    /// Who serves it, in order of preference. Empty if every vendor that does was left out for want of a credential.
    pub serve: Vec<Hop>,
    /// What all requests for it together may use.
    pub rules: Rc<Rules>,
}

/// One vendor that serves a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// The index of the vendor in [`Config::vendors`].
    pub vendor: usize,
    /// The model's name at this vendor.
    pub model: String,
    /// What it costs there, if that is known.
    pub price: Option<Price>,
    /// How many tokens prompt and answer may have there together; `None` if nobody knows.
    pub context: Option<u64>,
}

/// A client key.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// Its name in logs.
    pub name: String,
    /// The SHA-256 of the key; the key itself is nowhere.
    pub sha256: [u8; 32],
    /// The index of its tenant in [`Config::tenants`], if it has one.
    pub tenant: Option<usize>,
    /// What of its answers is kept, where that differs.
    pub cache: cache::Rules,
    /// What makes a vendor the better one for it, where that differs.
    pub weights: Option<Weights>,
    /// Which models it may use.
    pub models: Permission,
    /// Which vendors may serve it.
    pub vendors: Permission,
    /// When it expires, since the Unix epoch.
    pub expires: Option<Duration>,
    /// Whether it is taken at all.
    pub enabled: bool,
    /// Whether it may look behind the scenes.
    pub admin: bool,
    /// What it may use.
    pub rules: Rc<Rules>,
}

/// A group of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its name.
    pub name: String,
    /// What its keys together may use.
    pub rules: Rc<Rules>,
}

/// Which models or vendors a key may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// All of them.
    All,
    /// Those with these indices in [`Config::models`] or [`Config::vendors`].
    Only(Vec<usize>),
}

impl Permission {
    /// Whether the one with this index may be used.
    pub fn covers(&self, index: usize) -> bool {
        match self {
            Permission::All => true,
            Permission::Only(indices) => indices.contains(&index),
        }
    }
}

/// How vendors are tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Routing {
    /// How many attempts a request may take, the first included.
    pub attempts: usize,
    /// How long a vendor may take until the first token of a stream.
    pub first_token_timeout: Duration,
    /// How long a vendor may take for an answer that does not stream.
    pub answer_timeout: Duration,
    /// How long a stream may be silent between two pieces.
    pub idle_timeout: Duration,
    /// How long a request may take in all.
    pub total_timeout: Duration,
    /// What makes a vendor the better one, where model and key say nothing else.
    pub weights: Weights,
    /// How long a conversation prefers the vendor that answered it; not at all if nothing.
    pub affinity: Duration,
    /// How long a batch of requests may take in all.
    pub batch_timeout: Duration,
}

/// Bounds on what clients may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest request body, in bytes.
    pub body_bytes: usize,
    /// How many requests this Envoy serves at once, and nothing else.
    pub in_flight: Rc<Rules>,
    /// How many tokens an answer is taken to have where the client names no maximum.
    pub assumed_output_tokens: u64,
    /// Who decides when Redis does not.
    pub on_redis_failure: OnRedisFailure,
    /// How many gateways share the Redis: each allows such a part while it decides alone.
    pub gateways: u32,
}

/// Who decides about limits when Redis does not answer in time.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, Hash)]
#[serde(rename_all = "lowercase")]
pub enum OnRedisFailure {
    /// This Envoy, each at its part of the rate.
    Local,
    /// Nobody: the request is refused.
    Deny,
    /// Nobody: the request is admitted.
    Allow,
}

/// A Redis, or a Redis Cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redis {
    /// Its nodes; more than one only for a cluster. They have no path.
    pub nodes: Vec<Endpoint>,
    /// Whether it is a Redis Cluster.
    pub cluster: bool,
    /// The user to authenticate as, where it is not the default one.
    pub username: Option<String>,
    /// Where the password is kept.
    pub password: Option<Secret>,
    /// A file with the certificate authorities to trust instead of the system's.
    pub ca_file: Option<String>,
    /// The Unix socket of Envoy's Redis proxy: an absolute path, or `@` and a name without a file.
    pub socket: String,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// Reads and checks `weir.yaml`.
#[cfg(not(target_family = "wasm"))]
pub fn parse_yaml(text: &str) -> Result<Config, Problems> {
    checked(&read::yaml(text)?, Form::File)
}

/// Reads and checks what `weir render` wrote for the filter.
pub fn parse_json(bytes: &[u8]) -> Result<Config, Problems> {
    checked(&read::json(bytes)?, Form::Rendered)
}

/// Reads and checks `weir.yaml`, and gives it back as it is written.
#[cfg(not(target_family = "wasm"))]
pub fn yaml(text: &str) -> Result<Written, Problems> {
    let reading = read::yaml(text)?;
    checked(&reading, Form::File)?;
    Ok(reading.0)
}

fn checked((written, unknown): &read::Reading, form: Form) -> Result<Config, Problems> {
    match check(written, form) {
        Ok(config) if unknown.is_empty() => Ok(config),
        Ok(_) => Err(unknown.clone()),
        Err(problems) => Err(unknown.clone().and(problems)),
    }
}

impl Config {
    /// The model of this name, with its index.
    pub fn model(&self, name: &str) -> Option<(usize, &Model)> {
        self.models.iter().enumerate().find(|(_, model)| model.name == name)
    }

    /// The vendor of this name, with its index.
    pub fn vendor(&self, name: &str) -> Option<(usize, &Vendor)> {
        self.vendors.iter().enumerate().find(|(_, vendor)| vendor.name == name)
    }
}

/// The key that the shipped `weir.yaml` knows, so that the first request after a clone works. It stands in public, so
/// its digest is only accepted while clients can connect from this machine alone, or `demo_key` says that they can.
pub const DEMO_KEY: &str = "weir-demo-key";

#[cfg(test)]
mod tests;
