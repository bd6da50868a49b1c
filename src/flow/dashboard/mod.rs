//! `GET /dashboard`: the page on which people look at a gateway.
//!
//! It is the same for everybody, holds nothing and needs no key: a form that asks for an admin's key, and a script that
//! asks `/api/status` with it every few seconds. The key stays in the browser's tab. Everything is in one page, so that a
//! gateway without a way to the internet has it, too, and its `content-security-policy` lets the browser run and show
//! what is in this page and nothing else: the policy names the page's own style and script by their SHA-256, made of
//! the very bytes that are sent.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use crate::flow::Reply;
use crate::unit::base64;

/// The page.
pub fn page() -> Reply {
    let Page { policy, body } = &*PAGE;
    Reply {
        status: 200,
        headers: vec![
            ("content-type", "text/html; charset=utf-8".into()),
            ("content-security-policy", policy.as_str().into()),
            ("x-content-type-options", "nosniff".into()),
            ("x-frame-options", "DENY".into()),
            ("referrer-policy", "no-referrer".into()),
            ("cross-origin-opener-policy", "same-origin".into()),
            ("cross-origin-resource-policy", "same-origin".into()),
            // A new gateway has a new page.
            ("cache-control", "no-cache".into()),
        ],
        body: body.clone(),
    }
}

struct Page {
    policy: String,
    body: Vec<u8>,
}

/// Put together when somebody asks for the first time.
static PAGE: LazyLock<Page> = LazyLock::new(|| {
    let (style, script) = (dense(STYLE), dense(SCRIPT));
    let frame = dense(FRAME).replace("{version}", env!("CARGO_PKG_VERSION"));
    let (head, rest) = frame.split_once("{style}").unwrap_or((&frame, ""));
    let (middle, tail) = rest.split_once("{script}").unwrap_or((rest, ""));
    let policy = [
        "default-src 'none'".to_owned(),
        format!("script-src {}", source(&script)),
        format!("style-src {}", source(&style)),
        // The icon, which is a part of the page.
        "img-src data:".to_owned(),
        "connect-src 'self'".to_owned(),
        "frame-ancestors 'none'".to_owned(),
        "base-uri 'none'".to_owned(),
        "form-action 'none'".to_owned(),
        // So that not even a mistake in the script can turn text into markup.
        "require-trusted-types-for 'script'".to_owned(),
        "trusted-types 'none'".to_owned(),
    ];
    Page { policy: policy.join("; "), body: [head, &style, middle, &script, tail].concat().into_bytes() }
});

/// Without what only readers of the source need: a tenth of it is indentation.
fn dense(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

/// An inline style or script, as a policy names it.
fn source(text: &str) -> String {
    format!("'sha256-{}'", base64(&Sha256::digest(text.as_bytes())))
}

const FRAME: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    fn text() -> String {
        String::from_utf8(page().body).unwrap()
    }

    fn between<'t>(text: &'t str, start: &str, end: &str) -> Vec<&'t str> {
        text.split(start).skip(1).filter_map(|rest| rest.split(end).next()).collect()
    }

    #[test]
    fn the_policy_names_what_is_in_the_page() {
        let (text, reply) = (text(), page());
        let policy = reply.headers.iter().find(|(name, _)| *name == "content-security-policy").unwrap().1.clone();
        for (start, end) in [("<style>", "</style>"), ("<script>", "</script>")] {
            let [one] = between(&text, start, end)[..] else { panic!("one {start}") };
            assert!(one.len() > 1000 && policy.contains(&source(one)), "{start}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"), "{policy}");
    }

    #[test]
    fn the_page_is_whole_and_small_and_asks_for_nothing_outside() {
        let text = text();
        assert!(text.len() < 40_000, "{} bytes", text.len());
        assert!(text.starts_with("<!doctype html>") && text.trim_end().ends_with("</html>"));
        assert!(!text.contains('{') || !text.contains("{version}") && !text.contains("{style}"));
        let outside = between(&text, "http", "\"").into_iter().filter(|rest| !rest.starts_with("://www.w3.org/"));
        assert_eq!(outside.collect::<Vec<_>>(), [""; 0], "nothing is fetched from elsewhere");
        assert!(!text.contains(" style=") && !text.contains(" onclick="), "the policy forbids them");
    }

    #[test]
    fn the_script_makes_no_markup_of_text() {
        for sink in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
            assert!(!SCRIPT.contains(sink), "{sink}");
        }
    }
}
