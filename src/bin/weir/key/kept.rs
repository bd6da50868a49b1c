//! Keys in Redis: `weir:key:<sha256>` holds what a key may do, `weir:keys` the digest of each name.
//!
//! The two lie on different nodes of a cluster, so they are not changed at once. The name is taken first and given back
//! last: whatever breaks in between, `revoke NAME` puts it right, and no key works that has no name.

use std::collections::BTreeMap;
use std::path::Path;

use redis::{Cmd, cmd};
use serde_json::Value;
use weir::config::{self, Form, Problems, Written, written};

use crate::redis::Redis;
use crate::site;

/// The keys that a Redis keeps.
pub struct Keys {
    /// The configuration that they are checked against.
    written: Written,
    redis: Redis,
}

impl Keys {
    /// Those of a configuration's Redis.
    pub fn open(path: &Path) -> Result<Keys, String> {
        let written = config::yaml(&site::text(path)?).map_err(|problems| problems.to_string())?;
        let config = config::check(&written, Form::File).map_err(|problems| problems.to_string())?;
        let redis = config.redis.ok_or_else(|| absent(path))?;
        Ok(Keys { written, redis: Redis::open(&redis)? })
    }

    /// Keeps what a key may do, after the same checks as if it stood in the file.
    pub fn add(&mut self, entry: &Value, sha256: &str) -> Result<(), String> {
        check(&self.written, entry, sha256)?;
        let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
        if !self.redis.ask::<bool>(cmd("HSETNX").arg(NAMES).arg(name).arg(sha256))? {
            return Err(format!("there is a key {name} already: `weir key revoke {name}`, or take another name"));
        }
        let kept = self.redis.ask::<()>(cmd("SET").arg(place(sha256)).arg(entry.to_string()));
        if kept.is_err() {
            let _ = self.redis.ask::<()>(&release(name));
        }
        kept
    }

    /// Forgets a key by its name or digest.
    pub fn revoke(&mut self, which: &str) -> Result<String, String> {
        let names = self.names()?;
        let digest = which.to_ascii_lowercase();
        let found = names.iter().find(|(name, sha256)| *name == which || **sha256 == digest);
        let (name, sha256) = match found {
            Some((name, sha256)) => (Some(name.as_str()), sha256.as_str()),
            None => (None, digest.as_str()),
        };
        let gone: u64 = self.redis.ask(cmd("DEL").arg(place(sha256)))?;
        if let Some(name) = name {
            self.redis.ask::<()>(&release(name))?;
        } else if gone == 0 {
            return Err(self.unknown(which));
        }
        Ok(format!("revoked: {}. Gateways may remember it for two seconds.\n", name.unwrap_or(which)))
    }

    /// A table of all keys.
    pub fn list(&mut self) -> Result<String, String> {
        let mut rows = vec![COLUMNS.map(str::to_owned)];
        for (name, sha256) in self.names()? {
            let entry: Option<String> = self.redis.ask(cmd("GET").arg(place(&sha256)))?;
            rows.push(row(&name, &sha256, entry.as_deref()));
        }
        Ok(table(&rows))
    }

    fn names(&mut self) -> Result<BTreeMap<String, String>, String> {
        self.redis.ask(cmd("HGETALL").arg(NAMES))
    }

    fn unknown(&self, which: &str) -> String {
        let in_file = |key: &&written::Key| key.name == which || key.sha256.eq_ignore_ascii_case(which);
        match self.written.keys.iter().find(in_file) {
            Some(key) => format!("the key {} stands in the configuration: take it out there", key.name),
            None => format!("Redis keeps no key {which}; `weir key list` shows those that it does"),
        }
    }
}

/// Checks an entry as the last of the file's `keys`; its problems are told without the path to there.
fn check(written: &Written, entry: &Value, sha256: &str) -> Result<(), String> {
    let mut key = entry.clone();
    if let Value::Object(members) = &mut key {
        members.insert("sha256".to_owned(), sha256.into());
    }
    let at = format!("keys[{}].", written.keys.len());
    let mut written = written.clone();
    written.keys.push(serde_path_to_error::deserialize(key).map_err(|error| error.to_string())?);
    let told = |problems: Problems| {
        let lines = problems.to_string();
        lines.lines().map(|line| line.strip_prefix(&at).unwrap_or(line)).collect::<Vec<_>>().join("\n")
    };
    config::check(&written, Form::File).map(drop).map_err(told)
}

