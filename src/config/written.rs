//! `weir.yaml` as it is written: field for field, nothing resolved and little refused.
//!
//! What a person may leave out has a default here. What a person must write defaults to emptiness, so that
//! [`check`](super::check) can name a missing field together with everything else that is wrong. The same shape, as
//! JSON and without secrets, is what the filter is given.

mod cache;
mod limits;
mod watch;

use serde::{Deserialize, Serialize};

pub use cache::{Cache, CacheRules, Normalise};
pub use limits::{Bucket, Budget, Concurrent, Rules};
pub use watch::{Log, Metrics, Tracing};

use super::OnRedisFailure;
use crate::unit::{Bytes, Span};

/// The whole file.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Written {
    /// Address and port where clients connect.
    #[serde(default = "listen")]
    pub listen: String,
    /// Address and port, or `unix:/path`, of Envoy's admin interface.
    #[serde(default = "admin")]
    pub admin: String,
    /// Who answers.
    #[serde(default)]
    pub vendors: Vec<Vendor>,
    /// What can be asked for.
    #[serde(default)]
    pub models: Vec<Model>,
    /// Groups of keys with limits of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<Tenant>,
    /// Who may ask.
    #[serde(default)]
    pub keys: Vec<Key>,
    /// How vendors are tried.
    #[serde(default)]
    pub routing: Routing,
    /// Bounds on what clients may ask.
    #[serde(default)]
    pub limits: Limits,
    /// The Redis that this gateway shares with others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<Redis>,
    /// Which answers are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// How embeddings are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embeddings: Option<Embeddings>,
    /// What is logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Log>,
    /// Where traces go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Tracing>,
    /// Who sees metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
}

/// `embeddings`.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Embeddings {
    /// Whether requests for one vector each go together; they do not unless this is true.
    pub merge: bool,
}

/// One of `vendors`.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Vendor {
    /// The name that `serve`, headers and metrics use.
    #[serde(default)]
    pub name: String,
    /// The wire format: a `kind` of [`crate::vendor::FORMATS`].
    #[serde(default)]
    pub kind: String,
    /// The base of the vendor's API, for example `https://api.openai.com/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where the vendor's credential is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,
    /// Azure's `api-version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// A PEM file with the certificate authorities to trust instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// What all requests to it together may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Rules>,
    /// Whether it is asked to count the tokens of every stream; it is unless this is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_usage: Option<bool>,
}

/// `credential: {env: NAME}` or `credential: {file: /path}`.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Credential {
    /// An environment variable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// A file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// One of `models`.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Model {
    /// The name that clients ask for.
    #[serde(default)]
    pub name: String,
    /// Who serves it, in order of preference.
    #[serde(default)]
    pub serve: Vec<Hop>,
    /// What all requests for it together may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Rules>,
    /// Which of its answers are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheRules>,
    /// What makes a vendor the better one for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// What it costs at those of them that name no other price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
}

/// One of a model's `serve`.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Hop {
    /// The name of a vendor.
    #[serde(default)]
    pub vendor: String,
    /// The model's name at this vendor, where it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it costs there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
}

/// `price`, in dollars per million tokens.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Price {
    /// Of the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<f64>,
    /// Of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<f64>,
    /// Of the prompt, where the vendor had it in its cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<f64>,
    /// Of the prompt, where the vendor put it into its cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<f64>,
}

/// One of `tenants`.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Tenant {
    /// The name that `keys` use.
    #[serde(default)]
    pub name: String,
    /// What its keys together may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Rules>,
    /// What its keys together may spend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_usd: Option<Budget>,
}

/// One of `keys`.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Key {
    /// The key's name in logs.
    #[serde(default)]
    pub name: String,
    /// The SHA-256 of the key, in hex.
    #[serde(default)]
    pub sha256: String,
    /// The models that it may use; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// The vendors that may serve it; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendors: Option<Vec<String>>,
    /// Its tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// When it expires, for example `2027-01-31T00:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Whether it is taken at all.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub enabled: bool,
    /// Whether it may look behind the scenes.
    #[serde(default, skip_serializing_if = "is_false")]
    pub admin: bool,
    /// Which of its answers are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheRules>,
    /// What makes a vendor the better one for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// What it may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Rules>,
    /// What it may spend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_usd: Option<Budget>,
}

/// `routing`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default)]
pub struct Routing {
    /// How many attempts a request may take, the first included.
    pub attempts: u64,
    /// How long a vendor may take until its first token, or its whole answer if it does not stream.
    pub first_token_timeout: Span,
    /// How long a stream may be silent between two pieces.
    pub idle_timeout: Span,
    /// How long a request may take in all.
    pub total_timeout: Span,
    /// What makes a vendor the better one.
    pub weights: Weights,
    /// How long a conversation prefers the vendor that answered it; not at all if 0s.
    pub affinity: Span,
    /// How long a batch of requests may take in all; as long as a request if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_timeout: Option<Span>,
}

/// `weights`: how much each counts.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Weights {
    /// What a request is expected to cost.
    pub cost: f64,
    /// How often it is answered.
    pub success: f64,
    /// How fast.
    pub latency: f64,
}

/// `limits`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default)]
pub struct Limits {
    /// The largest request body.
    pub body_bytes: Bytes,
    /// How many requests this Envoy serves at once.
    pub in_flight: u64,
    /// How many tokens an answer is taken to have where the client names no maximum.
    pub assumed_output_tokens: u64,
    /// Who decides about limits when Redis does not.
    pub on_redis_failure: OnRedisFailure,
    /// How many gateways share the Redis.
    pub gateways: u64,
}

/// `redis`.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Redis {
    /// `redis://host:6379`, or `rediss://` for TLS; more than one only for a cluster.
    #[serde(default)]
    pub urls: Vec<String>,
    /// Whether it is a Redis Cluster.
    #[serde(default)]
    pub cluster: bool,
    /// The user to authenticate as, where it is not the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Where the password is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Credential>,
    /// A PEM file with the certificate authorities to trust instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// The Unix socket of Envoy's Redis proxy: an absolute path, or `@name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// How long an answer may take.
    #[serde(default = "redis_timeout")]
    pub timeout: Span,
}

/// Three attempts reach a third vendor and still end within the patience of a person.
impl Default for Routing {
    fn default() -> Routing {
        Routing {
            attempts: 3,
            first_token_timeout: seconds(20),
            idle_timeout: seconds(60),
            total_timeout: seconds(600),
            weights: Weights::default(),
            affinity: seconds(0),
            batch_timeout: None,
        }
    }
}

/// A vendor that is twice as dear is as bad as one that is twice as slow.
impl Default for Weights {
    fn default() -> Weights {
        Weights { cost: 1.0, success: 1.0, latency: 1.0 }
    }
}

/// A body has room for a long context and a few pictures; a thousand requests of a hundred kilobytes are what a small
/// machine can hold; a thousand tokens are two pages.
impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes: Bytes(8 << 20),
            in_flight: 1000,
            assumed_output_tokens: 1000,
            on_redis_failure: OnRedisFailure::Local,
            gateways: 1,
        }
    }
}

const fn seconds(number: u64) -> Span {
    Span(std::time::Duration::from_secs(number))
}

/// A hundred times what Redis takes on the same network.
fn redis_timeout() -> Span {
    Span(std::time::Duration::from_millis(50))
}

fn yes() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

fn is_false(value: &bool) -> bool {
    !value
}

fn listen() -> String {
    "127.0.0.1:3000".to_owned()
}

fn admin() -> String {
    "127.0.0.1:9901".to_owned()
}
