//! `weir check --envoy FILE`: what in an Envoy configuration keeps the filter in it from working.
//!
//! Envoy takes many configurations in which Weir is there and does half of its work: a retry that goes to the same
//! vendor again, a vendor without its upstream filter, two filters that do not find each other. Each check below is for one
//! of those. None of them knows the names of listeners, routes or virtual hosts, which are the owner's; all of them know
//! what [`crate::render`] prints, which is right by definition.

mod cluster;
mod listener;
mod node;
mod plugin;

use std::path::Path;

use serde_json::Value;
use weir::config::{Config, Problems};
use weir::metric::LABELS;

use crate::site;
use node::Node;

/// Whether a file fits a configuration; the error names everything that does not, each with its path.
pub fn check(file: &Path, config: &Config) -> Result<String, String> {
    let unreadable = |error: &dyn std::fmt::Display| format!("{} is neither YAML nor JSON: {error}", file.display());
    let envoy: Value = serde_saphyr::from_str(&site::text(file)?).map_err(|error| unreadable(&error))?;
    let problems = problems(&envoy, config);
    if problems.is_empty() { Ok(format!("{} fits\n", file.display())) } else { Err(problems.to_string()) }
}

/// Everything that does not fit.
fn problems(envoy: &Value, config: &Config) -> Problems {
    let root = Node::root(envoy);
    let mut problems = Problems::default();
    whole(&root, &mut problems);
    plugin::plugins(&root, &mut problems);
    let vendors = listener::managers(&root, config, &mut problems);
    cluster::clusters(&root, &vendors, config, &mut problems);
    problems
}

/// What is not a listener's nor a cluster's.
fn whole(root: &Node<'_>, problems: &mut Problems) {
    let inside = root
        .at("static_resources.listeners")
        .items()
        .iter()
        .any(|listener| listener.at("internal_listener").is_there());
    let extensions = root.at("bootstrap_extensions");
    if inside && !extensions.items().iter().any(|extension| extension.name() == "envoy.bootstrap.internal_listener") {
        problems.note(
            &extensions.path,
            "lacks envoy.bootstrap.internal_listener, without which internal listeners are refused",
        );
    }
    let tags = root.at("stats_config.stats_tags");
    let known: Vec<&str> = tags.items().iter().map(|tag| tag.at("tag_name").text()).collect();
    let missing: Vec<&str> = LABELS.into_iter().filter(|label| !known.contains(label)).collect();
    if !missing.is_empty() {
        problems.note(&tags.path, format!("lacks {}: metrics would be without these labels", missing.join(", ")));
    }
    let admin = root.at("admin.address.socket_address.address");
    if admin.text().parse::<std::net::IpAddr>().is_ok_and(|ip| !ip.is_loopback()) {
        problems.note(&admin.path, "can be reached from elsewhere: whoever does can stop Envoy");
    }
}

#[cfg(test)]
mod tests;
