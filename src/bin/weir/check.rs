//! `weir check`: everything that is wrong with a configuration, or that nothing is.

use std::path::Path;

use weir::config;

use crate::certificate::Certificate;
use crate::{inspect, site};

/// What a good configuration holds; the error names every mistake in a bad one.
pub fn check(path: &Path, envoy: Option<&Path>) -> Result<String, String> {
    let config = config::parse_yaml(&site::text(path)?).map_err(|problems| problems.to_string())?;
    config.tls.as_ref().map(Certificate::read).transpose()?;
    let vendors = count(config.vendors.len(), "vendor");
    let models = count(config.models.len(), "model");
    let keys = count(config.keys.len(), "key");
    let good = format!("{} is good: {vendors}, {models}, {keys}\n", path.display());
    let out = site::left_out(&config, site::is_there);
    let out = out.iter().map(|out| format!("would be left out: {} ({})\n", out.vendor, out.remedy()));
    let fits = envoy.map(|envoy| inspect::check(envoy, &config)).transpose()?;
    Ok([good].into_iter().chain(out).chain(fits).collect())
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
