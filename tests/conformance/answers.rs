//! The rows about answers: each vendor says the same thing, and the client reads the same thing.

use serde_json::{Value, json};
use weir::chat::request::Delivery;
use weir::chat::tally::Counted;
use weir::chat::{Tally, Task, Usage};
use weir::vendor::{Asked, Relay};

use crate::client::{Client, read};
use crate::vendors::{Ability, Choice, Said, Tokens, VENDORS, Vendor};

/// A behaviour; `needs` is what a vendor must be able to say for it.
struct Row {
    name: &'static str,
    needs: &'static [Ability],
    choices: Vec<Choice>,
    cached: u64,
    reasoning: u64,
}

const fn row(name: &'static str, choices: Vec<Choice>) -> Row {
    Row { name, needs: &[], choices, cached: 0, reasoning: 0 }
}

fn said(text: &'static str) -> Choice {
    Choice { text, finish: "stop", ..Choice::default() }
}

fn rows() -> Vec<Row> {
    let weather = ("get_weather", json!({"city": "Z\u{fc}rich", "days": [1, 2], "deep": {"x": null}}));
    let clock = ("clock", json!({}));
    let called = |text, calls| Choice { text, calls, finish: "tool_calls", ..Choice::default() };
    let thoughtful = Choice { reasoning: "First I think. ", ..said("Then I speak.") };
    vec![
        row("chat", vec![said("Hello there, how are you?")]),
        row("other letters", vec![said("Gr\u{fc}\u{df}e \u{1f600} \u{2028} \"quoted\" \\ \n\ttab")]),
        row("tools", vec![called("", vec![weather.clone()])]),
        row("text and tools", vec![called("Let me look. ", vec![weather.clone()])]),
        row("parallel tools", vec![called("", vec![weather.clone(), clock.clone(), weather.clone()])]),
        row("a tool without arguments", vec![called("", vec![clock.clone()])]),
        row("json", vec![said("{\"verdict\": \"good\", \"why\": [\"a\", \"b\"]}")]),
        row("length", vec![Choice { finish: "length", ..said("It goes on and") }]),
        row("content filter", vec![Choice { finish: "content_filter", ..said("It was about to") }]),
        Row { needs: &[Ability::Nothing], ..row("nothing", vec![said("")]) },
        Row {
            needs: &[Ability::Nothing],
            ..row("a filtered nothing", vec![Choice { finish: "content_filter", ..said("") }])
        },
        Row {
            needs: &[Ability::Refusal],
            ..row("refusal", vec![Choice { refusal: "I must not.", finish: "content_filter", ..said("") }])
        },
        Row { needs: &[Ability::Reasoning], reasoning: 7, ..row("reasoning", vec![thoughtful.clone()]) },
        Row {
            needs: &[Ability::Reasoning],
            reasoning: 9,
            ..row(
                "reasoning and tools",
                vec![Choice { reasoning: "I need a tool. ", ..called("", vec![clock.clone()]) }],
            )
        },
        Row { needs: &[Ability::CachedTokens], cached: 5, ..row("cached tokens", vec![said("Again.")]) },
        Row {
            needs: &[Ability::SeveralChoices],
            ..row(
                "several choices",
                vec![said("One thing."), Choice { finish: "length", ..said("Another, longer thing") }],
            )
        },
        Row {
            needs: &[Ability::SeveralChoices],
            ..row("several choices and tools", vec![called("", vec![weather]), said("No tool.")])
        },
    ]
}

impl Row {
    fn said(&self, vendor: &Vendor) -> Said {
        let reasoning = if vendor.dialect.can(Ability::ReasoningTokens) { self.reasoning } else { 0 };
        let tokens = Tokens { prompt: 19, cached: self.cached, completion: 23, reasoning };
        Said { choices: self.choices.clone(), tokens }
    }
}

/// Every cell of this part of the table.
fn cells(mut check: impl FnMut(&Vendor, &Row, &Said)) -> usize {
    let mut count = 0;
    for row in rows() {
        for vendor in VENDORS.iter().filter(|vendor| row.needs.iter().all(|what| vendor.dialect.can(*what))) {
            check(vendor, &row, &row.said(vendor));
            count += 1;
        }
    }
    count
}

#[test]
fn a_whole_answer_says_what_the_vendor_said() {
    let count = cells(|vendor, row, said| {
        let body = vendor.dialect.whole(said).to_string();
        let whole = vendor.format().reply(body.as_bytes(), &asked(Delivery::Whole));
        let whole = whole.unwrap_or_else(|fault| panic!("{} x {}: {fault:?}", row.name, vendor.name));
        let answer: Value = serde_json::from_slice(&whole.body).unwrap();
        let at = format!("{} x {}: {answer}", row.name, vendor.name);
        assert_eq!(answer["object"], "chat.completion", "{at}");
        assert!(answer["id"].is_string() && answer["model"].is_string() && answer["created"].is_u64(), "{at}");
        assert_eq!(read(&answer), said.choices, "{at}");
        counted(&answer["usage"], said.tokens, &at);
        assert_eq!(whole.tally.counted, tally(said.tokens), "{at}");
    });
    assert!(count > 200, "only {count} cells");
}

