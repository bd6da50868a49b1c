//! Records that outlive a request and are shared by the workers of one Envoy.
//!
//! A record is a few bytes under a name. It is changed only by [`update`]: load, apply a pure change, store if nobody
//! else has stored meanwhile, else again. In Envoy the store is proxy-wasm's shared data; a test uses [`Memory`].

use std::cell::RefCell;
use std::collections::HashMap;

/// Where records are kept.
pub trait Store {
    /// A record, and the stamp that [`Store::save`] wants to see again; nothing and no stamp if there is none.
    fn load(&self, name: &str) -> (Option<Vec<u8>>, Option<u32>);

    /// Stores a record if its stamp is still this one; without a stamp, in any case. Says whether it did.
    fn save(&self, name: &str, record: &[u8], stamp: Option<u32>) -> bool;
}

/// Changes a record. `change` gets the record as it is, and gives its new form, if it is to change, and a result; it
/// runs again if another worker was faster. `None` if that happened [`TRIES`] times in a row.
pub fn update<T, R: AsRef<[u8]>>(
    store: &dyn Store,
    name: &str,
    mut change: impl FnMut(Option<&[u8]>) -> (Option<R>, T),
) -> Option<T> {
    for _ in 0..TRIES {
        let (record, stamp) = store.load(name);
        match change(record.as_deref()) {
            (None, result) => return Some(result),
            (Some(changed), result) if store.save(name, changed.as_ref(), stamp) => return Some(result),
            _ => {}
        }
    }
    None
}

/// FNV-1a, to spread names over a fixed number of records: the same on every worker. Begins with [`SPREAD`], or goes on
/// with what it gave.
pub fn spread(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Where [`spread`] begins.
pub const SPREAD: u64 = 0xcbf2_9ce4_8422_2325;

/// A change takes microseconds, so with as many workers as a machine has cores a second try is rare.
const TRIES: usize = 64;

/// A store in the memory of one thread.
#[derive(Debug, Default)]
pub struct Memory {
    records: RefCell<HashMap<String, (Vec<u8>, u32)>>,
}

impl Store for Memory {
    fn load(&self, name: &str) -> (Option<Vec<u8>>, Option<u32>) {
        match self.records.borrow().get(name) {
            Some((record, stamp)) => (Some(record.clone()), Some(*stamp)),
            None => (None, None),
        }
    }

    fn save(&self, name: &str, record: &[u8], stamp: Option<u32>) -> bool {
        let mut records = self.records.borrow_mut();
        let present = records.get(name).map(|(_, stamp)| *stamp);
        if stamp.is_some() && stamp != present {
            return false;
        }
        records.insert(name.to_owned(), (record.to_vec(), present.unwrap_or(0).wrapping_add(1)));
        true
    }
}
