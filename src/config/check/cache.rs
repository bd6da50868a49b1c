//! `cache`, that of the gateway and those of models and keys.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::cache::{Normal, Rules};
use crate::config::problem::Problems;
use crate::config::written::{CacheRules, Normalise};
use crate::config::{Cache, written};
use crate::unit::{Bytes, Span};

/// The gateway's.
pub(super) fn cache(written: &written::Cache, problems: &mut Problems) -> Cache {
    let written::Cache { ttl, stale, scope, only, normalise, merge, entry_bytes, l1 } = written.clone();
    let rules = CacheRules { enabled: None, ttl, stale, scope, only, normalise };
    let Span(merge) = merge;
    if merge > LONGEST_MERGE {
        problems.note("cache.merge", format!("must be at most {}", Span(LONGEST_MERGE)));
    }
    within("cache.entry_bytes", entry_bytes, ENTRY, problems);
    within("cache.l1.max_bytes", l1.max_bytes, L1, problems);
    Cache { rules: self::rules(&rules, "cache", problems), merge, entry_bytes: entry_bytes.0, l1_bytes: l1.max_bytes.0 }
}

/// A model's or a key's.
pub(super) fn own(written: Option<&CacheRules>, at: &str, gateway: Gateway, problems: &mut Problems) -> Rules {
    let Some(written) = written else { return Rules::default() };
    if gateway == Gateway::KeepsNothing {
        problems.note(at, "means nothing without the section cache");
    }
    rules(written, at, problems)
}

/// Whether the gateway has a section `cache`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gateway {
    /// It has.
    Keeps,
    /// It has not.
    KeepsNothing,
}

impl Gateway {
    /// Of a gateway that is configured so.
    pub(super) fn of<T>(cache: Option<&T>) -> Gateway {
        if cache.is_some() { Gateway::Keeps } else { Gateway::KeepsNothing }
    }
}

fn rules(written: &CacheRules, at: &str, problems: &mut Problems) -> Rules {
    let mut span = |field: &str, span: Option<Span>, range: RangeInclusive<Duration>| {
        let Span(span) = span?;
        if !range.contains(&span) {
            let text = format!("must be between {} and {}", Span(*range.start()), Span(*range.end()));
            problems.note(format!("{at}.{field}"), text);
        }
        Some(span)
    };
    Rules {
        enabled: written.enabled,
        ttl: span("ttl", written.ttl, Duration::from_secs(1)..=LONGEST),
        stale: span("stale", written.stale, Duration::ZERO..=LONGEST),
        scope: written.scope,
        only: written.only,
        normal: written.normalise.as_deref().map(normal),
    }
}

fn normal(differences: &[Normalise]) -> Normal {
    Normal {
        nfc: differences.contains(&Normalise::Nfc),
        trailing_space: differences.contains(&Normalise::TrailingSpace),
        line_ends: differences.contains(&Normalise::LineEnds),
    }
}

fn within(at: &str, bytes: Bytes, range: RangeInclusive<usize>, problems: &mut Problems) {
    if !range.contains(&bytes.0) {
        problems.note(at, format!("must be between {} and {}", Bytes(*range.start()), Bytes(*range.end())));
    }
}

/// Thirty days.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);
const LONGEST_MERGE: Duration = Duration::from_secs(600);
const ENTRY: RangeInclusive<usize> = (1 << 10)..=(16 << 20);
const L1: RangeInclusive<usize> = (1 << 20)..=(1 << 30);
