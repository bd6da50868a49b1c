//! A request: the client's own bytes, checked once.
//!
//! What is checked is what every vendor agrees on and what a gateway must not pass on unseen: the JSON itself, the
//! fields that decide routing, the type and range of each documented scalar, and the outline of each message or input.
//! Unknown fields are left alone. An explicit null means "default" everywhere but in `model`, `messages` and `input`.
//! Source of the ranges: OpenAI's specification of `CreateChatCompletionRequest` and `CreateEmbeddingRequest`.

use super::embeddings;
use crate::json::{Doc, Kind, Value};
use crate::refusal::Refusal;

/// A request that passed every check.
#[derive(Debug)]
pub struct Request {
    doc: Doc,
    model: String,
    task: Task,
    delivery: Delivery,
    origin: Origin,
}

/// In which words a client asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// In OpenAI's: the request is the client's own bytes.
    AsSent,
    /// In those of Anthropic's Messages: the request is what they [became](crate::dialect).
    Messages,
}

/// What a model is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// To go on with a conversation.
    Chat,
    /// To make vectors of texts.
    Embeddings,
}

impl Task {
    /// The end of the path under which OpenAI, and whoever speaks its format, does it.
    pub fn path(self) -> &'static str {
        match self {
            Task::Chat => "/chat/completions",
            Task::Embeddings => "/embeddings",
        }
    }

    /// OpenTelemetry's name for it.
    pub fn operation(self) -> &'static str {
        match self {
            Task::Chat => "chat",
            Task::Embeddings => "embeddings",
        }
    }

    /// The name for it, in messages.
    pub fn name(self) -> &'static str {
        match self {
            Task::Chat => "chat completions",
            Task::Embeddings => "embeddings",
        }
    }
}

/// How the client wants its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// One JSON body.
    Whole,
    /// Server-sent events; with a last chunk that carries the usage, if `usage`.
    Stream {
        /// `stream_options.include_usage`
        usage: bool,
    },
}

impl Request {
    /// Parses and checks the body of a chat request.
    pub fn parse(body: Vec<u8>) -> Result<Request, Refusal> {
        Request::read(Task::Chat, body)
    }

    /// Parses and checks a body. The refusal names the first field that is wrong.
    pub fn read(task: Task, body: Vec<u8>) -> Result<Request, Refusal> {
        if body.iter().all(u8::is_ascii_whitespace) {
            let what = if task == Task::Chat { "messages" } else { "input" };
            let message = format!("the request has no body; send a JSON object with model and {what}");
            return Err(Refusal::malformed(message));
        }
        let doc = Doc::parse(body).map_err(|e| Refusal::malformed(format!("the body is not acceptable JSON: {e}")))?;
        let root = doc.root();
        if !root.is_object() {
            return Err(Refusal::malformed("the body must be a JSON object"));
        }
        let model = check_model(root)?;
        let delivery = match task {
            Task::Chat => {
                check_messages(root)?;
                check_fields(root, FIELDS)?;
                delivery(root)?
            }
            Task::Embeddings => {
                embeddings::check(root)?;
                check_fields(root, embeddings::FIELDS)?;
                Delivery::Whole
            }
        };
        Ok(Request { doc, model, task, delivery, origin: Origin::AsSent })
    }

    /// Reads what became of a request in Anthropic's words.
    pub fn of_messages(body: Vec<u8>) -> Result<Request, Refusal> {
        Ok(Request { origin: Origin::Messages, ..Request::read(Task::Chat, body)? })
    }

    /// The whole body as a cursor.
    pub fn root(&self) -> Value<'_> {
        self.doc.root()
    }

    /// The body, exactly as the client sent it if that was in OpenAI's words.
    pub fn body(&self) -> &[u8] {
        self.doc.text().as_bytes()
    }

    /// The model that the client asked for.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// In which words the client asked.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// What the model is asked to do.
    pub fn task(&self) -> Task {
        self.task
    }

    /// How the client wants its answer; embeddings always whole.
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// The most tokens that the client lets one choice of the answer have, if it says.
    pub fn most_tokens(&self) -> Option<u64> {
        let number = |name: &str| self.root().given(name).and_then(Value::as_u64);
        number("max_completion_tokens").or_else(|| number("max_tokens"))
    }

    /// The messages, each an object with a known role; at least one if it is a chat request.
    pub fn messages(&self) -> impl Iterator<Item = Value<'_>> {
        let messages = self.root().get("messages").filter(|_| self.task == Task::Chat);
        messages.into_iter().flat_map(Value::items)
    }
}

