//! Changing a few places of the client's body, and not a byte else.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::ops::Range;

use memchr::memmem;

use super::pictures::{self, PARTS_EXTENSIONS};
use super::{Body, Call, call_id};
use crate::chat::request::Delivery;
use crate::chat::{Origin, Request};
use crate::json::{Value, Writer};

/// Changes to a text. Where they overlap, what is taken out takes along what is changed in it, and goes as far as the
/// furthest says; of two values for one place the first counts.
pub(super) struct Edits<'t> {
    text: &'t [u8],
    edits: Vec<(Range<usize>, Vec<u8>)>,
}

impl<'t> Edits<'t> {
    /// No change yet.
    pub(super) fn new(text: &'t [u8]) -> Edits<'t> {
        Edits { text, edits: Vec::new() }
    }

    /// Puts another value in the place of one.
    pub(super) fn replace(&mut self, value: Value<'_>, with: impl FnOnce(&mut Writer)) {
        let mut w = Writer::default();
        with(&mut w);
        self.edits.push((value.span(), w.finish()));
    }

    /// Gives an object another first member, of a name that it does not have.
    pub(super) fn insert(&mut self, object: Value<'_>, name: &str, with: impl FnOnce(&mut Writer)) {
        let mut w = Writer::default();
        with(w.key(name));
        let mut member = w.finish();
        if !object.is_empty() {
            member.push(b',');
        }
        let inside = object.span().start + 1;
        self.edits.push((inside..inside, member));
    }

    /// Puts an item behind another of an array.
    pub(super) fn insert_behind(&mut self, item: Value<'_>, with: impl FnOnce(&mut Writer)) {
        let mut w = Writer::default();
        with(&mut w);
        let end = item.span().end;
        self.edits.push((end..end, [b",", &*w.finish()].concat()));
    }

    /// Takes members out of an object.
    pub(super) fn remove(&mut self, object: Value<'_>, leaves: impl Fn(&str, Value<'_>) -> bool) {
        let leaves = |(name, value): (Value<'_>, Value<'_>)| name.as_str().is_some_and(|name| leaves(&name, value));
        let mut entries = object.entries().peekable();
        // Where the last member that stays ends, and what has left since then.
        let (mut kept, mut gone) = (None, None);
        while let Some((name, value)) = entries.next() {
            let (begin, end) = (name.span().start, value.span().end);
            if !leaves((name, value)) {
                self.edits.extend(gone.take().map(|from| (from..begin, Vec::new())));
                kept = Some(end);
            } else {
                let from = *gone.get_or_insert(begin);
                if entries.peek().is_none() {
                    self.edits.push((kept.unwrap_or(from)..end, Vec::new()));
                }
            }
        }
    }

    /// The body with its changes: only the part up to the last of them is made anew.
    pub(super) fn body(mut self) -> Body {
        // What is put in comes before what is in its place; what is taken out takes along what is changed in it.
        self.edits.sort_by_key(|(span, _)| (span.start, !span.is_empty(), Reverse(span.end)));
        let (mut with, mut replaced) = (Vec::new(), 0);
        for (span, text) in &self.edits {
            if span.start < replaced {
                // What is taken out twice goes as far as the further of the two says.
                if text.is_empty() {
                    replaced = replaced.max(span.end);
                }
                continue;
            }
            end_members(&mut with, self.text.get(replaced..).unwrap_or_default());
            with.extend_from_slice(self.text.get(replaced..span.start).unwrap_or_default());
            with.extend_from_slice(text);
            replaced = span.end;
        }
        end_members(&mut with, self.text.get(replaced..).unwrap_or_default());
        if self.edits.is_empty() { Body::AsReceived } else { Body::Prefix { replaced, with } }
    }

    /// The text with its changes; borrowed if there are none.
    pub(super) fn applied(self) -> Cow<'t, [u8]> {
        let text = self.text;
        match self.body() {
            Body::AsReceived => Cow::Borrowed(text),
            changed => Cow::Owned(changed.apply(text).into_owned()),
        }
    }
}

/// Takes the comma away behind a member that has become the last: of several who take members out none knows that no
/// other stays.
fn end_members(before: &mut Vec<u8>, rest: &[u8]) {
    if rest.trim_ascii_start().starts_with(b"}")
        && let Some(members) = before.trim_ascii_end().strip_suffix(b",")
    {
        before.truncate(members.len());
    }
}

