//! What Gemini's models differ in, by the beginning of their names.

/// What a model can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Model {
    /// How it wants schemas.
    pub(super) schema: Schema,
    /// How it is told how hard to think.
    pub(super) thinking: Thinking,
    /// Whether it takes a call back only with the signature of its thoughts.
    pub(super) signature: Signature,
}

/// How a model wants the schemas of tools and of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Schema {
    /// JSON Schema as it is.
    Json,
    /// Google's subset of OpenAPI's.
    Subset,
}

/// How a model is told how hard to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thinking {
    /// Not at all.
    None,
    /// With a number of tokens to think in, this one at least.
    Budget(u64),
    /// With one of `low` and `high`.
    TwoLevels,
    /// With one of `low`, `medium` and `high`.
    ThreeLevels,
    /// With one of `minimal`, `low`, `medium` and `high`.
    FourLevels,
}

/// Whether a model takes a call back only with the signature of its thoughts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signature {
    /// It does.
    Demanded,
    /// It is glad of one.
    Optional,
}

impl Model {
    /// The model of a name, with or without a version at its end.
    pub(super) fn named(name: &str) -> Model {
        let name = name.strip_prefix("models/").unwrap_or(name);
        MODELS.iter().find(|(start, _)| name.starts_with(start)).map_or(UNKNOWN, |(_, model)| *model)
    }
}

const fn old(thinking: Thinking, schema: Schema) -> Model {
    Model { schema, thinking, signature: Signature::Optional }
}

const fn new(thinking: Thinking) -> Model {
    Model { schema: Schema::Json, thinking, signature: Signature::Demanded }
}

/// A name that is not in the table is most often an alias of the newest model, or a model newer than the table.
const UNKNOWN: Model = new(Thinking::None);

/// From Google's pages on thinking, thought signatures and structured output; the first row that fits counts.
const MODELS: &[(&str, Model)] = &[
    ("gemini-1", old(Thinking::None, Schema::Subset)),
    ("gemini-2.0", old(Thinking::None, Schema::Subset)),
    ("gemini-2.5-pro", old(Thinking::Budget(128), Schema::Json)),
    ("gemini-2.5-flash-image", old(Thinking::None, Schema::Json)),
    ("gemini-2.5", old(Thinking::Budget(0), Schema::Json)),
    ("gemini-3-pro", new(Thinking::TwoLevels)),
    ("gemini-3.1-pro", new(Thinking::ThreeLevels)),
    ("gemini-3", new(Thinking::FourLevels)),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    #[test]
    fn the_first_row_that_fits_counts() {
        for (name, expected) in [
            ("gemini-1.5-flash-8b", old(Thinking::None, Schema::Subset)),
            ("gemini-2.0-flash", old(Thinking::None, Schema::Subset)),
            ("gemini-2.5-pro-preview-06-05", old(Thinking::Budget(128), Schema::Json)),
            ("gemini-2.5-flash-lite", old(Thinking::Budget(0), Schema::Json)),
            ("models/gemini-3-pro-preview", new(Thinking::TwoLevels)),
            ("gemini-3.1-pro-preview", new(Thinking::ThreeLevels)),
            ("gemini-3.6-flash", new(Thinking::FourLevels)),
            ("gemini-flash-latest", UNKNOWN),
        ] {
            assert_eq!(Model::named(name), expected, "{name}");
        }
    }
}
