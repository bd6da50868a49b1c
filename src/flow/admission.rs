//! Whether a request may go out, as far as limits and budgets have a say.
//!
//! A request meets several parties that may have limits ([`Party`]). Each decides for itself, by [`limit`]: here, in the
//! records of this Envoy, or in Redis, one script a party and all in one batch. A request goes out if its key, tenant
//! and model admit it, to the first vendor of its plan that does. Whoever admitted it in vain gets the claim back at
//! once; the others are settled when the stream is over, with what the request came to.
//!
//! A vendor is asked before the first attempt. When that fails, the vendor that takes over cannot be asked any more: the
//! attempt counts against its limit once the request is over, into bounded debt, and is not refused.
//!
//! Where Redis decides and does not answer, `limits.on_redis_failure` says who decides instead. A claim whose fate is not
//! known is given back in Redis as if it had been taken: if it was not, that changes nothing.

use std::rc::Rc;

use crate::config::{Config, OnRedisFailure};
use crate::flow::bill::Bill;
use crate::flow::denial;
use crate::flow::party::{Party, Role};
use crate::flow::{Effect, Headers, World};
use crate::limit::{self, Bound, Claim, Decision, Denial, Mode, Receipt, Rules, Settlement, Standing, Wait};
use crate::metric::Counter;
use crate::redis::{Command, Reply};
use crate::refusal::Refusal;
use crate::unit::go_duration;

/// A request before those who may limit it.
#[derive(Debug)]
pub struct Petition {
    /// Who may.
    pub parties: Vec<Party>,
    /// The vendors of its plan, hop by hop.
    pub hops: Vec<usize>,
    /// What it wants.
    pub claim: Claim,
}

/// A petition that Redis has been asked about.
#[derive(Debug)]
pub struct Asked {
    petition: Petition,
    id: String,
}

/// What becomes of a petition.
#[derive(Debug)]
pub struct Ruling {
    /// Admitted, or not.
    pub outcome: Result<Admitted, Refusal>,
    /// How requests and tokens stand now.
    pub standings: Standings,
    /// What is to be done in any case.
    pub effects: Vec<Effect>,
}

/// What a request holds until it is settled.
#[derive(Debug, Default)]
pub struct Admitted {
    /// The first hop of the plan whose vendor admits it.
    pub hop: usize,
    held: Vec<Held>,
}

/// Of the buckets that a request draws from, the scarcest.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Standings {
    /// Of requests.
    pub requests: Option<Standing>,
    /// Of tokens.
    pub tokens: Option<Standing>,
}

/// What it holds of one party.
#[derive(Debug)]
struct Held {
    party: Party,
    receipt: Receipt,
    by: By,
}

/// Who decided.
#[derive(Debug)]
enum By {
    /// This Envoy.
    Here,
    /// This Envoy in the place of Redis, for its part.
    StandIn,
    /// Redis, under this id.
    Redis(String),
}

/// What one party says.
struct Voice {
    party: Party,
    by: By,
    decision: Decision,
}

impl Petition {
    /// Asks Redis.
    pub fn ask(self, world: &World<'_>) -> (Asked, Vec<Command>) {
        let id = format!("{:016x}{:016x}", (world.random)(), (world.random)());
        let take = |party: &Party| limit::global::take(&party.subject(), &id, &party.rules, &self.claim);
        let commands = self.parties.iter().map(take).collect();
        (Asked { petition: self, id }, commands)
    }

    /// Decides here.
    pub fn decide(self, world: &World<'_>) -> Ruling {
        let claim = self.claim;
        let voices = self.parties.into_iter().map(|party| here(party, By::Here, &claim, world)).collect();
        rule(voices, &self.hops, Vec::new(), world)
    }
}

impl Asked {
    /// What Redis said, or did not.
    pub fn told(self, replies: Option<Vec<Reply>>, world: &World<'_>) -> Ruling {
        let Petition { parties, hops, claim } = self.petition;
        let mut replies = replies.unwrap_or_default().into_iter();
        let (mut voices, mut effects, mut doubtful) = (Vec::new(), Vec::new(), Vec::new());
        let mut barred = None;
        for party in parties {
            let decision = replies.next().and_then(|reply| limit::global::decision(&party.rules, &claim, &reply));
            if let Some(decision) = decision {
                voices.push(Voice { party, by: By::Redis(self.id.clone()), decision });
                continue;
            }
            doubtful.push(return_unseen(&party, &self.id, &claim, world));
            effects.push(Effect::Count(Counter::Fallback(world.config.limits.on_redis_failure)));
            match world.config.limits.on_redis_failure {
                OnRedisFailure::Local => voices.push(here(party, By::StandIn, &claim, world)),
                OnRedisFailure::Allow => {}
                OnRedisFailure::Deny => barred = Some(Refusal::limits_absent((world.random)())),
            }
        }
        if !doubtful.is_empty() {
            effects.push(Effect::Tell(doubtful));
        }
        let ruling = rule(voices, &hops, effects, world);
        match (barred, ruling.outcome) {
            (Some(refusal), Ok(admitted)) => {
                let mut effects = ruling.effects;
                effects.extend(admitted.release(world));
                Ruling { outcome: Err(refusal), standings: ruling.standings, effects }
            }
            (_, outcome) => Ruling { outcome, ..ruling },
        }
    }

