//! How a call to Redis ended.

use super::Reply;
use super::resp::Parser;

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With this body.
    Answer(Vec<u8>),
    /// With an HTTP status that is no success: Envoy could not lead it to Redis.
    Status(u16),
    /// With nothing: it took too long, or its connection broke.
    Silence,
    /// It could not even begin.
    Unsent,
}

impl Ending {
    /// A reply for each command, or why there is none.
    pub fn replies(self, commands: usize) -> Result<Vec<Reply>, String> {
        let body = match self {
            Ending::Answer(body) => body,
            Ending::Status(504) | Ending::Silence => return Err("no answer in time".to_owned()),
            Ending::Status(status) => return Err(format!("Envoy answers {status} in its place")),
            Ending::Unsent => return Err("Envoy has no way to it".to_owned()),
        };
        let mut parser = Parser::default();
        let mut replies =
            parser.feed(&body).map_err(|nonsense| format!("an answer that is not Redis's ({nonsense:?})"))?;
        let whole = parser.is_between_replies() && replies.len() == commands + 1;
        if whole && replies.pop() == Some(Reply::Text("OK".to_owned())) {
            return Ok(replies);
        }
        Err(format!("{} replies to {commands} commands", replies.len()))
    }
}

/// The first error, if no command was heard.
pub fn unheard(replies: &[Reply]) -> Option<String> {
    let errors: Option<Vec<&str>> = replies.iter().map(Reply::unheard).collect();
    errors?.first().map(|error| error.chars().take(LONGEST_REASON).collect())
}

/// In characters: what an operator needs of an error.
const LONGEST_REASON: usize = 200;
