//! What a failed call to a vendor becomes: an answer for the client, and whether another vendor is worth a try.
//!
//! One table serves all formats, because vendors agree on statuses more than on bodies. The vendor's own text is passed
//! on where it is about the request; for a rejected credential it is not, since such texts quote parts of keys.

use std::borrow::Cow;
use std::time::Duration;

use crate::json::{Doc, Value};
use crate::refusal::{INVALID, Refusal, SERVER};
use crate::vendor::delay;

/// A failed attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The short name of what happened, in `x-weir-attempts`: the vendor's status, or a word.
    pub outcome: Cow<'static, str>,
    /// The answer, if no other vendor gives a better one.
    pub refusal: Refusal,
    /// Whether the next vendor of the plan is tried.
    pub next: Next,
}

/// Whether the next vendor of the plan is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another vendor may do better.
    Try,
    /// The request is at fault: every vendor would refuse it.
    Stop,
}

/// What is wrong with a reply that began well.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// The body, or an event, is not what the format promises; what was expected, for the log.
    Unreadable(&'static str),
    /// The vendor ended its stream in the middle of the answer.
    CutOff,
    /// An event, or the reply, is larger than Weir reads.
    TooLong,
    /// The vendor reported an error inside the stream.
    Reported(Reported),
}

/// An error as the vendor told it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reported {
    /// The text; empty where there is none.
    pub message: String,
    /// The vendor's word for it; empty where there is none.
    pub kind: String,
    /// A code; empty where there is none.
    pub code: String,
    /// The field at fault.
    pub param: Option<String>,
    /// When the vendor wants to be asked again, where it says so in the body.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A reply whose status says that it is an error. `retry_after` is what its headers say.
    pub fn from_status(vendor: &str, status: u16, retry_after: Option<Duration>, body: &[u8]) -> Failure {
        Failure::from_named_status(vendor, status, "", retry_after, body)
    }

    /// The same of a vendor that names its errors outside of their bodies; `word` is empty where there is none.
    pub fn from_named_status(
        vendor: &str,
        status: u16,
        word: &str,
        retry_after: Option<Duration>,
        body: &[u8],
    ) -> Failure {
        let mut reported = Reported::parse(body);
        if !word.is_empty() {
            reported.kind = word.to_owned();
        }
        let said = reported.said(status);
        let row = row(said, &reported);
        let retry_after = retry_after.or(reported.retry_after);
        let refusal = Reported { retry_after, ..reported.concealing(said) }.refusal(vendor, &row);
        Failure { outcome: Cow::Owned(status.to_string()), refusal, next: row.next }
    }

    /// A reply that began with a good status and went wrong before anything was sent to the client.
    pub fn from_fault(vendor: &str, fault: Fault) -> Failure {
        Failure { outcome: fault.word().into(), refusal: fault.refusal(vendor), next: Next::Try }
    }

    /// No reply at all: the connection was refused or reset, or the name has no address.
    pub fn unreachable(vendor: &str) -> Failure {
        let message = format!("{vendor} could not be reached");
        Failure {
            outcome: "unreachable".into(),
            refusal: Refusal::upstream(503, "upstream_unreachable", SERVER, "upstream_connection_error", message),
            next: Next::Try,
        }
    }

    /// No answer in time.
    pub fn timeout(vendor: &str) -> Failure {
        let message = format!("{vendor} did not answer in time");
        Failure {
            outcome: "timeout".into(),
            refusal: Refusal::upstream(504, "upstream_timeout", SERVER, "timeout", message),
            next: Next::Try,
        }
    }
}

impl Fault {
    /// The short name of what happened.
    pub fn word(&self) -> &'static str {
        match self {
            Fault::Reported(_) => "error_event",
            Fault::CutOff => "cut_off",
            Fault::TooLong => "too_long",
            Fault::Unreadable(_) => "bad_reply",
        }
    }

    /// The error as the client is told it, in a body or in an event of a stream that has begun.
    pub fn refusal(&self, vendor: &str) -> Refusal {
        let broken = |message: String| Refusal::upstream(502, "upstream_error", SERVER, "upstream_error", message);
        match self {
            Fault::Unreadable(what) => broken(format!("{vendor} sent a reply that is not {what}")),
            Fault::CutOff => broken(format!("{vendor} broke off before the answer was complete")),
            Fault::TooLong => broken(format!("{vendor} sent more than the gateway reads")),
            Fault::Reported(reported) => {
                let status = reported.status();
                reported.clone().concealing(status).refusal(vendor, &row(status, reported))
            }
        }
    }
}

