//! `weir.yaml` as it is written: field for field, nothing resolved and little refused.
//!
//! What a person may leave out has a default here. What a person must write defaults to emptiness, so that
//! [`check`](super::check) can name a missing field together with everything else that is wrong. The same shape, as
//! JSON and without secrets, is what the filter is given.

mod cache;
mod door;
mod limits;
mod watch;

use serde::{Deserialize, Serialize};

pub use cache::{Cache, CacheRules, Normalise};
pub use door::{Cors, Tls};
pub use limits::{Bucket, Budget, Concurrent, Rules};
pub use watch::{Log, Metrics, Tracing};

use super::OnRedisFailure;
use crate::unit::{Bytes, Span};

/// The whole file.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Written {
    /// IP address and port where clients connect.
    #[serde(default = "listen")]
    pub listen: String,
    /// Envoy's admin interface: a loopback address and port, or `unix:/path`.
    #[serde(default = "admin")]
    pub admin: String,
    /// The certificate that clients see. Without it they come in the clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Which pages of the web may ask. Without it none may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// Ranges of addresses, `10.0.0.0/8` or `192.0.2.1`, of the proxies whose `x-forwarded-for` is believed.
    ///
    /// Default: none
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<String>,
    /// Who answers.
    #[serde(default)]
    pub vendors: Vec<Vendor>,
    /// What can be asked for.
    #[serde(default)]
    pub models: Vec<Model>,
    /// Groups of keys, with limits of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<Tenant>,
    /// Who may ask. Without keys nobody can.
    #[serde(default)]
    pub keys: Vec<Key>,
    /// Where the demo key is taken: `loopback`, or `anywhere`; see below.
    ///
    /// Default: `loopback`
    #[serde(default, skip_serializing_if = "DemoKey::is_default")]
    pub demo_key: DemoKey,
    /// How vendors are tried.
    #[serde(default)]
    pub routing: Routing,
    /// Bounds on what clients may ask.
    #[serde(default)]
    pub limits: Limits,
    /// The Redis that this gateway shares with others. Without it everything is local to this Envoy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<Redis>,
    /// Which answers are kept; `cache: {}` is enough. Without it none is.
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

/// `demo_key`: where the key that everybody knows may let somebody in.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DemoKey {
    /// Where `listen` is a loopback address.
    #[default]
    Loopback,
    /// Everywhere: something else, such as a port published on a loopback address, keeps other machines out.
    Anywhere,
}

impl DemoKey {
    fn is_default(&self) -> bool {
        *self == DemoKey::Loopback
    }
}

/// `embeddings`.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Embeddings {
    /// Whether requests for one vector each go together while another of their kind is on its way; [the API
    /// page](api.md) says how.
    pub merge: bool,
}

/// One of `vendors`.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Vendor {
    /// 1 to 64 letters, digits or `._-`: the name in `serve`, in headers and in metrics.
    #[serde(default)]
    pub name: String,
    /// The format it speaks: `openai`, `azure`, `anthropic`, `gemini`, `bedrock`, `mistral`, `groq`, `deepseek`, `xai`,
    /// `together`, `fireworks`, `openrouter`, `ollama`, `vllm` or `echo`.
    #[serde(default)]
    pub kind: String,
    /// Base of the vendor's API, `https://` or `http://`, without query; `echo` has none, and `openai`, `azure` and
    /// `anthropic` must have one.
    ///
    /// Default: the vendor's own; of `bedrock`, that of its region; of `ollama` and `vllm`, the usual port of this machine
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Only for `bedrock`: the AWS region, for example `eu-central-1`; must be given without a `url`, and where requests
    /// are signed.
    ///
    /// Default: none
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Where the vendor's key is kept; a vendor whose credential is missing is left out. Without a `url` it must be
    /// given, but for `ollama` and `vllm`; for `bedrock` always.
    ///
    /// Default: none
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,
    /// Only for `azure`: its `api-version`; `v1` for the surface without deployments in the path, which a url that
    /// ends in `/openai/v1` has, too.
    ///
    /// Default: `2024-10-21`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// PEM file with the authorities to trust for this vendor.
    ///
    /// Default: the system's
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// What all requests to it together may use.
    ///
    /// Default: none
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Rules>,
    /// Not for `anthropic`, `gemini`, `bedrock`, `mistral`, `fireworks`, `openrouter` and `echo`: whether each stream is asked for its
    /// tokens; `false` for a server that refuses `stream_options`.
    ///
    /// Default: `true`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_usage: Option<bool>,
}

/// `credential: {env: NAME}`, `credential: {file: /path}` or, of `bedrock`, `credential: {aws: environment}`.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Credential {
    /// The name of an environment variable; another value takes a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// The absolute path of a file; another content is taken while the gateway runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Only for `bedrock`, whose requests are then signed: where the keys are, see below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<String>,
}

/// One of `models`.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Model {
    /// What clients ask for; like a vendor's name, and `/`, `:`, `@`.
    #[serde(default)]
    pub name: String,
    /// Who serves it. Which of them is tried first is learned, see `weights`.
    #[serde(default)]
    pub serve: Vec<Hop>,
    /// What all requests for it together may use.
    ///
    /// Default: none
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Rules>,
    /// Which of its answers are kept, where that differs.
    ///
    /// Default: as the gateway has it
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheRules>,
    /// What makes a vendor the better one for it.
    ///
    /// Default: as `routing` has it
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// What it costs at vendors that name no price of their own.
    ///
    /// Default: the built-in table's
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
}

