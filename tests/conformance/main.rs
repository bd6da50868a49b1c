//! What every vendor owes every client, as one table: behaviours in rows, vendors in columns.
//!
//! The golden files say what exactly is made of a case; here stands what must hold of it whoever answers. A cell is
//! good if the request says all of what the client said, in the vendor's words, or if it is in the list of what a vendor
//! does not have, and is refused by the name of the field, or left out and named; and if the answer says, whole and
//! streamed and however that is cut, the same thing in each vendor's words: the same text, calls, reasoning, finish reason
//! and tokens.
//!
//! A vendor is a row in [`vendors::VENDORS`] and, if it has a format of its own, a [`vendors::Dialect`].

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic; clippy takes the functions that tests share for traffic's"
)]

mod answers;
mod anthropic;
mod bedrock;
mod client;
mod errors;
mod gemini;
mod openai;
mod requests;
mod vendors;
