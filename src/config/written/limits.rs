//! What a key, a tenant, a model or a vendor may use, as it is written.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::limit::Mode;
use crate::unit::Rate;

/// `limits` of a key, a tenant, a model or a vendor.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Rules {
    /// Requests over time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<Bucket>,
    /// Tokens over time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Bucket>,
    /// Requests at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<Concurrent>,
}

/// `{rate: 60/min, burst: 10, mode: observe}`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Bucket {
    /// How fast it fills.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How much it holds; as much as the rate names if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u64>,
    /// Whether it refuses.
    pub mode: Mode,
}

/// `5`, or `{max: 5, mode: observe}`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Concurrent {
    /// How many.
    pub max: u64,
    /// Whether it refuses.
    pub mode: Mode,
}

/// `budget_usd` of a key or a tenant, in dollars.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Budget {
    /// In an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hour: Option<f64>,
    /// In a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<f64>,
    /// In a month.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month: Option<f64>,
    /// Whether it refuses.
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