fn check_model(root: Value<'_>) -> Result<String, Refusal> {
    match root.get("model").map(|model| (model.as_str(), model)) {
        None => Err(Refusal::invalid("model", "is required")),
        Some((None, _)) => Err(Refusal::invalid("model", "must be a string")),
        Some((Some(model), _)) if model.is_empty() => Err(Refusal::invalid("model", "must not be empty")),
        Some((Some(model), _)) => Ok(model.into_owned()),
    }
}

fn check_fields(root: Value<'_>, fields: &[(&'static str, Rule)]) -> Result<(), Refusal> {
    for (name, value) in root.members().filter(|(_, value)| !value.is_null()) {
        if let Some((field, rule)) = fields.iter().find(|(field, _)| *field == name) {
            rule.check(value).map_err(|must| Refusal::invalid(*field, &must))?;
        }
    }
    Ok(())
}

fn check_messages(root: Value<'_>) -> Result<(), Refusal> {
    let Some(messages) = root.get("messages") else {
        return Err(Refusal::invalid("messages", "is required"));
    };
    if !messages.is_array() {
        return Err(Refusal::invalid("messages", "must be an array of messages"));
    }
    if messages.is_empty() {
        return Err(Refusal::invalid("messages", "must hold at least one message"));
    }
    for (i, message) in messages.items().enumerate() {
        check_message(message).map_err(|(field, must)| Refusal::invalid(format!("messages[{i}]{field}"), must))?;
    }
    Ok(())
}

/// The field that is wrong, as the end of a path, and what it must be.
fn check_message(message: Value<'_>) -> Result<(), (&'static str, &'static str)> {
    if !message.is_object() {
        return Err(("", "must be an object with role and content"));
    }
    let role = message.text("role").ok_or((".role", "is required and must be a string"))?;
    let content = message.given("content");
    match (&*role, content.map(Value::kind)) {
        ("assistant" | "function", None) => {}
        ("developer" | "system" | "user" | "tool", None) => return Err((".content", "is required")),
        ("developer" | "system" | "user" | "tool" | "assistant" | "function", Some(kind)) => {
            if !matches!(kind, Kind::Plain | Kind::Escaped | Kind::Array) {
                return Err((".content", "must be a string or an array of parts"));
            }
        }
        _ => return Err((".role", "must be developer, system, user, assistant, tool or function")),
    }
    if content.is_some_and(|content| content.items().any(|part| part.text("type").is_none())) {
        return Err((".content", "each part must be an object with a type"));
    }
    if role == "tool" && message.text("tool_call_id").is_none() {
        return Err((".tool_call_id", "is required in a tool message"));
    }
    if message.given("tool_calls").is_some_and(|calls| !calls.is_array() || calls.items().any(|c| !c.is_object())) {
        return Err((".tool_calls", "must be an array of objects"));
    }
    Ok(())
}

fn delivery(root: Value<'_>) -> Result<Delivery, Refusal> {
    let stream = root.given("stream").and_then(Value::as_bool).unwrap_or(false);
    let options = root.given("stream_options");
    if options.is_some() && !stream {
        return Err(Refusal::invalid("stream_options", "is only allowed when stream is true"));
    }
    if !stream {
        return Ok(Delivery::Whole);
    }
    match options.and_then(|options| options.given("include_usage")).map(|usage| usage.as_bool()) {
        None => Ok(Delivery::Stream { usage: false }),
        Some(Some(usage)) => Ok(Delivery::Stream { usage }),
        Some(None) => Err(Refusal::invalid("stream_options.include_usage", "must be a boolean")),
    }
}

