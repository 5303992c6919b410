//! What keeps a publication from going out twice or late: idempotency keys and versions.
//!
//! Both are remembered in memory, by channel, for channels with a history and without. A key whose
//! channel has a history is also in the ledger, so that it holds across a restart.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use klokke_protocol::Position;
use tokio::sync::OnceCell;

use super::Failure;
use crate::domain::error::IDEMPOTENCY_CONFLICT;

/// How long a key is remembered.
const KEY_LIFE: Duration = Duration::from_secs(300);

/// Most keys and most versions remembered. At about 300 bytes each they stay below 32 MiB; a back
/// end that publishes more than 300 a second with keys is remembered for less than [`KEY_LIFE`].
const REMEMBERED_MAX: usize = 100_000;

/// What a key stands for.
#[derive(Clone)]
struct Published {
    /// Of the payload: the same key with another one is a mistake of the caller.
    hash: blake3::Hash,
    position: Arc<OnceCell<Option<Position>>>,
}

impl Published {
    fn of(data: &[u8]) -> Self {
        Self {
            hash: blake3::hash(data),
            position: Arc::default(),
        }
    }
}

/// What was published lately.
#[derive(Default)]
pub(crate) struct Suppression {
    keys: Mutex<HashMap<(String, String), (Instant, Published)>>,
    versions: Mutex<HashMap<String, Version>>,
}

/// The last version seen in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    number: u64,
    epoch: String,
    seen: Instant,
}

impl Suppression {
    /// Publishes unless this key was published to this channel lately; then the first result comes
    /// again. Two calls at once publish once.
    ///
    /// # Errors
    /// Those of `publish`; 409 when the key was used with another payload.
    pub(super) async fn once<F>(
        &self,
        channel: &str,
        key: &str,
        data: &[u8],
        publish: impl FnOnce() -> F,
    ) -> Result<Option<Position>, Failure>
    where
        F: Future<Output = Result<Option<Position>, Failure>>,
    {
        let now = Instant::now();
        let published = {
            let mut keys = lock(&self.keys);
            make_room(&mut keys, |(made, _)| *made, now);
            let place = keys.entry((channel.to_owned(), key.to_owned()));
            let (made, published) = place.or_insert_with(|| (now, Published::of(data)));
            // A failure leaves it open, so that a retry publishes.
            let is_void =
                !published.position.initialized() && Arc::strong_count(&published.position) == 1;
            if is_void || now.duration_since(*made) > KEY_LIFE {
                (*made, *published) = (now, Published::of(data));
            }
            published.clone()
        };
        if published.hash != blake3::hash(data) {
            return Err(Failure::of_operation(&IDEMPOTENCY_CONFLICT));
        }
        published.position.get_or_try_init(publish).await.cloned()
    }

    /// Whether a version is news in its channel: greater than the last of the same epoch, or of
    /// another epoch. It is taken as seen then.
    pub(super) fn is_news(&self, channel: &str, number: u64, epoch: &str) -> bool {
        let now = Instant::now();
        let mut versions = lock(&self.versions);
        if let Some(last) = versions.get(channel)
            && last.epoch == epoch
            && last.number >= number
        {
            return false;
        }
        make_room(&mut versions, |version| version.seen, now);
        let version = Version {
            number,
            epoch: epoch.to_owned(),
            seen: now,
        };
        versions.insert(channel.to_owned(), version);
        true
    }
}

/// Lets the older half go when all places are taken.
fn make_room<K: Eq + std::hash::Hash, V>(
    map: &mut HashMap<K, V>,
    made: impl Fn(&V) -> Instant,
    now: Instant,
) {
    if map.len() < REMEMBERED_MAX {
        return;
    }
    let mut ages: Vec<Instant> = map.values().map(&made).collect();
    ages.sort_unstable();
    let middle = ages.get(ages.len() / 2).copied().unwrap_or(now);
    map.retain(|_, value| made(value) > middle);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use klokke_protocol::ErrorCode;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[tokio::test]
    async fn a_key_publishes_once_and_a_failure_does_not_count() {
        let suppression = Suppression::default();
        let count = AtomicU64::new(0);
        let publish = || async {
            let offset = count.fetch_add(1, Ordering::SeqCst) + 1;
            Ok(Some(Position {
                offset,
                ..Position::default()
            }))
        };
        let fail = || async { Err(Failure::of(ErrorCode::INTERNAL)) };
        assert!(suppression.once("c", "k", b"0", fail).await.is_err());
        for _ in 0..3 {
            let position = suppression
                .once("c", "k", b"1", publish)
                .await
                .expect("published");
            assert_eq!(position.map(|position| position.offset), Some(1));
        }
        let conflict = suppression.once("c", "k", b"2", publish).await;
        assert_eq!(conflict.expect_err("another payload").code(), 409);
        let other = suppression
            .once("d", "k", b"2", publish)
            .await
            .expect("published");
        assert_eq!(
            other.map(|position| position.offset),
            Some(2),
            "another channel"
        );
    }

    #[test]
    fn versions_only_grow_inside_an_epoch() {
        let suppression = Suppression::default();
        let check = |number, epoch| suppression.is_news("c", number, epoch);
        assert!(check(5, ""));
        assert!(!check(5, ""));
        assert!(!check(4, ""));
        assert!(check(6, ""));
        assert!(check(1, "e2"), "another epoch begins anew");
        assert!(!check(1, "e2"));
        assert!(suppression.is_news("d", 1, ""));
    }

    #[test]
    fn memory_is_bounded() {
        let suppression = Suppression::default();
        for nth in 0..REMEMBERED_MAX + 10 {
            suppression.is_news(&nth.to_string(), 1, "");
        }
        assert!(lock(&suppression.versions).len() <= REMEMBERED_MAX);
    }
}
