//! What the models of well-known vendors cost: the prices for which `weir.yaml` need not name any.
//!
//! The figures are those of the public price lists of pydantic/genai-prices (47df840, embeddings: 01d6df8) and LiteLLM
//! (2025-08); each row says which. They are what vendors ask of everybody: batches, reserved capacity, regions and
//! discounts are not in them. A model that is not in the table has no price, rather than a guessed one.

use serde::Deserialize;

use super::{Long, Price, Rates, per_million};

/// The table, parsed. That takes a tenth of a millisecond (natively, measured), so it is done where a configuration is
/// checked and nowhere else.
pub struct Table {
    rows: Vec<Row<'static>>,
}

/// One model of one vendor, in dollars per million tokens. What else stands in a row is for its readers.
#[derive(Deserialize)]
struct Row<'t> {
    vendor: &'t str,
    model: &'t str,
    input_per_mtok_usd: f64,
    output_per_mtok_usd: f64,
    cached_input_per_mtok_usd: Option<f64>,
    cache_write_per_mtok_usd: Option<f64>,
    tiers: Option<Tiers>,
    context_tokens: Option<u64>,
}

/// What a long prompt costs: from how many tokens on, and how much. All lists of a model begin at the same number.
#[derive(Deserialize)]
struct Tiers {
    input_mtok: Vec<(u64, f64)>,
    output_mtok: Vec<(u64, f64)>,
    #[serde(default)]
    cache_read_mtok: Vec<(u64, f64)>,
    #[serde(default)]
    cache_write_mtok: Vec<(u64, f64)>,
}

impl Table {
    /// The table that comes with Weir. Its test holds that every row can be read.
    pub fn built_in() -> Table {
        Table { rows: serde_json::from_str(PRICES).unwrap_or_default() }
    }

    /// The price of a model at a vendor of this family. A row whose name ends in a date is also that of the name
    /// without it, and the other way round: vendors sell the same model as `claude-3-opus` and
    /// `claude-3-opus-20240229`. A row with exactly the name comes first, as some dated versions have other prices.
    pub fn price(&self, family: &str, model: &str) -> Option<Price> {
        self.row(family, model).and_then(Row::price)
    }

    /// How many tokens prompt and answer of a model may have together, if that is known; found like its price.
    pub fn context(&self, family: &str, model: &str) -> Option<u64> {
        self.row(family, model)?.context_tokens
    }

    fn row(&self, family: &str, model: &str) -> Option<&Row<'static>> {
        self.find(family, model).or_else(|| self.find(family, undated(model)?))
    }

    fn find(&self, family: &str, model: &str) -> Option<&Row<'static>> {
        let rows = || self.rows.iter().filter(|row| row.vendor == family);
        let latest = || rows().filter(|row| dated_with_digits(row.model, model)).max_by_key(|row| row.model);
        rows().find(|row| row.model == model).or_else(latest)
    }
}

/// Whose prices a server has that speaks the format of `family`: most vendors speak OpenAI's, and are known by their
/// host.
pub fn family<'f>(family: &'f str, host: &str) -> &'f str {
    HOSTS.iter().find(|(known, _)| *known == host).map_or(family, |(_, family)| family)
}

impl Row<'_> {
    fn price(&self) -> Option<Price> {
        let rates = rates(
            self.input_per_mtok_usd,
            self.output_per_mtok_usd,
            self.cached_input_per_mtok_usd,
            self.cache_write_per_mtok_usd,
        )?;
        let long = match &self.tiers {
            None => None,
            Some(tiers) => Some(tiers.long()?),
        };
        Some(Price { rates, long })
    }
}

impl Tiers {
    fn long(&self) -> Option<Long> {
        let (above, input) = *self.input_mtok.first()?;
        let first = |list: &[(u64, f64)]| list.first().map(|(_, dollars)| *dollars);
        let output = first(&self.output_mtok)?;
        let rates = rates(input, output, first(&self.cache_read_mtok), first(&self.cache_write_mtok))?;
        Some(Long { above, rates })
    }
}

/// Rates in dollars per million tokens. Where a vendor has no price of its own for its cache, tokens of the prompt are
/// tokens of the prompt.
pub fn rates(input: f64, output: f64, cached_input: Option<f64>, cache_write: Option<f64>) -> Option<Rates> {
    Some(Rates {
        input: per_million(input)?,
        cached_input: per_million(cached_input.unwrap_or(input))?,
        cache_write: per_million(cache_write.unwrap_or(input))?,
        output: per_million(output)?,
    })
}

