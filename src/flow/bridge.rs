//! The role `bridge`: the part of the way to Redis on which commands are an HTTP request.
//!
//! The filter can make HTTP calls and nothing else. So a pipeline of commands is the body of a POST to an internal
//! listener, where Envoy's router, as for a CONNECT, sends the bytes of the body on as they are, to its own Redis proxy.
//! Where the request ends, the router would close its half of that connection, and the proxy, which sees a client leave,
//! would drop the replies that it still owes. So this role lets the body pass and holds the end of the request back. It
//! is QUIT, the last command of every pipeline, that ends the exchange: the proxy answers everything, then closes.

use crate::flow::{Effect, Flow, Part, Reads, Step, World};

/// The state of one call to Redis.
#[derive(Debug, Default)]
pub enum Bridge {
    /// Commands may come.
    Open,
    /// It is over.
    #[default]
    Over,
}

impl Flow for Bridge {
    fn request_head(self, _: bool, _: &mut World<'_>) -> Step<Bridge> {
        Step::pass(self, Vec::new())
    }

    /// The end is a part of its own, and empty: HTTP/1, which this listener speaks, knows it only after the last byte.
    fn request_body(self, body: Part, _: &mut World<'_>) -> Step<Bridge> {
        match (self, body) {
            (Bridge::Open, Part::Whole(_)) => Step::hold(Bridge::Open),
            (state, _) => Step::pass(state, Vec::new()),
        }
    }

    fn response_head(self, _: bool, _: &mut World<'_>) -> Step<Bridge> {
        Step::pass(self, Vec::new())
    }

    fn response_body(self, _: Part, _: &mut World<'_>) -> Step<Bridge> {
        Step::pass(self, Vec::new())
    }

    fn closed(self, _: &mut World<'_>) -> Vec<Effect> {
        Vec::new()
    }

    fn reads_request(&self) -> Reads {
        match self {
            Bridge::Open => Reads::Held,
            Bridge::Over => Reads::Nothing,
        }
    }

    fn reads_response(&self) -> Reads {
        Reads::Nothing
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::config::parse_json;
    use crate::flow::exchange::Exchanges;
    use crate::flow::{Head, Verdict};
    use crate::store::Memory;
    use crate::test;

    #[test]
    fn lets_commands_pass_and_holds_their_end_back() {
        let config = r#"{"vendors":[{"name":"e","kind":"echo"}],"models":[{"name":"m","serve":[{"vendor":"e"}]}]}"#;
        let mut world = World {
            flags: || 0,
            config: &Rc::new(parse_json(config.as_bytes()).unwrap()),
            exchanges: &mut Exchanges::new(0),
            flights: &mut Default::default(),
            stream: 1,
            keys: &mut Default::default(),
            store: &Memory::default(),
            books: &Default::default(),
            spare: &Default::default(),
            pools: &Default::default(),
            shelf: &Default::default(),
            history: &Default::default(),
            redis: || crate::redis::Presence::Answers,
            random: || 0,
            moment: Default::default(),
            clock: || std::time::Duration::ZERO,
            head: Head::default,
            exchange: || None,
        };
        let step = Bridge::Open.request_head(false, &mut world);
        assert_eq!(step.verdict, Verdict::Pass);
        let step = step.state.request_body(Part::Held(100), &mut world);
        assert_eq!(step.verdict, Verdict::Pass);
        let step = step.state.request_body(Part::Whole(Vec::new()), &mut world);
        assert_eq!((step.verdict, step.effects), (Verdict::Hold, Vec::new()));
    }
}
