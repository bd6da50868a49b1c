//! The ledgers of this Envoy, as one worker keeps them.
//!
//! Claims are written at once: no worker may give away what another has given already. The end of a request may wait a
//! moment, because until it is written others only think that more is used than is. So where a ledger is far from all
//! its bounds, and this worker has more requests on it under way, a settlement waits for its next claim on the same ledger
//! and is written together with it, or else for the next [`Books::close`]. That is half of the host calls under load.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use crate::limit::{self, Claim, Decision, Ledger, Receipt, Rules, Settlement};
use crate::store::{self, Store};

/// What is under way and what is not written yet, by the name of its ledger.
#[derive(Debug, Default)]
pub struct Books(RefCell<HashMap<String, Page>>);

#[derive(Debug, Default)]
struct Page {
    /// Claims of this worker that are not settled.
    open: usize,
    owed: Vec<Owed>,
}

#[derive(Debug)]
struct Owed {
    rules: Rc<Rules>,
    receipt: Receipt,
    settlement: Settlement,
}

impl Books {
    /// Claims. Where other workers are faster again and again, the ledger is as good as used up.
    pub fn take(&self, store: &dyn Store, name: &str, rules: &Rules, now: Duration, claim: &Claim) -> Decision {
        let owed = self.0.borrow_mut().get_mut(name).map(|page| std::mem::take(&mut page.owed)).unwrap_or_default();
        let decision = store::update(store, name, |record| {
            let before = Ledger::parse(record);
            let mut ledger = settled(before, &owed, now);
            let decision = limit::take(rules, &mut ledger, now, claim);
            ((ledger != before).then(|| ledger.render()), decision)
        });
        match decision {
            Some(decision) => {
                self.page(name, |page| page.open += usize::from(decision.denied.is_empty()));
                decision
            }
            None => {
                self.page(name, |page| page.owed.extend(owed));
                Decision::contended(now, *claim)
            }
        }
    }

    /// Settles, once for each receipt.
    pub fn settle(
        &self,
        store: &dyn Store,
        name: &str,
        rules: &Rc<Rules>,
        now: Duration,
        receipt: Receipt,
        settlement: Settlement,
    ) {
        let waits = self.page(name, |page| {
            page.open = page.open.saturating_sub(1);
            page.owed.push(Owed { rules: Rc::clone(rules), receipt, settlement });
            receipt.ample && page.open > 0 && page.owed.len() < MOST
        });
        if !waits {
            self.write(store, name, now);
        }
    }

    /// Charges without asking.
    pub fn charge(&self, store: &dyn Store, name: &str, rules: &Rules, now: Duration, claim: &Claim) {
        store::update(store, name, |record| {
            let mut ledger = Ledger::parse(record);
            limit::charge(rules, &mut ledger, now, claim);
            (Some(ledger.render()), ())
        });
    }

    /// Writes all that waits.
    pub fn close(&self, store: &dyn Store, now: Duration) {
        let waits = |(name, page): (&String, &Page)| (!page.owed.is_empty()).then(|| name.clone());
        let names: Vec<String> = self.0.borrow().iter().filter_map(waits).collect();
        names.iter().for_each(|name| self.write(store, name, now));
    }

    fn write(&self, store: &dyn Store, name: &str, now: Duration) {
        let owed = self.page(name, |page| std::mem::take(&mut page.owed));
        let written =
            store::update(store, name, |record| (Some(settled(Ledger::parse(record), &owed, now).render()), ()));
        if written.is_none() {
            self.page(name, |page| page.owed.extend(owed));
        }
    }

    /// Does something with a page; one that is blank afterwards goes.
    fn page<T>(&self, name: &str, work: impl FnOnce(&mut Page) -> T) -> T {
        let mut books = self.0.borrow_mut();
        if let Some(page) = books.get_mut(name) {
            let result = work(page);
            if page.open == 0 && page.owed.is_empty() {
                books.remove(name);
            }
            return result;
        }
        let mut page = Page::default();
        let result = work(&mut page);
        if page.open > 0 || !page.owed.is_empty() {
            books.insert(name.to_owned(), page);
        }
        result
    }
}

