//! By what a request is known to the cache: a hash of what it asks for, however it is spelled.

use std::borrow::Cow;
use std::fmt;
use std::io::{BufWriter, Write as _};

use blake3::Hasher;

use super::Normal;
use crate::chat::{Request, Task};
use crate::json::{Kind, Value};
use crate::unit::hex;

/// What two requests have in common if one's answer is good for the other.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// The hash itself.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash in 64 hex digits.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }
}

/// Enough to find an entry by, too little to ask for it.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:.8}..)", self.hex())
    }
}

/// The key of a request to one model among those who share answers: `scope` says who, and must not be what somebody
/// else's can be (`key:team-a`, `tenant:acme`, `shared`); `model` is the model's name in the configuration.
pub fn key(scope: &str, model: &str, request: &Request, normal: Normal) -> Key {
    let mut canonical = Canonical { hasher: BufWriter::with_capacity(GATHERED, Hasher::new()), normal };
    canonical.feed(version(request.task()));
    // Who ignores less must not read what was kept by who ignores more.
    canonical.tag(normal.bits());
    canonical.text(scope);
    canonical.text(model);
    canonical.request(request);
    canonical.finish()
}

/// Says what is asked for; the number changes whenever the encoding below does, or what it leaves out. None is the
/// beginning of another.
fn version(task: Task) -> &'static [u8] {
    match task {
        Task::Chat => b"weir chat 1",
        Task::Embeddings => b"weir embeddings 1",
    }
}

/// Whether a member of the request can change the answer.
fn counts(task: Task, name: &str, value: Value<'_>) -> bool {
    let idle = match task {
        Task::Chat => ELSEWHERE.contains(&name) || INERT.contains(&name) || is_default(name, value),
        Task::Embeddings => match name {
            "model" | "user" | "stream" => true,
            "encoding_format" => value.as_str().as_deref() == Some("float"),
            _ => false,
        },
    };
    !value.is_null() && !idle
}

/// What the key has in another form.
const ELSEWHERE: &[&str] = &["model", "max_tokens", "max_completion_tokens"];

/// What makes no other answer: how it is delivered, who pays, what is remembered of it, and what makes it faster.
const INERT: &[&str] = &[
    "stream",
    "stream_options",
    "user",
    "safety_identifier",
    "metadata",
    "store",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "prediction",
];

/// Whether a member says no more than its absence would. Only defaults that every vendor shares: of `temperature`,
/// `top_p`, `verbosity` and `reasoning_effort` each model has its own, whatever OpenAI documents.
fn is_default(name: &str, value: Value<'_>) -> bool {
    match name {
        "n" => value.as_f64() == Some(1.0),
        "presence_penalty" | "frequency_penalty" => value.as_f64() == Some(0.0),
        "logprobs" => value.as_bool() == Some(false),
        "parallel_tool_calls" => value.as_bool() == Some(true),
        "stop" | "logit_bias" | "tools" | "functions" => value.is_empty(),
        "tool_choice" | "function_call" => value.as_str().as_deref() == Some("auto"),
        "response_format" => value.text("type").as_deref() == Some("text") && value.members().count() == 1,
        "modalities" => value.items().count() == 1 && value.items().all(|one| one.as_str().as_deref() == Some("text")),
        _ => false,
    }
}

/// Feeds values to the hash. Each begins with a tag that says where it ends: after so many bytes, or at a closing tag.
/// So no two sequences of different values are the same bytes.
struct Canonical {
    hasher: BufWriter<Hasher>,
    normal: Normal,
}

/// The hash takes several kilobytes at once in half the time of many small pieces.
const GATHERED: usize = 16 << 10;

impl Canonical {
    fn request(&mut self, request: &Request) {
        let task = request.task();
        let members = request.root().members().filter(|(name, value)| counts(task, name, *value)).collect();
        if task == Task::Embeddings {
            return self.object(members, |this, name, value| match name {
                "input" => this.inputs(request),
                _ => this.value(value),
            });
        }
        self.object(members, |this, name, value| match name {
            "messages" => this.array(value, Canonical::message),
            "stop" if value.is_string() => this.array_of_one(value),
            _ => this.value(value),
        });
        match request.most_tokens() {
            Some(most) => self.number(&most.to_string()),
            None => self.tag(b'n'),
        }
    }

    /// One input and a list of one have the same answer.
    fn inputs(&mut self, request: &Request) {
        self.tag(b'[');
        request.inputs().into_iter().for_each(|input| self.said(input.value()));
        self.tag(b']');
    }