/// One of a model's `serve`.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Hop {
    /// A vendor's name.
    #[serde(default)]
    pub vendor: String,
    /// Its name at this vendor.
    ///
    /// Default: the model's name
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it costs there.
    ///
    /// Default: the model's price
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
}

/// `price`, in dollars per million tokens.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Price {
    /// Dollars per million tokens of the prompt; must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<f64>,
    /// Dollars per million tokens of the answer; must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<f64>,
    /// The same for tokens that the vendor read from its prompt cache.
    ///
    /// Default: `input`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<f64>,
    /// The same for tokens that it put into its prompt cache.
    ///
    /// Default: `input`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<f64>,
}

/// One of `tenants`.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Tenant {
    /// Like a vendor's name; `keys` use it.
    #[serde(default)]
    pub name: String,
    /// What its keys together may use.
    ///
    /// Default: none
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Rules>,
    /// What its keys together may spend.
    ///
    /// Default: none
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_usd: Option<Budget>,
}

/// One of `keys`.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Key {
    /// The key's name in logs and metrics.
    #[serde(default)]
    pub name: String,
    /// The SHA-256 of the key, 64 hex digits; `weir key` makes both.
    #[serde(default)]
    pub sha256: String,
    /// Names of the models that it may use.
    ///
    /// Default: all
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// Names of the vendors that may serve it.
    ///
    /// Default: all
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendors: Option<Vec<String>>,
    /// The tenant it belongs to, one of `tenants`.
    ///
    /// Default: none
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// A moment in UTC: `2027-01-31T00:00:00Z`.
    ///
    /// Default: never
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// `false` turns it off.
    ///
    /// Default: `true`
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub enabled: bool,
    /// Whether it may look behind the scenes: `/api/status`, the dashboard, explanations.
    ///
    /// Default: `false`
    #[serde(default, skip_serializing_if = "is_false")]
    pub admin: bool,
    /// Which of its answers are kept, where that differs.
    ///
    /// Default: as the model has it
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheRules>,
    /// What makes a vendor the better one for it.
    ///
    /// Default: as the model has it
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// What it may use.
    ///
    /// Default: none
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Rules>,
    /// What it may spend.
    ///
    /// Default: none
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_usd: Option<Budget>,
}

/// `routing`.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default)]
pub struct Routing {
    /// How many attempts a request may take, the first included; 1 to 10.
    pub attempts: u64,
    /// How long a vendor may take until a stream begins; at most `total_timeout`.
    pub first_token_timeout: Span,
    /// How long a vendor may take for an answer that does not stream, of which nothing comes before all is there; at most
    /// `total_timeout`.
    ///
    /// Default: `2m`, or `total_timeout` if that is shorter
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_timeout: Option<Span>,
    /// How long a stream may be silent, or as long as all attempts may take for their first tokens, if that is longer.
    pub idle_timeout: Span,
    /// How long a request may take in all; at most `24h`.
    pub total_timeout: Span,
    /// What makes a vendor the better one.
    pub weights: Weights,
    /// How long a conversation prefers the vendor that answered it last, whose prompt cache it is in, while that is
    /// nearly as good as the best; at most `24h`.
    pub affinity: Span,
    /// How long a batch of requests may take in all; at most `24h`.
    ///
    /// Default: `total_timeout`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_timeout: Option<Span>,
}

/// `weights`: how much each counts.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Weights {
    /// How much the expected cost counts, 0 to 1000. With all three 0 the order of `serve` decides.
    pub cost: f64,
    /// How much it counts how often a vendor answers, 0 to 1000.
    pub success: f64,
    /// How much it counts how fast, 0 to 1000.
    pub latency: f64,
}

/// `limits`.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default)]
pub struct Limits {
    /// The largest request body, `1KiB` to `64MiB`.
    pub body_bytes: Bytes,
    /// Requests that one gateway serves at once, 1 to 1000000; a batch is one, and so is each of its requests.
    pub in_flight: u64,
    /// Tokens that an answer is taken to have until it is there, where the client names no maximum.
    pub assumed_output_tokens: u64,
    /// Who decides about limits while Redis does not: `local`, each gateway at its part; `deny`; `allow`.
    pub on_redis_failure: OnRedisFailure,
    /// How many gateways share the Redis: alone, each allows such a part of every limit.
    pub gateways: u64,
}

/// `redis`.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Redis {
    /// `redis://host:6379`, or `rediss://` for TLS; several only for a cluster.
    #[serde(default)]
    pub urls: Vec<String>,
    /// Whether it is a Redis Cluster; then the urls are some of its nodes.
    #[serde(default)]
    pub cluster: bool,
    /// Who to be; needs a password.
    ///
    /// Default: the default user
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Where the password is kept; Envoy reads it when it starts.
    ///
    /// Default: none
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Credential>,
    /// PEM file with the authorities to trust, only for `rediss://`.
    ///
    /// Default: the system's
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// The Unix socket of Envoy's Redis proxy, an absolute path or `@name`; `weir run` has its own.
    ///
    /// Default: `@weir-redis-PORT`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// How long an answer may take, `1ms` to `10s`; then a request goes on without.
    #[serde(default = "redis_timeout")]
    pub timeout: Span,
}

/// Three attempts reach a third vendor and still end within the patience of a person.
impl Default for Routing {
    fn default() -> Routing {
        Routing {
            attempts: 3,
            first_token_timeout: seconds(20),
            answer_timeout: None,
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
