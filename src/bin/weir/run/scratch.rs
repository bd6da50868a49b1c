//! A folder that lives as long as the gateway and that nobody but its owner can enter.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The folder; it is removed with all that is in it when this is dropped.
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A new, empty folder.
    pub fn new() -> Result<Scratch, String> {
        let path = std::env::temp_dir().join(format!("weir-{}-{:08x}", std::process::id(), number()?));
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| format!("cannot make the folder {}: {error}", path.display()))?;
        Ok(Scratch { path })
    }

    /// Where a file of this name is, or would be.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a new file.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.file(name);
        let problem = |error| format!("cannot write {}: {error}", path.display());
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(problem)?;
        file.write_all(text.as_bytes()).map_err(problem)?;
        Ok(path)
    }

    /// Puts a file into the place of another, if there is one: whoever looks sees the one or the other, never a half.
    pub fn replace(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let (path, new) = (self.file(name), self.write(&format!("{name}.new"), text)?);
        fs::rename(&new, &path).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(path)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    /// There is nobody left to tell if something cannot be removed; it holds no secret.
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The text of a path that Envoy has to find in its configuration.
pub fn text(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| format!("{} is not UTF-8: set TMPDIR to a folder that is", path.display()))
}

fn number() -> Result<u32, String> {
    getrandom::u32().map_err(|error| format!("this system gives no random numbers: {error}"))
}
