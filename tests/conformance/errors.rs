//! The rows about errors: what a client reads, and whether another vendor is asked, by the vendor's status.

use std::time::Duration;

use serde_json::Value;
use weir::refusal::Surface;
use weir::vendor::{Failure, Next};

use crate::vendors::VENDORS;

/// Vendor's status, client's status, what becomes of the plan, whether the vendor's own words are passed on.
const ROWS: &[(u16, u16, Next, bool)] = &[
    (400, 400, Next::Stop, true),
    (401, 502, Next::Try, false),
    (402, 502, Next::Try, true),
    (403, 502, Next::Try, false),
    (404, 502, Next::Try, true),
    (408, 504, Next::Try, true),
    (409, 409, Next::Try, true),
    (413, 413, Next::Stop, true),
    (422, 400, Next::Stop, true),
    (424, 502, Next::Try, true),
    (429, 429, Next::Try, true),
    (498, 429, Next::Try, true),
    (500, 502, Next::Try, true),
    (502, 502, Next::Try, true),
    (503, 503, Next::Try, true),
    (504, 504, Next::Try, true),
    (529, 503, Next::Try, true),
];

#[test]
fn an_error_is_told_in_openais_words() {
    for (status, shown, next, words) in ROWS {
        for vendor in VENDORS {
            let body = vendor.dialect.error(*status, "the vendor's own words").to_string();
            let wait = Some(Duration::from_secs(7));
            let Failure { outcome, refusal, next: decided } =
                Failure::from_status(vendor.kind, *status, wait, body.as_bytes());
            let at = format!("{status} x {}: {refusal:?}", vendor.name);
            assert_eq!((refusal.status, decided, &*outcome), (*shown, *next, &*status.to_string()), "{at}");
            assert_eq!(refusal.message.contains("the vendor's own words"), *words, "{at}");
            assert_eq!(refusal.retry_after, wait.filter(|_| matches!(shown, 429 | 503)), "{at}");
            let told: Value = serde_json::from_slice(&refusal.body(Surface::of("/v1/chat/completions"), "")).unwrap();
            let error = told["error"].as_object().unwrap_or_else(|| panic!("{at}"));
            for member in ["message", "type", "param", "code"] {
                assert!(error.contains_key(member), "{member} is required: {at}");
            }
            assert!(error["type"].is_string() && (error["code"].is_string() || error["code"].is_null()), "{at}");
        }
    }
}

/// Whatever stands in front of a vendor: its page is not passed on.
#[test]
fn a_page_of_the_web_is_no_message() {
    for vendor in VENDORS {
        for status in [500, 502, 503, 520] {
            let failure = Failure::from_status(vendor.kind, status, None, b"<html><h1>Bad gateway</h1></html>");
            assert!(!failure.refusal.message.contains('<') && failure.next == Next::Try, "{} {status}", vendor.name);
        }
    }
}