fn settled(ledger: Ledger, owed: &[Owed], now: Duration) -> Ledger {
    owed.iter().fold(ledger, |mut ledger, Owed { rules, receipt, settlement }| {
        limit::settle(rules, &mut ledger, now, receipt, settlement);
        ledger
    })
}

/// Of each ledger; more are not worth the memory.
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::{Mode, Rule};
    use crate::store::Memory;
    use crate::test;
    use crate::unit::NanoUsd;

    const NOW: Duration = Duration::from_secs(1_800_000_000);
    const CLAIM: Claim = Claim { tokens: 0, usd: NanoUsd(0), lease: Duration::from_secs(60) };
    const OVER: Settlement = Settlement { requests: 1, tokens: 0, usd: NanoUsd(0) };

    fn places(max: u32) -> Rc<Rules> {
        Rc::new(Rules { concurrent: Some(Rule { bound: max, mode: Mode::Enforce }), ..Rules::default() })
    }

    /// How many places another worker finds.
    fn free(store: &Memory, rules: &Rules) -> usize {
        let record = store.load("r").0;
        let mut ledger = Ledger::parse(record.as_deref());
        let takes = std::iter::repeat_with(|| limit::take(rules, &mut ledger, NOW, &CLAIM).denied.is_empty());
        takes.take_while(|taken| *taken).count()
    }

    #[test]
    fn what_is_scarce_is_given_back_at_once() {
        let (books, store, rules) = (Books::default(), Memory::default(), places(100));
        let receipts: Vec<_> = (0..100).map(|_| books.take(&store, "r", &rules, NOW, &CLAIM).receipt).collect();
        assert_eq!(free(&store, &rules), 0);
        for (given, receipt) in receipts.into_iter().rev().enumerate() {
            let ample = receipt.ample;
            books.settle(&store, "r", &rules, NOW, receipt, OVER);
            assert!(ample || free(&store, &rules) == given + 1);
        }
    }

    #[test]
    fn what_is_ample_waits_for_the_next_claim_or_the_end() {
        let (books, store, rules) = (Books::default(), Memory::default(), places(1000));
        let other = books.take(&store, "r", &rules, NOW, &CLAIM).receipt;
        for _ in 0..3 {
            let receipt = books.take(&store, "r", &rules, NOW, &CLAIM).receipt;
            assert_eq!(free(&store, &rules), 998, "each claim writes what came before it");
            books.settle(&store, "r", &rules, NOW, receipt, OVER);
            assert_eq!(free(&store, &rules), 998);
        }
        books.close(&store, NOW);
        assert_eq!(free(&store, &rules), 999);
        books.close(&store, NOW);
        assert_eq!(free(&store, &rules), 999, "once only");
        books.settle(&store, "r", &rules, NOW, other, OVER);
        assert_eq!((free(&store, &rules), books.0.borrow().len()), (1000, 0), "the last one does not wait");
    }

    #[test]
    fn little_waits() {
        let (books, store, rules) = (Books::default(), Memory::default(), places(1_000_000));
        let receipts: Vec<_> = (0..3 * MOST).map(|_| books.take(&store, "r", &rules, NOW, &CLAIM).receipt).collect();
        receipts.into_iter().for_each(|receipt| books.settle(&store, "r", &rules, NOW, receipt, OVER));
        assert_eq!((free(&store, &rules), books.0.borrow().len()), (1_000_000, 0));
    }

    /// Whom another worker is always faster than.
    struct Contended;

    impl Store for Contended {
        fn load(&self, _: &str) -> (Option<Vec<u8>>, Option<u32>) {
            (None, Some(1))
        }

        fn save(&self, _: &str, _: &[u8], _: Option<u32>) -> bool {
            false
        }
    }

    #[test]
    fn what_could_not_be_written_is_not_lost() {
        let (books, store, rules) = (Books::default(), Memory::default(), places(1000));
        let receipt = books.take(&store, "r", &rules, NOW, &CLAIM).receipt;
        books.settle(&Contended, "r", &rules, NOW, receipt, OVER);
        assert!(!books.take(&Contended, "r", &rules, NOW, &CLAIM).denied.is_empty());
        books.close(&Contended, NOW);
        books.close(&store, NOW);
        assert_eq!(free(&store, &rules), 1000);
    }
}