/// The vendor's name of the model, where it is another.
pub(super) fn rename(call: &Call<'_>, edits: &mut Edits<'_>) {
    if let Some(model) = call.request.root().get("model").filter(|_| call.model != call.request.model()) {
        edits.replace(model, |w| w.string(call.model));
    }
}

/// Takes the signatures of thoughts out of the ids of tool calls: they mean nothing here, and may be longer than an id.
pub(super) fn unsign(call: &Call<'_>, edits: &mut Edits<'_>) {
    if memmem::find(call.request.body(), call_id::MARK.as_bytes()).is_none() {
        return;
    }
    for message in call.request.messages() {
        let calls = message.given("tool_calls").into_iter().flat_map(Value::items);
        for id in calls.filter_map(|call| call.get("id")).chain(message.get("tool_call_id")) {
            if let Some(short) = id.as_str().as_deref().and_then(call_id::unsigned) {
                edits.replace(id, |w| w.string(short));
            }
        }
    }
}

/// Takes the thoughts of another vendor's model out of the messages that it wrote, where a client sends them back and
/// this vendor answers in that one's place: OpenAI refuses members that it does not know. Only messages with
/// `thinking_blocks` are touched, since `reasoning_content` alone is what other vendors of this format want back.
pub(super) fn forget_thoughts(request: &Request, edits: &mut Edits<'_>) {
    for message in request.messages().filter(|message| message.get("thinking_blocks").is_some()) {
        edits.remove(message, |name, _| THOUGHTS.contains(&name));
    }
}

/// The members of a message that only the vendor of its model understands.
const THOUGHTS: [&str; 2] = ["thinking_blocks", "reasoning_content"];

/// What [`forget_thoughts`] and [`forget_extensions`] take out, as paths.
pub(super) fn forgotten(request: &Request) -> Vec<String> {
    let thoughts = |message: Value<'_>| message.given("thinking_blocks").is_some_and(|blocks| !blocks.is_empty());
    let thoughtful = request.messages().enumerate().filter(|(_, message)| thoughts(*message));
    let thoughts = thoughtful.map(|(i, _)| format!("messages[{i}].thinking_blocks"));
    lost(request).into_iter().chain(thoughts).collect()
}

/// Takes out what a client who speaks Anthropic's words said in the hope of a vendor that knows them, and puts OpenAI's
/// word for how hard to think in the place of a budget to think in. What clients of OpenAI's format say besides it is
/// theirs to answer for, and passes.
pub(super) fn forget_extensions(request: &Request, edits: &mut Edits<'_>) {
    if request.origin() != Origin::Messages {
        return;
    }
    let root = request.root();
    edits.remove(root, |name, _| EXTENSIONS.contains(&name));
    if let (Some(word), None) = (effort(root), root.given("reasoning_effort")) {
        edits.insert(root, "reasoning_effort", |w| w.string(word));
    }
    pictures::move_out(request, edits);
    let marked = |name: &str, _: Value<'_>| PARTS_EXTENSIONS.contains(&name);
    root.given("tools").into_iter().flat_map(Value::items).for_each(|tool| edits.remove(tool, marked));
    for message in request.messages() {
        edits.remove(message, |name, _| matches!(name, "cache_control" | "is_error"));
        message.get("content").into_iter().flat_map(Value::items).for_each(|part| edits.remove(part, marked));
    }
}

/// Members of a request that only Anthropic has a word for.
const EXTENSIONS: [&str; 3] = ["thinking", "top_k", "cache_control"];