    fn message(&mut self, message: Value<'_>) {
        self.object(message.members().collect(), |this, name, value| match (name, value.kind()) {
            ("content", Kind::Array) => this.array(value, Canonical::part),
            ("content", _) => this.said(value),
            _ => this.value(value),
        });
    }

    fn part(&mut self, part: Value<'_>) {
        self.object(part.members().collect(), |this, name, value| match name {
            "text" => this.said(value),
            _ => this.value(value),
        });
    }

    /// The text of a message or an input, or whatever stands in its place.
    fn said(&mut self, value: Value<'_>) {
        match value.as_str() {
            Some(text) => self.text(&self.normal.apply(&text)),
            None => self.value(value),
        }
    }

    /// Any value. The parser bounds how deep this goes.
    fn value(&mut self, value: Value<'_>) {
        match value.kind() {
            Kind::Null => self.tag(b'n'),
            Kind::Bool => self.tag(if value.as_bool() == Some(true) { b't' } else { b'f' }),
            Kind::Number => self.number(value.raw()),
            Kind::Plain | Kind::Escaped => self.text(&value.as_str().unwrap_or_default()),
            Kind::Array => self.array(value, Canonical::value),
            Kind::Object => self.object(value.members().collect(), |this, _, value| this.value(value)),
        }
    }

    fn array(&mut self, array: Value<'_>, item: impl Fn(&mut Canonical, Value<'_>)) {
        self.tag(b'[');
        array.items().for_each(|value| item(self, value));
        self.tag(b']');
    }

    fn array_of_one(&mut self, value: Value<'_>) {
        self.tag(b'[');
        self.value(value);
        self.tag(b']');
    }

    /// Members in the order of their names; no two are the same.
    fn object<'d>(
        &mut self,
        mut members: Vec<(Cow<'d, str>, Value<'d>)>,
        member: impl Fn(&mut Canonical, &str, Value<'d>),
    ) {
        members.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        self.tag(b'{');
        for (name, value) in members {
            self.text(&name);
            member(self, &name, value);
        }
        self.tag(b'}');
    }

    /// A number by its exact decimal value: the digits from the first to the last that is not 0, and the power of ten
    /// of the last. A double would make one of two integers beyond 2^53.
    fn number(&mut self, raw: &str) {
        let (sign, rest) = raw.strip_prefix('-').map_or((b'+', raw), |rest| (b'-', rest));
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = [whole, fraction].concat();
        let digits = digits.trim_start_matches('0');
        let significant = digits.trim_end_matches('0');
        let shift = (digits.len() - significant.len()) as i64 - fraction.len() as i64;
        match exponent.parse::<i64>().ok().and_then(|exponent| exponent.checked_add(shift)) {
            _ if significant.is_empty() => self.tag(b'0'),
            Some(power) => {
                self.tag(sign);
                self.feed(&power.to_le_bytes());
                self.text(significant);
            }
            // Beyond every number that means something; its spelling is good enough.
            None => {
                self.tag(b'?');
                self.text(raw);
            }
        }
    }

    fn text(&mut self, text: &str) {
        self.tag(b's');
        self.feed(&(text.len() as u64).to_le_bytes());
        self.feed(text.as_bytes());
    }

    fn tag(&mut self, tag: u8) {
        self.feed(&[tag]);
    }

    // A hash takes whatever is written to it.

    fn feed(&mut self, bytes: &[u8]) {
        let _ = self.hasher.write_all(bytes);
    }

    fn finish(mut self) -> Key {
        let _ = self.hasher.flush();
        Key(self.hasher.get_ref().finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    fn plain(content: &str) -> Key {
        let body = format!(r#"{{"model":"chat","messages":[{{"role":"user","content":"{content}"}}]}}"#);
        key("tenant:acme", "chat", &Request::parse(body.into_bytes()).unwrap(), Normal::default())
    }

    #[test]
    fn all_gateways_make_the_same_key() {
        assert_eq!(plain("Hello").hex(), "1f52e403d02c0ad8a91198f571e898b07fca35fc0b40f26c5a401810fad10116");
        // Long enough for the hash to take several blocks at once, which each processor does in its own way.
        let long = plain(&"Hello ".repeat(20_000));
        assert_eq!(long.hex(), "04d9d3aff0e090978630f85191a47477541d064772587de891bc4380cfc6a8f6");
    }

    #[test]
    fn a_log_sees_only_a_hint() {
        assert_eq!(format!("{:?}", plain("Hello")), "Key(1f52e403..)");
    }
}
