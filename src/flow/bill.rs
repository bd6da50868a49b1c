//! What a request may come to, and what it came to.

use crate::account::{self, estimate};
use crate::chat::Request;
use crate::chat::answer::Usage;
use crate::config::Hop;
use crate::flow::exchange::{Attempt, Exchange, Outcome};
use crate::flow::party::Party;
use crate::flow::{World, load};
use crate::limit::{Claim, Mode, Settlement};
use crate::route::Plan;
use crate::unit::NanoUsd;

/// What a request came to, and who answered it, if anybody did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bill {
    /// One request, its tokens and dollars.
    pub settlement: Settlement,
    /// The index of the vendor.
    pub vendor: Option<usize>,
}

/// The most that a request may come to, at the dearest vendor of its plan. Nothing is estimated where nobody counts
/// tokens or dollars.
pub fn claim(request: &Request, plan: &Plan, parties: &[Party], world: &World<'_>) -> Claim {
    let lease = load::lease(world);
    if !parties.iter().any(|party| party.rules.meters()) {
        return Claim { tokens: 0, usd: NanoUsd(0), lease };
    }
    let prompt = estimate::prompt(request);
    let completion = match estimate::answer(request, world.config.limits.assumed_output_tokens) {
        estimate::Ceiling::Given(tokens) => tokens,
        // What is only assumed is no reason to refuse a request for ever.
        estimate::Ceiling::Assumed(tokens) => tokens.min(most_at_once(parties).saturating_sub(prompt)),
    };
    let usage = Usage { prompt, completion, ..Usage::default() };
    let usd = plan.hops().map(|hop| price(hop, &usage)).max().unwrap_or_default();
    Claim { tokens: prompt.saturating_add(completion), usd, lease }
}

impl Bill {
    /// The bill of a request that is over.
    pub fn of(exchange: &Exchange) -> Bill {
        if let Some(spent) = exchange.spent() {
            return Bill::from(&spent.usage, spent.hop);
        }
        match exchange.last() {
            // The client left while a vendor was at work, which has read the prompt.
            Some(Attempt { hop, outcome: Outcome::Pending, .. }) => {
                let usage = Usage { prompt: estimate::prompt(&exchange.request), ..Usage::default() };
                Bill::from(&usage, hop)
            }
            _ => Bill { settlement: Settlement { requests: 1, tokens: 0, usd: NanoUsd(0) }, vendor: None },
        }
    }

    fn from(usage: &Usage, hop: &Hop) -> Bill {
        let tokens = usage.prompt.saturating_add(usage.completion);
        Bill { settlement: Settlement { requests: 1, tokens, usd: price(hop, usage) }, vendor: Some(hop.vendor) }
    }
}

fn price(hop: &Hop, usage: &Usage) -> NanoUsd {
    hop.price.as_ref().map_or(NanoUsd(0), |price| account::cost(price, usage))
}

/// What the smallest bucket of tokens holds.
pub fn most_at_once(parties: &[Party]) -> u64 {
    let enforced = parties.iter().filter_map(|party| party.rules.tokens.filter(|rule| rule.mode == Mode::Enforce));
    enforced.map(|rule| rule.bound.burst).min().unwrap_or(u64::MAX)
}
