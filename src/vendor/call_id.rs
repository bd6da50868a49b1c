//! The ids of tool calls, which Gemini rarely gives, and the signatures of thoughts, which it wants back.
//!
//! An id is made of the reply's own id and the call's place in it, so the same reply always yields the same ids and no two
//! replies of a conversation share one. Models that think sign a call with `thoughtSignature`, and newer ones refuse a
//! conversation whose calls lost theirs. A client keeps the id of a call and nothing else for certain, so the signature
//! rides in it: `call_<reply>_<choice>_<call>_sig_<signature>`, in letters that every vendor takes in an id. It can be
//! long, and OpenAI allows an id 40 bytes; so when a conversation moves to another vendor, the signature is taken off.

use crate::json::Value;

/// The id for a part with a `functionCall`, the `call`th of this choice in the reply of this id.
pub(super) fn make(reply: &str, choice: u64, call: usize, part: Value<'_>) -> String {
    let given = part.get("functionCall").and_then(|call| call.text("id")).filter(|id| !id.is_empty());
    let mut id = match given {
        Some(given) => given.into_owned(),
        None => {
            let seed: String = reply.chars().filter(char::is_ascii_alphanumeric).take(SEED).collect();
            format!("call_{seed}_{choice}_{call}")
        }
    };
    if let Some(signature) = part.text("thoughtSignature").filter(|text| !text.is_empty() && is_base64(text)) {
        id.push_str(MARK);
        id.extend(signature.chars().filter(|letter| *letter != '=').map(url_safe));
    }
    id
}

/// The signature in an id, if there is one, as Gemini spelled it.
pub(super) fn signature(id: &str) -> Option<String> {
    split(id).map(|(_, signature)| signature)
}

/// An id without the signature in it; `None` if there is none.
pub(super) fn unsigned(id: &str) -> Option<&str> {
    split(id).map(|(id, _)| id)
}

fn split(id: &str) -> Option<(&str, String)> {
    let (id, text) = id.split_once(MARK)?;
    let mut signature: String = text.chars().map(standard).collect();
    while !signature.len().is_multiple_of(4) {
        signature.push('=');
    }
    (!text.is_empty() && is_base64(&signature)).then_some((id, signature))
}

/// What stands between the id and the signature.
pub(super) const MARK: &str = "_sig_";

/// How much of the reply's id is taken: with it, no id without signature is longer than the 40 bytes that OpenAI allows.
const SEED: usize = 24;

/// Google's word for a call that was never signed, from its page on thought signatures: the call came from another
/// vendor, or from a client that did not keep its id.
pub(super) const UNSIGNED: &str = "skip_thought_signature_validator";

fn is_base64(text: &str) -> bool {
    text.trim_end_matches('=').bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte))
}

fn url_safe(letter: char) -> char {
    match letter {
        '+' => '-',
        '/' => '_',
        other => other,
    }
}

fn standard(letter: char) -> char {
    match letter {
        '-' => '+',
        '_' => '/',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Doc;
    use crate::test;

    #[test]
    fn an_id_carries_the_signature() {
        for (part, id, signed) in [
            (r#"{"functionCall":{"name":"f"}}"#, "call_aB3xZ_0_2", None),
            (r#"{"functionCall":{"name":"f","id":"own"}}"#, "own", None),
            (r#"{"functionCall":{"id":""},"thoughtSignature":""}"#, "call_aB3xZ_0_2", None),
            (r#"{"functionCall":{},"thoughtSignature":"a+b/cQ=="}"#, "call_aB3xZ_0_2_sig_a-b_cQ", Some("a+b/cQ==")),
            (r#"{"functionCall":{"id":"own"},"thoughtSignature":"AAAA"}"#, "own_sig_AAAA", Some("AAAA")),
            (r#"{"functionCall":{},"thoughtSignature":"not base64"}"#, "call_aB3xZ_0_2", None),
        ] {
            let doc = Doc::parse(part.as_bytes().to_vec()).unwrap();
            let made = make("aB3-x_Z", 0, 2, doc.root());
            assert_eq!((made.as_str(), signature(&made).as_deref()), (id, signed), "{part}");
            assert_eq!(unsigned(&made).is_some(), signed.is_some(), "{part}");
        }
        for id in ["call_1", "call_1_sig_", "call_1_sig_a b", "call_1_sig_=\""] {
            assert_eq!((signature(id), unsigned(id)), (None, None), "{id}");
        }
    }

    #[test]
    fn an_id_is_short() {
        let doc = Doc::parse(b"{}".to_vec()).unwrap();
        assert!(make(&"x".repeat(1000), 7, 9999, doc.root()).len() <= 40);
    }
}