/// What a documented field may be.
pub(super) enum Rule {
    Bool,
    False,
    OneOf(&'static [&'static str]),
    Text,
    Object,
    List(usize),
    Number(f64, f64),
    Integer(u64, u64),
    Whole,
    Stop,
}

/// The documented fields with a type or range that every vendor shares. Those of one vendor only are that vendor's.
const FIELDS: &[(&str, Rule)] = &[
    ("stream", Rule::Bool),
    ("stream_options", Rule::Object),
    ("max_completion_tokens", Rule::Integer(1, MOST_TOKENS)),
    ("max_tokens", Rule::Integer(1, MOST_TOKENS)),
    ("temperature", Rule::Number(0.0, 2.0)),
    ("top_p", Rule::Number(0.0, 1.0)),
    ("n", Rule::Integer(1, 128)),
    ("stop", Rule::Stop),
    ("presence_penalty", Rule::Number(-2.0, 2.0)),
    ("frequency_penalty", Rule::Number(-2.0, 2.0)),
    ("logit_bias", Rule::Object),
    ("logprobs", Rule::Bool),
    ("top_logprobs", Rule::Integer(0, 20)),
    ("seed", Rule::Whole),
    ("response_format", Rule::Object),
    ("tools", Rule::List(MOST_TOOLS)),
    ("parallel_tool_calls", Rule::Bool),
    ("reasoning_effort", Rule::Text),
    ("metadata", Rule::Object),
    ("user", Rule::Text),
];

/// Ten times the largest context of any model in the price table; what is above is a mistake, not a wish.
pub const MOST_TOKENS: u64 = 20_000_000;

/// Eight times what OpenAI takes; other vendors take more than it.
const MOST_TOOLS: usize = 1024;

