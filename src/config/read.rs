//! From text to [`Written`](super::written): the same code for YAML and JSON, which finds every unknown key.
//!
//! An unknown key is an error, because a mistyped limit that is silently ignored is a limit that is not there. All of
//! them are reported, with their paths, and do not keep the rest from being checked; a value of the wrong type does.

use std::fmt::Display;

use serde::{Deserialize, Deserializer};
use serde_ignored::Path;
use serde_path_to_error::Track;
#[cfg(not(target_family = "wasm"))]
use serde_saphyr::UserMessageFormatter;

use super::problem::Problems;
use super::written::Written;

/// What was read, the whole file or a part of it, and the unknown keys in it.
pub type Reading<T = Written> = (T, Problems);

/// Reads YAML. What is no YAML, or of the wrong type, is reported with its line and column.
#[cfg(not(target_family = "wasm"))]
pub fn yaml(text: &str) -> Result<Reading, Problems> {
    let explain = |error: &serde_saphyr::Error| error.without_snippet().render_with_formatter(&UserMessageFormatter);
    let mut problems = Problems::default();
    let written = serde_saphyr::with_deserializer_from_str(text, |de| Ok(mirror(de, &mut problems, explain)));
    match written {
        Ok(Some(written)) => Ok((written, problems)),
        Ok(None) => Err(problems),
        Err(error) if problems.is_empty() => Err(Problems::one("", explain(&error))),
        Err(_) => Err(problems),
    }
}

/// Reads JSON.
pub fn json<'j, T: Deserialize<'j>>(bytes: &'j [u8]) -> Result<Reading<T>, Problems> {
    let mut problems = Problems::default();
    let mut de = serde_json::Deserializer::from_slice(bytes);
    let written = mirror(&mut de, &mut problems, serde_json::Error::to_string);
    if written.is_some() {
        problems.keep("", de.end().map_err(|error| error.to_string()));
    }
    match written {
        Some(written) => Ok((written, problems)),
        None => Err(problems),
    }
}

/// The mirror, unless a value has the wrong type; that and all unknown keys are noted.
fn mirror<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    de: D,
    problems: &mut Problems,
    explain: impl Fn(&D::Error) -> String,
) -> Option<T> {
    let mut track = Track::new();
    let de = serde_path_to_error::Deserializer::new(de, &mut track);
    let written = serde_ignored::deserialize(de, |path| problems.note(dotted(&path), "unknown key"));
    written.map_err(|error| mistyped(track.path(), explain(&error), problems)).ok()
}

fn mistyped(path: impl Display, text: String, problems: &mut Problems) {
    match path.to_string().as_str() {
        "." | "?" => problems.note("", text),
        path if path.contains(".credential") || path.contains(".password") => problems.note(path, NOT_HERE),
        path => problems.note(path, text),
    }
}

/// `serde_ignored` writes `vendors.0.?.env`; people write `vendors[0].env`.
fn dotted(path: &Path<'_>) -> String {
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", dotted(parent)),
        Path::Map { parent, key } => match dotted(parent) {
            above if above.is_empty() => key.clone(),
            above => format!("{above}.{key}"),
        },
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => dotted(parent),
    }
}

/// The parsers quote the value they stumble over, and here that may be a secret.
const NOT_HERE: &str = "must be {env: NAME} or {file: /path}; the secret itself does not belong into this file";
