//! A request on its way: read from the client's, written as Anthropic's.

use super::accepts;
use super::conversation::Conversation;
use super::models::{Model, Sampling};
use super::parts::copy;
use super::structured::{Form, Promise};
use super::thinking::{Advice, Room};
use super::tools::Tools;
use crate::chat::request::Delivery;
use crate::chat::{Origin, Request};
use crate::json::{Value, Writer};
use crate::vendor::Unsupported;

/// Everything that Anthropic can be told of a request.
pub(super) struct Draft<'r> {
    request: &'r Request,
    conversation: Conversation<'r>,
    tools: Tools<'r>,
    promise: Promise<'r>,
}

impl<'r> Draft<'r> {
    /// Reads a request; the error is the first field that Anthropic has no counterpart for.
    pub(super) fn read(request: &'r Request) -> Result<Draft<'r>, Unsupported> {
        accepts::check(request.root())?;
        let (tools, promise) = (Tools::read(request.root())?, Promise::read(request.root())?);
        Ok(Draft { request, conversation: Conversation::read(request)?, tools, promise })
    }

    /// The body for this model.
    pub(super) fn render(&self, name: &str) -> Vec<u8> {
        let (root, model) = (self.request.root(), Model::named(name));
        let (advice, form) = (self.advice(&model), self.form(&model));
        // Most of a request is text that is copied, so its size is a good guess.
        let mut w = Writer::onto(Vec::with_capacity(self.request.body().len() + 256));
        w.object(|w| {
            w.key("model").string(name);
            w.key("max_tokens").number(max_tokens(root, &model));
            self.conversation.render(w);
            self.tools.render(form.as_ref(), w);
            sampled(root, &model).for_each(|(field, value)| copy(field, Some(value), w));
            advice.render(w);
            render_output(&advice, self.promise.native(&model), w);
            render_stop(root.given("stop"), w);
            if let Delivery::Stream { .. } = self.request.delivery() {
                w.key("stream").bool(true);
            }
            render_tier(root, w);
            render_user(self.request, w);
            copy("cache_control", root.given("cache_control"), w);
        });
        w.finish()
    }

    /// Whether this model is told how hard to think.
    pub(super) fn advises(&self, name: &str) -> bool {
        !self.advice(&Model::named(name)).is_silent()
    }

    /// The sampling parameters that this model would refuse.
    pub(super) fn unsampled(&self, name: &str) -> impl Iterator<Item = &'static str> {
        let (root, model) = (self.request.root(), Model::named(name));
        SAMPLING.iter().copied().filter(move |field| sampling(root, field).is_some() && !takes(root, &model, field))
    }

    /// A tool that takes the answer, unless the client demands another call.
    fn form(&self, model: &Model) -> Option<Form<'r>> {
        self.promise.form(model).filter(|_| !self.tools.forced())
    }

    fn advice(&self, model: &Model) -> Advice<'r> {
        let root = self.request.root();
        let sampled = sampled(root, model).next().is_some();
        let room = Room {
            thinking: model.thinking,
            max_tokens: max_tokens(root, model),
            allowed: !sampled && !self.tools.forced() && self.form(model).is_none(),
            thoughtless: self.conversation.is_thoughtless(),
        };
        Advice::read(root, &room)
    }
}

/// The client's limit, of which the newer field counts, or the model's.
fn max_tokens(root: Value<'_>, model: &Model) -> u64 {
    let limit = ["max_completion_tokens", "max_tokens"].iter().find_map(|field| root.given(field)?.as_u64());
    limit.unwrap_or(model.most_tokens)
}

fn render_output(advice: &Advice<'_>, schema: Option<Value<'_>>, w: &mut Writer) {
    if advice.effort.is_none() && schema.is_none() {
        return;
    }
    w.key("output_config").object(|w| {
        if let Some(word) = &advice.effort {
            w.key("effort").string(word);
        }
        if let Some(schema) = schema {
            w.key("format").object(|w| {
                w.key("type").string("json_schema");
                w.key("schema").raw(schema.raw());
            });
        }
    });
}

/// Fields that both sides spell the same.
const SAMPLING: &[&str] = &["temperature", "top_p", "top_k"];

/// The sampling parameters that a model gets. A choice of words is advice, as a seed is: a model that takes none answers
/// without, and of two that exclude each other `temperature` is what people mean.
fn sampled<'r>(root: Value<'r>, model: &Model) -> impl Iterator<Item = (&'static str, Value<'r>)> {
    let said = SAMPLING.iter().filter(move |field| takes(root, model, field));
    said.filter_map(move |field| Some((*field, sampling(root, field)?)))
}

fn takes(root: Value<'_>, model: &Model, field: &str) -> bool {
    match model.sampling {
        Sampling::Free => true,
        Sampling::OneOfTwo => field != "top_p" || sampling(root, "temperature").is_none(),
        Sampling::Fixed => false,
    }
}

/// A sampling parameter that says more than the default, which many clients send.
fn sampling<'r>(root: Value<'r>, field: &str) -> Option<Value<'r>> {
    root.given(field).filter(|value| field == "top_k" || value.as_f64() != Some(1.0))
}

fn render_stop(stop: Option<Value<'_>>, w: &mut Writer) {
    match stop.filter(|stop| !stop.is_empty()) {
        None => {}
        Some(list) if list.is_array() => w.key("stop_sequences").raw(list.raw()),
        Some(one) => w.key("stop_sequences").array(|w| w.raw(one.raw())),
    }
}

/// Who asks, if the client chose to tell Anthropic: what OpenAI's clients write there may be an address.
fn render_user(request: &Request, w: &mut Writer) {
    if let Some(user) = request.root().given("user").filter(|_| request.origin() == Origin::Messages) {
        w.key("metadata").object(|w| w.key("user_id").raw(user.raw()));
    }
}

/// Anthropic's two tiers. `flex` and `scale` have no counterpart; they are about price and speed, not the answer.
fn render_tier(root: Value<'_>, w: &mut Writer) {
    match root.text("service_tier").as_deref() {
        Some("auto" | "priority") => w.key("service_tier").string("auto"),
        Some("default") => w.key("service_tier").string("standard_only"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    #[test]
    fn copies_what_is_unchanged_as_it_was_spelled() {
        let body = r#"{"model":"m","messages":[{"role":"user","content":"\u00e9\/"},{"role":"assistant","tool_calls":[
            {"id":"c","type":"function","function":{"name":"f","arguments":" { \"x\": 1e2 }\n"}}]}],"temperature":0.30,
            "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"array" , "a": [ 1.50 ]}}}],"top_k":5}"#;
        let request = Request::parse(body.into()).unwrap();
        let sent = String::from_utf8(Draft::read(&request).unwrap().render("claude-3-5-haiku")).unwrap();
        let expected = concat!(
            r#"{"model":"claude-3-5-haiku","max_tokens":8192,"messages":["#,
            r#"{"role":"user","content":[{"type":"text","text":"\u00e9\/"}]},"#,
            r#"{"role":"assistant","content":[{"type":"tool_use","id":"c","name":"f","input":{ "x": 1e2 }}]}],"#,
            r#""tools":[{"name":"f","input_schema":{"type":"object","a":[ 1.50 ]}}],"#,
            r#""temperature":0.30,"top_k":5}"#,
        );
        assert_eq!(sent, expected);
    }
}
