//! The list of all formats: the names of those with a page of their own, and the rows of those that speak OpenAI's.
//!
//! A row says how a vendor differs from OpenAI; what it does not say is OpenAI's. Where the facts come from stands above
//! it. A row refuses what would change the answer if it went missing, and leaves out what would not.

use super::openai::fix::asks;
use super::openai::{Answers, CallIds, Compatible, Counts, Ending, Fix, Fixes, Nulls, OPENAI, Reasoning, Requests};
use super::{Format, Home, anthropic, azure, bedrock, echo, gemini};
use crate::chat::Task;
use crate::chat::answer::Finish;

/// Every format, in the order of the documentation.
pub static FORMATS: &[&dyn Format] = &[
    &OPENAI,
    &azure::Azure,
    &anthropic::Anthropic,
    &gemini::Gemini,
    &bedrock::Bedrock,
    // Errors of its API name each field that it does not know ("Extra inputs are not permitted"), max_completion_tokens,
    // metadata, a message's name and its reasoning_content among them; its SDK's ChatCompletionRequest and
    // EmbeddingRequest list those that it does. Streams count unasked; the rest of the answer as recorded.
    &Compatible {
        kind: "mistral",
        provider: Some("mistral_ai"),
        home: Home::Hosted("https://api.mistral.ai/v1"),
        counts: Counts::Always,
        requests: Requests {
            chat: MISTRAL_CHAT,
            messages: MISTRAL_MESSAGES,
            embeddings: MISTRAL_EMBEDDINGS,
            nulls: Nulls::Mistake,
            call_ids: CallIds::Nine,
        },
        answers: Some(Answers {
            reasoning: Reasoning::Parts,
            endings: &[("model_length", Ending::As(Finish::Length)), ("error", Ending::Broken)],
            ..Answers::USUAL
        }),
        ..OPENAI
    },
    // console.groq.com/docs/openai names what ends in a 400; roles and `reasoning` as in its SDK; x_groq as recorded.
    &Compatible {
        kind: "groq",
        home: Home::Hosted("https://api.groq.com/openai/v1"),
        tasks: &[Task::Chat],
        requests: Requests {
            chat: &[
                ("n", Fix::Refused(asks::several)),
                ("logprobs", Fix::Refused(asks::something)),
                ("top_logprobs", Fix::Refused(asks::something)),
                ("logit_bias", Fix::Refused(asks::something)),
                ("metadata", Fix::LeftOut),
                ("store", Fix::LeftOut),
            ],
            messages: &[SYSTEM, ("name", Fix::LeftOut), REASONING],
            ..Requests::AS_RECEIVED
        },
        answers: Some(Answers {
            reasoning: Reasoning::Member("reasoning"),
            usage_within: Some("x_groq"),
            ..Answers::USUAL
        }),
        ..OPENAI
    },
    // api-docs.deepseek.com/api/create-chat-completion: the fields there are all there are, others are ignored without a
    // word; response_format is text or json_object; an answer may end for want of resources.
    &Compatible {
        kind: "deepseek",
        home: Home::Hosted("https://api.deepseek.com"),
        tasks: &[Task::Chat],
        requests: Requests {
            chat: &[
                MAX_TOKENS,
                ("n", Fix::Refused(asks::several)),
                ("logit_bias", Fix::Refused(asks::something)),
                ("response_format", Fix::Bounded(asks::a_schema)),
            ],
            messages: &[SYSTEM],
            ..Requests::AS_RECEIVED
        },
        answers: Some(Answers {
            endings: &[("insufficient_system_resource", Ending::Broken)],
            cached: Some("prompt_cache_hit_tokens"),
            ..Answers::USUAL
        }),
        ..OPENAI
    },
    // docs.x.ai: OpenAI's fields; embeddings are not among its endpoints.
    &Compatible {
        kind: "xai",
        provider: Some("x_ai"),
        home: Home::Hosted("https://api.x.ai/v1"),
        tasks: &[Task::Chat],
        answers: Some(Answers::USUAL),
        ..OPENAI
    },
    // docs.together.ai/docs/inference/openai-compatibility. In its SDK logprobs is a number, and comes back in another
    // shape; a natural end is `eos`.
    &Compatible {
        kind: "together",
        home: Home::Hosted("https://api.together.ai/v1"),
        requests: Requests {
            chat: &[
                MAX_TOKENS,
                ("logprobs", Fix::Refused(asks::something)),
                ("top_logprobs", Fix::Refused(asks::something)),
            ],
            ..Requests::AS_RECEIVED
        },
        answers: Some(Answers {
            reasoning: Reasoning::Member("reasoning"),
            endings: &[("eos", Ending::As(Finish::Stop))],
            ..Answers::USUAL
        }),
        ..OPENAI
    },
    // docs.fireworks.ai/tools-sdks/openai-compatibility: a stream's last chunk has the usage, asked for or not. The
    // reference of chat completions knows max_tokens, and the roles system, user and assistant.
    &Compatible {
        kind: "fireworks",
        home: Home::Hosted("https://api.fireworks.ai/inference/v1"),
        counts: Counts::Always,
        requests: Requests { chat: &[MAX_TOKENS], messages: &[SYSTEM], ..Requests::AS_RECEIVED },
        answers: Some(Answers::USUAL),
        ..OPENAI
    },
    // openrouter.ai/docs: a stream always ends with the usage; an answer whose vendor failed ends with `error`.
    &Compatible {
        kind: "openrouter",
        home: Home::Hosted("https://openrouter.ai/api/v1"),
        counts: Counts::Always,
        requests: Requests { messages: &[REASONING], ..Requests::AS_RECEIVED },
        answers: Some(Answers {
            reasoning: Reasoning::Member("reasoning"),
            endings: &[("error", Ending::Broken)],
            ..Answers::USUAL
        }),
        ..OPENAI
    },
    // docs.ollama.com/api/openai-compatibility, and openai/openai.go of its source: fields that it does not read are
    // ignored without a word.
    &Compatible {
        kind: "ollama",
        home: Home::Local("http://127.0.0.1:11434/v1"),
        requests: Requests {
            chat: &[
                MAX_TOKENS,
                ("n", Fix::Refused(asks::several)),
                ("logit_bias", Fix::Refused(asks::something)),
                ("tool_choice", Fix::Refused(asks::a_choice)),
                ("parallel_tool_calls", Fix::Refused(asks::one_at_a_time)),
            ],
            messages: &[SYSTEM, REASONING],
            ..Requests::AS_RECEIVED
        },
        answers: Some(Answers { reasoning: Reasoning::Member("reasoning"), ..Answers::USUAL }),
        ..OPENAI
    },
    // docs.vllm.ai, "OpenAI-compatible server": OpenAI's fields and more. Newer versions say `reasoning`, older ones
    // `reasoning_content`.
    &Compatible {
        kind: "vllm",
        home: Home::Local("http://127.0.0.1:8000/v1"),
        answers: Some(Answers { reasoning: Reasoning::Member("reasoning"), ..Answers::USUAL }),
        ..OPENAI
    },
    &echo::Echo,
];