impl Reported {
    /// Reads an error body in any of the shapes in use; what is not JSON has no message.
    pub fn parse(body: &[u8]) -> Reported {
        Doc::parse(body.to_vec()).map(|doc| Reported::read(doc.root())).unwrap_or_default()
    }

    /// Reads `{"error": {..}}`, `{"error": "text"}`, `{"message": ..}`, which Amazon also begins with a capital, or
    /// `{"detail": ..}`, also as the only item of an array; the last is a text or, of servers made with FastAPI, a list of
    /// `{"msg": ..}`, which Mistral puts into `message`. Google's errors (`google.rpc.Status`) have a word in `status`, which says more than the number in `code`,
    /// and `details`, of which two matter: that the key is bad, and when to come again.
    pub fn read(root: Value<'_>) -> Reported {
        let root = root.items().next().unwrap_or(root);
        let error = root.given("error").filter(|error| error.is_object()).unwrap_or(root);
        let text = |name: &str| -> String {
            let value = error.given(name);
            value
                .and_then(|v| v.as_str().or_else(|| v.as_u64().map(|_| Cow::Borrowed(v.raw()))))
                .unwrap_or_default()
                .into()
        };
        let message = ["message", "Message", "error", "detail"].map(text).into_iter().find(|m| !m.is_empty());
        let message = message.or_else(|| listed(error)).unwrap_or_default();
        let param = Some(text("param")).filter(|param| !param.is_empty());
        let code = google_word(error).map_or_else(|| text("code"), Into::into);
        let retry_after = delay::from_error(error, &message);
        Reported { message, kind: text("type"), code, param, retry_after }
    }

    /// The error that came in the place of an answer, if it is one: some vendors, or what stands in front of them, report
    /// with a good status what went wrong behind it.
    pub fn instead(root: Value<'_>) -> Option<Reported> {
        let is_one = root.given("error").is_some() || root.text("object").as_deref() == Some("error");
        is_one.then(|| Reported::read(root))
    }

    /// What may be told of it: texts about a credential quote parts of it, or name the account.
    fn concealing(self, status: u16) -> Reported {
        match status {
            401 | 403 => {
                Reported { message: "the gateway's own credential was rejected".to_owned(), ..Reported::default() }
            }
            _ => self,
        }
    }

    /// The status that a vendor should have sent in the place of the one that it sent: to Google a bad key is a bad
    /// request, and so is to Amazon a quota that is used up or a token that has expired.
    fn said(&self, status: u16) -> u16 {
        if self.code == BAD_KEY { 401 } else { amazon_status(&self.kind).unwrap_or(status) }
    }

    /// The status that a vendor would have sent for an error that came inside a stream.
    fn status(&self) -> u16 {
        match (self.kind.as_str(), self.code.as_str()) {
            ("rate_limit_error" | "rate_limited" | "requests" | "tokens", _) | (_, "rate_limit_exceeded" | "429") => {
                429
            }
            ("insufficient_quota", _) | (_, "insufficient_quota") => 429,
            ("overloaded_error", _) => 529,
            ("timeout_error", _) => 504,
            ("invalid_request_error", _) => 400,
            (_, BAD_KEY) => 401,
            (kind, code) => amazon_status(kind)
                .or_else(|| google_status(code))
                .or_else(|| code.parse().ok())
                .filter(|code| (400..600).contains(code))
                .unwrap_or(500),
        }
    }

