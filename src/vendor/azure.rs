//! Azure OpenAI: OpenAI's format, on two surfaces. On the classic one the deployment stands in the path. The newer one,
//! `v1`, is OpenAI's own path and body behind `/openai/v1`, and the deployment is the body's model; a vendor has it if
//! its `api_version` is `v1`, or if its url ends in `/openai/v1`.

use super::edits::{self, Edits};
use super::openai::OPENAI;
use super::path::percent_encoded;
use super::{Asked, Call, Credential, Fault, Format, Outgoing, Stream, StreamUsage, Unsupported, Whole};
use crate::chat::{Request, Task};

/// `kind: azure`
pub struct Azure;

impl Format for Azure {
    fn kind(&self) -> &'static str {
        "azure"
    }

    fn prices(&self) -> &'static str {
        OPENAI.prices()
    }

    fn provider(&self) -> &'static str {
        "azure.ai.openai"
    }

    fn credential(&self) -> Credential {
        Credential { header: "api-key", prefix: "" }
    }

    fn offers(&self, task: Task) -> bool {
        OPENAI.offers(task)
    }

    fn accepts(&self, request: &Request) -> Result<(), Unsupported> {
        OPENAI.accepts(request)
    }

    fn asks_for_usage(&self) -> bool {
        OPENAI.asks_for_usage()
    }

    /// The body's own `model` is ignored by Azure, so it stays as the client wrote it. A version that does not know
    /// `stream_options` refuses a request that has them.
    fn render(&self, call: &Call<'_>) -> Outgoing {
        if let Some(base) = v1(call) {
            return of_v1(call, &base);
        }
        let deployment = percent_encoded(call.model);
        let version = call.api_version.unwrap_or(API_VERSION);
        let mut edits = Edits::new(call.request.body());
        edits::unsign(call, &mut edits);
        edits::forget_thoughts(call.request, &mut edits);
        edits::forget_extensions(call.request, &mut edits);
        if call.stream_usage == StreamUsage::Asked && counts_streams(version) {
            edits::ask_for_usage(call, &mut edits);
        }
        let version = percent_encoded(version);
        let task = call.request.task().path();
        let path = [call.base, "/openai/deployments/", &deployment, task, "?api-version=", &version].concat();
        Outgoing { path, headers: &[], body: edits.body() }
    }

    fn dropped(&self, call: &Call<'_>) -> Vec<String> {
        OPENAI.dropped(call)
    }

    fn reply<'b>(&self, body: &'b [u8], asked: &Asked) -> Result<Whole<'b>, Fault> {
        OPENAI.reply(body, asked)
    }

    fn stream(&self, asked: Asked) -> Box<dyn Stream> {
        OPENAI.stream(asked)
    }
}

/// Where the newer surface is, if this vendor has it.
fn v1(call: &Call<'_>) -> Option<String> {
    match call.api_version {
        _ if call.base.ends_with(V1) => Some(call.base.to_owned()),
        Some("v1") => Some([call.base, V1].concat()),
        _ => None,
    }
}

/// It has no versions; `preview` and the like switch on what is not generally available.
fn of_v1(call: &Call<'_>, base: &str) -> Outgoing {
    let mut outgoing = OPENAI.render(&Call { base, ..*call });
    if let Some(version) = call.api_version.filter(|version| *version != "v1") {
        outgoing.path.push_str("?api-version=");
        outgoing.path.push_str(&percent_encoded(version));
    }
    outgoing
}

/// The path of the newer surface.
const V1: &str = "/openai/v1";

/// The newest generally available version of the classic surface.
const API_VERSION: &str = "2024-10-21";

/// Whether a version knows `stream_options`. Versions are dates, some with `-preview` behind; what is none is newer than
/// all of them.
fn counts_streams(version: &str) -> bool {
    let dated = version.starts_with(|first: char| first.is_ascii_digit());
    !dated || version >= STREAM_OPTIONS
}

/// The first version with `stream_options` was this day's preview.
const STREAM_OPTIONS: &str = "2024-09-01";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;
    use crate::vendor::Body;

    #[test]
    fn puts_the_deployment_into_the_path() {
        let body = br#"{"model":"gpt-4","messages":[{"role":"user","content":"x"}]}"#.to_vec();
        let request = Request::parse(body).unwrap();
        let call = Call {
            request: &request,
            model: "my gpt/4",
            base: "",
            api_version: Some("2025-04-01-preview"),
            stream_usage: StreamUsage::Asked,
        };
        let outgoing = Azure.render(&call);
        assert_eq!(outgoing.path, "/openai/deployments/my%20gpt%2F4/chat/completions?api-version=2025-04-01-preview");
        assert_eq!(outgoing.body, Body::AsReceived);
    }

    #[test]
    fn the_newer_surface_is_openais() {
        let request = |stream: &str| {
            let text = format!(r#"{{"model":"gpt-4","messages":[{{"role":"user","content":"x"}}]{stream}}}"#);
            Request::parse(text.into_bytes()).unwrap()
        };
        let classic = "/openai/deployments/prod/chat/completions?api-version=";
        for (base, api_version, path) in [
            ("", Some("v1"), "/openai/v1/chat/completions".to_owned()),
            ("/gateway", Some("v1"), "/gateway/openai/v1/chat/completions".to_owned()),
            ("/openai/v1", None, "/openai/v1/chat/completions".to_owned()),
            ("/openai/v1", Some("v1"), "/openai/v1/chat/completions".to_owned()),
            ("/openai/v1", Some("preview"), "/openai/v1/chat/completions?api-version=preview".to_owned()),
            ("", Some("preview"), format!("{classic}preview")),
            ("", None, format!("{classic}2024-10-21")),
        ] {
            let (whole, stream) = (request(""), request(r#","stream":true"#));
            let sent = |request: &Request| {
                let stream_usage = StreamUsage::Asked;
                let outgoing = Azure.render(&Call { request, model: "prod", base, api_version, stream_usage });
                assert_eq!(outgoing.path, path);
                String::from_utf8(outgoing.body.apply(request.body()).into_owned()).unwrap()
            };
            let newer = path.contains("/v1/");
            assert_eq!(sent(&whole).contains(r#""model":"prod""#), newer, "{path}");
            assert!(sent(&stream).contains("include_usage"), "{path}");
        }
    }

    #[test]
    fn asks_for_usage_where_the_version_knows_it() {
        for (version, asks) in [
            ("2024-06-01", false),
            ("2024-08-01-preview", false),
            ("2024-09-01-preview", true),
            ("2024-10-21", true),
            ("2025-04-01-preview", true),
            ("preview", true),
        ] {
            assert_eq!(counts_streams(version), asks, "{version}");
        }
    }
}
