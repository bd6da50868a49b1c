//! Random rules and claims.

use std::time::Duration;

use weir::limit::{Bucket, Claim, Mode, Rule, Rules, Settlement};
use weir::unit::{NanoUsd, Rate};

/// Marsaglia's xorshift: the same sequence on every run, except that Redis's clock goes on.
pub struct Random(pub u64);

impl Random {
    /// A number below this.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    fn rule<T>(&mut self, bound: T) -> Option<Rule<T>> {
        match self.below(6) {
            0 => None,
            1 | 2 => Some(Rule { bound, mode: Mode::Observe }),
            _ => Some(Rule { bound, mode: Mode::Enforce }),
        }
    }

    /// Limits that are reached and recover within milliseconds, or do not.
    pub fn rules(&mut self) -> Rules {
        let count = [7, 1000, 60_000, 999_983, 1_000_000_000][self.below(5) as usize];
        let per = Duration::from_secs([1, 60, 3600][self.below(3) as usize]);
        let requests = Bucket { rate: Rate { count, per }, burst: 1 + self.below(20) };
        let tokens = Bucket { rate: Rate { count: 1 + self.below(5_000_000), per }, burst: 1 + self.below(5000) };
        let (concurrent, [hour, day, month]) =
            (1 + self.below(20) as u32, [(); 3].map(|()| NanoUsd(1 + self.below(20_000))));
        Rules {
            requests: self.rule(requests),
            tokens: self.rule(tokens),
            concurrent: self.rule(concurrent),
            hour: self.rule(hour),
            day: self.rule(day),
            month: self.rule(month),
        }
    }

    /// A claim that fits into most of these.
    pub fn claim(&mut self) -> Claim {
        Claim { tokens: self.below(1500), usd: NanoUsd(self.below(1500)), lease: Duration::from_secs(600) }
    }

    /// What a claim came to: less or more.
    pub fn settlement(&mut self) -> Settlement {
        Settlement { requests: self.below(2), tokens: self.below(3000), usd: NanoUsd(self.below(3000)) }
    }
}
