//! What a request costs: tokens times price.
//!
//! A price is what one token costs at one vendor, told apart by what became of it: read, read from the vendor's cache,
//! written into it, or answered. It comes from `weir.yaml` or from the built-in [`table`]. Tokens are what the vendor
//! counted; before it has counted, and where it does not, they are an [`estimate`], which errs on the dear side.

pub mod estimate;
pub mod table;

use crate::chat::Usage;
use crate::unit::{NanoUsd, PicoUsd};

/// What a model costs at a vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Price {
    /// What tokens cost.
    pub rates: Rates,
    /// What they cost instead in a request with a long prompt; `None` if that makes no difference.
    pub long: Option<Long>,
}

/// What one token costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// A token of the prompt.
    pub input: PicoUsd,
    /// A token of the prompt that the vendor had in its cache.
    pub cached_input: PicoUsd,
    /// A token of the prompt that the vendor put into its cache.
    pub cache_write: PicoUsd,
    /// A token of the answer, reasoning included.
    pub output: PicoUsd,
}

/// What a long prompt changes. The whole prompt decides, and then all tokens, those of the answer too, cost so much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Long {
    /// A prompt of more tokens is long.
    pub above: u64,
    /// What tokens cost then.
    pub rates: Rates,
}

impl Price {
    /// Of what costs nothing.
    pub const FREE: Price = Price { rates: Rates::FREE, long: None };

    fn rates(&self, prompt: u64) -> &Rates {
        match &self.long {
            Some(long) if prompt > long.above => &long.rates,
            _ => &self.rates,
        }
    }
}

impl Rates {
    const FREE: Rates =
        Rates { input: PicoUsd(0), cached_input: PicoUsd(0), cache_write: PicoUsd(0), output: PicoUsd(0) };
}

/// What the tokens of one answer cost, rounded up: (prompt - cached - cache_write) * input + cached * cached_input +
/// cache_write * cache_write + completion * output. Parts that are more than their whole count as the whole.
pub fn cost(price: &Price, usage: &Usage) -> NanoUsd {
    let rates = price.rates(usage.prompt);
    let cached = usage.cached.min(usage.prompt);
    let written = usage.cache_write.min(usage.prompt - cached);
    let parts = [
        (usage.prompt - cached - written, rates.input),
        (cached, rates.cached_input),
        (written, rates.cache_write),
        (usage.completion, rates.output),
    ];
    let pico = parts.iter().fold(0_u128, |sum, (tokens, PicoUsd(each))| {
        sum.saturating_add(u128::from(*tokens).saturating_mul(u128::from(*each)))
    });
    NanoUsd(u64::try_from(pico.div_ceil(1000)).unwrap_or(u64::MAX))
}

/// A price as vendors and people write it, in dollars per million tokens; `None` if it is negative, above
/// [`MOST_PER_MILLION`], or has more than six decimals.
pub fn per_million(dollars: f64) -> Option<PicoUsd> {
    // A dollar per million tokens is a million trillionths for one.
    const PICO: f64 = 1e6;
    let pico = (dollars * PICO).round();
    // Both are the double that is nearest to the same decimal, so they are equal unless a digit was lost.
    let exact = (0.0..=MOST_PER_MILLION).contains(&dollars) && pico / PICO == dollars;
    exact.then_some(PicoUsd(pico as u64))
}

/// A hundred times the dearest model that was ever sold.
pub const MOST_PER_MILLION: f64 = 100_000.0;

/// An amount in decimal dollars, to the billionth and without needless zeros: `0.00123`.
pub fn dollars(NanoUsd(nano): NanoUsd) -> String {
    const NANO: u64 = 1_000_000_000;
    let text = format!("{}.{:09}", nano / NANO, nano % NANO);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    /// In dollars per million tokens.
    fn rates(input: f64, cached_input: f64, cache_write: f64, output: f64) -> Rates {
        let [input, cached_input, cache_write, output] =
            [input, cached_input, cache_write, output].map(|dollars| per_million(dollars).unwrap());
        Rates { input, cached_input, cache_write, output }
    }

    fn usage(prompt: u64, cached: u64, cache_write: u64, completion: u64) -> Usage {
        Usage { prompt, cached, cache_write, completion, reasoning: 0 }
    }

    #[test]
    fn every_token_has_its_price() {
        let price = Price { rates: rates(3.0, 0.3, 3.75, 15.0), long: None };
        for (usage, nano) in [
            (usage(0, 0, 0, 0), 0),
            (usage(1_000_000, 0, 0, 0), 3_000_000_000),
            (usage(1_000_000, 0, 0, 1_000_000), 18_000_000_000),
            (usage(1000, 800, 100, 10), 100 * 3000 + 800 * 300 + 100 * 3750 + 10 * 15000),
            (usage(1000, 5000, 100, 0), 1000 * 300),
            (usage(1000, 800, 5000, 0), 800 * 300 + 200 * 3750),
        ] {
            assert_eq!(cost(&price, &usage), NanoUsd(nano), "{usage:?}");
        }
    }

    #[test]
    fn a_long_prompt_makes_every_token_dearer() {
        let long = Long { above: 200_000, rates: rates(6.0, 0.6, 7.5, 22.5) };
        let price = Price { rates: rates(3.0, 0.3, 3.75, 15.0), long: Some(long) };
        assert_eq!(cost(&price, &usage(200_000, 0, 0, 2)), NanoUsd(200_000 * 3000 + 2 * 15_000));
        assert_eq!(cost(&price, &usage(200_001, 0, 0, 2)), NanoUsd(200_001 * 6000 + 2 * 22_500));
    }

    #[test]
    fn rounds_up_and_never_over() {
        let price = Price { rates: rates(0.000_001, 0.0, 0.0, 0.0), long: None };
        assert_eq!(cost(&price, &usage(1, 0, 0, 0)), NanoUsd(1));
        assert_eq!(cost(&price, &usage(1000, 0, 0, 0)), NanoUsd(1));
        assert_eq!(cost(&price, &usage(1001, 0, 0, 0)), NanoUsd(2));
        let most = Price { rates: Rates { output: PicoUsd(u64::MAX), ..price.rates }, long: None };
        assert_eq!(cost(&most, &usage(u64::MAX, 0, 0, u64::MAX)), NanoUsd(u64::MAX));
        assert_eq!(cost(&Price::FREE, &usage(u64::MAX, 1, 1, u64::MAX)), NanoUsd(0));
    }

    #[test]
    fn a_price_has_six_decimals() {
        for (dollars, pico) in [
            (0.0, Some(0)),
            (2.5, Some(2_500_000)),
            (0.01875, Some(18_750)),
            (0.000_001, Some(1)),
            (99_999.999_999, Some(99_999_999_999)),
            (100_000.0, Some(100_000_000_000)),
            (100_000.000_001, None),
            (0.000_000_1, None),
            (2.500_000_1, None),
            (-1.0, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(per_million(dollars), pico.map(PicoUsd), "{dollars}");
        }
    }

    #[test]
    fn an_amount_has_no_needless_zeros() {
        for (nano, text) in [
            (0, "0"),
            (1, "0.000000001"),
            (1_230_000, "0.00123"),
            (1_000_000_000, "1"),
            (20_500_000_000, "20.5"),
            (u64::MAX, "18446744073.709551615"),
        ] {
            assert_eq!(dollars(NanoUsd(nano)), text);
        }
    }
}