    fn refusal(&self, vendor: &str, row: &Row) -> Refusal {
        let message = match self.message.as_str() {
            "" => format!("{vendor} {}", row.says),
            text => format!("{vendor}: {}", truncated(text)),
        };
        let own =
            |word: &str, ours: &str| if row.relay && !word.is_empty() { word.to_owned() } else { ours.to_owned() };
        let (kind, code) = (own(&self.kind, row.kind), own(&self.code, row.code));
        let refusal = Refusal::upstream(row.status, row.reason, &kind, &code, message);
        let retry_after = self.retry_after.filter(|_| matches!(row.status, 429 | 503));
        Refusal { param: self.param.clone().filter(|_| row.relay), retry_after, ..refusal }
    }
}

/// Google's words for what went wrong, and the statuses that belong to them (`google/rpc/code.proto`).
const GOOGLE: &[(&str, u16)] = &[
    ("INVALID_ARGUMENT", 400),
    ("FAILED_PRECONDITION", 400),
    ("OUT_OF_RANGE", 400),
    ("UNAUTHENTICATED", 401),
    ("PERMISSION_DENIED", 403),
    ("NOT_FOUND", 404),
    ("ALREADY_EXISTS", 409),
    ("ABORTED", 409),
    ("RESOURCE_EXHAUSTED", 429),
    ("CANCELLED", 499),
    ("UNKNOWN", 500),
    ("INTERNAL", 500),
    ("DATA_LOSS", 500),
    ("UNIMPLEMENTED", 501),
    ("UNAVAILABLE", 503),
    ("DEADLINE_EXCEEDED", 504),
];

/// Amazon's words for what went wrong, and the statuses that belong to them: those of Bedrock's runtime as its service
/// model has them, but for a quota, which it takes for a bad request; and those of its request signing ("Common Errors").
/// Inside a stream the same words begin with a small letter.
const AMAZON: &[(&str, u16)] = &[
    ("ValidationException", 400),
    ("AccessDeniedException", 403),
    ("ExpiredTokenException", 403),
    ("IncompleteSignatureException", 403),
    ("InvalidSignatureException", 403),
    ("MissingAuthenticationTokenException", 403),
    ("UnrecognizedClientException", 403),
    ("ResourceNotFoundException", 404),
    ("ModelTimeoutException", 408),
    ("ModelErrorException", 424),
    ("ModelStreamErrorException", 424),
    ("ModelNotReadyException", 429),
    ("ServiceQuotaExceededException", 429),
    ("ThrottlingException", 429),
    ("InternalServerException", 500),
    ("ServiceUnavailableException", 503),
];

/// The status that belongs to one of Amazon's words.
fn amazon_status(kind: &str) -> Option<u16> {
    AMAZON.iter().find(|(word, _)| word.eq_ignore_ascii_case(kind)).map(|(_, status)| *status)
}

/// The `reason` in the details of Google's error for a key that is none.
const BAD_KEY: &str = "API_KEY_INVALID";