impl Rule {
    /// Checks one value; the error says what it must be.
    fn check(&self, value: Value<'_>) -> Result<(), String> {
        let must = |good: bool, be: &str| if good { Ok(()) } else { Err(format!("must be {be}")) };
        match self {
            Rule::Bool => must(value.as_bool().is_some(), "a boolean"),
            Rule::False => must(value.as_bool() == Some(false), "false"),
            Rule::OneOf(words) => must(value.as_str().is_some_and(|word| words.contains(&&*word)), &words.join(" or ")),
            Rule::Text => must(value.is_string(), "a string"),
            Rule::Object => must(value.is_object(), "an object"),
            Rule::List(most) => {
                let few = value.is_array() && value.items().nth(*most).is_none();
                must(few, &format!("an array of at most {most}"))
            }
            Rule::Number(low, high) => {
                let inside = value.as_f64().is_some_and(|number| (*low..=*high).contains(&number));
                must(inside, &format!("a number between {low} and {high}"))
            }
            Rule::Integer(low, high) => {
                let inside = value.as_u64().is_some_and(|number| (*low..=*high).contains(&number));
                must(inside, &format!("an integer between {low} and {high}"))
            }
            Rule::Whole => must(value.raw().parse::<i64>().is_ok(), "a 64-bit integer"),
            Rule::Stop => {
                let strings = value.is_string() || (value.is_array() && value.items().all(Value::is_string));
                must(strings, "a string or an array of strings")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    fn refused(body: &str) -> (Option<String>, String) {
        let refusal = Request::parse(body.as_bytes().to_vec()).map(drop).unwrap_err();
        assert_eq!(refusal.status, 400);
        (refusal.param, refusal.message)
    }

    #[test]
    fn reads_what_routing_needs() {
        for (tail, delivery) in [
            ("", Delivery::Whole),
            (r#","stream":null"#, Delivery::Whole),
            (r#","stream":true"#, Delivery::Stream { usage: false }),
            (r#","stream":true,"stream_options":{"include_usage":true}"#, Delivery::Stream { usage: true }),
        ] {
            let body = format!(r#"{{"model":"gpt-4","messages":[{{"role":"user","content":"hi"}}]{tail}}}"#);
            let request = Request::parse(body.clone().into_bytes()).unwrap();
            assert_eq!((request.model(), request.delivery()), ("gpt-4", delivery));
            assert_eq!(request.body(), body.as_bytes());
        }
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        for (body, param) in [
            (r#"{"messages":[{"role":"user","content":"x"}]}"#, "model"),
            (r#"{"model":1,"messages":[{"role":"user","content":"x"}]}"#, "model"),
            (r#"{"model":"","messages":[{"role":"user","content":"x"}]}"#, "model"),
            (r#"{"model":"m"}"#, "messages"),
            (r#"{"model":"m","messages":"hi"}"#, "messages"),
            (r#"{"model":"m","messages":[]}"#, "messages"),
            (r#"{"model":"m","messages":[3]}"#, "messages[0]"),
            (r#"{"model":"m","messages":[{"role":"user","content":"x"},{"content":"x"}]}"#, "messages[1].role"),
            (r#"{"model":"m","messages":[{"role":"boss","content":"x"}]}"#, "messages[0].role"),
            (r#"{"model":"m","messages":[{"role":"user"}]}"#, "messages[0].content"),
            (r#"{"model":"m","messages":[{"role":"user","content":7}]}"#, "messages[0].content"),
            (r#"{"model":"m","messages":[{"role":"user","content":[7]}]}"#, "messages[0].content"),
            (r#"{"model":"m","messages":[{"role":"tool","content":"x"}]}"#, "messages[0].tool_call_id"),
            (r#"{"model":"m","messages":[{"role":"assistant","tool_calls":{}}]}"#, "messages[0].tool_calls"),
        ] {
            assert_eq!(refused(body).0.as_deref(), Some(param), "{body}");
        }
    }

    #[test]
    fn checks_types_and_ranges() {
        for (field, values) in [
            ("temperature", &["2.1", "-0.1", "\"1\"", "1e999"][..]),
            ("top_p", &["1.5"]),
            ("n", &["0", "129", "1.5"]),
            ("max_tokens", &["0", "-1", "1e30"]),
            ("max_completion_tokens", &["0"]),
            ("presence_penalty", &["3"]),
            ("frequency_penalty", &["-2.5"]),
            ("top_logprobs", &["21"]),
            ("seed", &["1.5", "99999999999999999999"]),
            ("stream", &["1"]),
            ("stop", &["5", "[5]"]),
            ("tools", &["{}"]),
            ("logit_bias", &["[]"]),
            ("stream_options", &["{}"]),
        ] {
            for value in values {
                let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"{field}":{value}}}"#);
                let (param, message) = refused(&body);
                assert_eq!(param.as_deref(), Some(field), "{value}: {message}");
            }
        }
    }

    #[test]
    fn bounds_the_tools() {
        let with = |tools: usize| {
            let tools = vec!["{}"; tools].join(",");
            format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"tools":[{tools}]}}"#)
        };
        assert!(Request::parse(with(1024).into_bytes()).is_ok());
        assert_eq!(
            refused(&with(1025)),
            (Some("tools".to_owned()), "tools: must be an array of at most 1024".to_owned())
        );
    }

    #[test]
    fn takes_explicit_nulls_and_defaults() {
        let defaults = r#","n":1,"presence_penalty":0,"logprobs":false,"logit_bias":{},"stop":null,"tools":[],
            "response_format":{"type":"text"},"temperature":null,"max_tokens":null,"seed":-3,"unknown":[{"x":1}]"#;
        let body = format!(r#"{{"model":"m","messages":[{{"role":"assistant","content":null}}]{defaults}}}"#);
        assert!(Request::parse(body.into_bytes()).is_ok());
    }

    #[test]
    fn refuses_what_is_no_request() {
        for (body, says) in [
            ("", "no body"),
            (" \n", "no body"),
            ("[]", "must be a JSON object"),
            ("{\"model\":", "unexpected end"),
            (r#"{"model":"a","model":"b","messages":[]}"#, "duplicate key \"model\""),
        ] {
            let (param, message) = refused(body);
            assert!(param.is_none() && message.contains(says), "{message}");
        }
    }
}