/// Who does not know `max_completion_tokens` knows what it replaced; both count everything that the model writes.
const MAX_TOKENS: (&str, Fix) = ("max_completion_tokens", Fix::Named("max_tokens"));
/// `developer` is OpenAI's newer name for `system`.
const SYSTEM: (&str, Fix) = ("role", Fix::Words(&[("developer", "system")]));
/// What a client was given as `reasoning_content` goes back under the vendor's own name.
const REASONING: (&str, Fix) = ("reasoning_content", Fix::Named("reasoning"));

const MISTRAL_CHAT: Fixes = &[
    MAX_TOKENS,
    ("seed", Fix::Named("random_seed")),
    ("tool_choice", Fix::Words(&[("required", "any")])),
    ("logprobs", Fix::Refused(asks::something)),
    ("top_logprobs", Fix::Refused(asks::something)),
    ("logit_bias", Fix::Refused(asks::something)),
    ("modalities", Fix::Refused(asks::more_than_text)),
    ("audio", Fix::Refused(asks::something)),
    ("web_search_options", Fix::Refused(asks::always)),
    ("moderation", Fix::Refused(asks::blocking)),
    ("functions", Fix::Refused(asks::something)),
    ("function_call", Fix::Refused(asks::a_call)),
    ("stream_options", Fix::LeftOut),
    ("user", Fix::LeftOut),
    ("safety_identifier", Fix::LeftOut),
    ("metadata", Fix::LeftOut),
    ("store", Fix::LeftOut),
    ("service_tier", Fix::LeftOut),
    ("verbosity", Fix::LeftOut),
    ("prompt_cache_key", Fix::LeftOut),
    ("prompt_cache_retention", Fix::LeftOut),
    ("prompt_cache_options", Fix::LeftOut),
];

const MISTRAL_MESSAGES: Fixes = &[
    SYSTEM,
    ("name", Fix::LeftOut),
    ("annotations", Fix::LeftOut),
    ("reasoning_content", Fix::LeftOut),
    ("refusal", Fix::Refused(asks::something)),
    ("audio", Fix::Refused(asks::something)),
    ("function_call", Fix::Refused(asks::always)),
];

const MISTRAL_EMBEDDINGS: Fixes =
    &[("dimensions", Fix::Named("output_dimension")), ("input", Fix::Bounded(asks::tokens)), ("user", Fix::LeftOut)];