/// Google's word in `status`, or the one for a bad key; `None` in the errors of others.
fn google_word(error: Value<'_>) -> Option<&'static str> {
    let status = error.text("status")?;
    let mut details = error.given("details").into_iter().flat_map(Value::items);
    if details.any(|detail| detail.text("reason").as_deref() == Some(BAD_KEY)) {
        return Some(BAD_KEY);
    }
    GOOGLE.iter().find(|(word, _)| *word == status).map(|(word, _)| *word)
}

/// The status that belongs to one of Google's words.
fn google_status(code: &str) -> Option<u16> {
    GOOGLE.iter().find(|(word, _)| *word == code).map(|(_, status)| *status)
}

/// One row of the table: what a vendor's status becomes.
struct Row {
    status: u16,
    reason: &'static str,
    kind: &'static str,
    code: &'static str,
    /// Whether the vendor's own type, code and param are passed on.
    relay: bool,
    says: &'static str,
    next: Next,
}

/// The table. Statuses that say "the client's request is wrong" stop the plan, all others go on to the next vendor.
fn row(status: u16, reported: &Reported) -> Row {
    let row =
        |status, reason, kind, code, says| Row { status, reason, kind, code, relay: false, says, next: Next::Try };
    let relay = |row: Row| Row { relay: true, ..row };
    let stop = |row: Row| Row { next: Next::Stop, ..row };
    let quota = reported.kind == "insufficient_quota" || reported.code == "insufficient_quota";
    match status {
        400 | 422 => stop(relay(row(400, "upstream_invalid", INVALID, "invalid_request", "refused the request"))),
        401 | 403 => row(502, "upstream_auth", "upstream_auth_error", "upstream_auth_error", "rejected the credential"),
        402 => row(502, "upstream_quota", SERVER, "insufficient_quota", "has no credit left for the gateway"),
        404 => row(502, "upstream_not_found", SERVER, "upstream_model_not_found", "does not know the model"),
        408 | 504 => row(504, "upstream_timeout", SERVER, "timeout", "did not answer in time"),
        409 => relay(row(409, "upstream_conflict", INVALID, "conflict", "reports a conflict")),
        // Groq's way to say that a request has more tokens than there may be in a minute.
        413 if reported.code == "rate_limit_exceeded" => self::row(429, reported),
        413 => stop(row(413, "upstream_too_large", INVALID, "request_too_large", "finds the request too large")),
        429 if quota => {
            relay(row(429, "upstream_quota", "insufficient_quota", "insufficient_quota", "has no quota left"))
        }
        429 | 498 => {
            relay(row(429, "upstream_rate_limit", "rate_limit_error", "rate_limit_exceeded", "is rate limited"))
        }
        503 => row(503, "upstream_unavailable", SERVER, "upstream_unavailable", "is unavailable"),
        529 => row(503, "upstream_overloaded", "overloaded_error", "upstream_overloaded", "is overloaded"),
        _ => row(502, "upstream_error", SERVER, "upstream_error", "failed"),
    }
}

/// The first text of a list of what is wrong.
fn listed(error: Value<'_>) -> Option<String> {
    let holder = error.given("message").filter(|message| message.is_object()).unwrap_or(error);
    let first = ["detail", "message"].into_iter().find_map(|name| holder.get(name)?.items().next())?;
    let place = first.get("loc").and_then(|place| place.items().last()).and_then(Value::as_str);
    let text = first.text("msg")?;
    Some(place.map_or_else(|| text.to_string(), |place| format!("{place}: {text}")))
}

/// A vendor's text, cut to a length that no log or client minds.
fn truncated(text: &str) -> &str {
    const MOST: usize = 1000;
    let end = text.char_indices().map(|(i, _)| i).take_while(|i| *i <= MOST).last().unwrap_or(0);
    if text.len() <= MOST { text } else { text.get(..end).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    fn failure(status: u16, body: &str) -> Failure {
        Failure::from_status("openai", status, None, body.as_bytes())
    }

    #[test]
    fn maps_a_status_to_an_answer_and_a_decision() {
        for (status, shown, next) in [
            (400, 400, Next::Stop),
            (401, 502, Next::Try),
            (402, 502, Next::Try),
            (403, 502, Next::Try),
            (404, 502, Next::Try),
            (408, 504, Next::Try),
            (413, 413, Next::Stop),
            (418, 502, Next::Try),
            (422, 400, Next::Stop),
            (429, 429, Next::Try),
            (500, 502, Next::Try),
            (502, 502, Next::Try),
            (503, 503, Next::Try),
            (504, 504, Next::Try),
            (529, 503, Next::Try),
        ] {
            let failure = failure(status, "<html>");
            assert_eq!((failure.refusal.status, failure.next), (shown, next), "{status}");
            assert_eq!(failure.outcome, status.to_string());
        }
    }

    #[test]
    fn reads_every_shape_of_error_body() {
        for (body, message) in [
            (r#"{"error":{"message":"no such thing","type":"t","param":"p","code":"c"}}"#, "openai: no such thing"),
            (r#"{"type":"error","error":{"type":"invalid_request_error","message":"bad"}}"#, "openai: bad"),
            (r#"{"error":"text"}"#, "openai: text"),
            (r#"{"statusCode":400,"message":"flat"}"#, "openai: flat"),
            (r#"{"detail":"fastapi"}"#, "openai: fastapi"),
            (r#"{"detail":[{"loc":["body","seed"],"msg":"not permitted"}]}"#, "openai: seed: not permitted"),
            (r#"{"object":"error","message":{"detail":[{"msg":"missing"}]}}"#, "openai: missing"),
            (r#"{"object":"error","message":"flat","type":"BadRequestError","code":400}"#, "openai: flat"),
            (r#"{"message":{"detail":[]}}"#, "openai refused the request"),
            (r#"{"detail":[7,{}]}"#, "openai refused the request"),
            ("<html>", "openai refused the request"),
            ("", "openai refused the request"),
        ] {
            assert_eq!(failure(400, body).refusal.message, message);
        }
        let refusal = failure(400, r#"{"error":{"message":"m","type":"t","param":"p","code":7}}"#).refusal;
        assert_eq!(
            (refusal.kind.as_str(), refusal.code.as_deref(), refusal.param.as_deref()),
            ("t", Some("7"), Some("p"))
        );
    }

    #[test]
    fn too_many_tokens_for_a_minute_are_a_limit() {
        let failure = failure(413, r#"{"error":{"message":"m","type":"tokens","code":"rate_limit_exceeded"}}"#);
        assert_eq!((failure.refusal.status, failure.next), (429, Next::Try));
    }

    #[test]
    fn a_rejected_credential_is_not_quoted() {
        let refusal =
            failure(401, r#"{"error":{"message":"Incorrect API key provided: sk-abc","code":"invalid_api_key"}}"#)
                .refusal;
        assert_eq!(refusal.message, "openai: the gateway's own credential was rejected");
        assert_eq!(refusal.code.as_deref(), Some("upstream_auth_error"));
    }

    #[test]
    fn an_error_event_has_the_status_it_would_have_had() {
        for (kind, code, status) in [
            ("overloaded_error", "", 503),
            ("rate_limit_error", "", 429),
            ("api_error", "", 502),
            ("", "rate_limit_exceeded", 429),
            ("", "503", 503),
            ("server_error", "", 502),
        ] {
            let reported = Reported { kind: kind.into(), code: code.into(), ..Reported::default() };
            assert_eq!(Fault::Reported(reported).refusal("claude").status, status, "{kind} {code}");
        }
    }

    #[test]
    fn an_error_may_stand_where_an_answer_should() {
        for (body, message) in [
            (r#"{"error":{"message":"boom","code":502}}"#, Some("boom")),
            (r#"{"error":{}}"#, Some("")),
            (
                r#"{"object":"error","message":"Service unavailable.","type":"internal_server_error"}"#,
                Some("Service unavailable."),
            ),
            (r#"{"statusCode":200,"message":"ok"}"#, None),
            (r#"{"object":"list","data":[]}"#, None),
            (r#"{"error":null,"message":""}"#, None),
        ] {
            let doc = Doc::parse(body.as_bytes().to_vec()).unwrap();
            assert_eq!(Reported::instead(doc.root()).map(|reported| reported.message).as_deref(), message, "{body}");
        }
    }

    #[test]
    fn reads_googles_errors() {
        let body = |code: u16, status: &str, details: &str| {
            format!(r#"{{"error":{{"code":{code},"message":"m","status":"{status}","details":[{details}]}}}}"#)
        };
        let key = r#"{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}"#;
        for (status, body, shown, code, next) in [
            (400, body(400, "INVALID_ARGUMENT", ""), 400, "INVALID_ARGUMENT", Next::Stop),
            (400, body(400, "INVALID_ARGUMENT", key), 502, "upstream_auth_error", Next::Try),
            (429, body(429, "RESOURCE_EXHAUSTED", ""), 429, "RESOURCE_EXHAUSTED", Next::Try),
            (402, body(402, "RESOURCE_EXHAUSTED", ""), 502, "insufficient_quota", Next::Try),
            (503, format!("[{}]", body(503, "UNAVAILABLE", "")), 503, "upstream_unavailable", Next::Try),
            (429, body(429, "UNHEARD_OF", ""), 429, "429", Next::Try),
        ] {
            let failure = failure(status, &body);
            assert_eq!((failure.refusal.status, failure.next), (shown, next), "{body}");
            assert_eq!(failure.refusal.code.as_deref(), Some(code), "{body}");
            assert_eq!(failure.outcome, status.to_string());
            assert_eq!(failure.refusal.message == "openai: m", shown != 502 || status == 402, "{body}");
        }
    }

    #[test]
    fn reads_amazons_errors() {
        for (status, word, body, shown, next) in [
            (400, "ValidationException", r#"{"message":"m"}"#, 400, Next::Stop),
            (400, "", r#"{"Message":"m"}"#, 400, Next::Stop),
            (400, "ExpiredTokenException", r#"{"message":"m"}"#, 502, Next::Try),
            (400, "ServiceQuotaExceededException", r#"{"message":"m"}"#, 429, Next::Try),
            (403, "UnrecognizedClientException", r#"{"message":"m"}"#, 502, Next::Try),
            (408, "ModelTimeoutException", r#"{"message":"m"}"#, 504, Next::Try),
            (424, "ModelErrorException", r#"{"message":"m"}"#, 502, Next::Try),
            (429, "ThrottlingException", r#"{"message":"m"}"#, 429, Next::Try),
            (503, "ServiceUnavailableException", r#"{"message":"m"}"#, 503, Next::Try),
            (429, "UnheardOfException", "", 429, Next::Try),
        ] {
            let failure = Failure::from_named_status("bedrock", status, word, None, body.as_bytes());
            assert_eq!((failure.refusal.status, failure.next), (shown, next), "{status} {word}");
            assert_eq!(failure.outcome, status.to_string());
            let credential = word.starts_with("Expired") || word.starts_with("Unrecognized");
            assert_eq!(failure.refusal.message == "bedrock: m", !credential && !body.is_empty(), "{word}");
        }
        for (word, status) in [
            ("throttlingException", 429),
            ("internalServerException", 502),
            ("modelStreamErrorException", 502),
            ("serviceUnavailableException", 503),
            ("validationException", 400),
            ("ExpiredTokenException", 502),
            ("somethingElse", 502),
        ] {
            let reported = Reported { kind: word.into(), message: "arn:aws".into(), ..Reported::default() };
            let refusal = Fault::Reported(reported).refusal("bedrock");
            assert_eq!((refusal.status, refusal.message.contains("arn")), (status, word != "ExpiredTokenException"));
        }
    }

    #[test]
    fn googles_word_has_a_status_inside_a_stream() {
        for (code, status) in
            [("UNAVAILABLE", 503), ("RESOURCE_EXHAUSTED", 429), ("INTERNAL", 502), ("API_KEY_INVALID", 502)]
        {
            let reported = Reported { code: code.into(), ..Reported::default() };
            assert_eq!(Fault::Reported(reported).refusal("gemini").status, status, "{code}");
        }
    }

    #[test]
    fn the_body_may_say_when_to_come_again() {
        let wait = |delay: &str, header: Option<Duration>| {
            let detail = format!(r#"{{"@type":"google.rpc.RetryInfo","retryDelay":{delay}}}"#);
            let body = format!(r#"{{"error":{{"message":"m","status":"RESOURCE_EXHAUSTED","details":[{detail}]}}}}"#);
            Failure::from_status("gemini", 429, header, body.as_bytes()).refusal.retry_after
        };
        let seconds = |seconds: f64| Some(Duration::from_secs_f64(seconds));
        for (delay, expected) in [
            ("\"34.4s\"", seconds(34.4)),
            ("\"0s\"", seconds(0.0)),
            ("\"34\"", None),
            ("34", None),
            ("\"-1s\"", None),
            ("\"infs\"", None),
            ("\"NaNs\"", None),
            ("\"1e30s\"", None),
        ] {
            assert_eq!(wait(delay, None), expected, "{delay}");
        }
        assert_eq!(wait("\"34s\"", seconds(2.0)), seconds(2.0));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let body = format!(r#"{{"error":"{}"}}"#, "é".repeat(5000));
        assert!(failure(400, &body).refusal.message.len() < 1100);
    }
}