/// Whether `row` is `model` with a date of eight digits behind it.
fn dated_with_digits(row: &str, model: &str) -> bool {
    let date = row.strip_prefix(model).and_then(|rest| rest.strip_prefix('-'));
    date.is_some_and(|date| date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A name without the date at its end, `20240229` or `2024-02-29`; `None` if it has none.
fn undated(model: &str) -> Option<&str> {
    let form = |text: &str| -> String { text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect() };
    ["-00000000", "-0000-00-00"].iter().find_map(|date| {
        let (name, end) = model.split_at_checked(model.len().checked_sub(date.len())?)?;
        (form(end) == **date && !name.is_empty()).then_some(name)
    })
}

/// Vendors that speak OpenAI's format and are none of its own.
const HOSTS: [(&str, &str); 4] = [
    ("api.deepseek.com", "deepseek"),
    ("api.groq.com", "groq"),
    ("api.mistral.ai", "mistral"),
    ("generativelanguage.googleapis.com", "google"),
];

const PRICES: &str = include_str!("prices.json");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;
    use crate::unit::PicoUsd;

    #[test]
    fn every_row_is_good() {
        let rows: Vec<Row<'_>> = serde_json::from_str(PRICES).unwrap();
        assert!(rows.len() > 100);
        for (i, row) in rows.iter().enumerate() {
            let price = row.price().unwrap_or_else(|| panic!("{}: a price is out of range", row.model));
            let Rates { input, cached_input, output, .. } = price.rates;
            let embeds = output == PicoUsd(0);
            assert!(cached_input <= input && (input <= output || embeds), "{}: an odd price", row.model);
            let twin = rows.iter().position(|other| (other.vendor, other.model) == (row.vendor, row.model));
            assert_eq!(twin, Some(i), "{} is there twice", row.model);
            let Some(tiers) = &row.tiers else { continue };
            let lists = [&tiers.input_mtok, &tiers.output_mtok, &tiers.cache_read_mtok, &tiers.cache_write_mtok];
            for list in lists.iter().filter(|list| !list.is_empty()) {
                let begins: Vec<u64> = list.iter().map(|(from, _)| *from).collect();
                assert_eq!(begins, [price.long.unwrap().above], "{}: one tier, the same for all", row.model);
            }
            let has_own = |own: Option<f64>, list: &[(u64, f64)]| own.is_some() != list.is_empty();
            assert!(has_own(row.cached_input_per_mtok_usd, &tiers.cache_read_mtok), "{}", row.model);
            assert!(has_own(row.cache_write_per_mtok_usd, &tiers.cache_write_mtok), "{}", row.model);
        }
    }

    #[test]
    fn every_host_has_prices() {
        let table = Table::built_in();
        for (host, vendor) in HOSTS {
            assert!(table.rows.iter().any(|row| row.vendor == family("openai", host)), "{vendor}");
        }
        assert_eq!(family("openai", "api.openai.com"), "openai");
    }

    #[test]
    fn a_date_may_be_there_or_not() {
        let table = Table::built_in();
        for (family, model, input) in [
            ("openai", "gpt-4o", Some(2_500_000)),
            ("openai", "gpt-4o-2024-08-06", Some(2_500_000)),
            ("openai", "gpt-4o-2024-05-13", Some(5_000_000)),
            ("openai", "gpt-4o-20240806", Some(2_500_000)),
            ("openai", "text-embedding-3-small", Some(20_000)),
            ("openai", "gpt-4o-audio", None),
            ("openai", "gpt-4o-2024", None),
            ("openai", "ft:gpt-4o-2024-08-06:org::id", None),
            ("openai", "claude-3-opus", None),
            ("anthropic", "claude-3-opus", Some(15_000_000)),
            ("anthropic", "claude-3-opus-20240229", Some(15_000_000)),
            ("anthropic", "claude-3-opus-20991231", Some(15_000_000)),
            ("anthropic", "claude-opus-4-6-20991231", Some(5_000_000)),
            ("anthropic", "claude-sonnet-4", Some(3_000_000)),
            ("google", "gemini-2.5-flash", Some(300_000)),
            ("google", "gemini-3-pro-preview", Some(2_000_000)),
            ("anthropic", "-20240229", None),
            ("anthropic", "", None),
            ("anthropic", "\u{e9}", None),
        ] {
            let found = table.price(family, model).map(|price| price.rates.input);
            assert_eq!(found, input.map(PicoUsd), "{family} {model}");
        }
    }

    #[test]
    fn caches_and_long_prompts_have_their_own_prices() {
        let table = Table::built_in();
        let rates = |input, cached_input, cache_write, output| {
            let [input, cached_input, cache_write, output] = [input, cached_input, cache_write, output].map(PicoUsd);
            Rates { input, cached_input, cache_write, output }
        };
        let sonnet = table.price("anthropic", "claude-sonnet-4-5").unwrap();
        assert_eq!(sonnet.rates, rates(3_000_000, 300_000, 3_750_000, 15_000_000));
        let long = rates(6_000_000, 600_000, 7_500_000, 22_500_000);
        assert_eq!(sonnet.long, Some(Long { above: 200_000, rates: long }));
        let gpt = table.price("openai", "gpt-4").unwrap();
        assert_eq!((gpt.rates, gpt.long), (rates(30_000_000, 30_000_000, 30_000_000, 60_000_000), None));
    }
}
