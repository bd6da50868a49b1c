//! What holds of every decoder, whatever it is given.
//!
//! A decoder reads bytes that somebody else wrote: a client, a vendor, Redis, another version of Weir. Each is here as a
//! function of some bytes that panics if one of its laws is broken: that it does not panic itself; that it reads the
//! same however the bytes are cut; that what it makes is well-formed; and that it takes no more memory than a
//! [multiple](memory) of what it was given. libFuzzer calls them with bytes that lead ever deeper into the code
//! (`make fuzz`), and `tests/corpus.rs` with those that were found to (`cargo test`).
//!
//! A new one is a line in [`DECODERS`], and a folder of seeds (`fuzz/seeds.py`).

#[allow(unsafe_code, reason = "an allocator is unsafe by nature; this one only counts")]
pub mod memory;
mod messages;
mod records;
mod reply;
mod request;
mod stream;
mod text;

/// A decoder and its laws.
pub struct Decoder {
    /// The name of its corpus.
    pub name: &'static str,
    laws: fn(&[u8]),
}

impl Decoder {
    /// Reads the bytes; panics if a law is broken.
    pub fn run(&self, bytes: &[u8]) {
        memory::bounded(bytes.len(), || (self.laws)(bytes));
    }
}

/// All of them.
pub const DECODERS: &[Decoder] = &[
    Decoder { name: "sse", laws: text::events },
    Decoder { name: "json", laws: text::json },
    Decoder { name: "request_chat", laws: request::chat },
    Decoder { name: "request_embeddings", laws: request::embeddings },
    Decoder { name: "request_batch", laws: request::batch },
    Decoder { name: "messages_request", laws: messages::asked },
    Decoder { name: "messages_reply", laws: messages::answered },
    Decoder { name: "messages_stream", laws: messages::streamed },
    Decoder { name: "reply_openai", laws: |bytes| reply::of(&["openai", "azure"], bytes) },
    Decoder { name: "reply_compatible", laws: |bytes| reply::of(COMPATIBLE, bytes) },
    Decoder { name: "reply_anthropic", laws: |bytes| reply::of(&["anthropic"], bytes) },
    Decoder { name: "reply_gemini", laws: |bytes| reply::of(&["gemini"], bytes) },
    Decoder { name: "reply_bedrock", laws: |bytes| reply::of(&["bedrock"], bytes) },
    Decoder { name: "reply_error", laws: reply::error },
    Decoder { name: "stream_openai", laws: |bytes| stream::of(&["openai", "azure"], bytes) },
    Decoder { name: "stream_compatible", laws: |bytes| stream::of(COMPATIBLE, bytes) },
    Decoder { name: "stream_anthropic", laws: |bytes| stream::of(&["anthropic"], bytes) },
    Decoder { name: "stream_gemini", laws: |bytes| stream::of(&["gemini"], bytes) },
    Decoder { name: "stream_bedrock", laws: stream::bedrock },
    Decoder { name: "frames", laws: text::frames },
    Decoder { name: "redis_replies", laws: records::replies },
    Decoder { name: "kept_answer", laws: records::kept_answer },
    Decoder { name: "kept_index", laws: records::kept_index },
    Decoder { name: "kept_key", laws: records::kept_key },
    Decoder { name: "config", laws: text::config },
    Decoder { name: "metrics", laws: text::metrics },
];

/// The rows of `weir::vendor::FORMATS`.
const COMPATIBLE: &[&str] =
    &["mistral", "groq", "deepseek", "xai", "together", "fireworks", "openrouter", "ollama", "vllm"];

/// Three ways to cut some bytes besides none: in two, at a place that the bytes themselves decide; in pieces of a few; and,
/// if they are not many, one by one.
fn cuts(bytes: &[u8]) -> Vec<Vec<&[u8]>> {
    let sum = bytes.iter().fold(bytes.len(), |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let (head, tail) = bytes.split_at(sum % (bytes.len() + 1));
    let mut cuts = vec![vec![head, tail], bytes.chunks(sum % 23 + 2).collect()];
    if bytes.len() <= 4096 {
        cuts.push(bytes.chunks(1).collect());
    }
    cuts
}
