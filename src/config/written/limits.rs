//! What a key, a tenant, a model or a vendor may use, as it is written.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::limit::Mode;
use crate::unit::Rate;

/// `limits` of a key, a tenant, a model or a vendor.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Rules {
    /// Requests over time.
    ///
    /// Default: no limit
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<Bucket>,
    /// Tokens over time, of prompt and answer together.
    ///
    /// Default: no limit
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Bucket>,
    /// Requests at once, 1 to 1000000: `5`, or with a mode `{max: 5, mode: observe}`.
    ///
    /// Default: no limit
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<Concurrent>,
}

/// `{rate: 60/min, burst: 10, mode: observe}`.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Bucket {
    /// How many over time: `60/min`; must be given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How many may come at once; at most what the rate makes in 31 days.
    ///
    /// Default: what the rate names
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u64>,
    /// `observe` refuses nobody and counts whom it would have refused.
    pub mode: Mode,
}

/// `5`, or `{max: 5, mode: observe}`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Concurrent {
    /// How many.
    pub max: u64,
    /// `observe` refuses nobody and counts whom it would have refused.
    pub mode: Mode,
}

/// `budget_usd` of a key or a tenant, in dollars.
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Budget {
    /// Dollars in an hour of the clock in UTC, up to 1000000.
    ///
    /// Default: no limit
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hour: Option<f64>,
    /// Dollars in a day of the calendar in UTC.
    ///
    /// Default: no limit
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<f64>,
    /// Dollars in a month of the calendar in UTC.
    ///
    /// Default: no limit
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month: Option<f64>,
    /// `observe` refuses nobody and counts whom it would have refused.
    pub mode: Mode,
}

impl<'de> Deserialize<'de> for Concurrent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Concurrent, D::Error> {
        #[derive(Deserialize)]
        struct Long {
            #[serde(default)]
            max: u64,
            #[serde(default)]
            mode: Mode,
        }

        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = Concurrent;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number such as 5, or {max: 5, mode: observe}")
            }

            fn visit_u64<E: de::Error>(self, max: u64) -> Result<Concurrent, E> {
                Ok(Concurrent { max, mode: Mode::default() })
            }

            fn visit_i64<E: de::Error>(self, max: i64) -> Result<Concurrent, E> {
                u64::try_from(max)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(max), &self))
                    .and_then(|max| self.visit_u64(max))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Concurrent, A::Error> {
                let Long { max, mode } = Long::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Concurrent { max, mode })
            }
        }

        deserializer.deserialize_any(Written)
    }
}
