//! run
use std::path::Path;
/// run
pub fn run(_: &Path, _: &str, _: Option<u32>) -> Result<(), String> {
    Ok(())
}
