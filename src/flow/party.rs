//! Who may limit a request: its key, the key's tenant, its model, the vendors of its plan.

use std::rc::Rc;

use crate::config::{Config, Key};
use crate::limit::{Ledger, Rules};
use crate::route::Plan;
use crate::store::{SPREAD, Store, spread};

/// Somebody with limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// What it is.
    pub role: Role,
    /// Its name, and whether it is of the configuration.
    pub name: Name,
    /// Its limits.
    pub rules: Rc<Rules>,
}

/// What a party is to the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The client's key.
    Key,
    /// The key's tenant.
    Tenant,
    /// The model.
    Model,
    /// The vendor with this index, which some hops of the plan lead to.
    Vendor(usize),
}

/// A party's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// One of the configuration's, of which there are only so many.
    Configured(String),
    /// One that was found in Redis.
    Stored(String),
}

impl Role {
    /// The word for it, in messages, labels and records.
    pub fn word(self) -> &'static str {
        match self {
            Role::Key => "key",
            Role::Tenant => "tenant",
            Role::Model => "model",
            Role::Vendor(_) => "vendor",
        }
    }
}

impl Party {
    /// Everybody who may limit a request, each once. Of the vendors those up to the first that does not: it is never
    /// refused.
    pub fn all(config: &Config, key: &Rc<Key>, model: usize, plan: &Plan) -> Vec<Party> {
        let configured = |role, name: &str, rules: &Rc<Rules>| {
            (!rules.is_empty()).then(|| Party {
                role,
                name: Name::Configured(name.to_owned()),
                rules: Rc::clone(rules),
            })
        };
        let tenant = key.tenant.and_then(|tenant| config.tenants.get(tenant));
        let model = config.models.get(model);
        let vendors = plan.hops().map_while(|hop| Party::vendor(hop.vendor, config));
        let mut parties = Vec::new();
        parties.extend(Party::of(key, config));
        parties.extend(tenant.and_then(|tenant| configured(Role::Tenant, &tenant.name, &tenant.rules)));
        parties.extend(model.and_then(|model| configured(Role::Model, &model.name, &model.rules)));
        for vendor in vendors {
            if !parties.contains(&vendor) {
                parties.push(vendor);
            }
        }
        parties
    }

    /// The vendor with this index, if it has limits.
    pub fn vendor(index: usize, config: &Config) -> Option<Party> {
        let vendor = config.vendors.get(index).filter(|vendor| !vendor.rules.is_empty())?;
        let name = Name::Configured(vendor.name.clone());
        Some(Party { role: Role::Vendor(index), name, rules: Rc::clone(&vendor.rules) })
    }

    /// The key, if it has limits.
    fn of(key: &Rc<Key>, config: &Config) -> Option<Party> {
        if key.rules.is_empty() {
            return None;
        }
        let configured = config.keys.iter().any(|known| Rc::ptr_eq(known, key));
        let name = if configured { Name::Configured(key.name.clone()) } else { Name::Stored(key.name.clone()) };
        Some(Party { role: Role::Key, name, rules: Rc::clone(&key.rules) })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match &self.name {
            Name::Configured(name) | Name::Stored(name) => name,
        }
    }

    /// Its name as a label: what is found in Redis is not bounded.
    pub fn label(&self) -> &str {
        match &self.name {
            Name::Configured(name) => name,
            Name::Stored(_) => "stored",
        }
    }

    /// What Redis knows it by.
    pub fn subject(&self) -> String {
        [self.role.word(), ":", self.name()].concat()
    }

    /// The name of its record on this Envoy. Records are never removed, so those that are found in Redis share a fixed
    /// number of them; they only need one while Redis is absent.
    pub fn record(&self) -> String {
        match &self.name {
            Name::Configured(_) => ["limit/", &self.subject()].concat(),
            Name::Stored(name) => format!("limit/stored/{}", spread(SPREAD, name.as_bytes()) % STORED_RECORDS),
        }
    }
}

/// Everybody in the configuration who has limits.
pub fn everybody(config: &Config) -> Vec<Party> {
    let configured = |role, name: &str, rules: &Rc<Rules>| {
        (!rules.is_empty()).then(|| Party { role, name: Name::Configured(name.to_owned()), rules: Rc::clone(rules) })
    };
    let keys = config.keys.iter().filter_map(|key| configured(Role::Key, &key.name, &key.rules));
    let tenants = config.tenants.iter().filter_map(|tenant| configured(Role::Tenant, &tenant.name, &tenant.rules));
    let models = config.models.iter().filter_map(|model| configured(Role::Model, &model.name, &model.rules));
    let vendors = (0..config.vendors.len()).filter_map(|index| Party::vendor(index, config));
    keys.chain(tenants).chain(models).chain(vendors).collect()
}

/// Makes the records of all parties of the configuration. A record's first writer cannot tell whether another was
/// faster, so none is made under traffic.
pub fn prepare(config: &Config, store: &dyn Store) {
    for name in everybody(config).iter().map(Party::record).chain([GATEWAY.to_owned()]) {
        if store.load(&name).0.is_none() {
            store.save(&name, &Ledger::default().render(), None);
        }
    }
}

/// Everybody in the configuration who may have limits: the word for its role, its name, its limits.
pub fn configured(config: &Config) -> impl Iterator<Item = (&'static str, &str, &Rc<Rules>)> {
    let keys = config.keys.iter().map(|key| (Role::Key.word(), key.name.as_str(), &key.rules));
    let tenants = config.tenants.iter().map(|tenant| (Role::Tenant.word(), tenant.name.as_str(), &tenant.rules));
    let models = config.models.iter().map(|model| (Role::Model.word(), model.name.as_str(), &model.rules));
    let vendors = config.vendors.iter().map(|vendor| (Role::Vendor(0).word(), vendor.name.as_str(), &vendor.rules));
    keys.chain(tenants).chain(models).chain(vendors)
}

/// The name of a configured party's record on this Envoy.
pub fn configured_record(role: &str, name: &str) -> String {
    ["limit/", role, ":", name].concat()
}

/// The record of the requests that this Envoy has in flight.
pub const GATEWAY: &str = "limit/gateway";

/// 16,384 records of some hundred bytes.
const STORED_RECORDS: u64 = 1 << 14;
