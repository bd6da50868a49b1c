//! A file that lives as long as the gateway and that only its owner can read.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file; it is removed when this is dropped.
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Writes a new file, whose name ends as Envoy wants that of a YAML file to end.
    pub fn write(text: &str) -> Result<Scratch, String> {
        let path = std::env::temp_dir().join(format!("weir-{}-{:08x}.yaml", std::process::id(), number()?));
        let problem = |error| format!("cannot write {}: {error}", path.display());
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(problem)?;
        let written = file.write_all(text.as_bytes()).map_err(problem);
        let scratch = Scratch { path };
        written.map(|()| scratch)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    /// There is nobody left to tell if the file cannot be removed; it holds no secret.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn number() -> Result<u32, String> {
    getrandom::u32().map_err(|error| format!("this system gives no random numbers: {error}"))
}