fn place(sha256: &str) -> String {
    format!("weir:key:{sha256}")
}

fn release(name: &str) -> Cmd {
    cmd("HDEL").arg(NAMES).arg(name).to_owned()
}

/// A key without an entry was half added, or half revoked.
fn row(name: &str, sha256: &str, entry: Option<&str>) -> [String; 5] {
    let digest: String = sha256.chars().take(8).collect();
    let Some(entry) = entry else {
        return [name, &digest, "-", "none: revoke it", "-"].map(printable);
    };
    let entry: Value = serde_json::from_str(entry).unwrap_or_default();
    let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or("-");
    let models = entry.get("models").and_then(Value::as_array);
    let models =
        models.map_or("all".to_owned(), |models| models.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","));
    [name, &digest, text("tenant"), &models, text("expires")].map(printable)
}

/// Others may write into Redis, too; what they write does not steer a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn table(rows: &[[String; 5]]) -> String {
    let width = |column: usize| rows.iter().filter_map(|row| Some(row.get(column)?.chars().count())).max().unwrap_or(0);
    let line = |row: &[String; 5]| {
        let cells = row.iter().enumerate().map(|(column, cell)| format!("{cell:width$}", width = width(column)));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

fn absent(path: &Path) -> String {
    format!(
        "{} has no redis, which is where such keys are kept: add\n\n\
         redis: {{urls: [\"redis://127.0.0.1:6379\"]}}\n\n\
         to it, or make a key for the file itself with `weir key`",
        path.display()
    )
}

const NAMES: &str = "weir:keys";
const COLUMNS: [&str; 5] = ["NAME", "SHA256", "TENANT", "MODELS", "EXPIRES"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written() -> Written {
        let yaml = "
vendors: [{name: e, kind: echo}]
models: [{name: m, serve: [{vendor: e}]}]
keys: [{name: taken, sha256: 'a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1'}]
";
        config::yaml(yaml).unwrap()
    }

    #[test]
    fn an_entry_is_checked_like_one_of_the_file() {
        let digest = "b2".repeat(32);
        for (entry, sha256, problem) in [
            (json!({"name": "a", "models": ["m"]}), &digest, ""),
            (json!({"name": "a b"}), &digest, "name: must be 1 to 64 letters, digits or any of ._-"),
            (json!({"name": 7}), &digest, "name: invalid type: integer `7`, expected a string"),
            (json!({"name": "taken"}), &digest, "name: is the name of keys[0] too"),
            (json!({"name": "a"}), &"a1".repeat(32), "sha256: is the digest of keys[0] too"),
            (
                json!({"name": "", "models": ["x"]}),
                &digest,
                "name: missing\nmodels[0]: there is no model \"x\", only m",
            ),
        ] {
            assert_eq!(check(&written(), &entry, sha256).err().unwrap_or_default(), problem, "{entry}");
        }
    }

    #[test]
    fn a_table_has_straight_columns() {
        let entry = r#"{"name":"long-name","models":["m","n"],"tenant":"t","expires":"2027-01-31T00:00:00Z"}"#;
        let rows = [
            COLUMNS.map(str::to_owned),
            row("long-name", &"a1".repeat(32), Some(entry)),
            row("b", &"b2".repeat(32), Some("{}")),
            row("c\u{1b}", &"c3".repeat(32), None),
        ];
        let lines = [
            "NAME       SHA256    TENANT  MODELS           EXPIRES\n",
            "long-name  a1a1a1a1  t       m,n              2027-01-31T00:00:00Z\n",
            "b          b2b2b2b2  -       all              -\n",
            "c?         c3c3c3c3  -       none: revoke it  -\n",
        ];
        assert_eq!(table(&rows), lines.concat());
    }
}
