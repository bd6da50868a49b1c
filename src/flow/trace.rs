//! What stands in a request's trace, by the conventions of OpenTelemetry for generative AI.
//!
//! Envoy makes the span, and reads these from filter state before the stream's end is told to anybody, so each is left
//! there as soon as it is known: by the gateway role when the request goes out and when it is answered, by the vendor role
//! on every attempt and when the answer is complete. Of an answer that breaks off the tokens are not told.

use crate::chat::{Request, Usage};
use crate::config::{Config, Hop};
use crate::flow::Effect;
use crate::flow::exchange::vendor_name;

/// Each attribute, and the name of the filter state in which Envoy finds it, which it prefixes with `wasm.`.
pub const TAGS: [(&str, &str); 9] = [
    ("gen_ai.operation.name", OPERATION),
    ("gen_ai.request.model", MODEL),
    ("gen_ai.provider.name", PROVIDER),
    ("gen_ai.response.model", SERVED),
    ("gen_ai.usage.input_tokens", INPUT),
    ("gen_ai.usage.output_tokens", OUTPUT),
    ("weir.vendor", VENDOR),
    ("weir.attempts", ATTEMPTS),
    ("weir.cache", CACHE),
];

const OPERATION: &str = "operation";
const MODEL: &str = "model";
const PROVIDER: &str = "provider";
const SERVED: &str = "served";
const INPUT: &str = "input_tokens";
const OUTPUT: &str = "output_tokens";
const VENDOR: &str = "vendor";
const ATTEMPTS: &str = "attempts";
const CACHE: &str = "cache";

/// What a request is about; `model` is the configured one.
pub fn asks(request: &Request, model: &str, config: &Config) -> Vec<Effect> {
    tags([(OPERATION, request.task().operation()), (MODEL, model)], config)
}

/// Whom an attempt asks.
pub fn tries(hop: &Hop, config: &Config) -> Vec<Effect> {
    let provider = config.vendors.get(hop.vendor).map_or("", |vendor| vendor.format.provider());
    tags([(PROVIDER, provider), (SERVED, &hop.model), (VENDOR, vendor_name(config, hop))], config)
}

/// What an answer used.
pub fn used(usage: &Usage, config: &Config) -> Vec<Effect> {
    tags([(INPUT, usage.prompt.to_string().as_str()), (OUTPUT, usage.completion.to_string().as_str())], config)
}

/// How the attempts went.
pub fn tried(attempts: &str, config: &Config) -> Vec<Effect> {
    tags([(ATTEMPTS, attempts)], config)
}

/// What came of looking for a kept answer.
pub fn looked(cache: &str, config: &Config) -> Vec<Effect> {
    tags([(CACHE, cache)], config)
}

fn tags<const N: usize>(tags: [(&'static str, &str); N], config: &Config) -> Vec<Effect> {
    if config.tracing.is_none() {
        return Vec::new();
    }
    tags.map(|(name, value)| Effect::Property(name, value.as_bytes().to_vec())).to_vec()
}
