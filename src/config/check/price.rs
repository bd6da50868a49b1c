//! `price`: what the hops of a model cost, and who cannot do without knowing.

use std::cell::LazyCell;

use super::vendor::{AZURE, ECHO};
use crate::account::table::{self, Table};
use crate::account::{MOST_PER_MILLION, Price};
use crate::config::problem::Problems;
use crate::config::{Config, Hop, Key, Model, Vendor, written};
use crate::limit::Rules;

/// Where the prices of hops come from.
pub(super) struct Prices<'v> {
    vendors: &'v [Vendor],
    /// Read only if somebody has no price of his own.
    table: LazyCell<Table>,
}

impl<'v> Prices<'v> {
    pub(super) fn new(vendors: &'v [Vendor]) -> Prices<'v> {
        Prices { vendors, table: LazyCell::new(Table::built_in) }
    }

    /// The hops of a model, each with its price: its own, else nothing at the echo vendor, else the model's, else what
    /// the table says.
    pub(super) fn of_hops(
        &self,
        model: &written::Model,
        hops: Option<Vec<Hop>>,
        at: &str,
        problems: &mut Problems,
    ) -> Option<Vec<Hop>> {
        let common = model.price.as_ref().map(|price| given(price, &format!("{at}.price"), problems));
        let own = model.serve.iter().enumerate().map(|(i, hop)| {
            let price = hop.price.as_ref()?;
            given(price, &format!("{at}.serve[{i}].price"), problems)
        });
        let own: Vec<Option<Price>> = own.collect();
        let priced = hops?.into_iter().zip(own).map(|(hop, own)| {
            let price = own.or_else(|| self.known(&hop, &model.name, common.flatten()));
            let context = self.listed(&hop, &model.name, |family, name| self.table.context(family, name));
            Hop { price, context, ..hop }
        });
        Some(priced.collect())
    }

    fn known(&self, hop: &Hop, public: &str, common: Option<Price>) -> Option<Price> {
        let vendor = self.vendors.get(hop.vendor)?;
        if vendor.format.kind() == ECHO {
            return Some(Price::FREE);
        }
        common.or_else(|| self.listed(hop, public, |family, name| self.table.price(family, name)))
    }

    /// What the table says of a model, whose name clients know as `public`.
    fn listed<T>(&self, hop: &Hop, public: &str, look: impl Fn(&str, &str) -> Option<T>) -> Option<T> {
        let vendor = self.vendors.get(hop.vendor)?;
        let host = vendor.endpoint.as_ref().map_or("", |endpoint| &endpoint.host);
        let family = table::family(vendor.format.prices(), host);
        // A deployment may be called anything; then the name that clients know is the better guess.
        look(family, &hop.model).or_else(|| look(family, public).filter(|_| vendor.format.kind() == AZURE))
    }
}

/// A price as it is written.
fn given(written: &written::Price, at: &str, problems: &mut Problems) -> Option<Price> {
    let fields = [
        ("input", written.input),
        ("output", written.output),
        ("cached_input", written.cached_input),
        ("cache_write", written.cache_write),
    ];
    for (name, dollars) in fields {
        match dollars {
            None if matches!(name, "input" | "output") => problems.note(format!("{at}.{name}"), "missing"),
            Some(dollars) if crate::account::per_million(dollars).is_none() => problems.note(
                format!("{at}.{name}"),
                format!(
                    "must be dollars per million tokens, between 0 and {MOST_PER_MILLION}, with at most six decimals"
                ),
            ),
            _ => {}
        }
    }
    let rates = table::rates(written.input?, written.output?, written.cached_input, written.cache_write)?;
    Some(Price { rates, long: None })
}

/// Notes every hop without a price that somebody with a budget may use: what it costs could not be counted.
pub(super) fn budgets(config: &Config, problems: &mut Problems) {
    for (i, model) in config.models.iter().enumerate() {
        for (j, hop) in model.serve.iter().enumerate().filter(|(_, hop)| hop.price.is_none()) {
            if let Some(who) = spender(config, i, model, hop) {
                let vendor = config.vendors.get(hop.vendor).map_or("", |vendor| &vendor.name);
                let text = format!(
                    "is needed, since {who} has a budget: the price of {:?} at {vendor} is not known",
                    hop.model
                );
                problems.note(format!("models[{i}].serve[{j}].price"), text);
            }
        }
    }
}

/// The first with a budget whose requests may take this hop.
fn spender(config: &Config, index: usize, model: &Model, hop: &Hop) -> Option<String> {
    let vendor = config.vendors.get(hop.vendor).filter(|vendor| has_budget(&vendor.rules));
    let tenant = |key: &Key| config.tenants.get(key.tenant?).filter(|tenant| has_budget(&tenant.rules));
    let payer = |key: &Key| {
        let own = has_budget(&key.rules).then(|| format!("the key {}", key.name));
        own.or_else(|| tenant(key).map(|tenant| format!("the tenant {}", tenant.name)))
    };
    let mut keys = config.keys.iter().filter(|key| key.models.covers(index) && key.vendors.covers(hop.vendor));
    let own = has_budget(&model.rules).then(|| format!("the model {}", model.name));
    own.or_else(|| vendor.map(|vendor| format!("the vendor {}", vendor.name)))
        .or_else(|| keys.find_map(|key| payer(key)))
}

fn has_budget(rules: &Rules) -> bool {
    rules.hour.is_some() || rules.day.is_some() || rules.month.is_some()
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use serde_json::json;

    use super::*;
    use crate::config::{Permission, Tenant, parse_json};
    use crate::limit::{Mode, Rule};
    use crate::test;
    use crate::unit::NanoUsd;

    /// Vendor 0 and model 0 have a hop without a price; model 1 has none such.
    fn config() -> Config {
        let config = json!({
            "vendors": [{"name": "v", "kind": "openai", "url": "http://h"}, {"name": "echo", "kind": "echo"}],
            "models": [
                {"name": "m", "serve": [{"vendor": "echo"}, {"vendor": "v", "model": "mine"}]},
                {"name": "n", "serve": [{"vendor": "echo"}]},
            ],
            "keys": [{"name": "k", "sha256": "a1".repeat(32)}],
        });
        parse_json(config.to_string().as_bytes()).unwrap()
    }

    fn complaint(change: impl FnOnce(&mut Config)) -> String {
        let (mut config, mut problems) = (config(), Problems::default());
        change(&mut config);
        budgets(&config, &mut problems);
        problems.to_string()
    }

    fn budget() -> Rc<Rules> {
        let bound = NanoUsd(5);
        Rc::new(Rules { day: Some(Rule { bound, mode: Mode::Observe }), ..Rules::default() })
    }

    #[test]
    fn a_budget_needs_prices() {
        let key = |change: fn(&mut Key)| {
            complaint(|config| {
                let mut key = Key::clone(&config.keys[0]);
                change(&mut key);
                config.keys = vec![Rc::new(key)];
                config.tenants = vec![Tenant { name: "t".to_owned(), rules: budget() }];
            })
        };
        let needed = |who: &str| {
            format!(
                "models[0].serve[1].price: is needed, since {who} has a budget: the price of \"mine\" at v is not known"
            )
        };
        assert_eq!(key(|_| {}), "");
        assert_eq!(key(|key| key.rules = budget()), needed("the key k"));
        assert_eq!(key(|key| key.tenant = Some(0)), needed("the tenant t"));
        assert_eq!(key(|key| (key.rules, key.models) = (budget(), Permission::Only(vec![1]))), "");
        assert_eq!(key(|key| (key.rules, key.vendors) = (budget(), Permission::Only(vec![1]))), "");
        assert_eq!(complaint(|config| config.models[0].rules = budget()), needed("the model m"));
        assert_eq!(complaint(|config| config.vendors[0].rules = budget()), needed("the vendor v"));
        assert_eq!(complaint(|config| config.models[1].rules = budget()), "");
    }
}
