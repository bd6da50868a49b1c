//! Whose model it is, by its id: a name such as `anthropic.claude-haiku-4-5-20251001-v1:0`, the same behind the region of an
//! inference profile (`eu.anthropic.…`), or an ARN that ends in one of these. The ARN of a profile of one's own tells
//! nothing; then a model is told what all models understand.

use crate::vendor::anthropic::models::Model;

/// Who made a model, as far as that changes what it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Anthropic, whose models differ among themselves as they do at home.
    Claude(Model),
    /// Amazon's Nova, from its second generation on: it reasons.
    Nova,
    /// OpenAI's open models: they reason.
    GptOss,
    /// Any other.
    Other,
}

impl Family {
    /// The family of a model's id.
    pub(super) fn of(id: &str) -> Family {
        let name = |start: &str| id.rfind(start).and_then(|at| id.get(at..));
        match (name("claude-"), name("amazon.nova-2"), name("openai.gpt-oss")) {
            (Some(name), ..) => Family::Claude(Model::named(name)),
            (_, Some(_), _) => Family::Nova,
            (.., Some(_)) => Family::GptOss,
            _ => Family::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    #[test]
    fn knows_a_family_by_the_id() {
        let claude = |name| Family::Claude(Model::named(name));
        for (id, family) in [
            ("anthropic.claude-sonnet-4-5-20250929-v1:0", claude("claude-sonnet-4-5")),
            ("eu.anthropic.claude-opus-4-6-v1", claude("claude-opus-4-6")),
            (
                "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-3-5-haiku-20241022-v1:0",
                claude("claude-3-5-haiku"),
            ),
            ("anthropic.claude-v2:1", claude("some-other")),
            ("us.amazon.nova-2-lite-v1:0", Family::Nova),
            ("amazon.nova-pro-v1:0", Family::Other),
            ("openai.gpt-oss-120b-1:0", Family::GptOss),
            ("meta.llama3-3-70b-instruct-v1:0", Family::Other),
            ("arn:aws:bedrock:us-east-1:1:application-inference-profile/a1b2", Family::Other),
        ] {
            assert_eq!(Family::of(id), family, "{id}");
        }
    }
}
