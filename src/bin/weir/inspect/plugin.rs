//! The filter, wherever it is loaded.

use serde_json::Value;
use weir::config::Problems;

use super::node::Node;
use crate::render::capability;

/// The filter in one of its roles.
pub struct Plugin<'v> {
    /// Where its `config` is.
    pub config: Node<'v>,
    /// What it was told.
    pub told: Value,
}

impl<'v> Plugin<'v> {
    /// The plugin, if this extension is one of Weir's.
    pub fn of(filter: &Node<'v>) -> Option<Plugin<'v>> {
        let config = filter.at("typed_config.config");
        let told: Value = serde_json::from_str(config.at("configuration.value").text()).ok()?;
        (filter.is_a("Wasm") && told.get("role").is_some()).then_some(Plugin { config, told })
    }

    /// Its role.
    pub fn role(&self) -> &str {
        self.told.get("role").and_then(Value::as_str).unwrap_or_default()
    }

    /// The vendor that it translates for.
    pub fn vendor(&self) -> &str {
        self.told.get("vendor").and_then(Value::as_str).unwrap_or_default()
    }
}

/// What holds for each, and for all together.
pub fn plugins(root: &Node<'_>, problems: &mut Problems) {
    let plugins: Vec<Plugin<'_>> = root.all().iter().filter_map(Plugin::of).collect();
    let machine = plugins.first().map(|plugin| plugin.config.at("vm_config"));
    for Plugin { config, .. } in &plugins {
        let policy = config.at("failure_policy");
        match policy.text() {
            "FAIL_RELOAD" => {}
            "FAIL_OPEN" => problems.note(&policy.path, "lets everybody in after a trap; must be FAIL_RELOAD"),
            _ => problems.note(&policy.path, "must be FAIL_RELOAD, or nobody is served any more after a trap"),
        }
        let holds = config.at("allow_on_headers_stop_iteration");
        if holds.value != &Value::Bool(true) {
            problems.note(&holds.path, "must be true, or every request hangs");
        }
        capabilities(&config.at("capability_restriction_config.allowed_capabilities"), problems);
        let vm = config.at("vm_config");
        if let Some(first) = machine.as_ref().filter(|first| first.value != vm.value) {
            problems
                .note(&vm.path, format!("differs from {}: the two would not find each other's requests", first.path));
        }
    }
}

/// Without a list the filter may do everything; with one it needs all of these.
fn capabilities(allowed: &Node<'_>, problems: &mut Problems) {
    let lacking = |name: &&&str| allowed.value.get(**name).is_none();
    if allowed.members().is_empty() {
        return;
    }
    for name in capability::ALLOWED.iter().filter(lacking) {
        problems.note(&allowed.path, format!("lacks {name}: the filter would not do what it should"));
    }
}
