//! What a key may do, from the flags of the command line to an entry as `keys` in `weir.yaml` has them.

use std::time::SystemTime;

use clap::Args;
use serde_json::{Map, Value, json};

/// The flags. What is wrong with them, and does not show here, the check of the configuration finds.
#[derive(Args, Default)]
pub struct Entry {
    /// The key's name in logs; no two keys have the same
    #[arg(long)]
    name: String,
    /// The tenant that it belongs to
    #[arg(long)]
    tenant: Option<String>,
    /// The models that it may use, with commas between; all if absent
    #[arg(long, value_delimiter = ',')]
    models: Option<Vec<String>>,
    /// The vendors that may serve it, with commas between; all if absent
    #[arg(long, value_delimiter = ',')]
    vendors: Option<Vec<String>>,
    /// When it expires: 2027-01-31T00:00:00Z, or from now on, such as 90d
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// Let it look behind the scenes
    #[arg(long)]
    admin: bool,
    /// Requests over time, and how many may come at once: 60/min or 60/min:10
    #[arg(long, value_name = "RATE[:BURST]")]
    requests: Option<String>,
    /// Tokens over time, of prompts and answers together: 100000/min
    #[arg(long, value_name = "RATE[:BURST]")]
    tokens: Option<String>,
    /// Requests at once
    #[arg(long, value_name = "NUMBER")]
    concurrent: Option<u64>,
    /// Dollars per hour of the clock, in UTC like the two below
    #[arg(long, value_name = "USD")]
    budget_hour: Option<f64>,
    /// Dollars per day
    #[arg(long, value_name = "USD")]
    budget_day: Option<f64>,
    /// Dollars per month
    #[arg(long, value_name = "USD")]
    budget_month: Option<f64>,
}

impl Entry {
    /// One of `keys`, without its digest.
    pub fn to_json(&self) -> Result<Value, String> {
        let limits = object([
            ("requests", self.requests.as_deref().map(bucket).transpose()?),
            ("tokens", self.tokens.as_deref().map(bucket).transpose()?),
            ("concurrent", self.concurrent.map(Value::from)),
        ]);
        let budget = object([
            ("hour", self.budget_hour.map(Value::from)),
            ("day", self.budget_day.map(Value::from)),
            ("month", self.budget_month.map(Value::from)),
        ]);
        let expires = self.expires.as_deref().map(|text| moment(text, SystemTime::now()));
        let entry = object([
            ("name", Some(json!(self.name))),
            ("tenant", self.tenant.as_ref().map(|tenant| json!(tenant))),
            ("models", self.models.as_ref().map(|models| json!(models))),
            ("vendors", self.vendors.as_ref().map(|vendors| json!(vendors))),
            ("expires", expires.map(Value::from)),
            ("admin", self.admin.then_some(Value::Bool(true))),
            ("limits", limits),
            ("budget_usd", budget),
        ]);
        Ok(entry.unwrap_or_default())
    }
}

/// The members that are there; `None` if none is.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Option<Value> {
    let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let object: Map<String, Value> = members.collect();
    (!object.is_empty()).then_some(Value::Object(object))
}

/// `60/min`, or `60/min:10`.
fn bucket(text: &str) -> Result<Value, String> {
    let Some((rate, burst)) = text.split_once(':') else {
        return Ok(json!({"rate": text}));
    };
    let burst: u64 = burst.parse().map_err(|_| format!("{text:?}: what follows the colon must be a whole number"))?;
    Ok(json!({"rate": rate, "burst": burst}))
}

/// A length of time becomes the moment at its end. What is none is left to the check.
fn moment(text: &str, now: SystemTime) -> String {
    let end = humantime::parse_duration(text).ok().and_then(|length| now.checked_add(length));
    end.map_or_else(|| text.to_owned(), |end| humantime::format_rfc3339_seconds(end).to_string())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn flags_become_an_entry() {
        let entry = Entry { name: "a".to_owned(), ..Entry::default() };
        assert_eq!(entry.to_json().unwrap(), json!({"name": "a"}));
        let entry = Entry {
            name: "a".to_owned(),
            tenant: Some("t".to_owned()),
            models: Some(vec!["m".to_owned(), "n".to_owned()]),
            expires: Some("2027-01-31T00:00:00Z".to_owned()),
            admin: true,
            requests: Some("60/min:10".to_owned()),
            tokens: Some("1000/h".to_owned()),
            concurrent: Some(3),
            budget_day: Some(5.5),
            ..Entry::default()
        };
        let expected = json!({
            "name": "a", "tenant": "t", "models": ["m", "n"], "expires": "2027-01-31T00:00:00Z", "admin": true,
            "limits": {"requests": {"rate": "60/min", "burst": 10}, "tokens": {"rate": "1000/h"}, "concurrent": 3},
            "budget_usd": {"day": 5.5},
        });
        assert_eq!(entry.to_json().unwrap(), expected);
        assert!(bucket("60/min:x").unwrap_err().contains("whole number"));
    }

    #[test]
    fn a_length_of_time_is_from_now_on() {
        let now = UNIX_EPOCH + Duration::from_secs(1_704_110_400);
        assert_eq!(moment("90d", now), "2024-03-31T12:00:00Z");
        assert_eq!(moment("2027-01-31T00:00:00Z", now), "2027-01-31T00:00:00Z");
        assert_eq!(moment("soon", now), "soon");
    }
}
