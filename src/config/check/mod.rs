//! From [`Written`] to [`Config`]: every name resolved, every bound held, every problem found.
//!
//! Nothing stops at the first mistake. Each function below notes what is wrong with its part and gives back what is
//! right, so that a reader of `weir check` mends the file once. References are looked up among the names as written: a
//! vendor that is wrong in itself is one problem, not one more in every model that it serves.

mod cache;
mod door;
mod key;
mod limits;
mod model;
mod price;
mod redis;
mod vendor;
mod watch;

use std::net::SocketAddr;
use std::time::Duration;

use super::problem::Problems;
use super::{AccessLog, Admin, Config, Routing, SingleVectors, address, written};
use crate::route::Weights;
use crate::unit::Span;

/// Which of its two forms a configuration has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As people write it.
    File,
    /// As the filter is given it: vendors without a credential are gone, so a model may have nobody left to serve it.
    Rendered,
}

/// Checks everything.
pub fn check(written: &written::Written, form: Form) -> Result<Config, Problems> {
    let mut problems = Problems::default();
    let config = whole(written, form, &mut problems);
    config.filter(|_| problems.is_empty()).ok_or(problems)
}

/// `None` only if a problem was noted. Every section is checked before the first is missed.
fn whole(written: &written::Written, form: Form, problems: &mut Problems) -> Option<Config> {
    let listen = problems.keep("listen", address::listen(&written.listen));
    let admin = problems.keep("admin", written.admin.parse());
    apart(listen, admin.as_ref(), problems);
    let tls = written.tls.as_ref().map(|written| door::tls(written, problems));
    let cors = written.cors.as_ref().map(|written| door::cors(written, problems));
    let trusted_proxies = door::proxies(&written.trusted_proxies, problems);
    let vendors = vendor::vendors(written, form, problems);
    let models = model::models(written, vendors.as_deref(), form, problems);
    let tenants = key::tenants(written, problems);
    let keys = key::keys(written, form, listen, problems);
    let routing = routing(&written.routing, problems);
    let limits = limits::limits(written, problems);
    let redis = written.redis.as_ref().map(|written| redis::redis(written, listen, problems));
    let cache = written.cache.as_ref().map(|written| cache::cache(written, problems));
    let tracing = written.tracing.as_ref().map(|written| watch::tracing(written, problems));
    let config = Config {
        listen: listen?,
        admin: admin?,
        tls: tls.flatten(),
        cors: cors.flatten(),
        trusted_proxies: trusted_proxies?,
        vendors: vendors?,
        models: models?,
        keys: keys?,
        routing: routing?,
        limits: limits?,
        tenants: tenants?,
        redis: redis.flatten(),
        cache,
        single_vectors: match written.embeddings.unwrap_or_default().merge {
            true => SingleVectors::Together,
            false => SingleVectors::Apart,
        },
        access_log: if written.log.unwrap_or_default().access { AccessLog::Written } else { AccessLog::Off },
        tracing: tracing.flatten(),
        metrics: written.metrics.unwrap_or_default().access,
    };
    price::budgets(&config, problems);
    Some(config)
}

fn apart(listen: Option<SocketAddr>, admin: Option<&Admin>, problems: &mut Problems) {
    if let (Some(listen), Some(Admin::Loopback(admin))) = (listen, admin) {
        let same_host = listen.ip() == admin.ip() || listen.ip().is_unspecified();
        if same_host && listen.port() == admin.port() {
            problems.note("admin", "is the same address as listen");
        }
    }
}

fn routing(written: &written::Routing, problems: &mut Problems) -> Option<Routing> {
    let attempts = usize::try_from(written.attempts).ok().filter(|attempts| (1..=10).contains(attempts));
    let routing = Routing {
        attempts: problems.keep("routing.attempts", attempts.ok_or("must be between 1 and 10".to_owned()))?,
        first_token_timeout: timeout("first_token_timeout", written.first_token_timeout, problems),
        answer_timeout: written
            .answer_timeout
            .map_or(ANSWER.min(written.total_timeout.0), |span| timeout("answer_timeout", span, problems)),
        idle_timeout: timeout("idle_timeout", written.idle_timeout, problems),
        total_timeout: timeout("total_timeout", written.total_timeout, problems),
        weights: weights(&written.weights, "routing.weights", problems),
        affinity: written.affinity.0,
        batch_timeout: written
            .batch_timeout
            .map_or(written.total_timeout.0, |span| timeout("batch_timeout", span, problems)),
    };
    for (field, limit) in
        [("first_token_timeout", routing.first_token_timeout), ("answer_timeout", routing.answer_timeout)]
    {
        if limit > routing.total_timeout {
            problems.note(format!("routing.{field}"), "must not be longer than routing.total_timeout");
        }
    }
    if routing.affinity > LONGEST {
        problems.note("routing.affinity", format!("must be at most {}", Span(LONGEST)));
    }
    Some(routing)
}

/// A model that thinks needs a minute or two for an answer of which nothing comes before its end.
const ANSWER: Duration = Duration::from_secs(120);

fn timeout(field: &str, Span(span): Span, problems: &mut Problems) -> Duration {
    if span.is_zero() || span > LONGEST {
        problems.note(format!("routing.{field}"), format!("must be between 1ms and {}", Span(LONGEST)));
    }
    span
}

/// What makes a vendor the better one.
fn weights(written: &written::Weights, at: &str, problems: &mut Problems) -> Weights {
    let written::Weights { cost, success, latency } = *written;
    for (field, weight) in [("cost", cost), ("success", success), ("latency", latency)] {
        if !(0.0..=HEAVIEST).contains(&weight) {
            problems.note(format!("{at}.{field}"), format!("must be between 0 and {HEAVIEST}"));
        }
    }
    Weights { cost, success, latency }
}

/// Of a thousand nobody sees the difference to a million.
const HEAVIEST: f64 = 1000.0;

/// At least one name where there must be one, each well formed and none twice.
fn check_names(section: &str, names: &[&str], extra: &str, problems: &mut Problems) {
    if names.is_empty() && ["vendors", "models"].contains(&section) {
        problems.note(section, "at least one is needed");
    }
    for (i, name) in names.iter().enumerate() {
        let at = format!("{section}[{i}].name");
        if check_name(&at, name, extra, problems)
            && let Some(first) = names.iter().position(|other| other == name).filter(|first| *first < i)
        {
            problems.note(at, format!("is the name of {section}[{first}] too"));
        }
    }
}

/// Whether a name is well formed.
fn check_name(at: &str, name: &str, extra: &str, problems: &mut Problems) -> bool {
    let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c) || extra.contains(c));
    let fine = letters && (1..=LONGEST_NAME).contains(&name.len());
    if name.is_empty() {
        problems.note(at, "missing");
    } else if !fine {
        problems.note(at, format!("must be 1 to {LONGEST_NAME} letters, digits or any of ._-{extra}"));
    }
    fine
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match known.filter(|name| !name.is_empty()).collect::<Vec<_>>().join(", ").as_str() {
        "" => format!("there is no {what} {name:?}"),
        known => format!("there is no {what} {name:?}, only {known}"),
    }
}

/// Beyond letters, digits and `._-`, names of vendors and keys hold nothing.
const PLAIN: &str = "";
/// Names of models are often those of vendors: `meta-llama/llama-3:free@eu`.
const ROUTED: &str = "/:@";
/// Names become metric labels and headers.
const LONGEST_NAME: usize = 64;

/// A request that runs for a day is a mistake of units.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
