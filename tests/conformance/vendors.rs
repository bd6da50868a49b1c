//! The columns of the table: every vendor, and the words in which each would say the same answer.

use serde_json::Value;
use weir::vendor::{FORMATS, Format};

use crate::anthropic::Anthropic;
use crate::bedrock::Bedrock;
use crate::gemini::Gemini;
use crate::openai::{self, OpenAi};

/// A vendor, as it is configured, and how it talks.
pub struct Vendor {
    pub name: &'static str,
    pub kind: &'static str,
    pub model: &'static str,
    pub base: &'static str,
    pub api_version: Option<&'static str>,
    pub dialect: &'static dyn Dialect,
}

impl Vendor {
    pub fn format(&self) -> &'static dyn Format {
        weir::vendor::format(self.kind).unwrap_or_else(|| panic!("no format is called {}", self.kind))
    }

    /// Whether its name, or its kind, is one of these.
    pub fn is_one_of(&self, names: &str) -> bool {
        names.split(' ').any(|name| name == self.name || name == self.kind)
    }
}

/// How a vendor says something.
pub trait Dialect: Sync {
    /// What it can say.
    fn can(&self, what: Ability) -> bool;
    /// A whole reply.
    fn whole(&self, said: &Said) -> Value;
    /// The bytes of a stream, with the tokens at its end.
    fn stream(&self, said: &Said) -> Vec<u8>;
    /// The body of an error.
    fn error(&self, status: u16, text: &str) -> Value;
}

/// What not every vendor can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ability {
    Reasoning,
    /// The grounds of a refusal.
    Refusal,
    SeveralChoices,
    CachedTokens,
    /// How many of its tokens were reasoning.
    ReasoningTokens,
    /// An answer without a word.
    Nothing,
}

/// An answer, in no vendor's words.
#[derive(Debug, Clone)]
pub struct Said {
    pub choices: Vec<Choice>,
    pub tokens: Tokens,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choice {
    pub text: &'static str,
    pub reasoning: &'static str,
    pub refusal: &'static str,
    /// Names and arguments.
    pub calls: Vec<(&'static str, Value)>,
    pub finish: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tokens {
    pub prompt: u64,
    pub cached: u64,
    pub completion: u64,
    pub reasoning: u64,
}

/// Events of data.
pub fn events(chunks: &[Value]) -> Vec<u8> {
    chunks.iter().flat_map(|chunk| format!("data: {chunk}\n\n").into_bytes()).collect()
}

/// A text in pieces, as a stream has it.
pub fn pieces(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}

const fn row(kind: &'static str, dialect: &'static OpenAi) -> Vendor {
    Vendor { name: kind, kind, model: "m-1", base: "/v1", api_version: None, dialect }
}

/// Arguments in two pieces.
pub fn halves(text: &str) -> [&str; 2] {
    let middle = (text.len() / 2..).find(|at| text.is_char_boundary(*at)).expect("the end is one");
    text.split_at(middle).into()
}

/// All of them.
pub static VENDORS: &[Vendor] = &[
    row("openai", &openai::PLAIN),
    Vendor { name: "azure classic", base: "", api_version: Some("2024-10-21"), ..AZURE },
    Vendor { name: "azure v1", base: "", api_version: Some("v1"), ..AZURE },
    Vendor { name: "anthropic", kind: "anthropic", model: "claude-sonnet-4-5", dialect: &Anthropic, ..AZURE },
    Vendor { name: "gemini", kind: "gemini", model: "gemini-2.5-flash", base: "/v1beta", dialect: &Gemini, ..AZURE },
    Vendor {
        name: "bedrock",
        kind: "bedrock",
        model: "anthropic.claude-sonnet-4-5-20250929-v1:0",
        base: "",
        dialect: &Bedrock,
        ..AZURE
    },
    row("mistral", &openai::MISTRAL),
    row("groq", &openai::GROQ),
    row("deepseek", &openai::DEEPSEEK),
    row("xai", &openai::XAI),
    row("together", &openai::TOGETHER),
    row("fireworks", &openai::XAI),
    row("openrouter", &openai::OPENROUTER),
    row("ollama", &openai::OLLAMA),
    row("vllm", &openai::OLLAMA),
];

const AZURE: Vendor =
    Vendor { name: "azure", kind: "azure", model: "m-1", base: "/v1", api_version: None, dialect: &openai::AZURE };

#[test]
fn every_format_is_a_column() {
    for kind in FORMATS.iter().map(|format| format.kind()).filter(|kind| *kind != "echo") {
        assert!(VENDORS.iter().any(|vendor| vendor.kind == kind), "{kind} is in no column");
    }
    for (i, vendor) in VENDORS.iter().enumerate() {
        assert_eq!(
            VENDORS.iter().position(|other| other.name == vendor.name),
            Some(i),
            "{} is there twice",
            vendor.name
        );
    }
}
