//! `weir check`: everything that is wrong with a configuration, or that nothing is.

use std::path::Path;

use weir::config;

use crate::site;

/// Says what a good configuration holds; the error names every mistake in a bad one.
pub fn check(path: &Path) -> Result<(), String> {
    let config = config::parse_yaml(&site::text(path)?).map_err(|problems| problems.to_string())?;
    let count = |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    println!(
        "{} is good: {}, {}, {}",
        path.display(),
        count(config.vendors.len(), "vendor"),
        count(config.models.len(), "model"),
        count(config.keys.len(), "key")
    );
    for out in site::left_out(&config, site::is_there) {
        println!("would be left out: {} ({})", out.vendor, out.remedy());
    }
    Ok(())
}
