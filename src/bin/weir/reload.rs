//! `weir reload`: whether the gateway that runs has taken the file that stands here.
//!
//! `weir run` sees by itself that its file has changed. What a person wants besides is to be told: what is wrong with it,
//! or that the gateway runs with it.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use weir::config;

use crate::admin::statistics;
use crate::render::filter_watch;
use crate::run::version;
use crate::site;

/// Checks the file and waits until the gateway runs with it.
pub fn reload(path: &Path) -> Result<String, String> {
    let text = site::text(path)?;
    let config = config::parse_yaml(&text).map_err(|problems| problems.to_string())?;
    let wanted = version(text.as_bytes());
    let asked = Instant::now();
    let mut runs = taken(&config.admin).map_err(|problem| format!("no gateway runs here: {problem}"))?;
    while !runs.starts_with(&wanted) {
        if asked.elapsed() > PATIENCE {
            return Err(format!(
                "the gateway goes on with another configuration ({runs}) than that of {} ({wanted}): its log says why",
                path.display()
            ));
        }
        thread::sleep(TICK);
        runs = taken(&config.admin)?;
    }
    Ok(format!("the gateway runs with {} ({wanted})\n", path.display()))
}

/// The version that the gateway runs with.
fn taken(admin: &config::Admin) -> Result<String, String> {
    let name = format!("{}.version_text", filter_watch()).replace('.', "\\.");
    let found = statistics(admin, &format!("^{name}$"))?;
    Ok(found.into_iter().next().map(|(_, version)| version).unwrap_or_default())
}

/// Longer than `weir run` and Envoy together take for it.
const PATIENCE: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(50);
