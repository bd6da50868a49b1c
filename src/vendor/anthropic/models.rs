//! What Anthropic's models differ in, by the beginning of their names.

/// What a model can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::vendor) struct Model {
    /// The most tokens that it writes in one answer. Anthropic wants a limit in every request, OpenAI's clients rarely
    /// set one and expect none.
    pub(in crate::vendor) most_tokens: u64,
    /// How it is told how hard to think.
    pub(in crate::vendor) thinking: Thinking,
    /// How it is held to JSON.
    pub(in crate::vendor) structured: Structured,
}

/// How a model is held to JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::vendor) enum Structured {
    /// By a tool that takes the answer.
    ByTool,
    /// By a schema in `output_config`.
    Natively,
}

/// How a model is told how hard to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::vendor) enum Thinking {
    /// Not at all.
    None,
    /// With a number of tokens to think in.
    Budget,
    /// With a word.
    Effort,
    /// With a word, and it decides by itself when to think.
    Adaptive,
}

impl Model {
    /// The model of a name, with or without a date at its end.
    pub(in crate::vendor) fn named(name: &str) -> Model {
        let known = MODELS.iter().find(|(start, ..)| name.starts_with(start));
        known.map_or(UNKNOWN, |&(_, most_tokens, thinking, structured)| Model { most_tokens, thinking, structured })
    }
}

/// A limit above the model's own is an error, so a name that is not in the table gets what every model can do.
const UNKNOWN: Model = Model { most_tokens: 4096, thinking: Thinking::None, structured: Structured::ByTool };

/// From Anthropic's public model tables; the first row that fits counts. Where no limit is published for a model, it
/// is the one of its predecessor that is safe.
const MODELS: &[(&str, u64, Thinking, Structured)] = &[
    ("claude-fable-5", 64_000, Thinking::Adaptive, Structured::Natively),
    ("claude-opus-5", 64_000, Thinking::Adaptive, Structured::Natively),
    ("claude-sonnet-5", 128_000, Thinking::Adaptive, Structured::Natively),
    ("claude-opus-4-8", 64_000, Thinking::Adaptive, Structured::Natively),
    ("claude-opus-4-7", 64_000, Thinking::Adaptive, Structured::Natively),
    ("claude-opus-4-6", 128_000, Thinking::Adaptive, Structured::Natively),
    ("claude-sonnet-4-6", 64_000, Thinking::Adaptive, Structured::Natively),
    ("claude-opus-4-5", 64_000, Thinking::Effort, Structured::Natively),
    ("claude-sonnet-4-5", 64_000, Thinking::Budget, Structured::Natively),
    ("claude-haiku-4-5", 64_000, Thinking::Budget, Structured::Natively),
    ("claude-opus-4", 32_000, Thinking::Budget, Structured::ByTool),
    ("claude-sonnet-4", 64_000, Thinking::Budget, Structured::ByTool),
    ("claude-3-7-sonnet", 64_000, Thinking::Budget, Structured::ByTool),
    ("claude-3-5", 8_192, Thinking::None, Structured::ByTool),
    ("claude-3-", 4_096, Thinking::None, Structured::ByTool),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    #[test]
    fn the_first_row_that_fits_counts() {
        for (name, most_tokens, thinking, structured) in [
            ("claude-opus-4-6", 128_000, Thinking::Adaptive, Structured::Natively),
            ("claude-opus-4-5-20251101", 64_000, Thinking::Effort, Structured::Natively),
            ("claude-opus-4-1-20250805", 32_000, Thinking::Budget, Structured::ByTool),
            ("claude-sonnet-4-20250514", 64_000, Thinking::Budget, Structured::ByTool),
            ("claude-3-5-haiku-latest", 8_192, Thinking::None, Structured::ByTool),
            ("claude-3-haiku-20240307", 4_096, Thinking::None, Structured::ByTool),
            ("some-other", 4_096, Thinking::None, Structured::ByTool),
        ] {
            assert_eq!(Model::named(name), Model { most_tokens, thinking, structured }, "{name}");
        }
    }
}
