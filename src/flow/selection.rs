//! Which vendor is tried first: of all that can express the request, the one that does best now ([`crate::route`]).

use crate::account::{self, estimate};
use crate::chat::{Request, Usage};
use crate::config::{Hop, Key, Model};
use crate::flow::affinity::Conversation;
use crate::flow::exchange::vendor_name;
use crate::flow::{World, report};
use crate::json::Writer;
use crate::route::{Ask, Candidate, Choice, Phase, Plan, Record, Weights, choose, expected_tokens};
use crate::unit::NanoUsd;

/// A plan, and how it came about.
#[derive(Debug)]
pub struct Selection {
    /// The plan.
    pub plan: Plan,
    candidates: Vec<Hop>,
    costs: Vec<Option<NanoUsd>>,
    records: Vec<Record>,
    choice: Option<Choice>,
    weights: Weights,
}

/// Orders the candidates, of which there is at least one, and plans as many attempts as may be made.
pub fn select(
    candidates: Vec<Hop>,
    key: &Key,
    model: &Model,
    request: &Request,
    world: &World<'_>,
) -> Option<Selection> {
    let weights = key.weights.or(model.weights).unwrap_or(world.config.routing.weights);
    let attempts = world.config.routing.attempts;
    let prompt = if candidates.len() == 1 { 0 } else { estimate::prompt(request) };
    let candidates = roomy(candidates, prompt);
    if candidates.len() == 1 || weights == NOTHING_COUNTS {
        let plan = Plan::of(candidates.clone(), attempts)?;
        return Some(Selection { plan, candidates, costs: Vec::new(), records: Vec::new(), choice: None, weights });
    }
    let now = world.now();
    let records: Vec<Record> = candidates.iter().map(|hop| report::known(hop, world.config, world.store)).collect();
    let ceiling = estimate::answer(request, world.config.limits.assumed_output_tokens).tokens();
    let answer = expected_tokens(&records, ceiling, now);
    let usage = Usage { prompt, completion: answer, ..Usage::default() };
    let costs: Vec<Option<NanoUsd>> =
        candidates.iter().map(|hop| hop.price.map(|price| account::cost(&price, &usage))).collect();
    let all: Vec<Candidate<'_>> =
        records.iter().zip(&costs).map(|(record, cost)| Candidate { record, cost: *cost }).collect();
    let preferred = Conversation::of(request, key, world.config)
        .and_then(|conversation| conversation.preferred(&candidates, world));
    let ask = Ask { now, prompt, answer, weights, preferred, draw: (world.random)() };
    let choice = choose(&all, &ask);
    let ordered: Vec<Hop> = choice.order().filter_map(|index| candidates.get(index).cloned()).collect();
    let plan = Plan::of(ordered, attempts)?;
    Some(Selection { plan, candidates, costs, records, choice: Some(choice), weights })
}

/// Those whose context has room for the prompt; all of them if none has, since its length is only estimated.
fn roomy(candidates: Vec<Hop>, prompt: u64) -> Vec<Hop> {
    let (roomy, narrow): (Vec<Hop>, Vec<Hop>) =
        candidates.into_iter().partition(|hop| hop.context.is_none_or(|context| prompt < context));
    if roomy.is_empty() { narrow } else { roomy }
}

/// Then the file decides, whatever happens.
const NOTHING_COUNTS: Weights = Weights { cost: 0.0, success: 0.0, latency: 0.0 };

impl Selection {
    /// Why the plan is as it is, for those who may know: candidates, factors, scores and the reason, as JSON.
    pub fn explain(&self, world: &World<'_>) -> Vec<u8> {
        let mut w = Writer::onto(Vec::new());
        w.object(|w| {
            w.key("reason").string(
                self.choice
                    .as_ref()
                    .map_or(if self.candidates.len() == 1 { "only" } else { "order" }, |choice| choice.reason.name()),
            );
            w.key("weights").object(|w| {
                let Weights { cost, success, latency } = self.weights;
                for (name, weight) in [("cost", cost), ("success", success), ("latency", latency)] {
                    w.key(name).raw(&weight.to_string());
                }
            });
            w.key("candidates").array(|w| self.candidates(w, world));
        });
        w.finish()
    }

    fn candidates(&self, w: &mut Writer, world: &World<'_>) {
        let Some(choice) = &self.choice else {
            self.candidates.iter().for_each(|hop| w.object(|w| name(w, hop, world)));
            return;
        };
        for ranked in choice.ranked() {
            let (Some(hop), Some(record)) = (self.candidates.get(ranked.index), self.records.get(ranked.index)) else {
                continue;
            };
            let cost = self.costs.get(ranked.index).copied().flatten();
            w.object(|w| {
                name(w, hop, world);
                let factors = ranked.factors;
                for (name, factor) in [
                    ("score", factors.score),
                    ("cost", factors.cost),
                    ("success", factors.success),
                    ("latency", factors.latency),
                    ("headroom", factors.headroom),
                ] {
                    w.key(name).raw(&decimal(factor));
                }
                match cost {
                    Some(cost) => w.key("expected_usd").string(&account::dollars(cost)),
                    None => w.key("expected_usd").null(),
                }
                view(w, record, world);
            });
        }
    }
}

fn name(w: &mut Writer, hop: &Hop, world: &World<'_>) {
    w.key("vendor").string(vendor_name(world.config, hop));
    w.key("model").string(&hop.model);
}

/// What a record says, as members of an object.
pub fn view(w: &mut Writer, record: &Record, world: &World<'_>) {
    let view = record.view(world.now());
    let millis = |time: Option<std::time::Duration>| time.map(|time| decimal(time.as_secs_f64() * 1e3));
    let (breaker, opens) = match view.phase {
        Phase::Closed => ("closed", None),
        Phase::Warming(_) => ("warming", None),
        Phase::Ready | Phase::Probing => ("half_open", None),
        Phase::Open(wait, why) => ("open", Some((wait, why))),
    };
    w.key("breaker").string(breaker);
    if let Some((wait, why)) = opens {
        w.key("open_for_ms").number(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        w.key("open_because").string(why.name());
    }
    for (name, value) in [
        ("success_rate", Some(decimal(view.success))),
        ("first_token_ms", millis(view.first_token)),
        ("per_token_ms", millis(view.per_token)),
        ("tokens", view.tokens.map(decimal)),
        ("in_flight", Some(decimal(view.in_flight))),
        ("requests_left", view.requests_left.map(decimal)),
        ("tokens_left", view.tokens_left.map(decimal)),
    ] {
        w.key(name).raw(value.as_deref().unwrap_or("null"));
    }
    w.key("usd_per_hour").string(&account::dollars(view.spend));
}

/// With three decimals; what is no number is 0.
pub fn decimal(number: f64) -> String {
    let number = if number.is_finite() { number } else { 0.0 };
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
