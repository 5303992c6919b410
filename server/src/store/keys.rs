//! Keys of the stored rows. Text parts that are not last are preceded by their length, so that no
//! name can run into another; numbers are big endian, so that rows lie in order.

use crate::ledger::{ChannelName, IdempotencyKey, IndexKey, LedgerId, RecordKey};
use crate::store::OutboxKey;

/// Everything of one ledger in a keyspace begins with this.
pub(super) fn ledger(ledger: &LedgerId) -> Vec<u8> {
    let mut key = Vec::with_capacity(96);
    put_short(&mut key, ledger.as_str());
    key
}

pub(super) fn commit(id: &LedgerId, seq: u64) -> Vec<u8> {
    let mut key = ledger(id);
    key.extend_from_slice(&seq.to_be_bytes());
    key
}

pub(super) fn channel(id: &LedgerId, name: &ChannelName) -> Vec<u8> {
    let mut key = ledger(id);
    put_short(&mut key, name.as_str());
    key
}

pub(super) fn entry(id: &LedgerId, name: &ChannelName, offset: u64) -> Vec<u8> {
    let mut key = channel(id, name);
    key.extend_from_slice(&offset.to_be_bytes());
    key
}

pub(super) fn record(id: &LedgerId, record: &str) -> Vec<u8> {
    let mut key = ledger(id);
    key.extend_from_slice(record.as_bytes());
    key
}

pub(super) fn index(index: &IndexKey) -> Vec<u8> {
    let mut key = Vec::with_capacity(96);
    put_long(&mut key, index.as_str());
    key
}

pub(super) fn index_row(index_key: &IndexKey, id: &LedgerId, record: &RecordKey) -> Vec<u8> {
    let mut key = index(index_key);
    put_short(&mut key, id.as_str());
    key.extend_from_slice(record.as_str().as_bytes());
    key
}

pub(super) fn idempotency(id: &LedgerId, subject: &str, idempotency_key: &str) -> Vec<u8> {
    let mut key = ledger(id);
    put_long(&mut key, subject);
    key.extend_from_slice(idempotency_key.as_bytes());
    key
}

/// Whether an idempotency key's row is of an outbox delivery.
pub(super) fn is_of_outbox(key: &[u8]) -> bool {
    let mut parts = Parts(key);
    let subject = parts.ledger().and_then(|_| parts.long());
    subject
        .and_then(|_| parts.rest())
        .is_some_and(IdempotencyKey::is_of_outbox)
}

pub(super) fn outbox(item: &OutboxKey) -> Vec<u8> {
    let mut key = commit(&item.source, item.seq);
    key.extend_from_slice(&item.n.to_be_bytes());
    key
}

/// Names that have at most 255 bytes by construction (ledgers, channels).
fn put_short(key: &mut Vec<u8>, text: &str) {
    let len = u8::try_from(text.len()).unwrap_or(u8::MAX);
    key.push(len);
    key.extend_from_slice(text.as_bytes());
}

fn put_long(key: &mut Vec<u8>, text: &str) {
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    key.extend_from_slice(&len.to_be_bytes());
    key.extend_from_slice(text.as_bytes());
}

/// Reads keys back, part by part.
pub(super) struct Parts<'a>(pub(super) &'a [u8]);

impl<'a> Parts<'a> {
    pub(super) fn ledger(&mut self) -> Option<LedgerId> {
        LedgerId::parse(self.short()?).ok()
    }

    pub(super) fn channel(&mut self) -> Option<ChannelName> {
        ChannelName::parse(self.short()?).ok()
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*head))
    }

    pub(super) fn small(&mut self) -> Option<u32> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*head))
    }

    pub(super) fn rest(self) -> Option<&'a str> {
        std::str::from_utf8(self.0).ok()
    }

    fn long(&mut self) -> Option<&'a str> {
        let (len, rest) = self.0.split_first_chunk::<2>()?;
        self.text(usize::from(u16::from_be_bytes(*len)), rest)
    }

    fn short(&mut self) -> Option<&'a str> {
        let (len, rest) = self.0.split_first()?;
        self.text(usize::from(*len), rest)
    }

    fn text(&mut self, len: usize, rest: &'a [u8]) -> Option<&'a str> {
        let (text, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}

/// The smallest key above all that begin with `prefix`; `None` when there is none.
pub(super) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_run_into_each_other() {
        let (a, b) = (
            LedgerId::parse("G1").expect("ok"),
            LedgerId::parse("G10").expect("ok"),
        );
        assert!(!ledger(&b).starts_with(&ledger(&a)));
        let (x, y) = (IndexKey::new("p"), IndexKey::new("pq"));
        assert!(!index(&y).starts_with(&index(&x)));
    }

    #[test]
    fn keys_read_back() {
        let id = LedgerId::parse("G1").expect("ok");
        let name = ChannelName::parse("unit:G1").expect("ok");
        let key = entry(&id, &name, 7);
        let mut parts = Parts(&key);
        assert_eq!(parts.ledger(), Some(id));
        assert_eq!(parts.channel(), Some(name));
        assert_eq!(parts.number(), Some(7));
        assert_eq!(parts.rest(), Some(""));
    }

    #[test]
    fn the_end_of_a_prefix() {
        assert_eq!(after_prefix(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(after_prefix(&[1, 255]), Some(vec![2]));
        assert_eq!(after_prefix(&[255]), None);
    }
}
