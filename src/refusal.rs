//! Every way in which Weir says no.
//!
//! A [`Refusal`] has two voices. The client reads the status and a body in the shape of the surface it called; the log
//! and the metrics read a short, stable reason. This file is the only place where a status code is chosen for an answer
//! that is no success, so the table of `docs/api.md` can be checked against it.

use std::time::Duration;

use crate::json::Writer;

/// Which of the error shapes a client expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// `{"error": "text"}`, under `/api` and everywhere outside `/v1`.
    Api,
    /// OpenAI's `{"error": {"message", "type", "param", "code"}}`, under `/v1`.
    OpenAi,
    /// Anthropic's `{"type": "error", "error": {"type", "message"}, "request_id"}`, under `/v1/messages`.
    Messages,
}

impl Surface {
    /// The surface that a path belongs to.
    pub fn of(path: &str) -> Surface {
        let under = |rest: &str| rest.is_empty() || rest.starts_with(['/', '?']);
        if path.strip_prefix("/v1/messages").is_some_and(under) {
            return Surface::Messages;
        }
        match path.strip_prefix("/v1") {
            Some(rest) if under(rest) => Surface::OpenAi,
            _ => Surface::Api,
        }
    }
}

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The short stable name of what happened: in logs and metric labels.
    pub reason: &'static str,
    /// OpenAI's `type`.
    pub kind: String,
    /// OpenAI's `code`.
    pub code: Option<String>,
    /// The field of the request that is to blame, as a path such as `messages[2].role`.
    pub param: Option<String>,
    /// What is wrong and what to do, for the client.
    pub message: String,
    /// How long to wait before another try, where that is known.
    pub retry_after: Option<Duration>,
    /// What the client's SDK is told about trying again.
    pub again: Again,
    /// The methods that the path takes, on a 405.
    pub allow: Option<&'static str>,
}

/// What `x-should-retry` says; the official SDKs obey it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Nothing: the status decides.
    AsUsual,
    /// Another try, after the wait, has a chance.
    Yes,
    /// Another try within an SDK's patience is in vain.
    No,
}

/// What of a limit is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhausted {
    /// Requests, over time or at once.
    Requests,
    /// Tokens.
    Tokens,
    /// Money.
    Budget,
}

impl Refusal {
    fn new(status: u16, reason: &'static str, kind: &str, message: impl Into<String>) -> Refusal {
        Refusal {
            status,
            reason,
            kind: kind.to_owned(),
            code: None,
            param: None,
            message: message.into(),
            retry_after: None,
            again: Again::AsUsual,
            allow: None,
        }
    }

    /// Whether it is no fault of the request's: another time, or elsewhere, it might be answered.
    pub fn is_outage(&self) -> bool {
        self.status >= 500 || self.status == 429
    }

    fn code(self, code: &str) -> Refusal {
        Refusal { code: Some(code.to_owned()), ..self }
    }

    fn param(self, param: impl Into<String>) -> Refusal {
        Refusal { param: Some(param.into()), ..self }
    }

    /// 400: the request as a whole cannot be read.
    pub fn malformed(message: impl Into<String>) -> Refusal {
        Refusal::new(400, "malformed", INVALID, message)
    }

    /// 400: one field of the request is wrong. The message is about the field and does not repeat its name.
    pub fn invalid(param: impl Into<String>, message: &str) -> Refusal {
        let param = param.into();
        Refusal::new(400, "invalid", INVALID, format!("{param}: {message}")).param(param)
    }

    /// 400: no vendor that serves the model can express this field.
    pub fn unsupported(param: impl Into<String>, vendor: &str) -> Refusal {
        let param = param.into();
        let message = format!("{param} is not supported by {vendor}");
        Refusal::new(400, "unsupported", INVALID, message).code("unsupported_parameter").param(param)
    }

    /// 400: no vendor that serves the model does what is asked for at all.
    pub fn not_offered(task: &str, vendor: &str) -> Refusal {
        let message = format!("{task} are not supported by {vendor}");
        Refusal::new(400, "not_offered", INVALID, message).code("unsupported_endpoint").param("model")
    }

    /// 401: no key, or one that nobody has.
    pub fn unauthorized(message: &str) -> Refusal {
        Refusal::new(401, "unauthorized", INVALID, message).code("invalid_api_key")
    }

    /// 503: only Redis knows whether the key is good, and it is absent.
    pub fn key_store_absent() -> Refusal {
        let message = "the gateway cannot look this API key up at the moment, try again";
        let refusal = Refusal::new(503, "key_store_absent", SERVER, message).code("key_store_unavailable");
        Refusal { retry_after: Some(Duration::from_secs(1)), ..refusal }
    }

    /// 403: a good key without permission for this model.
    pub fn forbidden(model: &str) -> Refusal {
        let message = format!("this API key has no permission for the model {model:?}");
        Refusal::new(403, "forbidden", INVALID, message).code("model_not_allowed").param("model")
    }