#[test]
fn a_stream_says_what_the_vendor_said_however_it_is_cut() {
    let count = cells(|vendor, row, said| {
        let bytes = vendor.dialect.stream(said);
        for usage in [true, false] {
            let whole = translated(vendor, usage, &[&bytes]);
            let at = format!("{} x {}:\n{}", row.name, vendor.name, whole.0);
            let client = Client::read(&whole.0, &at);
            assert_eq!(client.choices, said.choices, "{at}");
            assert_eq!(whole.1.counted, tally(said.tokens), "{at}");
            match (usage, client.usage) {
                (true, Some(usage)) => counted(&usage, said.tokens, &at),
                (true, None) => panic!("no tokens: {at}"),
                // Whoever counts unasked, or on another chunk, is relayed.
                (false, found) => {
                    assert!(
                        found.is_none() || !vendor.is_one_of("anthropic gemini bedrock openai azure ollama vllm"),
                        "{at}"
                    );
                }
            }
            for cut in cuts(&bytes) {
                let pieces = [&bytes[..cut], &bytes[cut..]];
                assert!(translated(vendor, usage, &pieces) == whole, "other when cut at {cut}: {at}");
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert!(translated(vendor, usage, &single) == whole, "other byte by byte: {at}");
        }
    });
    assert!(count > 200, "only {count} cells");
}

/// A stream that ends before it is over is an error, wherever it ends: no client takes half an answer for a whole one.
#[test]
fn half_a_stream_is_no_answer() {
    cells(|vendor, row, said| {
        let bytes = vendor.dialect.stream(said);
        let mut broken = 0;
        for cut in cuts(&bytes) {
            let mut out = Vec::new();
            let mut relay = Relay::new(vendor.format().stream(asked(Delivery::Stream { usage: true })));
            let outcome = relay.feed(&bytes[..cut], &mut out).and_then(|()| relay.end(&mut out));
            let out = String::from_utf8(out).unwrap();
            let at = format!("{} x {} cut off at {cut}: {out}", row.name, vendor.name);
            assert_eq!(out.contains("[DONE]"), outcome.is_ok(), "{at}");
            match outcome {
                // All of it had come but the end, or the count of tokens.
                Ok(()) => assert_eq!(Client::read(&out, &at).choices, said.choices, "{at}"),
                Err(_) => broken += 1,
            }
        }
        assert!(broken * 2 > MOST_CUTS, "{} x {}: {broken} cuts are noticed", row.name, vendor.name);
    });
}

/// Places all over a stream, and the first and the last. That recorded streams may be cut at every byte, `tests/golden.rs`
/// says; and one that is fed byte by byte is cut at every one, too.
fn cuts(bytes: &[u8]) -> impl Iterator<Item = usize> {
    (0..=MOST_CUTS).map(|n| n * (bytes.len() - 1) / MOST_CUTS)
}

const MOST_CUTS: usize = 48;

fn asked(delivery: Delivery) -> Asked {
    Asked { task: Task::Chat, model: "m-1".to_owned(), id: "r-1".to_owned(), created: 7, delivery }
}

fn translated(vendor: &Vendor, usage: bool, pieces: &[&[u8]]) -> (String, Tally) {
    let mut out = Vec::new();
    let mut relay = Relay::new(vendor.format().stream(asked(Delivery::Stream { usage })));
    let outcome = pieces.iter().try_for_each(|piece| relay.feed(piece, &mut out)).and_then(|()| relay.end(&mut out));
    outcome.unwrap_or_else(|fault| panic!("{}: {fault:?}", vendor.name));
    (String::from_utf8(out).unwrap(), relay.tally())
}

fn tally(tokens: Tokens) -> Counted {
    let Tokens { prompt, cached, completion, reasoning } = tokens;
    Counted::All(Usage { prompt, completion, cached, cache_write: 0, reasoning })
}

fn counted(usage: &Value, tokens: Tokens, at: &str) {
    assert_eq!(usage["prompt_tokens"], tokens.prompt, "{at}");
    assert_eq!(usage["completion_tokens"], tokens.completion, "{at}");
    assert_eq!(usage["total_tokens"], tokens.prompt + tokens.completion, "{at}");
    let cached = &usage["prompt_tokens_details"]["cached_tokens"];
    assert_eq!(cached.as_u64().unwrap_or(0), tokens.cached, "{at}");
    let reasoning = &usage["completion_tokens_details"]["reasoning_tokens"];
    assert_eq!(reasoning.as_u64().unwrap_or(0), tokens.reasoning, "{at}");
}
