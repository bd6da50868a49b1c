//! A request on its way: read from the client's, written as Bedrock's.

use std::borrow::Cow;

use super::accepts;
use super::conversation::{Conversation, Memory};
use super::models::Family;
use super::tools::Tools;
use crate::chat::Request;
use crate::json::{Value, Writer};
use crate::vendor::Unsupported;
use crate::vendor::anthropic::models::Model;
use crate::vendor::anthropic::parts::copy;
use crate::vendor::anthropic::thinking::{Advice, Room};

/// Everything that Bedrock can be told of a request.
pub(super) struct Draft<'r> {
    request: &'r Request,
    conversation: Conversation<'r>,
    tools: Tools<'r>,
    /// The member `json_schema` of `response_format`.
    schema: Option<Value<'r>>,
}

/// How hard to think, in the words of whose model it is.
enum Effort<'r> {
    Unsaid,
    Claude(Advice<'r>),
    /// One of the three words that both others know.
    Word(Cow<'r, str>),
}

impl<'r> Draft<'r> {
    /// Reads a request; the error is the first field that Bedrock has no counterpart for.
    pub(super) fn read(request: &'r Request) -> Result<Draft<'r>, Unsupported> {
        let root = request.root();
        accepts::check(root)?;
        let (tools, schema) = (Tools::read(root)?, read_schema(root)?);
        let conversation = Conversation::read(request)?;
        if conversation.has_calls() {
            tools.allow_history()?;
        }
        Ok(Draft { request, conversation, tools, schema })
    }

    /// The body for this model.
    pub(super) fn render(&self, id: &str) -> Vec<u8> {
        let (root, family) = (self.request.root(), Family::of(id));
        let effort = self.effort(family);
        let memory = if matches!(family, Family::Claude(_)) { Memory::OfThoughts } else { Memory::OfWords };
        // Most of a request is text that is copied, so its size is a good guess.
        let mut w = Writer::onto(Vec::with_capacity(self.request.body().len() + 256));
        w.object(|w| {
            self.conversation.render(memory, w);
            unless_empty("inferenceConfig", |w| self.render_inference(family, w), w);
            self.tools.render(w);
            self.schema.iter().for_each(|schema| render_schema(*schema, w));
            unless_empty("additionalModelRequestFields", |w| render_additional(root, family, &effort, w), w);
            render_tier(root, w);
        });
        w.finish()
    }

    /// Whether this model is told how hard to think.
    pub(super) fn advises(&self, id: &str) -> bool {
        match self.effort(Family::of(id)) {
            Effort::Unsaid => false,
            Effort::Claude(advice) => !advice.is_silent(),
            Effort::Word(_) => true,
        }
    }

    fn effort(&self, family: Family) -> Effort<'r> {
        let root = self.request.root();
        let word = || root.text("reasoning_effort").filter(|word| word != "none");
        match family {
            Family::Claude(model) => Effort::Claude(Advice::read(root, &self.room(&model))),
            // At its hardest Nova takes neither limit nor sampling (its guide, "Extended thinking").
            Family::Nova => word().map_or(Effort::Unsaid, |word| match three(&word) {
                "high" if self.is_bounded() => Effort::Word("medium".into()),
                word => Effort::Word(word.into()),
            }),
            Family::GptOss => word().map_or(Effort::Unsaid, |word| Effort::Word(three(&word).into())),
            Family::Other => Effort::Unsaid,
        }
    }

    fn is_bounded(&self) -> bool {
        let root = self.request.root();
        self.request.most_tokens().is_some() || SAMPLING.iter().any(|(ours, _)| root.given(ours).is_some())
    }

    fn room(&self, model: &Model) -> Room {
        let root = self.request.root();
        let sampled = SAMPLING.iter().any(|(ours, _)| sampling(root, ours).is_some()) || root.given("top_k").is_some();
        Room {
            thinking: model.thinking,
            max_tokens: self.request.most_tokens().unwrap_or(model.most_tokens),
            allowed: !sampled && !self.tools.forced(),
            thoughtless: self.conversation.is_thoughtless(),
        }
    }

    /// What all models know. A limit that the client left open stays open, but where a model thinks: its thoughts must be
    /// fewer than the limit, so that has to be certain.
    fn render_inference(&self, family: Family, w: &mut Writer) {
        let root = self.request.root();
        let thinks = ["thinking", "reasoning_effort"].iter().any(|field| root.given(field).is_some());
        let certain = match family {
            Family::Claude(model) if thinks => Some(model.most_tokens),
            _ => None,
        };
        if let Some(most) = self.request.most_tokens().or(certain) {
            w.key("maxTokens").number(most);
        }
        for (ours, theirs) in SAMPLING {
            let value = match family {
                Family::Claude(_) => sampling(root, ours),
                _ => root.given(ours),
            };
            copy(theirs, value, w);
        }
        match root.given("stop").filter(|stop| !stop.is_empty()) {
            None => {}
            Some(list) if list.is_array() => w.key("stopSequences").raw(list.raw()),
            Some(one) => w.key("stopSequences").array(|w| w.raw(one.raw())),
        }
    }
}

/// OpenAI's names and Bedrock's.
const SAMPLING: &[(&str, &str)] = &[("temperature", "temperature"), ("top_p", "topP")];

/// A sampling parameter that says more than Anthropic's default, which is OpenAI's. Many clients send the defaults, while
/// newer models of Anthropic's take only one of the two and the newest neither; what others assume is something else.
fn sampling<'r>(root: Value<'r>, field: &str) -> Option<Value<'r>> {
    root.given(field).filter(|value| value.as_f64() != Some(1.0))
}