    /// 403: a good key that may not look behind the scenes.
    pub fn admins_only() -> Refusal {
        let message = "this is for keys that are marked admin: true";
        Refusal::new(403, "forbidden", INVALID, message).code("admin_required")
    }

    /// 403: a good key without permission for any vendor that could serve the request.
    pub fn forbidden_vendors(model: &str) -> Refusal {
        let message = format!("this API key has no permission for any vendor that serves the model {model:?}");
        Refusal::new(403, "forbidden", INVALID, message).code("vendor_not_allowed").param("model")
    }

    /// 404: nothing is served under this path.
    pub fn unknown_path(path: &str) -> Refusal {
        let message = format!("nothing is served under {path}; the endpoints are listed in docs/api.md");
        Refusal::new(404, "unknown_path", INVALID, message).code("unknown_url")
    }

    /// 404: no model has this name.
    pub fn unknown_model(model: &str) -> Refusal {
        let message = format!("the model {model:?} does not exist here; GET /v1/models lists those that do");
        Refusal::new(404, "unknown_model", INVALID, message).code("model_not_found").param("model")
    }

    /// 405: the path exists, the method does not.
    pub fn wrong_method(method: &str, path: &str, allow: &'static str) -> Refusal {
        let message = format!("{path} takes {allow}, not {method}");
        let refusal = Refusal::new(405, "wrong_method", INVALID, message).code("method_not_allowed");
        Refusal { allow: Some(allow), ..refusal }
    }

    /// 408: the body did not arrive in time.
    pub fn slow_client() -> Refusal {
        Refusal::new(408, "slow_client", INVALID, "the request body did not arrive in time").code("request_timeout")
    }

    /// 413: the body is over the limit.
    pub fn too_large(limit: usize) -> Refusal {
        let message = format!("the request body is larger than {limit} bytes (limits.body_bytes)");
        Refusal::new(413, "too_large", INVALID, message).code("request_too_large")
    }

    /// 415: the body has a coding that is not read.
    pub fn encoded(coding: &str) -> Refusal {
        let message = format!("content-encoding {coding:?} is not accepted: send the body as plain JSON");
        Refusal::new(415, "encoded", INVALID, message)
    }

    /// 503: the model is configured, but every vendor that serves it was left out for want of a credential.
    pub fn unserved(model: &str) -> Refusal {
        let message = format!("no vendor that serves {model:?} has a credential; `weir check` names what is missing");
        Refusal::new(503, "unserved", SERVER, message).code("model_unserved").param("model")
    }

    /// 429: a limit is used up, and not before the wait is there any more; without one, never so much.
    pub fn limited(exhausted: Exhausted, message: String, wait: Option<Duration>) -> Refusal {
        let (reason, kind, code) = match exhausted {
            Exhausted::Requests => ("limited_requests", "requests", RATE_LIMIT),
            Exhausted::Tokens => ("limited_tokens", "tokens", RATE_LIMIT),
            Exhausted::Budget => ("limited_budget", "insufficient_quota", "insufficient_quota"),
        };
        let again = if wait.is_some_and(|wait| wait <= PATIENCE) { Again::Yes } else { Again::No };
        Refusal { retry_after: wait, again, ..Refusal::new(429, reason, kind, message).code(code) }
    }

    /// 503: as many requests are in flight as may be.
    pub fn overloaded(draw: u64) -> Refusal {
        let message = "the gateway has as many requests in flight as it may (limits.in_flight); try again shortly";
        let refusal = Refusal::new(503, "overloaded", SERVER, message).code("overloaded");
        Refusal { retry_after: Some(jitter(A_WHILE, draw)), again: Again::Yes, ..refusal }
    }

    /// 503: limits are Redis's to decide, it does not, and then nobody may.
    pub fn limits_absent(draw: u64) -> Refusal {
        let message = "the limits of this API key cannot be checked at the moment; try again shortly";
        let refusal = Refusal::new(503, "limits_absent", SERVER, message).code("limits_unavailable");
        Refusal { retry_after: Some(jitter(A_WHILE, draw)), again: Again::Yes, ..refusal }
    }

    /// 500: Weir's own parts disagree; a defect or a configuration swapped under a request.
    pub fn internal(message: &str) -> Refusal {
        Refusal::new(500, "internal", SERVER, message).code("internal_error")
    }

    /// 504: all attempts together took too long.
    pub fn total_timeout(limit: Duration) -> Refusal {
        let message = format!("no answer within {} seconds (routing.total_timeout)", limit.as_secs_f64());
        Refusal::new(504, "total_timeout", SERVER, message).code("timeout")
    }

    /// 504: a request of a batch has no answer when the batch has to be over.
    pub fn batch_timeout(limit: Duration) -> Refusal {
        let message = format!("no answer within {} seconds (routing.batch_timeout)", limit.as_secs_f64());
        Refusal::new(504, "batch_timeout", SERVER, message).code("timeout")
    }

    /// 502: the answers of a batch are together larger than the gateway holds.
    pub fn batch_too_large(limit: usize) -> Refusal {
        let message = format!("the answers of this batch are larger than {} MiB: send a smaller one", limit >> 20);
        Refusal::new(502, "batch_too_large", SERVER, message).code("batch_too_large")
    }

