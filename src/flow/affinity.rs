//! Which vendor a conversation was answered by: there its prompt is in a cache, and cheaper and faster to read again.
//!
//! A conversation is known by its beginning, all messages up to the client's first, and by who has it. Its vendor is kept
//! in one of a fixed number of records that all workers share; where two conversations fall on the same one, the later
//! takes it. Nothing depends on it but which of two good vendors is tried first.

use std::time::Duration;

use crate::chat::Request;
use crate::config::{Config, Hop, Key};
use crate::flow::World;
use crate::flow::exchange::vendor_name;
use crate::store::{SPREAD, spread};

/// A conversation's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conversation(u64);

impl Conversation {
    /// The conversation of a request; nothing if nobody minds.
    pub fn of(request: &Request, key: &Key, config: &Config) -> Option<Conversation> {
        if config.routing.affinity.is_zero() {
            return None;
        }
        let mut number = spread(SPREAD, &key.sha256);
        number = spread(number, request.model().as_bytes());
        for message in request.messages() {
            number = spread(number, message.raw().as_bytes());
            if message.text("role").as_deref() == Some("user") {
                break;
            }
        }
        Some(Conversation(number))
    }

    /// The index of the candidate that answered before.
    pub fn preferred(self, candidates: &[Hop], world: &World<'_>) -> Option<usize> {
        let (conversation, hop, until) = parse(world.store.load(&self.record()).0.as_deref())?;
        let recent = conversation == self.0 && Duration::from_millis(until) > world.now();
        candidates.iter().position(|candidate| recent && number(candidate, world.config) == hop)
    }

    /// It was answered there.
    pub fn went_to(self, hop: &Hop, world: &World<'_>) {
        let until = world.now().saturating_add(world.config.routing.affinity).as_millis();
        let words = [self.0, number(hop, world.config), u64::try_from(until).unwrap_or(u64::MAX)];
        // The last one wins, and that is right.
        world.store.save(&self.record(), &words.map(u64::to_le_bytes).concat(), None);
    }

    fn record(self) -> String {
        format!("route/conversation/{}", self.0 % RECORDS)
    }
}

fn parse(record: Option<&[u8]>) -> Option<(u64, u64, u64)> {
    let (words, []) = record?.as_chunks() else { return None };
    let [conversation, hop, until] = *<&[[u8; 8]; 3]>::try_from(words).ok()?;
    Some((u64::from_le_bytes(conversation), u64::from_le_bytes(hop), u64::from_le_bytes(until)))
}

/// A model at a vendor, whatever its place in the file.
fn number(hop: &Hop, config: &Config) -> u64 {
    let vendor = spread(SPREAD, vendor_name(config, hop).as_bytes());
    spread(spread(vendor, b"/"), hop.model.as_bytes())
}

/// Some hundred bytes each.
const RECORDS: u64 = 1 << 14;
