//! The role `echo`: a vendor without a network, for the demo, the first curl and the benchmark.
//!
//! It answers in OpenAI's format, whole or streamed, always the same to the same request: the text of the last message
//! of the user, or vectors of no meaning. Tokens are not counted but estimated, as everywhere in Weir.

mod vectors;

use crate::account::estimate;
use crate::chat::answer::{self, Answer, Delta, Finish, Head as AnswerHead, Usage};
use crate::chat::request::Delivery;
use crate::chat::{Request, Task};
use crate::flow::{Effect, Flow, Part, Reads, Reply, Step, World};
use crate::json::Value;
use crate::refusal::{Refusal, Surface};

/// The state of one stream.
#[derive(Debug, Default)]
pub enum Echo {
    /// The request is on its way.
    Listening,
    /// It is answered.
    #[default]
    Over,
}

impl Flow for Echo {
    fn request_head(self, end: bool, world: &mut World<'_>) -> Step<Echo> {
        match end {
            true => speak(Vec::new(), world),
            false => Step::hold(self),
        }
    }

    fn request_body(self, body: Part, world: &mut World<'_>) -> Step<Echo> {
        match (self, body) {
            (Echo::Listening, Part::Whole(body)) => speak(body, world),
            (Echo::Listening, _) => Step::hold(Echo::Listening),
            (Echo::Over, _) => Step::pass(Echo::Over, Vec::new()),
        }
    }

    fn response_head(self, _: bool, _: &mut World<'_>) -> Step<Echo> {
        Step::pass(self, Vec::new())
    }

    fn response_body(self, _: Part, _: &mut World<'_>) -> Step<Echo> {
        Step::pass(self, Vec::new())
    }

    fn closed(self, _: &mut World<'_>) -> Vec<Effect> {
        Vec::new()
    }

    fn reads_request(&self) -> Reads {
        match self {
            Echo::Listening => Reads::Whole,
            Echo::Over => Reads::Nothing,
        }
    }

    fn reads_response(&self) -> Reads {
        Reads::Nothing
    }
}

fn speak(body: Vec<u8>, world: &World<'_>) -> Step<Echo> {
    let head = world.head();
    let wants = |task: Task| head.text(":path").is_some_and(|path| path.ends_with(task.path()));
    let task = if wants(Task::Embeddings) { Task::Embeddings } else { Task::Chat };
    let reply = Request::read(task, body).and_then(|request| match task {
        Task::Chat => Ok(answer_to(&request, world.now().as_secs())),
        Task::Embeddings => vectors::answer(&request),
    });
    Step::reply(Echo::Over, reply.unwrap_or_else(|refusal| refused(&refusal)))
}

fn answer_to(request: &Request, created: u64) -> Reply {
    let text = last_words(request);
    let usage = Usage {
        prompt: estimate::prompt(request),
        completion: estimate::written(text.len() as u64),
        ..Usage::default()
    };
    let head = AnswerHead { id: "chatcmpl-echo".to_owned(), created, model: request.model().to_owned() };
    let (kind, body) = match request.delivery() {
        Delivery::Whole => ("application/json", whole(head, text, usage)),
        Delivery::Stream { usage: asked } => ("text/event-stream", streamed(&head, &text, asked.then_some(usage))),
    };
    Reply { status: 200, headers: vec![("content-type", kind.into())], body }
}

fn whole(head: AnswerHead, text: String, usage: Usage) -> Vec<u8> {
    let (reasoning, refusal, tool_calls) = Default::default();
    Answer { head, text, reasoning, refusal, tool_calls, finish: Finish::Stop, usage: Some(usage) }.render()
}

fn streamed(head: &AnswerHead, text: &str, usage: Option<Usage>) -> Vec<u8> {
    let mut out = Vec::new();
    head.delta(Delta::Role, &mut out);
    for word in text.split_inclusive(' ') {
        head.delta(Delta::Text(word), &mut out);
    }
    head.finish(Finish::Stop, &mut out);
    if let Some(usage) = usage {
        head.usage(&usage, &mut out);
    }
    answer::done(&mut out);
    out
}

fn refused(refusal: &Refusal) -> Reply {
    let headers = vec![("content-type", "application/json".into())];
    Reply { status: refusal.status, headers, body: refusal.body(Surface::OpenAi, "") }
}

/// The text of the last message of the user; if there is none, of the last message.
fn last_words(request: &Request) -> String {
    let messages: Vec<_> = request.messages().collect();
    let users = messages.iter().rev().find(|message| message.text("role").as_deref() == Some("user"));
    users.or(messages.last()).and_then(|message| message.get("content")).map_or(String::new(), text)
}

fn text(content: Value<'_>) -> String {
    match content.as_str() {
        Some(text) => text.into_owned(),
        None => content.items().filter_map(|part| part.text("text")).collect(),
    }
}