    /// The client has left before Redis has answered.
    pub fn abandoned(self, world: &World<'_>) -> Vec<Effect> {
        let Petition { parties, claim, .. } = self.petition;
        let commands = parties.iter().map(|party| return_unseen(party, &self.id, &claim, world)).collect();
        vec![Effect::Tell(commands)]
    }
}

/// Gives back in Redis what may have been taken there.
fn return_unseen(party: &Party, id: &str, claim: &Claim, world: &World<'_>) -> Command {
    let presumed = Receipt { at: world.now(), claim: *claim, charged: 0, ample: false };
    limit::global::settle(&party.subject(), id, &party.rules, &presumed, &NOTHING)
}

impl Admitted {
    /// Gives everything back: the request does not go out.
    fn release(self, world: &World<'_>) -> Option<Effect> {
        settle(self.held.into_iter().map(|held| (held, NOTHING)), Vec::new(), world)
    }

    /// Settles with what the request came to. `attempts` are the vendors it went to, the one that admitted it first.
    pub fn settle(self, bill: &Bill, attempts: &[usize], claim: &Claim, world: &World<'_>) -> Option<Effect> {
        let tried = Settlement { requests: bill.settlement.requests, ..NOTHING };
        let held = self.held.into_iter().map(|held| {
            let answered = !matches!(held.party.role, Role::Vendor(vendor) if bill.vendor != Some(vendor));
            (held, if answered { bill.settlement } else { tried })
        });
        let mut commands = Vec::new();
        let (first, last) = (attempts.first(), attempts.len().saturating_sub(1));
        for (i, vendor) in attempts.iter().enumerate().filter(|(_, vendor)| Some(*vendor) != first) {
            let answered = i == last && bill.vendor == Some(*vendor);
            let Settlement { tokens, usd, .. } = if answered { bill.settlement } else { tried };
            let party = Party::vendor(*vendor, world.config);
            commands.extend(
                party.map(|party| charge(&party, &Claim { tokens, usd, ..*claim }, world)).into_iter().flatten(),
            );
        }
        settle(held, commands, world)
    }
}

/// Sums up what everybody says.
fn rule(voices: Vec<Voice>, hops: &[usize], mut effects: Vec<Effect>, world: &World<'_>) -> Ruling {
    let refuses =
        |vendor: usize| voices.iter().any(|voice| voice.party.role == Role::Vendor(vendor) && !voice.admits());
    let hop = hops.iter().position(|vendor| !refuses(*vendor));
    let vendor = hop.and_then(|hop| hops.get(hop)).copied();
    // A vendor that is passed over has no say.
    let concerns = |voice: &&Voice| match voice.party.role {
        Role::Vendor(own) => vendor.is_none_or(|vendor| vendor == own),
        _ => true,
    };
    let mut standings = Standings::default();
    voices.iter().filter(concerns).for_each(|voice| standings.note(&voice.decision));
    effects.extend(voices.iter().flat_map(Voice::counters).map(Effect::Count));
    let refusing = voices.iter().filter(concerns).find(|voice| !voice.admits());
    let refusal = refusing.map(|voice| voice.refusal(world));
    let chosen = if refusal.is_none() { vendor } else { None };
    let taken = voices.into_iter().filter(Voice::admits).map(|voice| Held {
        party: voice.party,
        receipt: voice.decision.receipt,
        by: voice.by,
    });
    let (held, spare): (Vec<Held>, Vec<Held>) = taken.partition(|held| match (held.party.role, chosen) {
        (Role::Vendor(vendor), Some(chosen)) => vendor == chosen,
        (_, chosen) => chosen.is_some(),
    });
    effects.extend(settle(spare.into_iter().map(|held| (held, NOTHING)), Vec::new(), world));
    let outcome = match refusal {
        Some(refusal) => Err(refusal),
        None => Ok(Admitted { hop: hop.unwrap_or_default(), held }),
    };
    Ruling { outcome, standings, effects }
}