/// OpenAI's seven words in three.
fn three(word: &str) -> &'static str {
    match word {
        "minimal" | "low" => "low",
        "medium" => "medium",
        _ => "high",
    }
}

/// What only the models of one maker know.
fn render_additional(root: Value<'_>, family: Family, effort: &Effort<'_>, w: &mut Writer) {
    match (family, effort) {
        (Family::Claude(_), Effort::Claude(advice)) => {
            advice.render(w);
            if let Some(word) = &advice.effort {
                w.key("output_config").object(|w| w.key("effort").string(word));
            }
            copy("top_k", root.given("top_k"), w);
        }
        (Family::Nova, Effort::Word(word)) => w.key("reasoningConfig").object(|w| {
            w.key("type").string("enabled");
            w.key("maxReasoningEffort").string(word);
        }),
        (Family::GptOss, Effort::Word(word)) => w.key("reasoning_effort").string(word),
        _ => {}
    }
}

/// A schema for the answer. JSON without one is beyond Bedrock.
fn read_schema(root: Value<'_>) -> Result<Option<Value<'_>>, Unsupported> {
    let Some(format) = root.given("response_format").filter(|format| !format.is_empty()) else {
        return Ok(None);
    };
    match format.text("type").as_deref() {
        Some("text") => Ok(None),
        Some("json_schema") => {
            let given = format.get("json_schema").filter(|given| given.is_object());
            let given = given.ok_or_else(|| Unsupported::new("response_format.json_schema"))?;
            match given.get("schema").is_some_and(Value::is_object) {
                true => Ok(Some(given)),
                false => Err(Unsupported::new("response_format.json_schema.schema")),
            }
        }
        _ => Err(Unsupported::new("response_format")),
    }
}

/// Writes the member `outputConfig`. The schema is a text there.
fn render_schema(given: Value<'_>, w: &mut Writer) {
    w.key("outputConfig").object(|w| {
        w.key("textFormat").object(|w| {
            w.key("type").string("json_schema");
            w.key("structure").object(|w| {
                w.key("jsonSchema").object(|w| {
                    w.key("schema").string(given.get("schema").map_or("{}", Value::raw));
                    for name in ["name", "description"] {
                        copy(name, given.given(name).filter(|text| text.is_string() && text.raw() != "\"\""), w);
                    }
                });
            });
        });
    });
}

/// The tiers that both know. The others are about price and speed, not the answer.
fn render_tier(root: Value<'_>, w: &mut Writer) {
    if let Some(tier @ ("default" | "flex" | "priority")) = root.text("service_tier").as_deref() {
        w.key("serviceTier").object(|w| w.key("type").string(tier));
    }
}

/// Writes a member that is an object, unless nothing is in it.
fn unless_empty(name: &str, fill: impl FnOnce(&mut Writer), w: &mut Writer) {
    let mut object = Writer::default();
    object.object(fill);
    if let Some(text) = String::from_utf8(object.finish()).ok().filter(|text| text != "{}") {
        w.key(name).raw(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    fn sent(body: &str, model: &str) -> String {
        let request = Request::parse(body.into()).unwrap();
        String::from_utf8(Draft::read(&request).unwrap().render(model)).unwrap()
    }

    #[test]
    fn copies_what_is_unchanged_as_it_was_spelled() {
        let body = r#"{"model":"m","messages":[{"role":"user","content":"\u00e9\/"},{"role":"assistant","tool_calls":[
            {"id":"c","type":"function","function":{"name":"f","arguments":" { \"x\": 1e2 }\n"}}]}],"temperature":0.30,
            "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"array" , "a": [ 1.50 ]}}}]}"#;
        let expected = concat!(
            r#"{"messages":[{"role":"user","content":[{"text":"\u00e9\/"}]},"#,
            r#"{"role":"assistant","content":[{"toolUse":{"toolUseId":"c","name":"f","input":{ "x": 1e2 }}}]}],"#,
            r#""inferenceConfig":{"temperature":0.30},"#,
            r#""toolConfig":{"tools":[{"toolSpec":{"name":"f","#,
            r#""inputSchema":{"json":{"type":"object","a":[ 1.50 ]}}}}]}}"#,
        );
        assert_eq!(sent(body, "amazon.nova-pro-v1:0"), expected);
    }

    #[test]
    fn each_family_is_told_how_hard_to_think_in_its_own_words() {
        let (nova, oss) = ("amazon.nova-2-lite-v1:0", "openai.gpt-oss-20b-1:0");
        for (model, fields, told) in [
            (
                "anthropic.claude-sonnet-4-5-v1:0",
                r#","reasoning_effort":"medium""#,
                concat!(
                    r#","inferenceConfig":{"maxTokens":64000},"additionalModelRequestFields":{"thinking":"#,
                    r#"{"type":"enabled","budget_tokens":2048}}"#,
                ),
            ),
            (
                "us.anthropic.claude-opus-4-6-v1",
                r#","reasoning_effort":"high","max_tokens":100"#,
                concat!(
                    r#","inferenceConfig":{"maxTokens":100},"additionalModelRequestFields":{"thinking":"#,
                    r#"{"type":"adaptive"},"output_config":{"effort":"high"}}"#,
                ),
            ),
            (
                "anthropic.claude-3-haiku-20240307-v1:0",
                r#","top_k":5"#,
                r#","additionalModelRequestFields":{"top_k":5}"#,
            ),
            (
                nova,
                r#","reasoning_effort":"xhigh""#,
                r#","additionalModelRequestFields":{"reasoningConfig":{"type":"enabled","maxReasoningEffort":"high"}}"#,
            ),
            (
                nova,
                r#","reasoning_effort":"high","max_tokens":9"#,
                concat!(
                    r#","inferenceConfig":{"maxTokens":9},"additionalModelRequestFields":{"reasoningConfig":"#,
                    r#"{"type":"enabled","maxReasoningEffort":"medium"}}"#,
                ),
            ),
            (oss, r#","reasoning_effort":"minimal""#, r#","additionalModelRequestFields":{"reasoning_effort":"low"}"#),
            (oss, r#","reasoning_effort":"none","top_k":5"#, ""),
            ("meta.llama3-3-70b-instruct-v1:0", r#","reasoning_effort":"high""#, ""),
            (
                "meta.llama3-3-70b-instruct-v1:0",
                r#","temperature":1,"top_p":1"#,
                r#","inferenceConfig":{"temperature":1,"topP":1}"#,
            ),
            ("anthropic.claude-sonnet-4-5-v1:0", r#","temperature":1,"top_p":1"#, ""),
        ] {
            let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}]{fields}}}"#);
            let expected = format!(r#"{{"messages":[{{"role":"user","content":[{{"text":"x"}}]}}]{told}}}"#);
            assert_eq!(sent(&body, model), expected, "{model} {fields}");
        }
    }

    #[test]
    fn calls_in_the_history_need_their_tools() {
        let history = r#"{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"c","type":"function",
            "function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"7"}"#;
        let tools = r#","tools":[{"type":"function","function":{"name":"f"}}]"#;
        for (fields, refused) in [
            (String::new(), Some("tools")),
            (tools.to_owned(), None),
            (format!(r#"{tools},"tool_choice":"none""#), Some("tool_choice")),
            (format!(r#"{tools},"tool_choice":"required""#), None),
        ] {
            let body = format!(r#"{{"model":"m","messages":[{history}]{fields}}}"#);
            let request = Request::parse(body.into()).unwrap();
            let found = Draft::read(&request).err().map(|unsupported| unsupported.param);
            assert_eq!(found.as_deref(), refused, "{fields}");
        }
    }
}