    /// 502: what came of a request of a batch is no answer.
    pub fn item_lost() -> Refusal {
        let message = "the answer to this request was lost inside the gateway, or is too large";
        Refusal::new(502, "item_lost", SERVER, message).code("answer_lost")
    }

    /// What a failed call to a vendor becomes; the table is in [`crate::vendor::failure`].
    pub fn upstream(status: u16, reason: &'static str, kind: &str, code: &str, message: String) -> Refusal {
        Refusal::new(status, reason, kind, message).code(code)
    }

    /// The body for a client of this surface; `request` is the number by which it knows its request.
    pub fn body(&self, surface: Surface, request: &str) -> Vec<u8> {
        let mut w = Writer::default();
        w.object(|w| match surface {
            Surface::Api => w.key("error").string(self.summary()),
            Surface::OpenAi => self.render(w),
            Surface::Messages => {
                w.key("type").string("error");
                w.key("error").object(|w| {
                    w.key("type").string(anthropic_type(self.status));
                    w.key("message").string(&self.message);
                });
                w.key("request_id").string(request);
            }
        });
        w.finish()
    }

    /// Writes the member `error` in OpenAI's shape; all four keys are always there, as its schema demands.
    pub fn render(&self, w: &mut Writer) {
        w.key("error").object(|w| {
            w.key("message").string(&self.message);
            w.key("type").string(&self.kind);
            w.key("param").string_or_null(self.param.as_deref());
            w.key("code").string_or_null(self.code.as_deref());
        });
    }

    /// One string for the plain surface. The texts of a 401 and of a rate limit are promises of the public interface.
    fn summary(&self) -> &str {
        match (self.status, self.code.as_deref(), self.again) {
            (401, ..) => "Unauthorized",
            (429, Some(RATE_LIMIT), Again::Yes) => "Rate limit exceeded",
            _ => &self.message,
        }
    }
}

/// Anthropic's word for a status, from its page on errors; those that it does not have are told as their neighbours.
pub fn anthropic_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 | 405 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 => "overloaded_error",
        504 => "timeout_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

/// Between once and twice the span, so that those who were refused together do not come back together.
pub fn jitter(span: Duration, draw: u64) -> Duration {
    let parts = u32::try_from(draw % 1024).unwrap_or(0);
    span + span / 1024 * parts
}

/// Long enough to matter to a gateway that is overloaded, short enough for a person.
const A_WHILE: Duration = Duration::from_secs(1);
/// The official SDKs wait for as long as they are told, up to a minute or two; after that they try as if nothing had
/// been said.
const PATIENCE: Duration = Duration::from_secs(60);

/// OpenAI's code for limits that time heals.
const RATE_LIMIT: &str = "rate_limit_exceeded";
/// OpenAI's type for everything that the client did wrong.
pub const INVALID: &str = "invalid_request_error";
/// OpenAI's type for everything that went wrong behind the client's back.
pub const SERVER: &str = "server_error";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    #[test]
    fn speaks_the_shape_of_the_surface() {
        let refusal = Refusal::invalid("temperature", "must be between 0 and 2");
        let text = |surface| String::from_utf8(refusal.body(surface, "r1")).unwrap();
        assert_eq!(text(Surface::Api), r#"{"error":"temperature: must be between 0 and 2"}"#);
        assert_eq!(
            text(Surface::OpenAi),
            r#"{"error":{"message":"temperature: must be between 0 and 2","type":"invalid_request_error","param":"temperature","code":null}}"#
        );
        assert_eq!(Refusal::unauthorized("no key").body(Surface::Api, ""), br#"{"error":"Unauthorized"}"#);
        assert_eq!(
            text(Surface::Messages),
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"temperature: must be between 0 and 2"},"request_id":"r1"}"#
        );
    }

    #[test]
    fn anthropic_has_a_word_for_every_status() {
        for (status, word) in [
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (403, "permission_error"),
            (404, "not_found_error"),
            (405, "not_found_error"),
            (409, "invalid_request_error"),
            (413, "request_too_large"),
            (415, "invalid_request_error"),
            (429, "rate_limit_error"),
            (500, "api_error"),
            (502, "api_error"),
            (503, "overloaded_error"),
            (504, "timeout_error"),
        ] {
            assert_eq!(anthropic_type(status), word, "{status}");
        }
    }

    #[test]
    fn a_path_has_a_surface() {
        for (path, surface) in [
            ("/v1/models", Surface::OpenAi),
            ("/v1", Surface::OpenAi),
            ("/v1?x", Surface::OpenAi),
            ("/v10", Surface::Api),
            ("/v1/messages", Surface::Messages),
            ("/v1/messages/count_tokens", Surface::Messages),
            ("/v1/messages?beta=true", Surface::Messages),
            ("/v1/messagesx", Surface::OpenAi),
            ("/api/v1", Surface::Api),
            ("*", Surface::Api),
        ] {
            assert_eq!(Surface::of(path), surface, "{path}");
        }
    }
}