/// The word for a budget to think in: the reverse of what a word becomes on its way to Anthropic.
pub(super) fn effort(root: Value<'_>) -> Option<&'static str> {
    let thinking = root.given("thinking").filter(|thinking| thinking.text("type").as_deref() == Some("enabled"))?;
    Some(match thinking.get("budget_tokens").and_then(Value::as_u64)? {
        ..2048 => "low",
        2048..4096 => "medium",
        _ => "high",
    })
}

/// What [`forget_extensions`] loses, as paths. A mark of a cache is no loss: vendors of this format find by themselves what
/// they have read before.
fn lost(request: &Request) -> Vec<String> {
    if request.origin() != Origin::Messages {
        return Vec::new();
    }
    let failed = |message: Value<'_>| message.get("is_error").and_then(Value::as_bool) == Some(true);
    let failed = request.messages().enumerate().filter(|(_, message)| failed(*message));
    let top_k = request.root().given("top_k").map(|_| "top_k".to_owned());
    top_k.into_iter().chain(failed.map(|(i, _)| format!("messages[{i}].is_error"))).collect()
}

/// Asks for the tokens of a stream, where the client did not.
pub(super) fn ask_for_usage(call: &Call<'_>, edits: &mut Edits<'_>) {
    if call.request.delivery() != (Delivery::Stream { usage: false }) {
        return;
    }
    let root = call.request.root();
    match root.get("stream_options") {
        None => edits.insert(root, "stream_options", wish),
        Some(options) => match options.get("include_usage") {
            Some(no) => edits.replace(no, |w| w.bool(true)),
            None if options.is_object() => edits.insert(options, "include_usage", |w| w.bool(true)),
            None => edits.replace(options, wish),
        },
    }
}

fn wish(w: &mut Writer) {
    w.object(|w| w.key("include_usage").bool(true));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Doc;
    use crate::test;
    use crate::vendor::StreamUsage;

    /// A streaming request that ends in `tail`, for a model of another name.
    fn edited(tail: &str) -> String {
        let text = format!(r#"{{ "model":"a","messages":[{{"role":"user","content":"x"}}],"stream":true{tail}}}"#);
        let request = Request::parse(text.clone().into_bytes()).unwrap();
        let stream_usage = StreamUsage::Asked;
        let call = Call { request: &request, model: "other", base: "", api_version: None, stream_usage };
        let mut edits = Edits::new(request.body());
        rename(&call, &mut edits);
        ask_for_usage(&call, &mut edits);
        String::from_utf8(edits.body().apply(text.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn changes_several_places() {
        let wanted = |options: &str, tail: &str| {
            let messages = r#""messages":[{"role":"user","content":"x"}],"stream":true"#;
            format!(r#"{{{options} "model":"other",{messages}{tail}}}"#)
        };
        for (before, after) in [
            (r#", "stream_options" : null"#, r#", "stream_options" : {"include_usage":true}"#),
            (r#","stream_options":{ } "#, r#","stream_options":{"include_usage":true } "#),
            (r#","stream_options":{"a":1}"#, r#","stream_options":{"include_usage":true,"a":1}"#),
            (r#","stream_options":{"include_usage":false,"a":1}"#, r#","stream_options":{"include_usage":true,"a":1}"#),
            (r#","stream_options":{"a":1,"include_usage":null}"#, r#","stream_options":{"a":1,"include_usage":true}"#),
            (r#","stream_options":{"include_usage":true}"#, r#","stream_options":{"include_usage":true}"#),
        ] {
            assert_eq!(edited(before), wanted("", after));
        }
        assert_eq!(edited(""), wanted(r#""stream_options":{"include_usage":true},"#, ""));
    }

    #[test]
    fn takes_members_out() {
        for (before, after) in [
            (r#"{"x":1}"#, "{}"),
            (r#"{ "x":1, "x2" : [2] }"#, "{  }"),
            (r#"{"x":1,"a":2}"#, r#"{"a":2}"#),
            (r#"{"a":2 , "x":1}"#, r#"{"a":2}"#),
            (r#"{"a":1,"x":{"a":2},"x\u0032":3,"b":4}"#, r#"{"a":1,"b":4}"#),
            (r#"{"x":0,"a":1,"x1":2,"b":3,"x2":4,"x3":5}"#, r#"{"a":1,"b":3}"#),
            (r#"{"a":1}"#, r#"{"a":1}"#),
            ("{}", "{}"),
            ("[1]", "[1]"),
        ] {
            let doc = Doc::parse(before.as_bytes().to_vec()).unwrap();
            let mut edits = Edits::new(before.as_bytes());
            edits.remove(doc.root(), |name, _| name.starts_with('x'));
            assert_eq!(*edits.body().apply(before.as_bytes()), *after.as_bytes());
        }
    }

    #[test]
    fn forgets_the_thoughts_of_others() {
        for (message, expected) in [
            (r#"{ "role":"assistant","content":"\u00e9","reasoning_content":"r" }"#, None),
            (
                r#"{ "reasoning_content":"r","role":"assistant", "content":"\u00e9","thinking_blocks":[{}] }"#,
                Some(r#"{ "role":"assistant", "content":"\u00e9" }"#),
            ),
        ] {
            let body = |message: &str| format!(r#"{{"model":"a","messages":[{message}] }}"#);
            let request = Request::parse(body(message).into_bytes()).unwrap();
            let mut edits = Edits::new(request.body());
            forget_thoughts(&request, &mut edits);
            let sent = edits.body().apply(request.body()).into_owned();
            assert_eq!(String::from_utf8(sent).unwrap(), body(expected.unwrap_or(message)));
            assert_eq!(forgotten(&request).join(","), expected.map_or("", |_| "messages[0].thinking_blocks"));
        }
    }

    #[test]
    fn forgets_what_only_anthropic_has_words_for() {
        let body = r#"{"model":"a","messages":[{"role":"user","content":[{"type":"text","text":"x","cache_control":{}}]},
            {"role":"tool","tool_call_id":"t","content":"y","is_error":true}],"tools":[{"type":"function","cache_control":{}}],
            "thinking":{"type":"enabled","budget_tokens":3000},"top_k":5,"cache_control":{}}"#;
        let plain = r#"{"reasoning_effort":"medium","model":"a","messages":[{"role":"user","content":[{"type":"text","text":"x"}]},
            {"role":"tool","tool_call_id":"t","content":"y"}],"tools":[{"type":"function"}]}"#;
        for (request, sent, lost) in [
            (Request::of_messages(body.into()), plain, &["top_k", "messages[1].is_error"][..]),
            (Request::parse(body.into()), body, &[]),
        ] {
            let request = request.unwrap();
            let mut edits = Edits::new(body.as_bytes());
            forget_extensions(&request, &mut edits);
            assert_eq!(String::from_utf8(edits.body().apply(body.as_bytes()).into_owned()).unwrap(), sent);
            assert_eq!(forgotten(&request), lost);
        }
    }

    #[test]
    fn takes_members_out_that_others_take_out_too() {
        for text in
            [r#"{"y":1,"x":2,"a":3}"#, r#"{"x":2,"y":1,"a":3}"#, r#"{"a":3,"y":1,"x":2}"#, r#"{"y":1,"a":3,"x":2}"#]
        {
            let doc = Doc::parse(text.as_bytes().to_vec()).unwrap();
            let mut edits = Edits::new(text.as_bytes());
            edits.remove(doc.root(), |name, _| name == "y");
            let (name, _) = doc.root().entries().find(|(name, _)| name.as_str().as_deref() == Some("x")).unwrap();
            edits.replace(name, |w| w.string("renamed"));
            edits.remove(doc.root(), |name, _| name == "y" || name == "x");
            assert_eq!(*edits.body().apply(text.as_bytes()), *br#"{"a":3}"#, "{text}");
        }
    }

    #[test]
    fn whoever_takes_out_what_the_rest_is_an_object() {
        for word in 0..3_usize.pow(5) {
            let letters: Vec<_> = (0..5).map(|i| ["a", "x", "y"][word / 3_usize.pow(i) % 3]).collect();
            let object = |wanted: &dyn Fn(&str) -> bool| {
                let named = letters.iter().enumerate().filter(|(_, letter)| wanted(letter));
                let members: Vec<_> = named.map(|(i, letter)| format!(r#""{letter}{i}":{i}"#)).collect();
                format!("{{{}}}", members.join(","))
            };
            let text = object(&|_| true);
            let doc = Doc::parse(text.clone().into_bytes()).unwrap();
            let mut edits = Edits::new(text.as_bytes());
            ["y", "x"].iter().for_each(|leaves| edits.remove(doc.root(), |name, _| name.starts_with(leaves)));
            let rest = edits.applied().into_owned();
            assert_eq!(String::from_utf8(rest).unwrap(), object(&|letter| letter == "a"), "{text}");
        }
    }

    #[test]
    fn puts_a_member_where_another_leaves() {
        let text = r#"{"x":1,"a":2}"#;
        let doc = Doc::parse(text.as_bytes().to_vec()).unwrap();
        let mut edits = Edits::new(text.as_bytes());
        edits.remove(doc.root(), |name, _| name == "x");
        edits.insert(doc.root(), "n", |w| w.null());
        assert_eq!(*edits.body().apply(text.as_bytes()), *br#"{"n":null,"a":2}"#);
    }

    #[test]
    fn no_change_is_the_body_as_received() {
        assert_eq!(Edits::new(b"{}").body(), Body::AsReceived);
    }
}
