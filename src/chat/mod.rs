//! The one format in the middle: OpenAI's, of chat completions and of embeddings.
//!
//! Clients send it, vendors are translated to and from it, and nothing else is spoken between the roles. A [`Request`]
//! is the client's body, checked and indexed; [`sse`] cuts a stream into events; [`answer`] writes whole answers and
//! chunks of streams, for vendors that speak another format, and [`native`] what of their words is told beside; [`replay`] and [`fold`] make one of the other. What is only
//! of embeddings stands in [`embeddings`].

pub mod answer;
pub mod embeddings;
pub mod fold;
pub mod native;
pub mod replay;
pub mod request;
pub mod sse;
pub mod tally;

pub use answer::{Delta, Finish, Usage};
pub use fold::Fold;
pub use native::Native;
pub use request::{Origin, Request, Task};
pub use tally::Tally;