impl Voice {
    fn admits(&self) -> bool {
        self.decision.denied.is_empty()
    }

    /// Of several reasons the one that lasts longest.
    fn denial(&self) -> Option<&Denial> {
        self.decision.denied.iter().max_by_key(|denial| denial.wait)
    }

    fn refusal(&self, world: &World<'_>) -> Refusal {
        let denial = self.denial().copied().unwrap_or(Denial { bound: Bound::Concurrent, wait: Wait::Unknown });
        denial::refusal(&self.party, &denial, (world.random)())
    }

    fn counters(&self) -> impl Iterator<Item = Counter> {
        let limited = |bound: Bound, mode| Counter::Limited {
            limit: bound.name(),
            role: self.party.role.word(),
            name: self.party.label().to_owned(),
            mode,
        };
        let denied = self.denial().map(|denial| limited(denial.bound, Mode::Enforce));
        denied.into_iter().chain(self.decision.observed.iter().map(move |bound| limited(*bound, Mode::Observe)))
    }
}

impl Ruling {
    /// It is not needed: what was admitted is given back.
    pub fn withdrawn(self, world: &World<'_>) -> Vec<Effect> {
        let mut effects = self.effects;
        effects.extend(self.outcome.ok().and_then(|admitted| admitted.release(world)));
        effects
    }
}

impl Standings {
    /// The headers in which OpenAI's clients look for them.
    pub fn headers(&self) -> Headers {
        const REQUESTS: [&str; 3] =
            ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
        const TOKENS: [&str; 3] =
            ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];
        let mut headers = Headers::new();
        for ([limit, remaining, reset], standing) in [(REQUESTS, self.requests), (TOKENS, self.tokens)] {
            if let Some(standing) = standing {
                headers.push((limit, standing.limit.to_string().into()));
                headers.push((remaining, standing.remaining.to_string().into()));
                headers.push((reset, go_duration(standing.reset).into()));
            }
        }
        headers
    }

    fn note(&mut self, decision: &Decision) {
        scarcer(&mut self.requests, decision.requests);
        scarcer(&mut self.tokens, decision.tokens);
    }
}

fn scarcer(least: &mut Option<Standing>, other: Option<Standing>) {
    if let Some(other) = other
        && least.is_none_or(|least| other.remaining < least.remaining)
    {
        *least = Some(other);
    }
}

/// A decision of this Envoy's.
fn here(party: Party, by: By, claim: &Claim, world: &World<'_>) -> Voice {
    let rules = by.rules(&party, world.config);
    // A part of a bucket may be smaller than a request that the whole one has room for.
    let most = rules.tokens.filter(|_| matches!(by, By::StandIn)).map_or(u64::MAX, |rule| rule.bound.burst);
    let claim = Claim { tokens: claim.tokens.min(most), ..*claim };
    let decision = world.books.take(world.store, &party.record(), &rules, world.now(), &claim);
    Voice { party, by, decision }
}

/// Settles what is held; `commands` are told to Redis as well.
fn settle(
    held: impl Iterator<Item = (Held, Settlement)>,
    mut commands: Vec<Command>,
    world: &World<'_>,
) -> Option<Effect> {
    for (Held { party, receipt, by }, settlement) in held {
        if let By::Redis(id) = &by {
            commands.push(limit::global::settle(&party.subject(), id, &party.rules, &receipt, &settlement));
            continue;
        }
        let rules = by.rules(&party, world.config);
        world.books.settle(world.store, &party.record(), &rules, world.now(), receipt, settlement);
    }
    (!commands.is_empty()).then_some(Effect::Tell(commands))
}

/// Charges a party that was not asked, for a request that is over.
fn charge(party: &Party, claim: &Claim, world: &World<'_>) -> Vec<Command> {
    if world.config.redis.is_some() {
        let id = format!("{:016x}{:016x}", (world.random)(), (world.random)());
        return limit::global::charge(&party.subject(), &id, &party.rules, claim).to_vec();
    }
    world.books.charge(world.store, &party.record(), &party.rules, world.now(), claim);
    Vec::new()
}

impl By {
    fn rules(&self, party: &Party, config: &Config) -> Rc<Rules> {
        match self {
            By::Here | By::Redis(_) => Rc::clone(&party.rules),
            By::StandIn => Rc::new(party.rules.scaled_down(config.limits.gateways)),
        }
    }
}

/// What a request came to that did not go out.
const NOTHING: Settlement = Settlement { requests: 0, tokens: 0, usd: crate::unit::NanoUsd(0) };
