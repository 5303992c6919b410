//! Queues of messages, bounded by number and by bytes: a message may be a hundred bytes or half a megabyte.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::{INCOMING_BYTES_MAX, INCOMING_MAX, Incoming, OUTGOING_BYTES_MAX, OUTGOING_MAX};

/// The way into a queue.
#[derive(Debug)]
pub struct Sender<T> {
    items: mpsc::Sender<T>,
    bytes: Bytes<T>,
}

/// The way out of it.
#[derive(Debug)]
pub struct Receiver<T> {
    items: mpsc::Receiver<T>,
    bytes: Bytes<T>,
}

/// What lies in it.
#[derive(Debug)]
struct Bytes<T> {
    now: Arc<AtomicUsize>,
    max: usize,
    of: fn(&T) -> usize,
}

impl<T> Clone for Bytes<T> {
    fn clone(&self) -> Self {
        Self {
            now: Arc::clone(&self.now),
            ..*self
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            items: self.items.clone(),
            bytes: self.bytes.clone(),
        }
    }
}

/// For what comes from the bus.
#[must_use]
pub fn incoming() -> (Sender<Incoming>, Receiver<Incoming>) {
    let of = |came: &Incoming| match came {
        Incoming::Message(message) => message.len(),
        Incoming::Up | Incoming::Down | Incoming::Behind | Incoming::Stranger => 0,
    };
    bounded(INCOMING_MAX, INCOMING_BYTES_MAX, of)
}

/// For what is handed to the bus.
pub(super) fn outgoing<T>(of: fn(&T) -> usize) -> (Sender<T>, Receiver<T>) {
    bounded(OUTGOING_MAX, OUTGOING_BYTES_MAX, of)
}

fn bounded<T>(count: usize, max: usize, of: fn(&T) -> usize) -> (Sender<T>, Receiver<T>) {
    let (into, out) = mpsc::channel(count);
    let now = Arc::default();
    let bytes = Bytes { now, max, of };
    let sender = Sender {
        items: into,
        bytes: bytes.clone(),
    };
    (sender, Receiver { items: out, bytes })
}

impl<T> Sender<T> {
    /// Puts something in, unless there is too much.
    pub fn try_send(&self, item: T) -> bool {
        let Ok(place) = self.items.try_reserve() else {
            return false;
        };
        let size = (self.bytes.of)(&item);
        let before = self.bytes.now.fetch_add(size, Ordering::Relaxed);
        if before + size > self.bytes.max {
            self.bytes.now.fetch_sub(size, Ordering::Relaxed);
            return false;
        }
        place.send(item);
        true
    }

    /// Puts something in that weighs nothing, as soon as there is a place. False when nobody takes it out any more.
    pub async fn send(&self, item: T) -> bool {
        debug_assert_eq!((self.bytes.of)(&item), 0, "what has bytes may not wait");
        self.items.send(item).await.is_ok()
    }

    /// Whether nobody takes anything out any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.items.is_closed()
    }
}

impl<T> Receiver<T> {
    /// Takes the next out; nothing when there will be none.
    pub async fn recv(&mut self) -> Option<T> {
        let item = self.items.recv().await?;
        Some(self.counted_out(item))
    }

    /// Takes the next out, if there is one.
    pub fn try_recv(&mut self) -> Option<T> {
        let item = self.items.try_recv().ok()?;
        Some(self.counted_out(item))
    }

    fn counted_out(&self, item: T) -> T {
        let size = (self.bytes.of)(&item);
        self.bytes.now.fetch_sub(size, Ordering::Relaxed);
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_bounded_as_number_is() {
        let (into, mut out) = bounded(3, 10, |text: &&str| text.len());
        assert!(into.try_send("12345"));
        assert!(!into.try_send("123456"), "that would be 11 bytes");
        assert!(into.try_send("12345"));
        assert!(into.try_send(""));
        assert!(!into.try_send(""), "that would be four");
        assert_eq!(out.try_recv(), Some("12345"));
        assert!(into.try_send("123"));
        for expected in ["12345", "", "123"] {
            assert_eq!(out.try_recv(), Some(expected));
        }
        assert!(into.try_send("1234567890"));
        drop(out);
        assert!(into.is_closed());
    }
}
