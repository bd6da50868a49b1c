//! A request on its way to a vendor of OpenAI's format.

use super::Counts;
use super::fix::{self, Fixes};
use crate::chat::{Request, Task};
use crate::json::Value;
use crate::vendor::edits::{self, Edits};
use crate::vendor::{Body, Call, StreamUsage, Unsupported};

/// What a vendor wants differently.
#[derive(Debug, Clone, Copy)]
pub struct Requests {
    /// In a request for chat completions.
    pub chat: Fixes,
    /// In each of its messages.
    pub messages: Fixes,
    /// In a request for embeddings.
    pub embeddings: Fixes,
    /// What an explicit null is, where no fix says so.
    pub nulls: Nulls,
    /// The ids of tool calls.
    pub call_ids: CallIds,
}

/// What a null in the place of a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nulls {
    /// The field's default, as OpenAI has it.
    Default,
    /// A mistake; so none is sent.
    Mistake,
}

/// What the ids of tool calls look like. They come from whichever vendor answered before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallIds {
    /// Anything.
    Any,
    /// Nine letters and digits. Others are exchanged, the same always for the same.
    Nine,
}

impl Requests {
    /// Nothing differently.
    pub const AS_RECEIVED: Requests =
        Requests { chat: &[], messages: &[], embeddings: &[], nulls: Nulls::Default, call_ids: CallIds::Any };

    /// Finds the first field that asks for what the vendor does not have.
    pub(super) fn accept(&self, request: &Request) -> Result<(), Unsupported> {
        if let Some(name) = fix::refused(self.fields(request.task()), request.root()) {
            return Err(Unsupported::new(name));
        }
        let wrong = |(i, message)| fix::refused(self.messages, message).map(|name| format!("messages[{i}].{name}"));
        match request.messages().enumerate().find_map(wrong) {
            Some(path) => Err(Unsupported::new(path)),
            None => Ok(()),
        }
    }

    fn fields(&self, task: Task) -> Fixes {
        match task {
            Task::Chat => self.chat,
            Task::Embeddings => self.embeddings,
        }
    }

    fn apply(&self, request: &Request, edits: &mut Edits<'_>) {
        fix::apply(self.fields(request.task()), self.nulls, request.root(), edits);
        for message in request.messages() {
            fix::apply(self.messages, Nulls::Default, message, edits);
            if self.call_ids == CallIds::Nine {
                let calls =
                    message.get("tool_calls").into_iter().flat_map(Value::items).filter_map(|call| call.get("id"));
                calls.chain(message.get("tool_call_id")).for_each(|id| shorten(id, edits));
            }
        }
    }
}

/// The client's body with the vendor's name of the model, the wish for usage, and what the vendor wants differently.
pub(super) fn body(requests: &Requests, counts: Counts, call: &Call<'_>) -> Body {
    let mut edits = Edits::new(call.request.body());
    edits::rename(call, &mut edits);
    if call.stream_usage == StreamUsage::Asked && counts == Counts::IfAsked {
        edits::ask_for_usage(call, &mut edits);
    }
    requests.apply(call.request, &mut edits);
    edits::forget_thoughts(call.request, &mut edits);
    edits::forget_extensions(call.request, &mut edits);
    // Of two edits of one place the first counts, and a short id has no signature any more.
    edits::unsign(call, &mut edits);
    edits.body()
}

/// Exchanges an id that is not of nine letters and digits.
fn shorten(id: Value<'_>, edits: &mut Edits<'_>) {
    let Some(text) = id.as_str() else { return };
    if text.len() != NINE || !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        edits.replace(id, |w| w.string(&short(&text)));
    }
}

const NINE: usize = 9;

/// Nine digits of the text's FNV-1a hash in base 62, of which there are 2^53: two of the few ids of a conversation are
/// not the same by chance, and whoever makes them so confuses a conversation of his own.
fn short(text: &str) -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let digits = std::iter::from_fn(|| {
        let digit = DIGITS.get((rest % 62) as usize).copied().map(char::from);
        rest /= 62;
        digit
    });
    digits.take(NINE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    #[test]
    fn ids_are_short_and_stay_apart() {
        let ids = ["", "call_1", "call_2", "toolu_01A09q90qw90lq917835lq9", "\u{e9}"].map(short);
        for (i, id) in ids.iter().enumerate() {
            assert!(id.len() == NINE && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
            assert_eq!(ids.iter().position(|other| other == id), Some(i));
        }
        assert_eq!(short("call_1"), ids[1]);
    }
}
