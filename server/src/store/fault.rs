//! Damage, in the words of the store.

use crate::ledger::LedgerId;
use crate::store::{Damaged, Place, StoreError};

pub(super) fn at(id: &LedgerId, seq: u64, what: &str) -> StoreError {
    let ledger = id.as_str().into();
    StoreError::Damaged(Damaged {
        ledger,
        place: Place::Seq(seq),
        what: what.into(),
    })
}

pub(super) fn derived(id: &LedgerId, what: &str) -> StoreError {
    let ledger = id.as_str().into();
    StoreError::Damaged(Damaged {
        ledger,
        place: Place::Derived,
        what: what.into(),
    })
}

pub(super) fn somewhere(what: &str) -> StoreError {
    let ledger = "*".into();
    StoreError::Damaged(Damaged {
        ledger,
        place: Place::Derived,
        what: what.into(),
    })
}
