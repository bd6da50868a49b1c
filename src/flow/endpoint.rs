//! The endpoints of the public interface, and the pages that need no vendor.

use std::time::{Duration, UNIX_EPOCH};

use crate::chat::Task;
use crate::config::{Config, Key};
use crate::flow::Reply;
use crate::flow::exchange::vendor_name;
use crate::json::Writer;
use crate::refusal::Refusal;

/// What an endpoint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serves {
    /// What a model is asked for, by a vendor.
    Asks(Task),
    /// Many chat completions at once.
    Batch,
    /// The list of models.
    Models,
    /// What is known of vendors, limits, kept answers and the last hours, for admins.
    Status,
    /// The health page.
    Health,
    /// Envoy's statistics, by its admin interface.
    Metrics,
    /// The page for people.
    Dashboard,
}

impl Serves {
    /// Whether its requests have a body that matters.
    pub fn has_body(self) -> bool {
        matches!(self, Serves::Asks(_) | Serves::Batch)
    }
}

/// Path, method, purpose: `docs/api.md` documents each row.
pub const ENDPOINTS: [(&str, &str, Serves); 11] = [
    (CHAT, "POST", Serves::Asks(Task::Chat)),
    (BATCH, "POST", Serves::Batch),
    ("/api/embeddings", "POST", Serves::Asks(Task::Embeddings)),
    ("/v1/chat/completions", "POST", Serves::Asks(Task::Chat)),
    ("/v1/embeddings", "POST", Serves::Asks(Task::Embeddings)),
    ("/v1/messages", "POST", Serves::Asks(Task::Chat)),
    ("/v1/models", "GET", Serves::Models),
    ("/api/status", "GET", Serves::Status),
    ("/health", "GET", Serves::Health),
    ("/metrics", "GET", Serves::Metrics),
    ("/dashboard", "GET", Serves::Dashboard),
];

/// Where the requests of a batch are served, one by one.
pub const CHAT: &str = "/api/chat/completions";
/// Where batches are served.
pub const BATCH: &str = "/api/chat/completions/batch";

/// What a method does at a path: the path without its query.
pub fn find(method: &str, path: &str) -> Result<Serves, Refusal> {
    match ENDPOINTS.iter().find(|(known, ..)| *known == path) {
        None => Err(Refusal::unknown_path(path)),
        Some((_, allowed, _)) if *allowed != method => Err(Refusal::wrong_method(method, path, allowed)),
        Some((.., serves)) => Ok(*serves),
    }
}

/// The path as a metric's label: one of the endpoints, else `other`.
pub fn label(path: &str) -> &'static str {
    ENDPOINTS.iter().find(|(known, ..)| *known == path).map_or("other", |(known, ..)| known)
}

/// `GET /health`
pub fn health(now: Duration) -> Reply {
    let timestamp = timestamp(now);
    page(|w| {
        w.key("status").string("healthy");
        w.key("timestamp").string(&timestamp);
        w.key("version").string(env!("CARGO_PKG_VERSION"));
    })
}

/// `GET /v1/models`: the models that a key may use and some vendor serves, in OpenAI's shape.
pub fn models(config: &Config, key: &Key) -> Reply {
    let models = config.models.iter().enumerate().filter(|(index, _)| key.models.covers(*index));
    page(|w| {
        w.key("object").string("list");
        w.key("data").array(|w| {
            for (name, hop) in models.filter_map(|(_, model)| Some((&model.name, model.serve.first()?))) {
                w.object(|w| {
                    w.key("id").string(name);
                    w.key("object").string("model");
                    w.key("created").number(0);
                    w.key("owned_by").string(vendor_name(config, hop));
                });
            }
        });
    })
}

/// A time since the Unix epoch as RFC 3339 has it: `2024-01-01T12:00:00.000Z`.
pub fn timestamp(time: Duration) -> String {
    /// The last second that the format can name.
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_millis(UNIX_EPOCH + time.min(LAST)).to_string()
}

/// A page of JSON.
pub fn page(fill: impl FnOnce(&mut Writer)) -> Reply {
    let mut w = Writer::default();
    w.object(fill);
    Reply { status: 200, headers: vec![("content-type", "application/json".into())], body: w.finish() }
}
