//! What the history is told of a request that is over.

use std::time::Duration;

use crate::flow::endpoint::{self, Serves};
use crate::flow::visit::Visit;
use crate::history::{Finished, Purpose, Source};
use crate::metric::Rung;

/// A request with its status, at the moment it is over.
pub fn finished(visit: &Visit, now: Duration) -> Finished<'_> {
    let Visit { labels, work, .. } = visit;
    let kept = [Rung::L1, Rung::L2, Rung::Merge, Rung::Stale].map(Rung::header);
    let usage = work.usage.unwrap_or_default();
    Finished {
        at: now,
        took: now.saturating_sub(visit.began),
        purpose: match endpoint::find(labels.method, labels.endpoint) {
            Ok(Serves::Asks(_)) => Purpose::Model,
            _ => Purpose::Other,
        },
        endpoint: labels.endpoint,
        status: labels.status,
        source: if visit.cache.is_some_and(|it| kept.contains(&it)) { Source::Kept } else { Source::Vendor },
        input: usage.prompt,
        output: usage.completion,
        cost: work.cost.unwrap_or_default(),
        reason: visit.reason.unwrap_or_default(),
        key: visit.key.as_ref().map_or("", |key| &key.name),
        model: &labels.model,
        attempts: &work.attempts,
    }
}
