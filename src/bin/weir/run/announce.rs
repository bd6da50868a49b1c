//! What a person reads once the gateway is up.

use std::net::SocketAddr;

use serde_json::json;
use sha2::{Digest, Sha256};
use weir::config::{Config, DEMO_KEY, Key, Model};

use crate::certificate::Certificate;
use crate::site::{Cast, Site};

/// Who serves what, what is missing, and a line to try at once.
pub fn ready(site: &Site, certificate: Option<&Certificate>, door: SocketAddr) -> String {
    let way = Way::to(door, certificate);
    let config = &site.config;
    let mut lines = vec![format!("Weir listens on {}", way.url)];
    match site.cast {
        Cast::StandIn => lines.push(STAND_IN.to_owned()),
        Cast::AsWritten => lines.extend(config.models.iter().map(|model| served_by(model, config))),
    }
    lines.extend(site.left_out.iter().map(|out| format!("left out: {} ({})", out.vendor, out.remedy())));
    lines.extend(trial(config, &way));
    lines.join("\n") + "\n"
}

/// How a client comes here.
struct Way {
    url: String,
    /// What curl must be told besides.
    flags: String,
}

impl Way {
    fn to(door: SocketAddr, certificate: Option<&Certificate>) -> Way {
        let Some(certificate) = certificate else {
            return Way { url: format!("http://{door}"), flags: String::new() };
        };
        let there = format!("{}:{}", certificate.host(door), door.port());
        // Where the certificate is for a name, the name need not lead to this machine yet.
        let connect = if there == door.to_string() { String::new() } else { format!(" --connect-to {there}:{door}") };
        let flags = format!(" --cacert {}{connect}", quoted(&certificate.file));
        Way { url: format!("https://{there}"), flags }
    }
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    if word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn served_by(model: &Model, config: &Config) -> String {
    let vendors = model.serve.iter().filter_map(|hop| config.vendors.get(hop.vendor));
    match vendors.map(|vendor| vendor.name.as_str()).collect::<Vec<_>>().join(", ").as_str() {
        "" => format!("{}: served by nobody", model.name),
        vendors => format!("{}: served by {vendors}", model.name),
    }
}

/// With the demo key the line works as it is.
fn trial(config: &Config, way: &Way) -> Option<String> {
    let demo = config.keys.iter().find(|key| is_demo(key));
    let may = |model: usize| demo.is_none_or(|key| key.models.covers(model));
    let (_, model) = config.models.iter().enumerate().find(|(i, model)| may(*i) && !model.serve.is_empty())?;
    let key = if demo.is_some() { DEMO_KEY } else { "YOUR_KEY" };
    let body = json!({"model": model.name, "messages": [{"role": "user", "content": "Hello"}]});
    Some(format!(
        "try it:\n  curl{} {}/api/chat/completions -H 'x-api-key: {key}' -H 'content-type: application/json' -d '{body}'",
        way.flags, way.url
    ))
}

fn is_demo(key: &Key) -> bool {
    key.sha256 == <[u8; 32]>::from(Sha256::digest(DEMO_KEY))
}

const STAND_IN: &str = "no vendor has a credential: the built-in echo vendor answers for all models";
